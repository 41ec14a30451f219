"""A disc against the line that joins the rims of its endplates: how far it reaches beyond, all around and at every
height.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label, map_coordinates, median_filter

from ..anatomy import Region
from ..geometry.faces import Rim
from ..geometry.frames import Frame
from ..spine import Spine, Vertebra
from ..volume import Volume
from .disc_space import DiscSpace, around, rim_plane

FloatArray = NDArray[np.floating]

RAYS = 120
"""Directions in the disc plane, every 3 degrees, from the front over the left, so that the ends meet in front."""
RIM_DEPTHS_MM, LAYERS = np.arange(0.3, 3.6, 0.5), 3
"""So far inside a body from the plane of its rim its outline is looked for, and in how many layers, from the rim on,
it is read: endplates are not quite flat."""
SHALLOW_MM = 2.0
"""A layer that ends farther inside than this, against the widest one, was cut by the hollow of the endplate."""
SACRAL_MM = 15.0
"""So far aside the sacrum's body has no rim of its own: its wings go on."""
NEAREST_MM, FARTHEST = 5.0, 1.35
"""Rims lie farther than this from the middle, and nearer than this share of the usual half width or depth."""
STEP_MM = 0.5
INWARD_MM, OUTWARD_MM, BEYOND_MM = 4.0, 16.0, 13.0
"""How far inside and outside of the rims the disc is looked at, and how far above and below its space."""
SMOOTH_MM = 1.2
"""The voxels' stairs are averaged over about this distance along the rims and along the spine."""
OUTLINE_SHARE = 0.3
"""Standard deviation of where an outline runs, in voxels."""
APART_MM = 2.0
"""Two outlines that differ by more than this, a shift and a difference in size aside, are not both rims: pedicles go on
beside a body."""
CANAL_SINE = 0.55
"""Rays that go backward and no farther aside than this meet the canal, not pedicles."""
WALL_MM = (1.0, 2.0)
"""In front of the canal an outline runs this near to the body's back wall, which was fitted straight: in front of it,
and behind it, where rims have lips; bone that was taken for body behind a canal that a herniation pushes back does
not."""
TAKEN_MM = 1.0
"""Standard deviation of a rim that was taken to run as the other one does."""
KNOWN_SHARE = 0.7
"""An outline of which less is known cannot be completed."""
EDGE_MM, EDGE_SHARE = 1.5, 2.0
"""So far inside and outside of where a label ends, the scan differs by more than this many standard deviations of the
disc's signal along its rim, if there is an edge."""
LOOSE_MM3, LOOSE_VOXELS = 20.0, 8
"""A piece that is not connected with the disc is a fragment from this volume, and from two voxels each way, on; a
smaller one is a crumb of the label."""

_ANGLES = np.pi / 2 + np.arange(RAYS) * (2 * np.pi / RAYS)
_RAYS = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
TO_CANAL = (_RAYS[:, 1] < 0) & (np.abs(_RAYS[:, 0]) < CANAL_SINE)


