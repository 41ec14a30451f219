"""Programs in a process of their own: live progress, cancellation that ends them and their children, limits."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import InputError
from ..progress import Progress, step
from .protocol import Limits

_POLL_S = 0.2
_MEMORY_EVERY_S = 1.0
_GRACE_S = 3.0
_LINES_KEPT, _LINES_TOLD, _LONGEST_LINE = 200, 3, 160
_PERCENT = re.compile(r"(?<!\d)(\d{1,3})%\|")  # of a progress bar
_TOLD = re.compile(r"@([01]\.\d+) (.+)")  # how far one of this project's own programs is: see :func:`tell`
_PYTHON = re.compile(r"python[\d.]*(\.exe)?")
_GIGABYTE = 2.0**30
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # or else Windows opens a console over Slicer

_NO_MEMORY = re.compile(r"out of memory|MemoryError|bad_alloc|Cannot allocate memory", re.IGNORECASE)
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception)\b.*")
_NO_NETWORK = re.compile(r"URLError|ConnectionError|Max retries exceeded|Name or service not known|"
                         r"Temporary failure in name resolution|getaddrinfo failed|[Ww]eights are missing|"
                         r"Failed to download|ConnectTimeout|ProxyError|HTTPError")


@dataclass(frozen=True)
class Stage:
    """A line of a program's output that tells how far it is.

    :param pattern: regular expression that the line contains.
    :param fraction: how far the program is when the line appears, 0..1.
    :param message: what people read.
    """

    pattern: str
    fraction: float
    message: str


@dataclass(frozen=True)
class Program:
    """:param title: what people read; :param function: ``module:function`` that the child runs.

    :param weights: where it keeps its weights, told when they are missing.
    :param path: folder of its modules, where Python does not look by itself.
    :param before: Python that the child runs before it.
    """

    title: str
    function: str
    stages: Sequence[Stage]
    weights: str
    path: Path | None = None
    before: str = "pass"


# A program that outlives its host would go on for an hour, unseen.
_ENDS_WITH_HOST = """
import os, sys, threading, time
def _watch(host):
    while os.getppid() == host:
        time.sleep(1.0)
    os.killpg(0, 9)
if os.name != "nt":
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
"""


def python_executable() -> str:
    """The Python to run children with; in Slicer, whose own executable is no Python, its PythonSlicer."""
    if _PYTHON.fullmatch(Path(sys.executable).name.lower()):
        return sys.executable
    found = shutil.which("PythonSlicer")  # Slicer's launcher puts it there
    if found is not None:
        return found
    beside = Path(sys.executable).with_name("PythonSlicer" + (".exe" if os.name == "nt" else ""))
    return str(beside) if beside.is_file() else str(Path(sys.prefix) / "bin" / "PythonSlicer")


def protected_environment(scratch: Path, path: Path | None = None) -> dict[str, str]:
    """The environment of a child: what it may change is its own weights and a scratch folder.

    pip refuses to work outside a virtual environment, so that no program changes Slicer's packages while it runs.

    :param path: where it finds modules as well.
    """
    own = {"PIP_REQUIRE_VIRTUALENV": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
           "MPLBACKEND": "Agg", "TQDM_MININTERVAL": "0.5", "TMPDIR": str(scratch), "TEMP": str(scratch),
           "TMP": str(scratch)}
    if path is not None:
        own["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **own}


def run_program(program: Program, arguments: Sequence[str], scratch: Path, limits: Limits, progress: Progress) -> str:
    """Run a program to its end.

    :param scratch: folder for its temporary files.
    :return: the last lines that it wrote.
    :raises InputError: where it fails, is killed or reaches a limit; one sentence with its last lines.
    :raises Cancelled: by ``progress``; the program and its children are then gone.
    """
    module, function = program.function.split(":")
    code = f"{_ENDS_WITH_HOST}\n{program.before}\nfrom {module} import {function} as main\nsys.exit(main())"
    command = [python_executable(), "-c", code, *arguments]
    child = _Child(command, protected_environment(scratch, program.path))
    try:
        why = child.follow(program, limits, progress)
    finally:
        child.end()
    if why is None and child.status:
        why = _reason(child.status, child.told, program)
    if why is not None:
        raise InputError(f"{program.title} {why}; its last lines: {child.last_lines}.")
    return child.last_lines


def _reason(status: int, told: str, program: Program) -> str:
    """Why a program failed, and what to do."""
    if _NO_MEMORY.search(told):
        return "ran out of memory: crop the scan, or use a computer with more"
    if _NO_NETWORK.search(told):
        return f"could not get its weights: connect to the network once, or put them into {program.weights}"
    number = -status if status < 0 else status - 128  # as a launcher such as PythonSlicer passes it on
    if number == _HARD:
        return "was killed, most likely for lack of memory: close other programs, or use a computer with more"
    return f"failed (exit status {status})"


class _Child:
    """A process, its children, and what they write."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.STDOUT, env=dict(environment),
                                         start_new_session=os.name != "nt", creationflags=_NO_WINDOW)
        assert self._process.stdout is not None
        self._lines: queue.Queue[str] = queue.Queue()
        self._kept: deque[str] = deque(maxlen=_LINES_KEPT)
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()

    @property
    def status(self) -> int:
        """Exit status; negative is a signal."""
        return self._process.returncode or 0

    @property
    def told(self) -> str:
        return "\n".join(self._kept)

    @property
    def last_lines(self) -> str:
        """The last lines, progress left out; the first exception, from which others follow, before them."""
        lines = [line[:_LONGEST_LINE] for line in self._kept
                 if not _PERCENT.search(line) and not _TOLD.fullmatch(line)]
        cause = [line for line in lines[:-_LINES_TOLD] if _EXCEPTION.match(line)][:1]
        return " | ".join(cause + lines[-_LINES_TOLD:]) or "none"

    def follow(self, program: Program, limits: Limits, progress: Progress) -> str | None:
        """Report progress until the program ends; the reason where a limit ends it."""
        started = checked = time.monotonic()
        at = Stage("", 0.0, f"Starting {program.title}")
        fraction = 0.0
        while True:
            step(progress, fraction, at.message)
            running = self._process.poll() is None
            for line in self._new_lines(running):
                at, fraction = _advance(program.stages, at, fraction, line)
            if not running:
                return None
            now = time.monotonic()
            if now - started > limits.seconds:
                return f"was ended after its time limit of {limits.seconds / 60:.3g} minutes"
            if limits.gigabytes is not None and now - checked >= _MEMORY_EVERY_S:
                checked = now
                if memory_of_group(self._process.pid) > limits.gigabytes:
                    return f"was ended at its memory limit of {limits.gigabytes:.3g} GB"

    def _new_lines(self, running: bool) -> list[str]:
        """What was written since the last call, waiting a moment for it while the program runs."""
        if not running:
            self._kill_group(_HARD)  # children that outlive the program would keep its pipe open
            self._reader.join(_GRACE_S)
        found: list[str] = []
        with suppress(queue.Empty):
            found.append(self._lines.get(timeout=_POLL_S if running else 0.0) if running else self._lines.get_nowait())
            while True:
                found.append(self._lines.get_nowait())
        self._kept.extend(found)
        return found

    def end(self) -> None:
        """End the program and its children, if they still run."""
        if self._process.poll() is None:
            self._kill_group(_SOFT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
        self._kill_group(_HARD)
        self._process.wait()
        self._reader.join(_GRACE_S)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _kill_group(self, number: int) -> None:
        if os.name == "nt":
            if self._process.poll() is None:
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(self._process.pid)], capture_output=True,
                               check=False, creationflags=_NO_WINDOW)
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


