"""Scans and label maps in files, for programs that take and give files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK
from scipy.ndimage import affine_transform

from ..errors import InputError
from ..reading.segmentation import read_segmentation
from ..volume import FloatArray, Volume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_SKEW = 1e-4  # cosine between two axes of a grid, from which on programs refuse it


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that is gone afterwards, whatever happens."""
    with TemporaryDirectory(prefix="spine-analysis-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def write_scan(volume: Volume, path: Path) -> None:
    """Write a scan as NIfTI; a sheared grid, such as that of a CT with a tilted gantry, is made upright first."""
    volume = upright(volume)
    array = volume.array
    if array.dtype.kind == "b" or array.dtype.itemsize == 8 or array.dtype == np.float16:
        array = array.astype(np.float32)
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing(volume.spacing.tolist())
    image.SetOrigin((_LPS_TO_RAS @ volume.ijk_to_ras[:3, 3]).tolist())
    image.SetDirection(_rotation(_LPS_TO_RAS @ volume.ijk_to_ras[:3, :3] / volume.spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(path), False)


def upright(volume: Volume) -> Volume:
    """The volume itself, or resampled on the nearest grid with orthogonal axes that holds it."""
    axes = volume.ijk_to_ras[:3, :3] / volume.spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() < _SKEW:
        return volume
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(axes) * volume.spacing
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    there = np.linalg.solve(matrix[:3, :3], volume.to_ras(corners).T).T
    low = np.floor(there.min(axis=0))
    matrix[:3, 3] = matrix[:3, :3] @ low
    shape = np.ceil(there.max(axis=0) - low).astype(int) + 1
    return _sampled(volume, Volume(np.empty(shape, np.uint8), matrix), order=1, outside=float(volume.array.min()))


def _rotation(axes: FloatArray) -> FloatArray:
    """The orthogonal matrix that is nearest to almost orthogonal axes, (3, 3) in columns."""
    left, _, right = np.linalg.svd(axes)
    return left @ right


def _sampled(volume: Volume, grid: Volume, order: int, outside: float) -> Volume:
    """A volume at the voxels of another grid."""
    matrix = volume.ras_to_ijk @ grid.ijk_to_ras
    return grid.with_array(affine_transform(volume.array, matrix[:3, :3], matrix[:3, 3], grid.shape, order=order,
                                            mode="constant", cval=outside, prefilter=False))


def read_labels(path: Path, grid: Volume) -> Volume:
    """A label map that a program wrote, at the voxels of the scan that it was given.

    :raises InputError: for a missing, broken or empty file, and for labels that lie elsewhere.
    """
    found = read_segmentation(path).volume
    if found is None:
        raise InputError("the result is no label map")
    labels = found if found.same_grid(grid, tolerance_mm=0.01) else _sampled(found, grid, order=0, outside=0.0)
    if not labels.array.any():
        raise InputError("the labels lie outside the scan")
    return labels
