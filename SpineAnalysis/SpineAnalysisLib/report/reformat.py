"""Slices through scan and labels that follow the anatomy: the curved mid-sagittal surface and measurement planes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter, map_coordinates

from ..anatomy import Structure
from ..geometry.frames import Frame, unit
from ..spine import MotionSegment, Spine, Vertebra
from ..terminology import color_of
from ..volume import LabelMap, Volume

FloatArray = NDArray[np.floating]

_UPRIGHT = 0.64
"""Cosine (of 50 degrees) within which a spine runs along the patient's own axis and is shown upright."""

_PALE = 0.55
"""How strong colors of structures are on white, 0..1."""
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

    @property
    def across(self) -> FloatArray:
        """(3,) RAS direction of the picture's first coordinate."""
        return self.frame.anterior

    def offset(self, points_RAS: FloatArray) -> FloatArray:
        """(...) distance of points to the patient's right of the surface, along R, mm."""
        place = self.frame.to_frame(points_RAS)
        return place[..., 0] - self.lateral(place[..., 1], place[..., 2])


@dataclass(frozen=True, eq=False)
class CoronalSurface:
    """The surface through vertebral bodies, curved only forward and back; seen along A it looks like a coronal slice.

    :param heights: (K,) ascending S of the vertebrae; :param fronts: (K,) A of the bodies' centers.
    """

    frame: Frame
    heights: FloatArray
    fronts: FloatArray

    @staticmethod
    def of(spine: Spine) -> "CoronalSurface":
        """The surface of a spine with at least one vertebra."""
        frame = _upright_frame(spine)
        bodies = frame.to_frame(np.array([v.frame.origin for v in spine.vertebrae]))
        order = np.argsort(bodies[:, 2])
        return CoronalSurface(frame, bodies[order, 2], bodies[order, 1])

    @property
    def across(self) -> FloatArray:
        """(3,) RAS direction of the picture's first coordinate."""
        return self.frame.right

    def to_ras(self, right: FloatArray, height: FloatArray) -> FloatArray:
        """(..., 3) points of the surface at picture coordinates."""
        return self.frame.to_ras(np.stack([right, np.interp(height, self.heights, self.fronts), height], axis=-1))

    def to_picture(self, points_RAS: FloatArray) -> FloatArray:
        """(..., 2) R and S of points, seen from the front."""
        return self.frame.to_frame(points_RAS)[..., ::2]


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


@dataclass(frozen=True, eq=False)
class Region:
    """One structure in a picture.

    :param field: (h, w) whose 0.5 level is the outline, without the staircase of voxels.
    :param rows: and :param columns: (h,) and (w,) coordinates of its pixels, mm.
    """

    structure: Structure
    field: FloatArray
    rows: FloatArray
    columns: FloatArray


def regions(sampled: NDArray, labels: LabelMap, rows: FloatArray, columns: FloatArray) -> list[Region]:
    """The named structures of a picture.

    :param sampled: (H, W) label values at these (H,) rows and (W,) columns, mm.
    """
    sigma = 0.5 * float(np.median(labels.spacing)) / abs(float(rows[1] - rows[0]))
    pad = int(np.ceil(3.0 * sigma)) + 1
    found = []
    for value, window in enumerate(find_objects(sampled.astype(np.int32)), start=1):
        if window is None or value not in labels.structures:
            continue
        down, across = (slice(max(w.start - pad, 0), w.stop + pad) for w in window)
        field = gaussian_filter((sampled[down, across] == value).astype(np.float32), sigma)
        if min(field.shape) > 1:
            found.append(Region(labels.structures[value], field, rows[down], columns[across]))
    return found


def colors_of_labels(labels: LabelMap, points_RAS: FloatArray, step_mm: float) -> NDArray[np.uint8]:
    """(H, W, 3) the structures' colors, pale on white, at (H, W, 3) points that lie this far apart."""
    rows, columns = (np.arange(n) * step_mm for n in points_RAS.shape[:2])
    image = np.full((*points_RAS.shape[:2], 3), 255.0)
    for region in regions(sample_labels(labels, points_RAS), labels, rows, columns):
        window = np.ix_(np.rint(region.rows / step_mm).astype(int), np.rint(region.columns / step_mm).astype(int))
        part = image[window]
        part[region.field > 0.5] = 255.0 * (1.0 - _PALE * (1.0 - np.array(color_of(region.structure))))
        image[window] = part
    return image.astype(np.uint8)


def named_vertebrae(spine: Spine) -> tuple[Vertebra, ...]:
    """Vertebrae that pictures name: those whose body is in view, in front of the canal, not just a process."""
    centers = np.array([v.frame.origin for v in spine.vertebrae])
    forward = centers - spine.centerline.position(spine.centerline.project(centers))
    return tuple(v for v, ahead in zip(spine.vertebrae, forward, strict=True) if ahead @ v.frame.anterior > 0.0)


def canal_place(spine: Spine, segment: MotionSegment) -> FloatArray:
    """(3,) the canal at a disc's height, or the disc where the canal does not reach it."""
    return segment.disc.origin if segment.canal_s is None else spine.centerline.position(segment.canal_s)
