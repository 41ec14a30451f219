"""What a label map or a modeled spine shows of which vertebra is which."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..anatomy import Kind, Level
from ..spine import Spine
from ..volume import LabelMap
from .detections import Detection

FloatArray = NDArray[np.floating]

SEGMENTED = 0.999
"""How surely what a segmentation holds is a vertebra of its own."""
_RIB_REACH_MM = 33.0
"""From a body's center to the nearest point of its own ribs; other ribs are farther."""
_RIB = np.array([0.02, 0.96, 0.02])
_NO_RIB = np.array([0.49, 0.02, 0.49])
_MOST_RIB_POINTS = 20000
_CRUMB = 0.2
"""Share of a label's largest piece from which on another piece is a vertebra of its own."""
_SACRAL_TOP_MM = 25.0
"""How much of the sacrum is its first vertebra."""


def evidence_from_spine(spine: Spine) -> list[Detection]:
    """The vertebrae of a modeled spine, top to bottom, by their surroundings; of names, only the sacrum's counts."""
    at_ribs = _rib_tree(spine.labels)
    return [Detection(v.frame.origin, _region(at_ribs, v.frame.origin), None,
                      frozenset({Level.S1}) if v.level is Level.S1 else frozenset(Level) - {Level.S1},
                      confidence=SEGMENTED) for v in spine.vertebrae]


def room_beyond(labels: LabelMap, top_RAS: FloatArray, bottom_RAS: FloatArray) -> tuple[float, float]:
    """How far the image goes on above and below two points, mm along the patient's axis."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T
    heights = labels.to_ras(corners)[:, 2]
    return max(float(heights.max() - top_RAS[2]), 0.0), max(float(bottom_RAS[2] - heights.min()), 0.0)


@dataclass(frozen=True, eq=False)
class Piece:
    """A vertebra as it is labeled; a level that is labeled in two places makes two.

    :param value: of the label that it is a connected part of.
    :param center_RAS: (3,) of its body where that is labeled, else of all of it; of the sacrum's top.
    """

    level: Level
    value: int
    center_RAS: FloatArray


def pieces(labels: LabelMap) -> list[Piece]:
    """The labeled vertebrae by name, then from large to small; of the sacrum, in however many labels, its top alone."""
    windows = ndimage.find_objects(labels.array)
    found = [Piece(level, value, center) for level in labels.levels
             for value in labels.values(Kind.BODY, level) or labels.values(Kind.VERTEBRA, level)
             if value <= len(windows) and windows[value - 1] is not None
             for center in _centers(labels, value, windows[value - 1], level is Level.S1)]
    top = max((p for p in found if p.level is Level.S1), key=lambda p: float(p.center_RAS[2]), default=None)
    return [p for p in found if p.level is not Level.S1 or p is top]


def evidence_from_pieces(labels: LabelMap, found: Sequence[Piece], certain: Collection[Level]) -> list[Detection]:
    """Labeled vertebrae by their surroundings; of names, only the certain ones count."""
    at_ribs = _rib_tree(labels)
    return [Detection(p.center_RAS, _region(at_ribs, p.center_RAS),
                      could_be=frozenset({p.level}) if p.level in certain else frozenset(Level) - frozenset(certain),
                      confidence=SEGMENTED) for p in found]


def _centers(labels: LabelMap, value: int, window: tuple[slice, ...], sacrum: bool) -> list[FloatArray]:
    """Centers of the large connected parts of a label, from large to small."""
    numbered, count = ndimage.label(labels.array[window] == value)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    found = []
    for number in [int(i) + 1 for i in np.argsort(-sizes, kind="stable") if sizes[i] >= _CRUMB * sizes.max()]:
        points = labels.to_ras(np.argwhere(numbered == number) + [s.start for s in window])
        if sacrum:
            points = points[points[:, 2] > points[:, 2].max() - _SACRAL_TOP_MM]
        found.append(points.mean(axis=0))
    return found


def _rib_tree(labels: LabelMap) -> cKDTree | None:
    values = labels.values(Kind.RIB)
    if not values:
        return None
    points = np.argwhere(labels.mask(values))
    if len(points) == 0:
        return None
    return cKDTree(labels.to_ras(points[::max(1, len(points) // _MOST_RIB_POINTS)]))


def _region(at_ribs: cKDTree | None, center_RAS: FloatArray) -> FloatArray | None:
    """Probabilities of the regions by whether ribs begin here; ``None`` where ribs are not labeled."""
    if at_ribs is None:
        return None
    return _RIB if at_ribs.query(center_RAS)[0] <= _RIB_REACH_MM else _NO_RIB

