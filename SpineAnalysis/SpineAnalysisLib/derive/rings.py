"""The ring that a vertebra's body and arch close around the canal.

Laminae lie lower than pedicles, so that hardly any plane through a vertebra shows a closed ring.  Seen along the
canal it is closed, and the better the view follows the canal the larger is the hole: this finds both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, label

from ..anatomy import VERTEBRA_KINDS, Level
from ..geometry.frames import Frame, Vector, unit
from ..volume import LabelMap, Volume

FloatArray = NDArray[np.floating]
Window = tuple[slice, slice, slice]

PIXEL_MM = 1.5
HALF = 50
"""Pixels from a vertebra's center to the border of its shadow."""
HOLE_MM2 = (40.0, 700.0)
"""Plausible areas of the hole: an upper sacral canal is small, an atlas wide."""
TILTS_DEG = (0.0, 12.0, 24.0, 36.0)
TILT_DIRECTIONS = 6
PARTIAL = 0.35
"""A vertebra with less bone than this share of the median is cut off; its centroid says little."""
SACRUM_MM = 35.0
"""How much of the sacrum, from its top, counts as S1."""
ASIDE = 0.4
"""A neighbor does not lie farther to the side than this share of its distance."""
WALL_MM = 4.0
"""Bone this near to the hole is its wall."""


@dataclass(frozen=True, eq=False)
class Ring:
    """One vertebra's ring, seen along the canal.

    :param frame: its origin is the hole's center at the wall's middle height; A points to the body.
    :param area: of the hole, mm2.
    :param half_height: of the wall along the frame's S axis, mm.
    """

    level: Level
    frame: Frame
    area: float
    half_height: float


def find_rings(labels: LabelMap, windows: Mapping[int, Window]) -> list[Ring]:
    """The rings of all vertebrae that have one, top to bottom.

    :param windows: where each label value lies; those that the array does not hold are left out.
    """
    bones = {level: bone_points(labels, windows, level) for level in labels.levels}
    bones = {level: points for level, points in bones.items() if len(points)}
    if len(bones) < 2:
        return []
    axes = _axes(bones)
    if Level.S1 in bones:
        height = bones[Level.S1] @ axes[Level.S1]
        bones[Level.S1] = bones[Level.S1][height > height.max() - SACRUM_MM]
    if Level.C1 in bones and Level.C2 in bones:  # the dens is part of the ring of the atlas
        bones[Level.C1] = np.concatenate([bones[Level.C1], _beside(bones[Level.C2], bones[Level.C1], axes[Level.C1])])
    rings = (_ring(level, points, axes[level]) for level, points in bones.items())
    return _in_line([ring for ring in rings if ring is not None])


def _in_line(rings: list[Ring]) -> list[Ring]:
    """Those that lie above or below a neighbor, not beside it as the hole of a foramen would."""
    def beside(ring: Ring, other: Ring) -> bool:
        away = other.frame.to_frame(ring.frame.origin)
        return bool(abs(away[0]) > ASIDE * np.linalg.norm(away))

    def neighbors(i: int) -> list[Ring]:
        return rings[max(i - 1, 0):i] + rings[i + 1:i + 2]
    return [ring for i, ring in enumerate(rings)
            if len(rings) == 1 or not all(beside(ring, other) for other in neighbors(i))]


def bone_points(labels: LabelMap, windows: Mapping[int, Window], level: Level) -> FloatArray:
    """(N, 3) RAS points that fill a vertebra, about ``PIXEL_MM`` or less apart."""
    parts = [_filling(labels, value, windows[value]) for value in labels.values(VERTEBRA_KINDS, level)
             if value in windows]
    return np.concatenate(parts) if parts else np.empty((0, 3))


def _filling(labels: Volume, value: int, window: Window) -> FloatArray:
    stride = np.maximum((PIXEL_MM / labels.spacing).astype(int), 1)
    pieces = np.maximum(np.ceil(labels.spacing / PIXEL_MM - 0.1).astype(int), 1)
    inside = labels.array[window][tuple(slice(None, None, s) for s in stride)] == value
    index = np.argwhere(inside) * stride + [w.start for w in window]
    offsets = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in pieces], indexing="ij"), -1).reshape(-1, 3)
    return labels.to_ras((index[:, None] + offsets).reshape(-1, 3))


