"""Walking along the canal of an analysis in the scene, from head to foot."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..anatomy import Level, Segment, successors
from ..geometry.curves import Curve
from ..geometry.frames import Frame
from ..volume import FloatArray
from .results import find_result

_STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class Stop:
    """A level on the way.

    :param s: mm of arc length from the centerline's upper end.
    """

    level: Level | Segment
    s: float


@dataclass(frozen=True, eq=False)
class Walk:
    """:param vertebrae_s: (N,) arc lengths of the vertebrae.

    :param ahead: (N, 3) from the canal to the level's label in front of each vertebra, mm.
    """

    centerline: Curve
    stops: tuple[Stop, ...]
    vertebrae_s: FloatArray
    ahead: FloatArray

    @property
    def length(self) -> float:
        """mm."""
        return self.centerline.length

    def frame(self, s: float) -> Frame:
        """The cross-section at an arc length: perpendicular to the canal, its A axis to the front."""
        return Frame.from_axes(self.centerline.position(s), -self.centerline.tangent(s), self._ahead(s))

    def body(self, s: float) -> FloatArray:
        """(3,) a point in the vertebral body there: halfway to the label in front of it."""
        return np.asarray(self.centerline.position(s) + self._ahead(s) / 2)

    def _ahead(self, s: float) -> FloatArray:
        return np.array([np.interp(s, self.vertebrae_s, self.ahead[:, axis]) for axis in range(3)])

    def s_of(self, level: Level | Segment | None) -> float | None:
        return next((stop.s for stop in self.stops if stop.level == level), None)

    def s_at(self, point_RAS: FloatArray) -> float:
        """Where the way passes a point, within its ends."""
        return float(np.clip(self.centerline.project(np.asarray(point_RAS, float)), 0.0, self.length))

    def nearest(self, s: float) -> Stop | None:
        return min(self.stops, key=lambda stop: abs(stop.s - s), default=None)


def walk_of(scene: Any, name: str) -> Walk | None:
    """The way through an analysis, from its centerline and its level labels; ``None`` where these are gone."""
    line, labels = find_result(scene, name, "centerline"), find_result(scene, name, "levels")
    if line is None or labels is None or line.GetNumberOfControlPoints() < 2 or not labels.GetNumberOfControlPoints():
        return None
    curve = _resampled(slicer.util.arrayFromMarkupsControlPoints(line, world=True))
    fronts = slicer.util.arrayFromMarkupsControlPoints(labels, world=True)
    names = [labels.GetNthControlPointLabel(i) for i in range(len(fronts))]
    known = [i for i, text in enumerate(names) if text in Level.__members__]
    if not known:
        return None
    order = sorted(known, key=lambda i: Level[names[i]])
    s = curve.project(fronts[order])
    levels = [Level[names[i]] for i in order]
    return Walk(curve, _stops(levels, s), s, fronts[order] - curve.position(s))


def _resampled(points: FloatArray) -> Curve:
    coarse = Curve(np.asarray(points, float))
    return coarse.cut(0.0, coarse.length, _STEP_MM)


def _stops(levels: list[Level], s: FloatArray) -> tuple[Stop, ...]:
    """Vertebrae, and halfway between neighbors their disc."""
    stops: list[Stop] = []
    for index, level in enumerate(levels):
        stops.append(Stop(level, float(s[index])))
        if index + 1 < len(levels) and levels[index + 1] in successors(level):
            stops.append(Stop(Segment(level, levels[index + 1]), float(s[index] + s[index + 1]) / 2))
    return tuple(stops)
