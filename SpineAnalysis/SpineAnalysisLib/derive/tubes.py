"""Centerline and cross-sections of canal and cord."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from ..anatomy import Kind
from ..geometry.curves import Curve, principal_curve
from ..geometry.frames import Frame
from ..geometry.occupancy import Occupancy, occupancy
from ..geometry.sections import sections
from ..spine import Tube
from ..volume import LabelMap, Volume, bounding_box

FloatArray = NDArray[np.floating]

STEP_MM = 0.5
FRAGMENT_SHARE = 0.05
"""Parts of a canal smaller than this share of its largest are crumbs."""
MIN_LENGTH_MM = 8.0


def tube_of(labels: LabelMap, kinds: Iterable[Kind], down: FloatArray) -> Occupancy | None:
    """What all labels of these kinds fill, crumbs left out; ``None`` when there is nothing.

    :param down: (3,) from head to foot.
    """
    values = labels.values(kinds)
    if not values:
        return None
    mask = labels.mask(values)
    box = bounding_box(mask, 8)
    if box is None:
        return None
    cropped = Volume(mask, labels.ijk_to_ras).crop(*box)
    parts, count = label(cropped.array, np.ones((3, 3, 3)))
    if count > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        cropped = cropped.with_array(np.isin(parts, np.flatnonzero(sizes > FRAGMENT_SHARE * sizes.max())))
    return occupancy(cropped, down)


def center_curve(filled: Occupancy, down: FloatArray) -> Curve | None:
    """The centerline of a tube, from head to foot; ``None`` where it is too short to have one.

    :param down: (3,) from head to foot.
    """
    points = filled.to_ras(np.argwhere(filled.array > 0.5))
    if len(points) < 30 or np.ptp(points @ down) < MIN_LENGTH_MM:
        return None
    # Bins narrower than a voxel hold one plane of voxels or none: the curve would swing from one to the next.
    return principal_curve(points, down, bin_mm=max(1.0, float(filled.spacing.max())))


def measure_tube(filled: Occupancy, centerline: Curve, anterior: FloatArray) -> Tube:
    """Cross-sections every ``STEP_MM`` along a centerline.

    :param anterior: (N, 3) for each of the centerline's points.
    """
    s = np.arange(0.0, centerline.length, STEP_MM)
    index = np.abs(centerline.arc_length[:, None] - s[None, :]).argmin(axis=0)
    frames = [Frame.from_axes(origin, -down, front) for origin, down, front in
              zip(centerline.position(s), centerline.tangent(s), anterior[index], strict=True)]
    return Tube(s, tuple(sections(filled, centerline, s, frames)), filled.resolution)


def front_of(tube: Tube, centerline: Curve, fallback_mm: float = 7.0) -> FloatArray:
    """(N,) how far a tube reaches forward of each of its centerline's points, mm."""
    reach = np.array([float((x.ap_line[1] - centerline.position(s)) @ x.frame.anterior)
                      if x is not None and x.complete else np.nan for s, x in zip(tube.s, tube.sections, strict=True)])
    known = np.isfinite(reach)
    if not known.any():
        return np.full(len(centerline.points), fallback_mm)
    return np.interp(centerline.arc_length, tube.s[known], reach[known])
