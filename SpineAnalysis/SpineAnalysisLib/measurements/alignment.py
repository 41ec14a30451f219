"""Alignment: coronal curves, kyphosis, lordosis and the angle of every segment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region, Segment, Side
from ..geometry.faces import mismatch
from ..geometry.frames import Frame, Plane, reject, unit
from ..progress import Progress, step
from ..spine import MotionSegment, Spine, Vertebra
from .bone import coronal, graded, sagittal, spine_flags
from .coronal import CoronalCurve, coronal_curves
from .record import Geometry, Measurement
from .registry import Coding, Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]
End = Literal["superior", "inferior"]

ARM_MM = 30.0
SACRAL_DEG, OUTER_DEG = 2.9, 3.5
"""How differently, besides, the sacrum's endplate is drawn when it is segmented anew, and the upper one of the first
body in view, which no disc bounds: standard deviations of their tilts (docs/REPEATABILITY.md)."""
MIN_THORACIC = 6
"""A kyphosis over fewer vertebrae than this says nothing."""

_RANGES: tuple[tuple[str, Level, End, Level, End, float], ...] = (
    ("cervical_lordosis", Level.C2, "inferior", Level.C7, "inferior", 1.0),
    ("thoracic_kyphosis", Level.T4, "superior", Level.T12, "inferior", -1.0),
    ("lumbar_lordosis", Level.L1, "superior", Level.S1, "superior", 1.0),
)
"""Key, upper vertebra and its endplate, lower vertebra and its endplate, and the sense that is positive."""

DEFINITIONS = (
    Definition("cobb_angle", "Cobb angle", "deg", "For every coronal curve, with its end vertebrae and the side of its "
               "convexity: the greatest angle between the superior endplate of the upper and the inferior endplate of "
               "the lower end vertebra, projected on the coronal plane.", "Cobb, Instr Course Lect 1948;5:261-275",
               Coding(("SCT", "285285000", "Cobb angle")), draw=True),
    Definition("curve_apex_deviation", "Apex deviation", "mm", "At the apex of a coronal curve: distance of the "
               "body's center from the line between the end vertebrae's, in the coronal plane.", draw=True),
    Definition("cervical_lordosis", "Cervical lordosis", "deg", "Sagittal angle between the inferior endplates of C2 "
               "and C7; lordosis is positive.", draw=True),
    Definition("thoracic_kyphosis", "Thoracic kyphosis", "deg", "Sagittal angle between the superior endplate of T4 "
               "and the inferior endplate of T12, or of the ends in view; kyphosis is positive.", draw=True),
    Definition("lumbar_lordosis", "Lumbar lordosis", "deg", "Sagittal angle between the superior endplates of L1 and "
               "S1; lordosis is positive.", draw=True),
    Definition("segmental_angle", "Segmental angle", "deg", "Sagittal angle between the superior endplates of the two "
               "vertebrae; lordosis is positive."),
)


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure curves and angles of a spine that lies in a scanner."""
    step(progress, 0.1, "Measuring alignment")
    flags = (*spine_flags(spine), "supine")
    records: list[Measurement] = []
    for curve in coronal_curves(spine.vertebrae):
        records += _cobb(curve, flags, parameters)
    for key, upper, first, lower, last, sense in _RANGES:
        records += _range(spine, key, (upper, first), (lower, last), sense, flags, parameters)
    for motion in spine.segments:
        records += _segmental(spine, motion, flags, parameters)
    step(progress, 1.0, "Alignment measured")
    return FamilyResult(tuple(records))


def endplate(vertebra: Vertebra, end: End) -> tuple[Plane, FloatArray] | None:
    """An endplate whose rim is known, and the standard deviations of its tilt along R and A, degrees."""
    plane = vertebra.superior_endplate if end == "superior" else vertebra.inferior_endplate
    rim = vertebra.superior_rim if end == "superior" else vertebra.inferior_rim
    anew = SACRAL_DEG if vertebra.level.region is Region.SACRAL else 0.0
    return None if plane is None or rim is None else (plane, np.hypot(np.degrees(rim.tilt_deviation), anew))


def sagittal_angle(upper: Plane, lower: Plane, right: FloatArray) -> float:
    """Angle between two planes seen along an R axis, lordosis positive, degrees."""
    a, b = (unit(reject(plane.normal, right)) for plane in (upper, lower))
    return float(np.degrees(np.arctan2(np.cross(b, a) @ right, a @ b)))


