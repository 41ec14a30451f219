"""The spinal canal as the space that the vertebral arches enclose, where a segmentation does not give it.

The result is nearer to the bony canal than to the dural sac: at the pedicles it is what bone leaves free, between them
it runs from one bony rim to the next, so that soft tissue that narrows the canal there is not seen.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from ..anatomy import VERTEBRA_KINDS, Kind
from ..geometry.curves import fit_curve
from ..progress import Progress, silent, step
from ..volume import LabelMap, Volume
from .passage import REACH_MM, Axis, find_passage
from .rings import Ring, find_rings

FloatArray = NDArray[np.floating]

CONTENT_KINDS = (Kind.CANAL_CONTENT, Kind.DURAL_SAC, Kind.CORD)
WALL_KINDS = VERTEBRA_KINDS | {Kind.DISC}
ROUNDS = 2
"""How often the axis is moved to the middle of the sections about it."""
CLOSED = 0.5
"""The canal ends where less than this share of its wall is seen."""

DERIVED, NOT_DERIVED, NO_ARCH = "canal_derived", "canal_not_derived", "no_enclosing_arch"


def derive_canal(labels: LabelMap, progress: Progress = silent) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """The canal from the first to the last vertebra whose arch is in view.

    :param labels: with vertebrae that include their arches; discs and what the canal contains help.
    :return: (I, J, K) on the labels' grid, ``None`` where fewer than two vertebrae have an arch; and flags.
    """
    step(progress, 0.0, "Looking for the vertebral arches")
    found = find_objects(labels.array.T)  # transposed, it runs in the order of memory
    windows = {value: window[::-1] for value, window in enumerate(found, 1) if window is not None}
    rings = find_rings(labels, windows)
    seen = sorted({s.level for v, s in labels.structures.items() if v in windows and s.kind.is_bone and s.level})
    flags = tuple(f"{NO_ARCH}_{level}" for level in seen if level not in {ring.level for ring in rings})
    if len(rings) < 2:
        return None, (NOT_DERIVED, *flags)
    low, near = _near(labels, rings)
    walls, content = (Volume(near.mask(near.values(kinds)).view(np.uint8), near.ijk_to_ras)
                      for kinds in (WALL_KINDS, CONTENT_KINDS))
    passage = find_passage(walls, content, _axis(_ends(rings), rings))
    for turn in range(ROUNDS):
        step(progress, 0.4 + 0.2 * turn, "Following the canal")
        passage = find_passage(walls, content, _axis(passage.centers(), rings))
    step(progress, 0.8, "Filling the canal")
    mask = np.zeros(labels.shape, bool)
    window = tuple(slice(first, first + count) for first, count in zip(low, near.shape, strict=True))
    mask[window] = passage.closed_part(CLOSED).mask(walls) & (walls.array == 0)
    return mask, (DERIVED, *flags)


def _ends(rings: list[Ring]) -> FloatArray:
    """(N, 3) the rings' centers from foot to head, between the ends of the outer ones."""
    first, last = rings[0], rings[-1]
    return np.array([last.frame.to_ras(np.array([0.0, 0.0, -last.half_height])),
                     *(ring.frame.origin for ring in reversed(rings)),
                     first.frame.to_ras(np.array([0.0, 0.0, first.half_height]))])


def _axis(points: FloatArray, rings: list[Ring]) -> Axis:
    curve = fit_curve(points)
    at = curve.project(np.array([ring.frame.origin for ring in rings]))
    return Axis.along(curve, at, np.array([ring.frame.anterior for ring in rings]))


def _near(labels: LabelMap, rings: list[Ring]) -> tuple[NDArray[np.int_], LabelMap]:
    """First voxel, and a view, of what a ray can reach."""
    points = _ends(rings)[:, None] + 1.5 * REACH_MM * np.concatenate([np.eye(3), -np.eye(3)])
    index = labels.to_ijk(points).reshape(-1, 3)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.shape)
    near = labels.crop(low, np.ceil(index.max(axis=0)).astype(int) + 1)
    assert isinstance(near, LabelMap)
    return low, near
