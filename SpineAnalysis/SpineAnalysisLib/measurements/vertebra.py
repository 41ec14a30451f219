"""Vertebrae: fracture, slip, rotation and bone density."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region
from ..geometry.faces import FIT, NO_MATCH, ODD_MATCH, SIDE_SHARE, Rim, mismatch
from ..geometry.frames import Frame, reject, unit
from ..progress import Progress, step
from ..spine import MotionSegment, Spine, Vertebra
from .bone import coronal, graded, sagittal, spine_flags
from .density import density
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import HEIGHT, PARTS, VOLUME, Coding, Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]

PLACES = (("anterior", 1), ("middle", 0), ("posterior", -1))
NEIGHBORS = 2
"""So many vertebrae above and below tell what height to expect."""
ROTATION_DEG, ROTATION_PER_MM = 1.5, 1.3
"""Standard uncertainty of the direction from canal to body, by which a vertebra's A axis is known, and what every
millimeter of the coarsest voxel edge adds when it is segmented anew (docs/REPEATABILITY.md)."""
VOLUME_SHARE, OUTLINE_MM = 0.1, 0.4
"""Standard uncertainty of where a body's outline runs, the same way all around: in voxels, and when it is segmented
anew."""
HALF_OFF = 0.5
"""Of the lower endplate's depth: a slip of more is rarer than a wrong outline, unless both bodies are whole."""
SLIP_MM = 3.0
"""A shift below this is not called a slip, so its percentage is not graded."""

MEAN_DENSITY = Coding(("DCM", "112031", "Attenuation Coefficient"), derivation=("SCT", "373098007", "Mean"))
_LOSS = "vertebral_height_loss"


def _definitions() -> Iterator[Definition]:
    for place, _ in PLACES:
        where = "center" if place == "middle" else f"{place} border"
        yield Definition(f"vertebra_height_{place}", f"Height, {place}", "mm",
                         f"Distance between the body's endplates at the {where}, along the vertebral S axis.",
                         coding=Coding(HEIGHT, part=PARTS[place]), draw=True)
    yield Definition(_LOSS, "Height loss", "%", "The larger of two losses: of anterior height relative to the "
                     "vertebra's own posterior height, and of any height relative to the median of as many "
                     "neighbors above as below, up to two, where there are some on both sides.",
                     "Genant et al., J Bone Miner Res 1993;8:1137-1148", decimals=0)
    yield Definition("vertebra_slip", "Slip", "mm", "Shift of the upper body's posterior inferior corner along the "
                     "lower body's superior endplate, from its posterior corner; forward is positive.", draw=True)
    yield Definition("vertebra_slip_percent", "Slip, relative", "%", "The slip over the AP depth of the lower body's "
                     "superior endplate.", "Meyerding, Surg Gynecol Obstet 1932;54:371-377", decimals=0)
    yield Definition("lateral_slip", "Lateral slip", "mm", "The same shift sideways; to the right is positive.",
                     draw=True)
    yield Definition("vertebral_rotation", "Rotation", "deg", "Axial rotation of the vertebra's A axis relative to the "
                     "lowest vertebra in view; turned to the patient's left is positive.")
    yield Definition("vertebra_volume", "Body volume", "mm3", "Volume of the labeled body in front of the canal.",
                     coding=VOLUME, decimals=0)
    yield Definition("trabecular_density", "Trabecular density", "[hnsf'U]", "On CT: mean of an ellipsoid in the front "
                     "of the body, clear of cortex, endplates and basivertebral vein.",
                     "Pickhardt et al., Ann Intern Med 2013;158:588-595", MEAN_DENSITY, decimals=0)


