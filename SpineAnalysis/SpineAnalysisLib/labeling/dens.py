"""Whether the highest body in view is the axis: with its dens it is as tall as two others and more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry.frames import unit
from ..volume import LabelMap
from .priors import NAMES, mixed

FloatArray = NDArray[np.floating]

# Height of the highest body in that of those below it: mean and spread.
_WITH_DENS, _WITHOUT_DENS, _ATLAS, _USUAL, _MERGED = (3.0, 0.45), (1.55, 0.2), (0.8, 0.2), (1.0, 0.12), (2.4, 0.25)
"""The axis: a body of 18.7 mm and a dens of 17.6 mm in 52 (core.ac.uk 303973137), together 38.1 mm in 30 (Yousuf et
al., Int J Res Med Sci, article 11789); C3: 12.0 mm (164 vertebrae C3 to C6 of northwest India).  The atlas has but an
arch.  Other neighbors differ by some percent; two that were taken for one are as tall as two and a disc."""
_NO_DENS, _MERGES, _MISDRAWN, _ANY = 0.2, 0.05, 0.01, 4.0
"""How often the dens is not labeled with its body, two vertebrae are one, and an outline is of any height up to so
much, by assumption."""
_CUT_MM, _CUT = 3.0, 1.2
"""A body this near to the image's end may be cut; one that is taller than so many others tells nonetheless."""
_LEAST_MM = 5.0
"""Bodies lower than this are cut themselves, as in a block of axial slices."""
_TELLING = float(np.log(10.0))
"""Evidence of the axis against any other, from which on it is a reference."""


@dataclass(frozen=True, eq=False)
class Tall:
    """Of the highest body.

    :param ratio: its height in the mean of the next two.
    :param below_dens_RAS: (3,) center of as much of its lower end as an axis' body takes.
    """

    ratio: float
    below_dens_RAS: FloatArray

    @property
    def telling(self) -> bool:
        """Whether it is the axis more likely than not by far."""
        fits = likelihood(self.ratio)
        return bool(fits[NAMES.index("C2")] - fits[NAMES.index("C3")] > _TELLING)


def highest_body(labels: LabelMap, values: Sequence[int]) -> Tall | None:
    """How tall the highest body is; ``None`` where it is cut.

    :param values: labels of the three highest bodies, from head to foot.
    """
    windows = ndimage.find_objects(labels.array, max(values))
    places = [labels.to_ras(np.argwhere(labels.array[windows[v - 1]] == v) + [s.start for s in windows[v - 1]])
              for v in values]
    centers = [points.mean(axis=0) for points in places]
    up = unit(centers[1] - centers[2])
    first, *others = (float(np.ptp(np.percentile(points @ up, (1, 99)))) for points in places)
    usual = float(np.mean(others))
    corners = labels.to_ras(np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T)
    is_cut = places[0][:, 2].max() > corners[:, 2].max() - _CUT_MM
    if usual < _LEAST_MM or (is_cut and first / usual < _CUT):
        return None
    along = places[0] @ up
    body = places[0][along <= np.percentile(along, 1) + _WITHOUT_DENS[0] * usual]
    return Tall(first / usual, body.mean(axis=0))


def likelihood(ratio: float) -> FloatArray:
    """(L,) logarithm of how well such a height fits each state."""
    shapes = {"C1": ((1.0, _ATLAS),), "C2": ((1.0 - _NO_DENS, _WITH_DENS), (_NO_DENS, _WITHOUT_DENS))}
    other = ((1.0 - _MERGES, _USUAL), (_MERGES, _MERGED))
    return np.log([mixed(ratio, shapes.get(name, other), _MISDRAWN, _ANY) for name in NAMES])
