"""Discs that a segmentation does not give: the space between facing endplates."""

import numpy as np
from numpy.typing import NDArray

from ..geometry.endplates import Surfaces
from ..geometry.frames import Frame, Plane
from ..volume import LabelMap

FloatArray = NDArray[np.floating]

CONCAVITY_MM = 3.0
"""Endplates may be hollow by this much; what is bone there is labeled, so only disc is added."""
FOOTPRINT = 4.2
"""Squared Mahalanobis radius of a body's footprint that a disc fills (4 is the edge of an even ellipse)."""


def disc_between(labels: LabelMap, disc: Frame, upper: tuple[Plane, Surfaces | None],
                 lower: tuple[Plane, Surfaces | None]) -> tuple[NDArray[np.int_], NDArray[np.bool_]] | None:
    """The window and mask of the space between an inferior and a superior endplate.

    :param upper: inferior endplate and surfaces of the upper body; :param lower: of the lower, its superior endplate.
    :return: lower IJK corner and mask in the window, or ``None`` where neither body was followed.
    """
    footprints = [surfaces for _, surfaces in (upper, lower) if surfaces is not None]
    if not footprints:
        return None
    corners = disc.to_ras(np.array(np.meshgrid(*[(-r, r) for r in (36.0, 30.0, 14.0)])).reshape(3, -1).T)
    index = labels.to_ijk(corners)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low, labels.shape)
    if np.any(high <= low):
        return None
    grid = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    points = labels.to_ras(grid)
    inside = (upper[0].distance(points) < CONCAVITY_MM) & (lower[0].distance(points) > -CONCAVITY_MM)
    for surfaces in footprints:
        inside &= _within(surfaces, points)
    return low, inside


def _within(surfaces: Surfaces, points: FloatArray) -> NDArray[np.bool_]:
    place = surfaces.frame.to_frame(points)[..., :2] - surfaces.across.mean(axis=0)
    inverse = np.linalg.inv(np.cov(surfaces.across.T) + 1e-6 * np.eye(2))
    return np.asarray(np.einsum("...i,ij,...j->...", place, inverse, place) < FOOTPRINT)
