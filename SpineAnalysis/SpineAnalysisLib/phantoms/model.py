"""The chain of bodies: where every vertebra and every disc of a phantom is."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..anatomy import Level, Segment
from ..errors import InputError
from ..geometry.frames import Frame, Plane, unit
from ..volume import transform_points
from .spec import JointSpec, SpineSpec, VertebraSpec

Vector = NDArray[np.floating]

_PEDICLE_HEIGHT = 0.2  # of the body's height, above its middle


@dataclass(frozen=True, eq=False)
class Body:
    """A vertebra in place.

    In its frame the endplates' rims lie on the planes ``z = +-(height / 2 + slope y)``, and its back wall at
    ``y = -depth / 2``.
    """

    spec: VertebraSpec
    frame: Frame

    @property
    def height(self) -> float:
        """At the center, without the hollows of the endplates, mm."""
        return (self.spec.height_anterior + self.spec.height_posterior) / 2

    @property
    def slope(self) -> float:
        return (self.spec.height_anterior - self.spec.height_posterior) / (2 * self.spec.depth)

    def point(self, x: float, y: float, z: float) -> Vector:
        """RAS of a point of the frame."""
        return self.frame.to_ras(np.array([x, y, z]))

    @property
    def pedicle_z(self) -> float:
        """Mid-pedicle height in the frame, mm."""
        return _PEDICLE_HEIGHT * self.height

    @property
    def pedicle_plane(self) -> Plane:
        return Plane(self.point(0, 0, self.pedicle_z), self.frame.superior)

    def endplate(self, sign: int) -> Frame:
        """Frame of the plane of an endplate's rim, origin at its center; ``sign`` 1: superior, -1: inferior."""
        tilt = np.array([0.0, -sign * self.slope, 1.0])
        return Frame.from_axes(self.point(0, 0, sign * self.height / 2), tilt @ self.frame.axes,
                               self.frame.anterior)

    def rim(self, sign: int, front: bool) -> Vector:
        """Midline point of an endplate's rim: ``sign`` 1: superior, -1: inferior."""
        height = self.spec.height_anterior if front else self.spec.height_posterior
        depth = self.spec.depth if front else -self.spec.depth
        return self.point(0, depth / 2, sign * height / 2)

    def endplate_z(self, sign: int, x: Vector, y: Vector) -> Vector:
        """Height of an endplate's surface, hollow included, in the frame."""
        radius = (2 * x / self.spec.width) ** 2 + (2 * y / self.spec.depth) ** 2
        hollow = self.spec.concavity * np.clip(1 - radius, 0, None)
        return sign * (self.height / 2 + self.slope * y - hollow)

    @property
    def ap_mm(self) -> float:
        """Front-to-back diameter at mid-height."""
        return self.spec.depth * (1 - self.spec.waist - self.spec.taper / 2)


@dataclass(frozen=True, eq=False)
class Joint:
    """A disc in place.

    :param frame: of the disc plane, the bisector of the facing endplates; origin midway between their centers.
    """

    spec: JointSpec
    upper: Body
    lower: Body
    frame: Frame

    @property
    def segment(self) -> Segment:
        return Segment(self.upper.spec.level, self.lower.spec.level)

    def gap(self, point: Vector) -> float:
        """Distance between the planes of the facing endplates' rims, along the disc plane's normal, mm."""
        top, bottom = self.upper.endplate(-1), self.lower.endplate(1)
        up = self.frame.superior
        return float(np.dot(top.origin - point, top.superior) / np.dot(up, top.superior)
                     - np.dot(bottom.origin - point, bottom.superior) / np.dot(up, bottom.superior))

    @cached_property
    def height(self) -> float:
        """Between the facing endplates at the center, hollows included, mm."""
        return self.gap(self.frame.origin) + self.upper.spec.concavity + self.lower.spec.concavity


@dataclass(frozen=True, eq=False)
class Chain:
    """:param tail: the sacrum below S1, which has no levels of its own."""

    bodies: tuple[Body, ...]
    joints: tuple[Joint, ...]
    tail: tuple[Body, ...]

    @property
    def all_bodies(self) -> tuple[Body, ...]:
        return self.bodies + self.tail


# The sacrum below S1 as two smaller bodies: share of S1's size, and what lies above each.
_SACRUM = ((0.74, JointSpec(1.6, -14.0)), (0.55, JointSpec(1.4, -16.0)))


def build_chain(spec: SpineSpec) -> Chain:
    """Put the bodies on top of one another and place them by the spine's pose."""
    vertebrae, joints = list(spec.vertebrae), list(spec.joints)
    if vertebrae[-1].level is Level.S1:
        for share, joint in _SACRUM:
            vertebrae.append(_scaled(spec.vertebrae[-1], share))
            joints.append(joint)
    bodies = [Body(vertebrae[0], Frame.from_axes(np.zeros(3), np.array([0.0, 0, 1]), np.array([0.0, 1, 0])))]
    for vertebra, joint in zip(vertebrae[1:], joints, strict=True):
        bodies.append(_below(bodies[-1], vertebra, joint))
    count = len(spec.vertebrae)
    axes = np.sum([body.frame.axes for body in bodies[:count]], axis=0)
    upright = Frame.from_axes(bodies[count // 2].frame.origin, axes[2], axes[1])
    placement = spec.pose @ np.linalg.inv(upright.matrix)
    placed = [replace(body, frame=_moved(body.frame, placement)) for body in bodies]
    discs = tuple(_joint(*trio) for trio in zip(spec.joints, placed, placed[1:count], strict=False))
    return Chain(tuple(placed[:count]), discs, tuple(placed[count:]))


def _below(upper: Body, vertebra: VertebraSpec, joint: JointSpec) -> Body:
    """The next body, hung from the upper one's posterior inferior corner, so that the slip is exactly as asked."""
    above = upper.endplate(-1)
    turn = Rotation.from_euler("XYZ", [-joint.lordosis, -joint.coronal, -joint.rotation], degrees=True).as_matrix()
    right, front, up = (above.axes.T @ turn).T
    back_height = joint.disc_height - vertebra.depth / 2 * np.sin(np.radians(joint.lordosis))
    if back_height < 0.5:
        raise InputError(f"The disc above {vertebra.level} has no height left at its back: give it less lordosis.")
    corner = upper.rim(-1, front=False) - back_height * up - joint.slip * front - joint.lateral_slip * right
    tilt = Rotation.from_euler("X", -np.arctan(Body(vertebra, above).slope)).as_matrix()
    axes = (np.stack([right, front, up], axis=1) @ tilt).T
    origin = corner - np.array([0, -vertebra.depth / 2, vertebra.height_posterior / 2]) @ axes
    return Body(vertebra, Frame(origin, *axes))


def _joint(spec: JointSpec, upper: Body, lower: Body) -> Joint:
    top, bottom = upper.endplate(-1), lower.endplate(1)
    frame = Frame.from_axes((top.origin + bottom.origin) / 2, unit(top.superior + bottom.superior),
                            top.anterior + bottom.anterior)
    return Joint(spec, upper, lower, frame)


def _scaled(vertebra: VertebraSpec, share: float) -> VertebraSpec:
    names = ("width", "depth", "height_anterior", "height_posterior", "canal_width", "canal_depth", "pedicle_width",
             "pedicle_height", "process_reach", "spinous_length")
    return replace(vertebra, **{name: share * getattr(vertebra, name) for name in names})


def _moved(frame: Frame, matrix: Vector) -> Frame:
    return Frame(transform_points(matrix, frame.origin), *(frame.axes @ matrix[:3, :3].T))
