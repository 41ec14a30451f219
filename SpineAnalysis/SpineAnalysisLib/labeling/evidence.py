"""What a label map or a modeled spine shows of which vertebra is which."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..anatomy import Kind, Level
from ..spine import Spine
from ..volume import LabelMap
from .appearance import appearance
from .atlas import ring
from .dens import Tall, highest_body
from .detections import Detection
from .lowest import Looks, looks
from .traits import Seen

FloatArray = NDArray[np.floating]

SEGMENTED = 0.999
"""How surely what a segmentation holds is a vertebra of its own."""
_SACRUM = 1.0 - 1e-6
"""How surely what it calls the sacrum is some of it, where that need not begin with the first vertebra."""
_RIB_REACH_MM = 12.0
"""From a rib to the vertebra that it belongs to; labels of joints leave gaps of some millimeters."""
_RIBS_CUT_MM = 30.0
"""From a vertebra to the image's edge, up to which its ribs may be out of view."""
_RIB = np.array([0.02, 0.96, 0.02])
_NO_RIB = np.array([0.49, 0.02, 0.49])
_MOST_POINTS = 1000
"""Of one structure, which are enough to tell which others lie beside it."""
_CRUMB = 0.2
"""Share of a label's largest piece from which on another piece is a vertebra of its own."""
_SACRAL_TOP_MM = 25.0
"""How much of the sacrum is its first vertebra."""
_ONWARD_MM = 10.0
"""From the middle of the last vertebra along the column; no sacrum begins nearer."""
_BESIDE_MM, _BEHIND_MM = 10.0, 60.0
"""Of height and of distance between two parts of one label, up to which they are one vertebra that the image's edge
cuts in two."""


