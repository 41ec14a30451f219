"""One study on a worker: limits, failures, what is kept and what is done again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from SpineAnalysisLib.cohort import child
from SpineAnalysisLib.cohort.place import Place, locked, write_whole
from SpineAnalysisLib.cohort.study import Scan, Study
from SpineAnalysisLib.cohort.work import Outcome, Settings, _arguments, key_of, work_on
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.further import read_further
from SpineAnalysisLib.reading.image import read_image

PROGRAM = (sys.executable, str(Path(__file__).with_name("stand_in_study.py")))

Make = Callable[..., Study]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    Place(tmp_path / "out").open()
    return Settings(tmp_path / "out", program=PROGRAM, seconds=60.0)


@pytest.fixture
def study(tmp_path: Path) -> Make:
    def make(what: str, subject: str = "1") -> Study:
        scan = tmp_path / "DOE" / f"{subject}.txt"
        scan.parent.mkdir(exist_ok=True)
        scan.write_text(what, "utf-8")
        return Study(subject, scans=(Scan(scan),), stem=f"sub-{subject}")

    return make


def runs(study: Study) -> int:
    log = study.scans[0].path.with_suffix(".runs")
    return len(log.read_text().splitlines()) if log.exists() else 0


def leftovers(settings: Settings) -> list[Path]:
    return list((settings.output / ".cohort" / "work").iterdir())


def test_what_is_done_is_not_done_again(settings: Settings, study: Make) -> None:
    first = study("ok")
    place = Place(settings.output)
    assert work_on(first, settings).state == "done"
    assert (settings.output / "sub-1" / "anat" / "sub-1_desc-spine_measurements.json").is_file()
    assert work_on(first, settings) == Outcome("sub-1", "unchanged")
    assert work_on(first, replace(settings, seconds=9.0, gigabytes=9.0, threads=1)).state == "unchanged", \
        "limits change no result"
    assert runs(first) == 1
    for changed, now in ((first, replace(settings, options=("--only", "canal"))),
                         (replace(first, scans=(Scan(first.scans[0].path, "T1"),)), settings),
                         (study("ok "), settings)):
        assert work_on(changed, now).state == "done"
        assert work_on(changed, now).state == "unchanged"
    assert runs(first) == 4
    (settings.output / "sub-1" / "anat").rename(settings.output / "elsewhere")
    assert work_on(study("ok "), settings).state == "done", "results that are gone are made again"
    moved = first.scans[0].path.rename(first.scans[0].path.with_name("another_name"))
    assert work_on(replace(first, scans=(Scan(moved),)), settings).state == "unchanged", "only the content counts"
    record = place.recorded(first)
    assert record is not None
    assert record.state == "done"
    assert leftovers(settings) == []


def test_another_network_makes_other_results(settings: Settings, study: Make, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    first = study("ok")
    before = key_of(first, settings)
    assert key_of(first, settings) == before
    (tmp_path / "new.json").write_text('{"version": "2"}')
    monkeypatch.setitem(key_of.__globals__, "default_path", lambda: tmp_path / "new.onnx")
    assert key_of(first, settings) != before


def test_failures_are_told_in_a_sentence_and_tried_again(settings: Settings, study: Make) -> None:
    bad = study("bad")
    outcome = work_on(bad, settings)
    assert (outcome.state, outcome.reason) == ("failed", "The file the image is no scan; pass one.")
    record = Place(settings.output).recorded(bad)
    assert record is not None
    assert (record.state, record.reason) == ("failed", outcome.reason)
    work_on(bad, settings)
    assert runs(bad) == 2
    crashed = work_on(study("crash", "2"), settings)
    assert "crashed (signal 11)" in crashed.reason
    absent = work_on(Study("3", scans=(Scan(settings.output / "DOE.nii.gz"),), stem="sub-3"), settings)
    assert "cannot be read" in absent.reason
    records = (settings.output / ".cohort" / "studies").glob("*.json")
    assert not any("DOE" in path.read_text("utf-8") for path in records)
    assert leftovers(settings) == []
    assert not (settings.output / "sub-1").exists()


def test_results_stay_when_a_later_run_fails(settings: Settings, study: Make) -> None:
    work_on(study("ok"), settings)
    path = settings.output / "sub-1" / "anat" / "sub-1_desc-spine_measurements.json"
    before = path.read_bytes()
    assert work_on(study("bad"), settings).state == "failed"
    assert path.read_bytes() == before
    record = Place(settings.output).recorded(study("bad"))
    assert record is not None
    assert record.state == "failed", "but they do not pass for those of what failed"


def test_a_study_that_hangs_is_ended_with_all_that_it_started(settings: Settings, study: Make) -> None:
    started = time.monotonic()
    outcome = work_on(study("sleep 60"), replace(settings, seconds=1.0))
    assert "time limit of 0.0167 minutes" in outcome.reason
    assert time.monotonic() - started < 20
    pid = int(study("sleep 60").scans[0].path.with_suffix(".runs").read_text())
    assert not psutil.pid_exists(pid)


def test_a_study_that_takes_too_much_memory_is_ended(settings: Settings, study: Make) -> None:
    outcome = work_on(study("memory"), replace(settings, gigabytes=0.2))
    assert "memory limit of 0.2 GB" in outcome.reason
    assert 0.2 < outcome.gigabytes < 1.0


def test_children_of_a_child_count_and_go_too(tmp_path: Path) -> None:
    program = ("import subprocess, sys, time; x = bytearray(10**8); "
               "subprocess.Popen([sys.executable, '-c', 'import time; x = bytearray(2 * 10**8); time.sleep(60)'], "
               "start_new_session=True); time.sleep(60)")
    ended = child.run_limited([sys.executable, "-c", program], os.environ, tmp_path / "errors.txt", 60.0, 0.28)
    assert ended.ending == "memory", "neither takes so much alone"
    assert not [process for process in psutil.process_iter(["cmdline"])
                if "bytearray(2 * 10**8)" in " ".join(process.info["cmdline"] or [])]


def test_the_command_ends_when_who_started_it_is_gone(tmp_path: Path) -> None:
    program = ("import time, pathlib; from SpineAnalysisLib.terminal import ended_tidily, ended_with_parent\n"
               "with ended_tidily():\n    ended_with_parent()\n    try:\n        print('ready', flush=True)\n"
               "        time.sleep(60)\n    finally:\n        pathlib.Path('tidied').touch()")
    library = str(Path(child.__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, cwd=tmp_path, env={**os.environ, "PYTHONPATH": library})
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    assert process.wait(20) != 0
    assert (tmp_path / "tidied").exists()
    process.stdout.close()


def test_two_cannot_write_into_one_folder(settings: Settings, study: Make) -> None:
    place = Place(settings.output)
    with place.alone(), pytest.raises(InputError, match="Another run"), place.alone():
        pass
    with place.alone():
        pass
    one = study("ok")
    with place.alone_with(one, 0.0), pytest.raises(InputError, match="still busy"), place.alone_with(one, 0.3):
        pass
    holder = subprocess.Popen([sys.executable, "-c", "import fcntl, sys, time; f = open(sys.argv[1], 'ab'); "
                               "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)",
                               str(settings.output / ".cohort" / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with locked(settings.output / ".cohort" / "lock", 0.0) as mine:
        assert not mine
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with locked(settings.output / ".cohort" / "lock", 5.0) as mine:
        assert mine, "a lock goes with its holder"


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="other files"):
        Place(tmp_path).open()
    with pytest.raises(InputError, match="no results"):
        Place(tmp_path).check()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Nothing can be written"):
        Place(tmp_path / "file").open()


def test_a_crash_between_moving_and_recording_makes_the_study_run_again(settings: Settings, study: Make,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    first = study("ok")
    work_on(first, settings)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    changed = study("ok changed")
    with monkeypatch.context() as patch:
        patch.setattr(Place, "record", crash)
        with pytest.raises(KeyboardInterrupt):
            work_on(changed, settings)
    assert Place(settings.output).recorded(changed) is None
    assert work_on(changed, settings).state == "done"


def test_files_are_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_whole(path, "before\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half of it\udc80")
    assert path.read_text("utf-8") == "before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_workers_of_another_version_refuse(settings: Settings, study: Make) -> None:
    outcome = work_on(study("ok"), replace(settings, version="0.0.1"))
    assert "0.0.1" in outcome.reason
    assert runs(study("ok")) == 0


def test_a_dicom_folder_is_read_with_what_belongs_together(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = real_data("lumbar_subject_cc0/dicom/mr03_t2_sag")
    arguments = list(_arguments(Study("1", scans=(Scan(folder),), stem="sub-1"), Settings(tmp_path), tmp_path / "made"))
    series = arguments[arguments.index("--series") + 1]
    assert arguments[arguments.index("--also") + 1] == str(folder)
    first = read_image([folder], series)
    assert read_further([str(folder)], first, optional=True).scans == (), "a single series is not its own further scan"


def test_a_further_scan_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "t1.nii.gz").write_bytes(b"no scan")
    found = read_further([f"T1={tmp_path / 't1.nii.gz'}"], None, optional=True)
    assert found.scans == ()
    assert found.notes[0].startswith("A further scan was left out:")
    with pytest.raises(InputError):
        read_further([f"T1={tmp_path / 't1.nii.gz'}"], None)


def test_records_that_are_damaged_count_for_nothing(settings: Settings, study: Make) -> None:
    one = study("ok")
    work_on(one, settings)
    path = settings.output / ".cohort" / "studies" / "sub-1.json"
    for text in ("", "{", "[]", json.dumps({"other": 1})):
        path.write_text(text)
        assert Place(settings.output).recorded(one) is None