@dataclass(frozen=True, eq=False)
class Margin:
    """:param above: (RAYS,) mm from the middle of the disc plane to the upper rim; :param below: to the lower one.
    :param seen: (RAYS,) whether both were found there, not one taken for the other.
    :param in_view: (RAYS,) whether the scan goes on beyond the disc and the rims there.
    :param edged: (RAYS,) whether the scan changes where the label ends, not just the label; true without a scan.
    :param top: (RAYS,) mm, height of the upper rim over the disc plane; :param bottom: of the lower rim.
    :param outward: (E,) mm beyond the rims, along the rays; :param up: (Z,) mm along the disc plane's normal.
    :param share: (RAYS, E, Z) how much of each place is disc.
    :param voxels: (3, 3) columns, RAS steps between the voxels that the disc was labeled on.
    """

    space: DiscSpace
    above: FloatArray
    below: FloatArray
    seen: NDArray[np.bool_]
    in_view: NDArray[np.bool_]
    edged: NDArray[np.bool_]
    top: FloatArray
    bottom: FloatArray
    outward: FloatArray
    up: FloatArray
    share: FloatArray
    voxels: FloatArray

    @property
    def frame(self) -> Frame:
        return self.space.frame

    @cached_property
    def radius(self) -> FloatArray:
        """(RAYS, Z) mm to the line that joins the rims."""
        return _joined(self.above, self.below, self.top, self.bottom, self.up)

    @cached_property
    def rim(self) -> FloatArray:
        """(RAYS, 2) mm along R and A, of the rims' mean outline."""
        return ((self.above + self.below) / 2.0)[:, None] * _RAYS

    @cached_property
    def normals(self) -> FloatArray:
        """(RAYS, 2) outward directions of that outline."""
        along = np.roll(self.rim, -1, axis=0) - np.roll(self.rim, 1, axis=0)
        normal = np.column_stack([along[:, 1], -along[:, 0]])
        normal *= np.sign(np.sum(normal * _RAYS, axis=1, keepdims=True))
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)

    @cached_property
    def obliquity(self) -> FloatArray:
        """(RAYS,) cosine between the rays and the normals: what is a millimeter along a ray is less across the rim."""
        return np.sum(self.normals * _RAYS, axis=1)

    @property
    def told(self) -> NDArray[np.bool_]:
        """(RAYS,) where the disc can be compared with the margins of both bodies."""
        return self.seen & self.in_view

    @property
    def judged(self) -> NDArray[np.bool_]:
        """(RAYS,) where what leaves the disc would be a herniation: not in front, where no nerve passes; beside the
        canal only in the lumbar spine, as elsewhere uncinate processes and heads of ribs are there.
        """
        right, front = self.normals.T
        if self.space.upper.level.region is not Region.LUMBAR:
            return self.told & TO_CANAL
        return self.told & (front < 0.0) & ((np.abs(right) < -front) | self.edged)  # aside, muscle is much like a disc

    @property
    def canal_told(self) -> float:
        """Share of the rays to the canal where the disc can be compared with both margins."""
        return float(self.told[TO_CANAL].mean())

    @cached_property
    def arc(self) -> FloatArray:
        """(RAYS,) mm of rim that belong to each ray."""
        there, back = np.roll(self.rim, -1, axis=0), np.roll(self.rim, 1, axis=0)
        return (np.linalg.norm(there - self.rim, axis=1) + np.linalg.norm(back - self.rim, axis=1)) / 2.0

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """(RAYS, Z) whether a height lies between the rims."""
        return (self.up < self.top[:, None]) & (self.up > self.bottom[:, None])

    @cached_property
    def across(self) -> FloatArray:
        """(RAYS,) mm, extent of a voxel along the normals."""
        directions = self.normals @ np.stack([self.frame.right, self.frame.anterior])
        return np.asarray(np.linalg.norm(directions @ self.voxels, axis=1))

    @cached_property
    def deviation(self) -> FloatArray:
        """(RAYS,) one standard deviation of how far the disc is known to reach, mm."""
        drawn = OUTLINE_SHARE * self.across * np.sqrt(1.5)
        return np.hypot(drawn, np.where(self.seen, 0.0, TAKEN_MM))

    @cached_property
    def spread(self) -> FloatArray:
        """(RAYS,) the same with where the rims are, mm."""
        rims = float(np.mean([self.space.above.deviations[2], self.space.below.deviations[2]]))
        return np.hypot(self.deviation, rims)

    @cached_property
    def depth(self) -> FloatArray:
        """(RAYS, Z) mm beyond the line of the rims, smoothed; NaN where there is no disc near it."""
        rough = _last_exit(self.share, self.outward) * self.obliquity[:, None]
        known = np.isfinite(rough)
        sigma = (SMOOTH_MM / float(self.arc.mean()), SMOOTH_MM / STEP_MM)
        weight = gaussian_filter(known.astype(float), sigma, mode=("wrap", "constant"))
        total = gaussian_filter(np.where(known, rough, 0.0), sigma, mode=("wrap", "constant"))
        return np.where(known, total / np.maximum(weight, 1e-9), np.nan)

    @cached_property
    def reaches(self) -> float:
        """Share of a layer 1.5 to 3 mm inside the rims behind, about mid-height, that the label fills."""
        layer = (self.outward > -3.5) & (self.outward < -1.25)
        middle = np.abs(self.up) < max(float(self.space.heights[2]) / 4.0, STEP_MM)
        return float((self.share[self.normals[:, 1] < -0.8][:, layer][:, :, middle] > 0.5).mean())

    def point(self, ray: int, outward: float, up: float) -> FloatArray:
        """(3,) RAS of a place, ``outward`` along the normal of the rim."""
        at = self.radius[ray, int(np.abs(self.up - up).argmin())] * _RAYS[ray] + outward * self.normals[ray]
        return self.frame.to_ras(np.append(at, up))


