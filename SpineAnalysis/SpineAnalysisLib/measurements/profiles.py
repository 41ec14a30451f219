"""Curves along the canal: smoothing, and where on them a level is."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from ..spine import MotionSegment, Tube

FloatArray = NDArray[np.floating]

WINDOW_MM = 1.5
SLAB_MARGIN_MM = 3.0
NOISE_VOXELS = 5.0
"""Voxel noise is averaged over this many voxels along the canal, by local parabolas: narrow places stay narrow."""


def smooth(values: FloatArray, step_mm: float, voxel_mm: float) -> FloatArray:
    """A profile as the dictionary of measurements wants it: the mean over 1.5 mm.

    Voxels and the interpolation between them already average along the canal, like a moving mean of variance
    ``voxel_mm**2 / 6``; the window is narrower by that much.

    :param values: (N,), NaN where there is nothing.
    :param step_mm: between samples.
    :param voxel_mm: extent of the voxels along the canal.
    """
    width = np.sqrt(max(WINDOW_MM**2 - 2.0 * voxel_mm**2, 0.0)) / step_mm
    side = max((width - 1.0) / 2.0, 0.0)
    reach = int(np.ceil(side))
    kernel = np.ones(2 * reach + 1)
    kernel[[0, -1]] = side - (reach - 1) if reach else 1.0
    window = 2 * int(NOISE_VOXELS * voxel_mm / step_mm / 2.0) + 1
    out = np.full(len(values), np.nan)
    for start, end in _runs(np.isfinite(values)):
        piece = values[start:end]
        fitting = min(window, len(piece) - 1 + len(piece) % 2)
        if fitting > 3:
            piece = savgol_filter(piece, fitting, 2)
        padded = np.pad(piece, reach, mode="edge")
        out[start:end] = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    return out


def _runs(filled: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of ``True``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def slab(tube: Tube, motion: MotionSegment) -> NDArray[np.bool_]:
    """Which of a tube's sections lie beside a disc: its height and 3 mm each way."""
    if motion.canal_s is None:
        return np.zeros(len(tube.s), bool)
    return np.abs(tube.s - motion.canal_s) <= motion.height_mm / 2.0 + SLAB_MARGIN_MM


def value_at(tube: Tube, values: FloatArray, s: float | None) -> float:
    """A profile at an arc length; NaN outside of what was measured."""
    if s is None or not tube.s[0] <= s <= tube.s[-1]:
        return float("nan")
    return float(np.interp(s, tube.s, values))


def reference(tube: Tube, values: FloatArray, s: float, gap_mm: float = 10.0,
              span_mm: float = 20.0) -> tuple[float, float] | None:
    """Mean of a profile above and below a place, and the smaller share of the two spans that was in view.

    :return: ``None`` where less than half of either span is.
    """
    means, shares = [], []
    for side in (-1.0, 1.0):
        away = side * (tube.s - s)
        span = values[(away >= gap_mm) & (away <= gap_mm + span_mm)]
        known = np.isfinite(span)
        shares.append(known.sum() * float(np.diff(tube.s[:2])[0]) / span_mm)
        if shares[-1] < 0.5:
            return None
        means.append(float(span[known].mean()))
    return float(np.mean(means)), min(shares)
