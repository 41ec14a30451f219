"""A scan as the embedded network sees it: a stack of sagittal slices, in training and in use.

The canonical array is indexed ``[i, j, k]``: slices i from the patient's left to right, rows j from head to foot,
columns k from front to back.  Its axes are the scan's own, permuted and flipped, so that going there and back is a
matter of scaling along each axis; nothing is rotated.
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...volume import Volume

FloatArray = NDArray[np.floating]

PIXEL_MM = 1.0
COARSE_PIXEL_MM = 2.0
SLICE_MM = 3.0
"""Step between slices, unless the scan's own sagittal slices are thicker."""
NEIGHBORS = 3
"""Slices seen on each side of the one that is labeled."""
CT_RANGE = (-250.0, 900.0)
"""HU; beyond it are air and metal, which would squeeze what is between."""
PERCENTILES = (0.5, 99.5)
CEILING = 1.25
"""Of normalized intensities: brighter is surface coil or metal."""

_DIRECTIONS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
"""Rows: where i, j and k point to, in RAS."""


def anatomical_axes(volume: Volume) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which axes of a scan run nearest to the canonical i, j and k, and which of them backward."""
    cosines = _DIRECTIONS @ (volume.ijk_to_ras[:3, :3] / volume.spacing)
    i, j, k = max(permutations(range(3)), key=lambda axes: abs(cosines[range(3), axes]).sum())
    return (i, j, k), (bool(cosines[0, i] < 0), bool(cosines[1, j] < 0), bool(cosines[2, k] < 0))


def canonical(volume: Volume, pixel_mm: float = PIXEL_MM, slice_mm: float = SLICE_MM) -> Volume:
    """The scan in canonical axes and steps, antialiased.

    :param volume: of any orientation.
    :param pixel_mm: in-plane step.
    :param slice_mm: step between slices; sagittal slices that are thicker than this are kept.
    :return: float32; its matrix leads back to RAS.
    """
    turned = _turned(volume)
    steps = np.array([slice_mm, pixel_mm, pixel_mm])
    if turned.spacing[0] >= max(slice_mm, *turned.spacing[1:]):
        steps[0] = turned.spacing[0]
    return _rescaled(turned, steps)


def back_to(array: NDArray, seen: Volume, volume: Volume) -> FloatArray:
    """What was computed on a canonical grid, on the grid of the scan.

    :param array: on the grid of ``seen``.
    :param seen: the canonical scan.
    :param volume: the scan that it was made from.
    :return: float32, interpolated linearly; zero beyond the outermost canonical samples' reach.
    """
    order, flipped = anatomical_axes(volume)
    turned = _turned(volume)
    start = turned.to_ijk(seen.ijk_to_ras[:3, 3])
    ratio = seen.spacing / turned.spacing
    out = np.asarray(array, np.float32)
    for axis in range(3):
        at = (np.arange(turned.shape[axis]) - start[axis]) / ratio[axis]
        out = _along(out, axis, _tent(at, out.shape[axis], 1.0))
    out = out[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    return np.ascontiguousarray(out.transpose(np.argsort(order)))


def _turned(volume: Volume) -> Volume:
    """The same voxels in the canonical order; a view."""
    order, flipped = anatomical_axes(volume)
    array = volume.array.transpose(order)
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, :3] = matrix[:3, order]
    for axis, flip in enumerate(flipped):
        if flip:
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
            matrix[:3, axis] *= -1
    return Volume(array[tuple(slice(None, None, -1 if flip else 1) for flip in flipped)], matrix, volume.name)


def _rescaled(volume: Volume, steps_mm: FloatArray) -> Volume:
    """Other steps along the same axes, the field of view's center kept."""
    ratio = steps_mm / volume.spacing
    shape = np.maximum(np.rint(np.array(volume.shape) / ratio), 1).astype(int)
    start = (np.array(volume.shape) - 1) / 2.0 - (shape - 1) / 2.0 * ratio
    array = volume.array
    for axis in np.argsort(shape / np.array(volume.shape)):  # what shrinks most first
        if ratio[axis] != 1.0:
            at = start[axis] + np.arange(shape[axis]) * ratio[axis]
            array = _along(array, axis, _tent(at, array.shape[axis], max(ratio[axis], 1.0)))
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] = volume.to_ras(start)
    matrix[:3, :3] *= ratio
    return Volume(np.ascontiguousarray(array, np.float32), matrix, volume.name)


def _tent(at: FloatArray, count: int, width: float) -> csr_matrix:
    """(len(at), count) weights of samples 0 ... count - 1 at fractional places: a tent, as wide as the larger step.

    Places up to a step beyond the ends take the end's value; those farther out get nothing.
    """
    reach = int(np.ceil(width))
    rows = np.repeat(np.arange(len(at)), 2 * reach + 1)
    columns = (np.rint(at)[:, None] + np.arange(-reach, reach + 1)).astype(int)
    weights = np.clip(1.0 - np.abs(columns - at[:, None]) / width, 0.0, None)
    weights[(columns < 0) | (columns >= count)] = 0.0
    near = (at > -1.0) & (at < count)
    weights[near] /= np.maximum(weights[near].sum(axis=1, keepdims=True), 1e-9)
    weights[~near] = 0.0
    shape = (len(at), count)
    return csr_matrix((weights.ravel().astype(np.float32), (rows, np.clip(columns, 0, count - 1).ravel())), shape)


def _along(array: NDArray, axis: int, weights: csr_matrix) -> FloatArray:
    moved = np.moveaxis(array, axis, 0)
    out = weights @ np.asarray(moved.reshape(len(moved), -1), np.float32)
    return np.moveaxis(out.reshape(weights.shape[0], *moved.shape[1:]), 0, axis)


def normalize(array: NDArray, contrast_is_ct: bool) -> NDArray[np.float32]:
    """Intensities of a whole canonical scan from 0 to about 1.

    Percentiles are of what is not blank: the padding of scanners would shift them.
    """
    values = np.asarray(array, np.float32)
    if contrast_is_ct:
        values = np.clip(values, *CT_RANGE)
    shown = values[values > values.min()]
    if shown.size == 0:
        return np.zeros_like(values)
    low, high = np.percentile(shown, PERCENTILES)
    return np.clip((values - low) / max(float(high - low), 1e-6), 0.0, CEILING).astype(np.float32)


def stacks(volume: NDArray) -> NDArray:
    """Every slice with its neighbors, as the network's channels.

    :param volume: (N, H, W) normalized canonical array.
    :return: (N, 2 * NEIGHBORS + 1, H, W), a view; slices beyond the ends are zero.
    """
    padded = np.pad(volume, ((NEIGHBORS, NEIGHBORS), (0, 0), (0, 0)))
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBORS + 1, axis=0), -1, 1)
