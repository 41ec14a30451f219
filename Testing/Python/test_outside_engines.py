"""The strong engines, run as real child processes: progress, cancellation, limits, garbage.

The children are stand-ins of the same names and command lines (:mod:`stand_in_engines`), because the real programs need
torch, nnU-Net and weights from the network.  So these tests show this project's side of the door: the command line, the
environment, the output and its limits, the understanding of the result.  ``test_real_engines.py`` runs the real
programs where they are installed.  Neither shows what their weights find.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import stand_in_engines

from SpineAnalysisLib import cli
from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.phantoms.__main__ import write
from SpineAnalysisLib.results import write_measurements
from SpineAnalysisLib.schemes import SCHEMES
from SpineAnalysisLib.segmentation.exchange import read_labels, upright, write_scan
from SpineAnalysisLib.segmentation.install import built_in, constraints, question
from SpineAnalysisLib.segmentation.process import memory_of_group
from SpineAnalysisLib.segmentation.protocol import Limits
from SpineAnalysisLib.segmentation.registry import engines
from SpineAnalysisLib.volume import LabelMap, Volume

NAMES = ("totalspineseg", "totalsegmentator", "spineps")
LABELS = {"totalspineseg": ["labels"], "totalsegmentator": ["total", "vertebrae_body"], "spineps": ["vert", "spine"]}
MR_ONLY = {"totalspineseg", "spineps"}


@pytest.fixture(scope="module")
def truth() -> LabelMap:
    """L4 to the sacrum on an oblique grid, parts told apart."""
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.S1))
    turn = np.radians(12.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return phantom.labels(phantom.grid((2.5, 1.5, 1.5), "LSA", rotation=rotation), split=True)


@pytest.fixture(scope="module")
def scan(truth: LabelMap) -> Volume:
    noise = np.random.default_rng(0).normal(0.0, 20.0, truth.shape)
    return Volume((noise + 300.0 * (truth.array > 0)).astype(np.int16), truth.ijk_to_ras)


@pytest.fixture
def stand_in(truth: LabelMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Installs the stand-in of an engine, told what to do; returns its folder."""
    def put(engine: str, mode: str) -> Path:
        stand_in_engines.install(engine, tmp_path, mode)
        for name, labels in label_maps(truth).items():
            write(labels, tmp_path / f"{name}.nii.gz")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path

    return put


