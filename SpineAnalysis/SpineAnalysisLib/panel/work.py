"""Work that takes long, beside the scene: a thread computes while the application goes on."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import Cancelled
from ..progress import Progress

T = TypeVar("T")
_TURN_S = 0.02
"""How long the thread has Python for itself before the application gets its turn."""


class _Thread(threading.Thread, Generic[T]):
    def __init__(self, compute: Callable[[Progress], T]) -> None:
        super().__init__(daemon=True)  # Slicer may be closed meanwhile
        self._compute = compute
        self.at = (0.0, "")
        self.canceled = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._compute(self._progress)
        except BaseException as error:
            self.error = error

    def _progress(self, fraction: float, message: str) -> bool:
        self.at = (fraction, message)
        return not self.canceled


def beside(compute: Callable[[Progress], T], show: Progress) -> T:
    """Compute in a thread and answer when it is done; meanwhile ``show`` lets the application handle its events.

    The thread may not touch nodes or widgets.  It has Python only while this function waits for it, because Slicer's
    main loop holds on to it.

    :param show: called all the time; ``False`` from it cancels at the thread's next step.
    :raises Cancelled: when ``show`` says so, and what ``compute`` raises.
    """
    thread = _Thread(compute)
    thread.start()
    while thread.is_alive():
        thread.join(_TURN_S)
        if show(*thread.at) is False:
            thread.canceled = True
    if thread.canceled:
        raise Cancelled("Canceled")
    if thread.error is not None:
        raise thread.error
    return thread.result  # type: ignore[return-value]
