"""The solids of a phantom as implicit functions.

A solid is a signed distance (exact in sign, about right in size near the surface) in a frame of its own.  Solids are
painted in order, and a later one takes the place of an earlier one: discs, then bone, then the canal, then herniations,
then the cord.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind, Structure
from ..geometry.frames import Frame
from .canal import GAP_MM, Canal, Tube, ellipse_distance, tubes
from .model import Body, Chain, Joint

Vector = NDArray[np.floating]
Distance = Callable[[Vector, Vector, Vector], Vector]

_FACET_GAP_MM = 1.2
BACK_POWER = 3.5  # of the superellipse that bounds a body behind
_OVERLAP_MM = 0.4  # by which a solid goes under what is painted over it, so that nothing shines through


@dataclass(frozen=True, eq=False)
class Solid:
    """One solid.

    :param structure: what it is labeled as; ``None`` for what only an image shows.
    :param frame: of the coordinates; :param lower: and :param upper: (3,) box that holds it, in that frame.
    :param distance: ``(x, y, z)`` in the frame, arrays that broadcast, to signed distance, negative inside.
    :param layers: what an image shows: depth below the surface and the tissue from there on.
    """

    structure: Structure | None
    frame: Frame
    lower: Vector
    upper: Vector
    distance: Distance
    layers: tuple[tuple[float, str], ...]

    @property
    def corners(self) -> Vector:
        """(8, 3) RAS corners of the box."""
        corners = np.array(np.meshgrid(*zip(self.lower, self.upper, strict=True))).reshape(3, -1).T
        return self.frame.to_ras(corners)


def build_solids(chain: Chain, canal: Canal, fat: float = 0.0) -> list[Solid]:
    """Everything, in the order of painting.

    :param fat: how far fat reaches behind the canal, mm.
    """
    pieces = tubes(canal)
    bodies = chain.all_bodies
    arches = [Arch(body, canal) for body in bodies]
    solids = [_tube_solid(None, tube, canal.bony_width, canal.bony_depth, "ligament") for tube in pieces]
    solids += [part for joint in chain.joints for part in disc_solids(joint)]
    for number, body in enumerate(bodies):
        below = arches[number + 1] if number + 1 < len(chain.bodies) else None
        solids += [arch_solid(arches[number], below, _disc_height(chain, number)), *body_solids(body)]
        if number >= len(chain.bodies) - 1 and chain.tail:
            solids.append(ala_solid(body))
    solids += [part for joint in chain.joints for part in modic_solids(joint)]
    solids += [_fat_solid(tube, fat) for tube in pieces if fat > 0.0]
    solids += [_tube_solid(Structure(Kind.CANAL), tube, canal.width, canal.depth, "csf", "dura") for tube in pieces]
    solids += [part for joint in chain.joints if (part := herniation_solid(joint)) is not None]
    if canal.cord_width.any():
        cord = Structure(Kind.CORD)
        solids += [_tube_solid(cord, tube, canal.cord_width, canal.cord_depth, "cord") for tube in pieces]
    return solids


def _disc_height(chain: Chain, number: int) -> float:
    return chain.joints[min(number, len(chain.joints) - 1)].height if chain.joints else 8.0


# --- bodies and discs

def section_distance(x: Vector, y: Vector, half_width: Vector | float, half_depth: Vector | float) -> Vector:
    """Distance along the ray from the center to the outline of a body: round in front, flat at the back."""
    across, along = np.abs(x / half_width), np.abs(y / half_depth)
    power = np.where(y > 0, 2.2, BACK_POWER)
    radius = np.maximum((across**power + along**power) ** (1 / power), 1e-6)
    return np.hypot(x, y) * (1 - 1 / radius)


def body_distance(body: Body) -> Distance:
    spec = body.spec

    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        level = np.clip(2 * z / body.height, -1, 1)
        share = 1 - spec.waist * (1 - level**2) - spec.taper * (1 - level) / 2
        shift = -spec.depth / 2 * (1 - share)
        side = section_distance(x, y - shift, spec.width / 2 * share, spec.depth / 2 * share)
        top = z - body.endplate_z(1, x, y)
        bottom = body.endplate_z(-1, x, y) - z
        if spec.osteophyte > 0:
            front = np.clip(y / spec.depth * 4, 0, 1)
            side = side - spec.osteophyte * front * np.exp(-(np.maximum(top, bottom) / 2.5) ** 2)
        return np.maximum(side, np.maximum(top, bottom))
    return distance


def body_solids(body: Body) -> list[Solid]:
    """The body, and the vein that enters it from behind."""
    spec = body.spec
    half = np.array([spec.width / 2, spec.depth / 2, 0]) + spec.osteophyte + 1
    half[2] = max(spec.height_anterior, spec.height_posterior) / 2 + 1
    vein = np.array([3.5, 6.5, 1.6]) * min(1.0, spec.depth / 34)
    center = np.array([0.0, -spec.depth / 2 + vein[1] - 1.5, 0.0])

    def vein_distance(x: Vector, y: Vector, z: Vector) -> Vector:
        radius = np.sqrt((x / vein[0]) ** 2 + ((y - center[1]) / vein[1]) ** 2 + (z / vein[2]) ** 2)
        return (radius - 1) * vein[2]
    return [
        Solid(Structure(Kind.BODY, spec.level), body.frame, -half, half, body_distance(body),
              ((0.0, "cortex"), (1.1, "marrow"))),
        Solid(None, body.frame, center - vein - 1, center + vein + 1, vein_distance, ((0.0, "vein"),)),
    ]


class DiscShape:
    """Where a disc is, in the frame of its joint."""

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        upper, lower = joint.upper.spec, joint.lower.spec
        self.half_width = (upper.width * (1 - upper.taper) + lower.width) / 4
        self.half_depth = (upper.depth + lower.depth) / 4
        self.lean = joint.frame.to_frame(joint.upper.endplate(-1).origin)

    def planes(self, x: Vector, y: Vector, z: Vector) -> Vector:
        """Distance to the endplates, negative between them; a little goes under the bone."""
        upper, lower = self.joint.upper, self.joint.lower
        points = self.joint.frame.to_ras(np.stack(np.broadcast_arrays(x, y, z), axis=-1))
        a, b = upper.frame.to_frame(points), lower.frame.to_frame(points)
        return np.maximum(a[..., 2] - upper.endplate_z(-1, a[..., 0], a[..., 1]),
                          lower.endplate_z(1, b[..., 0], b[..., 1]) - b[..., 2]) - _OVERLAP_MM

    def shifted(self, x: Vector, y: Vector, z: Vector) -> tuple[Vector, Vector]:
        """Offsets to the right and to the front of the line between the endplates' centers."""
        share = np.clip(z / self.lean[2], -1, 1)
        return x - share * self.lean[0], y - share * self.lean[1]

    def behind(self, x: Vector, y: Vector, z: Vector) -> tuple[Vector, Vector]:
        """Offset to the right, and how far behind the line of the rims."""
        u, v = self.shifted(x, y, z)
        rim = self.half_depth * np.clip(1 - np.abs(u / self.half_width)**BACK_POWER, 0, 1)**(1 / BACK_POWER)
        return u, -v - rim

    def disc(self, x: Vector, y: Vector, z: Vector) -> Vector:
        u, v = self.shifted(x, y, z)
        spec = self.joint.spec
        back = np.clip(-v / self.half_depth, 0, 1) ** 2 * np.clip(1 - (u / self.half_width) ** 2, 0, 1)
        side = section_distance(u, v, self.half_width, self.half_depth) - spec.bulge * back - spec.bulge_around
        return np.maximum(side, self.planes(x, y, z))

    def nucleus(self, x: Vector, y: Vector, z: Vector) -> Vector:
        u, v = self.shifted(x, y, z)
        v = v + 0.08 * self.half_depth
        radius = np.sqrt((u / (0.72 * self.half_width)) ** 2 + (v / (0.68 * self.half_depth)) ** 2)
        rim = 0.35 * self.joint.height * np.clip(radius, 0, 1) ** 3
        return np.maximum((radius - 1) * 0.68 * self.half_depth, self.planes(x, y, z) + _OVERLAP_MM + 0.8 + rim)

    def herniation(self, x: Vector, y: Vector, z: Vector) -> Vector:
        """Of what lies behind the line of the rims; clear of bone."""
        spec = self.joint.spec.herniation
        assert spec is not None
        u, e = self.behind(x, y, z)
        u = u - spec.offset
        head = spec.head or spec.base
        if head > spec.base:
            neck = np.maximum(np.abs(u) - spec.base / 2, e - spec.depth / 2)
            side = np.minimum(neck, ellipse_distance(u, e - spec.depth / 2, head / 2, spec.depth / 2))
        else:
            side = ellipse_distance(u, np.maximum(e, 0), spec.base / 2, spec.depth)
        if spec.length is None:
            vertical = self.planes(x, y, z) + _OVERLAP_MM
        else:
            vertical = np.abs(z + spec.drop) - spec.length / 2
        points = self.joint.frame.to_ras(np.stack(np.broadcast_arrays(x, y, z), axis=-1))
        bone = [body_distance(body)(*np.moveaxis(body.frame.to_frame(points), -1, 0))
                for body in (self.joint.upper, self.joint.lower)]
        return np.maximum.reduce(np.broadcast_arrays(side, vertical, -e, -bone[0], -bone[1]))