def _angle(upper: Plane, lower: Plane, view: Frame) -> Geometry:
    """Three points: along the upper plane, where arms of both meet, and along the lower plane.

    The arms are where the planes cross the view, so that the angle on a picture is the one that was measured.

    :param view: its R axis runs along the planes, seen from where they are looked at.
    """
    crossings = [unit(np.cross(plane.normal, view.superior)) for plane in (upper, lower)]
    arms = [np.sign(float(arm @ view.right)) * arm for arm in crossings]
    middle = (upper.origin + lower.origin) / 2.0
    points = np.stack([middle + ARM_MM * arms[0], middle, middle + ARM_MM * arms[1]])
    return Geometry("angle", points, view.at(middle))


def _cobb(curve: CoronalCurve, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    upper, lower = curve.vertebrae[0], curve.vertebrae[-1]
    above, below = endplate(upper, "superior"), endplate(lower, "inferior")
    if above is None or below is None:
        return
    spread = float(np.hypot(above[1][0], below[1][0]))
    side: Side = "right" if curve.deviation > 0 else "left"
    view = coronal(curve.frame, curve.frame.origin)
    yield graded("cobb_angle", Segment(upper.level, lower.level), curve.angle_deg, "deg", spread, flags,
                 _angle(above[0], below[0], view), settings, side)
    line = np.stack([curve.foot_RAS, curve.apex.frame.origin])
    yield graded("curve_apex_deviation", curve.apex.level, abs(curve.deviation), "mm", 0.5, flags,
                 Geometry("line", line, view.at(curve.apex.frame.origin)), settings, side)


def _range(spine: Spine, key: str, upper: tuple[Level, End], lower: tuple[Level, End], sense: float,
           flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    first, last = spine.vertebra(upper[0]), spine.vertebra(lower[0])
    if (first is None or last is None) and key == "thoracic_kyphosis":
        seen = [v for v in spine.vertebrae if upper[0] <= v.level and v.level.region is Region.THORACIC
                and v.superior_endplate is not None and v.inferior_endplate is not None]
        if len(seen) >= MIN_THORACIC:
            first, last, flags = seen[0], seen[-1], (*flags, "range_as_seen")
    if first is None or last is None:
        return
    between = _between(spine.vertebrae, first, last)
    middle = between[(len(between) - 1) // 2]
    found = _sagittal_record(key, (first, upper[1]), (last, lower[1]), middle.frame, sense, flags, settings)
    if found is not None:
        yield found


def _between(vertebrae: Sequence[Vertebra], first: Vertebra, last: Vertebra) -> Sequence[Vertebra]:
    return [v for v in vertebrae if first.level <= v.level <= last.level]


def _segmental(spine: Spine, motion: MotionSegment, flags: tuple[str, ...], settings: Mapping[str, Any]
               ) -> Iterator[Measurement]:
    upper, lower = spine.vertebra(motion.segment.upper), spine.vertebra(motion.segment.lower)
    assert upper is not None and lower is not None
    doubts = mismatch(upper.inferior_rim, lower.superior_rim)
    found = _sagittal_record("segmental_angle", (upper, "superior"), (lower, "superior"), motion.disc, 1.0,
                             flags + motion.flags + doubts, settings)
    if found is not None and found.uncertainty is not None:
        outer = OUTER_DEG if upper is spine.vertebrae[0] else 0.0
        yield replace(found, uncertainty=float(np.hypot(found.uncertainty, outer)))


def _sagittal_record(key: str, upper: tuple[Vertebra, End], lower: tuple[Vertebra, End], frame: Frame, sense: float,
                     flags: tuple[str, ...], settings: Mapping[str, Any]) -> Measurement | None:
    above, below = endplate(*upper), endplate(*lower)
    if above is None or below is None:
        return None
    spread = float(np.hypot(above[1][1], below[1][1]))
    shown = _angle(above[0], below[0], sagittal(frame, frame.origin))
    value = sense * sagittal_angle(above[0], below[0], frame.right)
    return graded(key, Segment(upper[0].level, lower[0].level), value, "deg", spread, flags, shown, settings)


FAMILY = Family("alignment", "Alignment", DEFINITIONS, compute, {"cobb_angle_cutoff": "sosort_2016"}, order=50,
                chapter="Align")
