"""What the command line does to its terminal: progress, tidy ends, and silence of C++ libraries."""

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from .progress import Progress

_GRACE_S = 5.0
"""For what computes in C++ to come back and be interrupted."""
_LINE_EVERY = 0.01
"""Of the whole: logs need no line for each of fifty structures."""


@contextlib.contextmanager
def shown() -> Iterator[Progress]:
    """Progress on standard error: a bar on a terminal, a line for each step of some percent elsewhere."""
    if not sys.stderr.isatty():
        last = -1.0

        def say(fraction: float, message: str) -> None:
            nonlocal last
            if fraction >= min(last + _LINE_EVERY, 1.0) and last < 1.0:
                print(message, file=sys.stderr, flush=True)
                last = fraction

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
               TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, message: bar.update(task, completed=fraction, description=message)


@contextlib.contextmanager
def ended_tidily() -> Iterator[None]:
    """Let a request to end (kill, docker stop, a closed terminal) interrupt like Ctrl+C, so that nothing is left."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [n for n in numbers if signal.getsignal(n) is signal.SIG_DFL]  # not what nohup wants ignored
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def ended_with_parent() -> None:
    """End, as a request to end does, when standard input closes: its other end belongs to the process to outlive.

    Works however that process went, and on every system.
    """
    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def libraries_silenced() -> Iterator[None]:
    """Keep what C++ libraries write to the process's standard error away from the user.

    Python's own messages still appear: for that time they go to a copy of the stream.
    """
    sys.stderr.flush()
    with Path(os.devnull).open("w") as sink, os.fdopen(os.dup(2), "w") as errors, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(sink.fileno(), 2)
        try:
            with contextlib.redirect_stderr(errors):
                yield
        finally:
            errors.flush()
            os.dup2(errors.fileno(), 2)
