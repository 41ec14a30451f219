"""Balls of bone: the heads of the femora."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from ..volume import Volume, bounding_box

FloatArray = NDArray[np.floating]

RADII_MM = (15.0, 35.0)
"""The heads of adults' femora have radii of about 20 to 29 mm (diameters: Asala, Forensic Sci Int 2001;117:15-22)."""
NEAR = 0.25
"""Only surface this near to the ball counts, in shares of its radius: neck and shaft are farther away."""
SCALE_MM = 1.0
SURFACE_SHARE = 0.3
"""Standard deviation of where the label's surface is, in voxels; labels do not average it out."""
BALL_SHARE = 0.6
"""Of a ball's directions, at least this share must see its surface, in eighths of the sphere."""


@dataclass(frozen=True, eq=False)
class Ball:
    """:param center: (3,) RAS; :param radius: mm; :param deviation: standard deviation of the center's place, mm."""

    center: FloatArray
    radius: float
    deviation: float


def largest_ball(mask: Volume) -> Ball | None:
    """The thickest round part of a bone: of a femur, its head.

    :param mask: boolean.
    :return: ``None`` where too little of it is in view.
    """
    box = bounding_box(mask.array, 1)
    if box is None:
        return None
    bone = mask.crop(*box)
    depth = distance_transform_edt(bone.array, bone.spacing)
    start = np.array(np.unravel_index(int(np.argmax(depth)), bone.shape))
    edge = bone.array & ~binary_erosion(bone.array, border_value=1)  # the image's border is no surface
    surface = bone.to_ras(np.argwhere(edge))
    center, radius = bone.to_ras(start), float(depth[tuple(start)])
    for _ in range(20):
        away = surface - center
        distance = np.linalg.norm(away, axis=1)
        near = np.abs(distance - radius) < NEAR * radius
        if near.sum() < 50:
            return None
        rows = np.column_stack([away[near] / distance[near, None], np.ones(int(near.sum()))])
        residual = distance[near] - radius
        limit = 4.685 * max(SCALE_MM, 1.4826 * float(np.median(np.abs(residual - np.median(residual)))))
        weights = np.square(np.maximum(1.0 - np.square((residual - np.median(residual)) / limit), 0.0)) + 1e-6
        move = np.linalg.lstsq(rows * np.sqrt(weights)[:, None], residual * np.sqrt(weights), rcond=None)[0]
        center, radius = center + move[:3], radius + float(move[3])
        if np.abs(move).max() < 1e-3:
            break
    octants = {tuple(direction) for direction in np.sign(rows[weights > 0.3, :3]).astype(int)}
    if not RADII_MM[0] < radius < RADII_MM[1] or len(octants) < 8 * BALL_SHARE:
        return None
    return Ball(center, radius, SURFACE_SHARE * float(np.linalg.norm(bone.spacing)) / float(np.sqrt(3.0)))
