"""How wide the canal and the cord are beside the bodies."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level
from .sites import Site
from .traits import Seen, Trait

SHAPE = Trait("width of the canal in its depth", {
    Level.C2: 1.4, Level.C4: 1.6, Level.C7: 1.6, Level.T1: 1.4, Level.T4: 1.1, Level.T9: 1.1, Level.T12: 1.3,
    Level.L1: 1.3, Level.L3: 1.35, Level.L5: 1.4}, 0.30, (0.4, 4.0))
"""At the middle of the body, bony canal or dural sac.  As of the phantoms (``phantoms.spec``: Panjabi's canals, brought
nearer to the dural sac); the spread is an assumption."""
SHARE = Trait("width of the canal in the body's", {
    Level.C2: 1.2, Level.C3: 1.15, Level.C6: 1.05, Level.C7: 0.95, Level.T1: 0.80, Level.T4: 0.65, Level.T9: 0.55,
    Level.T12: 0.52, Level.L1: 0.52, Level.L5: 0.52}, 0.16, (0.1, 2.5))
"""Bony canals of the loins 0.58 to 0.67 at all levels (63 people of Gujarat), dural sacs about 0.4; canals of the neck
24 to 25 mm (``priors``) beside bodies of 20 to 24 mm."""
CORD = Trait("width of the cord", {
    Level.C2: 12.4, Level.C4: 13.5, Level.C5: 13.3, Level.C7: 11.4, Level.T1: 10.5, Level.T3: 9.3, Level.T7: 8.3,
    Level.T10: 8.6, Level.T12: 9.4, Level.L1: 8.5}, 1.8, (2.0, 25.0))
"""mm.  13.3 (2.2) at the fifth cervical segment, 8.3 (2.1) at the eighth thoracic and 9.4 (1.5) at the third lumbar one
in eleven studies (Frostell et al., Front Neurol 2016, 7:238), segments put beside their vertebrae; 12.4 at C2, 14.0 at
C4 and 11.4 at C7 on MR of 66 people (Sherman et al., AJNR 1990, 11:369)."""
TRAITS = (SHAPE, SHARE, CORD)

_SLAB_MM = 3.0
"""Half the thickness of what is looked at beside the body's middle, at least."""


def seen(site: Site) -> Iterator[tuple[Trait, Seen]]:
    """Of one vertebra."""
    canal, cord = (_beside(site, points) for points in (site.canal, site.cord))
    width, depth = site.length(canal, 0), site.length(canal, 1)
    yield SHAPE, Seen(width / depth, float(np.hypot(site.error(0), site.error(1) * width / depth) / depth))
    share = width / site.width
    yield SHARE, Seen(share, float(np.hypot(1.0, share) * site.error(0) / site.width))
    yield CORD, Seen(site.length(cord, 0), site.error(0))


def _beside(site: Site, points: NDArray[np.floating]) -> NDArray[np.floating]:
    return points[np.abs(points[:, 2]) < max(_SLAB_MM, float(site.voxel[2]) / 2.0)]
