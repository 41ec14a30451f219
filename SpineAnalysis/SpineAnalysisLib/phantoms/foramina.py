"""The exact answers of a phantom's foramina and lateral recesses, from its solids.

A foramen is cut in the plane through the middles of the two pedicles that holds the disc's A axis.  Along A, it reaches
from body or disc in front to bone behind, at every height between the pedicles, but no farther back than the front
of the superior articular process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_closing, label

from ..anatomy import SIDES, Kind, Region
from ..geometry.frames import Frame, reject, unit
from .canal import GAP_MM
from .model import Body, Joint
from .solids import Solid
from .truth import Truth

Vector = NDArray[np.floating]

STEP_MM = 0.2
REACH_MM = 25.0
NEAR_MM = 10.0
"""An opening is the free part that has most this near to the line between the pedicles."""
HOLLOW_MM = 8.0
"""Hollows of the front wall that are lower than this, as between edges of bodies, are closed straight."""
PROCESS_PART = (0.3, 0.5)
"""Shares of the height between which the wall behind is the superior articular process."""
UPPER_PART = (0.5, 0.75)
"""Shares of the height between which the foramen's width is its smallest: higher up, the roof closes it."""
BORDER_MM, SMOOTH_MM = (-2.0, 3.4), 1.6
"""A pedicle's border is where it ends first, as a mean over so much, from so far behind to so far before its middle."""
BEHIND_MM = 3.0
"""Behind the body's back wall, pedicles are thinnest about here."""
RECESS_MM = (-5.0, 3.0)
"""Where a lateral recess is looked for: from the pedicle's inner border, positive outward."""
ABOVE_MM = 1.5
"""A lateral recess is measured so far above the pedicle's upper border."""


@dataclass(frozen=True, eq=False)
class Walls:
    """Bone and discs about one joint as one signed distance.

    :param solids: bodies, arches and discs; :param canal: pieces of the canal, which takes the place of bone.
    """

    solids: Sequence[Solid]
    canal: Sequence[Solid]

    @staticmethod
    def about(joint: Joint, solids: Sequence[Solid]) -> "Walls":
        levels = (joint.upper.spec.level, joint.lower.spec.level)
        kinds = (Kind.BODY, Kind.ARCH, Kind.DISC)
        bones = [s for s in solids if s.structure is not None and s.structure.kind in kinds
                 and s.structure.level in levels]
        return Walls(bones, [s for s in solids if s.structure is not None and s.structure.kind is Kind.CANAL])

    def distance(self, points: Vector) -> Vector:
        """(...) of (..., 3) RAS points, negative in bone or disc."""
        found = [_distance(solid, points) for solid in self.solids]
        return np.maximum(np.minimum.reduce(found), -np.minimum.reduce([_distance(s, points) for s in self.canal]))


def _distance(solid: Solid, points: Vector) -> Vector:
    """Infinite outside of a solid's box."""
    place = solid.frame.to_frame(points)
    near = np.all((place > solid.lower) & (place < solid.upper), axis=-1)
    out = np.full(near.shape, np.inf)
    if near.any():
        out[near] = solid.distance(*place[near].T)
    return out


def pedicle(body: Body, sign: int) -> Vector:
    """(3,) RAS middle of a pedicle, behind the body."""
    spec = body.spec
    return body.point(sign * (spec.canal_width + spec.pedicle_width) / 2, -spec.depth / 2 - GAP_MM - BEHIND_MM,
                      body.pedicle_z)


def plane_of(joint: Joint, sign: int) -> Frame:
    """A foramen's plane: its R axis runs to the front and its A axis to the head."""
    top, bottom = pedicle(joint.upper, sign), pedicle(joint.lower, sign)
    front = joint.frame.anterior
    up = unit(reject(top - bottom, front))
    return Frame((top + bottom) / 2, front, up, np.cross(front, up))


def foramen_truths(joint: Joint, solids: Sequence[Solid]) -> list[Truth]:
    """Everything about the two foramina of a joint, and the recesses of its lower vertebra."""
    walls = Walls.about(joint, solids)
    out: list[Truth] = []
    for side, sign in SIDES:
        values = {**_foramen(joint, sign, walls), **_recess(joint, sign, walls)}
        out += [Truth(key, joint.segment, value, "mm2" if key.endswith("area") else "mm", side)
                for key, value in values.items()]
    areas = {t.side: t.value for t in out if t.key == "foramen_area"}
    if len(areas) == 2:
        mean = (areas["left"] + areas["right"]) / 2
        out.append(Truth("foramen_asymmetry", joint.segment, 100 * (areas["right"] - areas["left"]) / mean, "%"))
    return out


