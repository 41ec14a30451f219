"""Whether labeled and named vertebrae can be one person's spine in patient space."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import POSTERIOR_KINDS, Kind, Level
from ..errors import InputError
from ..schemes.stature import distance_mm, relative_stature
from ..volume import LabelMap
from .detections import MAX_TILT_DEG
from .evidence import Piece
from .sites import points_of

FloatArray = NDArray[np.floating]

_FEWEST = 3
"""Vertebrae from which on their line is the spine's; two may lie askew, as at the sacrum."""
_STATURE = 0.45, 2.0
"""Size of a spine in that of an adult's of the same levels; a newborn's vertebrae lie less than half as far apart."""


def check_spine(labels: LabelMap, found: Sequence[Piece], named: bool) -> None:
    """:param named: whether names mean levels, so that size and order can be judged by them.

    :raises InputError: for a spine that is upside down, back to front, in the wrong frame, or not a person's.
    """
    levels = [p.level for p in found]
    if len(found) < _FEWEST or len(set(levels)) < len(levels):
        return
    centers = {p.level: p.center_RAS for p in found}
    way = centers[max(levels)] - centers[min(levels)]
    along = [float(centers[level] @ way) for level in sorted(levels)]
    if named and along == sorted(along):
        _check_direction(way)
        _check_stature(centers)
    behind = _arches_behind(labels, levels)
    if len(behind) >= _FEWEST and max(behind) < 0.0:
        raise InputError("The vertebral arches lie in front of the bodies: the scan is mirrored, or its positions are "
                         "LPS, not RAS; correct its orientation.")


def _check_direction(way: FloatArray) -> None:
    down = -float(way[2]) / float(np.linalg.norm(way))
    steepest = float(np.cos(np.radians(MAX_TILT_DEG)))
    if down < -steepest:
        raise InputError("The levels run from the feet to the head: the scan is upside down; correct its orientation.")
    if down < steepest:
        raise InputError("The vertebrae do not follow the patient's long axis: check the scan's orientation.")


def _check_stature(centers: dict[Level, FloatArray]) -> None:
    stature = relative_stature(centers)
    if stature is not None and not _STATURE[0] <= stature <= _STATURE[1]:
        raise InputError(f"The vertebrae lie {stature:.2g} times as far apart as an adult's of the same levels: check "
                         "the voxel size and the names; spines of animals and newborns are not measured.")


def _arches_behind(labels: LabelMap, levels: Sequence[Level]) -> list[float]:
    """How far each arch that is labeled apart lies behind its body, mm along the patient's axis."""
    windows = ndimage.find_objects(labels.array)
    pairs = [[points_of(labels, windows, labels.values(kinds, level)) for kinds in (Kind.BODY, POSTERIOR_KINDS)]
             for level in levels]
    return [float(body[:, 1].mean() - arch[:, 1].mean()) for body, arch in pairs if len(body) and len(arch)]


def check_anchors(placed: Sequence[tuple[FloatArray, Level]]) -> None:
    """:param placed: (3,) RAS place and name of the vertebrae that people named, from head to foot.

    :raises InputError: for names out of order, and for two that cannot lie as far apart as they do.
    """
    for (above, upper), (below, lower) in zip(placed, placed[1:], strict=False):
        if lower <= upper:
            raise InputError(f"{upper} is named above {lower}: correct one of the two.")
        apart, usual = float(np.linalg.norm(below - above)), distance_mm(upper, lower)
        if not _STATURE[0] <= apart / usual <= _STATURE[1]:
            raise InputError(f"{upper} and {lower} are named {apart:.0f} mm apart, where {usual:.0f} mm are usual: "
                             "correct one of the two.")
