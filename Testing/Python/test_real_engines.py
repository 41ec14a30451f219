"""The strong engines, run for real: the installed programs on models that the tests make (:mod:`tiny_models`).

Covered, for the releases that are installed: the command line, the environment, weights where the program looks for
them, its own steps from a scan in a file to a label map in a file (with the real nnU-Net), lines of progress, label
values, cancellation with its worker processes, and what is said where there are no weights.

Not covered: what the published weights find, their download, their sizes and time, a GPU, Windows and macOS; SPINEPS's
models for MR and the crop of large scans by VIBESegmentator.  The instance and labeling networks of SPINEPS are real in
form, but set to answer what does not depend on the anatomy.

They need PyTorch and the programs, and take minutes: elsewhere they are skipped.
"""

import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_models import Reader, nnunet_model, spineps_models

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.segmentation.protocol import Segmented
from SpineAnalysisLib.segmentation.registry import engines
from SpineAnalysisLib.spine import Contrast
from SpineAnalysisLib.volume import LabelMap, Volume

# Intensities from -3 on: disc L5-S1, disc L4-L5, canal, nothing, arch and body of L4, body and arch of L5, sacrum.
LOWEST = -3
NOTHING = [0] * 9


def readers(classes: list[int], heads: int, channels: int = 1) -> Reader:
    return Reader(LOWEST, classes, heads, channels)


def totalspineseg_models(folder: Path) -> None:
    for number, reader in ((1, readers([5, 1, 8, 0, 0, 0, 0, 0, 6], 10)),
                           (2, readers([5, 1, 10, 0, 7, 7, 8, 8, 9], 12, channels=2))):
        nnunet_model(folder / "nnUNet" / "results" / f"Dataset10{number}_TotalSpineSeg_step{number}"
                     / "nnUNetTrainerDAExt__nnUNetPlans__3d_fullres", reader, "nnUNetTrainerDAExt", 1.0)


def totalsegmentator_models(folder: Path) -> None:
    coarse, usual, other = "_4000epochs_NoMirroring", "NoMirroring", "_DASegOrd0"
    models = {  # brain (22) stands for what no one asked for
        "Dataset298_TotalSegmentator_total_6mm_1559subj": (readers([0] * 4 + [27] * 5, 118), coarse, 6.0),
        "Dataset291_TotalSegmentator_part1_organs_1559subj": (readers(NOTHING, 25), usual, 1.5),
        "Dataset292_TotalSegmentator_part2_vertebrae_1532subj": (readers([0, 0, 0, 0, 4, 4, 3, 3, 1], 27), usual, 1.5),
        "Dataset293_TotalSegmentator_part3_cardiac_1559subj": (readers(NOTHING, 19), usual, 1.5),
        "Dataset294_TotalSegmentator_part4_muscles_1559subj": (readers([22, 22, 11, *[0] * 6], 24), usual, 1.5),
        "Dataset295_TotalSegmentator_part5_ribs_1559subj": (readers(NOTHING, 27), usual, 1.5),
        "Dataset305_vertebrae_discs_1559subj": (readers([2, 2, 0, 0, 0, 1, 1, 1, 1], 3), other, 1.5),
        "Dataset756_mri_vertebrae_1076subj": (readers([0, 0, 0, 0, 3, 3, 2, 2, 1], 26), other + "_NoMirroring", 1.5)}
    for dataset, (reader, suffix, spacing) in models.items():
        nnunet_model(folder / dataset / f"nnUNetTrainer{suffix}__nnUNetPlans__3d_fullres", reader,
                     f"nnUNetTrainer{suffix}", spacing)


def spineps_folder(folder: Path) -> None:
    semantic = Reader(0, [0, 3, 4, 4, 5, 6, 6, 1, 1, 2], 7)  # it likes no negative values: they come after the others
    spineps_models(folder, semantic, {1: 100, 2: 61, 3: 41, 4: 49, 5: 41, 6: 26}, cutout=(120, 40, 96),
                   levels={22: 10.0, 23: 8.0})  # L4, or else L5: were they equal, L5 and L6 would be as good


MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "totalspineseg": ("TOTALSPINESEG_DATA", totalspineseg_models),
    "totalsegmentator": ("TOTALSEG_WEIGHTS_PATH", totalsegmentator_models),
    "spineps": ("SPINEPS_SEGMENTOR_MODELS", spineps_folder)}
PACKAGES = {"totalspineseg": "totalspineseg", "totalsegmentator": "TotalSegmentator", "spineps": "spineps"}
SPACING = {"totalspineseg": 1.0, "totalsegmentator": 1.5, "spineps": 1.0}  # of their networks: painted edges stay sharp


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """An engine whose program is installed."""
    engine = engines()[request.param]
    try:
        version(PACKAGES[engine.name])
    except PackageNotFoundError:
        pytest.skip(f"{engine.title} is not installed: {engine.install}")
    if find_spec("torch") is None:
        pytest.skip(f"{engine.title} has no PyTorch: pip install torch")
    return engine.name


