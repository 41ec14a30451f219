"""Both levels of a cohort, as the command line asks for them: every participant, then the group."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError

if TYPE_CHECKING:
    from .place import Place
    from .study import Cohort
    from .work import Outcome, Settings

SOME_FAILED = 3
"""Exit code where some studies failed, and the others are done."""
CODE_URL = "https://github.com/SlicerSpineAnalysis/SlicerSpineAnalysis"
_BIDS_VERSION = "1.10.0"
_README = """# Measurements of spines

Not a medical device: for research and teaching, not for diagnosis or treatment.

`cohort.html` shows the whole cohort and `quality.html` every study: look at each before you use its numbers.
`measurements.csv` has one row for every measurement of every study, and `columns.json` says what its columns mean.
"""
_MINUTES = 60.0


def bids_parser() -> argparse.ArgumentParser:
    """The command line of BIDS Apps."""
    parser = argparse.ArgumentParser("spine-analysis-bids", description="Measures the spines of a BIDS data set, and "
                                     "reports on all of them.  Not a medical device.")
    parser.add_argument("input", type=Path, metavar="BIDS_DIR", help="data set")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for the derivatives")
    parser.add_argument("level", choices=["participant", "group"], help="participant: analyze every session of every "
                        "participant; group: table and report of what was analyzed")
    parser.add_argument("--version", action="version", version=f"spine-analysis {__version__}")
    _add_options(parser)
    parser.set_defaults(command=run, keep_names=False)
    return parser


def add_cohort(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spine-analysis cohort``: both levels at once."""
    parser.add_argument("input", type=Path, metavar="INPUT", help="BIDS data set, folder of images or of patients' "
                                                                  "DICOM folders, or CSV list (docs/COHORTS.md)")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--keep-names", action="store_true", help="of a plain folder: the names of files and folders "
                        "name no patients, use them (default: labels made from the files' content)")
    _add_options(parser)
    parser.set_defaults(command=run, level="both")


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--participant-label", "--participant_label", nargs="+", action="extend", default=[], metavar="LABEL",
        help="only these participants, with or without 'sub-'")
    add("--session-label", "--session_label", nargs="+", action="extend", default=[], metavar="LABEL",
        help="only these sessions, with or without 'ses-'")
    add("--suffix", nargs="+", choices=["T2w", "ct", "T1w"], default=["T2w", "ct", "T1w"],
        help="BIDS suffixes of the scans to read; the first that a session has is segmented (default: T2w ct T1w)")
    add("--derivatives", type=Path, metavar="FOLDER", help="take segmentations from these derivatives: a folder, or "
                                                           "the name of one in BIDS_DIR/derivatives")
    add("--no-further", action="store_true", help="read only the scan that is segmented, not the session's others")
    add("--scheme", default="auto", metavar="NAME", help="what labels of given segmentations mean: a name of "
                                                         "'spine-analysis schemes' (default: auto)")
    add("--engine", metavar="NAME", help="what segments where no segmentation is given: a name of 'spine-analysis "
                                         "engines' (default: builtin)")
    add("--only", nargs="+", action="extend", metavar="FAMILY", help="measure these families only, as in canal disc")
    add("--n-workers", "--n_workers", type=_positive(int), metavar="N",
        help="studies at the same time on this computer (default: what cores and memory allow)")
    add("--scheduler", metavar="ADDRESS", help="run on this Dask cluster instead: tcp://HOST:PORT or a scheduler file")
    add("--time-limit", type=_positive(float), default=_MINUTES, metavar="MINUTES",
        help="end a study after so long (default: 60)")
    add("--memory-limit", type=_positive(float), metavar="GB",
        help="end a study at so much memory (default on this computer: its share; on a cluster: none)")
    parser.set_defaults(interrupted="Interrupted; what is done is kept, run again to go on.")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="print only where the results lie")
    loudness.add_argument("--verbose", action="store_true", help="print everything, and where an error arose")


def _positive(kind: "type[int] | type[float]") -> "Callable[[str], float]":
    """What argparse makes a number of."""
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    number.__name__ = "number"
    return number


def run(arguments: argparse.Namespace) -> int:
    """Analyze, report, or both."""
    from .place import Place

    cohort = _cohort(arguments).of(arguments.participant_label, arguments.session_label)
    place = Place(arguments.output.absolute())
    options = _options(arguments)
    if arguments.level == "group":
        place.check()
    else:
        place.open()
    with place.alone():
        failed = _participants(arguments, cohort, place, options) if arguments.level != "group" else 0
        if arguments.level != "participant":
            from .page import write_group

            write_group(cohort, place)
    print(arguments.output if arguments.level == "participant" else arguments.output / "cohort.html")
    return SOME_FAILED if failed else 0


