"""Foramina: the openings between two pedicles, cut in their own sagittal-oblique planes.

At every height between the pedicles an opening reaches, along A, from the bone behind to body or disc in front.
Behind, it goes no farther back than the front of the superior articular process, which is the wall a little below the
middle: from there up, ligament and joint capsule close what bone leaves open.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    distance_transform_edt,
    gaussian_filter,
    grey_closing,
    label,
    map_coordinates,
    uniform_filter1d,
)

from ..volume import Volume
from .frames import Frame, reject, unit
from .surfaces import fit_face

FloatArray = NDArray[np.floating]

STEP_MM = 0.25
REACH_MM = 22.0
"""No opening reaches farther from the line between the pedicles."""
NEAR_MM = 10.0
"""An opening lies mostly this near to it."""
BLUR_VOXELS = 0.6
"""Of the finest edge: blurred over thick slices, round pedicles would shrink."""
THICK, JOINED_MM, APART = 1.5, 4.0, 1e3
"""Slices this many times as thick as their pixels are taken one by one; walls up to so far apart on two neighbors are
joined; and a distance between slices that is farther than any in them."""
PROCESS_PART = (0.3, 0.5)
"""Shares of the height between which the wall behind is the superior articular process."""
HOLLOW_MM = 8.0
"""Hollows of the front wall that are lower than this, as between edges of bodies, are closed straight."""
RECESS_MM = (-5.0, 3.0)
"""Where a lateral recess is looked for: from the canal's side wall, positive outward."""
ABOVE_MM = 1.5
"""A lateral recess is measured so far above the pedicle's upper border, so that the pedicle itself is not met."""
BORDER_MM, SMOOTH_MM = (-2.0, 3.5), 1.5
"""A pedicle's border is looked for so far behind and before its middle, as a mean over so much; in front of it the body
ends farther away, behind it a process does."""


ACROSS_MM = 2.2
"""Its border is fitted so far to either side of the plane, or a voxel, which tells a round one's highest place."""
STRAY_MM, STRAY_SHARE = 1.0, 0.75
"""A fit must be nearer than this to so much of the border; else there is a step in it, and it is taken as it is."""
BOW, BOW_SPREAD, BOW_TILT = (0.0, -0.2), 0.15, 0.5
"""What its border is like beforehand, in shares of the half width that is fitted: straight from front to back, round
across."""


@dataclass(frozen=True, eq=False)
class Opening:
    """One foramen.

    :param frame: its R axis runs to the front and its A axis to the head, so that they span the plane; its S axis is
        the plane's normal.
    :param floor, roof: along the head axis, mm, where the pedicles end.
    :param heights: (N,) mm, ascending; :param behind, ahead: (N,) along the front axis, mm, from wall to wall.
    """

    frame: Frame
    floor: float
    roof: float
    heights: FloatArray
    behind: FloatArray
    ahead: FloatArray

    @property
    def height(self) -> float:
        return self.roof - self.floor

    @cached_property
    def widths(self) -> FloatArray:
        """(N,) mm."""
        return self.ahead - self.behind

    @property
    def area(self) -> float:
        """mm2."""
        return float(np.mean(self.widths)) * self.height

    @property
    def perimeter(self) -> float:
        """mm, about."""
        return 2.0 * (self.height + float(np.mean(self.widths)))

    def walls_at(self, height: float) -> tuple[float, float]:
        """Where the walls behind and in front are at a height, mm along the front axis."""
        return float(np.interp(height, self.heights, self.behind)), float(np.interp(height, self.heights, self.ahead))

    def slope_at(self, height: float) -> float:
        """By how much the width changes per mm of height, about a millimeter around."""
        behind, ahead = np.array([self.walls_at(height + away) for away in (-1.0, 1.0)]).T
        return float(abs(np.diff(ahead - behind)[0])) / 2.0

    def points(self, places: FloatArray) -> FloatArray:
        """(N, 3) RAS of (N, 2) places, mm along the front and the head axis."""
        return self.frame.to_ras(np.column_stack([places, np.zeros(len(places))]))

    @property
    def contour_RAS(self) -> FloatArray:
        """(2 N, 3) around the opening."""
        return self.points(np.column_stack([np.concatenate([self.behind, self.ahead[::-1]]),
                                            np.concatenate([self.heights, self.heights[::-1]])]))

    def narrowest(self, low: float, high: float) -> int:
        """Index of the smallest width between two shares of the height."""
        share = (self.heights - self.floor) / self.height
        within = (share >= low) & (share <= high)
        return int(np.argmin(np.where(within, self.widths, np.inf)))


