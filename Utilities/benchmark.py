"""How long and how much memory the main job takes.  Run by hand: ``make benchmark`` or with names of what to run.

Absolute seconds depend on the machine; ratios within one run do not.
"""

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.cohort.child import process_library
from SpineAnalysisLib.cohort.cluster import local_client, run_all
from SpineAnalysisLib.cohort.place import Place
from SpineAnalysisLib.cohort.study import Scan, Study
from SpineAnalysisLib.cohort.work import Outcome, Settings
from SpineAnalysisLib.labeling.detections import Detection
from SpineAnalysisLib.labeling.label import label as name_levels
from SpineAnalysisLib.measurements.registry import families
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.phantoms.__main__ import write
from SpineAnalysisLib.phantoms.image import Contrast
from SpineAnalysisLib.segmentation.registry import engine_named
from SpineAnalysisLib.volume import LabelMap, Volume

SPACING_MM = 1.5
SEGMENTED: dict[str, tuple[Contrast, tuple[int, int, int], str]] = {
    "MR": ("T2", (448, 498, 15), "5 s and 3 GB"),
    "CT": ("CT", (512, 512, 300), "30 s and 3 GB")}
"""What the built-in engine is timed on: contrast, size of the scan, and the target on two cores."""
KILL_EVERY = 20
"""Studies of a cohort after which a worker is killed."""
TARGETS = {"measure": "10 s and 1.5 GB for 17 levels and more", "families": "10 s", "label": "50 ms",
           "run": "30 s with report and scene"}


