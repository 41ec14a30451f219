"""How far a vertebral body has slipped on the next, forward and sideways."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry.faces import FIT, NO_MATCH, SIDE_SHARE, Rim, mismatch
from ..geometry.frames import Frame, reject, unit
from ..spine import MotionSegment, Spine, Vertebra
from .bone import coronal, graded, sagittal
from .flags import quality_of
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]

ROTATION_DEG, ROTATION_PER_MM = 1.5, 1.3
"""Standard uncertainty of the direction from canal to body, by which a vertebra's A axis is known, and what every
millimeter of the coarsest voxel edge adds when it is segmented anew (docs/REPEATABILITY.md)."""
TURNED_DEG, TURNED_DEVIATIONS = 15.0, 2.0
"""Vertebrae are turned against their neighbors by less than this; beyond, and beyond so many standard deviations, the
canal's or a body's outline is wrong."""
HALF_OFF = 0.5
"""Of the lower endplate's depth: a slip of more is rarer than a wrong outline, unless both bodies are whole."""
SLIP_MM = 3.0
"""A shift below this is not called a slip, so its percentage is not graded."""
CLEAR, FEWEST = 2.0, 3
"""A slip differs by so many standard deviations from the usual shift of the spine's other segments, where there are at
least so many: outlines that hold the ligament behind the bodies, or the disc's wedge, shift all of them alike."""
UNSURE = ("endplates_differ", "walls_lean", "slip_not_clear")


@dataclass(frozen=True, eq=False)
class Shift:
    """Where the back corners of two facing endplates are against each other.

    :param plate: the lower endplate at its back corner; forward as of both bodies.
    :param forward: mm; :param spread: its standard deviation.
    """

    motion: MotionSegment
    upper: Vertebra
    lower: Vertebra
    above: Rim
    below: Rim
    plate: Frame
    forward: float
    spread: float
    flags: tuple[str, ...]

    @property
    def depth(self) -> float:
        """mm, of the lower endplate."""
        return 2.0 * float(self.below.half[1])

    @property
    def refused(self) -> bool:
        return any(flag in self.flags for flag in (NO_MATCH, "slip_beyond_half", "rotations_do_not_match"))


def slips(spine: Spine, common: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    """All records of slip."""
    shifts = [found for motion in spine.segments if (found := _shift(spine, motion, common + motion.flags)) is not None]
    for shift in shifts:
        others = [other.forward for other in shifts if other is not shift and not other.refused
                  and other.motion.segment.upper.region is shift.motion.segment.upper.region]
        usual = float(np.median(others)) if len(others) >= FEWEST else 0.0
        yield from _records(spine, shift, usual, settings)


def rotation_deviation(spine: Spine) -> float:
    """One standard deviation of where a vertebra's A axis points, degrees."""
    return float(np.hypot(ROTATION_DEG, ROTATION_PER_MM * np.linalg.norm(spine.resolution, axis=0).max()))


def rotation_deg(frame: Frame, reference: Frame) -> float:
    """By how much a frame is turned to the left against another, about the axis between their S axes."""
    axis = unit(frame.superior + reference.superior)
    a, b = unit(reject(reference.anterior, axis)), unit(reject(frame.anterior, axis))
    return float(np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)))


def _shift(spine: Spine, motion: MotionSegment, flags: tuple[str, ...]) -> Shift | None:
    upper, lower = spine.vertebra(motion.segment.upper), spine.vertebra(motion.segment.lower)
    if upper is None or lower is None or upper.faces is None or lower.faces is None:
        return None
    if any(flag.endswith("_endplate_not_in_view") for flag in upper.flags + lower.flags):
        return None  # a body cut by the border of the scan has no corners
    if upper.inferior_endplate is None or lower.superior_endplate is None:
        return None
    if upper.superior_endplate is None or upper.faces.superior is None:
        return None  # a body cut by the edge of the scan has no back wall to go by
    above, below = upper.faces.inferior, lower.faces.superior
    if above is None or below is None:
        return None
    plate = Frame.from_axes(below.corner(-1), below.plane.normal, motion.disc.anterior)
    aside, forward = (float((above.corner(-1) - below.corner(-1)) @ axis) for axis in (plate.right, plate.anterior))
    # What one endplate is longer than the other may be a lip or an outline at its back, so that no body has shifted.
    turned = aside * np.sin(np.radians(rotation_deviation(spine)))
    longer = float(above.half[1] - below.half[1])
    spread = float(np.linalg.norm([above.deviations[2], below.deviations[2], longer, turned]))
    flags += mismatch(above, below)
    most = np.hypot(TURNED_DEG, TURNED_DEVIATIONS * np.sqrt(2.0) * rotation_deviation(spine))
    if abs(rotation_deg(upper.frame, lower.frame)) > most:
        flags = (*flags, "rotations_do_not_match")
    if abs(forward) > HALF_OFF * 2.0 * float(below.half[1]) and (lower.faces.inferior is None or not lower.faces.sides):
        flags = (*flags, "slip_beyond_half")
    return Shift(motion, upper, lower, above, below, plate, forward, spread, flags)


