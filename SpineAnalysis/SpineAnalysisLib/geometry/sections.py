"""Cross-sections of a tubular structure, perpendicular to its centerline, finer than the voxels.

A section is sampled along rays from its centroid, in coordinates in which the ellipse of its second moments is a
circle.  In these, the filled area within each sector is an unbiased reading of half the squared radius, and keeping
only its lowest harmonics removes the voxels' stairs without moving the outline.  Where the voxels are as they were
labeled, the outline is then drawn between the inner and the outer voxel centers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, label, map_coordinates

from .curves import Curve
from .frames import Frame
from .occupancy import Occupancy
from .outlines import RAYS, UNIT_CIRCLE, moments, separating_outline

FloatArray = NDArray[np.floating]

STEPS = 60
REACH = 2.2
"""Rays reach this many times as far as the ellipse of second moments."""
GAP = 0.35
"""A ray that has left the structure for this share of the ellipse's radius does not come back."""
HARMONICS = 8
HALF_SLAB_MM, HALF_SLAB_VOXELS = 0.75, 0.6
"""Voxel centers this near to a section draw its outline, so that it stands for 1.5 mm of the structure."""
EDGE_VOXELS = 0.25
INNER = 0.7


@dataclass(frozen=True, eq=False)
class Section:
    """One cross-section.

    :param frame: its origin is the centroid; R and A span the section.
    :param outline: (RAYS, 2) mm along R and A, closed, counter-clockwise.
    :param area: mm2.
    :param complete: whether the structure is in view here and goes on to both sides.
    """

    frame: Frame
    outline: FloatArray
    area: float
    complete: bool = True

    @cached_property
    def contour_RAS(self) -> FloatArray:
        """(RAYS, 3)."""
        return self.frame.to_ras(np.column_stack([self.outline, np.zeros(len(self.outline))]))

    @property
    def perimeter(self) -> float:
        return float(np.linalg.norm(self.outline - np.roll(self.outline, 1, axis=0), axis=1).sum())

    def chord(self, direction: tuple[float, float]) -> FloatArray:
        """(2, 3) RAS ends of the chord through the centroid along a direction given in R and A."""
        along = np.asarray(direction, float) / np.hypot(*direction)
        across = self.outline @ np.array([-along[1], along[0]])
        reach = self.outline @ along
        crossing = np.flatnonzero(np.signbit(across) != np.signbit(np.roll(across, -1)))
        following = (crossing + 1) % len(across)
        share = across[crossing] / (across[crossing] - across[following])
        hits = reach[crossing] + share * (reach[following] - reach[crossing])
        ends = np.array([hits.min(), hits.max()])[:, None] * along
        return self.frame.to_ras(np.column_stack([ends, np.zeros(2)]))

    def turned(self, anterior: FloatArray) -> "Section":
        """The same section with its A axis along a direction (projected into the section)."""
        frame = Frame.from_axes(self.frame.origin, self.frame.superior, anterior)
        turn = np.array([[frame.right @ self.frame.right, frame.right @ self.frame.anterior],
                         [frame.anterior @ self.frame.right, frame.anterior @ self.frame.anterior]])
        return replace(self, frame=frame, outline=self.outline @ turn.T)

    @property
    def ap_line(self) -> FloatArray:
        """(2, 3) RAS, back to front."""
        return self.chord((0.0, 1.0))

    @property
    def transverse_line(self) -> FloatArray:
        """(2, 3) RAS, left to right."""
        return self.chord((1.0, 0.0))


@dataclass(frozen=True, eq=False)
class _Rim:
    """Voxel centers on both sides of a structure's border, in their order along its centerline.

    :param s: (N,) ascending arc lengths; :param points: (N, 3) RAS; :param inside: (N,) whether labeled.
    """

    s: FloatArray
    points: FloatArray
    inside: NDArray[np.bool_]

    @staticmethod
    def of(filled: Occupancy, centerline: Curve) -> "_Rim":
        array, cube = filled.array > 0.5, np.ones((3, 3, 3), bool)
        index = np.argwhere(binary_dilation(array, cube) & ~binary_erosion(array, cube, border_value=1))
        points = filled.to_ras(index)
        s = centerline.project(points)
        order = np.argsort(s, kind="stable")
        return _Rim(s[order], points[order], array[tuple(index[order].T)])

    def sharpened(self, section: Section, s: float, steps: FloatArray) -> Section:
        """A section with the outline that its nearest voxel centers draw."""
        half = max(HALF_SLAB_MM, HALF_SLAB_VOXELS * float(np.abs(steps.T @ section.frame.superior).max()))
        near = slice(*np.searchsorted(self.s, (s - half, s + half)))
        in_plane = np.stack([section.frame.right, section.frame.anterior]) @ steps
        voxel = float(np.sqrt(np.linalg.eigvalsh(in_plane @ in_plane.T)[0]))
        centers = section.frame.to_frame(self.points[near])[:, :2]
        outline = separating_outline(section.outline, centers, self.inside[near], voxel)
        area, middle, _ = moments(outline)
        origin = section.frame.to_ras(np.append(middle, 0.0))
        return replace(section, frame=section.frame.at(origin), outline=outline - middle, area=area)


def sections(filled: Occupancy, centerline: Curve, s: FloatArray, frames: Sequence[Frame],
             radius_mm: float = 25.0) -> list[Section | None]:
    """Cross-sections of a structure, ``None`` where a plane does not meet it.

    :param s: (N,) arc lengths along the centerline, ascending; :param frames: the section planes there.
    :param radius_mm: how far from the centerline the structure can reach.
    """
    rim = _Rim.of(filled, centerline) if filled.is_as_labeled else None
    found: list[Section | None] = []
    guess: tuple[FloatArray, FloatArray] | None = None
    for at, frame in zip(s, frames, strict=True):
        start = guess if guess is not None and _is_filled(filled, frame, guess[0]) else None
        start = start or _moments(filled, frame, radius_mm)
        section, guess = (None, None) if start is None else _section(filled, frame, *start, refined=start is guess)
        if section is not None and section.complete and rim is not None:
            section = rim.sharpened(section, float(at), filled.resolution)
        found.append(section)
    return found


