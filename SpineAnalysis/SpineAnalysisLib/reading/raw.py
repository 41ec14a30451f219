"""What every file reader returns, before it is known to be an image or a segmentation."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MOST_VOXELS = 2**31
"""More than this is refused before anything is read."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class RawImage:
    """An array as its file stores it.

    :param array: (I, J, K) or, with more than one value per voxel, (I, J, K, C).
    :param ijk_to_ras: (4, 4), millimeters.
    :param metadata: the file's free-text fields.
    :param notes: sentences about what the reader had to decide.
    """

    array: NDArray
    ijk_to_ras: NDArray[np.floating]
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def affine(directions: NDArray[np.floating], origin: NDArray[np.floating]) -> NDArray[np.floating]:
    """(4, 4) from (3, 3) columns in millimeters per voxel and a (3,) origin."""
    out = np.eye(4)
    out[:3, :3] = directions
    out[:3, 3] = origin
    return out


def check_size(shape: tuple[int, ...], role: str) -> None:
    """:raises InputError: for an array that is no volume or too large.

    :param role: what the message calls the file ("The image", "The segmentation").
    """
    if len(shape) != 3:
        advice = "split the series and pass one volume of it" if len(shape) > 3 else "pass the whole scan as one volume"
        raise InputError(f"{role} has {len(shape)} dimensions instead of 3; {advice}.")
    if min(shape) < 2:
        raise InputError(f"{role} is only {' x '.join(map(str, shape))} voxels large; pass a whole 3D volume.")
    if np.prod(shape, dtype=float) > MOST_VOXELS:
        raise InputError(f"{role} has {' x '.join(map(str, shape))} voxels, more than 2^31; crop or resample it first.")


def check_memory(shape: tuple[int, ...], bytes_each: int, role: str) -> None:
    """Before anything is unpacked: a small file can state, and pack, more than any computer holds.

    :raises InputError: for voxels that would fill the computer's memory.
    """
    if np.prod(shape, dtype=float) * bytes_each > _memory_bytes():
        raise out_of_memory(role)


def _memory_bytes() -> float:
    """Of the whole computer; without end where the system does not tell (Windows refuses by itself)."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def unreadable(role: str, reason: str = "is truncated or corrupt; copy or export it again") -> InputError:
    """The error of a file that cannot be read to its end."""
    return InputError(f"{role} {reason}.")


def out_of_memory(role: str) -> InputError:
    """The error of a file that is larger than the memory."""
    return InputError(f"{role} does not fit into the memory of this computer; crop or resample it first.")
