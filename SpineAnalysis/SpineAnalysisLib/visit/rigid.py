"""Rigid motions that make two scans agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from ..volume import transform_points
from .similarity import Moving, Sample

FloatArray = NDArray[np.floating]

LEVER_MM = 60.0
"""Turns are counted by the way of a point so far from the center, which makes them comparable to shifts."""
_FIRST_STEP_MM = 2.0
_TOLERANCE_MM = 0.05
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Fit:
    """:param motion: (4, 4) from where a scan lies to where the reference is; :param agreement: there."""

    motion: FloatArray
    agreement: float


def fit(sample: Sample, moving: Moving, start: FloatArray, rounds: int = _ROUNDS) -> Fit:
    """The rigid motion of greatest agreement near another (Powell's method; the same every time)."""
    center = sample.points_RAS.mean(axis=0)

    def cost(parameters: FloatArray) -> float:
        return -sample.agreement(moving, _motion(parameters, center) @ start)

    found = minimize(cost, np.zeros(6), method="Powell",
                     options={"xtol": _TOLERANCE_MM, "ftol": 1e-4, "maxiter": rounds,
                              "direc": _FIRST_STEP_MM * np.eye(6)})
    return Fit(_motion(found.x, center) @ start, -float(found.fun))


def _motion(parameters: FloatArray, center: FloatArray) -> FloatArray:
    """Three turns (of ``LEVER_MM``) about a center, then three shifts, mm."""
    matrix = shifted(np.asarray(parameters[3:]) + center)
    matrix[:3, :3] = Rotation.from_rotvec(np.asarray(parameters[:3]) / LEVER_MM).as_matrix()
    return matrix @ shifted(-center)


def shifted(by_mm: FloatArray) -> FloatArray:
    """(4, 4)."""
    matrix = np.eye(4)
    matrix[:3, 3] = by_mm
    return matrix


def of_points(source_RAS: FloatArray, target_RAS: FloatArray) -> FloatArray:
    """The rigid motion that brings points (N, 3) nearest to others (Kabsch, Acta Cryst A 1976;32:922-923).

    Points of a spine lie nearly on a line, about which they tell no turn: without more it is none, as three points
    beside them say that lie the same way in both.
    """
    middles = source_RAS.mean(axis=0), target_RAS.mean(axis=0)
    beside = LEVER_MM * np.eye(3)
    rotation, _ = Rotation.align_vectors(np.vstack([target_RAS - middles[1], beside]),
                                         np.vstack([source_RAS - middles[0], beside]))
    matrix = shifted(middles[1])
    matrix[:3, :3] = rotation.as_matrix()
    return matrix @ shifted(-middles[0])


def displacement(first: FloatArray, second: FloatArray, points_RAS: FloatArray) -> FloatArray:
    """(N, 3) by how much two motions differ at points, where the reference is."""
    return np.asarray(transform_points(first @ np.linalg.inv(second), points_RAS) - points_RAS)