@dataclass(frozen=True, eq=False)
class Body:
    """A vertebra whose two endplates are known.

    :param heights: (3,) mm, in front, in the middle and behind; :param spread: (3,) their standard deviations.
    """

    vertebra: Vertebra
    superior: Rim
    inferior: Rim
    heights: FloatArray
    spread: FloatArray


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure every vertebra and its place on the next."""
    step(progress, 0.1, "Measuring vertebrae")
    common = spine_flags(spine)
    bodies = [body for body in map(_body, spine.vertebrae) if body is not None]
    records: list[Measurement] = []
    for body in bodies:
        flags = common + body.vertebra.flags
        records += _heights(body, flags, parameters)
        records += _loss(body, bodies, flags, parameters)
        records += _volume(body, flags, parameters)
        records += density(spine, body.vertebra, (body.superior, body.inferior), flags, parameters)
    for motion in spine.segments:
        records += _slip(spine, motion, common + motion.flags, parameters)
    for vertebra in spine.vertebrae[:-1]:
        spread = float(np.hypot(ROTATION_DEG, ROTATION_PER_MM * np.linalg.norm(spine.resolution, axis=0).max()))
        records += _rotation(vertebra, spine.vertebrae[-1], spread, common, parameters)
    step(progress, 1.0, "Vertebrae measured")
    return FamilyResult(tuple(records))


def _body(vertebra: Vertebra) -> Body | None:
    faces = vertebra.faces
    if faces is None or vertebra.level <= Level.C2 or vertebra.level.region is Region.SACRAL:
        return None
    if vertebra.superior_endplate is None or vertebra.inferior_endplate is None:
        return None
    top, bottom = faces.superior, faces.inferior
    if top is None or bottom is None:
        return None
    up = vertebra.frame.superior
    heights = np.array([(_at(top, sign) - _at(bottom, sign)) @ up for _, sign in PLACES])
    spread = np.array([np.hypot(top.height_deviation(sign), bottom.height_deviation(sign)) for _, sign in PLACES])
    return Body(vertebra, top, bottom, heights, spread) if (heights > 0).all() else None


def _at(rim: Rim, sign: int) -> FloatArray:
    return rim.corner(sign) if sign else rim.middle


def _heights(body: Body, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    frame = body.vertebra.frame
    for (place, sign), height, spread in zip(PLACES, body.heights, body.spread, strict=True):
        ends = np.stack([_at(body.superior, sign), _at(body.inferior, sign)])
        yield graded(f"vertebra_height_{place}", body.vertebra.level, float(height), "mm", float(spread), flags,
                     Geometry("line", ends, sagittal(frame, frame.origin)), settings)


def _loss(body: Body, bodies: list[Body], flags: tuple[str, ...], settings: Mapping[str, Any]
          ) -> Iterator[Measurement]:
    """The largest of all losses, with a flag that says against what."""
    i = bodies.index(body)
    count = min(i, len(bodies) - 1 - i, NEIGHBORS)  # as many above as below, as heights grow downward
    above, below = bodies[i - count:i], bodies[i + 1:i + 1 + count]
    losses = [(1.0 - body.heights[0] / body.heights[2], 0, 2, "loss_against_own_posterior_height")]
    if above and below:
        expected = np.median([other.heights for other in above + below], axis=0)
        losses += [(1.0 - body.heights[place] / expected[place], place, place, "loss_against_neighbors")
                   for place in range(3)]
    loss, place, against, flag = max(losses)
    loss = max(loss, 0.0)  # taller than expected is no loss
    reference = body.heights[against] if flag == "loss_against_own_posterior_height" else expected[place]
    spread = float(np.hypot(body.spread[place], body.spread[against]) / reference)
    sign = PLACES[place][1]
    line = np.stack([_at(body.superior, sign), _at(body.inferior, sign)])
    frame = body.vertebra.frame
    yield graded(_LOSS, body.vertebra.level, 100.0 * float(loss), "%", 100.0 * spread, (*flags, flag),
                 Geometry("line", line, sagittal(frame, frame.origin)), settings)


def _volume(body: Body, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    faces = body.vertebra.faces
    assert faces is not None
    if not faces.whole:
        flags = (*flags, "body_cut")
        yield Measurement("vertebra_volume", body.vertebra.level, None, "mm3", None, None, quality_of(flags), flags)
        return
    voxel = float(abs(np.linalg.det(faces.steps)))
    value = float(faces.inside.sum()) * voxel
    half = np.append((body.superior.half + body.inferior.half) / 2.0, body.heights.mean() / 2.0)
    surface = 8.0 * float(half[0] * half[1] + half[1] * half[2] + half[0] * half[2])
    center = Geometry("point", body.vertebra.frame.origin[None], sagittal(body.vertebra.frame,
                                                                          body.vertebra.frame.origin))
    outline = float(np.hypot(VOLUME_SHARE * voxel**(1 / 3), OUTLINE_MM))
    yield graded("vertebra_volume", body.vertebra.level, value, "mm3", outline * surface, flags, center, settings)


def _slip(spine: Spine, motion: MotionSegment, flags: tuple[str, ...], settings: Mapping[str, Any]
          ) -> Iterator[Measurement]:
    upper, lower = spine.vertebra(motion.segment.upper), spine.vertebra(motion.segment.lower)
    if upper is None or lower is None or upper.faces is None or lower.faces is None:
        return
    if any(flag.endswith("_endplate_not_in_view") for flag in upper.flags + lower.flags):
        return  # a body cut by the border of the scan has no corners
    if upper.inferior_endplate is None or lower.superior_endplate is None:
        return
    if upper.superior_endplate is None or upper.faces.superior is None:
        return  # a body cut by the edge of the scan has no back wall to go by
    above, below = upper.faces.inferior, lower.faces.superior
    if above is None or below is None:
        return
    plate = Frame.from_axes(below.corner(-1), below.plane.normal, lower.frame.anterior)
    start, end = below.corner(-1), above.corner(-1)
    offset = end - start
    spread = float(np.hypot(above.deviations[2], below.deviations[2]))
    slip = float(offset @ plate.anterior)
    depth = 2.0 * float(below.half[1])
    flags += mismatch(above, below)
    if abs(slip) > HALF_OFF * depth and (lower.faces.inferior is None or not lower.faces.sides):
        flags = (*flags, "slip_beyond_half")
    if flags and flags[-1] in (NO_MATCH, "slip_beyond_half"):
        yield Measurement("vertebra_slip", motion.segment, None, "mm", None, None, quality_of(flags), flags)
        return
    line = np.stack([start, start + slip * plate.anterior])
    shown = Geometry("line", line, sagittal(plate, start))
    odd = ODD_MATCH in flags  # what one endplate is short of may be its back, so that the shift is of no one's body
    if odd:
        spread = float(np.hypot(spread, abs(float(above.half[1] - below.half[1]))))
    step = _step(motion, upper, lower)
    if not odd and step is not None and abs(slip) >= SLIP_MM > step * np.sign(slip):
        flags = (*flags, "walls_lean")
    sure = not odd and "walls_lean" not in flags
    yield graded("vertebra_slip", motion.segment, slip, "mm", spread, flags, shown, settings, apply_cutoffs=sure)
    yield graded("vertebra_slip_percent", motion.segment, 100.0 * slip / depth, "%", 100.0 * spread / depth, flags,
                 shown, settings, apply_cutoffs=abs(slip) >= SLIP_MM and sure)
    if upper.faces.sides and lower.faces.sides:
        yield _lateral(motion, above, below, plate, spine.resolution, flags, settings)


def _step(motion: MotionSegment, upper: Vertebra, lower: Vertebra) -> float | None:
    """By how much the lines of the two back walls pass each other in the disc's plane, forward positive, mm.

    Where walls lean against their endplates, corners are as far off each other as the disc is high, without a step.
    """
    above, below = (None if vertebra.faces is None else vertebra.faces.back_at(motion.disc.plane)
                    for vertebra in (upper, lower))
    return None if above is None or below is None else float((above - below) @ motion.disc.anterior)


def _lateral(motion: MotionSegment, above: Rim, below: Rim, plate: Frame, resolution: FloatArray,
             flags: tuple[str, ...], settings: Mapping[str, Any]) -> Measurement:
    widths = sorted(float(rim.half[0]) for rim in (above, below))
    if widths[0] < FIT * widths[1]:
        flags = (*flags, "widths_do_not_match")
        return Measurement("lateral_slip", motion.segment, None, "mm", None, None, quality_of(flags), flags)
    aside = float((above.corner(-1) - below.corner(-1)) @ plate.right)
    spread = np.linalg.norm([*above.deviations[:2], *below.deviations[:2],
                             2.0 * SIDE_SHARE * np.linalg.norm(plate.right @ resolution)]) / 2.0
    turned = np.radians(ROTATION_DEG) * np.hypot(above.half[1], below.half[1])
    line = np.stack([plate.origin, plate.origin + aside * plate.right])
    return graded("lateral_slip", motion.segment, aside, "mm", float(np.hypot(spread, turned)), flags,
                  Geometry("line", line, coronal(plate, plate.origin)), settings)


def rotation_deg(frame: Frame, reference: Frame) -> float:
    """By how much a frame is turned to the left against another, about the axis between their S axes."""
    axis = unit(frame.superior + reference.superior)
    a, b = unit(reject(reference.anterior, axis)), unit(reject(frame.anterior, axis))
    return float(np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)))


def _rotation(vertebra: Vertebra, lowest: Vertebra, spread: float, flags: tuple[str, ...],
              settings: Mapping[str, Any]) -> Iterator[Measurement]:
    frame = vertebra.frame
    reach = 20.0
    arms = np.stack([frame.origin + reach * frame.anterior, frame.origin,
                     frame.origin + reach * unit(reject(lowest.frame.anterior, frame.superior))])
    yield graded("vertebral_rotation", vertebra.level, rotation_deg(frame, lowest.frame), "deg",
                 float(np.sqrt(2.0)) * spread, flags + vertebra.flags, Geometry("angle", arms, frame), settings)


FAMILY = Family("vertebra", "Vertebrae", tuple(_definitions()), compute,
                {"vertebral_height_loss_cutoff": "genant_1993", "vertebra_slip_cutoff": "jacobsen_2007"}, order=40,
                chapter="Bone")
