"""Whole cohorts on a real Dask cluster of this computer, by the commands that people type."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from SpineAnalysisLib import cli
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.cohort.cluster import local_client, local_workers, remote_client, run_all
from SpineAnalysisLib.cohort.place import Place
from SpineAnalysisLib.cohort.study import Scan, Study
from SpineAnalysisLib.cohort.work import Outcome, Settings
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.phantoms.__main__ import write
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.segmentation import read_segmentation

PROGRAM = (sys.executable, str(Path(__file__).with_name("stand_in_study.py")))
ENDS = {"dseg.json", "dseg.nii.gz", "dseg.tsv", "measurements.json", "measurements.tsv", "canalprofile.tsv",
        "report.html", "thumbnail.png"}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One phantom with its segmentation, one scan that is none."""
    root = tmp_path_factory.mktemp("cohort") / "bids"
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5))
    grid = phantom.grid((2.5, 2.5, 2.5), "PSR", margin=(30.0, 5.0, 10.0))
    for label in ("01", "02"):
        (root / f"sub-{label}" / "anat").mkdir(parents=True)
    made = root / "derivatives" / "manual" / "sub-01" / "anat"
    made.mkdir(parents=True)
    write(phantom.image(grid, "T2", noise=3.0, seed=0), root / "sub-01" / "anat" / "sub-01_acq-sag_T2w.nii.gz")
    write(phantom.labels(grid), made / "sub-01_acq-sag_dseg.nii.gz")
    (root / "sub-02" / "anat" / "sub-02_T2w.nii.gz").write_bytes(b"no image")
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t40\tF\nsub-02\t50\tM\n")
    (root / "dataset_description.json").write_text('{"Name": "Test", "BIDSVersion": "1.10.0"}')
    return root


def test_a_bids_data_set_by_both_levels(data_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "derivatives"
    arguments = [str(data_set), str(out)]
    chosen = ["--derivatives", "manual", "--only", "canal", "--n-workers", "1"]
    assert cli.bids([*arguments, "group"]) == cli.BAD_INPUT, "nothing to report on yet"
    assert cli.bids([*arguments, "participant", *chosen]) == 3, "one of them is no scan"
    assert "1 done, 1 failed" in capfd.readouterr().err
    assert not (out / "cohort.html").exists()
    folder = out / "sub-01" / "anat"
    assert {path.name.removeprefix("sub-01_acq-sag_desc-spine_") for path in folder.iterdir()} == ENDS
    description = json.loads((out / "dataset_description.json").read_text("utf-8"))
    assert (description["DatasetType"], description["GeneratedBy"][0]["Name"]) == ("derivative", "Spine Analysis")
    assert not (out / "sub-02").exists()
    assert cli.bids([*arguments, "group", "--quiet"]) == cli.DONE
    assert "not in the format that its name says" in (out / "cohort.html").read_text("utf-8")
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["participant_id"], row["age"], row["sex"]) for row in rows} == {("sub-01", "40.0", "female")}
    assert {row["segmentation"] for row in rows} == {"given"}
    assert any(row["key"] == "canal_area" and row["level"] == "L4-L5" and row["value"] for row in rows)
    assert all(row["key"].startswith(("canal", "cord", "csf", "max")) for row in rows), "only what was asked for"
    capfd.readouterr()
    assert cli.bids([*arguments, "participant", *chosen, "--participant-label", "01"]) == cli.DONE
    assert "1 of 1: sub-01 unchanged" in capfd.readouterr().err
    _valid_bids(out)
    _same_segmentation(data_set, folder / "sub-01_acq-sag_desc-spine_dseg.nii.gz")


def _valid_bids(out: Path) -> None:
    """By the validator of BIDS itself, which is content but for the authors, whom only the user knows."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, "--format", "json", out], capture_output=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert report["summary"]["subjects"] == ["01"]
    assert {issue["code"] for issue in report["issues"]["issues"]} <= {"TOO_FEW_AUTHORS"}


def _same_segmentation(data_set: Path, written: Path) -> None:
    """The label map lies on the scan's voxels, and holds the structures that were given."""
    scan = read_image([data_set / "sub-01" / "anat" / "sub-01_acq-sag_T2w.nii.gz"]).volume
    found = read_segmentation(written).volume
    given = read_segmentation(data_set / "derivatives/manual/sub-01/anat/sub-01_acq-sag_dseg.nii.gz").volume
    assert found is not None
    assert given is not None
    assert found.same_grid(scan, 0.01)
    with written.with_name(written.name.replace(".nii.gz", ".tsv")).open(encoding="utf-8", newline="") as stream:
        table = {int(row["index"]): row for row in csv.DictReader(stream, delimiter="\t")}
    bones = [value for value, row in table.items() if row["name"] in ("L4 vertebra", "L4 body")]
    assert bones
    assert set(map(int, set(found.array.ravel().tolist()) - {0})) <= set(table)
    assert (given.array > 0)[found.array == bones[0]].all()


