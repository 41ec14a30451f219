"""A program that is ended where it takes too long or too much memory, with everything that it started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from ..errors import InputError

if TYPE_CHECKING:
    import psutil

Ending = Literal["done", "failed", "time", "memory"]

NEEDED = 'Cohorts need more packages: install them with pip install "spine-analysis[cohort]".'

_POLL_S = 0.5
_GRACE_S = 5.0
_GIGABYTE = 1e9
_FIRST_TO_GO = "1000"
"""The kernel's greatest wish to end a process where memory runs out: rather a study than its worker."""


@dataclass(frozen=True)
class Ended:
    """:param status: exit status, negative for a signal; :param errors: what it wrote to standard error.

    :param gigabytes: the most that it and its children were seen to use together.
    """

    ending: Ending
    status: int
    errors: str
    seconds: float
    gigabytes: float


def run_limited(command: Sequence[str], environment: Mapping[str, str], errors: Path, seconds: float,
                gigabytes: float | None) -> Ended:
    """Run a program to its end, or to a limit.

    Its standard input is a pipe that nothing is written to: it closes when this process is gone, however that came, so
    that the program can end too.

    :param errors: file for its standard error; its standard output is dropped.
    """
    ps = process_library()
    started = time.monotonic()
    with errors.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=sink,
                                   env=dict(environment), start_new_session=os.name != "nt")
    _offer(process.pid)
    tree = ps.Process(process.pid)
    ending: Ending | None = None
    most = 0.0
    try:
        while ending is None and process.poll() is None:
            most = max(most, memory_of(tree))
            if time.monotonic() - started > seconds:
                ending = "time"
            elif gigabytes is not None and most > gigabytes:
                ending = "memory"
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
    finally:
        _end(process, tree)
    return Ended(ending or ("failed" if process.returncode else "done"), process.returncode,
                 errors.read_text("utf-8", "replace"), time.monotonic() - started, most)


def process_library() -> ModuleType:
    """psutil.

    :raises InputError: where it is not installed.
    """
    try:
        import psutil
    except ImportError:
        raise InputError(NEEDED) from None
    return psutil


def memory_of(tree: "psutil.Process") -> float:
    """Gigabytes that a process and its descendants use; what they share counts once where the system tells."""
    ps = process_library()
    total = 0
    for process in _with_descendants(tree):
        with contextlib.suppress(ps.Error):
            used = process.memory_full_info() if os.name != "nt" else process.memory_info()
            total += getattr(used, "pss", 0) or used.rss
    return total / _GIGABYTE


def _with_descendants(tree: "psutil.Process") -> "list[psutil.Process]":
    with contextlib.suppress(process_library().Error):
        return [tree, *tree.children(recursive=True)]
    return []


def _offer(pid: int) -> None:
    """Let the kernel end this process first where memory runs out; only Linux takes such wishes."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_FIRST_TO_GO)


def _end(process: "subprocess.Popen[bytes]", tree: "psutil.Process") -> None:
    """End the program, which may tidy up, and then whatever of it is left."""
    ps = process_library()
    left = _with_descendants(tree)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    for each in left:
        with contextlib.suppress(ps.Error):
            each.kill()
    if os.name != "nt":  # what outlived its parent is no descendant any more, but of the same session
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
