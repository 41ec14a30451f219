"""The six faces of a vertebral body, and the rims of its endplates."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..volume import Volume
from .frames import Frame, Plane, angle_deg
from .surfaces import Face, fit_face

FloatArray = NDArray[np.floating]

CELL_MM = 2.0
"""Rough points of a face are taken from cells of this width."""
AXIS_MM, COLUMN_SHARE = 5.0, 0.6
"""A body's extent is taken this near to its axes; its height within this share of its half width."""
PLATE_SHARE = 1.0
"""Share of the body's outline at mid-height over which its endplates are fitted: spurs grow beyond."""
STRIP_SHARE, BACK_SHARE = 0.4, 0.15
"""Share of the body's width, or depth, about the midline over which its walls are fitted; the back wall over less, as
pedicles begin beside it."""
PRIORS = {(2, 1): (0.045, 0.02, 1e3), (2, -1): (0.045, 0.02, 1e3), (1, 1): (0.1, 0.05, 0.1),
          (1, -1): (0.0, 0.002, 0.03), (0, 1): (0.1, 0.1, 0.1), (0, -1): (0.1, 0.1, 0.1)}
"""By axis of the frame and side: how hollow a face is in shares of its half width, how much that varies, and how much
its tilt does.  The back wall is straight: a hollow cannot be told from the lips at its ends, and the corners would go
with them."""
FINEST = {(2, 1): 0.05, (2, -1): 0.05, (1, 1): 0.05, (1, -1): 0.15}
"""The last step of fits where labels are sharp, in voxels.  A back wall would go with crumbs of the arch right behind
it, and walls that ribs and pedicles lie beside gain nothing."""
HEIGHT_SHARE, WALL_SHARE, SIDE_SHARE = 0.12, 0.3, 0.6
"""Standard deviation of where labels end, in voxels, for endplates, walls and the walls at the sides; labels do not
average it out."""
DRAWN_MM = {0: 0.2, 1: 0.55, -1: 0.55}
"""How differently one endplate is drawn when it is segmented anew: standard deviation of its height in the middle, in
front and behind, and of the walls there.  Of one subject's bodies in four scans (docs/REPEATABILITY.md)."""
UNSEEN_MM = 2.0
"""The same where a wall could not be followed."""
VAGUE_DEG = 8.0
"""An endplate whose tilt is known no better than this is not in view."""
MAX_CHANGE_DEG = 15.0
"""A fine fit that is turned farther than this against the rough one is a mistake."""
ALIKE, FIT, FACING_DEG = 0.85, 0.75, 35.0
"""Depths of facing endplates, the smaller over the larger: below the first something is odd, below the second an
outline is wrong, as it is where they face each other no better than this.  129 pairs of manual masks of 25 lumbar
spines: 0.81 and more, 15 degrees and less; 0.76 beside a collapsed body with spurs.  Where an engine's sacrum was
wrong: 0.58 to 0.72.
"""
NO_MATCH, ODD_MATCH = "endplates_do_not_match", "endplates_differ"
BARE_MM = 2.5
"""An endplate may be drawn on to its rim so far beyond the bone there, as corners are rounded: 98 % of 1210 ends on 42
scans are."""
CORNER_MM = 4.0
"""The front end of an endplate lies no farther forward than bone this near to it does."""
CLEAR_SHARE = 0.07
"""Share of the body's height at either end, where rims flare and spurs grow, that walls are not fitted to."""


