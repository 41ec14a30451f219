"""Solids onto grids."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Structure
from ..errors import InputError
from ..schemes.tables import own_value
from ..volume import LabelMap, Volume, transform_points
from .solids import Solid

Vector = NDArray[np.floating]

_DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


@dataclass(frozen=True, eq=False)
class Grid:
    """:param shape: voxels along i, j, k; :param ijk_to_ras: (4, 4)."""

    shape: tuple[int, int, int]
    ijk_to_ras: Vector

    @staticmethod
    def of(volume: Volume) -> "Grid":
        return Grid(volume.shape, volume.ijk_to_ras)

    @staticmethod
    def around(points_RAS: Vector, spacing: float | Sequence[float] = 1.0, axes: str = "RAS",
               rotation: Vector | None = None, margin: float | Sequence[float] = 10.0) -> "Grid":
        """The grid that holds some points.

        :param spacing: mm, one or one per grid axis.
        :param axes: patient directions of increasing i, j and k, such as ``"PIR"`` for a sagittal scan.
        :param rotation: (3, 3) turns those directions, for an oblique grid.
        :param margin: mm around the points, one or one per grid axis.
        """
        steps = np.broadcast_to(np.asarray(spacing, float), 3)
        directions = np.array([_DIRECTIONS.get(letter, (0, 0, 0)) for letter in axes], float)
        if directions.shape != (3, 3) or abs(np.linalg.det(directions)) < 0.5:
            raise InputError(f"The axes {axes!r} do not name three patient axes, as 'RAS' or 'PSR' does.")
        if rotation is not None:
            directions = directions @ np.asarray(rotation, float).T
        along = points_RAS @ directions.T
        low, high = along.min(axis=0) - margin, along.max(axis=0) + margin
        i, j, k = np.ceil((high - low) / steps).astype(int) + 1
        matrix = np.eye(4)
        matrix[:3, :3] = (directions * steps[:, None]).T
        matrix[:3, 3] = low @ directions
        return Grid((int(i), int(j), int(k)), matrix)

    @property
    def spacing(self) -> Vector:
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    def shifted(self, offset_IJK: Iterable[float]) -> "Grid":
        """The same voxels with their centers a part of a voxel away."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = transform_points(self.ijk_to_ras, np.array(list(offset_IJK)))
        return Grid(self.shape, matrix)

    def crop(self, low: Vector, high: Vector) -> "Grid":
        i, j, k = (int(n) for n in np.asarray(high) - low)
        return Grid((i, j, k), self.shifted(low).ijk_to_ras)

    def window(self, corners_RAS: Vector) -> tuple[Vector, Vector] | None:
        """First and last-but-one voxel of the bounding box of some points, or ``None`` where they are outside."""
        corners = transform_points(np.linalg.inv(self.ijk_to_ras), corners_RAS)
        low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, self.shape)
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, self.shape)
        return (low, high) if (low < high).all() else None

    def coordinates(self, ras_to_frame: Vector) -> tuple[Vector, Vector, Vector]:
        """Coordinates of all voxel centers after a matrix, three arrays that broadcast to the grid's shape.

        A coordinate that does not change along an axis has length one there, which is most of the speed on grids that
        are parallel to the frame.
        """
        matrix = ras_to_frame @ self.ijk_to_ras
        indices = np.ogrid[tuple(slice(n) for n in self.shape)]

        def row(coefficients: Vector, start: float) -> Vector:
            out = np.full((1, 1, 1), start)
            for coefficient, index in zip(coefficients, indices, strict=True):
                if abs(coefficient) * index.size > 1e-9:
                    out = out + coefficient * index
            return out
        return row(matrix[0, :3], matrix[0, 3]), row(matrix[1, :3], matrix[1, 3]), row(matrix[2, :3], matrix[2, 3])


def subsamples(counts: Sequence[int]) -> list[tuple[float, float, float]]:
    """Offsets within a voxel, in voxels, that divide it evenly."""
    steps = [[(i + 0.5) / n - 0.5 for i in range(n)] for n in counts]
    return [(a, b, c) for a, b, c in product(*steps)]


def evaluate(solid: Solid, grid: Grid) -> tuple[tuple[slice, ...], Vector] | None:
    """A solid's signed distance in its window of a grid, or ``None`` where it is not in the grid."""
    window = grid.window(solid.corners)
    if window is None:
        return None
    part = grid.crop(*window)
    distance = solid.distance(*part.coordinates(np.linalg.inv(solid.frame.matrix)))
    return tuple(slice(a, b) for a, b in zip(*window, strict=True)), np.broadcast_to(distance, part.shape)


def paint_labels(solids: Sequence[Solid], named: Sequence[Structure | None], grid: Grid) -> NDArray[np.uint16]:
    """Label every voxel by what is at its center.

    :param named: per solid what it is labeled as; ``None`` clears it.
    """
    out = np.zeros(grid.shape, np.uint16)
    for solid, structure in zip(solids, named, strict=True):
        found = evaluate(solid, grid)
        if found is not None:
            window, distance = found
            out[window][distance < 0] = 0 if structure is None else own_value(structure)
    return out


def majority(votes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The most frequent value along the first axis; the smallest of several."""
    out = votes[0].copy()
    mixed = (votes != out).any(axis=0)
    some = votes[:, mixed]
    best = np.zeros(some.shape[1], int)
    winner = out[mixed]
    for value in np.unique(some):
        count = np.count_nonzero(some == value, axis=0)
        better = count > best
        best[better], winner[better] = count[better], value
    out[mixed] = winner
    return out


def slabs(grid: Grid, voxels: int) -> Iterator[tuple[slice, Grid]]:
    """A grid in pieces along i of about this many voxels."""
    count = max(1, voxels // max(1, grid.shape[1] * grid.shape[2]))
    for start in range(0, grid.shape[0], count):
        stop = min(start + count, grid.shape[0])
        yield slice(start, stop), grid.crop(np.array([start, 0, 0]), np.array([stop, *grid.shape[1:]]))


def rasterize(solids: Sequence[Solid], named: Sequence[Structure | None], grid: Grid, supersample: int,
              ) -> LabelMap:
    """Label a grid: each voxel by its center, or by the majority of ``supersample`` cubed points in it."""
    offsets = subsamples([supersample] * 3)
    array = np.zeros(grid.shape, np.uint16)
    for rows, part in slabs(grid, 40_000_000 // len(offsets)):
        array[rows] = majority(np.stack([paint_labels(solids, named, part.shifted(o)) for o in offsets]))
    present = set(np.unique(array).tolist())
    structures = {own_value(s): s for s in named if s is not None and own_value(s) in present}
    return LabelMap(array, grid.ijk_to_ras, "segmentation", structures=dict(sorted(structures.items())))
