"""Which body an arch belongs to."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from ...geometry.curves import Curve
from ..network.classes import Class
from .bodies import Pieces
from .field import CERTAIN, Field

FloatArray = NDArray[np.floating]

_TOUCH_MM = 4.0
"""An arch begins where it is this near to a body: at the pedicles."""
_UPPER = 0.65
"""Share of a body's height, from above, at which pedicles leave it."""
_LEAST_SEED_MM3 = 25.0
_STEPS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (0, 1, -1))
_DOUBT_LENGTHENS = 4.0
"""How much longer a way through what is hardly arch is: joints part neighbors."""
_FALL = 0.45
"""How far processes fall toward the feet, per mm behind the body (see the slopes in phantoms.spec)."""
_OFF = 0.6
"""Distance from where a process is expected, in those between bodies, up to which it is that body's."""
_LUMBAR_GAP_MM = 29.0
"""Distance of neighboring bodies' middles from which on they are lumbar."""
_SPINOUS_SHARE, _SPINOUS_CORE, _SPINOUS_TALL = 0.2, 0.2, 1.4
"""How far below its body's middle the middle of a lumbar spinous process lies, how far from there everything is that
process still, and how tall it is at most, in distances between bodies."""
_SPINOUS_ASIDE_MM, _SPINOUS_BEHIND_MM, _LEAST_SPINOUS_MM3 = 5.0, 34.0, 150.0


def arches_of(field: Field, arch: NDArray[np.bool_], pieces: Pieces, curve: Curve) -> NDArray[np.uint8]:
    """(I, J, K) the number of the body that each voxel of the arches belongs to, 0 elsewhere.

    From its pedicles each arch spreads through what is surely arch first, so that neighbors meet in their joints.  What
    no pedicle leads to, such as a spinous process between thick slices, joins the arch nearest to it, or else the body
    that lies in front of it and higher, as processes fall.
    """
    if pieces.count == 0 or not arch.any():
        return np.zeros(arch.shape, np.uint8)
    seeds = _pedicles(field, arch, pieces)
    spinous = _spinous(field, arch, pieces, curve)
    seeds[spinous > 0] = spinous[spinous > 0]
    return _with_loose(field, arch, _spread(field, arch, seeds), pieces)