@dataclass(frozen=True, eq=False)
class Rim:
    """The rim of an endplate, in the frame of its body.

    :param center: (2,) along R and A, mm; :param half: (2,) mm, from there to the rim on either axis.
    :param deviations: (4,) mm, standard deviations of where the left, right, back and front of the rim are.
    :param step: mm, extent of the voxels along S.
    :param bare: (2,) mm along S, by how much the endplate, drawn on to its back and its front end, lies beyond all bone
        that is next to them.
    """

    face: Face
    center: FloatArray
    half: FloatArray
    deviations: FloatArray
    step: float
    bare: tuple[float, float] = (0.0, 0.0)

    @property
    def plane(self) -> Plane:
        """The rim's plane at the mean height of the endplate."""
        return self.face.plane(self.center, self.half)

    @property
    def middle(self) -> FloatArray:
        """(3,) RAS of the endplate at its center, hollow included."""
        return self.face.point(self.center)

    def corner(self, sign: int) -> FloatArray:
        """(3,) RAS of the midline point of the rim: 1 in front, -1 behind."""
        return self.face.point(self._end(sign)) - self.bare[sign > 0] * self.face.frame.superior

    def _end(self, sign: int) -> FloatArray:
        return np.array([self.center[0], self.center[1] + sign * self.half[1]])

    def height_deviation(self, sign: int) -> float:
        """One standard deviation of the height in front (1), in the middle (0) or behind (-1), mm."""
        own = self.face.deviation(self._end(sign))
        bare = self.bare[sign > 0] if sign else 0.0
        return float(np.linalg.norm([own, HEIGHT_SHARE * self.step, DRAWN_MM[sign], bare / 2.0]))

    @property
    def tilt_deviation(self) -> FloatArray:
        """(2,) standard deviations of the plane's tilt along R and along A, radians."""
        drawn = DRAWN_MM[1] / np.sqrt(2.0)  # either end on its own
        return np.hypot(self.face.tilt_deviation, np.hypot(HEIGHT_SHARE * self.step, drawn) / self.half)


def mismatch(above: Rim | None, below: Rim | None) -> tuple[str, ...]:
    """The flag that says that the two endplates of a disc do not fit each other, if they are known not to."""
    if above is None or below is None:
        return ()
    depths = sorted(float(rim.half[1]) for rim in (above, below))
    share = depths[0] / depths[1]
    if share < FIT or angle_deg(above.plane.normal, below.plane.normal) > FACING_DEG:
        return (NO_MATCH,)
    return (ODD_MATCH,) if share < ALIKE else ()


