"""The folder of a cohort's results: what lies where, who may write, and how nothing is ever half there.

Everything is made in ``.cohort/work`` and renamed into place when it is whole; a record in ``.cohort/studies`` says
that it is.  A crash between the two leaves no record, so that the study is analyzed again.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .study import Cohort, Study

State = Literal["done", "failed"]

HIDDEN = ".cohort"
_LOCK_EVERY_S = 0.2


@dataclass(frozen=True)
class Record:
    """What became of one study.

    :param key: hash of everything that its results depend on.
    :param reason: why it failed, one sentence.
    :param stem: how names of its results begin.
    """

    key: str
    state: State
    reason: str = ""
    stem: str = ""


@dataclass(frozen=True)
class Place:
    """:param root: the folder that the user named."""

    root: Path

    def open(self) -> None:
        """Make the folder, or find that it is one of ours.

        :raises InputError: where it cannot be written, or holds something else.
        """
        try:
            ours = (self.root / HIDDEN).is_dir()
            if self.root.is_dir() and not ours and any(self.root.iterdir()):
                raise InputError(f"{self.root} holds other files; choose a new folder for the results.")
            for name in ("studies", "work"):
                (self.root / HIDDEN / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Nothing can be written to {self.root} ({error.strerror}); choose another folder."
                             ) from None

    def check(self) -> None:
        """:raises InputError: where no results of ours lie."""
        if not (self.root / HIDDEN).is_dir():
            raise InputError(f"There are no results in {self.root}; analyze the participants first.")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else runs a cohort into this folder.

        :raises InputError: where somebody does.
        """
        with locked(self.root / HIDDEN / "lock", 0.0) as mine:
            if not mine:
                raise InputError(f"Another run is writing into {self.root}; wait for its end, or choose another "
                                 "folder.")
            yield

    @contextlib.contextmanager
    def alone_with(self, study: Study, seconds: float) -> Iterator[None]:
        """While nobody else works at this study, as a worker may that was given up for lost.

        :raises InputError: where somebody still does after so long.
        """
        with locked(self.root / HIDDEN / "studies" / f"{study.label}.lock", seconds) as mine:
            if not mine:
                raise InputError("Another worker is still busy with it; run again when it has ended.")
            yield

    @contextlib.contextmanager
    def work_folder(self, study: Study) -> Iterator[Path]:
        """An empty folder on the same disk; what an earlier worker left unfinished there is gone."""
        folder = self.root / HIDDEN / "work" / study.label
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, study: Study, made: Path, key: str) -> None:
        """Results in place, instead of earlier ones.

        :param made: their folder, within the study's work folder.
        """
        target = self.root / study.folder
        self._record_path(study).unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(made.with_name("earlier"))
        made.rename(target)
        self.record(study, Record(key, "done", "", study.stem))

    def record(self, study: Study, record: Record) -> None:
        write_whole(self._record_path(study), json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def recorded(self, study: Study) -> Record | None:
        """``None`` where it was never run to an end, or its results are not there any more."""
        try:
            record = Record(**json.loads(self._record_path(study).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.state == "failed" or self.file(study, record, "measurements.json").is_file() else None

    def file(self, study: Study, record: Record, name: str) -> Path:
        """One of a study's results, by the end of its name."""
        return self.root / study.folder / f"{record.stem}_desc-spine_{name}"

    def others(self, cohort: Cohort) -> list[str]:
        """Labels of results whose study is not in the input."""
        known = {study.label for study in cohort.studies} | cohort.unwanted
        return sorted(path.stem for path in (self.root / HIDDEN / "studies").glob("*.json") if path.stem not in known)

    def _record_path(self, study: Study) -> Path:
        return self.root / HIDDEN / "studies" / f"{study.label}.json"


def write_whole(path: Path, text: str) -> None:
    """A text file that is there with all of it, or as it was before, whatever happens."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[bool]:
    """Whether the lock was free, or got free in time; the system frees it when its holder is gone, however that came.

    :raises InputError: on disks that have no locks.
    """
    with path.open("ab") as stream:
        last = time.monotonic() + seconds
        mine = _try_lock(stream.fileno())
        while not mine and time.monotonic() < last:
            time.sleep(_LOCK_EVERY_S)
            mine = _try_lock(stream.fileno())
        yield mine


if os.name == "nt":
    def _try_lock(descriptor: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
else:
    def _try_lock(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise InputError(f"The disk of the results has no locks ({error.strerror}); choose a folder on another "
                             "disk.") from None
        return True


