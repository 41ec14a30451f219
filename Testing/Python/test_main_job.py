"""The whole command in unusual places and on unusual input."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib import cli
from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Kind, Segment
from SpineAnalysisLib.headless import fresh_scene
from SpineAnalysisLib.mrml.export import write_segmentation
from SpineAnalysisLib.mrml.segmentations import derived_segments
from SpineAnalysisLib.phantoms import Phantom, preset
from SpineAnalysisLib.phantoms.__main__ import write
from SpineAnalysisLib.progress import Progress
from SpineAnalysisLib.results import write_measurements
from SpineAnalysisLib.volume import LabelMap

SPACING_MM = 2.0


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return preset("stenotic_lumbar")


@pytest.fixture(scope="module")
def labels(phantom: Phantom) -> LabelMap:
    return phantom.labels(phantom.grid(SPACING_MM))


@pytest.fixture(scope="module")
def segmentation(labels: LabelMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "segmentation.nii.gz"
    write(labels, path)
    return path


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that write measurements only."""
    def write_light(analysis: Analysis, folder: Path, _progress: Progress) -> None:
        write_measurements(analysis, folder)

    monkeypatch.setattr(cli, "_write", write_light)


def run(output: Path, segmentation: Path, *more: str) -> int:
    return cli.main(["run", "--segmentation", str(segmentation), "-o", str(output), "--quiet", *more])


def values(output: Path) -> dict[tuple[str, str], float | None]:
    """(key, level) -> value."""
    records = json.loads((output / "measurements.json").read_text("utf-8"))["records"]
    return {(r["key"], r["level"]): r["value"] for r in records}