def _section(filled: Occupancy, frame: Frame, center: FloatArray, spread: FloatArray,
             refined: bool) -> tuple[Section, tuple[FloatArray, FloatArray]]:
    """A section from a first guess of its centroid and covariance; also the better ones found."""
    for _ in range(1 if refined else 2):
        shape = 2.0 * np.linalg.cholesky(spread)
        radii = _radii(filled, frame, center, shape)
        outline = center + (radii[:, None] * UNIT_CIRCLE) @ shape.T
        area, center, spread = moments(outline)
    sharp = _unblurred(outline - center, spread, _blur(filled, frame))
    section = Section(frame.at(frame.to_ras(np.append(center, 0.0))), sharp, area)
    return replace(section, complete=_is_complete(filled, section)), (center, spread)


def _is_complete(filled: Occupancy, section: Section) -> bool:
    """Whether the outline is clear of the volume's border, and the inside filled a little before and after."""
    index = filled.to_ijk(section.contour_RAS)
    if np.any(index < EDGE_VOXELS) or np.any(index > np.array(filled.shape) - 1 - EDGE_VOXELS):
        return False
    normal = section.frame.superior
    ahead = filled.resolution_along(normal) * normal
    inner = section.frame.origin + INNER * (section.contour_RAS - section.frame.origin)
    share = [_at(filled, inner + side * ahead) for side in (-1.0, 1.0)]
    return bool(np.mean(np.concatenate(share) > 0.5) > 0.9)


def _is_filled(filled: Occupancy, frame: Frame, center: FloatArray) -> bool:
    return bool(_sample(filled, frame, center[None])[0] > 0.5)


def _at(filled: Occupancy, points: FloatArray) -> FloatArray:
    """Shares at (N, 3) RAS points."""
    return map_coordinates(filled.array, filled.to_ijk(points).T, order=1, mode="constant", cval=0.0,
                           prefilter=False)


def _blur(filled: Occupancy, frame: Frame) -> FloatArray:
    """(2, 2) covariance that linear interpolation between voxels adds to a section."""
    steps = filled.ijk_to_ras[:3, :3].T @ np.column_stack([frame.right, frame.anterior])
    return steps.T @ steps / 6.0


def _unblurred(outline: FloatArray, spread: FloatArray, blur: FloatArray) -> FloatArray:
    """The outline as narrow as it was before interpolation widened its short side; the area stays."""
    values, vectors = np.linalg.eigh(spread)
    sharp = np.maximum(values - np.einsum("ni,nm,mi->i", vectors, blur, vectors), 0.25 * values)
    factors = np.sqrt(sharp / values)
    return outline @ (vectors * (factors / np.sqrt(factors.prod()))) @ vectors.T


_RADIUS = (np.arange(STEPS) + 0.5) * (REACH / STEPS)


def _sample(filled: Occupancy, frame: Frame, plane_points: FloatArray) -> FloatArray:
    """Shares at (..., 2) points of a section plane; nothing is filled outside of the volume."""
    to_ijk = filled.ras_to_ijk[:3, :3]
    origin = filled.to_ijk(frame.origin)
    across = np.stack([to_ijk @ frame.right, to_ijk @ frame.anterior], axis=-1)
    index = np.tensordot(across, plane_points, axes=(1, plane_points.ndim - 1))
    index += origin.reshape((3,) + (1,) * (plane_points.ndim - 1))
    return map_coordinates(filled.array, index, order=1, mode="constant", cval=0.0, prefilter=False)


def _moments(filled: Occupancy, frame: Frame, radius_mm: float) -> tuple[FloatArray, FloatArray] | None:
    """Centroid and covariance of the part of the plane that is connected to the place nearest to the origin."""
    step = 0.7 * float(filled.spacing.min())
    line = np.arange(-radius_mm, radius_mm + step, step)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    share = _sample(filled, frame, grid)
    parts, count = label(share > 0.5)
    if count == 0:
        return None
    distance = np.where(parts > 0, np.linalg.norm(grid, axis=-1), np.inf)
    inside = parts == parts.flat[int(distance.argmin())]
    points = grid[inside]
    if len(points) < 6:
        return None
    center = points.mean(axis=0)
    spread = np.cov(points.T) + np.eye(2) * step**2 / 12.0
    return center, spread


def _radii(filled: Occupancy, frame: Frame, center: FloatArray, shape: FloatArray) -> FloatArray:
    """(RAYS,) band-limited radii in the coordinates in which the ellipse of second moments is the unit circle."""
    rays = _RADIUS[None, :, None] * UNIT_CIRCLE[:, None, :]
    share = _sample(filled, frame, center + rays @ shape.T)
    away = np.cumsum(share < 0.5, axis=1) * (REACH / STEPS)
    share = np.where(away > GAP, 0.0, share)
    sector = 2.0 * np.sum(share * _RADIUS, axis=1) * (REACH / STEPS)
    spectrum = np.fft.rfft(sector)
    size = np.sqrt(np.linalg.det(shape))
    harmonics = int(np.clip(round(size / (3.5 * filled.resolution_mm)), 3, HARMONICS))
    spectrum[harmonics + 1:] = 0.0
    return np.sqrt(np.maximum(np.fft.irfft(spectrum, RAYS), 1e-4))
