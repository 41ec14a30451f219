"""Outlines finer than the voxels: the smooth closed curve that best separates inner from outer voxel centers.

A curve of few parameters passes between dozens of centers, so it is known far better than to a voxel, also where a
section lies along the voxels' own planes and their stairs do not average out.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

FloatArray = NDArray[np.floating]

RAYS = 72
HARMONICS = 6
SHAPE_PRIOR = 0.01
"""Standard deviation of the outline's third harmonic, relative to its radius, a priori; finer ones are rarer."""
WIDTHS = (0.3, 0.12, 0.08)
"""How many voxels from the outline a center may be labeled either way: from an easy start to the final one."""

_ANGLES = np.linspace(0.0, 2 * np.pi, RAYS, endpoint=False)
UNIT_CIRCLE = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])


def moments(outline: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Area, centroid and covariance of a polygon's inside.

    :param outline: (N, 2) counter-clockwise.
    """
    following = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
    area = cross.sum() / 2.0
    center = ((outline + following) * cross[:, None]).sum(axis=0) / (6.0 * area)
    a, b = outline - center, following - center
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    spread = np.einsum("n,ni,nj->ij", cross, a, a) + np.einsum("n,ni,nj->ij", cross, b, b)
    mixed = np.einsum("n,ni,nj->ij", cross, a, b)
    return float(area), center, (2 * spread + mixed + mixed.T) / (24.0 * area)


def separating_outline(outline: FloatArray, centers: FloatArray, inside: NDArray[np.bool_], voxel: float) -> FloatArray:
    """A better outline from a rough one, by logistic regression of the labels on the distance to the curve.

    The radius, relative to the rough outline's ellipse of second moments, is a sum of harmonics; the ellipse's own
    are free.  The likelihood is concave, so Newton's method finds the one best curve.

    :param outline: (RAYS, 2) mm; :param centers: (N, 2) of voxels near it, in the same plane coordinates.
    :param inside: (N,) whether labeled; :param voxel: distance of centers within the plane, mm.
    :return: (RAYS, 2); the rough one where there are too few centers to tell.
    """
    _, middle, spread = moments(outline)
    shape = 2.0 * np.linalg.cholesky(spread)
    unit = np.linalg.solve(shape, (centers - middle).T).T
    radius = np.linalg.norm(unit, axis=1)
    near = (radius > 0.3) & (radius < 2.5)
    if near.sum() < 4 * HARMONICS or inside[near].all() or not inside[near].any():
        return outline
    unit, radius, sign = unit[near], radius[near], np.where(inside[near], 1.0, -1.0)
    steepness = np.linalg.norm(np.linalg.solve(shape.T, (unit / radius[:, None]).T), axis=0)
    basis = _harmonics(np.arctan2(unit[:, 1], unit[:, 0]))
    coefficients: FloatArray = np.zeros(basis.shape[1])
    for width in WIDTHS:
        scale = sign / (steepness * width * voxel)
        coefficients = _maximize(scale[:, None] * basis, scale * (1.0 - radius), coefficients)
    radii = np.maximum(1.0 + _RAY_BASIS @ coefficients, 0.05)
    return middle + (radii[:, None] * UNIT_CIRCLE) @ shape.T


def _maximize(slopes: FloatArray, fixed: FloatArray, coefficients: FloatArray) -> FloatArray:
    """The most probable coefficients of a logistic model with the prior on shapes."""
    for _ in range(12):
        miss = expit(-(fixed + slopes @ coefficients))
        gradient = slopes.T @ miss - _PRECISION * coefficients
        hessian = (slopes * (miss * (1.0 - miss))[:, None]).T @ slopes + np.diag(_PRECISION)
        move = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + move * min(1.0, 0.2 / max(float(np.abs(move).max()), 1e-9))
        if np.abs(move).max() < 1e-4:
            break
    return coefficients


def _harmonics(angles: FloatArray) -> FloatArray:
    """(N, 2 HARMONICS + 1) constant, cosines and sines."""
    waves = angles[:, None] * np.arange(1, HARMONICS + 1)
    return np.column_stack([np.ones(len(angles)), np.cos(waves), np.sin(waves)])


def _precision() -> FloatArray:
    """Prior precision of each coefficient."""
    orders = np.concatenate([[0], np.arange(1, HARMONICS + 1), np.arange(1, HARMONICS + 1)])
    deviation = np.where(orders < 3, 0.3, SHAPE_PRIOR * (3.0 / np.maximum(orders, 1)) ** 2)
    return 1.0 / deviation**2


_RAY_BASIS = _harmonics(_ANGLES)
_PRECISION = _precision()
