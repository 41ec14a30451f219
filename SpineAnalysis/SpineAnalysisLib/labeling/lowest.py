"""What the lowest body shows of being the last lumbar one or the sacrum's first.

The sacrum's upper end is steep, and what is left of the disc below its first body is short or missing.  Segmentations
that make a vertebra of that body, as they do where the image ends beside it, are told so by its looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import theilslopes

from ..anatomy import Kind, Level
from ..geometry.endplates import Surfaces, bisector, body_surfaces
from ..geometry.frames import Frame, Plane, unit
from ..volume import LabelMap, bounding_box
from .priors import NAMES, normal

FloatArray = NDArray[np.floating]

# Inclination of the upper endplate in a lying person, degrees, positive where it faces forward, and its spread.
_SACRAL, _LAST, _ABOVE_LAST, _HIGHER = (38.0, 11.0), (18.0, 9.0), (3.0, 9.0), (-5.0, 10.0)
"""The sacrum's: 44.5 (9.9) in 274 people on radiographs (Okpala, Ann Med Health Sci Res 2014, 4:757), under 39.8 in
80 % of 50 on MR (Chalian et al., World J Radiol 2012, 4:97).  L5's: 17.7 in 137, standing (Dominguez et al., Eur Spine
J 2016, 25:3602).  Above it each less by a body's and a disc's wedge as of the phantoms (``phantoms.spec``).  Outlines
that people drew on 11 and 25 exams (``mr_vertebrae_manual``), not used for this, have 35 (8), 15 (10), 1 (7)."""
_FREE_SACRAL = 0.5
"""How many of sixth lumbar vertebrae are first sacral ones that stand free, and as steep as these, by assumption."""
# Depth of the disc below in that of the disc above.
_NO_DISC = {False: 0.03, True: 0.30}
_SHORT = {False: 0.04, True: 0.58}
"""Lumbar or sacral: of 100 people 30 had no disc below S1, 42 a small one, 16 one as deep as the sacrum, and 12 one and
a first body like a lumbar one's (O'Driscoll et al., Skeletal Radiol 1996, 25:225); in all but these 12 the body's lower
end is the shorter one by more than 1 to 1.37 (Wigh, Skeletal Radiol 1982, 8:127).  Lumbar discs are rarely lost."""
_OVERSEEN, _TAPERED = 0.15, 1.0 / 1.37
"""Less disc is none; less than the other is short."""
_DEEP = (0.95, 0.1)
"""Mean and spread of the others, by assumption."""
_MISDRAWN, _ANY_SLOPE_DEG = 0.05, 120.0
"""Share of outlines that are not the body's, by assumption, and where their endplates may lie."""
_DISC_REACH_MM, _FEWEST_VOXELS = 5.0, 12
"""From an endplate, in which its disc begins; and of a disc, to tell how it lies."""
_DISC_SHOWN_MM = 12.0
"""Of image below a body, in which a disc would show."""
_RIM = 0.12
"""Share of an endplate's depth at either end, where spurs grow, that does not tell how it lies."""
_FEWEST_DEPTHS = 8
"""Places from front to back, 1 mm apart, from which on a slope is one."""
_UPRIGHT = 0.3
"""Share of the way to the body above that leads to the head, under which this is no lumbar spine in RAS."""
_SLAB_MM = (6.0, 32.0, 28.0)
"""Around the body's middle, to the sides, to front and back, up and down, what is looked at."""
TELLING = np.log(10.0)
"""Evidence of the first sacral body against the last lumbar one, from which on it is a reference."""


@dataclass(frozen=True)
class Looks:
    """Of a body, where they are seen, else NaN.

    :param slope_deg: how far its upper endplate faces forward, in the patient's sagittal plane.
    :param disc: depth of the disc below in that of the disc above; 0 where there is none though it would be in view.
    """

    slope_deg: float
    disc: float


def looks(labels: LabelMap, value: int, above_RAS: FloatArray) -> Looks | None:
    """What a labeled body looks like in the sagittal plane through its middle.

    :param value: its label.
    :param above_RAS: (3,) center of the body above.
    """
    box = bounding_box(labels.array == value, 3)
    if box is None:
        return None
    near = labels.crop(*box)
    body = near.with_array(near.array == value)
    center = np.median(body.to_ras(np.argwhere(body.array)), axis=0)
    up, upper, lower = unit(above_RAS - center), None, None
    if up[2] < _UPRIGHT:
        return None
    for _ in range(3):
        frame = Frame.from_axes(center, up, np.array([0.0, 1.0, 0.0]))
        surfaces = body_surfaces(body, frame, _SLAB_MM)
        if surfaces is None:
            return None
        upper = _endplate(surfaces, surfaces.top, surfaces.top_in_view)
        lower = _endplate(surfaces, surfaces.bottom, surfaces.bottom_in_view)
        up = bisector(upper, lower, up)
    slope = float("nan") if upper is None else float(np.degrees(np.arctan2(upper.normal[1], upper.normal[2])))
    return Looks(slope, _disc_share(labels, frame, upper, lower))


