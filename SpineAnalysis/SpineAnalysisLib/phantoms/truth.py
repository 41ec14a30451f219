"""The exact answers of a phantom, by the definitions of the measurement dictionary.

Values come from the same functions that draw the phantom, without any grid.  The narrowest place of a segment is the
minimum, within the disc slab, of the profile after a moving mean over 1.5 mm; at a vertebra the profile is read at
mid-pedicle.  Endplates are the planes of their rims.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from ..anatomy import Level, Region, Segment, Side
from ..geometry.frames import Frame, Plane, reject, unit
from .canal import STEP_MM, Canal
from .model import Body, Chain, Joint

Vector = NDArray[np.floating]

SMOOTHING_MM = 1.5
SLAB_MARGIN_MM = 3.0
_COMPRESSION_GAP_MM, _COMPRESSION_SPAN_MM = 10.0, 20.0


@dataclass(frozen=True)
class Truth:
    """One exact answer; the fields are those of a measurement."""

    key: str
    level: Level | Segment | None
    value: float
    unit: str
    side: Side | None = None


def all_truths(chain: Chain, canal: Canal) -> list[Truth]:
    """Everything that is known, in the order of the families."""
    return [*canal_truths(chain, canal), *disc_truths(chain), *vertebra_truths(chain), *alignment_truths(chain)]


# --- canal and cord

def smoothed(profile: Vector) -> Vector:
    """A profile along the canal after the moving mean (trapezoidal); its ends go on as they are."""
    count = round(SMOOTHING_MM / STEP_MM)
    weights = np.ones(count + 1) / count
    weights[[0, -1]] /= 2
    return convolve1d(profile, weights, mode="nearest")


def disc_slab(joint: Joint, canal: Canal) -> tuple[float, float]:
    """Where along the canal a segment is measured: from which to which arc length, mm."""
    middle, half = canal.position(joint.frame.plane), joint.height / 2 + SLAB_MARGIN_MM
    return middle - half, middle + half


def canal_truths(chain: Chain, canal: Canal) -> list[Truth]:
    out = []
    for name, width, depth in (("canal", canal.width, canal.depth), ("cord", canal.cord_width, canal.cord_depth)):
        for body in chain.bodies:
            out += _at_vertebra(name, body, canal, width, depth)
        for joint in chain.joints:
            out += _at_segment(name, joint, canal, width, depth)
    values = {(t.key, t.level): t.value for t in out}
    for body in chain.bodies:
        if body.spec.level.region is Region.CERVICAL:
            ratio = values["canal_ap_diameter", body.spec.level] / body.ap_mm
            out.append(Truth("torg_pavlov_ratio", body.spec.level, ratio, "1"))
    for joint in chain.joints:
        neighbors = [values["canal_area", b.spec.level] for b in (joint.upper, joint.lower)]
        ratio = values["canal_area", joint.segment] / float(np.mean(neighbors))
        out.append(Truth("canal_area_ratio", joint.segment, ratio, "1"))
        out += _compressions(joint, canal, values)
    places: list[Level | Segment] = [*(b.spec.level for b in chain.bodies), *(j.segment for j in chain.joints)]
    for level in places:
        if ("cord_area", level) in values:
            ratio = values["cord_area", level] / values["canal_area", level]
            out.append(Truth("canal_occupation_ratio", level, ratio, "1"))
    return out


def chord(canal: Canal, width: Vector, depth: Vector, axis: Vector) -> Vector:
    """Per cross-section the extent through its center along a direction (3,), projected into its plane, mm."""
    u, v = canal.right @ axis, canal.anterior @ axis
    size = np.hypot(u, v)
    return size / np.hypot(u / np.maximum(width, 1e-9), v / np.maximum(depth, 1e-9))


def _profiles(name: str, canal: Canal, frame: Frame, width: Vector, depth: Vector) -> list[tuple[str, str, Vector]]:
    return [(f"{name}_area", "mm2", np.pi / 4 * width * depth),
            (f"{name}_ap_diameter", "mm", chord(canal, width, depth, frame.anterior)),
            (f"{name}_transverse_diameter", "mm", chord(canal, width, depth, frame.right))]


def _at_vertebra(name: str, body: Body, canal: Canal, width: Vector, depth: Vector) -> list[Truth]:
    s = canal.position(body.pedicle_plane)
    if canal.at(width, s) <= 0:
        return []
    return [Truth(key, body.spec.level, float(canal.at(profile, s)), unit_)
            for key, unit_, profile in _profiles(name, canal, body.frame, width, depth)]


def _at_segment(name: str, joint: Joint, canal: Canal, width: Vector, depth: Vector) -> list[Truth]:
    slab = np.linspace(*disc_slab(joint, canal), 4001)
    if not canal.at(width, slab).all():
        return []
    return [Truth(key, joint.segment, float(canal.at(smoothed(profile), slab).min()), unit_)
            for key, unit_, profile in _profiles(name, canal, joint.frame, width, depth)]


def _compressions(joint: Joint, canal: Canal, values: dict[tuple[str, Level | Segment | None], float]) -> list[Truth]:
    """Narrowing against the mean of what is above and below, where both are in view."""
    middle = canal.position(joint.frame.plane)
    away = np.abs(canal.s - middle)
    window = (away >= _COMPRESSION_GAP_MM) & (away <= _COMPRESSION_GAP_MM + _COMPRESSION_SPAN_MM)
    reach = _COMPRESSION_GAP_MM + _COMPRESSION_SPAN_MM
    if middle - reach < 0 or middle + reach > canal.s[-1]:
        return []
    out = []
    for key, source, depth in (("maximum_spinal_cord_compression", "cord_ap_diameter", canal.cord_depth),
                               ("maximum_canal_compromise", "canal_ap_diameter", canal.depth)):
        if (source, joint.segment) in values and depth[window].all():
            above, below = (float(depth[window & side].mean()) for side in (canal.s < middle, canal.s > middle))
            loss = 100 * (1 - values[source, joint.segment] / ((above + below) / 2))
            out.append(Truth(key, joint.segment, loss, "%"))
    return out


# --- discs, vertebrae, alignment

def disc_truths(chain: Chain) -> list[Truth]:
    out = []
    for joint in chain.joints:
        bodies = (joint.upper.spec, joint.lower.spec)
        half = sum(b.depth for b in bodies) / 4
        front, back = (joint.gap(joint.frame.to_ras(np.array([0, sign * half, 0]))) for sign in (1, -1))
        heights = {"anterior": front, "middle": joint.height, "posterior": back}
        out += [Truth(f"disc_height_{place}", joint.segment, h, "mm") for place, h in heights.items()]
        index = float(np.mean(list(heights.values()))) / (2 * half)
        out.append(Truth("disc_height_index", joint.segment, index, "1"))
        out.append(Truth("disc_wedge_angle", joint.segment,
                         sagittal_angle(joint.upper.endplate(-1), joint.lower.endplate(1), joint.frame), "deg"))
    return out


def vertebra_truths(chain: Chain) -> list[Truth]:
    out = []
    for body in chain.bodies:
        spec = body.spec
        if spec.level.region is Region.SACRAL or spec.level is Level.C2:
            continue
        heights = {"anterior": spec.height_anterior, "middle": body.height - 2 * spec.concavity,
                   "posterior": spec.height_posterior}
        out += [Truth(f"vertebra_height_{place}", spec.level, h, "mm") for place, h in heights.items()]
        out.append(Truth("body_ap_diameter", spec.level, body.ap_mm, "mm"))
    for joint in chain.joints:
        plate = joint.lower.endplate(1)
        offset = joint.upper.rim(-1, front=False) - joint.lower.rim(1, front=False)
        depth = float(np.linalg.norm(joint.lower.rim(1, front=True) - joint.lower.rim(1, front=False)))
        slip = float(offset @ plate.anterior)
        out += [Truth("vertebra_slip", joint.segment, slip, "mm"),
                Truth("vertebra_slip_percent", joint.segment, 100 * slip / depth, "%"),
                Truth("lateral_slip", joint.segment, float(offset @ plate.right), "mm")]
    return out


def alignment_truths(chain: Chain) -> list[Truth]:
    by_level = {body.spec.level: body for body in chain.bodies}
    out = [Truth("segmental_angle", j.segment, sagittal_angle(j.upper.endplate(1), j.lower.endplate(1), j.frame), "deg")
           for j in chain.joints]
    for key, upper, lower, signs, sense in (("lumbar_lordosis", Level.L1, Level.S1, (1, 1), 1),
                                            ("cervical_lordosis", Level.C2, Level.C7, (-1, -1), 1),
                                            ("thoracic_kyphosis", Level.T4, Level.T12, (1, -1), -1)):
        if upper in by_level and lower in by_level:
            plates = by_level[upper].endplate(signs[0]), by_level[lower].endplate(signs[1])
            middle = chain.bodies[(chain.bodies.index(by_level[upper]) + chain.bodies.index(by_level[lower])) // 2]
            angle = sense * sagittal_angle(*plates, middle.frame)
            out.append(Truth(key, Segment(upper, lower), angle, "deg"))
    return out


def sagittal_angle(upper: Frame | Plane, lower: Frame | Plane, view: Frame) -> float:
    """Angle between two endplates in the sagittal plane of a frame, lordosis positive, degrees."""
    a, b = (unit(reject(p.superior if isinstance(p, Frame) else p.normal, view.right)) for p in (upper, lower))
    return float(np.degrees(np.arctan2(np.cross(b, a) @ view.right, a @ b)))
