"""From a scan to the network's answer along the spine: a coarse look at everything, then a close one at the spine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...progress import Progress, part, step
from ...volume import Volume, bounding_box
from ..instances.field import CERTAIN, LEAST_BODY_MM3, NO_SPINE, Field, one_spine
from .canonical import COARSE_PIXEL_MM, canonical, normalize, stacks
from .classes import BODY, Class
from .measured import measured
from .model import MULTIPLE, Network

PATCH = (192, 160)
"""Rows and columns that the network is shown at once."""
OVERLAP = 32
BATCH = 4
COARSE_EVERY_MM = 6.0
"""Step between the slices that the coarse look takes."""
SMALL_MM = 100.0
"""A field of view that is smaller than this shows too little of the spine for coarse pixels: the first look is as sharp
as the second (a cervical crop of 55 mm was refused at 2 mm and is segmented at 1 mm)."""
MARGIN_MM = np.array([9.0, 16.0, 16.0])
"""Around what the coarse look finds; canonical axes."""
LEAST_LENGTH_MM = 20.0
LEAST_SHOWN_MM = 30.0
"""Of the spine's length in view: axial blocks of 24 mm showed pieces of two lumbar bodies that lay as close together as
cervical ones, and got such names."""
SHORT_MM = 45.0
"""A scan that shows less of the spine's length holds no whole vertebra between two discs."""
SHORT = ("This scan shows only {:.0f} mm of the spine's length, too little to tell vertebrae apart; give it together "
         "with a longer scan of the same visit, or segment it elsewhere and pass the segmentation.")

Allowed = Callable[[Volume], NDArray[np.bool_] | None]
"""A canonical grid -> (I, J, K) where the spine may be, ``None`` for everywhere."""


@dataclass(frozen=True)
class Window:
    """A patch: first and last slice, first row and column."""

    slices: tuple[int, int]
    row: int
    column: int


def predict(volume: Volume, network: Network, is_ct: bool, allowed: Allowed, progress: Progress) -> Field:
    """What the network says along the spine.

    :param volume: the scan; :param is_ct: whether its values are Hounsfield units.
    :param allowed: restricts where the spine is looked for.
    :raises InputError: where no spine is found.
    :raises Cancelled: by ``progress``, between patches.
    """
    step(progress, 0.0, "Preparing the scan")
    volume = measured(volume)
    region, coarse = _region(volume, network, is_ct, allowed, part(progress, 0.02, 0.3))
    step(progress, 0.3, "Preparing the scan")
    seen = canonical(volume)
    seen = seen.with_array(normalize(seen.array, is_ct))
    mask = _on_grid(region, coarse, seen)
    box = bounding_box(mask)
    if box is None:
        raise InputError(NO_SPINE)
    lower, upper = box
    values = _look(seen, mask, lower, upper, network, part(progress, 0.4, 1.0))
    return Field(values, seen.crop(lower, upper))


