"""The network that is shipped."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.phantoms.phantom import Phantom
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.segmentation.network import canonical as seen
from SpineAnalysisLib.segmentation.network.classes import RIM_MM, Class
from SpineAnalysisLib.segmentation.network.model import MULTIPLE, THREADS, Network, default_path, load
from SpineAnalysisLib.volume import LabelMap, Volume

MOST_BYTES = 20_000_000
KINDS = {Class.ARCH: Kind.ARCH, Class.DISC: Kind.DISC, Class.CANAL: Kind.CANAL, Class.CORD: Kind.CORD}


@pytest.fixture(scope="module")
def network() -> Network:
    return load(default_path())


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads(default_path().with_suffix(".json").read_text())


def test_model_is_the_one_that_its_card_describes(network: Network, card: dict) -> None:
    data = default_path().read_bytes()
    assert hashlib.sha256(data).hexdigest() == card["sha256"] == network.sha256
    assert len(data) <= MOST_BYTES
    assert card["output"]["classes"] == [c.name.lower() for c in Class]
    assert card["input"]["multiple_of"] == MULTIPLE


def test_model_was_trained_on_what_it_is_shown(card: dict) -> None:
    assert (card["pixel_mm"], card["coarse_pixel_mm"], card["slice_mm"]) == (
        seen.PIXEL_MM, seen.COARSE_PIXEL_MM, seen.SLICE_MM)
    assert card["rim_mm"] == RIM_MM
    assert card["input"]["channels"] == 2 * seen.NEIGHBORS + 1
    assert card["normalization"] == {"percentiles": list(seen.PERCENTILES), "ceiling": seen.CEILING,
                                     "ct_range_hu": list(seen.CT_RANGE)}


def test_export_equals_the_trained_network(card: dict) -> None:
    assert card["export_difference"] < 1e-4


def test_card_names_data_and_license(card: dict) -> None:
    assert card["license"] == "Apache-2.0"
    assert set(card["training"]["masks_sha256"]) == {"s0327", "s0328"}
    text = (Path(default_path()).parent / "README.md").read_text()
    for words in ("CC BY 4.0", "Wasserthal", card["sha256"], "not a medical device"):
        assert words in text


def test_any_size_and_batch_is_answered_with_probabilities(network: Network) -> None:
    random = np.random.default_rng(0)
    for batch, height, width in ((1, 16, 32), (3, 48, 64)):
        found = network.probabilities(random.random((batch, 7, height, width), np.float32))
        assert found.shape == (batch, len(Class), height, width)
        np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-4)


def test_answers_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do workers take more than they are told to."""
    stacks, answers = np.random.default_rng(0).random((2, 7, 64, 48), np.float32), []
    for told, expected in (("1", 1), ("2", 2), ("8", THREADS), ("", THREADS)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        network = load.__wrapped__(default_path())
        assert network.session.get_session_options().intra_op_num_threads == expected
        answers.append(network.probabilities(stacks))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.T12, Level.L4))


def answer(network: Network, image: Volume, is_ct: bool) -> tuple[Volume, np.ndarray]:
    """Canonical scan and the classes that are likeliest."""
    grid = seen.canonical(image)
    stacks = seen.stacks(seen.normalize(grid.array, is_ct))
    _, _, height, width = stacks.shape
    padded = np.pad(stacks, ((0, 0), (0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE)))
    return grid, network.probabilities(padded).argmax(axis=1)[:, :height, :width]


def reference(labels: LabelMap, grid: Volume, kinds: set[Kind]) -> np.ndarray:
    """Where the phantom has these kinds, at the canonical voxels' centers."""
    mask = labels.mask(labels.values(kinds))
    index = np.rint(labels.to_ijk(grid.to_ras(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"),
                                                       axis=-1)))).astype(int)
    inside = ((index >= 0) & (index < mask.shape)).all(axis=-1)
    return inside & mask[tuple(np.moveaxis(np.clip(index, 0, np.array(mask.shape) - 1), -1, 0))]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


@pytest.mark.parametrize("contrast", ["T1", "T2", "CT"])
def test_a_phantom_is_segmented(network: Network, phantom: Phantom, contrast: str) -> None:
    grid = phantom.grid((1.0, 1.0, 4.0), "PIR", margin=(25.0, 10.0, 8.0))
    seen_grid, classes = answer(network, phantom.image(grid, contrast), contrast == "CT")
    labels = phantom.labels(grid, split=True)
    body = np.isin(classes, [Class.MARROW, Class.RIM])
    assert dice(body, reference(labels, seen_grid, {Kind.BODY})) > 0.8
    canal = np.isin(classes, [Class.CANAL, Class.CORD])
    assert dice(canal, reference(labels, seen_grid, {Kind.CANAL, Kind.CORD})) > 0.7
    for found, kind in KINDS.items():
        if (classes == found).any():
            inside = reference(labels, seen_grid, {kind})
            assert (classes == found)[inside].mean() > 5 * (classes == found)[~inside].mean()
