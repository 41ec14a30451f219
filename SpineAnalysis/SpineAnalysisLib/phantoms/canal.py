"""The canal of a phantom: an elliptic tube about a smooth curve, with the cord in it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from ..errors import InputError
from ..geometry.frames import Frame, Plane
from .model import Body, Chain
from .spec import SpineSpec

Vector = NDArray[np.floating]

STEP_MM = 0.05  # of the tables along the canal
GAP_MM = 0.5  # between the bodies' back walls and the canal
_OVERHANG_MM = 12.0  # by which the canal outreaches the bodies
_CONUS_MM = 25.0  # length over which the cord tapers


@dataclass(frozen=True, eq=False)
class Canal:
    """Tables along the centerline, from head to foot every ``STEP_MM``.

    A cross-section perpendicular to the centerline is exactly an ellipse about it: half-axes ``width / 2`` along
    ``right`` and ``depth / 2`` along ``anterior``.

    :param s: (N,) arc length, mm; :param points: (N, 3) RAS; :param tangents: (N, 3), to the foot.
    :param right: (N, 3) and :param anterior: (N, 3): unit, perpendicular to the tangent.
    :param width: (N,) of the canal; :param depth: (N,); :param bony_width: and :param bony_depth: without narrowing.
    :param cord_width: (N,) and :param cord_depth: zero where there is no cord.
    """

    s: Vector
    points: Vector
    tangents: Vector
    right: Vector
    anterior: Vector
    width: Vector
    depth: Vector
    bony_width: Vector
    bony_depth: Vector
    cord_width: Vector
    cord_depth: Vector

    @cached_property
    def curvature(self) -> Vector:
        """(N, 3) change of the tangent per mm."""
        return np.gradient(self.tangents, self.s, axis=0)

    def position(self, plane: Plane) -> float:
        """Arc length at which the centerline crosses a plane, nearest to the plane's origin."""
        distance = plane.distance(self.points)
        crossings = np.flatnonzero(distance[:-1] * distance[1:] <= 0)
        nearest = crossings[np.argmin(np.linalg.norm(self.points[crossings] - plane.origin, axis=1))]
        share = distance[nearest] / (distance[nearest] - distance[nearest + 1])
        return float(self.s[nearest] + share * STEP_MM)

    def at(self, table: Vector, s: float | Vector) -> Vector:
        """A table's value, or values (..., columns), at arc lengths."""
        if table.ndim == 1:
            return np.asarray(np.interp(s, self.s, table))
        return np.stack([np.interp(s, self.s, column) for column in table.T], axis=-1)

    def frame(self, s: float) -> Frame:
        """The cross-section's frame; S to the head."""
        return Frame.from_axes(self.at(self.points, s), -self.at(self.tangents, s), self.at(self.anterior, s))


def build_canal(spec: SpineSpec, chain: Chain) -> Canal:
    """Lay the canal behind the bodies, narrow it and put the cord in."""
    knots, hints = _knots(chain)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    curve, hint = CubicSpline(along, knots), CubicSpline(along, hints)
    fine = np.linspace(0, along[-1], int(along[-1] / (STEP_MM / 2)) + 1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve(fine), axis=0), axis=1))])
    s = np.arange(0, length[-1], STEP_MM)
    t = np.interp(s, length, fine)
    tangents = _units(curve(t, 1))
    anterior = hint(t)
    anterior = _units(anterior - np.sum(anterior * tangents, axis=1, keepdims=True) * tangents)
    empty = np.zeros_like(s)
    bare = Canal(s, curve(t), tangents, np.cross(anterior, -tangents), anterior, *[empty] * 6)
    return _sized(bare, spec, chain)


def _knots(chain: Chain) -> tuple[Vector, Vector]:
    """Points of the centerline with the direction that is anterior there, head to foot."""
    points, hints = [], []
    for number, body in enumerate(chain.all_bodies):
        y = -body.spec.depth / 2 - GAP_MM - body.spec.canal_depth / 2
        if number == 0:
            points.append(body.point(0, y, body.height / 2 + _OVERHANG_MM))
            hints.append(body.frame.anterior)
        points.append(body.point(0, y, body.pedicle_z))
        hints.append(body.frame.anterior)
        if number < len(chain.all_bodies) - 1:
            point, hint = _between(body, chain.all_bodies[number + 1])
            points.append(point)
            hints.append(hint)
        else:
            points.append(body.point(0, y, -body.height / 2 - (0 if chain.tail else _OVERHANG_MM)))
            hints.append(body.frame.anterior)
    return np.array(points), np.array(hints)


def _between(upper: Body, lower: Body) -> tuple[Vector, Vector]:
    hint = (upper.frame.anterior + lower.frame.anterior) / 2
    depth = (upper.spec.canal_depth + lower.spec.canal_depth) / 2
    corner = (upper.rim(-1, front=False) + lower.rim(1, front=False)) / 2
    return corner - hint * (GAP_MM + depth / 2), hint


