"""Arrays that travel with their geometry.

Arrays are indexed ``[i, j, k]``, the order of the columns of the IJK-to-RAS matrix.  (Slicer's and SimpleITK's NumPy
views are ``[k, j, i]``: transpose, which copies nothing.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .anatomy import Kind, Level, Structure

FloatArray = NDArray[np.floating]


def transform_points(matrix: FloatArray, points: NDArray) -> FloatArray:
    """Apply a 4x4 affine matrix to points.

    :param matrix: (4, 4).
    :param points: (..., 3).
    :return: (..., 3).
    """
    return np.asarray(points, float) @ matrix[:3, :3].T + matrix[:3, 3]


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D array in patient space.

    :param array: (I, J, K), any numeric type.
    :param ijk_to_ras: (4, 4), voxel index to RAS millimeters; oblique, flipped and sheared matrices are all right.
    :param name: what people call it.
    """

    array: NDArray
    ijk_to_ras: FloatArray
    name: str = ""

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"a volume has three dimensions, not {self.array.ndim}")
        matrix = np.asarray(self.ijk_to_ras, float)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError("the IJK-to-RAS matrix must be a finite, invertible 4x4 matrix")
        object.__setattr__(self, "ijk_to_ras", matrix)

    def __repr__(self) -> str:
        named = f" {self.name}:" if self.name else ""
        return (f"<{type(self).__name__}{named} {' x '.join(map(str, self.shape))} voxels of "
                f"{' x '.join(f'{s:.3g}' for s in self.spacing)} mm>")

    @property
    def shape(self) -> tuple[int, int, int]:
        i, j, k = self.array.shape
        return i, j, k

    @cached_property
    def ras_to_ijk(self) -> FloatArray:
        return np.linalg.inv(self.ijk_to_ras)

    @cached_property
    def spacing(self) -> FloatArray:
        """(3,) millimeters along i, j and k."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def voxel_volume(self) -> float:
        """mm3."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])))

    def to_ras(self, points_IJK: NDArray) -> FloatArray:
        return transform_points(self.ijk_to_ras, points_IJK)

    def to_ijk(self, points_RAS: NDArray) -> FloatArray:
        return transform_points(self.ras_to_ijk, points_RAS)

    def same_grid(self, other: "Volume", tolerance_mm: float = 1e-3) -> bool:
        """Whether both have the same voxels in the same places."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.to_ras(corners) - other.to_ras(corners)).max() <= tolerance_mm)

    def with_array(self, array: NDArray) -> "Volume":
        """Another array on the same grid."""
        return Volume(array, self.ijk_to_ras, self.name)

    def transformed(self, ras_to_ras: FloatArray) -> "Volume":
        """The same voxels, moved by a 4x4 matrix (as a parent transform does)."""
        return replace(self, ijk_to_ras=np.asarray(ras_to_ras, float) @ self.ijk_to_ras)

    def crop(self, lower: Iterable[int], upper: Iterable[int]) -> "Volume":
        """The voxels ``lower <= ijk < upper``, clipped to the grid; a view."""
        low = np.clip(np.asarray(list(lower), int), 0, self.shape)
        high = np.clip(np.asarray(list(upper), int), low, self.shape)
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras(low)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return replace(self, array=self.array[window], ijk_to_ras=matrix)


def bounding_box(mask: NDArray, margin: Iterable[int] | int = 0) -> tuple[NDArray, NDArray] | None:
    """Lower (inclusive) and upper (exclusive) corner of what is set, or ``None`` where nothing is.

    :param mask: (I, J, K).
    :param margin: voxels added on each side, one number or one per axis; may reach outside the array.
    """
    ranges = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if hit.size == 0:
            return None
        ranges.append((hit[0], hit[-1] + 1))
    pad = np.broadcast_to(np.asarray(margin, int), 3)
    return np.array([r[0] for r in ranges]) - pad, np.array([r[1] for r in ranges]) + pad


@dataclass(frozen=True, eq=False)
class LabelMap(Volume):
    """A label map whose labels are named structures.

    Every voxel has one label, so structures that contain one another are told apart by their union: a vertebra is
    every label of its level that is bone, the canal is the canal's label and the cord's.

    :param structures: label value -> structure.  Values that the array holds and this leaves out count as background.
    :param derived: label values that were computed from other structures, not segmented.
    """

    structures: Mapping[int, Structure] = field(default_factory=dict)
    derived: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {len(self.structures)} structures>"

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels of all vertebra labels, top to bottom."""
        return tuple(sorted({s.level for s in self.structures.values() if s.kind.is_bone and s.level is not None}))

    def values(self, kinds: Iterable[Kind] | Kind, level: Level | None = None) -> list[int]:
        """Label values of structures of these kinds (and of this level, unless ``None``)."""
        wanted = {kinds} if isinstance(kinds, Kind) else set(kinds)
        return sorted(v for v, s in self.structures.items()
                      if s.kind in wanted and (level is None or s.level == level))

    def mask(self, values: Iterable[int]) -> NDArray[np.bool_]:
        """(I, J, K) where any of these label values is."""
        return np.isin(self.array, list(values))

    def is_derived(self, values: Iterable[int]) -> bool:
        """Whether any of these labels was computed instead of segmented."""
        return not self.derived.isdisjoint(values)

    def adding(self, parts: Iterable[tuple[Structure, Iterable[int], NDArray[np.bool_]]]) -> "LabelMap":
        """A copy in which derived structures are also labeled, wherever there was background.

        :param parts: structure, the lower IJK corner of its window, and its mask in that window.
        """
        parts = list(parts)
        first = max([int(self.array.max(initial=0)), *self.structures]) + 1
        array = self.array.astype(np.promote_types(self.array.dtype, np.min_scalar_type(first + len(parts))))
        named = list(self.structures)
        structures = dict(self.structures)
        for value, (structure, lower, mask) in enumerate(parts, start=first):
            window = array[tuple(slice(a, a + n) for a, n in zip(lower, mask.shape, strict=True))]
            window[mask & ~np.isin(window, [*named, *range(first, value)])] = value
            structures[value] = structure
        return replace(self, array=array, structures=structures,
                       derived=self.derived | set(range(first, first + len(parts))))
