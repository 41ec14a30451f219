"""The built-in engine with its real network, in a process of its own, on a real scan."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stand_in_engines import children

from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.segmentation import process
from SpineAnalysisLib.segmentation.apart import segment_apart
from SpineAnalysisLib.segmentation.builtin import ENGINE
from SpineAnalysisLib.segmentation.hints import Hint, HintKind
from SpineAnalysisLib.segmentation.protocol import Limits
from SpineAnalysisLib.volume import Volume


@pytest.fixture(scope="module")
def scan(real_data) -> Volume:
    return read_image([real_data("lumbar_subject_cc0/mr15_t2_sag.nii.gz")]).volume


def test_it_finds_the_same_as_in_this_process(scan):
    told: list[tuple[float, str]] = []
    alone = segment_apart(ENGINE, scan, "T2", progress=lambda f, m: told.append((f, m)))
    here = ENGINE.segment(scan, "T2")
    np.testing.assert_array_equal(alone.labeled.labels.array, here.labeled.labels.array)
    assert alone.labeled.labels.structures == here.labeled.labels.structures
    assert (alone.labeled.notes, alone.labeled.levels_known, alone.labeled.canal_means) == \
        (here.labeled.notes, here.labeled.levels_known, here.labeled.canal_means)
    assert alone.provenance == here.provenance
    assert {"Looking for the spine", "Segmenting the spine", "Telling vertebrae apart"} <= {m for _f, m in told}
    assert [f for f, _m in told] == sorted(f for f, _m in told)
    assert children() == []


def test_cancel_ends_it_at_once_in_the_middle_of_its_work(scan):
    canceled = []

    def progress(_fraction: float, message: str) -> bool:
        if "Segmenting" in message:
            assert len(children()) == 1
            canceled.append(time.monotonic())
        return not canceled
    with pytest.raises(Cancelled):
        segment_apart(ENGINE, scan, "T2", progress=progress)
    assert time.monotonic() - canceled[0] < 3.0, "nothing has to be killed by force"
    assert children() == []


def test_its_refusal_is_its_own_sentence(scan):
    nothing = scan.with_array(np.random.default_rng(0).normal(100, 5, scan.shape).astype(np.float32))
    with pytest.raises(InputError) as apart:
        segment_apart(ENGINE, nothing, "T2")
    with pytest.raises(InputError) as here:
        ENGINE.segment(nothing, "T2")
    assert str(apart.value) == str(here.value)


def test_points_reach_it(scan):
    """A region far from the spine leaves nothing to find."""
    corner = Hint(HintKind.REGION, scan.to_ras(np.array([[1.0, 1.0, 1.0]])))
    with pytest.raises(InputError, match="spine"):
        segment_apart(ENGINE, scan, "T2", hints=(corner,))


def test_a_killed_process_is_one_sentence(scan):
    def kill(fraction: float, _message: str) -> None:
        if fraction > 0.05:
            for number in children():
                os.kill(number, signal.SIGKILL)
    with pytest.raises(InputError, match="Built-in engine was killed, most likely for lack of memory"):
        segment_apart(ENGINE, scan, "T2", progress=kill)


def test_a_time_limit_ends_it(scan):
    with pytest.raises(InputError, match="time limit"):
        segment_apart(ENGINE, scan, "T2", limits=Limits(seconds=0.1))


@pytest.mark.parametrize(("name", "found"), [("python3.12", True), ("python-real", False), ("SlicerApp-real", False)])
def test_slicer_runs_children_with_its_own_python(monkeypatch, tmp_path, name, found):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(Path("/somewhere") / name))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert process.python_executable() == (sys.executable if found else str(launcher))