def plane_through(top: FloatArray, bottom: FloatArray, anterior: FloatArray) -> Frame:
    """The plane through two pedicles' middles (RAS) that holds an A axis; origin midway."""
    up = unit(reject(top - bottom, anterior))
    return Frame((top + bottom) / 2.0, np.asarray(anterior, float), up, np.cross(anterior, up))


@dataclass(frozen=True, eq=False)
class Walls:
    """Bone and disc about a foramen.

    :param mask: boolean; :param shares: 0..1, smooth enough that their halves do not follow the voxels' stairs.
    """

    mask: Volume
    shares: Volume

    @staticmethod
    def of(mask: Volume) -> "Walls":
        """Between thick slices, where a wall runs on the one is joined straight with where it does on the next."""
        blur = BLUR_VOXELS * mask.spacing.min() / mask.spacing
        thick = mask.spacing > THICK * mask.spacing.min()
        inside = mask.array > 0
        if not thick.any():
            return Walls(mask, mask.with_array(gaussian_filter(inside.astype(np.float32), blur, truncate=3.0)))
        steps = np.where(thick, APART, mask.spacing)
        padded = np.pad(inside, 1)  # somewhere there is none
        own = slice(1, -1), slice(1, -1), slice(1, -1)
        depth = (distance_transform_edt(padded, steps) - distance_transform_edt(~padded, steps))[own]
        near = np.clip(0.5 + depth / (2.0 * JOINED_MM), 0.0, 1.0).astype(np.float32)
        return Walls(mask, mask.with_array(gaussian_filter(near, np.where(thick, 0.0, blur), truncate=3.0)))

    def sample(self, points_RAS: FloatArray) -> FloatArray:
        """(...) shares at (..., 3) points; 0 outside."""
        index = np.moveaxis(self.shares.to_ijk(points_RAS), -1, 0)
        return map_coordinates(self.shares.array, index, order=1, mode="constant", prefilter=False)


def opening(walls: Walls, frame: Frame, top: FloatArray, bottom: FloatArray) -> Opening | None:
    """Follow the opening's walls.

    :param walls: shares of bone and disc.
    :param top, bottom: (3,) RAS of the pedicles' middles, in the plane of ``frame``.
    :return: ``None`` where a pedicle is not bone or does not end, or an opening has no wall.
    """
    upper, lower = frame.to_frame(top)[:2], frame.to_frame(bottom)[:2]
    roof, floor = upper[1] - _border(walls, frame, upper, -1), lower[1] + _border(walls, frame, lower, 1)
    if not roof - floor > 2.0:
        return None
    count = max(round((roof - floor) / STEP_MM), 8)
    heights = floor + (np.arange(count) + 0.5) * (roof - floor) / count
    line = lower[0] + (upper[0] - lower[0]) * (heights - lower[1]) / (upper[1] - lower[1])
    across = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM)
    places = np.stack(np.broadcast_arrays(line[:, None] + across, heights[:, None], 0.0), axis=-1)
    share = walls.sample(frame.to_ras(places))
    share = np.where(_main_part(share < 0.5, np.abs(across) < NEAR_MM), share, 1.0)
    behind, ahead = (line[:, None] + np.array([_run(across, row) for row in 0.5 - share])).T
    process = float(np.median(behind[int(PROCESS_PART[0] * count):int(np.ceil(PROCESS_PART[1] * count))]))
    behind = np.maximum(behind, np.minimum(process, ahead))
    ahead = -grey_closing(-ahead, round(HOLLOW_MM * count / (roof - floor)) | 1, mode="nearest")
    if process - line.min() < 1.0 - REACH_MM or (ahead - line).max() > REACH_MM - 1.0:
        return None
    return Opening(frame, float(floor), float(roof), heights, behind, ahead)


