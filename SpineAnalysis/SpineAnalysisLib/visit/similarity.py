"""How well two scans of any contrast agree where one of them is moved."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..reading.contrast import is_hounsfield
from ..volume import Volume, transform_points

FloatArray = NDArray[np.floating]

BINS = 16
"""Enough for tissues, few enough for some thousand points."""
MIN_POINTS = 400
"""Fewer points tell nothing about a histogram of ``BINS`` by ``BINS``."""
_SOFT_TISSUE_AND_BONE_HU = (-300.0, 600.0)
_EXTREMES = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class Moving:
    """A scan that is to be moved, thinned, and its values as places on the axis of ``BINS`` classes."""

    volume: Volume

    @staticmethod
    def of(volume: Volume, spacing_mm: float) -> "Moving":
        thinned = coarsened(volume, spacing_mm)
        return Moving(thinned.with_array(_classes(thinned.array).astype(np.float32)))

    def at(self, points_RAS: FloatArray, motion: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """(N,) places on the axis of classes, and which of the points the moved scan shows."""
        return _values_at(self.volume, transform_points(np.linalg.inv(motion), points_RAS))


@dataclass(frozen=True, eq=False)
class Sample:
    """A place as the reference scan shows it.

    :param points_RAS: (N, 3); :param classes: (N,) class of the value at each.
    """

    points_RAS: FloatArray
    classes: NDArray[np.integer]

    @staticmethod
    def of(reference: Volume, points_RAS: FloatArray, most: int) -> "Sample":
        """Of the points that lie in the reference at most so many, evenly."""
        points = points_RAS[::max(len(points_RAS) // most, 1)]
        values, inside = _values_at(reference, points)
        return Sample(points[inside], _classes(values[inside]).astype(int))

    def where(self, kept: NDArray[np.bool_]) -> "Sample":
        return replace(self, points_RAS=self.points_RAS[kept], classes=self.classes[kept])

    def agreement(self, moving: Moving, motion: FloatArray, least_inside: float = 0.5) -> float:
        """Normalized mutual information (Studholme et al., Pattern Recognit 1999;32:71-86), less one: 0 is none.

        What so few points agree by chance (Roulston, Physica D 1999;125:285-294) is taken off.  Each value of a moving
        scan counts for the two classes next to it, so that the measure is smooth (as in Mattes et al., IEEE Trans Med
        Imaging 2003;22:120-128).  The whole is scaled by the share of the points inside the scan, as a small overlap
        agrees too easily.

        :param motion: (4, 4) from where the scan lies to where the reference is.
        :param least_inside: 0 where fewer of the points lie in the scan.
        """
        place, inside = moving.at(self.points_RAS, motion)
        share = float(inside.mean()) if len(inside) else 0.0
        if share < least_inside or inside.sum() < MIN_POINTS:
            return 0.0
        place = place[inside]
        lower = place.astype(int)
        upper_share = place - lower
        cell = BINS * self.classes[inside] + lower
        joint = np.bincount(cell, 1.0 - upper_share, BINS * BINS + 1)
        joint += np.bincount(cell + 1, upper_share, BINS * BINS + 1)
        joint = joint[:BINS * BINS].reshape(BINS, BINS) / inside.sum()
        both = _entropy(joint)
        if both <= 0.0:
            return 0.0
        by_chance = (BINS - 1) ** 2 / (2.0 * float(inside.sum()))
        return share * ((_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - by_chance) / both - 1.0)


def coarsened(volume: Volume, spacing_mm: float) -> Volume:
    """The volume with axes finer than this averaged and thinned, and air as dark as fat where it is a CT."""
    array = volume.array.astype(np.float32)
    if is_hounsfield(array):
        array = array.clip(*_SOFT_TISSUE_AND_BONE_HU)
    factors = np.maximum(1, np.floor(spacing_mm / volume.spacing + 0.25)).astype(int)
    smooth = gaussian_filter(array, np.where(factors > 1, factors / 2.0, 0.0), truncate=2.0)
    return Volume(smooth[tuple(slice(None, None, int(factor)) for factor in factors)],
                  volume.ijk_to_ras @ np.diag([*factors, 1.0]), volume.name)


def _classes(values: FloatArray) -> FloatArray:
    """Places from 0 to just below ``BINS`` - 1, evenly between the extremes."""
    low, high = np.percentile(values, _EXTREMES) if values.size else (0.0, 1.0)
    return np.asarray(((values - low) / max(float(high - low), 1e-6)).clip(0.0, 0.9999) * (BINS - 1))


def _values_at(volume: Volume, points_RAS: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(N,) linearly interpolated values, and which of the points lie in the volume."""
    ijk = volume.to_ijk(points_RAS)
    inside = ((ijk >= -0.5) & (ijk <= np.array(volume.shape) - 0.5)).all(axis=-1)
    values = map_coordinates(volume.array, ijk.T, np.float32, order=1, mode="nearest", prefilter=False)
    return np.asarray(values), np.asarray(inside)


def _entropy(shares: FloatArray) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())
