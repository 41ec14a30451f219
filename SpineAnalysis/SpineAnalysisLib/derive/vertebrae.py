"""Frames and endplates of the vertebrae, from their voxels and the canal's centerline."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..anatomy import SIDES, Kind, Level, Side
from ..geometry.curves import Curve
from ..geometry.endplates import Surfaces, bisector, body_surfaces, facing_surface
from ..geometry.faces import Faces
from ..geometry.frames import Frame, Plane, angle_deg, reject, unit
from ..geometry.planes import fit_plane
from ..volume import LabelMap, Volume, bounding_box
from .bodies import largest_component

FloatArray = NDArray[np.floating]

SACRAL_BODY_MM, SACRAL_PEDICLE_MM = 13.0, 9.0
"""The middles of S1's body and of its pedicles lie about this far below its endplate."""
SACRAL_UPPER_MM, SACRAL_REACH_MM = 7.0, (20.0, 22.0, 10.0)
"""What of S1's body is looked at, about a point so far below its endplate: not the wings, the arch and S2."""
PEDICLE_SHARE = 0.15
"""Without posterior elements, mid-pedicle is taken this share of the body's height above its center."""
MIDLINE_MM = 5.0
"""A body's back wall is looked for this near to the middle."""
TIE_MM = 1e-3
"""Voxels this near to a limit are within it, whatever rounding does."""
PEDICLE_ASIDE_MM, WIDEST_MM, ABREAST_MM = (5.0, 24.0), 32.0, 3.0
"""How far aside of the canal's middle a pedicle is looked for, and its own middle; and how near to it bone tells the
canal's width."""
WALL_SHARE = 0.75
"""The canal's wall, which is higher than the pedicle, is left out of its middle: so many voxels."""
PEDICLE_LENGTH_MM = 8.0
"""How far behind the body's back wall a pedicle is looked for."""
LEAST_BRIDGE_MM3 = 60.0
"""Less bone beside the canal, or behind the body at all, is no pedicle."""
THINNEST = 4
"""The power with which bone counts less where a pedicle is thicker."""
Pedicles = Mapping[Side, FloatArray]
BODY_KINDS = frozenset({Kind.BODY, Kind.ENDPLATE})


@dataclass(frozen=True, eq=False)
class Bone:
    """All voxels of one vertebra.

    :param volume: boolean, cropped.
    :param body: boolean, on the same grid; ``None`` until it is known.
    """

    level: Level
    volume: Volume
    body: Volume | None = None

    def points(self) -> FloatArray:
        """(N, 3) RAS."""
        return self.volume.to_ras(np.argwhere(self.volume.array))


@dataclass(frozen=True, eq=False)
class Shape:
    """A vertebra's geometry.

    :param pedicle_RAS: (3,) at mid-pedicle height.
    :param pedicles: (3,) RAS middle of each pedicle that is labeled.
    """

    level: Level
    frame: Frame
    superior: Plane | None
    inferior: Plane | None
    pedicle_RAS: FloatArray
    surfaces: Surfaces | None = None
    flags: tuple[str, ...] = ()
    faces: Faces | None = None
    pedicles: Pedicles = field(default_factory=dict)

    @property
    def volume(self) -> float:
        """mm3 of the labeled body (of the sacrum: of its upper end)."""
        return 0.0 if self.faces is None else float(self.faces.inside.sum() * abs(np.linalg.det(self.faces.steps)))


def bones_of(labels: LabelMap, windows: Mapping[int, tuple[slice, slice, slice]]) -> list[Bone]:
    """Every labeled vertebra that may have a body, from head to foot.

    :param windows: label value -> where it is (as ``scipy.ndimage.find_objects`` gives).
    """
    found = []
    for level in labels.levels:
        values = [v for v, s in labels.structures.items() if s.kind.is_bone and s.level == level and v in windows]
        if not any(labels.structures[v].kind in (Kind.VERTEBRA, Kind.BODY) for v in values):
            continue  # an arch alone has no body to measure
        low = np.min([[w.start for w in windows[v]] for v in values], axis=0) - 3
        high = np.max([[w.stop for w in windows[v]] for v in values], axis=0) + 3
        window = labels.crop(low, high)
        volume = Volume(np.isin(window.array, values), window.ijk_to_ras)
        bodies = [v for v in values if labels.structures[v].kind in BODY_KINDS]
        only_endplates = all(labels.structures[v].kind is Kind.ENDPLATE for v in bodies)
        # The largest part: some programs name the endplate beyond the disc after the vertebra above the disc.
        body = None if only_endplates else volume.with_array(largest_component(np.isin(window.array, bodies)))
        found.append(Bone(level, volume, body))
    return found