def label_maps(truth: LabelMap) -> dict[str, LabelMap]:
    """What each program would write for the phantom, by the stand-ins' names."""
    def drawn(value_of: Callable[[Structure], int]) -> LabelMap:
        array = np.zeros(truth.shape, np.uint16)
        for value, structure in truth.structures.items():
            array[truth.array == value] = value_of(structure)
        return LabelMap(array, truth.ijk_to_ras)

    def by_scheme(name: str) -> Callable[[Structure], int]:
        value_of = {(s.kind, s.level): v for v, s in reversed(SCHEMES[name].table.items())}
        return lambda s: value_of.get((Kind.VERTEBRA if s.kind.is_bone else s.kind, s.level), 0)

    parts = {Kind.BODY: 49, Kind.ARCH: 41, Kind.CORD: 60, Kind.CANAL: 61, Kind.DISC: 100}
    return {"labels": drawn(by_scheme("totalspineseg")), "total": drawn(by_scheme("totalsegmentator")),
            "vertebrae_mr": drawn(by_scheme("totalsegmentator_vertebrae_mr")),
            "vertebrae_body": drawn(lambda s: {Kind.BODY: 1, Kind.DISC: 2}.get(s.kind, 0)),
            "vert": drawn(by_scheme("spineps")),
            "spine": drawn(lambda s: 26 if s.level is Level.S1 else parts.get(s.kind, 0))}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_from_scan_to_structures(name: str, scan: Volume, truth: LabelMap,
                                            stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in(name, "good")
    said: list[tuple[float, str]] = []
    found = engines()[name].segment(scan, "T2" if name in MR_ONLY else "CT",
                                    progress=lambda f, m: said.append((f, m)))
    labels = found.labeled.labels
    assert labels.same_grid(scan)
    assert labels.levels == (Level.L4, Level.L5, Level.S1)
    assert found.labeled.levels_known
    for level in (Level.L4, Level.L5):
        bone = truth.mask(v for v, s in truth.structures.items() if s.kind.is_bone and s.level is level)
        mine = labels.mask(v for v, s in labels.structures.items() if s.kind.is_bone and s.level is level)
        assert np.count_nonzero(bone & mine) > 0.99 * np.count_nonzero(bone)
    fractions = [f for f, _ in said]
    assert fractions == sorted(fractions)
    assert len({m for _, m in said}) > 3, "stages of the program's own output"
    assert any(0.2 < f < 0.9 for f in fractions)
    assert found.provenance["engine"] == engines()[name].title
    called = (folder / "ARGUMENTS").read_text().split("\n\n")[:-1]
    assert len(called) == len(found.provenance["runs"])
    assert not Path(next(a for a in called[0].splitlines() if a.endswith(".nii.gz"))).exists(), "nothing stays behind"
    environment = (folder / "ENVIRONMENT").read_text().splitlines()
    assert "PIP_REQUIRE_VIRTUALENV=1" in environment


def test_bodies_come_with_the_vertebrae_of_a_ct(scan: Volume, stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in("totalsegmentator", "good")
    found = engines()["totalsegmentator"].segment(scan, "CT")
    assert {s.kind for s in found.labeled.labels.structures.values()} >= {Kind.BODY, Kind.VERTEBRA, Kind.DISC}
    first = (folder / "ARGUMENTS").read_text().split("\n\n")[0].splitlines()
    assert first[first.index("--task") + 1] == "total"
    assert {"vertebrae_C1", "vertebrae_S1", "sacrum", "spinal_cord", "rib_left_12", "hip_left"} <= set(first)
    assert engines()["totalsegmentator"].segment(scan, "T1").provenance["runs"] == ["vertebrae_mr"]


def test_a_program_that_wants_a_gpu_is_told_that_there_is_none(scan: Volume,
                                                                stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in("spineps", "good")
    engines()["spineps"].segment(scan, "T2")
    assert "--cpu" in (folder / "ARGUMENTS").read_text().splitlines()


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
def test_a_program_ends_with_its_host(stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in("totalspineseg", "hang")
    code = ("import numpy; from SpineAnalysisLib.volume import Volume; "
            "from SpineAnalysisLib.segmentation.totalspineseg import ENGINE; "
            "ENGINE.segment(Volume(numpy.ones((8, 8, 8), 'int16'), numpy.eye(4)))")
    host = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        assert comes_true(lambda: (folder / "PIDS").exists() and (folder / "PIDS").read_text() != "")
    finally:
        host.kill()
        host.wait()
    pids = [int(pid) for pid in (folder / "PIDS").read_text().split()]
    assert comes_true(lambda: not any(alive(pid) for pid in pids))


def comes_true(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
@pytest.mark.parametrize("name", NAMES)
def test_cancel_ends_the_program_and_its_children(name: str, scan: Volume,
                                                  stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in(name, "hang")
    pids: list[int] = []

    def progress(fraction: float, _message: str) -> bool:
        if (folder / "PIDS").exists() and fraction > 0.05:
            pids[:] = [int(p) for p in (folder / "PIDS").read_text().split()]
        return not pids

    start = time.monotonic()
    with pytest.raises(Cancelled):
        engines()[name].segment(scan, "T2", progress=progress)
    assert time.monotonic() - start < 30.0
    assert len(pids) == 2
    assert [pid for pid in pids if alive(pid)] == []


def test_time_limit(scan: Volume, stand_in: Callable[[str, str], Path]) -> None:
    folder = stand_in("totalspineseg", "hang")
    with pytest.raises(InputError, match=r"TotalSpineSeg was ended after its time limit of 0.04 minutes; its last "
                                         r"lines: a line that tells nothing \| Preprocessing images:"):
        engines()["totalspineseg"].segment(scan, limits=Limits(seconds=2.4))
    assert not any(alive(int(pid)) for pid in (folder / "PIDS").read_text().split())


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells a group's memory")
def test_memory_limit(scan: Volume, stand_in: Callable[[str, str], Path]) -> None:
    stand_in("totalspineseg", "greedy")
    with pytest.raises(InputError, match=r"was ended at its memory limit of 0\.3 GB"):
        engines()["totalspineseg"].segment(scan, limits=Limits(gigabytes=0.3))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells a group's memory")
def test_memory_is_that_of_the_group() -> None:
    code = "import time; kept = bytearray(300_000_000); print('ready', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert 0.28 < memory_of_group(child.pid) < 0.40
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert memory_of_group(child.pid) == 0.0


FAILURES = {
    "no memory": "ran out of memory: crop the scan.*CUDA out of memory",
    "no network": "could not get its weights: connect to the network once, or put them into .*Temporary failure",
    "killed": "was killed, most likely for lack of memory",
    "crash": r"failed \(exit status 1\).*RuntimeError: no kernel image is available",
    "nothing": "The result of .* cannot be used .*; its last lines: ",
    "garbage": "The result of .* cannot be used .*; its last lines: ",
    "empty": "The result of .* cannot be used .*empty",
    "noise": "The result of .* cannot be used ",
}


@pytest.mark.parametrize("mode", FAILURES)
def test_a_failure_is_one_sentence(mode: str, scan: Volume, stand_in: Callable[[str, str], Path]) -> None:
    name = NAMES[len(mode) % 3]
    stand_in(name, mode)
    with pytest.raises(InputError, match=FAILURES[mode]) as error:
        engines()[name].segment(scan, "T2")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 900


def test_what_is_not_installed_says_how_to_get_it(scan: Volume) -> None:
    absent = [engine for engine in engines().values() if engine.name in NAMES and not engine.installed]
    if not absent:
        pytest.skip("all of them are installed")
    for engine in absent:
        with pytest.raises(InputError, match=f"{engine.title} is not installed: get it with pip install"):
            engine.segment(scan)


def test_the_command_line_runs_an_engine(scan: Volume, stand_in: Callable[[str, str], Path],
                                         monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    folder = stand_in("totalspineseg", "good")
    write(scan, folder / "scan.nii.gz")
    monkeypatch.setattr(cli, "_write", lambda analysis, results, _progress: write_measurements(analysis, results))
    assert cli.main(["run", str(folder / "scan.nii.gz"), "--engine", "totalspineseg", "-o", str(folder / "out")]) == 0
    provenance = json.loads((folder / "out" / "measurements.json").read_text("utf-8"))["provenance"]
    assert provenance["engine"]["engine"] == "TotalSpineSeg"
    assert provenance["scheme"] == "totalspineseg"
    assert [entry["role"] for entry in provenance["inputs"]] == ["image"]
    told = capfd.readouterr().err
    assert "LGPL-3.0" in told, "the license is told before it runs"
    assert "TotalSpineSeg finds vertebrae" in told
    assert cli.main(["run", str(folder / "scan.nii.gz"), "--engine", "totalspineseg", "-o", str(folder / "out"),
                     "--overwrite", "--point", "split@0,0,0"]) == cli.BAD_INPUT
    assert "takes no points" in capfd.readouterr().err


def test_installing_keeps_what_is_there() -> None:
    lines = constraints().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line) for line in lines)
    asked = question(engines()["totalsegmentator"])
    assert "Apache-2.0" in asked
    assert "usage statistics" in asked
    assert "TotalSegmentator>=" in asked


def test_what_slicer_built_itself_is_not_installed_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built_in() == [], "pip knows them here"

    def unknown(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setitem(built_in.__globals__, "distribution", unknown)
    assert built_in() == ["vtk", "SimpleITK"]
    assert {"vtk<0", "SimpleITK<0"} <= set(constraints().splitlines())


@pytest.mark.parametrize("recent", [False, True])
def test_slicer_installs_an_engine_beside_its_own_packages(recent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = importlib.import_module("SpineAnalysisLib.mrml.packages")
    calls: list[tuple[list[str], dict[str, object]]] = []

    def pip_install(requirements: list[str], **options: object) -> None:
        file = options.get("constraints") or requirements[-1]
        calls.append((requirements, options | {"text": Path(str(file)).read_text("utf-8")}))

    monkeypatch.setitem(packages._install.__globals__, "built_in", lambda: ["vtk"])
    monkeypatch.setattr(packages.slicer.util, "pip_install", pip_install, raising=False)
    stub = types.SimpleNamespace(pip_install=pip_install) if recent else None
    monkeypatch.setitem(sys.modules, "slicer.packaging", stub)
    monkeypatch.setattr(packages.slicer, "packaging", stub, raising=False)
    packages._install(["spineps>=2.1"])
    (requirements, options), = calls
    assert requirements[0] == "spineps>=2.1"
    assert f"numpy=={np.__version__}\n" in str(options["text"])
    assert options.get("skip_packages") == (["vtk"] if recent else None)


def test_sheared_and_flipped_scans_survive_the_files(tmp_path: Path) -> None:
    matrix = np.array([[-0.8, 0.0, 0.0, 20.0], [0.0, 0.9, 0.5, -10.0], [0.0, 0.0, 2.5, 3.0], [0, 0, 0, 1.0]])
    array = np.zeros((30, 32, 14), np.int16)
    array[8:20, 10:22, 4:10] = 1000
    sheared = Volume(array, matrix)
    straight = upright(sheared)
    axes = straight.ijk_to_ras[:3, :3] / straight.spacing
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    center = sheared.to_ras(np.array([13.5, 15.5, 6.5]))
    middle = np.average(np.argwhere(straight.array > 0), axis=0, weights=straight.array[straight.array > 0])
    assert np.allclose(straight.to_ras(middle), center, atol=0.1)
    write_scan(sheared, tmp_path / "scan.nii.gz")
    write(straight.with_array((straight.array > 500).astype(np.uint8)), tmp_path / "labels.nii.gz")
    back = read_labels(tmp_path / "labels.nii.gz", sheared)
    assert back.same_grid(sheared)
    overlap = np.count_nonzero((back.array > 0) & (array > 0))
    assert 2 * overlap / (np.count_nonzero(back.array) + np.count_nonzero(array)) > 0.93


def test_every_engine_says_what_people_must_know() -> None:
    assert next(iter(engines())) == "builtin"
    assert set(NAMES) < set(engines())
    for engine in engines().values():
        assert engine.title
        assert engine.scans
        assert engine.license
        assert engine.url.startswith("https://")
        assert engine.requirements
        assert all(">=" in requirement for requirement in engine.requirements)
        assert engine.hardware
        assert engine.terms or engine.name == "builtin"
