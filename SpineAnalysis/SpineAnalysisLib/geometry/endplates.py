"""The upper and lower surface of a vertebral body, and their planes."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..volume import Volume
from .frames import Frame, Plane, unit
from .planes import fit_plane

FloatArray = NDArray[np.floating]

STEP_MM = 1.0
CORE = 0.8
"""Share of the footprint's radius within which a plane is fitted: the rims, where spurs grow, are left out."""
EDGE_VOXELS = 1.9
"""Segmentations often leave out the outermost voxels: a surface this near to the border may be the border itself."""


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Where columns along a frame's S axis leave a body.

    :param across: (N, 2) columns' places along R and A, mm.
    :param top: (N,) along S; :param bottom: (N,).
    :param depth: AP extent of the body at mid-height, mm.
    :param top_in_view, bottom_in_view: whether the volume goes on beyond.
    """

    frame: Frame
    across: FloatArray
    top: FloatArray
    bottom: FloatArray
    depth: float
    top_in_view: bool
    bottom_in_view: bool

    def points(self, heights: FloatArray) -> FloatArray:
        """(N, 3) RAS."""
        return self.frame.to_ras(np.column_stack([self.across, heights]))

    @property
    def core(self) -> NDArray[np.bool_]:
        """Columns well inside the footprint."""
        centered = self.across - self.across.mean(axis=0)
        spread = np.linalg.inv(np.cov(centered.T) + 1e-6 * np.eye(2))
        return np.einsum("ni,ij,nj->n", centered, spread, centered) < 4.0 * CORE**2

    @property
    def superior(self) -> Plane | None:
        core = self.core
        return fit_plane(self.points(self.top)[core], self.frame.superior) if self.top_in_view else None

    @property
    def inferior(self) -> Plane | None:
        core = self.core
        return fit_plane(self.points(self.bottom)[core], self.frame.superior) if self.bottom_in_view else None


def body_surfaces(body: Volume, frame: Frame, reach_mm: tuple[float, float, float] = (36.0, 30.0, 26.0)
                  ) -> Surfaces | None:
    """Follow columns from the body's mid-height up and down to where they leave it.

    :param body: shares or booleans of one body (cropped).
    :param frame: its origin lies inside the body.
    :return: ``None`` where fewer than 12 columns meet the body.
    """
    axes = [np.arange(-reach, reach + STEP_MM / 2, STEP_MM) for reach in reach_mm]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    index = np.moveaxis(body.to_ijk(frame.to_ras(grid)), -1, 0)
    share = map_coordinates(body.array.astype(np.float32), index, order=1, mode="constant", prefilter=False)
    middle = len(axes[2]) // 2
    columns = share[:, :, middle] > 0.5
    if columns.sum() < 12:
        return None
    across = grid[columns][:, middle, :2]
    column = share[columns]
    top = _exit(column[:, middle:]) * STEP_MM
    bottom = -_exit(column[:, middle::-1]) * STEP_MM
    surfaces = Surfaces(frame, across, top, bottom, _depth(share, axes), True, True)
    core = surfaces.core
    return replace(surfaces, top_in_view=_in_view(body, surfaces.points(top)[core]),
                   bottom_in_view=_in_view(body, surfaces.points(bottom)[core]))


def _depth(share: FloatArray, axes: list[FloatArray]) -> float:
    """AP extent through the middle of a body, the median of lines within 2 mm of it."""
    right, front, up = (len(axis) // 2 for axis in axes)
    lines = np.moveaxis(share[right - 2:right + 3, :, up - 2:up + 3], 1, 2).reshape(-1, share.shape[1])
    lines = lines[lines[:, front] > 0.5]
    if len(lines) == 0:
        return float("nan")
    return float(np.median(_exit(lines[:, front:]) + _exit(lines[:, front::-1]))) * STEP_MM


def _exit(shares: FloatArray) -> FloatArray:
    """Steps from the start of each row to where it first falls to one half.

    :param shares: (N, K), each row starting inside.
    """
    inside = np.logical_and.accumulate(shares > 0.5, axis=1)
    last = np.minimum(inside.sum(axis=1) - 1, shares.shape[1] - 2)
    row = np.arange(len(shares))
    before, after = shares[row, last], shares[row, last + 1]
    return last + np.clip((before - 0.5) / np.maximum(before - after, 1e-6), 0.0, 1.0)


def _in_view(body: Volume, points: FloatArray) -> bool:
    """Whether a surface is clear of the volume's border (or the surface is the border itself)."""
    index = body.to_ijk(points)
    clear = np.all((index > EDGE_VOXELS - 1) & (index < np.array(body.shape) - EDGE_VOXELS), axis=1)
    return bool(clear.mean() > 0.95)


def bisector(a: Plane | None, b: Plane | None, otherwise: FloatArray) -> FloatArray:
    """The direction halfway between two planes' normals, or of the one there is."""
    normals = [plane.normal for plane in (a, b) if plane is not None]
    return unit(np.sum(normals, axis=0)) if normals else otherwise


def facing_surface(start: Plane, target: Volume, radius_mm: float, reach_mm: float = 30.0) -> FloatArray:
    """Points of a structure's surface that faces a disc-shaped place, found by rays against the plane's normal.

    :param start: rays start in a disc of ``radius_mm`` around its origin and run against its normal.
    :return: (N, 3) RAS; rays that start inside or meet nothing are left out.
    """
    frame = Frame.from_axes(start.origin, start.normal, _any_across(start.normal))
    line = np.arange(-radius_mm, radius_mm + STEP_MM / 2, 1.5 * STEP_MM)
    place = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    place = place[np.linalg.norm(place, axis=1) <= radius_mm]
    depth = np.arange(0.0, reach_mm, STEP_MM / 2)
    grid = np.concatenate([np.broadcast_to(place[:, None], (len(place), len(depth), 2)),
                           np.broadcast_to(-depth[None, :, None], (len(place), len(depth), 1))], axis=-1)
    index = np.moveaxis(target.to_ijk(frame.to_ras(grid)), -1, 0)
    share = map_coordinates(target.array.astype(np.float32), index, order=1, mode="constant", prefilter=False)
    met = (share > 0.5).any(axis=1) & (share[:, 0] <= 0.5)
    distance = _exit(1.0 - share[met]) * STEP_MM / 2
    return frame.to_ras(np.column_stack([place[met], -distance]))


def _any_across(direction: FloatArray) -> FloatArray:
    """Some direction that is not parallel to the given one."""
    return np.eye(3)[int(np.argmin(np.abs(direction)))]
