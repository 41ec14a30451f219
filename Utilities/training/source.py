"""An anatomy before it is deformed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Plate:
    """An endplate: where the along-spine coordinate is known.

    :param center: (3,) canonical voxel coordinates (1 mm).
    :param down: (3,) unit normal, to the feet.
    """

    center: FloatArray
    down: FloatArray


@dataclass(frozen=True, eq=False)
class Source:
    """Tissues on a canonical grid of 1 mm (i left to right, j head to foot, k front to back).

    :param tissue: (I, J, K) uint8.
    :param depth: (I, J, K) uint8, depth of bone below its surface, in tenths of a millimeter, 255 for more.
    :param sac: (I, J, K) int8, percent of the way from the canal's wall to its content; ``None`` where the dural sac
        is painted already.
    :param outside: (I, J, K) uint8, millimeters outside of everything named; ``None`` where skin is painted already.
    :param axis: (J, 2) middle of the canal in i and k for every row; NaN where there is none.
    :param plates: superior and inferior endplate of each vertebra, top to bottom, then the sacrum's.
    :param cord_ends_j: the row below which there is no cord.
    """

    name: str
    tissue: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    sac: NDArray[np.int8] | None
    outside: NDArray[np.uint8] | None
    axis: FloatArray
    plates: tuple[Plate, ...]
    cord_ends_j: float
    neck: bool = False