def split_body(bone: Bone, centerline: Curve, front: FloatArray, anterior: FloatArray) -> Bone:
    """The bone with its body: what lies in front of the canal.

    :param front: (N,) how far the canal reaches forward of each of the centerline's points, mm.
    :param anterior: (3,) the direction from the canal to the body.
    """
    if bone.body is not None:
        return bone
    index = np.argwhere(bone.volume.array)
    points = bone.volume.to_ras(index)
    s = centerline.project(points)
    forward = unit(reject(anterior, centerline.tangent(float(np.median(s)))))
    ahead = (points - centerline.position(s)) @ forward > np.interp(s, centerline.arc_length, front)
    mask = np.zeros(bone.volume.shape, bool)
    mask[tuple(index[ahead].T)] = True
    return replace(bone, body=bone.volume.with_array(largest_component(mask)))


def body_shape(bone: Bone, centerline: Curve) -> Shape | None:
    """Frame and endplates of a vertebra with a body of two endplates."""
    box = bounding_box(bone.body.array, 3) if bone.body is not None else None
    if bone.body is None or box is None:
        return None
    body = bone.body.crop(*box)
    points = body.to_ras(np.argwhere(body.array))
    center = points.mean(axis=0)
    s = float(centerline.project(center))
    up = -centerline.tangent(s)
    surfaces, superior, inferior = None, None, None
    for _ in range(3):
        frame = Frame.from_axes(center, up, center - centerline.position(s))
        surfaces = body_surfaces(body, frame)
        if surfaces is None:
            break
        superior, inferior = surfaces.superior, surfaces.inferior
        up = bisector(superior, inferior, up)
        crossing = centerline.intersections(Plane(center, up))
        s = float(crossing[np.abs(crossing - s).argmin()]) if len(crossing) else s
    untold = bone.volume.crop(*box).array & ~body.array  # where the body is split from its arch is but an estimate
    faces = Faces.of(body, Frame.from_axes(center, up, center - centerline.position(s)), untold=untold)
    superior, inferior = faces.refined(superior, 1), faces.refined(inferior, -1)
    center = center + faces.aside * faces.frame.right  # parts of pedicles count as body more on one side
    frame = Frame.from_axes(center, bisector(superior, inferior, up), center - centerline.position(s))
    missing = [name for name, plane in (("superior", superior), ("inferior", inferior)) if plane is None]
    flags = tuple(f"{name}_endplate_not_in_view" for name in missing)
    pedicles = _pedicles(bone, frame, centerline.position(s), points)
    height, pedicle_flags = _pedicle_height(pedicles, frame, points)
    return Shape(bone.level, frame, superior, inferior, height, surfaces, flags + pedicle_flags, faces, pedicles)


def _pedicles(bone: Bone, frame: Frame, canal_RAS: FloatArray, body_points: FloatArray) -> Pedicles:
    """The middles of the bridges of bone beside the canal, where there are any."""
    if not _has_arch(bone):  # the corners of a body's concave back wall are no pedicles
        return {}
    place = frame.to_frame(bone.points())
    canal = frame.to_frame(canal_RAS)
    body = frame.to_frame(body_points)
    aside = np.abs(body[:, 0])  # far from the middle, pedicles may have been taken for body
    back = float(np.quantile(body[aside <= max(MIDLINE_MM, aside.min()) + TIE_MM, 1], 0.02))
    window = (max(canal[1], back - PEDICLE_LENGTH_MM), back)
    width, step, _ = np.linalg.norm(frame.axes @ bone.volume.ijk_to_ras[:3, :3], axis=1)
    found: dict[Side, FloatArray] = {}
    for side, sign in SIDES:
        lateral = sign * (place[:, 0] - canal[0])
        abreast = lateral[(np.abs(place[:, 1] - canal[1]) < ABREAST_MM) & (lateral > PEDICLE_ASIDE_MM[0])]
        inner = float(np.quantile(abreast, 0.02)) if len(abreast) else PEDICLE_ASIDE_MM[0]
        inner -= width / 4.0  # the first voxels count, whatever rounding does
        beside = place[(lateral > inner) & (lateral < PEDICLE_ASIDE_MM[1])]
        bridge = (beside[:, 1] > window[0]) & (beside[:, 1] < window[1])
        if bridge.sum() * bone.volume.voxel_volume > LEAST_BRIDGE_MM3:
            middle = _isthmus(beside, window, step)
            own = (lateral > inner + WALL_SHARE * width) & (lateral < WIDEST_MM)  # without the canal's wall
            middle[0] = _isthmus(place[own], window, step)[0]
            found[side] = frame.to_ras(middle)
    return found