def _cohort(arguments: argparse.Namespace) -> "Cohort":
    """The studies of whatever the input is."""
    from .bids import DESCRIPTION, cohort_of_bids
    from .folders import cohort_of_folder
    from .lists import cohort_of_list

    source: Path = arguments.input
    if not source.exists():
        raise InputError(f"There is no file or folder {source}; check the path.")
    source, output = source.absolute(), arguments.output.absolute()
    if output == source or output in source.parents:
        raise InputError("The results cannot lie where the input is; choose a folder of their own.")
    if source.is_file():
        found = cohort_of_list(source)
    elif arguments.level != "both" or (source / DESCRIPTION).is_file() or any(source.glob("sub-*/")):
        found = cohort_of_bids(source, arguments.suffix, arguments.derivatives)
    else:
        found = cohort_of_folder(source, arguments.keep_names, output)
    if arguments.no_further:
        return replace(found, studies=tuple(replace(study, scans=study.scans[:1]) for study in found.studies))
    return found


def _options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Of ``run``, the same for every study; what is wrong is told before the first."""
    from ..measurements.registry import families
    from ..schemes import SCHEMES
    from ..segmentation.registry import engine_named

    known = [family.name for family in families()]
    if unknown := [name for name in arguments.only or () if name not in known]:
        raise InputError(f"There is no family {unknown[0]}; the known ones are {', '.join(known)}.")
    if arguments.scheme not in ("auto", *SCHEMES):
        raise InputError(f"There is no scheme {arguments.scheme}; 'spine-analysis schemes' lists them.")
    if arguments.engine:
        engine_named(arguments.engine)
    return (*(("--scheme", arguments.scheme) if arguments.scheme != "auto" else ()),
            *(("--engine", arguments.engine) if arguments.engine else ()),
            *(("--only", *sorted(set(arguments.only))) if arguments.only else ()))


def _participants(arguments: argparse.Namespace, cohort: "Cohort", place: "Place", options: tuple[str, ...]) -> int:
    """How many failed."""
    from .cluster import local_client, local_workers, machine, remote_client, run_all

    _describe(place)
    cores, gigabytes = machine()
    limit = arguments.memory_limit
    if arguments.scheduler:
        client, threads = remote_client(arguments.scheduler), None
    else:
        workers = arguments.n_workers or min(local_workers(cores, gigabytes), len(cohort.studies))
        client, threads = local_client(workers), max(1, cores // workers)
        limit = limit or gigabytes / workers
    settings = _settings(arguments, place, options, limit, threads)
    listener = _Listener(len(cohort.studies), arguments.quiet)
    with client as connected:
        outcomes = run_all(cohort.studies, settings, connected, listener)
    listener.conclude(outcomes)
    return sum(outcome.state == "failed" for outcome in outcomes)


def _settings(arguments: argparse.Namespace, place: "Place", options: tuple[str, ...], limit: float | None,
              threads: int | None) -> "Settings":
    from ..segmentation.registry import DEFAULT, engine_named
    from .work import Settings

    package = engine_named(arguments.engine or DEFAULT).package
    return Settings(place.root, options, arguments.time_limit * _MINUTES, limit, threads, package)


def _describe(place: "Place") -> None:
    """What makes the folder a BIDS derivative."""
    from .bids import DESCRIPTION
    from .place import HIDDEN, write_whole

    told = {"Name": "Spine Analysis: measurements of spines", "BIDSVersion": _BIDS_VERSION, "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "Spine Analysis", "Version": __version__, "CodeURL": CODE_URL}]}
    write_whole(place.root / DESCRIPTION, json.dumps(told, indent=1) + "\n")
    write_whole(place.root / "README.md", _README)
    write_whole(place.root / ".bidsignore", f"{HIDDEN}/\n*.html\n*.png\n*_measurements.*\n*_canalprofile.tsv\n/*.csv\n"
                                            "/*.parquet\n/columns.json\n")


class _Listener:
    """Tells what became of each study, on standard error."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet

    def __call__(self, outcome: "Outcome", count: int) -> None:
        if not self._quiet:
            about = f" in {outcome.seconds:.0f} s, {outcome.gigabytes:.1f} GB" if outcome.state == "done" else ""
            reason = f": {outcome.reason}" if outcome.reason else ""
            print(f"{count} of {self._total}: {outcome.label} {outcome.state}{about}{reason}", file=sys.stderr,
                  flush=True)

    def conclude(self, outcomes: "Sequence[Outcome]") -> None:
        if not self._quiet:
            states = [outcome.state for outcome in outcomes]
            print(", ".join(f"{states.count(state)} {state}" for state in ("done", "unchanged", "failed")
                            if state in states), file=sys.stderr)
