"""One study on a worker: a run of its own process, and its results in place or the reason why there are none."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from .. import __version__
from ..errors import InputError
from ..segmentation.network.model import default_path
from ..segmentation.process import python_executable
from .child import Ended, run_limited
from .folders import content_of
from .place import Place, Record
from .study import Study

_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_BAD_INPUT = 2
_PREFIX = "spine-analysis: "
_KILLED = -9
_LEAST_WAIT_S = 60.0


@dataclass(frozen=True)
class Settings:
    """How every study of a cohort is run.

    :param output: folder of all results, where every worker sees it.
    :param options: of the command ``run``, the same for all; they are part of what decides whether a study changed.
    :param seconds, gigabytes: limits of one study; no limit of memory where ``None``.
    :param threads: that a study may compute with; ``None`` leaves that to the worker's environment.
    :param engine_package: the Python package whose version decides as well, where an engine needs one.
    :param program: what understands ``run``; empty for this package's own command, by the worker's Python.
    :param version: that the results are to be of.
    """

    output: Path
    options: tuple[str, ...] = ()
    seconds: float = 3600.0
    gigabytes: float | None = None
    threads: int | None = None
    engine_package: str = ""
    program: tuple[str, ...] = ()
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """:param reason: of a failure, one sentence; :param gigabytes: the most that was used."""

    label: str
    state: Literal["done", "unchanged", "failed"]
    reason: str = ""
    seconds: float = 0.0
    gigabytes: float = 0.0


def work_on(study: Study, settings: Settings) -> Outcome:
    """Analyze a study, unless its results are there and nothing that they depend on has changed.

    Whatever goes wrong ends this study and nothing else: it becomes its outcome, and its record.
    """
    place = Place(settings.output)
    try:
        if settings.version != __version__:
            raise InputError(f"The worker has version {__version__} and the cohort is of {settings.version}; install "
                             "the same version everywhere.")
        with place.alone_with(study, max(settings.seconds, _LEAST_WAIT_S)):
            return _worked(study, settings, place)
    except InputError as error:
        return Outcome(study.label, "failed", study.anonymous(str(error)))
    except OSError as error:
        return Outcome(study.label, "failed", f"Its results cannot be written ({error.strerror}); check the disk.")


def _worked(study: Study, settings: Settings, place: Place) -> Outcome:
    try:
        key = key_of(study, settings)
    except InputError as error:
        return _failed(study, place, "", Outcome(study.label, "failed", study.anonymous(str(error))))
    earlier = place.recorded(study)
    if earlier is not None and earlier.state == "done" and earlier.key == key:
        return Outcome(study.label, "unchanged")
    with place.work_folder(study) as folder:
        try:
            program = settings.program or (python_executable(), "-m", "SpineAnalysisLib.cli")
            command = [*program, *_arguments(study, settings, folder / "made")]
        except InputError as error:
            return _failed(study, place, key, Outcome(study.label, "failed", study.anonymous(str(error))))
        (folder / "temporary").mkdir()
        ended = run_limited(command, _environment(settings, folder / "temporary"), folder / "errors.txt",
                            settings.seconds, settings.gigabytes)
        if ended.ending == "done":
            place.publish(study, folder / "made", key)
            return Outcome(study.label, "done", "", ended.seconds, ended.gigabytes)
    reason = study.anonymous(_reason(ended, settings))
    return _failed(study, place, key, Outcome(study.label, "failed", reason, ended.seconds, ended.gigabytes))


def _failed(study: Study, place: Place, key: str, outcome: Outcome) -> Outcome:
    place.record(study, Record(key, "failed", outcome.reason, study.stem))
    return outcome


def key_of(study: Study, settings: Settings) -> str:
    """SHA-256 of what the results depend on: content of the files, parameters, versions and the embedded network.

    :raises InputError: where a file cannot be read.
    """
    files = [(role, content_of(path)) for role, path in study.files]
    told = {"version": settings.version, "engine": _version_of(settings.engine_package),
            "network": content_of(default_path().with_suffix(".json")), "options": settings.options, "files": files,
            "contrasts": [scan.contrast for scan in study.scans], "stem": study.stem}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _version_of(package: str) -> str:
    try:
        return version(package) if package else ""
    except PackageNotFoundError:
        return ""


def _arguments(study: Study, settings: Settings, made: Path) -> Iterator[str]:
    """Of ``run``."""
    first, *others = study.scans
    also = [f"{scan.contrast}={scan.path}" if scan.contrast else str(scan.path) for scan in others]
    yield from ("run", str(first.path), "--output", str(made), "--quiet", "--bids", study.stem)
    if first.path.is_dir():
        series = _leading_series(first.path)
        yield from ("--series", series) if series else ()
        also.append(str(first.path))
    yield from ("--contrast", first.contrast) if first.contrast else ()
    yield from ("--segmentation", *map(str, study.segmentations)) if study.segmentations else ()
    yield from ("--also", *also) if also else ()
    yield from settings.options


def _leading_series(folder: Path) -> str:
    """The series of a DICOM folder to analyze before the others.

    :raises InputError: where there is no DICOM image, or there are those of several patients.
    """
    from ..reading.study import study_of

    return next(iter(study_of(folder).proposed), "")


def _environment(settings: Settings, temporary: Path) -> dict[str, str]:
    """The child finds this same library, and its temporary files go where they are removed with the rest."""
    known = os.environ.get("PYTHONPATH")
    threads = {} if settings.threads is None else dict.fromkeys(_THREADS, str(settings.threads))
    return {**os.environ, **threads, "MPLBACKEND": "Agg", "TMPDIR": str(temporary), "TEMP": str(temporary),
            "TMP": str(temporary), "PYTHONPATH": os.pathsep.join([str(_PACKAGE_FOLDER), *([known] if known else [])])}


def _reason(ended: Ended, settings: Settings) -> str:
    """Why there are no results, and what to do."""
    if ended.ending == "time":
        return (f"It was ended after its time limit of {settings.seconds / 60:.3g} minutes; raise --time-limit, or "
                "look at what is special about this scan.")
    if ended.ending == "memory":
        return (f"It was ended at its memory limit of {settings.gigabytes:.3g} GB; raise --memory-limit, or crop or "
                "resample this scan.")
    if ended.status == _KILLED:
        return "It was killed, most likely for lack of memory; use fewer workers, or a computer with more memory."
    if ended.status < 0:
        return f"It crashed (signal {-ended.status}); please report it."
    lines = [line for line in ended.errors.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(_PREFIX)]
    sentence = (own or lines or [""])[-1].removeprefix(_PREFIX).strip()
    expected = ended.status == _BAD_INPUT and sentence
    return sentence if expected else f"It failed (exit status {ended.status}): {sentence}"
