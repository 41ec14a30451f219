"""How high discs are and how they are wedged."""

from collections.abc import Iterator

import numpy as np

from ..anatomy import Level
from .priors import body_and_disc
from .sites import Site
from .traits import Seen, Trait

HEIGHT = Trait("height of the disc below in the body's", body_and_disc(), 0.12, (-0.3, 1.5))
"""As of ``priors``.  There, too: from L1-L2 to L4-L5 7.9 to 12.0 mm and 11.1 mm at L5-S1 on MR of 106 people of Nepal,
10.0 to 13.8 and 13.0 (2.5) mm in 14 of Iran; but in only 36 and 55 % of healthy men and women does the height follow
that course (RöFo 1997, 167:11), and discs wear: the spread is an assumption."""
WEDGE = Trait("wedge of the disc below", {
    Level.C2: 2.0, Level.C5: 3.0, Level.C7: 1.0, Level.T1: 0.0, Level.T11: 0.0, Level.T12: 1.5, Level.L1: 3.5,
    Level.L2: 6.0, Level.L3: 8.0, Level.L4: 11.0, Level.L5: 14.0}, 7.0, (-40.0, 50.0))
"""Degrees between the facing endplates, positive where they open to the front.  From heights in front and behind: 2.5
(L1-L2) and 12 (L5-S1) in the people of Nepal, 6.6 and 18 in those of Iran; between as of the phantoms.  People lie
curved otherwise than they stand, hence the spread."""
TRAITS = (HEIGHT, WEDGE)

_OUTSIDE_MM = 0.5
"""How far outlines of bodies reach into the disc at either end, about half a voxel: the embedded engine's on MR do by
more, for they are higher by 1.6 to 2.4 mm than on CT of the same subject (``docs/ACCURACY.md``), others' by less."""
_FEWEST = 5
"""Places from front to back from which on an endplate has a slope."""
_NOISE = 3.0
"""Standard error of an endplate's slope in voxels' height by its depth: endplates are hollow and rough."""


def seen(upper: Site, lower: Site) -> Iterator[tuple[Trait, Seen]]:
    """Of the disc between two neighbors."""
    apart = float(np.linalg.norm(upper.frame.origin - lower.frame.origin))
    height = (upper.height + lower.height) / 2.0 - 2.0 * _OUTSIDE_MM
    yield HEIGHT, Seen(apart / height - 1.0, float(np.sqrt(2.0)) * upper.error(2) / height)
    above, below = _slope(upper, 1), _slope(lower, 2)
    yield WEDGE, Seen(below - above, float(np.degrees(_NOISE * upper.error(2) / upper.length(upper.core, 1))))


def _slope(site: Site, end: int) -> float:
    """How far an endplate (1 the lower, 2 the upper one) faces forward, degrees in the sagittal plane."""
    if len(site.ends) < _FEWEST:
        return float("nan")
    rise = float(np.polyfit(site.ends[:, 0], site.ends[:, end], 1)[0])
    normal = site.frame.superior - rise * site.frame.anterior
    return float(np.degrees(np.arctan2(normal[1], normal[2])))
