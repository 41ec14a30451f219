"""Interpolated slices are left out, measured ones come back as they were."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.segmentation.network.measured import measured
from SpineAnalysisLib.volume import Volume

COUNT = 14


@pytest.fixture(scope="module")
def slices() -> NDArray[np.floating]:
    """(COUNT, 40, 40) thick slices of something smooth, with noise."""
    random = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(random.normal(size=(COUNT, 40, 40)), (0.7, 3, 3))
    return np.clip(120 + 60 * smooth / smooth.std() + random.normal(0, 4, smooth.shape), 0, 255)


def interpolated(slices: NDArray[np.floating], step: float) -> NDArray[np.floating]:
    """Linearly, ``step`` slices for each measured one."""
    places = np.arange(0, (len(slices) - 1) * step + 1e-9) / step
    base = np.minimum(places.astype(int), len(slices) - 2)
    share = (places - base)[:, None, None]
    return slices[base] * (1 - share) + slices[base + 1] * share


@pytest.mark.parametrize("step", [2.0, 3.85, 4.0, 4.4])
@pytest.mark.parametrize("rounded", [False, True])
def test_measured_slices_come_back(slices: NDArray[np.floating], step: float, rounded: bool) -> None:
    array = interpolated(slices, step)
    array = np.rint(array).astype(np.uint8) if rounded else array.astype(np.float32)
    matrix = np.diag([-1.0, 0.8, 0.8, 1.0])
    matrix[:3, 3] = (12.0, -40.0, 7.0)
    for axis in range(3):
        order = np.roll(np.arange(3), axis)
        turned = matrix.copy()
        turned[:3, :3] = matrix[:3, order]
        found = measured(Volume(np.ascontiguousarray(array.transpose(order)), turned))
        at = int(np.flatnonzero(order == 0)[0])
        assert found.shape[at] in (COUNT - 1, COUNT), "the last one may lie beyond the last voxel"
        assert found.spacing[at] == pytest.approx(step, abs=0.01)
        np.testing.assert_allclose(found.to_ras(np.zeros(3)), matrix[:3, 3], atol=0.06)
        back = found.array.transpose(np.argsort(order))
        error = np.abs(back - slices[:len(back)])
        assert error.mean() < (1.0 if rounded else 0.6), "gray values of 256"


def test_scans_that_are_not_interpolated_stay(slices: NDArray[np.floating]) -> None:
    random = np.random.default_rng(5)
    scans = [slices, random.normal(size=(40, 40, 40)), ndimage.gaussian_filter(random.normal(size=(60, 40, 40)), 2.0),
             np.zeros((40, 40, 40)), np.pad(slices, ((10, 10), (0, 0), (0, 0)))]
    for array in scans:
        volume = Volume(array.astype(np.float32), np.eye(4))
        assert measured(volume) is volume


def test_real_scans_stay_and_resampled_ones_do_not(real_data: Callable[[str], Path]) -> None:
    for name in ("mr15_t2_sag", "mr03_t1_sag", "ct_sag", "mr15_t2_axial_block1"):
        volume = read_image([real_data(f"lumbar_subject_cc0/{name}.nii.gz")]).volume
        assert measured(volume) is volume
    for name, thick in (("VB1_16_S02", 3.85), ("VB3_04", 4.0)):
        volume = read_image([real_data(f"mr_vertebrae_manual/{name}_img.nii.gz")]).volume
        np.testing.assert_allclose(measured(volume).spacing, (thick, 1.0, 1.0), atol=0.01)
