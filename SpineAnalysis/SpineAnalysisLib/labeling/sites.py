"""Labeled vertebrae one by one, in frames of their own, to be measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import POSTERIOR_KINDS, Kind, Level
from ..geometry.frames import Frame, unit
from ..volume import LabelMap

FloatArray = NDArray[np.floating]

_REACH_MM = 70.0
"""From a body's center, within which its arch and its canal lie."""
_UPRIGHT = 0.3
"""Share of a chain's way that leads to the head, under which no vertebra's front can be told from the patient's."""
_LEAST = 12
"""Voxels of which something can be measured."""
_FORWARD = np.array([0.0, 1.0, 0.0])
_CORE = (0.25, 0.375)
"""Half the core's share of a body's width and depth."""
_INNER_MM = 5.0
"""To either side of the middle, where depths are taken."""
_BIN_MM = 2.0
"""Width of the bins from front to back in which a body's ends are looked for."""
_EDGES = 0.41
"""Standard deviation of a distance between two edges that lie anywhere in their voxels, in voxels."""


@dataclass(frozen=True, eq=False)
class Site:
    """One vertebra.

    :param frame: its S axis follows the column, its A axis the patient's front; its origin is the body's center.
    :param body: (N, 3) voxels of the body in it (R, A, S), mm; none where it is not told apart or not whole.
    :param arch: (N, 3) of what lies behind the canal; :param canal, cord: (N, 3) around.
    :param voxel: (3,) extent of a voxel along R, A and S, mm.
    """

    level: Level
    frame: Frame
    body: FloatArray
    arch: FloatArray
    canal: FloatArray
    cord: FloatArray
    voxel: FloatArray

    def length(self, points: FloatArray, axis: int) -> float:
        """Of points along an axis, their voxels included, mm; NaN of too few."""
        if len(points) < _LEAST:
            return float("nan")
        return float(np.ptp(np.percentile(points[:, axis], (2, 98))) + self.voxel[axis])

    def error(self, axis: int) -> float:
        """Standard deviation of a length along an axis, mm."""
        return _EDGES * float(self.voxel[axis])

    @cached_property
    def width(self) -> float:
        """Of the body in front of where its processes begin, mm; NaN without."""
        middle = self._middle
        return self.length(middle[middle[:, 1] > np.median(middle[:, 1])], 0) if len(middle) else float("nan")

    @cached_property
    def depth(self) -> float:
        """Of the body in the middle, mm; NaN without."""
        aside = np.abs(self._middle[:, 0] - np.median(self._middle[:, 0])) if len(self._middle) else np.zeros(0)
        return self.length(self._middle[aside < max(_INNER_MM, float(self.voxel[0]))], 1)

    @cached_property
    def _middle(self) -> FloatArray:
        """Voxels of the body at mid-height."""
        return self.body[np.abs(self.body[:, 2]) < np.nanmax([self.height / 4.0, self.voxel[2]])]

    @cached_property
    def core(self) -> FloatArray:
        """Voxels of the body in the middle half of its width and three quarters of its depth, where rims are left out.
        """
        if len(self.body) < _LEAST:
            return self.body
        ends = np.percentile(self.body[:, :2], (2, 98), axis=0)
        half = np.maximum(np.ptp(ends, axis=0) * _CORE, self.voxel[:2] / 2.0)
        return self.body[(np.abs(self.body[:, :2] - ends.mean(axis=0)) <= half).all(axis=1)]

    @cached_property
    def ends(self) -> FloatArray:
        """(B, 3) places along A, and the body's lower and upper end there in the middle, mm.

        Ends are those of a column with the mean and the variance of its voxels: steadier than the voxels' steps.
        """
        bins = np.round(self.core[:, 1] / max(_BIN_MM, float(self.voxel[1]))).astype(int)
        parts = [self.core[bins == b] for b in np.unique(bins)]
        usual = np.median([len(part) for part in parts]) if parts else 0
        found = np.array([(*part[:, 1:].mean(axis=0), part[:, 2].var()) for part in parts if len(part) >= usual / 2.0])
        depths, middles, variances = found.reshape(-1, 3).T
        half = np.sqrt(12.0 * variances + self.voxel[2] ** 2) / 2.0
        return np.column_stack([depths, middles - half, middles + half])

    @cached_property
    def height(self) -> float:
        """Of the body in the middle, however it tilts, mm; NaN without."""
        return float(np.median(self.ends[:, 2] - self.ends[:, 1])) if len(self.ends) else float("nan")


