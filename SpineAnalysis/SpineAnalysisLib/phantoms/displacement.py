"""Exact answers about what leaves the discs' spaces, read from the solids on a fine grid of points."""

import numpy as np

from .canal import Canal, Tube
from .model import Chain, Joint
from .solids import DiscShape, Vector
from .truth import Truth

_IN_PLANE_MM, _BETWEEN_MM = 0.4, 1.0
_FAR_MM = 12.0
_SIDE_SHARE = 0.6  # of the half width: beyond, the line of the rims turns forward
_BEHIND_MM, _ACROSS_MM = 0.1, 2.0

TYPES = {"none": 0, "bulge": 1, "protrusion": 2, "extrusion": 3, "sequestration": 4}


def displacement_truths(chain: Chain, canal: Canal) -> list[Truth]:
    out = []
    for joint in chain.joints:
        out.append(Truth("disc_bulge_depth", joint.segment, visible_depth(joint, canal), "mm"))
        spec = joint.spec.herniation
        if spec is not None:
            widest = max(spec.head or 0.0, spec.depth)
            tall = max(spec.length or 0.0, spec.depth)
            extruded = widest > spec.base or tall > back_height(joint, spec.offset)
            out.append(Truth("herniation_type", joint.segment, TYPES["extrusion" if extruded else "protrusion"], "1"))
            out.append(Truth("herniation_canal_fraction", joint.segment, canal_share(joint, canal), "%"))
        elif not joint.spec.bulge and not joint.spec.bulge_around:
            out.append(Truth("herniation_type", joint.segment, TYPES["none"], "1"))
    return out


def back_height(joint: Joint, offset: float) -> float:
    """Distance between the rims where a herniation has its base."""
    half = (joint.upper.spec.depth + joint.lower.spec.depth) / 4
    return joint.gap(joint.frame.to_ras(np.array([offset, -half, 0.0])))


def visible_depth(joint: Joint, canal: Canal) -> float:
    """How far the disc reaches behind the line of the rims where the canal is not in its way, mm."""
    spec, shape = joint.spec.herniation, DiscShape(joint)
    if spec is not None:
        return spec.depth
    wide = _SIDE_SHARE * shape.half_width
    high = joint.height / 2
    across = np.linspace(-wide, wide, 2 * int(wide / _ACROSS_MM) + 1)
    behind = np.arange(_BEHIND_MM / 2, 8.0, _BEHIND_MM)
    up = np.linspace(-high, high, 9)
    x, e, z = np.meshgrid(across, behind, up, indexing="ij")
    _, at_zero = shape.behind(x, np.zeros_like(x), z)
    y = -(e - at_zero)
    inside = (shape.disc(x, y, z) < 0) & (_canal_distance(joint, canal, x, y, z) > 0)
    return float(e[inside].max(initial=0.0))


def _canal_distance(joint: Joint, canal: Canal, x: Vector, y: Vector, z: Vector) -> Vector:
    middle = canal.position(joint.frame.plane)
    tube = Tube(canal, middle - 20.0, middle + 20.0)
    points = tube.frame.to_frame(joint.frame.to_ras(np.stack([x, y, z], axis=-1)))
    return tube.distance_to(canal.width, canal.depth)(*np.moveaxis(points, -1, 0))


def canal_share(joint: Joint, canal: Canal) -> float:
    """Percentage of the canal that a herniation takes between the pedicles, in the worst plane parallel to the disc."""
    shape = DiscShape(joint)
    half = np.mean([canal.at(canal.width, canal.position(b.pedicle_plane)) for b in (joint.upper, joint.lower)]) / 2
    line = np.arange(-half, half + 1e-9, _IN_PLANE_MM)
    deep = np.arange(-shape.half_depth - 28.0, -shape.half_depth + 5.0, _IN_PLANE_MM)
    x, y = np.meshgrid(line, deep, indexing="ij")
    shares = [0.0]
    for height in np.arange(-_FAR_MM, _FAR_MM, _BETWEEN_MM):
        z = np.full_like(x, height)
        taken = shape.herniation(x, y, z) < 0
        if taken.any():
            free = (_canal_distance(joint, canal, x, y, z) < 0) & ~taken
            shares.append(100.0 * taken.sum() / max(taken.sum() + free.sum(), 1))
    return float(max(shares))