@pytest.fixture(scope="module")
def models(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(name)
    MODELS[name][1](folder)
    return folder


@pytest.fixture
def ready(name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine with its models, and no way to the network; nobody's settings are touched."""
    monkeypatch.setenv(MODELS[name][0], str(models))
    monkeypatch.setenv("TOTALSEG_HOME_DIR", str(tmp_path))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    return name


@pytest.fixture(scope="module")
def truth(name: str) -> LabelMap:
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.S1))
    return phantom.labels(phantom.grid((SPACING[name],) * 3, "PSR"), split=True)


@pytest.fixture(scope="module")
def scan(name: str, truth: LabelMap) -> Volume:
    bone = {Level.L4: {Kind.ARCH: 1, Kind.BODY: 2}, Level.L5: {Kind.BODY: 3, Kind.ARCH: 4},
            Level.S1: {Kind.ARCH: 5, Kind.BODY: 5}}
    image = np.zeros(truth.shape, np.int16)
    for value, structure in truth.structures.items():
        if structure.kind is Kind.DISC:
            image[truth.array == value] = -3 if structure.level is Level.L5 else -2
        elif structure.level is None:
            image[truth.array == value] = -1
        else:
            image[truth.array == value] = bone[structure.level][structure.kind]
    if name == "spineps":
        image[image < 0] += 10
    return Volume(image, truth.ijk_to_ras)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def of_level(labels: LabelMap, level: Level) -> np.ndarray:
    return labels.mask(v for v, s in labels.structures.items() if s.kind.is_bone and s.level is level)


def of_kind(labels: LabelMap, *kinds: Kind) -> np.ndarray:
    return labels.mask(v for v, s in labels.structures.items() if s.kind in kinds)


def check_bones(found: Segmented, truth: LabelMap, scan: Volume) -> None:
    labels = found.labeled.labels
    assert labels.same_grid(scan)
    assert found.labeled.levels_known
    assert labels.levels == (Level.L4, Level.L5, Level.S1)
    everything = (Kind.VERTEBRA, Kind.BODY, Kind.ARCH)
    assert dice(of_kind(labels, *everything), of_kind(truth, *everything)) > 0.98
    for level in labels.levels:  # what of SPINEPS's vertebrae lies outside the tests' cutouts may go to a neighbor
        least = 0.9 if found.labeled.scheme == "spineps" else 0.98
        assert dice(of_level(labels, level), of_level(truth, level)) > least, level


def processes_in(scratch: Path) -> set[int]:
    """Processes whose temporary files are somewhere in a folder."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            running = (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if running and f"TMPDIR={scratch}".encode() in environment:
            found.add(int(folder.name))
    return found


def test_a_scan_becomes_structures(ready: str, scan: Volume, truth: LabelMap) -> None:
    contrasts: dict[str, Contrast] = {"totalspineseg": "T2", "totalsegmentator": "CT", "spineps": "CT"}
    said: list[tuple[float, str]] = []
    found = engines()[ready].segment(scan, contrasts[ready], progress=lambda f, m: said.append((f, m)))
    check_bones(found, truth, scan)
    assert dice(of_kind(found.labeled.labels, Kind.DISC), of_kind(truth, Kind.DISC)) > 0.98
    canal = of_kind(found.labeled.labels, Kind.CANAL, Kind.CANAL_CONTENT, Kind.DURAL_SAC)
    assert dice(canal, of_kind(truth, Kind.CANAL)) > 0.98
    assert found.provenance["version"] == version(PACKAGES[ready])
    fractions = [f for f, _ in said]
    assert fractions == sorted(fractions)
    assert len({m for _, m in said}) >= 5, "stages of the program's own output"
    stages = {f for f, _ in {m: (f, m) for f, m in reversed(said)}.values()}
    assert set(fractions) - stages, "its progress bars count between the stages"


def test_vertebrae_of_mr(ready: str, scan: Volume, truth: LabelMap) -> None:
    if ready != "totalsegmentator":
        pytest.skip("the only one with another model for MR that can be told here")
    found = engines()[ready].segment(scan, "T1")
    assert found.provenance["runs"] == ["vertebrae_mr"]
    check_bones(found, truth, scan)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells the environment of processes")
def test_cancel_leaves_no_process(ready: str, scan: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # sockets have short paths
        monkeypatch.setattr(tempfile, "tempdir", folder)
        check_cancel(ready, scan, Path(folder))


def check_cancel(ready: str, scan: Volume, scratch: Path) -> None:
    wanted = 1 if ready == "spineps" else 3  # which works in one process
    most = 0

    def progress(fraction: float, _message: str) -> bool:
        nonlocal most
        if fraction > 0.05:  # at work, no longer starting
            most = max(most, len(processes_in(scratch)))
        return most < wanted

    with pytest.raises(Cancelled):
        engines()[ready].segment(scan, "CT", progress=progress)
    assert most >= wanted
    assert processes_in(scratch) == set()
    assert not list(scratch.glob("spine-analysis-*")), "nothing stays behind"


def test_without_weights(ready: str, scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = MODELS[ready][0]
    (tmp_path / "nowhere").mkdir()
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=f"{engines()[ready].title} could not get its weights: connect to the network "
                                         f"once, or put them into .*{variable}.*; its last lines: ") as error:
        engines()[ready].segment(scan, "CT")
    assert "\n" not in str(error.value)