def _foramen(joint: Joint, sign: int, walls: Walls) -> dict[str, float]:
    """Empty where the opening has no front or back (as in the neck, where pedicles stand beside the bodies)."""
    frame = plane_of(joint, sign)
    top, bottom = (frame.to_frame(pedicle(body, sign))[:2] for body in (joint.upper, joint.lower))
    roof = top[1] - _border(walls, frame, top, -1)
    floor = bottom[1] + _border(walls, frame, bottom, 1)
    count = round((roof - floor) / STEP_MM)
    heights = floor + (np.arange(count) + 0.5) * (roof - floor) / count
    across = np.arange(-REACH_MM, REACH_MM, STEP_MM)
    line = bottom[0] + (top[0] - bottom[0]) * (heights - bottom[1]) / (top[1] - bottom[1])
    places = np.stack(np.broadcast_arrays(line[:, None] + across, heights[:, None], 0.0), axis=-1)
    distance = walls.distance(frame.to_ras(places))
    parts, _ = label(distance > 0)
    inside = parts == 1 + np.argmax(np.bincount(parts[:, np.abs(across) < NEAR_MM].ravel())[1:])
    distance = np.where(inside, distance, np.minimum(distance, -STEP_MM))
    behind, ahead = np.array([_run(across, row) for row in distance]).T
    behind, ahead = np.where(np.isfinite(behind), behind, -REACH_MM) + line, ahead + line
    share = (heights - floor) / (roof - floor)
    process = np.median(behind[(share > PROCESS_PART[0]) & (share < PROCESS_PART[1])])
    if process < line.min() - REACH_MM + 1 or not np.isfinite(ahead).all():
        return {}
    behind = np.maximum(behind, np.minimum(process, ahead))
    ahead = -grey_closing(-ahead, round(HOLLOW_MM / STEP_MM) | 1, mode="nearest")
    width = ahead - behind
    high = (share >= UPPER_PART[0]) & (share <= UPPER_PART[1])
    ends = np.column_stack([[top, bottom], [0, 0]])
    a, b = joint.frame.plane.distance(frame.to_ras(ends))
    middle = bottom[1] + (top[1] - bottom[1]) * b / (b - a)
    return {"foramen_height": float(roof - floor), "foramen_width": float(width[high].min()),
            "foramen_width_disc": float(np.interp(middle, heights, width)),
            "foramen_area": float(width.mean() * (roof - floor))}


def _border(walls: Walls, frame: Frame, center: Vector, sense: int) -> float:
    """How far a pedicle reaches up (1) or down (-1) from its middle."""
    along = np.arange(0.0, REACH_MM, STEP_MM)
    aside = np.arange(BORDER_MM[0], BORDER_MM[1] + STEP_MM / 2, STEP_MM)
    places = np.stack(np.broadcast_arrays(center[0] + aside[:, None], center[1] + sense * along, 0.0), axis=-1)
    ends = np.array([_run(along, -row, begin=True)[1] for row in walls.distance(frame.to_ras(places))])
    ends = np.where(np.isfinite(ends), ends, REACH_MM)
    return float(np.min(np.convolve(ends, np.ones(round(SMOOTH_MM / STEP_MM)) * STEP_MM / SMOOTH_MM, "valid")))


def _run(along: Vector, distance: Vector, begin: bool = False) -> tuple[float, float]:
    """Start and end of the run of positive distances that is nearest to 0 (``begin``: that starts there).

    Both 0 where there is none; NaN for an end that is not seen.
    """
    free = distance > 0
    if not free.any():
        return 0.0, 0.0
    near = 0 if begin else int(np.argmin(np.where(free, np.abs(along), np.inf)))
    ends = []
    for step in (-1, 1):
        walls = np.flatnonzero(~free[near::step])
        if len(walls) == 0:
            ends.append(float("nan"))
            continue
        last, wall = near + step * (walls[0] - 1), near + step * walls[0]
        ends.append(along[last] + (along[wall] - along[last]) * distance[last] / (distance[last] - distance[wall]))
    return ends[0], ends[1]


def _recess(joint: Joint, sign: int, walls: Walls) -> dict[str, float]:
    body = joint.lower
    spec = body.spec
    if spec.level.region not in (Region.LUMBAR, Region.SACRAL):
        return {}
    along = np.arange(-REACH_MM, REACH_MM, STEP_MM)
    height = body.pedicle_z + spec.pedicle_height / 2 + ABOVE_MM
    aside = sign * (spec.canal_width / 2 + np.arange(*RECESS_MM, 0.25))
    places = np.stack(np.broadcast_arrays(aside[:, None], along - spec.depth / 2 - GAP_MM - BEHIND_MM, height), axis=-1)
    runs = np.array([_run(along, row) for row in walls.distance(body.frame.to_ras(places))])
    depths = runs[:, 1] - runs[:, 0]
    return {"lateral_recess_depth": float(np.nanmin(depths))} if np.isfinite(depths).any() else {}