MODIC_MM = 9.0  # how far a change in the marrow reaches from the endplate


def modic_solids(joint: Joint) -> list[Solid]:
    """Changed marrow next to the endplates, over the middle two thirds of their width and their back two thirds."""
    out = []
    for body, sign in ((joint.upper, -1), (joint.lower, 1)) if joint.spec.modic else ():
        spec, whole = body.spec, body_distance(body)

        def changed(x: Vector, y: Vector, z: Vector, body: Body = body, sign: int = sign,
                    whole: Distance = whole) -> Vector:
            away = sign * (body.endplate_z(sign, x, y) - z)
            side = np.maximum(np.abs(x) - body.spec.width / 3, y - body.spec.depth / 6)
            return np.maximum.reduce(np.broadcast_arrays(whole(x, y, z) + 1.1, away - MODIC_MM, side))
        half = np.array([spec.width / 2, spec.depth / 2, max(spec.height_anterior, spec.height_posterior) / 2]) + 1
        out.append(Solid(None, body.frame, -half, half, changed, ((0.0, f"modic{joint.spec.modic}"),)))
    return out


def disc_solids(joint: Joint) -> list[Solid]:
    """The disc between the endplates, and its nucleus."""
    shape = DiscShape(joint)
    high = joint.height / 2 + shape.half_depth * 0.4
    reach = np.maximum(joint.spec.bulge, joint.spec.bulge_around)
    half = np.array([shape.half_width + abs(shape.lean[0]) + reach, shape.half_depth + abs(shape.lean[1]) + reach,
                     high]) + 1
    structure = Structure(Kind.DISC, joint.upper.spec.level, below=joint.lower.spec.level)
    tissue = f"nucleus{joint.spec.degeneration}"
    return [Solid(structure, joint.frame, -half, half, shape.disc, ((0.0, "annulus"),)),
            Solid(None, joint.frame, -half, half, shape.nucleus, ((0.0, tissue),))]


