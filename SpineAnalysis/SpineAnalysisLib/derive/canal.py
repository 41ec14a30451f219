"""The spinal canal as the space that the vertebral arches enclose, where a segmentation does not give it."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from ..anatomy import VERTEBRA_KINDS, Kind
from ..geometry.curves import fit_curve
from ..progress import Progress, silent, step
from ..volume import LabelMap
from .rings import Ring, find_rings
from .tube import REACH_MM, Axis, Tube, cast, fill

FloatArray = NDArray[np.floating]

CONTENT_KINDS = (Kind.CANAL_CONTENT, Kind.DURAL_SAC, Kind.CORD)
WALL_KINDS = VERTEBRA_KINDS | {Kind.DISC}
ROUNDS = 2
"""How often the centerline is moved to the middle of the sections around it."""
CLOSED = 0.5
"""The canal ends where less than this share of its wall is seen."""

DERIVED, NOT_DERIVED, NO_ARCH = "canal_derived", "canal_not_derived", "no_enclosing_arch"


def derive_canal(labels: LabelMap, progress: Progress = silent) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """The canal from the first to the last vertebra whose arch is in view.

    :param labels: with vertebrae that include their arches; discs and what the canal contains help.
    :return: (I, J, K) on the labels' grid, ``None`` where fewer than two vertebrae have an arch; and flags.
    """
    step(progress, 0.0, "Looking for the vertebral arches")
    windows = [None if window is None else window[::-1] for window in find_objects(labels.array.T)]
    rings = find_rings(labels, windows)
    flags = tuple(f"{NO_ARCH}_{level}" for level in labels.levels if level not in {ring.level for ring in rings})
    if len(rings) < 2:
        return None, (NOT_DERIVED, *flags)
    low, near = _near(labels, rings)
    walls = near.with_array(near.mask(near.values(WALL_KINDS)).view(np.uint8))
    tube = None
    for turn in range(ROUNDS + 1):
        step(progress, 0.3 + 0.2 * turn, "Following the canal")
        axis = _axis(_ends(rings) if tube is None else tube.section_centers(), rings)
        tube = cast(walls, axis)
    tube = _closed_part(tube)
    mask = np.zeros(labels.shape, bool)
    window = tuple(slice(a, a + n) for a, n in zip(low, near.shape, strict=True))
    mask[window] = fill(tube, walls) & (walls.array == 0) | _content(near, tube)
    return mask, (DERIVED, *flags)


def _ends(rings: list[Ring]) -> FloatArray:
    """(N, 3) the rings' centers from bottom to top, and the ends of the outer ones."""
    first, last = rings[0], rings[-1]
    return np.array([last.frame.to_ras(np.array([0.0, 0.0, last.bottom])),
                     *(ring.frame.origin for ring in reversed(rings)),
                     first.frame.to_ras(np.array([0.0, 0.0, first.top]))])


def _axis(points: FloatArray, rings: list[Ring]) -> Axis:
    curve = fit_curve(points)
    origins = np.array([ring.frame.origin for ring in rings])
    return Axis.along(curve, curve.project(origins), np.array([ring.frame.anterior for ring in rings]))


def _near(labels: LabelMap, rings: list[Ring]) -> tuple[NDArray[np.int_], LabelMap]:
    """First voxel, and a view, of what a ray can reach."""
    points = _ends(rings)[:, None] + 1.5 * REACH_MM * np.concatenate([np.eye(3), -np.eye(3)])
    index = labels.to_ijk(points).reshape(-1, 3)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.shape)
    near = labels.crop(low, np.ceil(index.max(axis=0)).astype(int) + 1)
    assert isinstance(near, LabelMap)
    return low, near


def _closed_part(tube: Tube) -> Tube:
    closed = np.flatnonzero(tube.seen.mean(axis=1) >= CLOSED)
    return tube.between(closed[0], closed[-1]) if closed.size > 1 else tube


def _content(labels: LabelMap, tube: Tube) -> NDArray[np.bool_]:
    """What the canal is known to contain, as far as the tube goes."""
    mask = labels.mask(labels.values(CONTENT_KINDS))
    index = np.argwhere(mask)
    s = tube.axis.curve.project(labels.to_ras(index)) if len(index) else np.empty(0)
    mask[tuple(index[(s < tube.s[0]) | (s > tube.s[-1])].T)] = False
    return mask
