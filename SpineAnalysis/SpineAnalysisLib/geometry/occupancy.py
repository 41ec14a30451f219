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
ROW_SIGMA = 0.7
"""Chords are smoothed over these neighboring rows: enough for the voxels' stairs, too few to widen a narrow place."""


@dataclass(frozen=True, eq=False)
class Occupancy(Volume):
    """Shares (0..1) of how much of each place a structure fills.

    :param resolution: (3, 3) columns, the steps in RAS between the voxels that the shares were made from.
    """

    resolution: FloatArray = field(default_factory=lambda: np.eye(3))

    @property
    def is_as_labeled(self) -> bool:
        """Whether the places are the original voxels, nothing restored between them."""
        return bool(np.allclose(self.resolution, self.ijk_to_ras[:3, :3]))

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
    middle, half_squared, filled = _chords(np.transpose(mask.array, (row, thick, chord)))
    middle, half_squared = _refine(middle, half_squared, filled, factor)
    place = np.arange(mask.shape[chord])
    half = np.sqrt(np.maximum(half_squared, 0.0))[..., None]
    covered = np.minimum(place + 0.5, middle[..., None] + half) - np.maximum(place - 0.5, middle[..., None] - half)
    fine = np.clip(covered, 0.0, 1.0).astype(np.float32)
    matrix = mask.ijk_to_ras.copy()
    matrix[:3, 3] = mask.to_ras(np.eye(3)[thick] * (0.5 / factor - 0.5))
    matrix[:3, thick] /= factor
    return Occupancy(np.transpose(fine, np.argsort((row, thick, chord))), matrix, mask.name, mask.ijk_to_ras[:3, :3])


def _chords(rows: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Middle and squared half length, in voxels, of what is set in each row; smoothed over neighboring rows.

    :param rows: (row, slice, chord).
    """
    filled = np.asarray(rows.any(axis=2))
    first = rows.argmax(axis=2)
    last = rows.shape[2] - 1 - rows[:, :, ::-1].argmax(axis=2)
    weight = gaussian_filter1d(filled.astype(float), ROW_SIGMA, axis=0, mode="constant")

    def smooth(values: FloatArray) -> FloatArray:
        total = gaussian_filter1d(np.where(filled, values, 0.0), ROW_SIGMA, axis=0, mode="constant")
        return np.where(filled, total / np.maximum(weight, 1e-6), 0.0)

    return smooth((first + last) / 2.0), smooth(((last - first + 1) / 2.0) ** 2), filled


def _refine(middle: FloatArray, half_squared: FloatArray, filled: NDArray[np.bool_],
            factor: int) -> tuple[FloatArray, FloatArray]:
    """Both at ``factor`` times as many slices; the squared half length is negative where there is nothing.

    :param middle, half_squared, filled: (row, slice).
    """
    count = filled.shape[1]
    at = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    share = at - low
    left, right = filled[:, low], filled[:, np.minimum(low + 1, count - 1)]
    fine = []
    for values, beyond in ((middle, _tangent), (half_squared, _parabola)):
        inner = _between(values, filled, low, share)
        ahead = beyond(values, filled, low, 1, share)
        behind = beyond(values, filled, np.minimum(low + 1, count - 1), -1, 1.0 - share)
        fine.append(np.select([left & right, left, right], [inner, ahead, behind], -1.0))
    return fine[0], fine[1]


def _at(values: NDArray, index: NDArray[np.int_]) -> NDArray:
    """Slices by index, empty outside."""
    inside = (index >= 0) & (index < values.shape[1])
    return np.where(inside, values[:, np.clip(index, 0, values.shape[1] - 1)], 0)


def _between(values: FloatArray, filled: NDArray[np.bool_], low: NDArray[np.int_], share: FloatArray) -> FloatArray:
    """Interpolation between filled neighbors, exact for parabolas."""
    b, c = _at(values, low), _at(values, low + 1)
    a = np.where(_at(filled, low - 1), _at(values, low - 1), 2 * b - c)
    d = np.where(_at(filled, low + 2), _at(values, low + 2), 2 * c - b)
    return b + share * (c - b) - share * (1.0 - share) * (a - b - c + d) / 4.0


def _tangent(values: FloatArray, filled: NDArray[np.bool_], last: NDArray[np.int_], step: int,
             share: FloatArray) -> FloatArray:
    """Straight on from the last filled slice, by ``share`` of a slice; at most one voxel aside."""
    slope = np.where(_at(filled, last - step), _at(values, last) - _at(values, last - step), 0.0)
    return _at(values, last) + share * np.clip(slope, -1.0, 1.0)


def _parabola(values: FloatArray, filled: NDArray[np.bool_], last: NDArray[np.int_], step: int,
              share: FloatArray) -> FloatArray:
    """On from the last three filled slices, reaching zero before the next (which is empty)."""
    q0, q1, q2 = (_at(values, last - n * step) for n in range(3))
    f1, f2 = (_at(filled, last - n * step).astype(bool) for n in (1, 2))
    slope = np.where(f1, np.minimum(q0 - q1, 0.0), -q0)
    bend = np.where(f1 & f2, np.minimum(q0 - 2 * q1 + q2, 0.0), 0.0)
    excess = np.maximum(q0 + slope + bend, 0.0)
    return q0 + share * (slope - excess) + share * (share + 1.0) / 2.0 * bend