def test_an_existing_folder_stays_the_same_folder(segmentation: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a mounted disk, a link, or where the user is."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    before = (tmp_path / "real").stat().st_ino
    monkeypatch.chdir(tmp_path / "link")
    assert run(Path(), segmentation) == cli.DONE
    (tmp_path / "real" / "note.txt").write_text("mine")
    assert run(tmp_path / "link", segmentation, "--overwrite") == cli.DONE
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").stat().st_ino == before
    assert {"measurements.json", "measurements.csv", "canal_profile.csv", "note.txt"} == {
        path.name for path in (tmp_path / "real").iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_asked_to_end_leaves_nothing(segmentation: Path, tmp_path: Path, ending: str) -> None:
    program = f"""
import signal, time
from SpineAnalysisLib import cli
signal.signal(signal.{ending}, signal.SIG_DFL)  # or else, below nohup, it would rightly be ignored
def wait(analysis, folder, progress):
    (folder / "measurements.json").write_text("{{}}")
    print("waiting", flush=True)
    time.sleep(60)
cli._analyze, cli._write = lambda arguments, progress: None, wait
raise SystemExit(cli.main(["run", "--segmentation", {str(segmentation)!r}, "-o", {str(tmp_path / "out")!r}]))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               encoding="utf-8", env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])})
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(getattr(signal, ending))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == cli.INTERRUPTED
    assert "Interrupted; nothing was written." in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spacing", [(2.0, 1.2, 1.8), (1.2, 1.2, 2.1)])
def test_voxels_of_unequal_sides(phantom: Phantom, spacing: tuple[float, float, float]) -> None:
    """Too equal for thick slices; the centerline must not swing from one plane of voxels to the next."""
    turn = Rotation.from_euler("xyz", [12, -9, 15], degrees=True).as_matrix()
    analysis = analyze(None, phantom.labels(phantom.grid(spacing, rotation=turn)))
    assert len(analysis.spine.segments) == 6
    for truth in phantom.truth():
        if truth.key == "canal_area" and isinstance(truth.level, Segment):
            found = analysis.measurement("canal_area", str(truth.level))
            assert found is not None
            assert found.value == pytest.approx(truth.value, rel=0.06)


def test_gaps_in_the_canal_are_no_stenosis(phantom: Phantom, labels: LabelMap) -> None:
    """A label that is interrupted leaves values out; none changes beside the gaps."""
    heights = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T)[:, 2].reshape(labels.shape)
    canal = labels.mask(labels.values([Kind.CANAL, Kind.CORD]))
    gaps = ((heights > -103) & (heights < -88)) | ((heights > -73) & (heights < -59)) | ((heights > 0) & (heights < 30))
    cut = replace(labels, array=np.where(canal & gaps, 0, labels.array))
    whole, holed = analyze(None, labels), analyze(None, cut)
    assert holed.spine.centerline.length == pytest.approx(whole.spine.centerline.length, abs=5)
    places = {str(m.level) for m in holed.measurements if m.key == "canal_area" and m.value is not None}
    assert {"T12", "T12-L1", "L1", "L3-L4", "L4-L5"} <= places
    assert places.isdisjoint({"L3", "L5"})
    for place in places:
        before, after = (a.measurement("canal_area", place) for a in (whole, holed))
        assert before is not None
        assert after is not None
        assert after.value == pytest.approx(before.value, rel=0.05)


@pytest.mark.parametrize(("change", "message"), [
    ("ten times as large", "times as far apart as they do in adults"), ("upside down", "head to foot"),
    ("no vertebrae", "none of the vertebrae of SpineAnalysis is labeled")])
def test_labels_of_a_known_scheme_that_cannot_be(labels: LabelMap, tmp_path: Path, change: str, message: str,
                                                 capfd: pytest.CaptureFixture[str]) -> None:
    tubes = labels.mask(labels.values([Kind.CANAL, Kind.DISC]))
    changed = {"ten times as large": labels.transformed(np.diag([10, 10, 10, 1])),
               "upside down": labels.transformed(np.diag([1, -1, -1, 1])),
               "no vertebrae": replace(labels, array=np.where(tubes, labels.array, 0))}[change]
    write(changed, tmp_path / "labels.nii.gz")
    assert run(tmp_path / "out", tmp_path / "labels.nii.gz") == cli.BAD_INPUT
    assert message in capfd.readouterr().err
    if change == "ten times as large":
        assert run(tmp_path / "out", tmp_path / "labels.nii.gz", "--scheme", "spineanalysis") == cli.BAD_INPUT
    assert not (tmp_path / "out").exists()


def test_specks_change_nothing(labels: LabelMap, tmp_path: Path) -> None:
    """Networks leave stray voxels of any label anywhere."""
    random = np.random.default_rng(5)
    array = labels.array.copy()
    for corner, value in zip(random.integers(0, labels.shape, (12, 3)), random.choice(list(labels.structures), 12),
                             strict=True):
        array[tuple(slice(start, start + 2) for start in corner)] = value
    write(replace(labels, array=array), tmp_path / "specks.nii.gz")
    write(labels, tmp_path / "clean.nii.gz")
    for name in ("specks", "clean"):
        assert run(tmp_path / name, tmp_path / f"{name}.nii.gz") == cli.DONE
    specks, clean = (values(tmp_path / name) for name in ("specks", "clean"))
    for key, value in clean.items():
        if key[0] in ("canal_area", "canal_ap_diameter"):
            assert specks[key] == pytest.approx(value, rel=0.05), key


def test_a_derived_canal_stays_derived_in_the_exported_segmentation(phantom: Phantom, tmp_path: Path) -> None:
    """Or else thresholds of the dural sac would be applied to the bony canal."""
    bones = phantom.labels(phantom.grid(SPACING_MM), discs=False, canal=False, cord=False)
    first = analyze(None, bones)
    write_segmentation(first, tmp_path / "segmentation.seg.nrrd")
    assert run(tmp_path / "again", tmp_path / "segmentation.seg.nrrd") == cli.DONE
    content = json.loads((tmp_path / "again" / "measurements.json").read_text("utf-8"))
    areas = {r["level"]: r for r in content["records"] if r["key"] == "canal_area"}
    for record in first.measurements:
        if record.key == "canal_area" and record.value is not None:
            assert areas[str(record.level)]["value"] == pytest.approx(record.value, rel=1e-3)
            assert "canal_derived" in areas[str(record.level)]["flags"]
    assert any("The canal was derived" in doubt for doubt in content["doubts"])
    with fresh_scene() as scene:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(tmp_path / "segmentation.seg.nrrd"))
        assert node.GetStorageNode().ReadData(node)
        assert "spinal canal" in derived_segments(node)
        assert "L4 vertebra" not in derived_segments(node)
