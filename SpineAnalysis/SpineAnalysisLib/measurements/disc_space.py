"""The space between two facing endplates, and the label of the disc in it: what all families of discs start from."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind
from ..geometry.faces import Rim, mismatch
from ..geometry.frames import Frame, Plane
from ..spine import MotionSegment, Spine, Vertebra
from ..volume import Volume

FloatArray = NDArray[np.floating]

REACH_MM = (40.0, 36.0, 24.0)
"""Along R, A and S: a disc, and what has left it, lies this near to the middle of its space."""


@dataclass(frozen=True, eq=False)
class DiscSpace:
    """Two facing endplates whose rims are known.

    :param above: rim of the upper body's inferior endplate; :param below: of the lower body's superior one.
    :param frame: the disc plane between the rims' centers.
    """

    motion: MotionSegment
    upper: Vertebra
    lower: Vertebra
    above: Rim
    below: Rim
    frame: Frame

    @property
    def flags(self) -> tuple[str, ...]:
        """What limits everything that goes by the rims."""
        return self.motion.flags + mismatch(self.above, self.below)

    @cached_property
    def half(self) -> FloatArray:
        """(2,) mm along R and A, from the middle to the rims, mean of both."""
        return (self.above.half + self.below.half) / 2.0

    def gap(self, place: FloatArray) -> FloatArray:
        """(...) mm along the disc plane's normal between the planes of the rims, at (..., 2) places of the plane."""
        points = self.frame.to_ras(np.concatenate([place, np.zeros((*np.shape(place)[:-1], 1))], axis=-1))
        up = self.frame.superior
        return (-rim_plane(self.above).distance(points) / float(up @ self.above.plane.normal)
                + rim_plane(self.below).distance(points) / float(up @ self.below.plane.normal))

    def ends(self, place: FloatArray) -> FloatArray:
        """(2, 3) RAS where the normal through (2,) a place of the disc plane meets the planes of both rims."""
        point, up = self.frame.to_ras(np.append(place, 0.0)), self.frame.superior
        return np.stack([point - rim.distance(point) / float(up @ rim.normal) * up
                         for rim in (rim_plane(self.above), rim_plane(self.below))])

    @cached_property
    def heights(self) -> FloatArray:
        """(3,) mm: at the front rim, in the middle (hollows of the endplates included) and at the back rim."""
        places = np.array([[0.0, self.half[1]], [0.0, 0.0], [0.0, -self.half[1]]])
        heights = self.gap(places)
        heights[1] += hollow(self.above) + hollow(self.below)
        return np.maximum(heights, 0.0)

    @cached_property
    def deviations(self) -> FloatArray:
        """(3,) one standard deviation of each height, mm."""
        return np.array([np.hypot(self.above.height_deviation(sign), self.below.height_deviation(sign))
                         for sign in (1, 0, -1)])


def rim_plane(rim: Rim) -> Plane:
    """The plane through the ends of a rim."""
    return Plane(rim_points(rim).mean(axis=0), rim.plane.normal)


def rim_points(rim: Rim) -> FloatArray:
    """(4, 3) RAS: right, left, front and back of a rim."""
    (a, b), steps = rim.half, np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    return rim.face.point(rim.center + steps * [a, b])


def hollow(rim: Rim) -> float:
    """How far an endplate's center lies inside its body from the plane of the rim, mm."""
    return abs(float(rim_plane(rim).distance(rim.middle)))


def disc_spaces(spine: Spine) -> Iterator[tuple[MotionSegment, DiscSpace | None]]:
    """Every motion segment with its disc space, ``None`` where the rims cannot be told."""
    by_level = {v.level: v for v in spine.vertebrae}
    for motion in spine.segments:
        yield motion, _space(motion, by_level[motion.segment.upper], by_level[motion.segment.lower])


def _space(motion: MotionSegment, upper: Vertebra, lower: Vertebra) -> DiscSpace | None:
    above = upper.faces.inferior if upper.faces is not None and upper.inferior_endplate is not None else None
    below = lower.faces.superior if lower.faces is not None and lower.superior_endplate is not None else None
    if above is None or below is None:
        return None
    middle = (rim_plane(above).origin + rim_plane(below).origin) / 2.0
    frame = Frame.from_axes(middle, above.plane.normal + below.plane.normal,
                            upper.frame.anterior + lower.frame.anterior)
    return DiscSpace(motion, upper, lower, above, below, frame)


def disc_label(spine: Spine, motion: MotionSegment, frame: Frame) -> tuple[Volume, bool] | None:
    """The disc's voxels, cropped, and whether they were derived from the vertebrae; ``None`` where there are none."""
    values = [v for v in spine.labels.values(Kind.DISC, motion.segment.upper)
              if spine.labels.structures[v].below in (None, motion.segment.lower)]
    if not values:
        return None
    window = around(spine.labels, frame)
    mask = np.isin(window.array, values)
    return (Volume(mask, window.ijk_to_ras), spine.labels.is_derived(values)) if mask.any() else None


def around(volume: Volume, frame: Frame, reach_mm: tuple[float, float, float] = REACH_MM) -> Volume:
    """The part of a volume that holds a disc and what lies next to it."""
    corners = frame.to_ras(np.array(np.meshgrid(*[(-r, r) for r in reach_mm])).reshape(3, -1).T)
    index = volume.to_ijk(corners)
    return volume.crop(np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int) + 1)
