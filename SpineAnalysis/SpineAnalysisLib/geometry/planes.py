"""Robust planes."""

import numpy as np
from numpy.typing import NDArray

from .frames import Plane

FloatArray = NDArray[np.floating]

FIRST_ITERATIONS = 5


def fit_plane(points: FloatArray, toward: FloatArray, scale_mm: float = 1.0, iterations: int = 15) -> Plane | None:
    """The plane most of the points lie on; rims, pits and spurs do not tilt it.

    Iteratively reweighted least squares: first of absolute residuals, so that no group of outliers is taken for the
    plane, then with Tukey's biweight, whose scale is the larger of ``scale_mm`` and the spread of the residuals.

    :param points: (N, 3) of a surface seen roughly along ``toward``.
    :param toward: (3,) unit, the side the normal points to.
    :return: ``None`` for fewer than 12 points.
    """
    if len(points) < 12:
        return None
    weights: FloatArray = np.ones(len(points))
    for i in range(FIRST_ITERATIONS + iterations):
        origin = np.average(points, axis=0, weights=weights)
        centered = (points - origin) * np.sqrt(weights)[:, None]
        normal = np.linalg.svd(centered, full_matrices=False)[2][2]
        residual = (points - origin) @ normal
        away = np.abs(residual - np.median(residual))
        limit = 4.685 * max(scale_mm, 1.4826 * float(np.median(away)))
        if i < FIRST_ITERATIONS:
            weights = 1.0 / np.maximum(away, 0.25 * scale_mm)
        else:
            weights = np.square(np.maximum(1.0 - np.square(residual / limit), 0.0)) + 1e-9
    return Plane(origin, normal if normal @ toward > 0 else -normal)
