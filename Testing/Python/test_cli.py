"""The command line: what a run leaves, and what it says when it cannot."""

import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scan_files import noise, write, write_series

from SpineAnalysisLib import __version__, cli
from SpineAnalysisLib.analysis import Analysis
from SpineAnalysisLib.anatomy import Kind
from SpineAnalysisLib.phantoms import preset
from SpineAnalysisLib.phantoms.__main__ import main as make_phantom
from SpineAnalysisLib.phantoms.__main__ import write as write_phantom
from SpineAnalysisLib.progress import Progress, silent
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.results import write_measurements
from SpineAnalysisLib.schemes import merge_segments

FILES = {"scene.mrb", "segmentation.seg.nrrd", "measurements.json", "measurements.csv", "canal_profile.csv",
         "report.html"}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stenotic spine: image.nii.gz and segmentation.nii.gz."""
    folder = tmp_path_factory.mktemp("phantom")
    assert make_phantom(["stenotic_lumbar", str(folder), "--spacing", "2", "2", "2"]) == 0
    return folder


@pytest.fixture(scope="module")
def whole_run(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one complete run."""
    output = tmp_path_factory.mktemp("run") / "results"
    assert cli.main(["run", str(phantom / "image.nii.gz"), "--segmentation", str(phantom / "segmentation.nii.gz"),
                     "-o", str(output), "--quiet"]) == cli.DONE
    return output


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that write measurements only."""
    def write_light(analysis: Analysis, folder: Path, _progress: Progress) -> None:
        write_measurements(analysis, folder)

    monkeypatch.setattr(cli, "_write", write_light)


@pytest.fixture(scope="module")
def analysis(phantom: Path) -> Analysis:
    arguments = cli._parser().parse_args(run_arguments(phantom, Path("unused")))
    return cli._analyze(arguments, silent)


@pytest.fixture
def analyzed(analysis: Analysis, light: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Light runs that need no time, for tests of what becomes of the output."""
    monkeypatch.setattr(cli, "_analyze", lambda _arguments, _progress: analysis)


def labels_of(phantom: Path) -> NDArray[np.unsignedinteger]:
    volume = read_segmentation(phantom / "segmentation.nii.gz").volume
    assert volume is not None
    return volume.array