def _endplate(surfaces: Surfaces, heights: FloatArray, in_view: bool) -> Plane | None:
    """The plane of an endplate as it is in the middle, where slabs are too thin to tell how it tilts to a side.

    :param heights: (N,) of its columns.
    """
    depths = np.unique(surfaces.across[:, 1])
    if not in_view or len(depths) < _FEWEST_DEPTHS:
        return None
    at_depth = np.array([np.median(heights[surfaces.across[:, 1] == depth]) for depth in depths])
    rim = int(_RIM * len(depths))
    inner = slice(rim, len(depths) - rim)
    slope, height, *_ = theilslopes(at_depth[inner], depths[inner])
    frame, middle = surfaces.frame, float(np.median(depths[inner]))
    return Plane(frame.to_ras(np.array([0.0, middle, height + slope * middle])),
                 unit(frame.superior - slope * frame.anterior))


def _disc_share(labels: LabelMap, frame: Frame, upper: Plane | None, lower: Plane | None) -> float:
    """Depth of the disc below a body in that of the disc above."""
    values = labels.values(Kind.DISC)
    if upper is None or lower is None or not values:
        return float("nan")
    above, below = (_disc_depth(labels, values, frame, plane, side) for plane, side in ((upper, 1.0), (lower, -1.0)))
    if above == 0.0 or (below == 0.0 and not _shown(labels, lower.origin - _DISC_SHOWN_MM * lower.normal)):
        return float("nan")
    return below / above


def _disc_depth(labels: LabelMap, values: Sequence[int], frame: Frame, plane: Plane, side: float) -> float:
    """Length of the disc beside an endplate from front to back, mm; 0 where there is none.

    It is measured along itself, for rough outlines of endplates lie askew to it.
    """
    forward = unit(np.cross(plane.normal, frame.right))
    places = (plane.origin + np.arange(-_SLAB_MM[1], _SLAB_MM[1] + 0.5)[:, None] * forward
              + side * np.arange(1.0, _DISC_REACH_MM + 0.5)[:, None, None] * plane.normal)
    index = np.moveaxis(labels.to_ijk(places), -1, 0)
    met = map_coordinates(labels.array, index, order=0, mode="constant", prefilter=False)
    met = met[np.isin(met, values)]
    value = int(np.bincount(met).argmax()) if met.size else 0
    box = bounding_box(labels.array == value) if value else None
    if box is None:
        return 0.0
    near = labels.crop(*box)
    points = frame.to_frame(near.to_ras(np.argwhere(near.array == value)))
    inner = points[np.abs(points[:, 0]) <= _SLAB_MM[0], 1:]
    if len(inner) < _FEWEST_VOXELS:
        return 0.0
    offsets = inner - inner.mean(axis=0)
    along = offsets @ np.linalg.svd(offsets, full_matrices=False)[2][0]
    return float(np.ptp(np.percentile(along, (2, 98))))


def _shown(labels: LabelMap, point: FloatArray) -> bool:
    index = labels.to_ijk(point)
    return bool(np.all((index >= 0.0) & (index <= np.array(labels.shape) - 1.0)))


def likelihood(seen: Looks) -> FloatArray:
    """(L,) logarithm of how well the looks fit each state."""
    out = np.zeros(len(NAMES))
    if np.isfinite(seen.slope_deg):
        out += np.log([_slope_density(seen.slope_deg, name) for name in NAMES])
    if np.isfinite(seen.disc):
        out += np.log([_disc_density(seen.disc, name == "S1") for name in NAMES])
    return out


def _slope_density(slope: float, name: str) -> float:
    """Per degree."""
    usual = {"S1": _SACRAL, "L5": _LAST, "L4 on sacrum": _LAST, "L6": _LAST, "L4": _ABOVE_LAST,
             "L5 above L6": _ABOVE_LAST}.get(name, _HIGHER)
    fits = normal(slope, *usual)
    if name == "L6":
        fits = (1.0 - _FREE_SACRAL) * fits + _FREE_SACRAL * normal(slope, *_SACRAL)
    return (1.0 - _MISDRAWN) * fits + _MISDRAWN / _ANY_SLOPE_DEG


def _disc_density(share: float, sacral: bool) -> float:
    """Of the depth below in that above; what is overseen counts as if it were spread over as much as that."""
    none, short = _NO_DISC[sacral], _SHORT[sacral]
    if share < _OVERSEEN:
        return none / _OVERSEEN
    between = short / (_TAPERED - _OVERSEEN) if share < _TAPERED else 0.0
    return between + (1.0 - none - short) * normal(share, *_DEEP) + _MISDRAWN


def sacral_evidence(seen: Looks) -> float:
    """Logarithm of how much better the looks fit the first sacral body than the last lumbar one."""
    fits = likelihood(seen)
    return float(fits[Level.S1 - 1] - fits[Level.L5 - 1])