def margin(spine: Spine, space: DiscSpace, disc: Volume) -> Margin | None:
    """``None`` where the rims cannot be followed.

    :param disc: boolean, the disc's label, cropped.
    """
    frame = space.frame
    above, top = _outline(spine, space.upper, space.above, frame, 1.0)
    below, bottom = _outline(spine, space.lower, space.below, frame, -1.0)
    found = _completed(above, below)
    if found is None:
        return None
    above, below, seen = found
    outward = np.arange(-INWARD_MM, OUTWARD_MM + STEP_MM / 2, STEP_MM)
    high = float(np.max(top - bottom)) / 2.0 + BEYOND_MM
    up = np.arange(-high, high + STEP_MM / 2, STEP_MM)
    radius = _joined(above, below, top, bottom, up)
    distance = np.maximum(radius[:, None, :] + outward[None, :, None], 0.0)
    place = np.stack([distance * _RAYS[:, 0, None, None], distance * _RAYS[:, 1, None, None],
                      np.broadcast_to(up, distance.shape)], axis=-1)
    share = _whole(_shares(disc, frame.to_ras(place)), outward, float(radius.mean()) * 2 * np.pi / RAYS,
                   spine.resolution)
    ends = radius + _last_exit(share, outward)
    within = (up < top[:, None]) & (up > bottom[:, None])
    farthest = np.fmax(np.where(within & np.isfinite(ends), ends, 0.0).max(axis=1), np.maximum(above, below))
    return Margin(space, above, below, seen, _in_view(spine, frame, farthest),
                  _edged(spine, frame, np.where(within, ends, np.nan), up), top, bottom, outward, up, share,
                  spine.resolution)


def _whole(share: FloatArray, outward: FloatArray, arc_mm: float, voxels: FloatArray) -> FloatArray:
    """The disc and its fragments, without the crumbs of a label."""
    numbered, count = label(share > 0.5)
    if count < 2:
        return share
    least = max(LOOSE_MM3, LOOSE_VOXELS * abs(float(np.linalg.det(voxels)))) / (STEP_MM**2 * arc_mm)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    sizes[np.unique(numbered[:, outward < 0.0])] = share.size
    return np.where((sizes < least)[numbered], 0.0, share)


def _in_view(spine: Spine, frame: Frame, reach: FloatArray) -> NDArray[np.bool_]:
    """(RAYS,) whether what is a voxel farther away than (RAYS,) mm from the middle lies inside the scan."""
    voxel = np.linalg.norm(_RAYS @ frame.axes[:2] @ spine.resolution, axis=1)
    points = frame.to_ras(np.column_stack([(reach + voxel)[:, None] * _RAYS, np.zeros(RAYS)]))
    volumes = [spine.labels, *([spine.image] if spine.image is not None else [])]
    return np.all([((index > -0.5) & (index < np.array(volume.shape) - 0.5)).all(axis=1)
                   for volume in volumes for index in [volume.to_ijk(points)]], axis=0)


