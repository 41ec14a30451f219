"""From a label's voxels to how much of each place the structure fills.

Thick slices know a structure only where they were cut.  Between them, and at its sides beyond the last slice that
shows it, the structure is restored from its chords: along every row of a slice it reaches from one edge to another,
and the square of half that length runs like a parabola across slices (exactly so for an ellipse).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..volume import Volume, bounding_box
from .frames import Vector

FloatArray = NDArray[np.floating]

THICK_RATIO = 1.8
"""Slices this much thicker than the pixels are restored between."""


@dataclass(frozen=True, eq=False)
class Occupancy(Volume):
    """Shares (0..1) of how much of each place a structure fills.

    :param resolution: (3, 3) columns, the steps in RAS between the voxels that the shares were made from.
    """

    resolution: FloatArray = field(default_factory=lambda: np.eye(3))

    @property
    def resolution_mm(self) -> float:
        """The largest of the original steps."""
        return float(np.linalg.norm(self.resolution, axis=0).max())

    def resolution_along(self, direction: Vector) -> float:
        """Extent of an original voxel along a unit direction, root mean square over its three edges, mm."""
        return float(np.linalg.norm(self.resolution.T @ direction))


def occupancy(mask: Volume, along: Vector, margin_mm: float = 4.0) -> Occupancy:
    """The filled share of each place near a structure, on a cropped and nearly isotropic grid.

    :param mask: boolean voxels of one elongated structure.
    :param along: (3,) RAS direction in which it runs.
    :raises ValueError: when the mask is empty.
    """
    box = bounding_box(mask.array, np.ceil(margin_mm / mask.spacing).astype(int) + 1)
    if box is None:
        raise ValueError("the mask is empty")
    cropped = mask.crop(*box)
    thick = int(np.argmax(cropped.spacing))
    in_plane = [axis for axis in range(3) if axis != thick]
    steps = cropped.ijk_to_ras[:3, :3]
    if cropped.spacing[thick] < THICK_RATIO * cropped.spacing[in_plane].max():
        return Occupancy(cropped.array.astype(np.float32), cropped.ijk_to_ras, mask.name, steps)
    chord = min(in_plane, key=lambda axis: abs(float(steps[:, axis] @ along)) / cropped.spacing[axis])
    return _restore_between_slices(cropped, thick, chord)


def _restore_between_slices(mask: Volume, thick: int, chord: int) -> Occupancy:
    row = 3 - thick - chord
    factor = int(np.ceil(mask.spacing[thick] / mask.spacing[[row, chord]].max()))
    middle, half_squared, filled = _chords(np.transpose(mask.array, (row, thick, chord)), mask.spacing[row])
    middle, half_squared = _refine(middle, half_squared, filled, factor)
    place = np.arange(mask.shape[chord])
    half = np.sqrt(np.maximum(half_squared, 0.0))[..., None]
    covered = np.minimum(place + 0.5, middle[..., None] + half) - np.maximum(place - 0.5, middle[..., None] - half)
    fine = np.clip(covered, 0.0, 1.0).astype(np.float32)
    matrix = mask.ijk_to_ras.copy()
    matrix[:3, 3] = mask.to_ras(np.eye(3)[thick] * (0.5 / factor - 0.5))
    matrix[:3, thick] /= factor
    return Occupancy(np.transpose(fine, np.argsort((row, thick, chord))), matrix, mask.name, mask.ijk_to_ras[:3, :3])


def _chords(rows: NDArray[np.bool_], row_mm: float) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Middle and squared half length, in voxels, of what is set in each row; smoothed over neighboring rows.

    :param rows: (row, slice, chord).
    """
    filled = rows.any(axis=2)
    first = rows.argmax(axis=2)
    last = rows.shape[2] - 1 - rows[:, :, ::-1].argmax(axis=2)
    weight = gaussian_filter1d(filled.astype(float), 1.0 / row_mm, axis=0, mode="constant")

    def smooth(values: FloatArray) -> FloatArray:
        total = gaussian_filter1d(np.where(filled, values, 0.0), 1.0 / row_mm, axis=0, mode="constant")
        return np.where(filled, total / np.maximum(weight, 1e-6), 0.0)

    return smooth((first + last) / 2.0), smooth(((last - first + 1) / 2.0) ** 2), filled


def _refine(middle: FloatArray, half_squared: FloatArray, filled: NDArray[np.bool_],
            factor: int) -> tuple[FloatArray, FloatArray]:
    """Both at ``factor`` times as many slices."""
    outer = _extrapolated(half_squared, filled)
    squared = np.where(filled, half_squared, outer)
    nearest = np.where(filled, middle, _from_neighbors(middle, filled))
    count = filled.shape[1]
    at = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), count - 2) if count > 1 else np.zeros(len(at), int)
    share = at - low
    return tuple(_cubic(values, low, share) for values in (nearest, squared))  # type: ignore[return-value]


def _cubic(values: FloatArray, low: NDArray[np.int_], share: FloatArray) -> FloatArray:
    """Quadratic-exact interpolation along axis 1 between ``low`` and ``low + 1``."""
    count = values.shape[1]
    a, b, c, d = (values[:, np.clip(low + k, 0, count - 1)] for k in (-1, 0, 1, 2))
    return b + share * (c - b) - share * (1 - share) * (a - b - c + d) / 4.0


def _extrapolated(squared: FloatArray, filled: NDArray[np.bool_]) -> FloatArray:
    """Squared half lengths (negative) in the two empty slices beside filled ones, on the parabola of the last three.

    :param squared: (row, slice).
    """
    out = np.full(squared.shape, -np.inf)
    for sign in (1, -1):
        for steps in (2, 1):
            q0, q1, q2 = (_shifted(squared, sign * (steps + n)) for n in range(3))
            f0, f1, f2 = (_shifted(filled, sign * (steps + n)).astype(bool) for n in range(3))
            between = _shifted(filled, sign).astype(bool) if steps == 2 else np.zeros_like(filled)
            slope = np.where(f1, np.minimum(q0 - q1, 0.0), -q0)
            bend = np.where(f2, np.minimum(q0 - 2 * q1 + q2, 0.0), 0.0)
            value = q0 + steps * slope + steps * (steps + 1) / 2 * bend
            here = f0 & ~filled & ~between
            out = np.where(here, np.maximum(out, np.clip(value, -20 * q0, -0.02 * q0)), out)
    return np.where(np.isfinite(out), out, -1.0)


def _from_neighbors(middle: FloatArray, filled: NDArray[np.bool_]) -> FloatArray:
    """The middle of empty slices, continued from the next filled one or two."""
    out = np.zeros_like(middle)
    for sign in (1, -1):
        m0, m1 = _shifted(middle, sign), _shifted(middle, 2 * sign)
        f0, f1 = _shifted(filled, sign).astype(bool), _shifted(filled, 2 * sign).astype(bool)
        out = np.where(f0 & ~filled, np.where(f1, 2 * m0 - m1, m0), out)
    return out


def _shifted(values: NDArray, by: int) -> NDArray:
    """Neighbors along axis 1: element ``[r, k]`` is ``values[r, k - by]``, zero from outside."""
    out = np.zeros_like(values)
    if by > 0:
        out[:, by:] = values[:, :-by]
    else:
        out[:, :by] = values[:, -by:]
    return out
