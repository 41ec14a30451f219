"""Invented scans for the training, on a patient made of blocks; needs PyTorch, as the training does."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from SpineAnalysisLib.segmentation.network.canonical import CEILING, NEIGHBORS, normalize
from SpineAnalysisLib.segmentation.network.classes import Class

torch = pytest.importorskip("torch")
SIZE = (96, 64)


@pytest.fixture(scope="module")
def made() -> Any:
    """The generator and, within it, everything that it imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "Utilities" / "training"))
        yield import_module("generator")


@pytest.fixture(scope="module")
def pool(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A column of three bodies with discs, behind it the canal, in muscle."""
    tissues = made.T
    folder = tmp_path_factory.mktemp("pool")
    tissue = np.full((60, 140, 110), tissues.MUSCLE, np.uint8)
    for number in range(3):
        tissue[10:50, 40 * number + 10:40 * number + 40, 30:62] = tissues.MARROW + number
        tissue[10:50, 40 * number + 40:40 * number + 50, 30:62] = tissues.ANNULUS + number
    tissue[22:38, :, 64:80] = tissues.CSF
    np.save(folder / "00000.npy", tissue)
    np.save(folder / "00000.spine.npy", np.argwhere(tissues.SPINE[tissue])[::50].astype(np.int16))
    np.save(folder / "00000.fused.npy", np.zeros(0, np.int16))
    return folder


def some(made: Any, pool: Path, seed: int, count: int) -> list[tuple[Any, Any]]:
    source = made.samples(pool, seed, *SIZE, torch.device("cpu"))
    return [next(source) for _ in range(count)]


def test_samples_are_stacks_and_shares(made: Any, pool: Path) -> None:
    seen = np.zeros(len(Class))
    for image, share in some(made, pool, 3, 12):
        assert image.shape == (2 * NEIGHBORS + 1, *SIZE)
        assert image.dtype == torch.float32
        assert 0.0 <= float(image.min()) <= float(image.max()) <= CEILING
        assert torch.isfinite(image).all()
        assert torch.allclose(share.float().sum(dim=0), torch.ones(SIZE), atol=4e-3)
        seen += share.float().mean(dim=(1, 2)).numpy()
    assert (seen[[Class.BACKGROUND, Class.MARROW, Class.DISC, Class.CANAL]] > 0.01).all()
    assert (seen[[Class.RIM, Class.ARCH, Class.CORD, Class.SACRUM]] == 0).all(), "there are none in the patient"


def test_a_seed_makes_the_same_samples(made: Any, pool: Path) -> None:
    first, again, other = (some(made, pool, seed, 3) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    assert not torch.equal(first[0][0], other[0][0])


@pytest.mark.parametrize("is_ct", [True, False])
def test_normalized_as_in_use(made: Any, is_ct: bool) -> None:
    image = np.random.default_rng(0).normal(100.0, 500.0, (7, 40, 50)).astype(np.float32)
    got = made.normalized(torch.from_numpy(image), is_ct).numpy()
    assert np.abs(got - normalize(image, is_ct)).max() < 2e-3


def test_blurred_by_a_gaussian(made: Any) -> None:
    image = np.random.default_rng(1).normal(size=(2, 60, 70)).astype(np.float32)
    got = import_module("degrade").blurred(torch.from_numpy(image), 1.7, 0.6).numpy()
    wanted = ndimage.gaussian_filter(image, (0, 1.7, 0.6), truncate=5)
    assert np.abs(got - wanted)[:, 10:-10, 10:-10].max() < 1e-4


def test_nothing_is_seen_outside_a_patient(made: Any) -> None:
    volume = torch.full((4, 5, 6), 9, dtype=torch.uint8)
    cut = made.Cut(np.array([-1, 0, 3]), np.eye(3), np.array([1]), np.arange(-2, 7), np.arange(3, 8), 1.0)
    taken = made._take(volume, cut).numpy()
    assert taken.shape == (3, 9, 5)
    assert (taken[1:, 2:7, :3] == 9).all()
    assert taken.sum() == 9 * 2 * 5 * 3
