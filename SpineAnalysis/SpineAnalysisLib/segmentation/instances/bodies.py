"""Bodies and discs between the borders of vertebrae."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...geometry.frames import Plane
from ..network.classes import BODY, Class
from .column import Column
from .field import Field

FloatArray = NDArray[np.floating]

_NEAR_MM = 9.0
"""Disc this near to a border tells how it is tilted."""
_MOST_TILT_DEG = 40.0
_ENOUGH_VOXELS = 40
_LOCAL_MM = 28.0
"""Along the curve; farther away, its tilt says nothing."""
_DISC_REACH_MM = 12.0
"""No disc reaches farther from its border; what does is part of a body."""
_LEAST_MM = 6.0
"""Height from which on what lies beyond the outermost disc is a vertebra that the scan cuts."""
_LEAST_SHARE = 0.08
"""Volume of a vertebra, in that of the others; less are crumbs."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Bodies and discs, numbered from head to foot.

    :param bodies: (I, J, K) 0, or the number of a body, from 1.
    :param discs: (I, J, K) 0, or 1 more than the number of the body above it (so 1 lies above the first body).
    :param count: of bodies.
    :param centers: (count, 3) mm.
    """

    bodies: NDArray[np.uint8]
    discs: NDArray[np.uint8]
    count: int
    centers: FloatArray


def planes_of(column: Column, places: FloatArray) -> list[Plane]:
    """The plane of each border, its normal toward the feet: that of the disc there, else across the curve."""
    is_disc = column.kinds == Class.DISC
    disc, s = column.places[is_disc], column.s[is_disc]
    found = []
    for place in places:
        tangent = column.curve.tangent(place)
        origin = column.curve.position(place)
        near = disc[np.abs(s - place) < _NEAR_MM]
        normal = _thinnest(near, tangent)
        if normal is None:
            found.append(Plane(origin, tangent))
            continue
        middle = np.median((near - origin) @ normal)
        found.append(Plane(origin + middle * normal, normal))
    return found


def _thinnest(points: FloatArray, tangent: FloatArray) -> FloatArray | None:
    """The direction in which a disc is thinnest, where there is enough of it to tell."""
    if len(points) < _ENOUGH_VOXELS:
        return None
    sizes, axes = np.linalg.eigh(np.cov(points.T))
    normal = axes[:, 0] * np.sign(axes[:, 0] @ tangent)
    flat = sizes[0] < 0.35 * sizes[1]
    return normal if flat and normal @ tangent > np.cos(np.radians(_MOST_TILT_DEG)) else None


def pieces_between(column: Column, places: FloatArray, field: Field) -> Pieces:
    """Bodies between borders and discs at them; crumbs are left out.

    :param places: of the borders along the column, mm.
    """
    planes = planes_of(column, places)
    number = np.zeros(len(column.s), np.uint8)
    nearest = np.full(len(column.s), np.inf)
    at_border = np.zeros(len(column.s), np.uint8)
    for index, (place, plane) in enumerate(zip(places, planes, strict=True)):
        distance = plane.distance(column.places)
        local = np.abs(column.s - place) < _LOCAL_MM
        number += np.where(local, distance > 0.0, column.s > place)
        nearer = local & (np.abs(distance) < nearest)
        nearest[nearer], at_border[nearer] = np.abs(distance[nearer]), index + 1
    near = (column.kinds == Class.DISC) & (nearest < _DISC_REACH_MM)
    is_body = np.isin(column.kinds, BODY) | ((column.kinds == Class.DISC) & ~near)  # a cleft, a node, an endplate
    bodies = _drawn(column, np.where(is_body, number + 1, 0), field)
    discs = _drawn(column, np.where(near, at_border, 0), field)
    return _numbered(_settled(bodies, len(places) + 1), discs, len(places) + 1, column, field)


def _drawn(column: Column, values: NDArray, field: Field) -> NDArray[np.uint8]:
    out = np.zeros(field.values.shape[1:], np.uint8)
    out[tuple(column.indices.T)] = values
    return out


def _settled(bodies: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Every body in one part: what hangs on a neighbor instead becomes the neighbor's, crumbs vanish."""
    windows = ndimage.find_objects(bodies, max_label=count)
    loose: list[tuple[tuple[slice, ...], NDArray[np.bool_]]] = []
    out = bodies.copy()
    for value, window in enumerate(windows, start=1):
        if window is None:
            continue
        numbered, parts = ndimage.label(bodies[window] == value)
        sizes = np.bincount(numbered.ravel(), minlength=parts + 1)
        sizes[0] = 0
        for part in range(1, parts + 1):
            if part != sizes.argmax():
                loose.append((window, numbered == part))
                out[window][numbered == part] = 0
    for window, mask in loose:
        grown = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in window)
        padded = np.zeros(out[grown].shape, bool)
        padded[tuple(slice(s.start - g.start, s.start - g.start + n) for s, g, n in
                     zip(window, grown, mask.shape, strict=True))] = mask
        rim = ndimage.binary_dilation(padded) & ~padded
        touched = np.bincount(out[grown][rim], minlength=count + 1)
        touched[0] = 0
        if touched.any():
            out[grown][padded] = touched.argmax()
    return out


def _numbered(bodies: NDArray[np.uint8], discs: NDArray[np.uint8], count: int, column: Column, field: Field) -> Pieces:
    """Bodies numbered anew without those that are none: at either end, too low or too small."""
    sizes = np.bincount(bodies.ravel(), minlength=count + 1)[1:]
    heights = [_height(column, bodies, value) for value in range(1, count + 1)]
    usual = float(np.median(sizes[1:-1] if count > 2 else sizes))
    real = [value for value in range(1, count + 1)
            if heights[value - 1] >= _LEAST_MM and sizes[value - 1] >= _LEAST_SHARE * usual]
    if not real:
        return Pieces(np.zeros_like(bodies), np.zeros_like(discs), 0, np.zeros((0, 3)))
    first, last = real[0], real[-1]
    shift = np.zeros(count + 2, np.uint8)
    shift[real] = np.arange(1, len(real) + 1)
    bodies = shift[bodies]
    disc_number = np.zeros(count + 2, np.uint8)  # border b lies below body b
    for border in range(1, count):
        if first - 1 <= border <= last:
            disc_number[border] = 1 + sum(value <= border for value in real)
    centers = field.places(np.array(ndimage.center_of_mass(bodies > 0, bodies, range(1, len(real) + 1))))
    return Pieces(bodies, disc_number[discs], len(real), centers)


def _height(column: Column, bodies: NDArray[np.uint8], value: int) -> float:
    """Along the column, mm."""
    s = column.s[bodies[tuple(column.indices.T)] == value]
    return float(np.ptp(np.quantile(s, (0.02, 0.98)))) if s.size else 0.0