def _axes(bones: dict[Level, FloatArray]) -> dict[Level, Vector]:
    """Unit direction to the head at each vertebra, from the centroids of it and its neighbors."""
    median = float(np.median([len(points) for points in bones.values()]))
    whole = [level for level, points in bones.items() if len(points) >= PARTIAL * median]
    if len(whole) < 2:
        whole = list(bones)
    centers = np.array([bones[level].mean(axis=0) for level in whole])
    up = [unit(centers[max(i - 1, 0)] - centers[min(i + 1, len(whole) - 1)]) for i in range(len(whole))]
    return {level: up[int(np.argmin([abs(level - other) for other in whole]))] for level in bones}


def _beside(points: FloatArray, other: FloatArray, axis: Vector) -> FloatArray:
    """Those of the points that lie as high as the other ones."""
    height, span = points @ axis, other @ axis
    return points[(height > span.min()) & (height < span.max())]


def _ring(level: Level, points: FloatArray, axis: Vector) -> Ring | None:
    """The largest plausible hole over all views near an axis."""
    best: tuple[float, Frame, NDArray[np.bool_], NDArray[np.bool_]] | None = None
    for view in _views(points, axis):
        shadow = _shadow(points, view)
        hole = _largest_hole(shadow)
        area = float(hole.sum()) * PIXEL_MM**2
        if area >= HOLE_MM2[0] and (best is None or area > best[0]):
            best = area, view, shadow, hole
    if best is None:
        return None
    area, view, shadow, hole = best
    depth = distance_transform_edt(shadow)
    center, body = ((np.argwhere(part).mean(axis=0) - HALF) * PIXEL_MM for part in (hole, depth > 0.9 * depth.max()))
    if np.linalg.norm(body - center) < np.sqrt(area / np.pi):  # bone all round, but no body
        return None
    seen = view.to_frame(points)
    wall = seen[np.linalg.norm(seen[:, :2] - center, axis=1) < np.sqrt(area / np.pi) + WALL_MM, 2]
    bottom, top = np.percentile(wall, [2, 98])
    to_body = np.append(body - center, 0.0) @ view.axes
    frame = Frame.from_axes(view.to_ras(np.append(center, (bottom + top) / 2.0)), view.superior, to_body)
    return Ring(level, frame, area, (top - bottom) / 2.0)


def _views(points: FloatArray, axis: Vector) -> Iterator[Frame]:
    """Frames at the points' center whose S axes lie about an axis; most tilt in the plane in which spines bend."""
    center = points.mean(axis=0)
    around = np.eye(3) - np.outer(axis, axis)
    across = around @ np.cov(points.T) @ around
    width = np.linalg.eigh(across)[1][:, -1]
    base = Frame.from_axes(center, axis, np.cross(axis, width))
    yield base
    for tilt in np.radians(TILTS_DEG[1:]):
        for turn in np.arange(TILT_DIRECTIONS) * 2 * np.pi / TILT_DIRECTIONS:
            aside = np.sin(turn) * base.right + np.cos(turn) * base.anterior
            yield Frame.from_axes(center, np.cos(tilt) * axis + np.sin(tilt) * aside, base.anterior)


def _shadow(points: FloatArray, view: Frame) -> NDArray[np.bool_]:
    """Pixels that points cover, seen along a frame's S axis; its origin is in the middle."""
    pixel = np.rint((points - view.origin) @ (np.stack([view.right, view.anterior], axis=1) / PIXEL_MM)).astype(int)
    inside = np.clip(pixel, 1 - HALF, HALF - 1) + HALF
    shadow = np.zeros((2 * HALF + 1, 2 * HALF + 1), bool)
    shadow[inside[:, 0], inside[:, 1]] = True
    return binary_closing(shadow)


def _largest_hole(shadow: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest hole that is not too large; empty where there is none."""
    parts, _ = label(binary_fill_holes(shadow) & ~shadow)
    areas = np.bincount(parts.ravel(), minlength=2) * PIXEL_MM**2
    areas[0] = 0.0
    areas[areas > HOLE_MM2[1]] = 0.0
    return np.asarray(parts == areas.argmax()) if areas.any() else np.zeros_like(shadow)