def _main_part(free: NDArray[np.bool_], near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of connected free places those that have most in the columns near to the line between the pedicles."""
    parts, count = label(free)
    if count == 0:
        return free
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts[:, near].ravel(), minlength=count + 1)[1:])))


def _border(walls: Walls, frame: Frame, center: FloatArray, sense: int) -> float:
    """How far a pedicle reaches up (1) or down (-1) from its middle; NaN for one that is not bone or does not end."""
    aside = np.arange(BORDER_MM[0], BORDER_MM[1] + STEP_MM / 2, STEP_MM)
    ends, known = (part[:, 0] for part in _ends(walls, frame, center, sense, aside, np.zeros(1)))
    size = round(SMOOTH_MM / STEP_MM)
    first = float(uniform_filter1d(ends, size)[size // 2:-(size // 2)].min())
    if not known[round(-BORDER_MM[0] / STEP_MM)] or first > REACH_MM - 1.0:
        return float("nan")
    half = np.array([np.ptp(BORDER_MM) / 2.0, max(ACROSS_MM, 1.1 * _extent(walls.mask, frame.superior))])
    across = np.linspace(-half[1], half[1], 7)
    rough, found = _ends(walls, frame, center, sense, aside[::2], across)
    u, v = np.meshgrid(center[0] + aside[::2], across, indexing="ij")
    points = np.stack([u[found], center[1] + sense * rough[found], v[found]], axis=-1)
    voxels = frame.to_frame(walls.mask.to_ras(np.indices(walls.mask.shape).reshape(3, -1).T))
    near = np.abs(voxels[:, 1] - center[1] - sense * float(np.median(ends))) < 6.0
    face = fit_face(frame, 1, points, voxels[near], walls.mask.array.ravel()[near], _extent(walls.mask, frame.anterior),
                    BOW, BOW_SPREAD, BOW_TILT)
    if face is None:
        return first
    fine = sense * (face.height(np.column_stack([center[0] + aside, np.zeros_like(aside)])) - center[1])
    if np.quantile(np.abs(fine - ends), STRAY_SHARE) > STRAY_MM:
        return first
    return float(uniform_filter1d(fine, size)[size // 2:-(size // 2)].min())


def _extent(mask: Volume, direction: FloatArray) -> float:
    """mm, of the voxels along a direction."""
    return float(np.linalg.norm(direction @ mask.ijk_to_ras[:3, :3]))


def _ends(walls: Walls, frame: Frame, center: FloatArray, sense: int, aside: FloatArray, across: FloatArray
          ) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(A, B) where bone ends above or below a pedicle's middle, mm from it, and whether it begins there and ends."""
    along = np.arange(0.0, REACH_MM, STEP_MM)
    places = np.stack(np.broadcast_arrays(center[0] + aside[:, None, None], center[1] + sense * along,
                                          across[:, None]), axis=-1)
    shares = walls.sample(frame.to_ras(places)) - 0.5
    ends = np.array([[_run(along, row)[1] for row in plane] for plane in shares])
    return ends, (shares[..., 0] > 0) & (ends < along[-1] - 1.0)


def _run(along: FloatArray, free: FloatArray) -> tuple[float, float]:
    """Start and end of the run of positive values that is nearest to 0; the ends of ``along`` where it does not end."""
    positive = free > 0
    if not positive.any():
        return 0.0, 0.0
    near = int(np.argmin(np.where(positive, np.abs(along), np.inf)))
    ends = []
    for step in (-1, 1):
        walls = np.flatnonzero(~positive[near::step])
        if len(walls) == 0:
            ends.append(float(along[0 if step < 0 else -1]))
            continue
        last, wall = near + step * (walls[0] - 1), near + step * walls[0]
        ends.append(float(along[last] + (along[wall] - along[last]) * free[last] / (free[last] - free[wall])))
    return ends[0], ends[1]


@dataclass(frozen=True, eq=False)
class Recess:
    """A lateral recess at its narrowest.

    :param frame: the axial plane that it was measured in.
    :param line_RAS: (2, 3) from the articular process to the body or disc.
    :param reach_mm: along R from the line, where it was looked for.
    """

    frame: Frame
    line_RAS: FloatArray
    reach_mm: tuple[float, float]

    @property
    def depth(self) -> float:
        """mm."""
        return float(np.linalg.norm(np.diff(self.line_RAS, axis=0)))


def recess(walls: Walls, frame: Frame, canal: FloatArray, border: FloatArray, sign: int) -> Recess | None:
    """The shortest way from an articular process to the body just above a pedicle, beside the canal's wall.

    :param frame: of the vertebra; :param canal: (3,) RAS of the canal's middle beside the pedicle.
    :param border: (3,) RAS of the pedicle's upper border; :param sign: 1 for the right, -1 for the left.
    :return: ``None`` where no process is in view.
    """
    middle, place = frame.to_frame(canal), frame.to_frame(border)
    along = np.arange(0.0, REACH_MM, STEP_MM)
    aside = middle + sign * along[:, None] * np.array([1.0, 0.0, 0.0])
    wall = _run(along, 0.5 - walls.sample(frame.to_ras(aside)))[1]
    if wall > along[-1] - 1.0:
        return None
    across = middle[0] + sign * (wall + np.arange(*RECESS_MM, STEP_MM))
    along = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM)
    height = place[2] + max(ABOVE_MM, float(np.linalg.norm(walls.mask.ijk_to_ras[:3, :3].T @ frame.superior)))
    places = np.stack(np.broadcast_arrays(across[:, None], place[1] + along, height), axis=-1)
    free = 0.5 - walls.sample(frame.to_ras(places))
    runs = np.array([_run(along, row) for row in free])
    depth = np.diff(runs, axis=1)[:, 0]
    unblocked = np.logical_and.accumulate(free[:, len(along) // 2] > 0)  # as seen from the canal
    seen = (np.abs(runs).max(axis=1) < REACH_MM - 1.0) & unblocked
    if not seen.any():
        return None
    at = int(np.argmin(np.where(seen, depth, np.inf)))
    ends = np.array([[across[at], place[1] + end, height] for end in runs[at]])
    reach = np.sort(across[[0, -1]] - across[at])
    return Recess(frame.at(frame.to_ras(ends.mean(axis=0))), frame.to_ras(ends), (float(reach[0]), float(reach[1])))


def run_beside(walls: Walls, frame: Frame, across: FloatArray, middle: float, reach_mm: float) -> FloatArray:
    """(N, 2) mm along A, where walls are behind and in front of a place in the plane of a frame, at columns beside it.

    :param across: (N,) mm along R; :param middle: mm along A, where all columns are free or nearly.
    :return: NaN where there is no free place, or none that ends.
    """
    along = np.arange(-reach_mm, reach_mm + STEP_MM / 2, STEP_MM)
    places = np.stack(np.broadcast_arrays(across[:, None], middle + along, 0.0), axis=-1)
    runs = np.array([_run(along, row) for row in 0.5 - walls.sample(frame.to_ras(places))])
    ends = (np.abs(runs).max(axis=1) < reach_mm - 1.0) & (runs[:, 1] > runs[:, 0])
    return np.where(ends[:, None], middle + runs, np.nan)
