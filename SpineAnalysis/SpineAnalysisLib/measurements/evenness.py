"""MR intensities without the coil's uneven sensitivity."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..spine import Scan, Spine
from ..volume import Volume

FloatArray = NDArray[np.floating]

AROUND_MM = 45.0
"""How far around the vertebrae's centers the sensitivity is estimated; the skin and what is beyond is left out."""
GRID_MM = 7.0
"""Coils change over several centimeters, so the estimate needs no finer voxels than this."""
FEWEST = 4
"""Voxels along an axis, and tens of voxels in all, below which there is nothing to fit."""
DARK_SHARE = 0.08
"""Share of the bright tissue's signal below which a voxel is air, cortex or flow: it tells nothing of the coil."""
ITERATIONS = (100, 100)
"""At most, by level: enough to come to rest.  With (30, 20), fluid along the canals of thirteen real scans was left a
fifth more uneven, and so was the marrow of the bodies (docs/DISCS.md)."""


@dataclass(frozen=True, eq=False)
class EvenScan:
    """A scan whose values are divided by the estimated sensitivity.

    :param gain: logarithm of the sensitivity, zero on average; ``None`` where it could not be estimated.
    """

    scan: Scan
    gain: Volume | None

    def values(self, points_RAS: FloatArray) -> FloatArray:
        """Intensities at points (..., 3); NaN outside of the scan."""
        return np.asarray(self.scan.values(points_RAS) * np.exp(-self.log_gain(points_RAS)))

    def log_gain(self, points_RAS: FloatArray) -> FloatArray:
        """(...) logarithm of the sensitivity at points (..., 3); 0 where it could not be estimated."""
        if self.gain is None:
            return np.zeros(np.shape(points_RAS)[:-1])
        points = np.asarray(points_RAS, float).reshape(-1, 3)
        log = map_coordinates(self.gain.array, self.gain.to_ijk(points).T, np.float32, order=1, mode="nearest")
        return np.asarray(log.reshape(np.shape(points_RAS)[:-1]))

    @property
    def flags(self) -> tuple[str, ...]:
        raised = {"contrast_guessed": self.scan.contrast_guessed, "no_bias_correction": self.gain is None}
        return tuple(flag for flag, on in raised.items() if on)


_KNOWN: "WeakKeyDictionary[Volume, Volume | None]" = WeakKeyDictionary()


def even(scan: Scan, spine: Spine) -> EvenScan:
    """The scan with its unevenness taken out, estimated once for every volume.

    Tustison et al., IEEE Trans Med Imaging 2010;29:1310-1320 (N4), on a coarse grid around the vertebrae.
    """
    if scan.volume not in _KNOWN:
        _KNOWN[scan.volume] = _log_gain(scan.volume, np.array([v.frame.origin for v in spine.vertebrae]))
    return EvenScan(scan, _KNOWN[scan.volume])


def _log_gain(volume: Volume, centers_RAS: FloatArray) -> Volume | None:
    index = volume.to_ijk(centers_RAS)
    reach = AROUND_MM / volume.spacing
    near = volume.crop(np.floor(index.min(axis=0) - reach).astype(int), np.ceil(index.max(axis=0) + reach).astype(int))
    coarse = _coarser(near)
    bright = float(np.percentile(coarse.array, 90.0))
    usable = coarse.array > DARK_SHARE * bright
    if min(coarse.shape) < FEWEST or usable.sum() < 10 * FEWEST**2 or bright <= 0:
        return None
    image = SimpleITK.GetImageFromArray(np.maximum(coarse.array, 1e-3 * bright).astype(np.float32).T)
    image.SetSpacing(coarse.spacing.tolist())
    mask = SimpleITK.GetImageFromArray(usable.astype(np.uint8).T)
    mask.CopyInformation(image)
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetNumberOfThreads(1)  # so that sums are the same on every computer
    n4.Execute(image, mask)
    log = SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)).T
    return coarse.with_array((log - log[usable].mean()).astype(np.float32))


def _coarser(volume: Volume) -> Volume:
    """Means over blocks of about ``GRID_MM``."""
    factor = np.maximum(np.floor(GRID_MM / volume.spacing + 0.5).astype(int), 1)
    counts = np.array(volume.shape) // factor
    if not counts.all():
        return volume
    i, j, k = counts * factor
    (a, b, c), (x, y, z) = counts, factor
    means = volume.array[:i, :j, :k].astype(np.float32).reshape(a, x, b, y, c, z).mean(axis=(1, 3, 5))
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] = volume.to_ras((factor - 1) / 2.0)
    matrix[:3, :3] = matrix[:3, :3] * factor
    return Volume(means, matrix, volume.name)