def _region(volume: Volume, network: Network, is_ct: bool, allowed: Allowed,
            progress: Progress) -> tuple[NDArray[np.bool_], Volume]:
    """Where the spine is, on a coarse grid, with a margin."""
    seen = canonical(volume, COARSE_PIXEL_MM)
    if min(seen.shape[1] * seen.spacing[1], seen.shape[2] * seen.spacing[2]) < SMALL_MM:
        seen = canonical(volume)
    shown = stacks(normalize(seen.array, is_ct))
    every = max(int(COARSE_EVERY_MM // seen.spacing[0]), 1)
    chosen = np.arange(min(every // 2, len(shown) - 1), len(shown), every)
    found = np.zeros((len(chosen), *seen.shape[1:]), np.uint8)
    for at in range(0, len(chosen), BATCH):
        step(progress, at / len(chosen), "Looking for the spine")
        stack = shown[chosen[at:at + BATCH]]
        found[at:at + BATCH] = network.probabilities(_padded(stack))[:, :, :stack.shape[2], :stack.shape[3]].argmax(1)
    sparse = Volume(found, _every_slice(seen, int(chosen[0]), every))
    where = allowed(sparse)
    if where is not None:
        found[~where] = Class.BACKGROUND
    spine = one_spine(found > 0, sparse.spacing)
    _check_spine(found, spine, sparse)
    reach = np.ceil(MARGIN_MM / sparse.spacing).astype(int)
    near = ndimage.maximum_filter(spine, size=2 * reach + 1)
    return near, sparse


def _every_slice(seen: Volume, first: int, every: int) -> NDArray[np.floating]:
    """The matrix of every so many slices."""
    matrix = seen.ijk_to_ras.copy()
    matrix[:3, 3] = seen.to_ras(np.array([first, 0, 0]))
    matrix[:3, 0] *= every
    return matrix


def _check_spine(found: NDArray[np.uint8], spine: NDArray[np.bool_], grid: Volume) -> None:
    """:raises InputError: where what was found is too little to be a spine."""
    body = np.isin(found, BODY) & spine
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    length = np.ptp(rows) * grid.spacing[1] if rows.size else 0.0
    shown = grid.shape[1] * grid.spacing[1]
    if np.count_nonzero(body) * grid.voxel_volume < LEAST_BODY_MM3 or length < LEAST_LENGTH_MM \
            or shown < LEAST_SHOWN_MM:
        raise InputError(SHORT.format(shown) if shown < SHORT_MM else NO_SPINE)


def _on_grid(mask: NDArray[np.bool_], coarse: Volume, seen: Volume) -> NDArray[np.bool_]:
    """A coarse mask on a finer grid with the same axes."""
    start = coarse.to_ijk(seen.to_ras(np.zeros(3)))
    ratio = seen.spacing / coarse.spacing
    at = [np.clip(np.rint(start[axis] + np.arange(seen.shape[axis]) * ratio[axis]).astype(int), 0,
                  mask.shape[axis] - 1) for axis in range(3)]
    return mask[np.ix_(*at)]


def _padded(stack: NDArray[np.float32], shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Zeros added at the end of rows and columns, up to a shape or the next multiple that the network takes."""
    rows, columns = shape or [-(-n // MULTIPLE) * MULTIPLE for n in stack.shape[2:]]
    return np.pad(stack, ((0, 0), (0, 0), (0, rows - stack.shape[2]), (0, columns - stack.shape[3])))


def _look(seen: Volume, mask: NDArray[np.bool_], lower: NDArray, upper: NDArray, network: Network,
          progress: Progress) -> NDArray[np.uint8]:
    """(K, I, J, K) probabilities 0..255 in the box from ``lower`` to ``upper``, patch by patch."""
    shown = stacks(seen.array)
    shape = tuple(int(n) for n in upper - lower)
    total = np.zeros((len(Class), *shape), np.float32)
    weight = np.zeros(shape, np.float32)
    ramp = _ramp()
    windows = list(_windows(mask, lower, upper))
    for number, window in enumerate(windows):
        step(progress, number / len(windows), "Segmenting the spine")
        first, last = window.slices
        rows = slice(window.row, min(window.row + PATCH[0], seen.shape[1]))
        columns = slice(window.column, min(window.column + PATCH[1], seen.shape[2]))
        stack = shown[first:last, :, rows, columns]
        found = network.probabilities(_padded(stack, PATCH))
        inside, patch = _shared((first, rows.start, columns.start), stack.shape, lower, upper)
        share = ramp[patch[1], patch[2]]
        total[(slice(None), *inside)] += share * found[patch[0], :, patch[1], patch[2]].swapaxes(0, 1)
        weight[inside] += share
    return _as_bytes(total, weight)


def _as_bytes(total: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Weighted sums as probabilities 0..255; what no patch covered is background."""
    out = np.zeros(total.shape, np.uint8)
    unseen = weight == 0
    scale = CERTAIN / np.maximum(weight, 1e-6)
    for channel in range(len(total)):
        out[channel] = np.rint(total[channel] * scale)
    out[Class.BACKGROUND, unseen] = CERTAIN
    return out


def _ramp() -> NDArray[np.float32]:
    """Weights of a patch's pixels: less toward its border."""
    sides = [np.minimum(np.minimum(np.arange(n) + 1, n - np.arange(n)) / OVERLAP, 1.0) for n in PATCH]
    return np.outer(*sides).astype(np.float32)


def _windows(mask: NDArray[np.bool_], lower: NDArray, upper: NDArray) -> Iterator[Window]:
    """Patches that cover a mask, following it, and the slices in which it is."""
    for row in _starts(int(lower[1]), int(upper[1]), PATCH[0], mask.shape[1]):
        rows = mask[:, row:row + PATCH[0]]
        columns = np.flatnonzero(rows.any(axis=(0, 1)))
        if not columns.size:
            continue
        for column in _starts(int(columns[0]), int(columns[-1]) + 1, PATCH[1], mask.shape[2]):
            slices = np.flatnonzero(rows[:, :, column:column + PATCH[1]].any(axis=(1, 2)))
            for at in range(0, slices.size, BATCH):
                yield Window((int(slices[at]), int(slices[min(at + BATCH, slices.size) - 1]) + 1), row, column)


def _starts(low: int, high: int, size: int, limit: int) -> list[int]:
    """Evenly spread starts of windows that cover ``low`` to ``high``, overlapping, within the image if they can."""
    length = high - low
    if length <= size:
        return [max(min(low - (size - length) // 2, limit - size), 0)]
    count = int(np.ceil((length - OVERLAP) / (size - OVERLAP)))
    return [int(i) for i in np.rint(np.linspace(low, high - size, count))]


def _shared(start: tuple[int, int, int], shape: tuple[int, ...], lower: NDArray, upper: NDArray,
            ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What a patch and the box have in common, in the box's indices and in the patch's."""
    size = np.array([shape[0], shape[2], shape[3]])
    low = np.maximum(start, lower)
    high = np.minimum(start + size, upper)
    inside = tuple(slice(int(a), int(b)) for a, b in zip(low - lower, high - lower, strict=True))
    patch = tuple(slice(int(a), int(b)) for a, b in zip(low - start, high - start, strict=True))
    return inside, patch