def relabeled(phantom: Path, path: Path, change: Callable[[NDArray], NDArray]) -> Path:
    """The phantom's segmentation with other labels, at the same place."""
    import SimpleITK
    image = SimpleITK.ReadImage(str(phantom / "segmentation.nii.gz"))
    changed = SimpleITK.GetImageFromArray(change(SimpleITK.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    SimpleITK.WriteImage(changed, str(path))
    return path


def run_arguments(phantom: Path, output: Path, *more: str) -> list[str]:
    return ["run", str(phantom / "image.nii.gz"), "--segmentation", str(phantom / "segmentation.nii.gz"), "-o",
            str(output), *more]


def fails(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = cli.BAD_INPUT) -> str:
    """The one line on standard error of a quiet run that fails."""
    assert cli.main([*arguments, "--quiet"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("spine-analysis: ")
    assert "Traceback" not in err
    return err


def test_a_run_leaves_everything(whole_run: Path, phantom: Path) -> None:
    assert {path.name for path in whole_run.iterdir()} == FILES
    assert list(whole_run.parent.iterdir()) == [whole_run], "nothing beside it"
    content = json.loads((whole_run / "measurements.json").read_text("utf-8"))
    assert "L4-L5" in content["findings"][0]
    assert any(r["key"] == "canal_area" and r["level"] == "L4-L5" and r["grade"] for r in content["records"])
    with zipfile.ZipFile(whole_run / "scene.mrb") as bundle:
        assert any(name.endswith(".mrml") for name in bundle.namelist())
    assert "<html" in (whole_run / "report.html").read_text("utf-8")
    again = merge_segments(read_segmentation(whole_run / "segmentation.seg.nrrd").segments)
    assert [str(level) for level in again.labels.levels] == ["T12", "L1", "L2", "L3", "L4", "L5", "S1"]
    assert np.count_nonzero(again.labels.array) == np.count_nonzero(labels_of(phantom))


def test_tables_say_what_the_records_say(whole_run: Path) -> None:
    records = json.loads((whole_run / "measurements.json").read_text("utf-8"))["records"]
    with (whole_run / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["key", "title", "level", "side", "value", "word", "unit", "uncertainty", "quality",
                             "flags", "scan", "grade", "cutoff", "source", "led_by"]
    assert [(r["key"], r["level"] or "", r["value"]) for r in records] == [
        (r["key"], r["level"], float(r["value"]) if r["value"] else None) for r in rows]
    graded = [(row, record["grade"]) for row, record in zip(rows, records, strict=True) if record["grade"]]
    assert graded
    assert all((row["grade"], row["cutoff"], row["source"]) == tuple(grade.values()) for row, grade in graded)
    with (whole_run / "canal_profile.csv").open(encoding="utf-8", newline="") as stream:
        profile = list(csv.DictReader(stream))
    assert {"L4-L5", "L3-L4"} <= {row["level"] for row in profile}
    assert any(float(row["canal_area_mm2"] or 0) > 50 for row in profile)


@pytest.mark.usefixtures("light")
def test_same_input_same_bytes_whatever_its_name(phantom: Path, tmp_path: Path, whole_run: Path) -> None:
    (tmp_path / "DOE_JANE").mkdir()
    for name in ("image", "segmentation"):
        (tmp_path / "DOE_JANE" / f"jane-{name}.nii.gz").write_bytes((phantom / f"{name}.nii.gz").read_bytes())
    image, segmentation = (str(tmp_path / "DOE_JANE" / f"jane-{name}.nii.gz") for name in ("image", "segmentation"))
    assert cli.main(["run", image, "--segmentation", segmentation, "-o", str(tmp_path / "out"), "--quiet"]) == 0
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (whole_run / path.name).read_bytes()
        assert "jane" not in path.read_text("utf-8").lower()


@pytest.mark.usefixtures("light")
def test_provenance(phantom: Path, tmp_path: Path) -> None:
    assert cli.main(run_arguments(phantom, tmp_path / "out", "--contrast", "T2", "--quiet")) == cli.DONE
    provenance = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))["provenance"]
    image = hashlib.sha256((phantom / "image.nii.gz").read_bytes()).hexdigest()
    assert [entry["role"] for entry in provenance["inputs"]] == ["image", "segmentation"]
    assert provenance["inputs"][0]["sha256"] == image
    assert provenance["versions"]["spine-analysis"] == __version__
    assert {"python", "numpy", "SimpleITK"} <= set(provenance["versions"])
    assert (provenance["contrast"], provenance["contrast_known_by"]) == ("T2", "command line")


@pytest.mark.usefixtures("light")
def test_a_segmentation_alone_and_a_summary(phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--segmentation", str(phantom / "segmentation.nii.gz"), "-o", str(tmp_path / "out")]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0].startswith("Abnormal levels: severe L4-L5; moderate L3-L4")
    assert out.splitlines()[1].startswith("L4-L5: severe central stenosis")
    assert out.splitlines()[-1] == f"Report: {tmp_path / 'out' / 'report.html'}"
    assert "Note: There is no scan" in out
    assert err.splitlines()[:2] == ["Reading", "Recognizing labels"], "plain lines where there is no terminal"


@pytest.mark.usefixtures("light")
def test_quiet_prints_the_place_only(phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(run_arguments(phantom, tmp_path / "out", "--quiet")) == cli.DONE
    assert capfd.readouterr() == (f"{tmp_path / 'out'}\n", "")


BAD_RUNS: dict[str, tuple[Callable[[Path, Path], list[str]], str]] = {
    "no such image": (lambda p, t: [str(t / "no.nii")], "There is no file or folder"),
    "cut MetaImage, about which a library chatters": (lambda p, t: [_cut(t / "x.mha")], "truncated or corrupt"),
    "constant": (lambda p, t: [str(write(t / "x.nii", np.ones((9, 9, 9), np.int16)))], "same value everywhere"),
    "several series": (lambda p, t: [_two_series(t / "dicom")], "2 DICOM series; choose one with --series: 4"),
    "engine that is not there": (lambda p, t: [str(p / "image.nii.gz"), "--engine", "spineps"],
                                 "SPINEPS is not installed: get it with pip install"),
    "point without a place": (lambda p, t: [str(p / "image.nii.gz"), "--point", "split@here"], "names no place"),
    "point without a meaning": (lambda p, t: [str(p / "image.nii.gz"), "--point", "L5@1,2,3"], "what it means"),
    "unknown engine": (lambda p, t: [str(p / "image.nii.gz"), "--engine", "magic"], "There is no engine magic"),
    "nothing": (lambda p, t: [], "nothing to analyze"),
    "empty": (lambda p, t: _segmented(p, t, np.zeros_like), "segmentation is empty"),
    "unknown labels": (lambda p, t: _segmented(p, t, lambda a: np.where(a > 0, a % 97 + 40000, 0)), "no known label"),
    "one vertebra": (lambda p, t: _segmented(p, t, _one_vertebra), "vertebra"),
    "no canal": (lambda p, t: ["--segmentation", _bodies(t / "bodies.nrrd")], "holds no spinal canal"),
    "unknown scheme": (lambda p, t: [*_given(p), "--scheme", "nonsense"], "no label scheme nonsense"),
    "other scheme": (lambda p, t: [*_given(p), "--scheme", "monai_verse"], "not of the label scheme"),
    "table of nothing": (lambda p, t: [*_given(p), "--scheme", _table(t / "x.json")], "table of label names"),
    "elsewhere": (lambda p, t: [str(write(t / "x.nii", noise(), origin=(900, 900, 900))), *_given(p)[1:]], "outside"),
    "three segmentations": (lambda p, t: [*_given(p), *[_given(p)[-1]] * 2], "cannot be combined"),
}


def _cut(path: Path) -> str:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:-300])
    return str(path)


def _two_series(folder: Path) -> str:
    write_series(folder, prefix="a")
    write_series(folder, prefix="b", series="1.2.4", number=7)
    return str(folder)


def _given(phantom: Path) -> list[str]:
    return [str(phantom / "image.nii.gz"), "--segmentation", str(phantom / "segmentation.nii.gz")]


def _segmented(phantom: Path, folder: Path, change: Callable[[NDArray], NDArray]) -> list[str]:
    changed = relabeled(phantom, folder / "changed.nrrd", lambda a: change(a).astype(np.uint16))
    return [str(phantom / "image.nii.gz"), "--segmentation", str(changed)]


def _one_vertebra(array: NDArray) -> NDArray:
    """L4 alone, in the project's own values."""
    return np.where(array == 1000 + 24, array, 0)


def _bodies(path: Path) -> str:
    """A spine of which only the vertebral bodies are labeled."""
    spine = preset("normal_lumbar")
    labels = spine.labels(spine.grid(3.0), split=True, discs=False, canal=False, cord=False)
    write_phantom(labels.with_array(np.where(labels.mask(labels.values(Kind.BODY)), labels.array, 0)), path)
    return str(path)


def _table(path: Path) -> str:
    path.write_text("{}")
    return str(path)


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_input_is_one_line_and_leaves_nothing(phantom: Path, tmp_path: Path, case: str,
                                                  capfd: pytest.CaptureFixture[str]) -> None:
    make, message = BAD_RUNS[case]
    arguments = make(phantom, tmp_path)
    assert message in fails(["run", *arguments, "-o", str(tmp_path / "deep" / "out")], capfd)
    assert not list((tmp_path / "deep").glob("*"))
    assert not list((tmp_path / "deep").glob(".*"))


def test_table_of_names_as_scheme(phantom: Path, tmp_path: Path, light: None) -> None:
    table = tmp_path / "mine.json"
    names = {"11": "L5 vertebra", "12": "L4 vertebra", "13": "L3 vertebra", "14": "spinal canal"}
    table.write_text(json.dumps(names))
    own = {1025: 11, 1024: 12, 1023: 13, 3000: 14, 3100: 14}

    def change(array: NDArray) -> NDArray:
        out = np.zeros_like(array)
        for value, other in own.items():
            out[array == value] = other
        return out

    changed = relabeled(phantom, tmp_path / "mine.nrrd", change)
    assert cli.main(["run", "--segmentation", str(changed), "--scheme", str(table), "-o", str(tmp_path / "out"),
                     "--quiet"]) == cli.DONE
    records = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))["records"]
    assert {"L3-L4", "L4-L5"} <= {r["level"] for r in records}


@pytest.mark.usefixtures("analyzed")
def test_output_that_is_taken(phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in fails(run_arguments(phantom, tmp_path / "file"), capfd)
    assert "Nothing can be written" in fails(run_arguments(phantom, tmp_path / "file" / "out"), capfd)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "holds other files" in fails(run_arguments(phantom, tmp_path / "mine", "--overwrite"), capfd)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert cli.main(run_arguments(phantom, tmp_path / "empty", "--quiet")) == cli.DONE
    assert (tmp_path / "empty" / "measurements.json").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_output_without_permission(phantom: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert "Nothing can be written" in fails(run_arguments(phantom, tmp_path / "out"), capfd)


@pytest.mark.usefixtures("analyzed")
def test_results_are_replaced_only_by_results(phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert cli.main(run_arguments(phantom, output, "--quiet")) == cli.DONE
    capfd.readouterr()
    (output / "measurements.csv").write_text("old")
    assert "already holds results; pass --overwrite" in fails(run_arguments(phantom, output), capfd)
    works = cli._write

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "_write", fail)
    assert "No space left on device" in fails(run_arguments(phantom, output, "--overwrite"), capfd)
    assert (output / "measurements.csv").read_text() == "old"
    monkeypatch.setattr(cli, "_write", works)
    assert cli.main(run_arguments(phantom, output, "--overwrite", "--quiet")) == cli.DONE
    assert (output / "measurements.csv").read_text() != "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("analyzed")
@pytest.mark.parametrize(("error", "code", "message"), [
    (MemoryError(), cli.BAD_INPUT, "not enough memory"),
    (KeyboardInterrupt(), cli.INTERRUPTED, "Interrupted; nothing was written"),
    (ZeroDivisionError("odd"), cli.INTERNAL_ERROR, "Internal error, please report it: ZeroDivisionError: odd")])
def test_what_goes_wrong_midway_leaves_nothing(phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capfd: pytest.CaptureFixture[str], error: BaseException, code: int,
                                               message: str) -> None:
    def half(_analysis: Analysis, folder: Path, _progress: Progress) -> None:
        (folder / "measurements.json").write_text("{}")
        raise error

    monkeypatch.setattr(cli, "_write", half)
    assert message in fails(run_arguments(phantom, tmp_path / "out"), capfd, code)
    assert list(tmp_path.iterdir()) == []
    assert cli.main(run_arguments(phantom, tmp_path / "out", "--verbose")) == code
    assert ("Traceback" in capfd.readouterr().err) == (code == cli.INTERNAL_ERROR)


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_killed_run_leaves_nothing_that_looks_whole(phantom: Path, tmp_path: Path,
                                                      analyzed: None) -> None:
    program = f"""
import os, signal
from SpineAnalysisLib import cli
def die(analysis, folder, progress):
    (folder / "measurements.json").write_text("{{}}")
    os.kill(os.getpid(), signal.SIGKILL)
cli._analyze = lambda arguments, progress: None
cli._write = die
cli.main({run_arguments(phantom, tmp_path / "out")!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False,
                            env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])})
    assert killed.returncode == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert [path.name.startswith(".out.partial-") for path in left] == [True]
    assert cli.main(run_arguments(phantom, tmp_path / "out", "--quiet")) == cli.DONE
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_lists_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schemes"]) == cli.DONE
    assert {"totalsegmentator", "verse", "spineps"} <= {line.split()[0] for line in
                                                        capsys.readouterr().out.splitlines()}
    assert cli.main(["engines"]) == cli.DONE
    listed = capsys.readouterr().out
    assert 'pip install "totalspineseg[nnunetv2]>=' in listed
    assert listed.startswith("builtin")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"spine-analysis {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "x.nii"], ["run", "x.nii", "-o", "y", "--lowest", "Q9"],
                                       ["run", "x.nii", "-o", "y", "--quiet", "--verbose"], ["dance"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: spine-analysis" in capsys.readouterr().err


def test_starting_is_light() -> None:
    program = ("import sys, SpineAnalysisLib.cli as cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
               "print(sorted({n.partition('.')[0] for n in sys.modules} & {'numpy', 'scipy', 'SimpleITK', 'slicer'}))")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False,
                         env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])})
    assert ran.stdout.splitlines()[-1] == "[]", ran.stderr