_SOFT, _HARD = signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)


def _read(stream: IO[bytes], lines: "queue.Queue[str]") -> None:
    """Lines of a stream, where progress bars end theirs with a carriage return."""
    rest = b""
    with suppress(ValueError, OSError):
        while chunk := os.read(stream.fileno(), 65536):
            *whole, rest = re.split(rb"[\r\n]+", rest + chunk)
            for line in whole:
                _put(line, lines)
    _put(rest, lines)


def _put(line: bytes, lines: "queue.Queue[str]") -> None:
    text = line.decode("utf-8", "replace").strip()
    if text:
        lines.put(text)


def _advance(stages: Sequence[Stage], at: Stage, fraction: float, line: str) -> tuple[Stage, float]:
    """The stage and fraction after a line: what it tells, that of a stage, or a bar's share of the way to the next."""
    told = _TOLD.fullmatch(line)
    if told is not None:
        return Stage("", float(told[1]), told[2]), float(told[1])
    later = [stage for stage in stages if stage.fraction > at.fraction]
    reached = next((stage for stage in later if re.search(stage.pattern, line)), None)
    if reached is not None:
        return reached, reached.fraction
    bar = _PERCENT.search(line)
    if bar is None:
        return at, fraction
    end = later[0].fraction if later else 1.0
    return at, max(fraction, at.fraction + (end - at.fraction) * min(int(bar[1]), 100) / 100.0)


def tell(fraction: float, message: str) -> None:
    """The progress of a child that is one of this project's own programs: a line that :func:`run_program` reads."""
    sys.stdout.write(f"@{min(max(fraction, 0.0), 1.0):.4f} {message}\n")
    sys.stdout.flush()


def memory_of_group(group: int) -> float:
    """Gigabytes that the processes of a group use, what they share counted once; 0 where the system does not tell.

    Only Linux tells without further packages.
    """
    kilobytes = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            stat = (folder / "stat").read_text()
            if int(stat.rpartition(")")[2].split()[2]) == group:
                rollup = (folder / "smaps_rollup").read_text()
                kilobytes += int(rollup.split("\nPss:")[1].split()[0])
    return kilobytes * 1024 / _GIGABYTE
