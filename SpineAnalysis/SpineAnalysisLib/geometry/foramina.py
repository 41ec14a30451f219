"""Foramina: the openings between two pedicles, cut in their own sagittal-oblique planes.

At every height between the pedicles an opening reaches, along A, from the bone behind to body or disc in front.
Behind, it goes no farther back than the front of the superior articular process, which is the wall a little below the
middle: from there up, ligament and joint capsule close what bone leaves open.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, grey_closing, label, map_coordinates, uniform_filter1d

from ..volume import Volume
from .frames import Frame, reject, unit

FloatArray = NDArray[np.floating]

STEP_MM = 0.25
REACH_MM = 22.0
"""No opening reaches farther from the line between the pedicles."""
NEAR_MM = 10.0
"""An opening lies mostly this near to it."""
BLUR_VOXELS = 0.6
"""Of the finest edge: blurred over thick slices, round pedicles would shrink."""
PROCESS_PART = (0.3, 0.5)
"""Shares of the height between which the wall behind is the superior articular process."""
RECESS_HEIGHT_MM, HOLLOW_MM = 8.0, 1.0
"""Hollows of the front wall that are lower and deeper than this, as between edges of bodies, are closed straight."""
RECESS_MM = (-5.0, 3.0)
"""Where a lateral recess is looked for: from the canal's side wall, positive outward."""
ABOVE_MM = 1.5
"""A lateral recess is measured so far above the pedicle's upper border, so that the pedicle itself is not met."""
BORDER_MM, SMOOTH_MM = (-2.0, 3.5), 1.5
"""A pedicle's border is looked for so far behind and before its middle, as a mean over so much; in front of it the body
ends farther away, behind it a process does."""


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


def smooth_shares(mask: Volume) -> Volume:
    """Shares (0..1) of a boolean mask, smooth enough that their halves do not follow the voxels' stairs."""
    blur = BLUR_VOXELS * mask.spacing.min() / mask.spacing
    return mask.with_array(gaussian_filter(mask.array.astype(np.float32), blur, truncate=3.0))


def opening(walls: Volume, frame: Frame, top: FloatArray, bottom: FloatArray) -> Opening | None:
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
    share = sample(walls, frame.to_ras(places))
    share = np.where(_main_part(share < 0.5, np.abs(across) < NEAR_MM), share, 1.0)
    behind, ahead = (line[:, None] + np.array([_run(across, row) for row in 0.5 - share])).T
    process = float(np.median(behind[int(PROCESS_PART[0] * count):int(np.ceil(PROCESS_PART[1] * count))]))
    behind = np.maximum(behind, np.minimum(process, ahead))
    straight = -grey_closing(-ahead, round(RECESS_HEIGHT_MM * count / (roof - floor)) | 1, mode="nearest")
    ahead = np.where(ahead - straight > HOLLOW_MM, straight, ahead)
    if process - line.min() < 1.0 - REACH_MM or (ahead - line).max() > REACH_MM - 1.0:
        return None
    return Opening(frame, float(floor), float(roof), heights, behind, ahead)


def _main_part(free: NDArray[np.bool_], near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of connected free places those that have most in the columns near to the line between the pedicles."""
    parts, count = label(free)
    if count == 0:
        return free
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts[:, near].ravel(), minlength=count + 1)[1:])))


def sample(volume: Volume, points: FloatArray) -> FloatArray:
    """(...) values at (..., 3) RAS points; 0 outside."""
    return map_coordinates(volume.array, np.moveaxis(volume.to_ijk(points), -1, 0), order=1, mode="constant",
                           prefilter=False)


def _border(walls: Volume, frame: Frame, center: FloatArray, sense: int) -> float:
    """How far a pedicle reaches up (1) or down (-1) from its middle; NaN for one that is not bone or does not end."""
    along = np.arange(0.0, REACH_MM, STEP_MM)
    aside = np.arange(BORDER_MM[0], BORDER_MM[1] + STEP_MM / 2, STEP_MM)
    places = np.stack(np.broadcast_arrays(center[0] + aside[:, None], center[1] + sense * along, 0.0), axis=-1)
    shares = sample(walls, frame.to_ras(places)) - 0.5
    if shares[round(-BORDER_MM[0] / STEP_MM), 0] <= 0:
        return float("nan")
    ends = uniform_filter1d([_run(along, row)[1] for row in shares], round(SMOOTH_MM / STEP_MM))
    end = float(ends[round(SMOOTH_MM / STEP_MM) // 2:-(round(SMOOTH_MM / STEP_MM) // 2)].min())
    return end if end < along[-1] - 1.0 else float("nan")


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
    """

    frame: Frame
    line_RAS: FloatArray

    @property
    def depth(self) -> float:
        """mm."""
        return float(np.linalg.norm(np.diff(self.line_RAS, axis=0)))


def recess(walls: Volume, frame: Frame, canal: FloatArray, border: FloatArray, sign: int) -> Recess | None:
    """The shortest way from an articular process to the body just above a pedicle, beside the canal's wall.

    :param frame: of the vertebra; :param canal: (3,) RAS of the canal's middle beside the pedicle.
    :param border: (3,) RAS of the pedicle's upper border; :param sign: 1 for the right, -1 for the left.
    :return: ``None`` where no process is in view.
    """
    middle, place = frame.to_frame(canal), frame.to_frame(border)
    along = np.arange(0.0, REACH_MM, STEP_MM)
    aside = middle + sign * along[:, None] * np.array([1.0, 0.0, 0.0])
    wall = _run(along, 0.5 - sample(walls, frame.to_ras(aside)))[1]
    if wall > along[-1] - 1.0:
        return None
    across = middle[0] + sign * (wall + np.arange(*RECESS_MM, STEP_MM))
    along = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2, STEP_MM)
    height = place[2] + max(ABOVE_MM, float(np.linalg.norm(walls.ijk_to_ras[:3, :3].T @ frame.superior)))
    places = np.stack(np.broadcast_arrays(across[:, None], place[1] + along, height), axis=-1)
    free = 0.5 - sample(walls, frame.to_ras(places))
    runs = np.array([_run(along, row) for row in free])
    depth = np.diff(runs, axis=1)[:, 0]
    unblocked = np.logical_and.accumulate(free[:, len(along) // 2] > 0)  # as seen from the canal
    seen = (np.abs(runs).max(axis=1) < REACH_MM - 1.0) & unblocked
    if not seen.any():
        return None
    at = int(np.argmin(np.where(seen, depth, np.inf)))
    ends = np.array([[across[at], place[1] + end, height] for end in runs[at]])
    return Recess(frame.at(frame.to_ras(ends.mean(axis=0))), frame.to_ras(ends))