def _records(spine: Spine, shift: Shift, usual: float, settings: Mapping[str, Any]) -> Iterator[Measurement]:
    segment, flags, slip, spread = shift.motion.segment, shift.flags, shift.forward, shift.spread
    if shift.refused:
        yield Measurement("vertebra_slip", segment, None, "mm", None, None, quality_of(flags), flags)
        if _free(shift):
            yield _lateral(shift, spine.resolution, flags, settings)
        return
    start = shift.below.corner(-1)
    shown = Geometry("line", np.stack([start, start + slip * shift.plate.anterior]), sagittal(shift.plate, start))
    step = _step(shift)
    if abs(slip) >= SLIP_MM and "endplates_differ" not in flags:
        if step is not None and step * np.sign(slip) < SLIP_MM:
            flags = (*flags, "walls_lean")
        elif min(abs(slip), abs(slip - usual)) < CLEAR * spread:
            flags = (*flags, "slip_not_clear")
    sure = not any(flag in flags for flag in UNSURE)
    yield graded("vertebra_slip", segment, slip, "mm", spread, flags, shown, settings, apply_cutoffs=sure)
    yield graded("vertebra_slip_percent", segment, 100.0 * slip / shift.depth, "%", 100.0 * spread / shift.depth, flags,
                 shown, settings, apply_cutoffs=abs(slip) >= SLIP_MM and sure)
    if _free(shift):
        yield _lateral(shift, spine.resolution, flags, settings)


def _free(shift: Shift) -> bool:
    """Whether both bodies have free sides (the sacrum has none)."""
    return all(vertebra.faces is not None and vertebra.faces.sides for vertebra in (shift.upper, shift.lower))


def _step(shift: Shift) -> float | None:
    """By how much the lines of the two back walls pass each other in the disc's plane, forward positive, mm.

    Where walls lean against their endplates, corners are as far off each other as the disc is high, without a step.
    """
    disc = shift.motion.disc
    above, below = (None if vertebra.faces is None else vertebra.faces.back_at(disc.plane)
                    for vertebra in (shift.upper, shift.lower))
    return None if above is None or below is None else float((above - below) @ disc.anterior)


def _lateral(shift: Shift, resolution: FloatArray, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Measurement:
    above, below, plate, segment = shift.above, shift.below, shift.plate, shift.motion.segment
    widths = sorted(float(rim.half[0]) for rim in (above, below))
    if widths[0] < FIT * widths[1]:
        flags = (*flags, "widths_do_not_match")
    if shift.refused or "widths_do_not_match" in flags:
        return Measurement("lateral_slip", segment, None, "mm", None, None, quality_of(flags), flags)
    aside = float((above.corner(-1) - below.corner(-1)) @ plate.right)
    spread = np.linalg.norm([*above.deviations[:2], *below.deviations[:2],
                             2.0 * SIDE_SHARE * np.linalg.norm(plate.right @ resolution)]) / 2.0
    turned = np.radians(ROTATION_DEG) * np.hypot(above.half[1], below.half[1])
    line = np.stack([plate.origin, plate.origin + aside * plate.right])
    return graded("lateral_slip", segment, aside, "mm", float(np.hypot(spread, turned)), flags,
                  Geometry("line", line, coronal(plate, plate.origin)), settings)