def _pedicle_height(pedicles: Pedicles, frame: Frame, body_points: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """A point of the body's axis at the height of the pedicles; without them, where they usually are."""
    if pedicles:
        heights = [frame.to_frame(point)[2] for point in pedicles.values()]
        return frame.to_ras(np.array([0.0, 0.0, np.mean(heights)])), ()
    extent = np.ptp(frame.to_frame(body_points)[:, 2])
    return frame.to_ras(np.array([0.0, 0.0, PEDICLE_SHARE * extent])), ("pedicle_height_estimated",)


def _has_arch(bone: Bone) -> bool:
    """Whether anything of the vertebra besides its body is labeled."""
    behind = bone.volume.array if bone.body is None else bone.volume.array & ~bone.body.array
    return behind.sum() * bone.volume.voxel_volume > LEAST_BRIDGE_MM3


def _isthmus(bone: FloatArray, window: tuple[float, float], step: float) -> FloatArray:
    """The middle of a pedicle where it is thinnest: processes begin where bone gets thicker.

    :param bone: (N, 3) in the vertebra's frame, all bone on one side of the canal.
    :param window: along A, from where to where the pedicle can be.
    :param step: between voxels along A, mm.
    :return: (3,) in the same frame.
    """
    at = np.arange(window[0], window[1] - TIE_MM, 0.5)
    near = bone[(bone[:, 1] > window[0] - 4.0 * step) & (bone[:, 1] < window[1] + 4.0 * step)]
    weight = np.exp(-0.5 * ((at[:, None] - near[:, 1]) / max(0.7 * step, 0.5))**2)
    thickness = weight.sum(axis=1)
    bridging = thickness > 0.5 * np.median(thickness)  # in the neck, pedicles begin beside the body
    trust = np.where(bridging, thickness.max() / thickness, 0.0)**THINNEST
    aside, height = (np.average(weight @ near[:, axis] / thickness, weights=trust) for axis in (0, 2))
    return np.array([aside, np.average(at, weights=trust), height])


def sacral_shape(bone: Bone, above: Shape, centerline: Curve) -> Shape | None:
    """Frame and superior endplate of the sacrum, seen from the vertebra above it."""
    start = above.inferior or Plane(above.frame.origin, above.frame.superior)
    plane: Plane | None = None
    normal = start.normal
    for _ in range(3):
        seen = facing_surface(Plane(start.origin, normal), bone.volume, radius_mm=15.0)
        found = fit_plane(seen, normal)
        if found is None or angle_deg(found.normal, start.normal) > 60.0:
            return None
        plane, normal = found, unit(found.normal + start.normal)
    assert plane is not None
    center = plane.origin - SACRAL_BODY_MM * plane.normal
    crossing = centerline.intersections(Plane(center, plane.normal))
    guess = float(centerline.project(center))
    s = float(crossing[np.abs(crossing - guess).argmin()]) if len(crossing) else guess
    forward = center - centerline.position(s)
    upper = Frame.from_axes(plane.origin - SACRAL_UPPER_MM * plane.normal, plane.normal, forward)
    faces = Faces.of(bone.volume, upper, SACRAL_REACH_MM, sides=False)
    plane = faces.refined(plane, 1) or plane
    frame = Frame.from_axes(center, plane.normal, forward)
    pedicle = plane.origin - SACRAL_PEDICLE_MM * plane.normal
    return Shape(bone.level, frame, plane, None, pedicle, None, ("pedicle_height_estimated",), faces)
