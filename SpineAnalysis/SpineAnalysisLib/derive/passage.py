"""A passage along an axis: how far it reaches in every direction at every place, until rays meet walls."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..geometry.curves import Curve
from ..geometry.frames import Vector
from ..volume import Volume
from .gaps import CHUNK, STEP_MM, close_gaps

FloatArray = NDArray[np.floating]

RAYS = 72
REACH_MM = 22.0
RAY_STEP_MM = 0.5

_ANGLES = np.arange(RAYS) * (2 * np.pi / RAYS)
UNIT_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
_RADII = np.arange(0.0, REACH_MM + RAY_STEP_MM / 2, RAY_STEP_MM)


@dataclass(frozen=True, eq=False)
class Axis:
    """A centerline, from foot to head, with a direction to the front at each of its points.

    :param fronts: (N, 3) for each point of the curve, of any length and roughly perpendicular to it.
    """

    curve: Curve
    fronts: FloatArray

    @staticmethod
    def along(curve: Curve, at: FloatArray, fronts: FloatArray) -> "Axis":
        """Fronts interpolated from those (M, 3) at a few arc lengths (M,)."""
        order = np.argsort(at)
        return Axis(curve, _interpolated(curve.arc_length, at[order], fronts[order]))

    def frames(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Origins, right and front directions (N, 3) at arc lengths."""
        up = self.curve.tangent(s)
        front = _interpolated(s, self.curve.arc_length, self.fronts)
        front = front - np.sum(front * up, axis=1, keepdims=True) * up
        front /= np.linalg.norm(front, axis=1, keepdims=True)
        return self.curve.position(s), np.cross(front, up), front

    def places(self, points: Vector) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Arc length, distance from the axis and angle (in rays, from the right) of (N, 3) points."""
        s = self.curve.project(points)
        origin, right, front = self.frames(s)
        x, y = np.sum((points - origin) * right, axis=1), np.sum((points - origin) * front, axis=1)
        return s, np.hypot(x, y), np.mod(np.arctan2(y, x), 2 * np.pi) * (RAYS / (2 * np.pi))


def _interpolated(s: FloatArray, at: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.stack([np.interp(s, at, vectors[:, axis]) for axis in range(3)], axis=-1)


@dataclass(frozen=True, eq=False)
class Passage:
    """What walls leave free about an axis.

    :param s: (N,) arc lengths, evenly spaced; :param radii: (N, RAYS) mm, counter-clockwise from the right.
    :param seen: (N, RAYS) where the wall is seen rather than supposed.
    """

    axis: Axis
    s: FloatArray
    radii: FloatArray
    seen: NDArray[np.bool_]

    @cached_property
    def areas(self) -> FloatArray:
        """(N,) mm2."""
        return (self.radii * np.roll(self.radii, -1, axis=1)).sum(axis=1) * np.sin(2 * np.pi / RAYS) / 2.0

    def centers(self) -> FloatArray:
        """(N, 3) centroids of the cross-sections."""
        offset = (self.radii**3 / 3.0) @ UNIT_CIRCLE / (self.radii**2 / 2.0).sum(axis=1, keepdims=True)
        origin, right, front = self.axis.frames(self.s)
        return origin + offset[:, :1] * right + offset[:, 1:] * front

    def closed_part(self, share: float) -> "Passage":
        """From the first to the last place where at least this share of the wall is seen."""
        closed = np.flatnonzero(self.seen.mean(axis=1) >= share)
        if closed.size < 2:
            return self
        part = slice(closed[0], closed[-1] + 1)
        return replace(self, s=self.s[part], radii=self.radii[part], seen=self.seen[part])

    def mask(self, grid: Volume) -> NDArray[np.bool_]:
        """(I, J, K) voxels whose centers lie within."""
        index = self._touched(grid)
        s, distance, angle = self.axis.places(grid.to_ras(index.astype(float)))
        place = (s - self.s[0]) / (self.s[1] - self.s[0])
        around = np.concatenate([self.radii, self.radii[:, :1]], axis=1)
        wall = map_coordinates(around, [place, angle], order=1, mode="nearest")
        within = (distance < wall) & (place >= -0.5) & (place <= len(self.s) - 0.5)
        inside = np.zeros(grid.shape, bool)
        inside[tuple(index[within].T)] = True
        return inside

    def _touched(self, grid: Volume) -> NDArray[np.int_]:
        """(N, 3) all voxels within, and some around: those nearest to points that fill sections densely."""
        fine = 0.7 * float(grid.spacing.min())
        s = np.linspace(self.s[0], self.s[-1], max(2, int(np.ceil((self.s[-1] - self.s[0]) / fine))))
        row = np.round((s - self.s[0]) / (self.s[1] - self.s[0])).astype(int)
        margin = float(grid.spacing.max())
        line = np.arange(-self.radii.max() - margin, self.radii.max() + margin + fine, fine)
        x, y = (values.ravel() for values in np.meshgrid(line, line))
        angle = np.round(np.arctan2(y, x) * (RAYS / (2 * np.pi))).astype(int) % RAYS
        touched = np.zeros(grid.shape, bool)
        for origin, right, front, n in zip(*self.axis.frames(s), row, strict=True):
            near = np.hypot(x, y) < self.radii[n, angle] + margin
            index = np.round(grid.to_ijk(origin + x[near, None] * right + y[near, None] * front)).astype(int)
            touched[tuple(index[np.all((index >= 0) & (index < grid.shape), axis=1)].T)] = True
        return np.argwhere(touched)


def find_passage(walls: Volume, content: Volume, axis: Axis) -> Passage:
    """The passage that walls leave about an axis.

    :param walls: bytes, 1 for voxels that stop a ray.
    :param content: bytes, 1 for voxels that are known to lie in the passage.
    """
    s = np.linspace(0.0, axis.curve.length, max(2, round(axis.curve.length / STEP_MM) + 1))
    parts = [_cast(walls, content, axis, part) for part in np.array_split(s, len(s) // CHUNK + 1)]
    distance, inner = (np.concatenate(part) for part in zip(*parts, strict=True))
    radii, seen = close_gaps(distance, inner, REACH_MM)
    return Passage(axis, s, radii, seen)


def _cast(walls: Volume, content: Volume, axis: Axis, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N, RAYS) mm to the first wall, ``REACH_MM`` where there is none, and to the end of the content before it."""
    origin, right, front = (vectors[:, None, None] for vectors in axis.frames(s))
    points = origin + _RADII[:, None] * (UNIT_CIRCLE[:, None, :1] * right + UNIT_CIRCLE[:, None, 1:] * front)
    index = np.moveaxis(walls.to_ijk(points), -1, 0)
    filled = _sampled(walls, index)
    blocked = filled >= 0.5
    blocked &= ~blocked[..., :1]  # an axis that strays into a wall says nothing about the passage
    blocked[..., -1] = True
    first = np.maximum(blocked.argmax(axis=-1), 1)
    high, low = (np.take_along_axis(filled, n[..., None], -1)[..., 0] for n in (first, first - 1))
    share = np.clip((0.5 - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    distance = np.where(first < len(_RADII) - 1, (first - 1 + share) * RAY_STEP_MM, REACH_MM)
    known = (_sampled(content, index, order=0) > 0) & (np.arange(len(_RADII)) < first[..., None])
    last = len(_RADII) - 1 - known[..., ::-1].argmax(axis=-1)
    return distance, np.where(known.any(axis=-1), last * RAY_STEP_MM, 0.0)


def _sampled(volume: Volume, index: FloatArray, order: int = 1) -> FloatArray:
    return map_coordinates(volume.array, index, output=np.float32, order=order, mode="constant", cval=0.0)
