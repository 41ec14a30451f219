"""Vertebrae: fracture, slip, rotation and bone density."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region
from ..geometry.faces import Rim
from ..geometry.frames import reject, unit
from ..progress import Progress, step
from ..spine import Spine, Vertebra
from .bone import graded, sagittal, spine_flags
from .density import density
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import HEIGHT, PARTS, VOLUME, Coding, Definition, Family, FamilyResult
from .slip import rotation_deg, rotation_deviation, slips

FloatArray = NDArray[np.floating]

PLACES = (("anterior", 1), ("middle", 0), ("posterior", -1))
FRACTURE = 0.2
"""A body is not called fractured where its loss exceeds this (Genant's mildest) by less than its standard deviation:
small bodies between neck and chest are wedged, and their heights are known to 7 % only."""
NEIGHBORS = 2
"""So many vertebrae above and below tell what height to expect."""
VOLUME_SHARE, OUTLINE_MM = 0.1, 0.4
"""Standard uncertainty of where a body's outline runs, the same way all around: in voxels, and when it is segmented
anew."""

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
    records += slips(spine, common, parameters)
    for vertebra in spine.vertebrae[:-1]:
        records += _rotation(vertebra, spine.vertebrae[-1], rotation_deviation(spine), common, parameters)
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
    flags = (*flags, flag)
    vague = loss >= FRACTURE > loss - spread
    if vague:
        flags = (*flags, "loss_not_clear")
    yield graded(_LOSS, body.vertebra.level, 100.0 * float(loss), "%", 100.0 * spread, flags,
                 Geometry("line", line, sagittal(frame, frame.origin)), settings, apply_cutoffs=not vague)


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