def sites(labels: LabelMap, places: Sequence[tuple[Level, int, FloatArray]]) -> list[Site | None]:
    """The labeled vertebrae, measured where they lie; ``None`` where that cannot be.

    :param places: level, label value and (3,) RAS center of each, from head to foot.
    """
    centers = np.array([center for _, _, center in places], float).reshape(-1, 3)
    if len(centers) < 3:
        return [None] * len(places)
    ways = np.gradient(centers, axis=0)
    windows = ndimage.find_objects(labels.array)
    tubes = [points_of(labels, windows, labels.values(kinds)) for kinds in (
        (Kind.CANAL, Kind.DURAL_SAC, Kind.CORD), (Kind.CORD,), (Kind.CANAL_CONTENT,))]
    return [_site(labels, windows, place, -way, tubes) for place, way in zip(places, ways, strict=True)]


def _site(labels: LabelMap, windows: Sequence[tuple[slice, ...] | None], place: tuple[Level, int, FloatArray],
          way: FloatArray, tubes: Sequence[FloatArray]) -> Site | None:
    level, value, center = place
    if np.linalg.norm(way) == 0.0 or (up := unit(way))[2] < _UPRIGHT:
        return None
    frame = Frame.from_axes(center, up, _FORWARD)
    canal, cord, content = (frame.to_frame(tube[np.linalg.norm(tube - center, axis=1) < _REACH_MM]) for tube in tubes)
    is_body = labels.structures[value].kind is Kind.BODY
    kinds = POSTERIOR_KINDS if is_body else {Kind.VERTEBRA}
    behind = points_of(labels, windows, labels.values(kinds, level))
    arch = frame.to_frame(behind[np.linalg.norm(behind - center, axis=1) < _REACH_MM])
    body = frame.to_frame(points_of(labels, windows, [value])) if is_body else _in_front(arch, canal, content)
    voxel = np.abs(frame.axes @ labels.ijk_to_ras[:3, :3]).max(axis=1)
    if _is_cut(labels, windows[value - 1], up):
        body = body[:0]
    elif len(body):
        frame, shift = Frame.from_axes(frame.to_ras(np.median(body, axis=0)), up, _FORWARD), np.median(body, axis=0)
        body, arch, canal, cord = (points - shift for points in (body, arch, canal, cord))
    return Site(level, frame, body, arch, canal, cord, voxel)


def _in_front(bone: FloatArray, *tubes: FloatArray) -> FloatArray:
    """Of a whole vertebra, what lies in front of its canal."""
    tube = next((t[np.abs(t[:, 2]) < 6.0] for t in tubes if len(t)), np.zeros((0, 3)))
    if len(tube) < _LEAST or len(bone) < _LEAST:
        return bone[:0]
    return bone[bone[:, 1] > np.percentile(tube[:, 1], 98)]


def points_of(labels: LabelMap, windows: Sequence[tuple[slice, ...] | None], values: Sequence[int]) -> FloatArray:
    """(N, 3) RAS of all voxels of some labels.

    :param windows: of every label, as ``scipy.ndimage.find_objects`` gives them.
    """
    found = [labels.to_ras(np.argwhere(labels.array[window] == v) + [s.start for s in window])
             for v in values if v <= len(windows) and (window := windows[v - 1]) is not None]
    return np.concatenate(found) if found else np.zeros((0, 3))


def _is_cut(labels: LabelMap, window: tuple[slice, ...] | None, up: FloatArray) -> bool:
    """Whether a label reaches the image's end along the column."""
    if window is None:
        return True
    axis = int(np.abs(labels.ijk_to_ras[:3, :3].T @ up / labels.spacing).argmax())
    return window[axis].start == 0 or window[axis].stop == labels.shape[axis]
