"""Planes and right-handed anatomical frames in RAS millimeters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]


def unit(vector: Vector) -> Vector:
    """The vector at length one.

    :raises ValueError: for a vector of no length.
    """
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        raise ValueError("a direction needs a length")
    return np.asarray(vector, float) / length


def reject(vector: Vector, direction: Vector) -> Vector:
    """The part of a vector that is perpendicular to a unit direction."""
    return np.asarray(vector, float) - np.dot(vector, direction) * np.asarray(direction, float)


def angle_deg(a: Vector, b: Vector) -> float:
    """Angle between two directions, 0..180 degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), np.dot(a, b))))


@dataclass(frozen=True, eq=False)
class Plane:
    """:param origin: (3,) a point of the plane; :param normal: (3,) unit."""

    origin: Vector
    normal: Vector

    def distance(self, points: Vector) -> Vector:
        """Signed distance of (..., 3) points, positive on the normal's side, mm."""
        return (np.asarray(points, float) - self.origin) @ self.normal


@dataclass(frozen=True, eq=False)
class Frame:
    """An anatomical frame: origin and unit axes to the patient's right, front and head.

    ``right x anterior = superior``.  A cross-section lies in the plane of ``right`` and ``anterior``.
    """

    origin: Vector
    right: Vector
    anterior: Vector
    superior: Vector

    @staticmethod
    def from_axes(origin: Vector, superior: Vector, anterior_hint: Vector) -> "Frame":
        """The frame with this S axis whose A axis is nearest to a hint."""
        up = unit(superior)
        front = unit(reject(anterior_hint, up))
        return Frame(np.asarray(origin, float), np.cross(front, up), front, up)

    @property
    def axes(self) -> Vector:
        """(3, 3), rows R, A, S."""
        return np.stack([self.right, self.anterior, self.superior])

    @property
    def plane(self) -> Plane:
        """The plane of R and A."""
        return Plane(self.origin, self.superior)

    @property
    def matrix(self) -> Vector:
        """(4, 4): frame coordinates to RAS."""
        out = np.eye(4)
        out[:3, :3] = self.axes.T
        out[:3, 3] = self.origin
        return out

    def to_ras(self, coordinates: Vector) -> Vector:
        """(..., 3) coordinates along R, A, S in mm to points."""
        return np.asarray(coordinates, float) @ self.axes + self.origin

    def to_frame(self, points: Vector) -> Vector:
        """(..., 3) points to coordinates along R, A, S in mm."""
        return (np.asarray(points, float) - self.origin) @ self.axes.T

    def at(self, origin: Vector) -> "Frame":
        """The same axes elsewhere."""
        return Frame(np.asarray(origin, float), self.right, self.anterior, self.superior)
