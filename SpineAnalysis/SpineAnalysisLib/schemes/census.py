"""Which label values a label map holds, and where: what every judgment about its scheme rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from ..volume import Volume

GREATEST_VALUE = 65535
MOST_VALUES = 600  # a scan has thousands
_SLAB_VOXELS = 4_000_000  # counted at a time: counting widens its input to eight bytes a voxel

Window = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Region:
    """Where one label value is.

    :param voxels: how many.
    :param center_RAS: (3,) its centroid, mm.
    :param lower_RAS: (3,) corner of its box along R, A and S, voxel centers, mm.
    :param upper_RAS: (3,) the opposite corner.
    :param volume_mm3: its volume.
    :param filled_mm: height along S at which it is anywhere: specks far away add little to it.
    """

    voxels: int
    center_RAS: NDArray[np.floating]
    lower_RAS: NDArray[np.floating]
    upper_RAS: NDArray[np.floating]
    volume_mm3: float
    filled_mm: float

    @property
    def extent_mm(self) -> NDArray[np.floating]:
        """(3,) along R, A and S."""
        return self.upper_RAS - self.lower_RAS

    @property
    def section_mm2(self) -> float:
        """Mean area of its cross-sections by axial planes; a height of less than 2 mm counts as 2 mm."""
        return self.volume_mm3 / max(self.filled_mm, 2.0)


class Census:
    """The label values of a volume; regions are measured when they are asked for.

    :param volume: integers, whatever their type.
    :raises InputError: for values that cannot be labels, or none at all.
    """

    def __init__(self, volume: Volume) -> None:
        self.volume = volume.with_array(as_labels(volume.array))
        counts = _counts(self.volume.array)
        counts[0] = 0
        self.values: tuple[int, ...] = tuple(np.flatnonzero(counts).tolist())
        if not self.values:
            raise InputError("The segmentation is empty: every voxel is background; check that it is the right file.")
        if len(self.values) > MOST_VALUES:
            raise InputError(f"The segmentation holds {len(self.values)} different values: it is a scan, not a label "
                             "map; pass a label map of whole numbers.")
        self._counts = counts
        self._regions: dict[int, Region] = {}

    @cached_property
    def _windows(self) -> list[Window | None]:
        return ndimage.find_objects(self.volume.array)

    def window(self, value: int) -> Window:
        """The box of a value, as slices of the array."""
        found = self._windows[value - 1]
        assert found is not None
        return found

    def mask(self, value: int) -> NDArray[np.bool_]:
        """Where a value is, within its window."""
        return self.volume.array[self.window(value)] == value

    def region(self, value: int) -> Region:
        if value not in self._regions:
            first = [s.start for s in self.window(value)]
            self._regions[value] = region_of(self.mask(value), first, self.volume)
        return self._regions[value]


def region_of(mask: NDArray[np.bool_], first: Iterable[int], volume: Volume) -> Region:
    """The region of a mask.

    :param mask: of a window of the volume; not empty.
    :param first: (3,) the window's lower corner, IJK.
    """
    corner = np.asarray(list(first))
    sums = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    voxels = int(sums[0].sum())
    center_IJK = corner + [np.dot(np.arange(n.size), n) / voxels for n in sums]
    # The farthest voxels in any direction are at the ends of columns.
    columns = np.argwhere(mask.any(axis=2))
    lines = mask[columns[:, 0], columns[:, 1]]
    bottom, top = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    ends_RAS = volume.to_ras(np.concatenate([np.column_stack([columns, k]) for k in (bottom, top)]) + corner)
    up = np.abs(volume.ijk_to_ras[2, :3])
    axis = int(np.argmax(up / volume.spacing))
    return Region(voxels, volume.to_ras(center_IJK), ends_RAS.min(axis=0), ends_RAS.max(axis=0),
                  voxels * volume.voxel_volume, np.count_nonzero(sums[axis]) * float(up[axis]))


def as_labels(array: NDArray) -> NDArray:
    """The array as integers of an unsigned type, without a copy where it has one already.

    :raises InputError: for fractions, negative values and values of more than 65535.
    """
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or np.any(array != np.rint(array)):
            raise InputError("The segmentation holds fractions: it is a probability map or a scan, not a label map; "
                             "pass a label map of whole numbers.")
    elif array.dtype.kind not in "iub":
        raise InputError("The segmentation does not hold numbers: pass a label map of whole numbers.")
    if array.dtype in (np.uint8, np.uint16):
        return array
    least, greatest = (array.min(), array.max()) if array.size else (0, 0)
    if least < 0 or greatest > GREATEST_VALUE:
        raise InputError(f"The segmentation's values go from {least:g} to {greatest:g}, which are not labels: "
                         "pass a label map, not the scan.")
    return array.astype(np.uint8 if greatest < 256 else np.uint16)


def _counts(array: NDArray) -> NDArray[np.int64]:
    """Voxels of every value, by slabs, so that memory stays small."""
    flat = array.ravel(order="K")
    counts = np.zeros(GREATEST_VALUE + 1, np.int64)
    for start in range(0, flat.size, _SLAB_VOXELS):
        found = np.bincount(flat[start:start + _SLAB_VOXELS])
        counts[:found.size] += found
    return counts
