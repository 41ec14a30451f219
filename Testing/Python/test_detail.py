"""What scans really show, and what becomes of measurements where slices were interpolated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.geometry.detail import measured_spacing, resolution_of
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.volume import Volume

NATIVE = ("mr15_t2_sag", "mr15_t1_sag", "mr03_stir_sag", "ct_sag", "mr15_t2_axial_block3", "ct_axial_block10")


def interpolated(volume: Volume, spacing_mm: float, order: int) -> Volume:
    """Its slices made thinner, as archives do."""
    axis = int(volume.spacing.argmax())
    count = volume.shape[axis]
    wanted = round((count - 1) * volume.spacing[axis] / spacing_mm) + 1
    array = zoom(volume.array.astype(np.float32), [wanted / count if a == axis else 1 for a in range(3)], order=order)
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, axis] *= (count - 1) / (wanted - 1)
    return Volume(array, matrix)


@pytest.mark.parametrize("name", NATIVE)
def test_measured_slices_are_as_far_apart_as_they_say(real_data: Callable[[str], Path], name: str) -> None:
    volume = read_image([real_data(f"lumbar_subject_cc0/{name}.nii.gz")]).volume
    np.testing.assert_allclose(measured_spacing(volume), volume.spacing)


@pytest.mark.parametrize("order", [1, 3], ids=["linear", "cubic"])
@pytest.mark.parametrize(("name", "spacing_mm"), [("mr15_t2_sag", 1.0), ("mr03_t1_sag", 1.5), ("ct_sag", 1.0)])
def test_interpolated_slices_are_found_out(real_data: Callable[[str], Path], name: str, spacing_mm: float, order: int,
                                           ) -> None:
    volume = read_image([real_data(f"lumbar_subject_cc0/{name}.nii.gz")]).volume.crop((100, 100, 0), (300, 300, 99))
    found = measured_spacing(interpolated(volume, spacing_mm, order))
    np.testing.assert_allclose(found, volume.spacing, rtol=0.15)


def test_exams_made_isotropic(real_data: Callable[[str], Path]) -> None:
    """Their masks change every 4 mm from side to side; scans of the second group are blurred besides."""
    for name, low, high in (("VB1_10_DzZ_T1", 3.5, 5.0), ("VB3_05", 5.0, 7.5)):
        volume = read_image([real_data(f"mr_vertebrae_manual/{name}_img.nii.gz")]).volume
        across, *others = measured_spacing(volume)
        assert low < across < high
        assert others == [1.0, 1.0]


def test_nothing_to_see_tells_nothing() -> None:
    flat = Volume(np.zeros((20, 20, 20)), np.eye(4))
    np.testing.assert_array_equal(measured_spacing(flat), 1.0)
    np.testing.assert_array_equal(resolution_of(flat, flat, np.full((1, 3), 500.0)), np.eye(3))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L3, Level.L5))


def test_a_phantoms_voxels_were_all_measured(phantom: Phantom) -> None:
    for spacing in ((1.0, 1.0, 1.0), (3.3, 0.7, 0.7)):
        grid = phantom.grid(spacing, margin=5.0)
        for noise in (0.0, 20.0):
            found = measured_spacing(phantom.image(grid, "T2", noise=noise, seed=0))
            np.testing.assert_allclose(found, spacing, rtol=1e-6)


def test_labels_on_a_finer_grid_know_no_more_than_their_scan(phantom: Phantom) -> None:
    thick = phantom.grid((4.0, 1.0, 1.0), margin=5.0)
    image, labels = phantom.image(thick, "T2"), phantom.labels(phantom.grid((1.0, 1.0, 1.0), "SAL", margin=5.0))
    steps = resolution_of(labels, image, labels.to_ras(np.array([labels.shape]) / 2))
    np.testing.assert_allclose(np.linalg.norm(steps, axis=0), [1.0, 1.0, 4.0], rtol=1e-6)


def test_finer_labels_of_a_thick_scan_are_told(phantom: Phantom) -> None:
    image, labels = phantom.image(phantom.grid((4.0, 1.0, 1.0)), "T2"), phantom.labels(phantom.grid(1.0))
    assert any("details of about 4.0 mm" in note for note in build_spine(labels, image).notes)
    assert not any("details of about" in note for note in build_spine(labels).notes)


@pytest.fixture(scope="module")
def analyses(phantom: Phantom) -> tuple[Analysis, Analysis]:
    """Labels drawn on measured voxels, and the same on slices of 6 mm that were interpolated."""
    grid = phantom.grid((1.25, 1.0, 1.0), margin=8.0)
    labels, image = phantom.labels(grid), phantom.image(grid, "T2", noise=5.0, seed=0)
    blurred = interpolated(Volume(image.array[::5], image.ijk_to_ras @ np.diag([5.0, 1.0, 1.0, 1.0])), 1.25, 1)
    return tuple(analyze(each, labels, contrast="T2") for each in (image, blurred))  # type: ignore[return-value]


def test_interpolated_slices_widen_uncertainties_and_name_no_herniation(analyses: tuple[Analysis, Analysis]) -> None:
    clear, blurred = analyses
    note = "The scan shows details of about"
    assert not any(note in doubt for doubt in clear.doubts)
    assert any(note in doubt for doubt in blurred.doubts)
    for key in ("canal_transverse_diameter", "canal_area", "vertebral_rotation"):
        one, other = (next(m for m in each.measurements if m.key == key and m.value is not None) for each in analyses)
        assert one.value == pytest.approx(other.value)
        assert other.uncertainty > 1.3 * one.uncertainty
        assert ("thick_slices" in one.flags, "thick_slices" in other.flags) == (False, True)
    kinds = [m for m in blurred.measurements if m.key == "herniation_type"]
    assert kinds
    assert all(m.value is None and "slices_too_thick_for_type" in m.flags for m in kinds)
    assert any(m.value is not None for m in clear.measurements if m.key == "herniation_type")
