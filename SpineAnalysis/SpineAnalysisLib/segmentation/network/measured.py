"""Slices that were measured, of scans that hold others interpolated between them.

People resample thick slices to voxels that are alike in all directions, as a rule linearly.  Thinned again for the
network, such slices mix what lies farther apart than any slice of the scanner's is thick, and the sides of bodies fade
into what is beside them.  Linear interpolation can be undone: between two measured slices, intensities lie on a line,
so that their second difference along the axis is zero but where a measured slice is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...volume import Volume

FloatArray = NDArray[np.floating]

_THINNED = 3
"""Every so many voxels of a slice are looked at."""
_LEAST_KNOTS = 5
_FLOOR, _PEAK = 0.2, 0.95
"""Quantiles of second differences that tell what rounding leaves of them between measured slices, and what they are at
measured ones."""
_RISE, _FLAT = 0.1, 0.5
"""Share of the way from floor to peak from which on there is a measured slice; floor, in peaks, at most."""
_OFF = 0.25
"""By which measured slices may be off from even steps, in voxels."""


@dataclass(frozen=True)
class _Comb:
    """Where the measured slices are along an axis: at ``first``, and every ``step`` voxels from there."""

    first: float
    step: float

    def places(self, count: int) -> FloatArray:
        return np.arange(self.first, count - 1 + 1e-6, self.step)


def measured(volume: Volume) -> Volume:
    """The scan without slices that were interpolated linearly, whatever the axis; most scans as they are."""
    for axis in range(3):
        comb = _comb(volume.array, axis)
        if comb is not None:
            volume = _picked(volume, axis, comb)
    return volume


def _comb(array: NDArray, axis: int) -> _Comb | None:
    """Where measured slices are, or ``None`` where all of them are measured."""
    if array.shape[axis] < 3 * _LEAST_KNOTS:
        return None
    thin = tuple(slice(None) if a == axis else slice(None, None, _THINNED) for a in range(3))
    bend = np.abs(np.diff(np.moveaxis(array[thin], axis, 0).astype(np.float32), 2, axis=0)).mean(axis=(1, 2))
    floor, peak = np.quantile(bend, (_FLOOR, _PEAK))
    runs, count = ndimage.label(bend > floor + _RISE * (peak - floor))
    whole = np.setdiff1d(np.arange(1, count + 1), runs[[0, -1]])
    if floor > _FLAT * peak or len(whole) < _LEAST_KNOTS:
        return None
    # a measured slice between two voxels bends the line at both, the nearer one more
    knots = np.array(ndimage.center_of_mass(np.maximum(bend - floor, 0.0), runs, whole))[:, 0] + 1.0
    which = np.arange(len(whole))
    step, first = np.polyfit(which, knots, 1)
    if np.abs(knots - first - step * which).max() > _OFF:
        return None
    return _Comb(float(first - step * np.floor((first + _OFF) / step)), float(step))


def _picked(volume: Volume, axis: int, comb: _Comb) -> Volume:
    """The measured slices; those between two voxels from the line on the nearer side."""
    array = np.moveaxis(volume.array, axis, 0)
    places = comb.places(len(array))
    nearest = np.clip(np.rint(places), 0, len(array) - 1).astype(int)
    off = places - nearest
    inner = np.clip(nearest - np.where(off < 0, -1, 1), 0, len(array) - 1)  # the next voxel on the same line
    out = array[nearest].astype(np.float32)
    out += np.abs(off).astype(np.float32)[:, None, None] * (out - array[inner])
    matrix = volume.ijk_to_ras.copy()
    start = np.zeros(3)
    start[axis] = places[0]
    matrix[:3, 3] = volume.to_ras(start)
    matrix[:3, axis] *= comb.step
    return Volume(np.ascontiguousarray(np.moveaxis(out, 0, axis)), matrix, volume.name)
