"""What of a disc lies beyond the rims of its endplates, and what that is called."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from .disc_margin import STEP_MM, FloatArray, Margin

LEAST_MM, LEAST_DEVIATIONS = 1.5, 4.0
"""Less than this beyond the rims is no displacement: discs of phantoms that keep to them read up to 1.4 mm.  A
herniation is more by as much as the rims and the outline are uncertain."""
SAMPLES = 2.0
"""A herniation reaches at least this many voxels beyond the rims, or slices where it lies at their far end."""
QUARTER = 0.25
"""Displacement over more of the circumference is a bulge (Fardon et al., Spine J 2014;14:2525-2545)."""
BASE_MM = 0.75
"""The base is measured this far out, clear of the voxels' stairs."""

NONE, BULGE, PROTRUSION, EXTRUSION, SEQUESTRATION = range(5)
TYPES = {NONE: "none", BULGE: "bulge", PROTRUSION: "protrusion", EXTRUSION: "extrusion",
         SEQUESTRATION: "sequestration"}


@dataclass(frozen=True, eq=False)
class Displacement:
    """:param kind: of ``TYPES``.
    :param share: of the circumference over which the disc reaches beyond.
    :param depth: mm, greatest; :param ray, height: where that is.
    :param level: mm that the whole disc reaches beyond, on which a herniation sits.
    :param parts: (RAYS, E, Z) what is displaced there.
    :param close: whether another name would have been given within the uncertainty.
    :param told: whether all of it lies where the disc can be compared with both rims.
    """

    kind: int
    share: float
    depth: float
    ray: int
    height: int
    level: float
    parts: NDArray[np.bool_]
    close: bool
    told: bool = True

    @property
    def is_herniation(self) -> bool:
        return self.kind >= PROTRUSION

    def unnamed(self, margin: Margin) -> "Displacement":
        """Only how far the disc reaches behind, where its shape cannot be told."""
        depth, ray, height = _behind(margin, np.where(np.isnan(margin.depth), -np.inf, margin.depth))
        return replace(self, kind=NONE, depth=depth, ray=ray, height=height)


def displacement(margin: Margin) -> Displacement:
    """The rules of Fardon et al., Spine J 2014;14:2525-2545, on the labeled disc."""
    limit = np.maximum(LEAST_MM, LEAST_DEVIATIONS * margin.deviation)
    named = np.maximum(np.maximum(LEAST_MM + margin.spread, limit), SAMPLES * margin.across)
    depth = np.where(np.isnan(margin.depth), -np.inf, margin.depth)
    around = np.where(margin.within, depth, -np.inf).max(axis=1)
    beyond = (around > limit) & margin.told
    share = float(margin.arc[beyond].sum() / margin.arc.sum())
    level = float(np.median(around[beyond])) if share > QUARTER else 0.0
    deepest = _behind(margin, depth)
    reach, ray, height, whole = _seed(margin, depth, named + level)
    over = float(reach[ray, height]) - level
    close = abs(over - named[ray]) < margin.deviation[ray] or abs(share - QUARTER) < 0.05
    none = np.zeros(margin.share.shape, bool)
    if over <= named[ray]:
        kind = BULGE if share > QUARTER else NONE
        return Displacement(kind, share, *deepest, level, none, close, whole)
    parts, loose = _parts(margin, ray, height, level)
    ray, height = _deepest(reach, parts, (ray, height))
    if loose:
        return Displacement(SEQUESTRATION, share, float(reach[ray, height]), ray, height, level, parts, close)
    wider, taller = _overhangs(margin, parts, ray, height, level, over)
    known = over - limit[ray] > margin.spread[ray]  # outlines that are drawn a little too tall overhang everywhere
    kind = EXTRUSION if max(wider, taller) > 0.0 and known else PROTRUSION
    close = close or not known or abs(max(wider, taller)) < margin.deviation[ray]
    return Displacement(kind, share, float(reach[ray, height]), ray, height, level, parts, close)