def _edged(spine: Spine, frame: Frame, ends: FloatArray, up: FloatArray) -> NDArray[np.bool_]:
    """(RAYS,) whether the scan differs on the two sides of where the label ends, (RAYS, Z) mm from the middle."""
    if spine.image is None:
        return np.ones(RAYS, bool)
    sides = []
    for step in (-EDGE_MM, EDGE_MM):
        place = (ends + step)[..., None] * _RAYS[:, None]
        points = np.concatenate([place, np.broadcast_to(up, ends.shape)[..., None]], axis=-1)
        sides.append(spine.scans[0].values(frame.to_ras(np.nan_to_num(points))))
    inner, outer = (np.where(np.isfinite(ends), side, np.nan) for side in sides)
    known = np.isfinite(inner) & np.isfinite(outer)
    change = np.where(known, outer - inner, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    texture = float(inner[known].std()) if known.any() else 0.0
    return np.abs(gaussian_filter1d(change, 1.0, mode="wrap")) > EDGE_SHARE * texture


def _shares(mask: Volume, points: FloatArray) -> FloatArray:
    """How much of each place is labeled: between thick slices, as the nearer one says, for bodies and disc alike."""
    index = np.moveaxis(mask.to_ijk(points), -1, 0)
    return np.asarray(map_coordinates(mask.array.astype(np.float32), index, order=1, mode="constant", prefilter=False))


def _outline(spine: Spine, vertebra: Vertebra, rim: Rim, frame: Frame, sign: float) -> tuple[FloatArray, FloatArray]:
    """(RAYS,) radius of a body's outline at a rim, NaN where there is none, and height of the rim there, mm.

    :param sign: 1 where the body lies above the disc, -1 below.
    """
    body = body_mask(spine, vertebra, frame)
    if not body.array.any():
        return np.full(RAYS, np.nan), np.zeros(RAYS)
    plane = rim_plane(rim)
    normal, origin = frame.axes @ plane.normal, frame.to_frame(plane.origin)
    reach = np.arange(NEAREST_MM, FARTHEST * float(rim.half.max()), STEP_MM)
    place = reach[None, :, None] * _RAYS[:, None, :]
    height = (origin @ normal - place @ normal[:2]) / normal[2]
    points = np.stack([np.concatenate([place, (height + sign * depth)[..., None]], axis=-1)
                       for depth in RIM_DEPTHS_MM])
    share = _shares(body, frame.to_ras(points))
    exits = np.stack([_last_exit(layer[:, :, None], reach)[:, 0] for layer in share])
    whole = np.isfinite(exits) & (exits > np.nan_to_num(exits).max(axis=0) - SHALLOW_MM)
    first = whole & (np.cumsum(whole, axis=0) <= LAYERS)
    count = first.sum(axis=0)
    radius = np.where(count > 0, np.where(first, exits, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    if vertebra.faces is not None and not vertebra.faces.sides:
        radius = np.where(np.abs(radius * _RAYS[:, 0]) > SACRAL_MM, np.nan, radius)
    wall = frame.to_frame(rim.corner(-1))[1] / np.minimum(_RAYS[:, 1], -0.1)
    radius = np.where(TO_CANAL, np.clip(radius, wall - WALL_MM[0], wall + WALL_MM[1]), radius)
    at = np.where(np.isfinite(radius), radius, float(rim.half.mean()))[:, None] * _RAYS
    return radius, (origin @ normal - at @ normal[:2]) / normal[2]


def body_mask(spine: Spine, vertebra: Vertebra, frame: Frame) -> Volume:
    """Boolean voxels of a vertebra's body near a disc, on the labels' grid."""
    window = around(spine.labels, frame)
    mask = np.zeros(window.shape, bool)
    faces = vertebra.faces
    if faces is not None:
        index = np.rint(window.to_ijk(faces.frame.to_ras(faces.centers[faces.inside]))).astype(int)
        index = index[((index >= 0) & (index < window.shape)).all(axis=1)]
        mask[tuple(index.T)] = True
    return Volume(mask, window.ijk_to_ras)


def _completed(above: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]] | None:
    """Both outlines, smoothed, and where both are rims; elsewhere one is the other, shifted.

    :return: ``None`` where too little is known.
    """
    basis = np.column_stack([np.ones(RAYS), _RAYS])
    known = np.isfinite(above) & np.isfinite(below)
    pedicles = (_RAYS[:, 1] < 0) & (np.abs(_RAYS[:, 0]) >= CANAL_SINE)
    both = known & ~pedicles  # what is beside the canal must agree with the rest, not the rest with it
    for _ in range(8):
        if both.sum() < KNOWN_SHARE * RAYS / 2:
            return None
        usual = basis @ np.linalg.lstsq(basis[both], (below - above)[both], rcond=None)[0]
        off = below - above - usual
        both = np.isfinite(off) & (np.abs(off - np.nanmedian(off[both])) < APART_MM)
    # Beside the canal the wider one has a pedicle on it; in front of it, where there is none, the narrower one was cut.
    sign = np.where(TO_CANAL, -1.0, 1.0)
    wrong_below, wrong_above = sign * off > APART_MM, sign * off < -APART_MM
    above, below = (np.where(np.isnan(above) | wrong_above, below - usual, above),
                    np.where(np.isnan(below) | wrong_below, above + usual, below))
    if np.isfinite(above).mean() < KNOWN_SHARE:
        return None
    sigma = SMOOTH_MM / (2 * np.pi / RAYS * float(np.nanmean(above)))
    return _smoothed(above, sigma), _smoothed(below, sigma), both


def _smoothed(radius: FloatArray, sigma: float) -> FloatArray:
    known = np.flatnonzero(np.isfinite(radius))
    whole = median_filter(np.interp(np.arange(RAYS), known, radius[known], period=RAYS), 5, mode="wrap")
    return gaussian_filter1d(whole, sigma, mode="wrap")


def _joined(above: FloatArray, below: FloatArray, top: FloatArray, bottom: FloatArray, up: FloatArray) -> FloatArray:
    """(RAYS, Z) radius of the line from rim to rim; beyond them, that of the nearer one."""
    share = np.clip((up - bottom[:, None]) / np.maximum(top - bottom, 0.1)[:, None], 0.0, 1.0)
    return below[:, None] + share * (above - below)[:, None]


def _last_exit(share: FloatArray, at: FloatArray) -> FloatArray:
    """(N, Z) where the second axis of (N, E, Z) shares falls to one half for the last time; NaN where it is nowhere."""
    inside = share > 0.5
    count = share.shape[1]
    last = count - 1 - inside[:, ::-1].argmax(axis=1)
    following = np.minimum(last + 1, count - 1)
    rows, columns = np.indices(last.shape)
    here, ahead = share[rows, last, columns], share[rows, following, columns]
    step = np.clip((here - 0.5) / np.maximum(here - ahead, 1e-6), 0.0, 1.0) * (at[1] - at[0])
    return np.where(inside.any(axis=1), at[last] + step, np.nan)