def _sized(bare: Canal, spec: SpineSpec, chain: Chain) -> Canal:
    s = bare.s
    bodies = chain.all_bodies
    levels = np.array([bare.position(body.pedicle_plane) for body in bodies])

    def along(name: str) -> Vector:
        values = [getattr(body.spec, name) for body in bodies]
        if len(values) == 1:
            return np.full_like(s, values[0])
        return PchipInterpolator(levels, values)(np.clip(s, levels[0], levels[-1]))

    depth, width, cord = np.ones_like(s), np.ones_like(s), np.ones_like(s)
    for joint in chain.joints:
        bump = _bump(s - bare.position(joint.frame.plane), joint.spec.narrowing_length)
        depth *= 1 - joint.spec.narrowing_depth * bump
        width *= 1 - joint.spec.narrowing_width * bump
        cord *= 1 - joint.spec.cord_compression * bump
    end = _cord_end(bare, spec, chain)
    taper = np.sqrt(np.clip((end - s) / _CONUS_MM, 0, 1))
    sized = Canal(s, bare.points, bare.tangents, bare.right, bare.anterior,
                  width=along("canal_width") * width, depth=along("canal_depth") * depth,
                  bony_width=along("canal_width"), bony_depth=along("canal_depth"),
                  cord_width=along("cord_width") * taper, cord_depth=along("cord_depth") * cord * taper)
    if (sized.cord_width > sized.width).any() or (sized.cord_depth > sized.depth).any():
        raise InputError("The phantom's cord does not fit into its canal: narrow the canal less or the cord more.")
    return sized


def _cord_end(canal: Canal, spec: SpineSpec, chain: Chain) -> float:
    """Arc length at which the cord ends; outside the canal where all of it is above or below the conus."""
    for body in chain.bodies:
        if body.spec.level == spec.conus:
            return canal.position(body.endplate(-1).plane)
    return float("inf") if spec.conus > spec.levels[-1] else float("-inf")


def _bump(s: Vector, length: float) -> Vector:
    """Raised cosine: 1 in the middle, 0 from half the length on."""
    return np.where(np.abs(s) < length / 2, (1 + np.cos(2 * np.pi * s / length)) / 2, 0)


def _units(vectors: Vector) -> Vector:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def ellipse_distance(u: Vector, v: Vector, a: Vector | float, b: Vector | float) -> Vector:
    """About the distance to an ellipse, negative inside; the sign is exact.

    :param a: half-axis along ``u``; :param b: along ``v``; where one is zero there is no ellipse.
    """
    a, b = np.maximum(a, 1e-6), np.maximum(b, 1e-6)
    first = np.hypot(u / a, v / b)
    second = np.hypot(u / a**2, v / b**2)
    return np.where(second > 1e-9, first * (first - 1) / np.maximum(second, 1e-9), -np.minimum(a, b))


@dataclass(frozen=True, eq=False)
class Tube:
    """A piece of the canal, evaluated in a frame of its own.

    :param start: and :param end: arc lengths; points beyond have no coordinates in this piece.
    """

    canal: Canal
    start: float
    end: float

    @cached_property
    def frame(self) -> Frame:
        return self.canal.frame((self.start + self.end) / 2)

    @cached_property
    def _tables(self) -> tuple[Vector, ...]:
        canal = self.canal
        axes = self.frame.axes.T
        return (self.frame.to_frame(canal.points), canal.tangents @ axes, canal.curvature @ axes,
                canal.right @ axes, canal.anterior @ axes)

    def coordinates(self, x: Vector, y: Vector, z: Vector) -> tuple[Vector, Vector, Vector]:
        """Arc length, and offsets to the right and to the front, mm, of points in the tube's frame.

        Found by Newton's method on the condition that a point lies in the perpendicular plane of its foot point.
        """
        points, tangents, curvature, right, anterior = self._tables
        p = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
        s = (self.start + self.end) / 2 - p[..., 2]
        last = len(self.canal.s) - 1
        for _ in range(4):
            index = np.clip(np.rint(s / STEP_MM), 0, last).astype(np.intp)
            offset = p - points[index]
            ahead = np.einsum("...i,...i", offset, tangents[index])
            s = index * STEP_MM + ahead / np.maximum(1 - np.einsum("...i,...i", offset, curvature[index]), 0.3)
        u = np.einsum("...i,...i", offset, right[index])
        v = np.einsum("...i,...i", offset, anterior[index])
        outside = (s < self.start) | (s >= self.end)
        return s, np.where(outside, np.inf, u), v

    def distance_to(self, width: Vector, depth: Vector) -> Callable[[Vector, Vector, Vector], Vector]:
        """The signed distance to an elliptic tube with these diameters along the canal."""
        def distance(x: Vector, y: Vector, z: Vector) -> Vector:
            s, u, v = self.coordinates(x, y, z)
            inside = np.isfinite(u)
            near = ellipse_distance(np.where(inside, u, 0), v, self.canal.at(width, s) / 2, self.canal.at(depth, s) / 2)
            return np.where(inside, near, np.inf)
        return distance


def tubes(canal: Canal, length_mm: float = 16.0) -> list[Tube]:
    """The whole canal in pieces."""
    cuts = np.linspace(0, canal.s[-1] + STEP_MM, max(2, round(canal.s[-1] / length_mm) + 1))
    return [Tube(canal, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
