"""The built-in engine around its network: the way there and back, memory, cancellation, refusals.

The network is played by a table that reads the class from the scan's intensity, so that the right answer is known; what
the real one finds is measured by ``Utilities/evaluate_segmentation.py``.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from network_answers import Table, center_of, dice, mask_of, scan_of
from numpy.typing import NDArray

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.segmentation import builtin
from SpineAnalysisLib.segmentation.builtin import ENGINE
from SpineAnalysisLib.segmentation.hints import Hint, HintKind
from SpineAnalysisLib.segmentation.network import predict
from SpineAnalysisLib.segmentation.network.model import Network, load
from SpineAnalysisLib.volume import LabelMap, Volume

LEVELS = (Level.L3, Level.L4, Level.L5)

@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    session = Table()
    network = Network(session, "0" * 64, {"version": "table"})
    monkeypatch.setattr(builtin, "load", lambda _path: network)
    return session


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L3, Level.S1))


@pytest.fixture(scope="module")
def sagittal(phantom: Phantom) -> tuple[Volume, LabelMap]:
    return scan_of(phantom, (1.0, 1.0, 4.0), "PSR")


def check(labels: LabelMap, truth: LabelMap, least: float) -> None:
    assert labels.levels == (*LEVELS, Level.S1)
    for kind, levels in ((Kind.BODY, LEVELS), (Kind.DISC, LEVELS), (Kind.ARCH, LEVELS), (Kind.CANAL, [None])):
        for level in levels:
            assert dice(mask_of(labels, kind, level), mask_of(truth, kind, level)) > least, (kind, level)


def test_sagittal_slices_go_there_and_back(table: Table, sagittal: tuple[Volume, LabelMap]) -> None:
    scan, truth = sagittal
    said: list[tuple[float, str]] = []
    found = ENGINE.segment(scan, "T2", progress=lambda f, m: said.append((f, m)))
    assert found.labeled.labels.same_grid(scan)
    check(found.labeled.labels, truth, 0.9)
    assert not found.labeled.levels_known
    assert "upward from the sacrum" in found.labeled.notes[0]
    fractions = [f for f, _ in said]
    assert fractions == sorted(fractions)
    assert {"Looking for the spine", "Segmenting the spine", "Telling vertebrae apart"} <= {m for _, m in said}
    assert {shape[0] for shape in table.shapes} <= set(range(1, predict.BATCH + 1))


@pytest.mark.parametrize("grid", ["axial", "oblique"])
def test_any_grid(table: Table, phantom: Phantom, grid: str) -> None:
    """Axial slices; a flipped grid that is turned against the patient by 20 degrees."""
    turn = np.radians(20.0)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    scan, truth = scan_of(phantom, (4.0, 1.0, 1.0), "LPS") if grid == "axial" else \
        scan_of(phantom, (4.0, 1.0, 1.0), "LIA", rotation)
    labels = ENGINE.segment(scan, "T2").labeled.labels
    assert labels.same_grid(scan)
    scores = {level: dice(mask_of(labels, Kind.BODY, level), mask_of(truth, Kind.BODY, level)) for level in LEVELS}
    assert labels.levels == (*LEVELS, Level.S1)
    assert min(scores.values()) > 0.9, scores


def test_the_same_every_time_whatever_the_slabs(table: Table, sagittal: tuple[Volume, LabelMap],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    scan, _ = sagittal
    first = ENGINE.segment(scan, "T2")
    monkeypatch.setattr(builtin, "_SLAB_VOXELS", 40_000)
    again = ENGINE.segment(scan, "T2")
    assert np.array_equal(first.labeled.labels.array, again.labeled.labels.array)
    assert first.provenance == again.provenance


def test_what_is_kept_of_doubt(table: Table, sagittal: tuple[Volume, LabelMap]) -> None:
    scan, _ = sagittal
    found = ENGINE.segment(scan, "T2")
    labels = found.labeled.labels
    body = found.probabilities[Kind.BODY]
    inside = labels.to_ras(np.argwhere(mask_of(labels, Kind.BODY, Level.L4)).mean(axis=0))
    assert body.array[tuple(np.rint(body.to_ijk(inside)).astype(int))] > 200
    assert body.array.max() <= 255
    assert set(found.provenance["confidence"]) == {"L3", "L4", "L5"}
    assert min(found.provenance["confidence"].values()) > 0.85
    assert found.provenance["model_sha256"] == "0" * 64
    assert json.loads(json.dumps(found.provenance)) == found.provenance


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.5, 0.8])
def test_cancel(table: Table, sagittal: tuple[Volume, LabelMap], moment: float) -> None:
    with pytest.raises(Cancelled):
        ENGINE.segment(sagittal[0], "T2", progress=lambda fraction, _message: fraction < moment)


def test_patches_cover_long_regions_and_overlap(table: Table, sagittal: tuple[Volume, LabelMap],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    scan, truth = sagittal
    monkeypatch.setattr(predict, "PATCH", (64, 48))
    monkeypatch.setattr(predict, "OVERLAP", 16)
    check(ENGINE.segment(scan, "T2").labeled.labels, truth, 0.9)
    assert (64, 48) in {shape[2:] for shape in table.shapes}


def ball() -> NDArray[np.floating]:
    """A femoral head: what looks like a body, and nothing else of a spine."""
    offset = np.stack(np.meshgrid(*[np.arange(n) for n in (20, 90, 90)], indexing="ij"), axis=-1) - (10, 45, 45)
    array = np.where(np.linalg.norm(offset * (4.0, 1.0, 1.0), axis=-1) < 24.0, 400.0, 100.0)
    array[:, :3], array[:, -3:] = 0.0, 900.0
    return array


@pytest.mark.parametrize("array", [np.zeros((20, 60, 60), np.int16), np.full((20, 60, 60), 7.0), ball()],
                         ids=["empty", "flat", "ball"])
def test_no_spine_is_one_sentence(table: Table, array: NDArray) -> None:
    with pytest.raises(InputError, match=r"^No spine was found in this scan; check") as error:
        ENGINE.segment(Volume(array, np.diag([4.0, 1.0, 1.0, 1.0])), "T1")
    assert str(error.value).count(". ") == 0


def test_a_short_axial_block_is_refused_with_what_to_do(table: Table, sagittal: tuple[Volume, LabelMap]) -> None:
    """Five slices of 4 mm, as real axial blocks of a disc are."""
    matrix = sagittal[0].ijk_to_ras @ np.diag([1.0, 4.0 / sagittal[0].spacing[1], 1.0, 1.0])
    assert sagittal[0].shape[1] > 5
    scan = Volume(np.random.default_rng(0).uniform(0, 500, (60, 5, 60)), matrix)
    with pytest.raises(InputError, match=r"^This scan shows only 20 mm of the spine's length, .*a longer scan"):
        ENGINE.segment(scan, "T2")


def test_pieces_of_two_vertebrae_are_refused_too(table: Table, sagittal: tuple[Volume, LabelMap]) -> None:
    """A block of 28 mm around a disc, in which bodies are seen, though none is whole."""
    scan, truth = sagittal
    height = int(np.abs(scan.ijk_to_ras[2, :3]).argmax())
    middle = round(float(scan.to_ijk(center_of(truth, Structure(Kind.DISC, Level.L3)))[height]))
    half = int(14.0 / scan.spacing[height])
    lower, upper = np.zeros(3, int), np.array(scan.shape)
    lower[height], upper[height] = middle - half, middle + half
    with pytest.raises(InputError, match=r"^This scan shows only 2\d mm of the spine's length"):
        ENGINE.segment(scan.crop(lower, upper), "T2")


def test_a_region_keeps_the_engine_from_looking_elsewhere(table: Table, sagittal: tuple[Volume, LabelMap]) -> None:
    scan, truth = sagittal
    points = np.array([center_of(truth, Structure(Kind.BODY, level)) for level in (Level.L3, Level.L4)])
    found = ENGINE.segment(scan, "T2", hints=[Hint(HintKind.REGION, points)])
    heights = found.labeled.labels.to_ras(np.argwhere(found.labeled.labels.array > 0))[:, 2]
    assert heights.min() > points[1, 2] - 36.0
    assert [hint["kind"] for hint in found.provenance["hints"]] == ["region"]
    with pytest.raises(InputError, match="No spine was found"):
        ENGINE.segment(scan, "T2", hints=[Hint(HintKind.REGION, points + np.array([0.0, 150.0, 0.0]))])


def test_a_model_that_is_not_the_published_one_is_not_loaded(tmp_path: Path) -> None:
    model = tmp_path / "spine.onnx"
    with pytest.raises(InputError, match="model is missing or unreadable: install the extension again"):
        load(model)
    model.write_bytes(b"a network")
    model.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(b"another").hexdigest()}))
    with pytest.raises(InputError, match=r"is not the one that was published \(its SHA-256 differs\)"):
        load(model)
