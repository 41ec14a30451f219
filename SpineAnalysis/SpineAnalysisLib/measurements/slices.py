"""Single slices of a scan, in an anatomical frame whose plane they are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..geometry.frames import Frame
from ..volume import Volume

FloatArray = NDArray[np.floating]

SMOOTH_MM = 0.4
"""Of each slice, against noise."""


def slice_normal(volume: Volume, slow: int) -> FloatArray:
    """(3,) of the slices, to the head."""
    rows, columns = np.delete(volume.ijk_to_ras[:3, :3], slow, axis=1).T
    normal = np.cross(rows, columns)
    return np.asarray(normal / np.linalg.norm(normal) * (1.0 if normal[2] > 0 else -1.0))


@dataclass(frozen=True, eq=False)
class ScanSlice:
    """:param slow: the axis across slices; :param fixed: the slice's index along it; :param frame: S is its normal."""

    volume: Volume
    slow: int
    fixed: int
    frame: Frame

    @cached_property
    def _pixels(self) -> FloatArray:
        pixels = np.take(self.volume.array, self.fixed, axis=self.slow).astype(np.float32)
        return gaussian_filter(pixels, SMOOTH_MM / np.delete(self.volume.spacing, self.slow))

    def _indices(self, places: FloatArray) -> FloatArray:
        """(..., 2) in pixels."""
        points = self.frame.to_ras(np.concatenate([places, np.zeros((*places.shape[:-1], 1))], axis=-1))
        return np.delete(self.volume.to_ijk(points), self.slow, axis=-1)

    def values(self, places: FloatArray) -> FloatArray:
        """(...,) at (..., 2) places of the plane, mm along R and A."""
        index = np.moveaxis(self._indices(places), -1, 0)
        return map_coordinates(self._pixels, index, np.float32, order=1, mode="nearest", prefilter=False)

    def shows(self, places: FloatArray, margin_mm: float = 0.0) -> bool:
        """Whether (..., 2) places lie in the slice, and so far within its border."""
        index = self._indices(places)
        fine = np.delete(np.array([self.volume.shape, self.volume.spacing]), self.slow, axis=1)
        margin = margin_mm / fine[1]
        return bool(((index >= margin) & (index <= fine[0] - 1 - margin)).all())
