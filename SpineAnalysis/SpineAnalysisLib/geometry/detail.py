"""What a scan really shows: voxels that were interpolated between thicker slices tell no more than those slices did.

Archives and data sets often hold scans made isotropic.  Interpolated slices are smooth: their differences lack the
high frequencies that differences of measured slices have.
"""

import numpy as np

from ..volume import FloatArray, Volume, bounding_box

MEASURED_MEDIAN = 0.5
"""Half of the energy of differences between measured neighbors lies below this share of the highest frequency: the
spectra of anatomy fall with the square of the frequency, which differences make flat."""
CLEAR_RATIO = 1.5
"""Blur of scanners and reconstructions costs less than this; only the coarsest axis is said to be interpolated, and
only where it is this much coarser than the finest."""
FEWEST = 10
"""Voxels along an axis to know of."""
AROUND_MM = 40.0
"""Of the bodies' centers; within a body alone there is little detail from side to side."""


def measured_spacing(volume: Volume) -> FloatArray:
    """(3,) millimeters along i, j and k between what was measured: the spacing, unless slices were interpolated."""
    medians = np.array([_median_frequency(volume.array, axis) for axis in range(3)])
    own = volume.spacing * np.maximum(MEASURED_MEDIAN / medians, 1.0)
    coarsest = int(own.argmax())
    clear = own[coarsest] > CLEAR_RATIO * max(volume.spacing[coarsest], own.min())
    return np.where((np.arange(3) == coarsest) & clear, own, volume.spacing)


def _median_frequency(array: np.ndarray, axis: int) -> float:
    """Frequency that halves the energy of the differences along an axis, as a share of the highest there is."""
    count = array.shape[axis]
    if count < FEWEST:
        return MEASURED_MEDIAN
    rows = np.moveaxis(array, axis, -1)[::2, ::2].astype(np.float32)
    differences = np.diff(rows, axis=-1) * np.hanning(count + 1)[1:-1].astype(np.float32)
    energy = np.square(np.abs(np.fft.rfft(differences, axis=-1))).mean(axis=(0, 1))
    total = np.cumsum(energy)
    if not total[-1] > 0:
        return MEASURED_MEDIAN
    return float(np.interp(0.5, total / total[-1], np.linspace(0.0, 1.0, len(energy))))


def resolution_of(labels: Volume, image: Volume | None, points_RAS: FloatArray) -> FloatArray:
    """(3, 3) columns, RAS steps between what was measured where a label map was drawn.

    :param image: the scan that it was drawn on, on any grid.
    :param points_RAS: (N, 3) what to look around.
    """
    steps = labels.ijk_to_ras[:3, :3]
    if image is None:
        return steps
    ijk = image.to_ijk(points_RAS)
    reach = AROUND_MM / image.spacing
    window = image.crop(np.floor(ijk.min(axis=0) - reach).astype(int), np.ceil(ijk.max(axis=0) + reach).astype(int) + 1)
    if min(window.shape) < 1 or bounding_box(window.array != 0) is None:
        return steps
    measured = image.ijk_to_ras[:3, :3] * (measured_spacing(window) / image.spacing)
    directions = steps / labels.spacing
    extent = np.linalg.norm(measured.T @ directions, axis=0)
    return np.asarray(directions * np.maximum(labels.spacing, extent))
