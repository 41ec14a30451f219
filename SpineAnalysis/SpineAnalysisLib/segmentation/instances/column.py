"""The column of bodies and discs, as a curve with a profile of what it passes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...geometry.curves import Curve, fit_curve
from ..network.classes import Class
from .field import Field

FloatArray = NDArray[np.floating]

STEP_MM = 1.0
"""Of the profile along the curve."""
_CORE_MM = 11.0
"""Voxels this near to the curve make the profile; cervical bodies are hardly wider."""
_MOST_POINTS = 20_000
_STIFFNESS = 3e4
"""Of the curve, mm4: bodies are as wide as they are apart, so that a softer one would wind through them."""
_BIN_MM = 3.0
_SACRAL_MM = 22.0
"""What of the sacrum is looked at, around the lowest body's middle."""
_BLUR_MM = 1.2
_LEAST_MM = 12.0

COLUMN = (Class.MARROW, Class.RIM, Class.DISC)


@dataclass(frozen=True, eq=False)
class Column:
    """:param curve: through the middle of bodies and discs, from head to foot.

    :param indices: (N, 3) voxels of bodies and discs; :param kinds: (N,) their classes.
    :param places: (N, 3) mm; :param s: (N,) along the curve, mm.
    :param disc: (M,) share of disc in the column's core, at every ``STEP_MM`` of the curve.
    """

    curve: Curve
    indices: NDArray[np.integer]
    kinds: NDArray[np.uint8]
    places: FloatArray
    s: FloatArray
    disc: FloatArray


def column_of(field: Field, classes: NDArray[np.uint8]) -> Column | None:
    """The column, or ``None`` where too little of it is there."""
    indices = np.argwhere(np.isin(classes, COLUMN))
    places = field.places(indices)
    if len(indices) < 50 or np.ptp(places[:, 1]) < _LEAST_MM:
        return None
    thinned = places[:: max(1, len(places) // _MOST_POINTS)]
    curve = _middle(np.concatenate([thinned, _sacral_top(field, classes, places)]))
    s = curve.project(places)
    low, high = float(s.min()), float(s.max())
    curve = curve.cut(low, high)
    s = s - low
    kinds = classes[tuple(indices.T)]
    return Column(curve, indices, kinds, places, s, _profile(field, curve, indices, places, s))


def _middle(places: FloatArray) -> Curve:
    """The curve through the middle of the column: first by heights, then across itself."""
    along = places[:, 1]
    for _ in range(2):
        bins = np.floor((along - along.min()) / _BIN_MM).astype(int)
        counts = np.bincount(bins)
        filled = counts > 0
        centers = np.stack([np.bincount(bins, places[:, axis]) for axis in range(3)], axis=-1)[filled]
        trust = np.sqrt(counts[filled] / counts.max())
        curve = fit_curve(centers / counts[filled, None], trust, _STIFFNESS)
        along = curve.project(places)
    return curve


def _sacral_top(field: Field, classes: NDArray[np.uint8], places: FloatArray) -> FloatArray:
    """Places of the sacrum just below the column: they tell how the last disc is tilted."""
    indices = np.argwhere(classes == Class.SACRUM)
    sacrum = field.places(indices[:: max(1, len(indices) // _MOST_POINTS)])
    if not len(sacrum):
        return sacrum
    lowest = places[places[:, 1] > places[:, 1].max() - _SACRAL_MM]
    middle = np.median(lowest, axis=0)
    return sacrum[np.linalg.norm((sacrum - middle)[:, [0, 2]], axis=1) < _SACRAL_MM]


def _profile(field: Field, curve: Curve, indices: NDArray, places: FloatArray, s: FloatArray) -> FloatArray:
    """Share of disc along the curve: of the voxels near it, by their probabilities."""
    near = np.linalg.norm(places - curve.position(np.clip(s, 0.0, curve.length)), axis=1) < _CORE_MM
    at = tuple(indices[near].T)
    bins = np.minimum(np.floor(s[near] / STEP_MM).astype(int), _count(curve) - 1)
    disc = np.bincount(bins, field.values[(Class.DISC, *at)], _count(curve))
    column = sum(np.bincount(bins, field.values[(kind, *at)], _count(curve)) for kind in COLUMN)
    share = ndimage.gaussian_filter1d(np.stack([disc, column]), _BLUR_MM / STEP_MM, mode="constant")
    return share[0] / np.maximum(share[1], 1e-6)


def _count(curve: Curve) -> int:
    return int(np.floor(curve.length / STEP_MM)) + 1