def herniation_solid(joint: Joint) -> Solid | None:
    """What has left the disc's space."""
    spec = joint.spec.herniation
    if spec is None:
        return None
    shape = DiscShape(joint)
    aside = max(spec.head or 0.0, spec.base) / 2 + abs(spec.offset) + abs(shape.lean[0]) + 1
    back = shape.half_depth + abs(shape.lean[1]) + spec.depth + 1
    high = (joint.height + 8 if spec.length is None else spec.length) / 2 + abs(spec.drop) + 1
    structure = Structure(Kind.DISC, joint.upper.spec.level, below=joint.lower.spec.level)
    return Solid(structure, joint.frame, np.array([-aside, -back, -high]), np.array([aside, 0.0, high]),
                 shape.herniation, ((0.0, "annulus"),))


# --- arches

def capsule_distance(x: Vector, y: Vector, z: Vector, start: Vector, end: Vector, radius: float) -> Vector:
    """Distance to a rod with round ends."""
    rod = np.asarray(end, float) - start
    share = ((x - start[0]) * rod[0] + (y - start[1]) * rod[1] + (z - start[2]) * rod[2]) / (rod @ rod)
    share = np.clip(share, 0, 1)
    return np.sqrt((x - start[0] - share * rod[0]) ** 2 + (y - start[1] - share * rod[1]) ** 2
                   + (z - start[2] - share * rod[2]) ** 2) - radius


