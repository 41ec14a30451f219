"""The slices of a series as one regular stack."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_SAME_ORIENTATION = 1e-3
_SAME_PLACE_MM = 0.01
_UNEVEN = 0.1
"""Of the step between slices."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series, in DICOM's LPS millimeters.

    :param position: (3,) center of the first pixel; :param orientation: (6,) directions of a row and of a column;
    :param spacing: (2,) between rows, between columns; :param size: rows, columns.
    """

    path: Path
    frame: int
    instance: int
    position: NDArray[np.floating]
    orientation: NDArray[np.floating]
    spacing: NDArray[np.floating]
    size: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.floating]:
        return np.cross(self.orientation[:3], self.orientation[3:])

    def is_parallel(self, other: "Slice") -> bool:
        """Whether both fit into one stack."""
        return (self.size == other.size and bool(np.allclose(self.spacing, other.spacing, rtol=1e-3))
                and bool(np.abs(self.orientation - other.orientation).max() <= _SAME_ORIENTATION))


def parallel(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices sorted into stacks of the same orientation and size, in the order of their first slices."""
    stacks: list[list[Slice]] = []
    for s in slices:
        for stack in stacks:
            if stack[0].is_parallel(s):
                stack.append(s)
                break
        else:
            stacks.append([s])
    return stacks


def sorted_along_normal(stack: Sequence[Slice]) -> list[Slice]:
    normal = stack[0].normal
    return sorted(stack, key=lambda s: (round(float(s.position @ normal), 3), s.instance, str(s.path)))


def without_duplicates(stack: Sequence[Slice], decode: Callable[[Path], NDArray],
                       label: str) -> tuple[list[Slice], int]:
    """One slice per place, and how many were dropped.

    :raises InputError: where two different images share a place (echoes, phases, time points).
    """
    kept: list[Slice] = []
    for s in stack:
        if kept and abs(float((s.position - kept[-1].position) @ s.normal)) < _SAME_PLACE_MM:
            if not np.array_equal(decode(s.path)[s.frame], decode(kept[-1].path)[kept[-1].frame]):
                raise InputError(f"The series holds several different images at the same place (echoes, phases or "
                                 f"time points); export the one to measure as a series of its own ({label}).")
        else:
            kept.append(s)
    return kept, len(stack) - len(kept)


def geometry_of(stack: Sequence[Slice], label: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(3, 3) columns in LPS millimeters per voxel and the (3,) origin.

    :raises InputError: for missing slices and uneven spacing.
    """
    if len(stack) < 2:
        raise InputError(f"There is only one slice in {label}; pass the folder that holds all slices of the scan.")
    first = stack[0]
    positions = np.array([s.position for s in stack])
    steps = np.diff(positions @ first.normal)
    usual = float(np.median(steps))
    wide = int(np.argmax(steps))
    if steps[wide] > 1.5 * usual:
        raise InputError(f"Slices are missing in {label}: after slice {wide + 1} of {len(stack)} there is a gap of "
                         f"{steps[wide]:.1f} mm where the others are {usual:.1f} mm apart; export the series again.")
    step = (positions[-1] - positions[0]) / (len(stack) - 1)
    regular = positions[0] + np.arange(len(stack))[:, None] * step
    if np.linalg.norm(positions - regular, axis=1).max() > max(_UNEVEN * usual, _SAME_PLACE_MM):
        raise InputError(f"The slices of {label} are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm); "
                         "resample or reconstruct the series with even spacing.")
    row, column = first.orientation[:3], first.orientation[3:]
    return np.stack([row * first.spacing[1], column * first.spacing[0], step], axis=1), first.position