def _seed(margin: Margin, depth: FloatArray, named: FloatArray) -> tuple[FloatArray, int, int, bool]:
    """(RAYS, Z) reach of what can be judged, the ray and the height where that is most beyond (RAYS,) a limit, and
    whether nothing was passed over because it goes on, and farther, where it cannot be told."""
    reach = np.where(margin.judged[:, None], depth, -np.inf)
    around, whole = depth.max(axis=1), True
    while True:
        excess = reach - named[:, None]
        ray, height = (int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
        if excess[ray, height] <= 0.0:
            return reach, ray, height, whole
        numbered, _ = label(np.roll(around > reach[ray, height] / 2.0, -ray))
        hill = np.roll((numbered == numbered[0]) | (numbered == numbered[-1]) & (numbered[-1] > 0), ray)
        if not (around[hill & ~margin.told] > reach[ray, height]).any():
            return reach, ray, height, whole
        reach[hill], whole = -np.inf, False


def _deepest(reach: FloatArray, parts: NDArray[np.bool_], start: tuple[int, int]) -> tuple[int, int]:
    """Where a displaced part reaches farthest, also over rims that are known less well than where it was noticed."""
    own = np.where(parts.any(axis=1), reach, -np.inf)
    ray, height = (int(i) for i in np.unravel_index(int(own.argmax()), own.shape))
    return (ray, height) if own[ray, height] > reach[start] else start


def _behind(margin: Margin, depth: FloatArray) -> tuple[float, int, int]:
    """The greatest reach behind the disc, and where."""
    back = np.where((margin.told & (margin.normals[:, 1] < -0.8))[:, None], depth, -np.inf)
    ray, height = (int(i) for i in np.unravel_index(int(back.argmax()), back.shape))
    return max(float(back[ray, height]), 0.0), ray, height


def _parts(margin: Margin, ray: int, height: int, level: float) -> tuple[NDArray[np.bool_], bool]:
    """What is displaced together with a place, and whether it has lost its connection to the disc."""
    filled = margin.share > 0.5
    numbered, _ = label(filled)
    inner = numbered[:, margin.outward < 0.0][margin.within.any(axis=1)]
    main = int(np.bincount(inner.ravel()[inner.ravel() > 0]).argmax()) if (inner > 0).any() else 0
    out = margin.outward[None, :, None] * margin.obliquity[:, None, None] > level + BASE_MM
    column = np.flatnonzero(filled[ray, :, height])
    own = int(numbered[ray, column[-1], height]) if len(column) else main
    loose = own != main
    displaced, _ = label(filled & out & (numbered == own))
    place = displaced[ray, :, height]
    chosen = place[place > 0]
    return (displaced == chosen[-1]) if len(chosen) else filled & out & (numbered == own), loose


def _overhangs(margin: Margin, parts: NDArray[np.bool_], ray: int, height: int, level: float, over: float
               ) -> tuple[float, float]:
    """By how much what is displaced outgrows its base beyond doubt, as seen from above and from the side, mm."""
    first = int(np.argmax(margin.outward * margin.obliquity[ray] > level + BASE_MM))
    space = np.flatnonzero(margin.within[ray])
    plane = height if margin.within[ray, height] or not len(space) else int(space[np.abs(space - height).argmin()])
    widths = [_width(margin, parts[:, e, plane], e) for e in range(first, len(margin.outward))]
    steps = np.linalg.norm(np.stack([margin.frame.right, margin.frame.superior]) @ margin.voxels, axis=1)
    doubts = 0.5 + 0.6 * steps  # mm: two standard deviations of an outline, and the sampling
    gap = float(margin.top[ray] - margin.bottom[ray])
    tall = [_extent(parts[ray, e]) for e in range(first, len(margin.outward))]
    wider = max(*widths, over) - widths[0] - doubts[0] if widths[0] > 0 else -np.inf
    return float(wider), float(max(*tall, over) - gap - doubts[1])


def _width(margin: Margin, rays: NDArray[np.bool_], outward: int) -> float:
    """Distance between the ends of what a ring of rays meets, mm."""
    found = np.flatnonzero(rays)
    if not len(found):
        return 0.0
    ends = margin.rim[[found[0], found[-1]]]
    ends = ends * (1.0 + margin.outward[outward] / np.linalg.norm(ends, axis=1, keepdims=True))
    return float(np.linalg.norm(ends[1] - ends[0]) + margin.arc[found].mean())


def _extent(heights: NDArray[np.bool_]) -> float:
    found = np.flatnonzero(heights)
    return float((found[-1] - found[0] + 1) * STEP_MM) if len(found) else 0.0