def _spread(field: Field, arch: NDArray[np.bool_], seeds: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Every voxel of the arches to the seed that is nearest on a way through them; doubt makes ways longer."""
    out = np.zeros(arch.shape, np.uint8)
    number = np.full(arch.shape, -1)
    number[arch] = np.arange(np.count_nonzero(arch))
    sources = number[arch & (seeds > 0)]
    if not sources.size:
        return out
    doubt = 1.0 + _DOUBT_LENGTHENS * (1.0 - field.values[Class.ARCH] / CERTAIN)
    ways = [_neighbors(number, doubt, step, field) for step in _STEPS]
    rows, columns, lengths = (np.concatenate(parts) for parts in zip(*ways, strict=True))
    graph = csr_matrix((lengths, (rows, columns)), (number.max() + 1, number.max() + 1))
    length, _, source = dijkstra(graph, directed=False, indices=sources, return_predecessors=True, min_only=True)
    owner = np.where(np.isfinite(length), seeds[arch][np.maximum(source, 0)], 0)
    out[arch] = owner
    return out


def _neighbors(number: NDArray[np.int_], doubt: FloatArray, step: tuple[int, int, int], field: Field,
               ) -> tuple[NDArray[np.int_], NDArray[np.int_], FloatArray]:
    """Pairs of voxels one step apart, and the length of the way between them, mm."""
    first = tuple(slice(max(-d, 0), min(n - d, n)) for d, n in zip(step, number.shape, strict=True))
    second = tuple(slice(max(d, 0), min(n + d, n)) for d, n in zip(step, number.shape, strict=True))
    both = (number[first] >= 0) & (number[second] >= 0)
    far = float(np.linalg.norm(np.array(step) * field.spacing))
    length = far * (doubt[first][both] + doubt[second][both]) / 2.0
    return number[first][both], number[second][both], length


def _pedicles(field: Field, arch: NDArray[np.bool_], pieces: Pieces) -> NDArray[np.int32]:
    """Where arches begin, by body."""
    distance, nearest = ndimage.distance_transform_edt(pieces.bodies == 0, field.spacing, return_indices=True)
    touching = arch & (distance <= max(_TOUCH_MM, 1.2 * float(field.spacing.max())))
    seeds = np.zeros(arch.shape, np.int32)
    seeds[touching] = pieces.bodies[tuple(nearest[:, touching])]
    windows = ndimage.find_objects(pieces.bodies, max_label=pieces.count)
    for value, window in enumerate(windows, start=1):
        if window is None:
            continue
        lowest = window[1].start + _UPPER * (window[1].stop - window[1].start)
        low = seeds == value
        low[:, : int(np.ceil(lowest))] = False
        seeds[low] = 0
        if np.count_nonzero(seeds == value) * field.spacing.prod() < _LEAST_SEED_MM3:
            seeds[seeds == value] = 0
    return seeds


def _spinous(field: Field, arch: NDArray[np.bool_], pieces: Pieces, curve: Curve) -> NDArray[np.int32]:
    """Lumbar spinous processes, which a joint of the next vertebra is nearer to than the own pedicles are.

    Each lies behind the lower half of its body; what is near enough to its middle there is surely its own, even where
    thick slices join one to the next.  What holds no such place, as where the scan ends, is that of the nearest body.

    :param curve: through the middle of the column; along it, the lordosis does not matter.
    """
    out = np.zeros(arch.shape, np.int32)
    middle = arch & _middle(field, pieces)
    if pieces.count < 2 or not middle.any():
        return out
    s = curve.project(pieces.centers)
    if pieces.count > 2:  # the outermost may be cut: their middles are not where what is seen of them has its own
        s[0], s[-1] = min(s[0], 2 * s[1] - s[2]), max(s[-1], 2 * s[-2] - s[-3])
    gaps = np.gradient(s)
    lumbar = gaps > _LUMBAR_GAP_MM
    indices = np.argwhere(middle)
    off = (curve.project(field.places(indices))[:, None] - s) / gaps - _SPINOUS_SHARE  # (N, count)
    least = _LEAST_SPINOUS_MM3 / field.spacing.prod()
    for number in np.flatnonzero(lumbar):
        core = indices[np.abs(off[:, number]) < _SPINOUS_CORE]
        if len(core) > least:
            out[tuple(core.T)] = number + 1
    parts = ndimage.label(middle)[0][tuple(indices.T)]
    for part in range(1, int(parts.max()) + 1):
        own = parts == part
        nearest = int(np.abs(off[own].mean(axis=0)).argmin())
        near = abs(off[own, nearest].mean()) < 0.5 and np.ptp(off[own, nearest]) < _SPINOUS_TALL
        if near and lumbar[nearest] and np.count_nonzero(own) > least and not out[tuple(indices[own].T)].any():
            out[tuple(indices[own].T)] = nearest + 1
    return out


def _middle(field: Field, pieces: Pieces) -> NDArray[np.bool_]:
    """(I, J, K) where spinous processes are: near the plane of the bodies' middles, well behind them."""
    size = field.values.shape[1:]
    i, j, k = (np.arange(n) * step for n, step in zip(size, field.spacing, strict=True))
    middle, depth = (np.interp(j, pieces.centers[:, 1], pieces.centers[:, axis]) for axis in (0, 2))
    near = np.abs(i[:, None] - middle) < max(_SPINOUS_ASIDE_MM, 0.6 * float(field.spacing[0]))
    behind = k[None] - depth[:, None] > _SPINOUS_BEHIND_MM
    return near[:, :, None] & behind[None]


def _with_loose(field: Field, arch: NDArray[np.bool_], spread: NDArray[np.uint8], pieces: Pieces) -> NDArray[np.uint8]:
    numbered, count = ndimage.label(arch & (spread == 0))
    if count == 0:
        return spread
    out = spread.copy()
    distance, nearest = (ndimage.distance_transform_edt(spread == 0, field.spacing, return_indices=True)
                         if spread.any() else (np.full(arch.shape, np.inf), None))
    for value, window in enumerate(ndimage.find_objects(numbered), start=1):
        part = numbered[window] == value
        place = field.places(np.argwhere(part).mean(axis=0) + [s.start for s in window])
        gap = float(distance[window][part].min())
        if nearest is not None and gap < 2.5 * float(field.spacing.max()):
            here = np.argwhere(part)[distance[window][part].argmin()] + [s.start for s in window]
            owner = int(spread[tuple(nearest[(slice(None), *here)])])
        else:
            owner = _in_front(place, pieces)
        out[window][part] = owner
    return out


def _in_front(place: FloatArray, pieces: Pieces) -> int:
    """The body that a process belongs to by where it lies; 0 where that is out of view."""
    behind = np.maximum(place[2] - pieces.centers[:, 2], 0.0)
    height = np.abs(place[1] - _FALL * np.maximum(behind - 20.0, 0.0) - pieces.centers[:, 1])
    gap = float(np.median(np.diff(pieces.centers[:, 1]))) if pieces.count > 1 else _LUMBAR_GAP_MM
    return int(height.argmin()) + 1 if height.min() < _OFF * gap else 0
