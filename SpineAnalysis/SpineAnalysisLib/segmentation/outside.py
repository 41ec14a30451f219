"""What engines that run outside, in a process of their own, have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import InputError
from ..progress import part, step
from ..reading.contrast import is_hounsfield
from ..schemes import LabeledInput
from ..spine import Contrast
from ..volume import Volume
from .exchange import scratch_folder, write_scan
from .process import Program, run_program
from .protocol import Job, Segmented


@dataclass(frozen=True)
class Run:
    """One call of a program.

    :param name: what it does; :param arguments: scan's file and folder for results -> its command line.
    """

    name: str
    program: Program
    arguments: Callable[[Path, Path], Sequence[str]]


def run_outside(job: Job, package: str, runs: Sequence[Run], scan_name: str,
                collect: Callable[[Path, Volume], LabeledInput]) -> Segmented:
    """Run a program on a scan and understand its result.

    :param package: whose version the provenance records.
    :param runs: calls of the program, one after the other.
    :param scan_name: file name that the program wants.
    :param collect: folder of results and the scan -> structures.
    :raises InputError: where the program fails or its result cannot be used; its last lines are part of the sentence.
    """
    title = runs[0].program.title
    step(job.progress, 0.0, f"Starting {title}")
    with scratch_folder() as folder:
        scan, results, scratch = folder / scan_name, folder / "results", folder / "scratch"
        results.mkdir()
        scratch.mkdir()
        write_scan(job.volume, scan)
        said = "none"
        for number, run in enumerate(runs):
            share = part(job.progress, 0.95 * number / len(runs), 0.95 * (number + 1) / len(runs))
            said = run_program(run.program, [str(a) for a in run.arguments(scan, results)], scratch, job.limits, share)
        step(job.progress, 0.95, "Understanding the result")
        try:
            labeled = collect(results, job.volume)
        except InputError as error:
            raise InputError(f"The result of {title} cannot be used ({str(error).rstrip('.')}); "
                             f"its last lines: {said}.") from error
    return Segmented(labeled, provenance={"engine": title, "version": version_of(package),
                                          "runs": [run.name for run in runs]})


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def only_file(folder: Path, pattern: str) -> Path:
    """The one file that a program left.

    :raises InputError: where there is none.
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError("it wrote no label map")
    return found[0]


def is_ct(volume: Volume, contrast: Contrast | None) -> bool:
    """Whether a scan is a CT, by what is known or else by its values."""
    return contrast == "CT" if contrast is not None else is_hounsfield(volume.array)