@dataclass(frozen=True, eq=False)
class Faces:
    """A body's voxels seen in a frame whose origin lies near its center.

    :param centers: (N, 3) mm in the frame, of voxels in and around the body; :param inside: (N,) whether they are it.
    :param steps: (3, 3) columns, RAS steps between voxels.
    :param sides: whether the body's right and left walls are free (the sacrum's are not).
    :param whole: whether the grid goes on beyond the body on all sides.
    """

    frame: Frame
    centers: FloatArray
    inside: NDArray[np.bool_]
    steps: FloatArray
    sides: bool = True
    whole: bool = True

    @staticmethod
    def of(body: Volume, frame: Frame, reach_mm: tuple[float, float, float] = (40.0, 40.0, 40.0), sides: bool = True,
           untold: NDArray[np.bool_] | None = None) -> "Faces":
        """:param body: boolean, cropped with a few empty voxels around it, as far as there are some.
        :param reach_mm: along R, A and S, how far from the frame's origin voxels are looked at.
        :param untold: on the body's grid, voxels that are neither body nor outside of it, such as the pedicles'.
        """
        centers = frame.to_frame(body.to_ras(np.indices(body.shape).reshape(3, -1).T))
        near = np.all(np.abs(centers) < reach_mm, axis=1)
        if untold is not None:
            near &= ~untold.ravel()
        within = body.array > 0.5
        whole = not any(within.take((0, -1), axis).any() for axis in range(3))
        return Faces(frame, centers[near], within.ravel()[near], body.ijk_to_ras[:3, :3], sides, whole)

    def refined(self, rough: Plane | None, sign: int) -> Plane | None:
        """An endplate's plane by its rim, or the rough one where the rim cannot be told.

        :param sign: 1 for the superior, -1 for the inferior endplate.
        """
        rim = self.superior if sign > 0 else self.inferior
        if rough is None or rim is None or angle_deg(rim.plane.normal, rough.normal) > MAX_CHANGE_DEG:
            return rough
        return rim.plane

    @cached_property
    def _voxels(self) -> FloatArray:
        """(3,) extent of a voxel along each axis of the frame, root mean square over its edges."""
        return np.linalg.norm(self.frame.axes @ self.steps, axis=1)

    @cached_property
    def _extent(self) -> tuple[FloatArray, FloatArray]:
        """Center and half size of the body at its middle: (3,) each, by the voxels near the axes of the frame.

        Its height is that of a wider column, as endplates are hollow.
        """
        bone = self.centers[self.inside]
        low, high = np.zeros(3), np.zeros(3)
        for axis in range(3):
            reach = max(AXIS_MM, float(self._voxels.max()))
            if axis == 2:
                reach = max(reach, COLUMN_SHARE * float((high - low)[:2].min()) / 2.0)
            near = np.max(np.abs(np.delete(bone, axis, axis=1)), axis=1) < reach
            low[axis], high[axis] = np.quantile(bone[near, axis], [0.01, 0.99]) if near.any() else (-10.0, 10.0)
        return (low + high) / 2.0, np.maximum((high - low + self._voxels) / 2.0, 3.0)

    def _fit(self, axis: int, sign: int, shares: FloatArray, extent: tuple[FloatArray, FloatArray] | None = None,
             sharp: bool | None = None) -> Face | None:
        """The face on one side, over a share of the body's extent on the two other axes."""
        center, half = extent or self._extent
        others = [a for a in range(3) if a != axis]
        place = (self.centers[:, others] - center[others]) / (half[others] * shares)
        over = (np.linalg.norm(place, axis=1) < 1.0) & (sign * (self.centers[:, axis] - center[axis]) > 0)
        bone = self.centers[over & self.inside]
        if len(bone) < 12:
            return None
        width = np.maximum(CELL_MM, 1.2 * self._voxels[others])
        cell = np.unique(np.floor(bone[:, others] / width).astype(int), axis=0, return_inverse=True)[1].ravel()
        order = np.lexsort((-sign * bone[:, axis], cell))
        rough = bone[order[np.unique(cell[order], return_index=True)[1]]]
        rough[:, axis] += sign * self._voxels[axis] / 4.0
        near = over & (np.abs(self.centers[:, axis] - np.median(rough[:, axis])) < 0.7 * half[axis])
        return fit_face(self.frame, axis, rough, self.centers[near], self.inside[near], float(self._voxels[axis]),
                        *PRIORS[axis, sign], FINEST.get((axis, sign)), sharp)

    @cached_property
    def _plates(self) -> dict[int, Face | None]:
        """Superior (1) and inferior (-1) endplate."""
        return {sign: self._fit(2, sign, np.array([PLATE_SHARE, PLATE_SHARE])) for sign in (1, -1)}

    def _wall(self, axis: int, sign: int) -> Face | None:
        """A wall, as far up and down as the endplates are at its place, which are hollow in the middle."""
        center, half = (part.copy() for part in self._extent)
        place = center[:2].copy()
        place[axis] += sign * half[axis]
        ends = [float(center[2] + side * half[2]) if plate is None or not self.sides else
                float(plate.height(plate.within(place))) for side, plate in self._plates.items()]
        center[2], half[2] = (ends[0] + ends[1]) / 2.0, max((ends[0] - ends[1]) / 2.0, float(half[2]))
        share = BACK_SHARE if (axis, sign) == (1, -1) else STRIP_SHARE
        sharp = all(plate is not None and plate.sharp for side, plate in self._plates.items() if self.sides or side > 0)
        return self._fit(axis, sign, np.array([share, 1.0 - 2 * CLEAR_SHARE]), (center, half), sharp)

    @cached_property
    def back(self) -> Face | None:
        return self._wall(1, -1)

    def back_at(self, plane: Plane) -> FloatArray | None:
        """(3,) RAS where the line of the back wall crosses a plane, in the midline of what was fitted."""
        if self.back is None:
            return None
        middle, half = self.back.center, self.back.half
        ends = self.back.point(middle + np.outer((-1.0, 1.0), (0.0, half[1])))
        below, above = plane.distance(ends)
        return None if above - below < half[1] else np.asarray(ends[0] - below / (above - below) * (ends[1] - ends[0]))

    @cached_property
    def front(self) -> Face | None:
        return self._wall(1, 1)

    @cached_property
    def right(self) -> Face | None:
        return self._wall(0, 1) if self.sides else None

    @cached_property
    def left(self) -> Face | None:
        return self._wall(0, -1) if self.sides else None

    @property
    def aside(self) -> float:
        """How far along R the middle between the side walls is, mm; 0 where they are not both seen."""
        if self.left is None or self.right is None:
            return 0.0
        middle = self._extent[0][1:]
        return float(self.left.height(middle) + self.right.height(middle)) / 2.0

    @cached_property
    def superior(self) -> Rim | None:
        return self._rim(1)

    @cached_property
    def inferior(self) -> Rim | None:
        return self._rim(-1)

    def _foremost(self, face: Face, sign: int) -> float:
        """How far forward bone lies at an endplate: a hollow front wall, drawn on to the rim, would go beyond."""
        center, half = self._extent
        bone = self.centers[self.inside]
        below = sign * (face.height(bone[:, :2]) - bone[:, 2])
        near = (below >= 0.0) & (below < CORNER_MM) & (np.abs(bone[:, 0] - center[0]) < STRIP_SHARE * half[0])
        return float(bone[near, 1].max() + self._voxels[1] / 2.0) if near.any() else np.inf

    def _bare(self, face: Face, sign: int, end: FloatArray) -> float:
        """How far the endplate at (2,) an end lies beyond the bone there, mm; 0 where rounded corners explain it.

        A parabola through a depressed endplate rises far beyond the body's corners.
        """
        bone = self.centers[self.inside]
        aside = STRIP_SHARE * self._extent[1][0]
        near = bone[(np.abs(bone[:, 1] - end[1]) < CORNER_MM) & (np.abs(bone[:, 0] - end[0]) < aside), 2]
        if not len(near):
            return 0.0
        beyond = sign * float(face.height(end)) - float((sign * near).max() + self._voxels[2] / 2.0)
        return sign * beyond if beyond > BARE_MM else 0.0

    def _rim(self, sign: int) -> Rim | None:
        face = self._plates[sign]
        walls = (self.left, self.right, self.back, self.front)
        if face is None:
            return None
        center, half = (part[:2] for part in self._extent)
        for _ in range(2):
            ends = center + np.array([[-half[0], 0], [half[0], 0], [0, -half[1]], [0, half[1]]])
            heights = face.height(ends)
            reach = [float(ends[i, i // 2]) if wall is None else
                     float(wall.height(wall.within(np.array([center[1 - i // 2], heights[i]]))))
                     for i, wall in enumerate(walls)]
            reach[3] = min(reach[3], self._foremost(face, sign))
            low, high = np.array([reach[0], reach[2]]), np.array([reach[1], reach[3]])
            center, half = (low + high) / 2.0, np.maximum((high - low) / 2.0, 3.0)
        spread = [UNSEEN_MM if wall is None else float(np.linalg.norm([
            wall.deviation(wall.within(np.array([center[1 - i // 2], heights[i]]))), DRAWN_MM[1],
            (SIDE_SHARE, WALL_SHARE)[i // 2] * self._voxels[i // 2]])) for i, wall in enumerate(walls)]
        bare = [self._bare(face, sign, np.array([center[0], y])) for y in (low[1], high[1])]
        rim = Rim(face, center, half, np.array(spread), float(self._voxels[2]), (bare[0], bare[1]))
        return rim if np.degrees(face.tilt_deviation.max()) < VAGUE_DEG else None
