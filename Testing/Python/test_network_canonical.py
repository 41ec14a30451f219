"""The scan as the embedded network sees it."""

from itertools import permutations, product

import numpy as np
import pytest

from SpineAnalysisLib.segmentation.network.canonical import (
    CEILING,
    NEIGHBORS,
    back_to,
    canonical,
    normalize,
    stacks,
)
from SpineAnalysisLib.volume import Volume


def smooth(points: np.ndarray) -> np.ndarray:
    """A signal of RAS that coarse sampling keeps and that tells all directions apart."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.sin(x / 23.0) + 0.7 * np.sin(y / 31.0 + 0.5) + 0.5 * np.sin(z / 41.0 - 0.3) + 0.004 * (x + 2 * y + 3 * z)


def scan(shape: tuple[int, ...], steps: tuple[float, ...], axes: tuple[int, ...] = (0, 1, 2),
         signs: tuple[int, ...] = (1, 1, 1), tilt_deg: float = 0.0) -> Volume:
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = np.eye(4)
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[:3, column] = turn[:, axis] * sign * steps[column]
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape) - 1) / 2
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    volume = Volume(np.zeros(shape), matrix)
    return volume.with_array(smooth(volume.to_ras(grid)))


def indices(volume: Volume) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_canonical_points_to_right_foot_and_back_whatever_the_storage(axes: tuple[int, ...], tilt: float) -> None:
    for signs in product((1, -1), repeat=3):
        seen = canonical(scan((40, 44, 36), (1.5, 1.5, 1.5), axes, signs, tilt))
        cosines = seen.ijk_to_ras[:3, :3] / seen.spacing
        assert np.diag(cosines @ np.array([[1, 0, 0], [0, 0, -1], [0, -1, 0]])).min() > 0.9
        np.testing.assert_allclose(seen.spacing, (3.0, 1.0, 1.0))
        inner = (slice(2, -2),) * 3
        np.testing.assert_allclose(seen.array[inner], smooth(seen.to_ras(indices(seen)))[inner], atol=0.02)


@pytest.mark.parametrize(("steps", "kept"), [((0.6, 0.6, 4.8), 4.8), ((0.6, 0.6, 3.0), 3.0), ((0.6, 0.6, 2.0), 3.0)])
def test_thick_sagittal_slices_are_kept(steps: tuple[float, ...], kept: float) -> None:
    seen = canonical(scan((60, 50, 12), steps, (1, 2, 0), (1, -1, -1)))
    assert seen.spacing[0] == pytest.approx(kept)
    assert (kept == 3.0 and steps[2] < 3.0) or seen.shape[0] == 12


def test_thick_axial_slices_become_sagittal_ones() -> None:
    seen = canonical(scan((90, 80, 12), (0.8, 0.8, 4.0), (0, 1, 2), (-1, -1, 1)))
    np.testing.assert_allclose(seen.spacing, (3.0, 1.0, 1.0))
    assert seen.shape == (24, 48, 64)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_there_and_back_is_the_same_place(axes: tuple[int, ...]) -> None:
    volume = scan((52, 47, 41), (1.2, 0.9, 1.7), axes, (1, -1, -1), 12.0)
    seen = canonical(volume)
    back = back_to(seen.array, seen, volume)
    assert back.shape == volume.shape
    inner = (slice(4, -4),) * 3
    np.testing.assert_allclose(back[inner], volume.array[inner], atol=0.03)


def test_coarse_pixels_are_averaged_not_skipped() -> None:
    rng = np.random.default_rng(0)
    volume = scan((60, 60, 60), (0.5, 0.5, 0.5))
    noisy = volume.with_array(rng.normal(size=volume.shape))
    assert canonical(noisy, pixel_mm=2.0).array.std() < 0.15


def test_normalization_ignores_padding_metal_and_units() -> None:
    rng = np.random.default_rng(1)
    image = rng.gamma(4.0, 100.0, (20, 40, 40))
    padded = np.pad(image, ((0, 0), (0, 40), (0, 40)))
    seen = normalize(image, contrast_is_ct=False)
    np.testing.assert_allclose(normalize(padded, False)[:, :40, :40], seen, atol=0.02)
    np.testing.assert_allclose(normalize(image * 7.0 + 30.0, False), seen, atol=1e-4)
    ct = rng.normal(40.0, 60.0, (20, 40, 40))
    metal = ct.copy()
    metal[:2, :20, :20] = 12000.0
    assert normalize(metal, True).max() <= CEILING
    assert np.ptp(normalize(np.full((3, 4, 5), 7.0), True)) == 0


def test_stacks_hold_the_slice_in_their_middle() -> None:
    volume = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3) + 1
    seen = stacks(volume)
    assert seen.shape == (5, 2 * NEIGHBORS + 1, 2, 3)
    np.testing.assert_array_equal(seen[:, NEIGHBORS], volume)
    np.testing.assert_array_equal(seen[1, NEIGHBORS + 1], volume[2])
    assert not seen[0, :NEIGHBORS].any()
    assert not seen[4, NEIGHBORS + 1:].any()