class Arch:
    """Where the posterior parts of one vertebra are, in its frame; they follow the bony canal."""

    def __init__(self, body: Body, canal: Canal) -> None:
        spec = body.spec
        self.body = body
        points = body.frame.to_frame(canal.points)
        near = np.abs(points[:, 2]) < 2.5 * body.height
        order = np.argsort(points[near, 2])
        self._z, self._x, self._y = (points[near, axis][order] for axis in (2, 0, 1))
        self._a, self._b = canal.bony_width[near][order] / 2, canal.bony_depth[near][order] / 2
        self.pedicle_z = body.pedicle_z
        self.a, self.b = spec.canal_width / 2, spec.canal_depth / 2
        self.y = -spec.depth / 2 - GAP_MM - self.b
        self.thickness = 3.0 + 0.08 * spec.width
        self.lamina = (-0.55 * body.height, self.pedicle_z + 0.12 * body.height)
        self.process_radius = 0.11 * spec.depth + 0.8

    def canal_distance(self, x: Vector, y: Vector, z: Vector) -> tuple[Vector, Vector]:
        """Distance to the bony canal, and how far behind its middle: 0 in front of it, 1 at its back."""
        u, v = x - np.interp(z, self._z, self._x), y - np.interp(z, self._z, self._y)
        b = np.interp(z, self._z, self._b)
        return ellipse_distance(u, v, np.interp(z, self._z, self._a), b), np.clip(-v / b, 0, 1)

    def ring(self, near: Vector, back: Vector, z: Vector) -> Vector:
        """Lamina and the pedicles' inner walls: a sleeve about the canal, lower at the back."""
        low, high = self.lamina
        half_pedicle = self.body.spec.pedicle_height / 2
        middle = self.pedicle_z + back * ((low + high) / 2 - self.pedicle_z)
        half = half_pedicle + back * ((high - low) / 2 - half_pedicle)
        return np.maximum(near - self.thickness, np.abs(z - middle) - half)

    def pedicles(self, x: Vector, y: Vector, z: Vector) -> Vector:
        spec = self.body.spec
        side = ellipse_distance(np.abs(x) - self.a - spec.pedicle_width / 2, z - self.pedicle_z,
                                spec.pedicle_width / 2, spec.pedicle_height / 2)
        # Into the body, but not past it where the canal is as wide as the body (the neck).
        front = float(np.clip(spec.width / 2 - self.a, -2, 4)) - spec.depth / 2
        return np.maximum(side, np.maximum(y - front, self.y - 0.7 * self.b - y))

    def body_side(self, x: Vector, y: Vector, z: Vector) -> Vector:
        """Positive where the arch has no place: before the canal's front, at the midline and beyond the endplates."""
        beyond = np.maximum(z - self.body.endplate_z(1, x, y), self.body.endplate_z(-1, x, y) - z)
        return np.minimum(y - self.y - self.b, np.maximum(beyond, 0.5 * self.a - np.abs(x)))

    def spinous(self, x: Vector, y: Vector, z: Vector) -> Vector:
        spec = self.body.spec
        start = self.y - self.b - 1
        fall = spec.spinous_slope * (start - y)
        half_height = 0.28 * self.body.height
        middle = (start + self.y - self.b - spec.spinous_length) / 2
        box = np.maximum(np.abs(y - middle) - (spec.spinous_length - 1) / 2 + 2,
                         np.maximum(np.abs(z + 0.2 * self.body.height + fall) - half_height + 2,
                                    np.abs(x) - 0.08 * spec.width + 1.5))
        return box - 2

    def transverse(self, x: Vector, y: Vector, z: Vector) -> Vector:
        spec = self.body.spec
        start = np.array([self.a + 0.5 * spec.pedicle_width, self.y + 0.2 * self.b, self.pedicle_z])
        back = 0.12 * spec.process_reach
        end = np.array([spec.process_reach - self.process_radius, start[1] - back, self.pedicle_z + 1])
        return capsule_distance(np.abs(x), y, z, start, end, self.process_radius * 0.85)

    def superior_articular(self, x: Vector, y: Vector, z: Vector) -> Vector:
        """Two rods, flattened toward the front, that cover the pedicles from behind and the canal's corners."""
        spec, radius = self.body.spec, self.process_radius
        side, half = self.a + 0.25 * spec.pedicle_width + 0.4 * radius, 0.25 * spec.pedicle_width + 0.65 * radius
        start = np.array([0.0, self.y - 0.6 * self.b, self.pedicle_z])
        end = np.array([0.5, self.y - 0.8 * self.b, 0.78 * self.body.height])
        forward = np.where(x > 0, spec.facet_right, spec.facet_left)
        return capsule_distance((np.abs(x) - side) * radius / half, y - forward, z, start, end, radius)

    def inferior_articular(self, x: Vector, y: Vector, z: Vector, disc_height: float) -> Vector:
        start = np.array([self.a + 1.5, self.y - self.b, self.lamina[0] + 0.35 * self.body.height])
        end = start + np.array([-1, -2.5, -0.30 * self.body.height - 0.5 * disc_height])
        return capsule_distance(np.abs(x), y, z, start, end, self.process_radius)


