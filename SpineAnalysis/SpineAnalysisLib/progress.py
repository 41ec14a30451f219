"""Progress and cancellation of everything long."""

from collections.abc import Callable

from .errors import Cancelled

Progress = Callable[[float, str], bool | None]
"""``progress(fraction, message)``: fraction 0..1; returning ``False`` (not ``None``) cancels."""


def silent(_fraction: float, _message: str) -> None:
    """The progress of a caller that does not listen."""


def step(progress: Progress, fraction: float, message: str) -> None:
    """Report one step.

    :raises Cancelled: when the listener answers ``False``.
    """
    if progress(fraction, message) is False:
        raise Cancelled(message)


def part(progress: Progress, start: float, end: float) -> Progress:
    """A progress that maps its own 0..1 onto ``start``..``end`` of another."""
    return lambda fraction, message: progress(start + (end - start) * fraction, message)