def seconds(call: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """The best of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        call()
        best = min(best, clock() - start)
    return best


def peak_gigabytes() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def spine(upper: Level, lower: Level, margin: float = 8.0) -> LabelMap:
    """A phantom's whole vertebrae and discs, without canal, as CT segmentations are."""
    phantom = Phantom(SpineSpec.typical(upper, lower))
    return phantom.labels(phantom.grid(SPACING_MM, margin=margin), canal=False, cord=False)


def measure(_options: argparse.Namespace) -> None:
    """The measuring stage, C2 to sacrum; and what all families on a T2 scan take more than the canal alone."""
    phantom = Phantom(SpineSpec.typical(Level.C2, Level.S1))
    labels = spine(Level.C2, Level.S1)
    families()
    print(f"measure: {len(labels.levels)} levels in {seconds(lambda: analyze(None, labels)):.1f} s, "
          f"{peak_gigabytes():.2f} GB (target {TARGETS['measure']})")
    grid = phantom.grid(SPACING_MM)
    labels, image = phantom.labels(grid), phantom.image(grid, "T2")
    # The processor's time: other programs on the machine do not change it much.
    canal = seconds(lambda: analyze(image, labels, contrast="T2", only={"canal"}), 2, time.process_time)
    every = seconds(lambda: analyze(image, labels, contrast="T2"), 2, time.process_time)
    print(f"measure: {len(labels.levels)} levels on T2, seconds of processor: canal {canal:.1f}, all families "
          f"{every - canal:.1f} more (target {TARGETS['families']}); {peak_gigabytes():.2f} GB")


def linear(_options: argparse.Namespace) -> None:
    """Whether cost grows with the spine's length, and not with the image around it."""
    short, long = spine(Level.T12, Level.S1), spine(Level.T1, Level.S1)
    wide = spine(Level.T12, Level.S1, margin=80.0)
    base = seconds(lambda: analyze(None, short))
    for name, labels in (("longer spine", long), ("wider image", wide)):
        ratio = seconds(lambda labels=labels: analyze(None, labels)) / base  # type: ignore[misc]
        print(f"linear: {name}: {len(labels.levels) / len(short.levels):.1f} times the levels and "
              f"{labels.array.size / short.array.size:.1f} times the voxels take {ratio:.1f} times as long")


def label(_options: argparse.Namespace) -> None:
    """Naming a whole spine's vertebrae from their places alone."""
    chain = [Detection(vertebra.frame.origin) for vertebra in build_spine(spine(Level.C2, Level.S1)).vertebrae]
    print(f"label: {len(chain)} vertebrae in {1000 * seconds(lambda: name_levels(chain), 10):.0f} ms "
          f"(target {TARGETS['label']})")


def segment(_options: argparse.Namespace) -> None:
    """The built-in engine on phantom scans of the sizes that matter; each in a process of its own, for its memory."""
    for name in SEGMENTED:
        subprocess.run([sys.executable, __file__, "--segment-one", name], check=True)


def segment_one(name: str) -> None:
    """One scan: a phantom's on a coarse grid, its voxels repeated up to the wanted size, as only the size matters."""
    contrast, shape, target = SEGMENTED[name]
    phantom = Phantom(SpineSpec.typical(Level.T11, Level.S1))
    spacing, axes = ((2.0, 2.0, 4.0), "PIR") if name == "MR" else ((2.5, 2.5, 2.5), "LPS")
    coarse = phantom.image(phantom.grid(spacing, axes, margin=(90.0, 20.0, 20.0) if name == "MR" else 70.0), contrast)
    at = [np.arange(n) * m // n for n, m in zip(shape, coarse.shape, strict=True)]
    scale = np.diag([*np.array(coarse.shape) / shape, 1.0])
    scan = Volume(coarse.array[np.ix_(*at)], coarse.ijk_to_ras @ scale)
    engine = engine_named("builtin")
    before = peak_gigabytes()
    start = time.perf_counter()
    found = engine.segment(scan, contrast)
    print(f"segment: {name} {' x '.join(map(str, shape))} in {time.perf_counter() - start:.1f} s, "
          f"{peak_gigabytes():.2f} GB of which {before:.2f} GB before (target {target}); "
          f"{len(found.labeled.labels.levels)} of {len(phantom.spec.levels)} levels", flush=True)


def run(options: argparse.Namespace) -> None:
    """The whole command, in a process of its own."""
    segmentation: Path | None = options.segmentation
    with tempfile.TemporaryDirectory() as folder:
        if segmentation is None:
            subprocess.run([sys.executable, "-m", "SpineAnalysisLib.phantoms", "whole", folder, "--spacing",
                            *[str(SPACING_MM)] * 3], check=True)
            segmentation = Path(folder, "segmentation.nii.gz")
        command = [sys.executable, "-m", "SpineAnalysisLib.cli", "run", "--quiet", "--segmentation", str(segmentation),
                   "-o", f"{folder}/results"]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"run: {time.perf_counter() - start:.1f} s, {used:.2f} GB (target {TARGETS['run']})")


def cohort(options: argparse.Namespace) -> None:
    """Many small studies on one worker, on two, and on two of which one is killed now and then."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = phantom_studies(folder / "in", options.studies)
        one = studies[: max(2, len(studies) // 4)]
        alone, _ = analyzed(one, folder / "one", 1)
        both, memory = analyzed(studies, folder / "two", 2)
        ratio = (alone / len(one)) / (both / len(studies))
        quarter = max(1, len(memory) // 4)
        growth = 1000 * (np.median(memory[-quarter:]) - np.median(memory[:quarter]))
        print(f"cohort: {len(one)} studies on one worker {alone / len(one):.1f} s each, {len(studies)} on two "
              f"{both / len(studies):.1f} s each: {ratio:.2f} times as fast (target 1.8)", flush=True)
        print(f"cohort: client and workers use {memory[-1]:.2f} GB, in the last quarter {growth:+.0f} MB against the "
              "first", flush=True)
        analyzed(studies, folder / "killed", 2, kill_every=KILL_EVERY)


def phantom_studies(folder: Path, count: int) -> list[Study]:
    """Scans of one phantom that differ in their noise, with its segmentation."""
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5))
    grid = phantom.grid((2.5, 2.5, 2.5), "PSR", margin=(30.0, 5.0, 10.0))
    clean, noise = phantom.image(grid, "T2"), np.random.default_rng(0)
    folder.mkdir()
    write(phantom.labels(grid), folder / "labels.nii.gz")
    found = []
    for number in range(count):
        scan = folder / f"{number:04d}.nii.gz"
        write(clean.with_array(np.asarray(clean.array + noise.normal(0, 3.0, clean.shape), np.float32)), scan)
        found.append(Study(f"{number:04d}", "", (Scan(scan, "T2"),), (folder / "labels.nii.gz",),
                           stem=f"sub-{number:04d}"))
    return found


def analyzed(studies: list[Study], output: Path, workers: int, kill_every: int = 0) -> tuple[float, list[float]]:
    """Seconds for all, and gigabytes of this process and its workers after each, studies excluded."""
    ps, memory = process_library(), list[float]()
    settings = Settings(output, ("--only", "canal"), threads=1)
    Place(output).open()
    kills = 0
    with local_client(workers) as client:
        pids = list(client.run(os.getpid).values())

        def listen(_outcome: Outcome, count: int) -> None:
            nonlocal kills
            there = [ps.Process(pid) for pid in (os.getpid(), *pids) if ps.pid_exists(pid)]
            memory.append(sum(process.memory_info().rss for process in there) / 1e9)
            if kill_every and count % kill_every == 0 and count < len(studies):
                kills += 1
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        start = time.perf_counter()
        outcomes = run_all(studies, settings, client, listen)
        elapsed = time.perf_counter() - start
    lost = [o for o in outcomes if o.state == "failed"]
    print(f"cohort: {len(studies)} studies on {workers} worker(s), {kills} of them killed: {elapsed:.0f} s, "
          f"{len(studies) - len(lost)} done, {len(lost)} failed; a study used at most "
          f"{max(o.gigabytes for o in outcomes):.2f} GB", *(f"; {o.label}: {o.reason}" for o in lost), flush=True)
    return elapsed, memory


BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "measure": measure, "linear": linear, "label": label, "segment": segment, "run": run,
    "cohort": cohort}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="which; all without a name")
    parser.add_argument("--segmentation", type=Path, help="a real one for 'run' instead of the phantom")
    parser.add_argument("--studies", type=int, default=200, help="how many for 'cohort'")
    parser.add_argument("--segment-one", choices=SEGMENTED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.segment_one:
        segment_one(arguments.segment_one)
        return
    for name in arguments.names or BENCHMARKS:
        BENCHMARKS[name](arguments)


if __name__ == "__main__":
    main()
