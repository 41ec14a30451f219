"""A tube around a centerline: how far it reaches in every direction at every place.

Rays look for walls from the centerline outward.  Where a ray leaves through a gap (a foramen, the space between two
laminae, an unlabeled disc) the wall is continued from where it is seen above, below and beside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates, percentile_filter

from ..geometry.curves import Curve
from ..geometry.frames import Vector
from ..volume import Volume

FloatArray = NDArray[np.floating]

RAYS = 72
STEP_MM = 1.0
REACH_MM = 22.0
RAY_STEP_MM = 0.5
WINDOW_MM = 30.0
"""At least one pedicle lies within this stretch of the spine."""
LOWER_SHARE = 25.0
"""Percentile of the distances within the window that tells the tube's own width from what is seen through gaps."""
SLACK = 0.15, 1.5
"""A wall may be this share, and this many millimeters, farther than the width around it."""
SCALES_MM = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Gaps are filled from the nearest of these neighborhoods that holds walls."""
SCALE_RAYS = 3.0


@dataclass(frozen=True, eq=False)
class Axis:
    """A centerline with a direction to the front at each place.

    :param curve: :param fronts: (N, 3) unit, perpendicular to the curve, at its points.
    """

    curve: Curve
    fronts: FloatArray

    @staticmethod
    def along(curve: Curve, at: FloatArray, fronts: FloatArray) -> "Axis":
        """Fronts interpolated from those given at a few arc lengths (M,), (M, 3)."""
        order = np.argsort(at)
        raw = np.stack([np.interp(curve.arc_length, at[order], fronts[order, a]) for a in range(3)], axis=-1)
        return Axis(curve, _perpendicular(raw, curve.tangent(curve.arc_length)))

    def frames(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Origins, right and front directions (N, 3) at arc lengths (the curve grows toward the head)."""
        up = self.curve.tangent(s)
        raw = np.stack([np.interp(s, self.curve.arc_length, self.fronts[:, a]) for a in range(3)], axis=-1)
        front = _perpendicular(raw, up)
        return self.curve.position(s), np.cross(front, up), front


def _perpendicular(vectors: FloatArray, directions: FloatArray) -> FloatArray:
    out = vectors - np.sum(vectors * directions, axis=1, keepdims=True) * directions
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Tube:
    """Radii about an axis.

    :param s: (N,) arc lengths, evenly spaced; :param radii: (N, RAYS) mm, counter-clockwise from the right.
    :param seen: (N, RAYS) where the wall is seen rather than continued.
    """

    axis: Axis
    s: FloatArray
    radii: FloatArray
    seen: NDArray[np.bool_]

    def section_centers(self) -> FloatArray:
        """(N, 3) centroids of the cross-sections."""
        cubed, squared = self.radii**3 / 3.0, self.radii**2 / 2.0
        offset = cubed @ UNIT_CIRCLE / squared.sum(axis=1, keepdims=True)
        origin, right, front = self.axis.frames(self.s)
        return origin + offset[:, :1] * right + offset[:, 1:] * front

    def areas(self) -> FloatArray:
        """(N,) mm2."""
        return (self.radii * np.roll(self.radii, -1, axis=1)).sum(axis=1) * np.sin(2 * np.pi / RAYS) / 2.0

    def between(self, first: int, last: int) -> "Tube":
        """The stretch of these places, both included."""
        part = slice(first, last + 1)
        return Tube(self.axis, self.s[part], self.radii[part], self.seen[part])


_ANGLES = np.arange(RAYS) * (2 * np.pi / RAYS)
UNIT_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def cast(walls: Volume, axis: Axis) -> Tube:
    """The tube that walls enclose around an axis.

    :param walls: bytes, 1 for voxels that stop a ray.
    """
    s = np.linspace(0.0, axis.curve.length, max(2, round(axis.curve.length / STEP_MM) + 1))
    distance = _wall_distance(walls, axis, s)
    round_about = np.pad(distance, ((0, 0), (1, 1)), mode="wrap")
    typical = percentile_filter(round_about, LOWER_SHARE, (round(WINDOW_MM / STEP_MM), 3), mode="nearest")[:, 1:-1]
    seen = distance <= np.minimum(typical * (1 + SLACK[0]) + SLACK[1], REACH_MM - RAY_STEP_MM)
    filled = _continued(distance, seen)
    seen &= distance <= filled * (1 + SLACK[0]) + SLACK[1]
    filled = _continued(distance, seen)
    return Tube(axis, s, np.where(seen, distance, np.minimum(filled, distance)), seen)