def evidence_from_spine(spine: Spine) -> list[Detection]:
    """The vertebrae of a modeled spine, top to bottom, by their surroundings; of names, only the sacrum's counts."""
    found = pieces(spine.labels)
    regions = _regions(spine.labels, found)
    traits = dict(zip((p.level for p in found), _traits(spine.labels, found), strict=True))
    by_level = {p.level: region for p, region in zip(found, regions, strict=True)}
    return [Detection(v.frame.origin, by_level.get(v.level), None,
                      frozenset({Level.S1}) if v.level is Level.S1 else frozenset(Level) - {Level.S1},
                      confidence=SEGMENTED, traits=traits.get(v.level, {})) for v in spine.vertebrae]


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
    :param points_RAS: (N, 3) some of its voxels.
    """

    level: Level
    value: int
    center_RAS: FloatArray
    points_RAS: FloatArray


def pieces(labels: LabelMap) -> list[Piece]:
    """The labeled vertebrae by name, then from large to small; of the sacrum, in however many labels, its top alone."""
    windows = ndimage.find_objects(labels.array)
    found = [Piece(level, value, _center(points, level is Level.S1), _some(points)) for level in labels.levels
             for value in labels.values(Kind.BODY, level) or labels.values(Kind.VERTEBRA, level)
             if value <= len(windows) and windows[value - 1] is not None
             for points in _parts(labels, value, windows[value - 1])]
    top = max((p for p in found if p.level is Level.S1), key=lambda p: float(p.center_RAS[2]), default=None)
    others = [p for p in found if p.level is not Level.S1]
    return [*others, *(() if top is None else (_below(others, top),))]


def evidence_from_pieces(labels: LabelMap, found: Sequence[Piece], certain: Collection[Level], look: bool = True,
                         ) -> list[Detection]:
    """Labeled vertebrae by their surroundings; of names, only the certain ones count.

    :param look: whether the lowest body may be the sacrum's first, and what is labeled as the sacrum the rest of it.
    """
    place, seen = _lowest_looks(labels, found) if look else (None, None)
    highest, tall = _highest(labels, found)
    taken = frozenset(certain) - ({Level.S1} if seen is not None else set())
    out = [Detection(p.center_RAS, region,
                     could_be=frozenset({p.level}) if p.level in certain else frozenset(Level) - taken,
                     confidence=_SACRUM if seen is not None and p.level is Level.S1 else SEGMENTED,
                     looks=seen if i == place else None, traits=traits)
           for i, (p, region, traits) in enumerate(zip(found, _regions(labels, found), _traits(labels, found),
                                                       strict=True))]
    if highest is not None and tall is not None:  # distances between vertebrae are those between bodies
        center = tall.below_dens_RAS if tall.telling else found[highest].center_RAS
        out[highest] = replace(out[highest], center_RAS=center, tall=tall)
    top = sorted(range(len(found)), key=lambda i: -found[i].center_RAS[2])[:2]
    if len(top) == 2:
        out[top[0]] = replace(out[top[0]], ring=ring(*(out[i].traits for i in top)))
    return out


def _lowest_looks(labels: LabelMap, found: Sequence[Piece]) -> tuple[int | None, Looks | None]:
    """Index of the lowest body above what is labeled as the sacrum, and what it looks like."""
    bodies = sorted((i for i, p in enumerate(found) if p.level is not Level.S1), key=lambda i: found[i].center_RAS[2])
    if len(bodies) < 2:
        return None, None
    lowest, above = (found[i] for i in bodies[:2])
    if labels.structures[lowest.value].kind is not Kind.BODY or lowest.value == above.value:
        return None, None
    return bodies[0], looks(labels, lowest.value, above.center_RAS)


def _highest(labels: LabelMap, found: Sequence[Piece]) -> tuple[int | None, Tall | None]:
    """Index of the highest body and how tall it is."""
    bodies = [i for i, p in enumerate(found) if labels.structures[p.value].kind is Kind.BODY]
    highest = sorted(bodies, key=lambda i: -found[i].center_RAS[2])[:3]
    values = [found[i].value for i in highest]
    return (None, None) if len(set(values)) < 3 else (highest[0], highest_body(labels, values))


def _traits(labels: LabelMap, found: Sequence[Piece]) -> list[Mapping[str, Seen]]:
    """What the vertebrae look like; nothing of the sacrum, and of parts of one label."""
    values = [p.value for p in found]
    places = sorted((i for i, p in enumerate(found) if p.level is not Level.S1 and values.count(p.value) == 1),
                    key=lambda i: -found[i].center_RAS[2])
    seen = appearance(labels, [(found[i].level, found[i].value, found[i].center_RAS) for i in places])
    by_place = dict(zip(places, seen, strict=True))
    return [by_place.get(i, {}) for i in range(len(found))]


def _parts(labels: LabelMap, value: int, window: tuple[slice, ...]) -> list[FloatArray]:
    """Points of the large connected parts of a label, from large to small."""
    numbered, count = ndimage.label(labels.array[window] == value)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    found: list[FloatArray] = []
    for number in [int(i) + 1 for i in np.argsort(-sizes, kind="stable") if sizes[i] >= _CRUMB * sizes.max()]:
        points = labels.to_ras(np.argwhere(numbered == number) + [s.start for s in window])
        offsets = [points.mean(axis=0) - other.mean(axis=0) for other in found]
        if all(abs(x[2]) > _BESIDE_MM or np.linalg.norm(x) > _BEHIND_MM for x in offsets):
            found.append(points)
    return found


def _center(points: FloatArray, sacrum: bool) -> FloatArray:
    if sacrum:
        points = points[points[:, 2] > points[:, 2].max() - _SACRAL_TOP_MM]
    return np.asarray(points.mean(axis=0))


def _below(others: Sequence[Piece], sacrum: Piece) -> Piece:
    """The sacrum with its center where the column goes on below the lowest vertebra: its wings reach higher than that,
    and so do parts of the last vertebra that were taken for it.
    """
    lowest = sorted(others, key=lambda p: float(p.center_RAS[2]))[:2]
    if len(lowest) < 2:
        return sacrum
    last, above = (p.center_RAS for p in lowest)
    offset = sacrum.points_RAS - last
    onward = offset @ (last - above) / np.linalg.norm(last - above) > _ONWARD_MM
    if not onward.any():
        return sacrum
    apart = np.linalg.norm(offset, axis=1)
    near = onward & (apart < apart[onward].min() + _SACRAL_TOP_MM)
    return replace(sacrum, center_RAS=sacrum.points_RAS[near].mean(axis=0))


def _some(points: FloatArray) -> FloatArray:
    return points[::max(1, len(points) // _MOST_POINTS)]


def _regions(labels: LabelMap, found: Sequence[Piece]) -> list[FloatArray | None]:
    """Probabilities of the regions by which vertebrae have ribs; ``None`` where ribs are not labeled."""
    bearing = _with_ribs(labels, found)
    if not bearing:
        return [None] * len(found)
    heights = [float(found[i].center_RAS[2]) for i in bearing]
    out: list[FloatArray | None] = []
    for piece in found:
        has_ribs = min(heights) <= piece.center_RAS[2] <= max(heights)
        cut = min(room_beyond(labels, piece.center_RAS, piece.center_RAS)) < _RIBS_CUT_MM
        out.append(_RIB if has_ribs else None if cut else _NO_RIB)
    return out


def levels_with_ribs(labels: LabelMap) -> frozenset[Level]:
    """Levels at which labeled ribs begin; between two of them, ribs may be missing."""
    found = pieces(labels) if labels.values(Kind.RIB) else []
    return frozenset(found[i].level for i in _with_ribs(labels, found))


def _with_ribs(labels: LabelMap, found: Sequence[Piece]) -> set[int]:
    """Indices of the vertebrae at which a rib begins; between ribs, the vertebra above may be the nearer one."""
    bones = [i for i, p in enumerate(found) if p.level is not Level.S1]
    if not bones:
        return set()
    near = cKDTree(np.concatenate([found[i].points_RAS for i in bones]))
    owner = np.repeat(bones, [len(found[i].points_RAS) for i in bones])
    windows = ndimage.find_objects(labels.array)
    bearing = set()
    for value in labels.values(Kind.RIB):
        if value > len(windows) or windows[value - 1] is None:
            continue
        for points in _parts(labels, value, windows[value - 1]):
            apart, index = near.query(_some(points))
            if apart.min() <= _RIB_REACH_MM:
                bearing.add(int(owner[index[apart.argmin()]]))
    return bearing