def _union(distances: list[Vector]) -> Vector:
    return np.minimum.reduce(np.broadcast_arrays(*distances))


def arch_solid(arch: Arch, below: Arch | None, disc_height: float) -> Solid:
    """The whole arch with its processes, clear of the next vertebra's."""
    spec, frame = arch.body.spec, arch.body.frame
    to_below = None if below is None else np.linalg.inv(below.body.frame.matrix) @ frame.matrix

    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        near, back = arch.canal_distance(x, y, z)
        ring = np.maximum(arch.ring(near, back, z), arch.body_side(x, y, z))
        parts = [ring, arch.spinous(x, y, z), arch.superior_articular(x, y, z),
                 np.maximum(arch.pedicles(x, y, z), arch.body_side(x, y, z)), arch.transverse(x, y, z)]
        if below is None or to_below is None:
            return np.maximum(_union(parts), -near - _OVERLAP_MM)
        parts.append(arch.inferior_articular(x, y, z, disc_height))
        x, y, z = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in to_below[:3])
        lower = [below.ring(*below.canal_distance(x, y, z), z), below.spinous(x, y, z),
                 below.superior_articular(x, y, z)]
        return np.maximum.reduce([_union(parts), -near - _OVERLAP_MM, _FACET_GAP_MM - _union(lower)])

    side = max(spec.process_reach, spec.width / 2) + 2
    tip = arch.y - arch.b - spec.spinous_length - 3
    fall = spec.spinous_slope * spec.spinous_length + 0.5 * arch.body.height
    lower = np.array([-side, tip, -max(fall, 0.6 * arch.body.height + disc_height + arch.process_radius) - 2])
    upper = np.array([side, -spec.depth / 2 + 5, arch.body.height * 0.8 + arch.process_radius + 2])
    return Solid(Structure(Kind.ARCH, spec.level), frame, lower, upper, distance, ((0.0, "cortex"), (1.2, "marrow")))


def ala_solid(body: Body) -> Solid:
    """The sacrum's wings beside a body."""
    spec = body.spec
    radii = np.array([0.42 * spec.width, 0.42 * spec.depth, 0.55 * body.height])
    center = np.array([0.62 * spec.width, -0.12 * spec.depth, -0.05 * body.height])

    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        radius = np.sqrt(((np.abs(x) - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2
                         + ((z - center[2]) / radii[2]) ** 2)
        return (radius - 1) * radii.min()
    half = np.array([center[0] + radii[0], 0, 0]) + 1
    lower, upper = center - radii - 1, center + radii + 1
    lower[0], upper[0] = -half[0], half[0]
    return Solid(Structure(Kind.ARCH, spec.level), body.frame, lower, upper, distance,
                 ((0.0, "cortex"), (1.1, "marrow")))


# --- canal and cord

def _tube_solid(structure: Structure | None, tube: Tube, width: Vector, depth: Vector, tissue: str,
                lining: str | None = None) -> Solid:
    window = (tube.canal.s >= tube.start - 2) & (tube.canal.s <= tube.end + 2)
    points = tube.frame.to_frame(tube.canal.points[window])
    reach = np.array([1, 1, 0]) * (max(width[window].max(), depth[window].max()) / 2 - 1) + 2
    layers = ((0.0, tissue),) if lining is None else ((0.0, lining), (0.5, tissue))
    return Solid(structure, tube.frame, points.min(axis=0) - reach, points.max(axis=0) + reach,
                 tube.distance_to(width, depth), layers)


def _fat_solid(tube: Tube, reach: float) -> Solid:
    """A wedge from the middle of the canal to behind it, as wide as the canal in front."""
    canal = tube.canal

    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        s, u, v = tube.coordinates(x, y, z)
        width, back = canal.at(canal.width, s) / 2, canal.at(canal.depth, s) / 2 + reach
        inside = np.isfinite(u)
        side = np.abs(np.where(inside, u, 0)) - width * (1 + v / back)
        return np.where(inside, np.maximum(side / np.hypot(1, width / back), v), np.inf)
    part = _tube_solid(None, tube, canal.width, canal.depth + 2 * reach, "fat")
    return Solid(None, part.frame, part.lower, part.upper, distance, part.layers)