def test_real_scan_by_the_built_in_engine(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    anat = tmp_path / "bids" / "sub-cc0" / "ses-day0" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-cc0_ses-day0_acq-sag_T2w.nii.gz").symlink_to(real_data("lumbar_subject_cc0/mr03_t2_sag.nii.gz"))
    out = tmp_path / "out"
    assert cli.main(["cohort", str(tmp_path / "bids"), str(out), "--quiet", "--only", "canal"]) == cli.DONE
    with (out / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        areas = [row for row in csv.DictReader(stream) if row["key"] == "canal_area" and row["value"]]
    assert {"sub-cc0"} == {row["participant_id"] for row in areas}
    assert {"builtin"} == {row["segmentation"] for row in areas}
    assert all(20 < float(row["value"]) < 600 for row in areas)
    assert "sub-cc0_ses-day0" in (out / "quality.html").read_text("utf-8")
    assert (out / "sub-cc0/ses-day0/anat/sub-cc0_ses-day0_acq-sag_desc-spine_thumbnail.png").stat().st_size > 5000
    told = [path.read_text("utf-8") for path in out.rglob("*") if path.suffix in (".json", ".csv", ".tsv", ".html")]
    assert not any("mr03_t2_sag" in text or str(tmp_path) in text for text in told)


@pytest.fixture
def studies(tmp_path: Path) -> Callable[[list[str]], list[Study]]:
    def make(what: list[str]) -> list[Study]:
        found = []
        for number, text in enumerate(what):
            scan = tmp_path / f"{number:02d}.txt"
            scan.write_text(text, "utf-8")
            found.append(Study(f"{number:02d}", scans=(Scan(scan),), stem=f"sub-{number:02d}"))
        return found

    return make


def test_no_study_is_lost_when_workers_are_killed(studies: Callable[[list[str]], list[Study]], tmp_path: Path) -> None:
    every = studies([*["sleep 0.8"] * 8, "bad", "crash"])
    settings = Settings(tmp_path / "out", program=PROGRAM)
    Place(settings.output).open()
    killed: list[int] = []
    with local_client(2) as client:
        workers = list(client.run(os.getpid).values())

        def kill_one(outcome: Outcome, count: int) -> None:
            if count in (2, 5):
                busy = [pid for pid in workers if pid not in killed]
                killed.append(busy[0])
                os.kill(busy[0], signal.SIGKILL)

        outcomes = run_all(every, settings, client, kill_one)
    assert len(killed) == 2
    assert {outcome.state for outcome in outcomes[:8]} <= {"done", "unchanged"}, "one may be asked for twice"
    assert [outcome.state for outcome in outcomes[8:]] == ["failed"] * 2
    assert all(Place(settings.output).recorded(study) is not None for study in every)
    started = [int(line) for study in every for line in study.scans[0].path.with_suffix(".runs").read_text().split()]
    assert len(started) >= len(every), "who was on a killed worker may have run twice"
    assert not any(map(psutil.pid_exists, started)), "and nobody outlived a worker"
    assert not any(map(psutil.pid_exists, [*killed, *workers]))


def test_a_study_that_takes_its_workers_along_fails_alone(studies: Callable[[list[str]], list[Study]], tmp_path: Path
                                                          ) -> None:
    dask = pytest.importorskip("dask")
    settings = Settings(tmp_path / "out", program=PROGRAM)
    Place(settings.output).open()
    every = studies(["ok", "sleep 60", "ok"])
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local_client(1) as client:
        worker = next(iter(client.run(os.getpid).values()))

        def kill(outcome: Outcome, count: int) -> None:
            if count == 1:
                os.kill(worker, signal.SIGKILL)

        outcomes = run_all(every, settings, client, kill)
    assert sorted(outcome.state for outcome in outcomes) == ["done", "done", "failed"]
    assert "Every worker that had it was lost" in outcomes[1].reason
    record = Place(settings.output).recorded(every[1])
    assert record is not None
    assert record.reason == outcomes[1].reason


def test_a_scheduler_that_runs_already(studies: Callable[[list[str]], list[Study]], tmp_path: Path) -> None:
    settings = Settings(tmp_path / "out", program=PROGRAM)
    Place(settings.output).open()
    every = studies(["ok"])
    with local_client(1) as owner, remote_client(owner.scheduler.address) as client:
        assert run_all(every, settings, client, lambda outcome, count: None)[0].state == "done"


def test_a_computer_is_filled_and_not_overfilled() -> None:
    assert local_workers(8, 64.0) == 8
    assert local_workers(8, 13.0) == 4
    assert local_workers(1, 2.0) == 1


@pytest.mark.parametrize(("more", "said"), [
    (["--engine", "unknown"], "no engine unknown"), (["--only", "hair"], "no family hair"),
    (["--scheme", "hair"], "no scheme hair"), (["--participant-label", "77"], "no participant 77"),
    (["--derivatives", "nowhere"], "no derivatives")])
def test_wrong_wishes_are_told_before_anything_is_done(data_set: Path, tmp_path: Path, more: list[str], said: str,
                                                       capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cohort", str(data_set), str(tmp_path / "out"), *more]) == cli.BAD_INPUT
    assert said in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(InputError, match=r"spine-analysis\[cohort\]"), local_client(1):
        pass
