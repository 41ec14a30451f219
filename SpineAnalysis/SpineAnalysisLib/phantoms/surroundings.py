"""What an image shows around the spine and inside the canal: enough to look like a patient at a glance.

Nothing here is labeled and nothing here has an exact answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.frames import Frame
from .canal import Canal, Tube, ellipse_distance, tubes
from .model import Chain
from .solids import Arch, Solid, capsule_distance

Vector = NDArray[np.floating]

_ROOTLETS = 26


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Soft tissue swept along the canal.

    :param frame: upright frame of the phantom; in it the canal's middle is at ``x(z), y(z)``.
    :param size: of the bodies relative to a lumbar one.
    """

    frame: Frame
    z: Vector
    x: Vector
    y: Vector
    skin_y: Vector
    size: Vector
    front: Vector

    @staticmethod
    def of(chain: Chain, canal: Canal, frame: Frame) -> "Surroundings":
        points = frame.to_frame(canal.points)[::20]
        points = points[np.argsort(points[:, 2])]
        bodies = chain.all_bodies
        centers = np.array([frame.to_frame(b.frame.origin)[2] for b in bodies])
        order = np.argsort(centers)

        def along(values: list[float]) -> Vector:
            return np.interp(points[:, 2], centers[order], np.array(values)[order])
        spec = [b.spec for b in bodies]
        tips = along([b.canal_depth / 2 + b.spinous_length for b in spec])
        skin = np.polynomial.Polynomial.fit(points[:, 2], points[:, 1] - tips - 16, 2)(points[:, 2])
        return Surroundings(frame, points[:, 2], points[:, 0], points[:, 1], skin,
                            along([max(b.width, 24.0) / 45 for b in spec]),
                            along([b.canal_depth / 2 + b.depth for b in spec]))

    def layers(self, x: Vector, y: Vector, z: Vector) -> list[tuple[str, Vector]]:
        """Tissues with their signed distances at points of the frame, in the order of painting."""
        def at(table: Vector) -> Vector:
            return np.interp(z, self.z, table).astype(np.float32)
        x, y = x.astype(np.float32), y.astype(np.float32)
        u, v, size = x - at(self.x), y - at(self.y), at(self.size)
        skin = at(self.skin_y) + x**2 / 900 - y
        front = v - at(self.front)
        side = np.abs(u)
        spinal = np.maximum(_blob(side - 27 * size, v + 36 * size, 25.5 * size, 24 * size, 4), skin + 6)
        psoas = _blob(side - 41 * size, v - 22 * size, 15 * size, 19 * size, 2)
        bowel = _blob(u, front - 80, 120, 58, 4)
        aorta = _blob(u + 9 * size, front - 13 * size, 9.5 * size, 9.5 * size, 2)
        cava = _blob(u - 17 * size, front - 11 * size, 11 * size, 8 * size, 2)
        ligament = np.maximum(np.abs(front - 0.8) - 1.0, side - 14 * size)
        between = np.maximum(side - 2.5, np.maximum(v, skin + 15))
        return [("skin", skin), ("fat", skin + 2.0), ("bowel", bowel), ("psoas", psoas), ("muscle", spinal),
                ("interspinous", between), ("ligament", ligament), ("vessel", aorta), ("vessel", cava)]


def _blob(u: Vector, v: Vector, a: Vector | float, b: Vector | float, power: int) -> Vector:
    """About the distance to an ellipse (power 2) or a rounder box (4)."""
    first, second = (u / a) ** 2, (v / b) ** 2
    if power == 4:
        first, second = first * first, second * second
    return ((first + second) ** (1 / power) - 1) * np.minimum(a, b)


def inner_solids(chain: Chain, canal: Canal) -> tuple[list[Solid], list[Solid]]:
    """What an image shows close to the canal: painted before, and after the labeled solids."""
    section = _around(canal, canal.bony_width + 9, canal.bony_depth + 9)
    fat = [_tube(tube, float(canal.bony_width.max()) + 12, section, "fat") for tube in tubes(canal)]
    before = fat + [solid for body in chain.bodies for solid in _roots(Arch(body, canal))]
    return before, [_tube(tube, float(canal.width.max()), _rootlets(canal), "rootlet") for tube in tubes(canal)]


_Section = Callable[[Vector, Vector, Vector], Vector]


def _tube(tube: Tube, reach: float, section: _Section, tissue: str) -> Solid:
    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        s, u, v = tube.coordinates(x, y, z)
        inside = np.isfinite(u)
        return np.where(inside, section(s, np.where(inside, u, 0), v), np.inf)
    half = np.array([reach, reach, 0]) / 2 + [3, 3, (tube.end - tube.start) / 2 + 5]
    return Solid(None, tube.frame, -half, half, distance, ((0.0, tissue),))


def _around(canal: Canal, width: Vector, depth: Vector) -> _Section:
    return lambda s, u, v: ellipse_distance(u, v, canal.at(width, s) / 2, canal.at(depth, s) / 2)


def _rootlets(canal: Canal) -> _Section:
    """The cauda equina: strands that lie at the back of the sac and leave it one after another."""
    random = np.random.default_rng(7)
    spread = np.linspace(-1, 1, _ROOTLETS)
    across = 0.82 * np.sign(spread) * np.abs(spread) ** 1.4
    back = -0.84 * np.sqrt(1 - across**2) * random.uniform(0.25, 1.0, _ROOTLETS)
    without = np.flatnonzero(canal.cord_width < 5.0)
    start = canal.s[without[0]] if without.size else np.inf
    leave = start + (canal.s[-1] - start) * (0.35 + 0.75 * (1 - np.abs(across))) if np.isfinite(start) else across

    def section(s: Vector, u: Vector, v: Vector) -> Vector:
        a, b = canal.at(canal.width, s) / 2, canal.at(canal.depth, s) / 2
        nearest = np.full(np.shape(u), np.inf)
        for x, y, end, phase in zip(across, back, leave, random_phases, strict=True):
            wave = 0.35 * np.sin(s / 9 + phase)
            strand = np.hypot(u - x * a, v - (y + 0.06 * wave) * b) - 0.75
            nearest = np.minimum(nearest, np.where((s > start) & (s < end), strand, np.inf))
        return nearest
    random_phases = random.uniform(0, 2 * np.pi, _ROOTLETS)
    return section


def _roots(arch: Arch) -> list[Solid]:
    """The nerve roots that leave below the pedicles."""
    spec = arch.body.spec
    thick = 0.055 * spec.width
    start = np.array([arch.a * 0.8, arch.y, arch.pedicle_z - spec.pedicle_height / 2 - 2])
    end = start + np.array([0.45 * spec.width, 2.0, -0.4 * spec.width])

    def distance(x: Vector, y: Vector, z: Vector) -> Vector:
        return capsule_distance(np.abs(x), y, z, start, end, thick)
    upper = np.maximum(start, end) + thick + 1
    lower = np.minimum(start, end) - thick - 1
    lower[0] = -upper[0]
    return [Solid(None, arch.body.frame, lower, upper, distance, ((0.0, "nerve"),))]
