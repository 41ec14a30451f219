"""Slices through scan and labels that follow the anatomy: the curved mid-sagittal surface and measurement planes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from ..geometry.frames import Frame, unit
from ..spine import Spine
from ..volume import LabelMap, Volume

FloatArray = NDArray[np.floating]

_UPRIGHT = 0.64
"""Cosine (of 50 degrees) within which a spine runs along the patient's own axis and is shown upright."""

_TO_CANAL_MM = 25.0
"""From a body's center back to the canal, where the centerline does not reach it."""


@dataclass(frozen=True, eq=False)
class SagittalSurface:
    """The surface through vertebral bodies and canal, curved only sideways.

    Seen along ``frame.right`` it looks like any sagittal slice, without distortion: the picture's coordinates are
    the frame's A and S.  Its R follows the spine: at each height it runs straight from the body to the canal.

    :param heights: (K,) ascending S of the vertebrae.
    :param bodies: (K, 2) R and A of the bodies' centers.
    :param slopes: (K,) change of R per mm of A.
    """

    frame: Frame
    heights: FloatArray
    bodies: FloatArray
    slopes: FloatArray

    @staticmethod
    def of(spine: Spine) -> "SagittalSurface":
        """The surface of a spine with at least one vertebra."""
        frame = _upright_frame(spine)
        bodies = frame.to_frame(np.array([v.frame.origin for v in spine.vertebrae]))
        canal = frame.to_frame(np.array([
            v.frame.origin - _TO_CANAL_MM * v.frame.anterior if v.canal_s is None
            else spine.centerline.position(v.canal_s) for v in spine.vertebrae]))
        depth = bodies[:, 1] - canal[:, 1]
        slopes = (bodies[:, 0] - canal[:, 0]) / np.where(np.abs(depth) < 5.0, np.inf, depth)
        order = np.argsort(bodies[:, 2])
        return SagittalSurface(frame, bodies[order, 2], bodies[order, :2], np.clip(slopes[order], -1.0, 1.0))

    def lateral(self, anterior: FloatArray, height: FloatArray) -> FloatArray:
        """R of the surface at A and S, mm in its frame."""
        right, front, slope = (np.interp(height, self.heights, values)
                               for values in (self.bodies[:, 0], self.bodies[:, 1], self.slopes))
        return right + np.clip(anterior - front, -60.0, 30.0) * slope

    def to_ras(self, anterior: FloatArray, height: FloatArray) -> FloatArray:
        """(..., 3) points of the surface at picture coordinates."""
        return self.frame.to_ras(np.stack([self.lateral(anterior, height), anterior, height], axis=-1))

    def to_picture(self, points_RAS: FloatArray) -> FloatArray:
        """(..., 2) A and S of points, seen from the side."""
        return self.frame.to_frame(points_RAS)[..., 1:]

    def offset(self, points_RAS: FloatArray) -> FloatArray:
        """(...) distance of points to the patient's right of the surface, along R, mm."""
        place = self.frame.to_frame(points_RAS)
        return place[..., 0] - self.lateral(place[..., 1], place[..., 2])


def _upright_frame(spine: Spine) -> Frame:
    origins = np.array([v.frame.origin for v in spine.vertebrae])
    up = np.mean([v.frame.superior for v in spine.vertebrae], axis=0)
    if len(origins) > 1:
        order = np.argsort([v.level for v in spine.vertebrae])
        up = origins[order[0]] - origins[order[-1]]
    axis = np.array([0.0, 0.0, 1.0])
    if unit(up) @ axis > _UPRIGHT:
        up = axis
    return Frame.from_axes(origins.mean(axis=0), up, np.mean([v.frame.anterior for v in spine.vertebrae], axis=0))


def sample_image(image: Volume, points_RAS: FloatArray) -> FloatArray:
    """(...) linearly interpolated values at (..., 3) points; NaN outside the scan."""
    indices = np.moveaxis(image.to_ijk(points_RAS), -1, 0)
    values = map_coordinates(image.array, indices, order=1, mode="nearest", output=np.float32)
    limits = np.array(image.shape).reshape(3, *[1] * (indices.ndim - 1))
    values[((indices < -0.5) | (indices > limits - 0.5)).any(axis=0)] = np.nan
    return values


def sample_labels(labels: LabelMap, points_RAS: FloatArray) -> NDArray:
    """(...) label values nearest to (..., 3) points; 0 outside."""
    return map_coordinates(labels.array, np.moveaxis(labels.to_ijk(points_RAS), -1, 0), order=0, mode="constant")


def smooth_regions(sampled: NDArray, labels: LabelMap, pixel_mm: float) -> list[tuple[int, FloatArray]]:
    """Named labels of a picture, each as a field whose 0.5 level is its outline without the staircase of voxels.

    :param sampled: (H, W) label values.
    """
    sigma = 0.5 * float(np.median(labels.spacing)) / pixel_mm
    present = [int(v) for v in np.unique(sampled) if int(v) in labels.structures]
    return [(value, gaussian_filter((sampled == value).astype(np.float32), sigma)) for value in present]