def _wall_distance(walls: Volume, axis: Axis, s: FloatArray) -> FloatArray:
    """(N, RAYS) mm to the first wall, ``REACH_MM`` where there is none."""
    return np.concatenate([_distances(walls, *axis.frames(part)) for part in np.array_split(s, len(s) // 64 + 1)])


def _distances(walls: Volume, origin: FloatArray, right: FloatArray, front: FloatArray) -> FloatArray:
    direction = UNIT_CIRCLE[None, :, :1] * right[:, None] + UNIT_CIRCLE[None, :, 1:] * front[:, None]
    radius = np.arange(0.0, REACH_MM + RAY_STEP_MM, RAY_STEP_MM)
    points = origin[:, None, None] + radius[None, None, :, None] * direction[:, :, None]
    filled = sample(walls, points)
    hit = (filled >= 0.5)
    hit[..., -1] = True
    after = np.maximum(hit.argmax(axis=-1), 1)
    high = np.take_along_axis(filled, after[..., None], -1)[..., 0]
    low = np.take_along_axis(filled, after[..., None] - 1, -1)[..., 0]
    share = np.clip((0.5 - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    return np.minimum((after - 1 + share) * RAY_STEP_MM, REACH_MM)


def sample(volume: Volume, points: Vector) -> FloatArray:
    """Linear interpolation at (..., 3) points, zero outside."""
    index = np.moveaxis(volume.to_ijk(points), -1, 0)
    return map_coordinates(volume.array, index, output=np.float32, order=1, mode="constant", cval=0.0)


def _continued(distance: FloatArray, seen: NDArray[np.bool_]) -> FloatArray:
    """Distances smoothed over what is seen, and continued over what is not from ever wider neighborhoods."""
    out = np.full(distance.shape, float(np.median(distance[seen])) if seen.any() else 0.0)
    values, weights = np.where(seen, distance, 0.0), seen.astype(float)
    for scale in SCALES_MM:
        total, weight = _blurred(values, scale), _blurred(weights, scale)
        trust = weight / (weight + 0.05)
        out = trust * total / np.maximum(weight, 1e-9) + (1 - trust) * out
    return out


def _blurred(values: FloatArray, scale: float) -> FloatArray:
    along = gaussian_filter1d(values, scale / STEP_MM, axis=0, mode="nearest")
    return gaussian_filter1d(along, min(scale, SCALE_RAYS), axis=1, mode="wrap")


def fill(tube: Tube, grid: Volume) -> NDArray[np.bool_]:
    """(I, J, K) voxels whose centers lie in the tube."""
    inside = np.zeros(grid.shape, bool)
    index = _candidates(tube, grid)
    points = grid.to_ras(index)
    s = tube.axis.curve.project(points)
    origin, right, front = tube.axis.frames(s)
    away = points - origin
    x, y = np.sum(away * right, axis=1), np.sum(away * front, axis=1)
    step = tube.s[1] - tube.s[0]
    place = (s - tube.s[0]) / step
    turn = np.mod(np.arctan2(y, x), 2 * np.pi) * RAYS / (2 * np.pi)
    around = np.concatenate([tube.radii, tube.radii[:, :1]], axis=1)
    limit = map_coordinates(around, [np.clip(place, 0, len(tube.s) - 1), turn], order=1, mode="nearest")
    within = (np.hypot(x, y) < limit) & (place >= -0.5) & (place <= len(tube.s) - 0.5)
    inside[tuple(index[within].T)] = True
    return inside


def _candidates(tube: Tube, grid: Volume) -> NDArray[np.int_]:
    """(N, 3) voxels that the tube may touch."""
    fine = 0.7 * float(grid.spacing.min())
    s = np.linspace(tube.s[0], tube.s[-1], max(2, int(np.ceil((tube.s[-1] - tube.s[0]) / fine))))
    origin, right, front = tube.axis.frames(s)
    widest = tube.radii.max() + fine
    line = np.arange(-widest, widest + fine, fine)
    x, y = (c.ravel() for c in np.meshgrid(line, line))
    turn = np.round(np.mod(np.arctan2(y, x), 2 * np.pi) * RAYS / (2 * np.pi)).astype(int) % RAYS
    nearest = np.clip(np.round((s - tube.s[0]) / (tube.s[1] - tube.s[0])).astype(int), 0, len(tube.s) - 1)
    touched = np.zeros(grid.shape, bool)
    for o, r, f, n in zip(origin, right, front, nearest, strict=True):
        near = np.hypot(x, y) < tube.radii[n, turn] + 2 * grid.spacing.max()
        points = o + x[near, None] * r + y[near, None] * f
        index = np.round(grid.to_ijk(points)).astype(int)
        index = index[np.all((index >= 0) & (index < grid.shape), axis=1)]
        touched[tuple(index.T)] = True
    return np.argwhere(touched)
