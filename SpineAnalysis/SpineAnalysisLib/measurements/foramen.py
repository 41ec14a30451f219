"""Foramina and lateral recesses: where a nerve root is pressed, by level and side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import SIDES, VERTEBRA_KINDS, Kind, Region, Segment, Side
from ..geometry.foramina import Opening, Recess, Walls, opening, plane_through, recess
from ..geometry.frames import Frame, Plane
from ..progress import Progress, step
from ..spine import MotionSegment, Spine, Vertebra
from ..volume import Volume
from .axial_foramen import Place, led_by_axial_slices
from .bone import graded, spine_flags
from .fat import fat_ratios
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]

UPPER_PART = (0.5, 0.75)
"""Shares of the height between which the width is the smallest: higher up, the roof closes every foramen."""
BORDER_SHARE, PLANE_SHARE = 0.5, {"height": 1.0, "width": 0.5}
"""Standard uncertainty of a distance between two walls, in voxels along it; and, as the walls lean and pedicles are
round, in voxels across the plane, when it is segmented anew (docs/REPEATABILITY.md)."""
ESTIMATED_MM = 1.0
"""The same where the lower pedicle's place was estimated."""
OUTLINE_SHARE = 0.24
"""Standard uncertainty of where an outline runs, in voxels, the same way all around."""
RECESS_SHARE = 0.5
"""Standard uncertainty of a recess's place to the side and up, in voxels."""
VAGUE_MM = 1.5
"""A recess whose 95 % interval is as wide to either side as the limit of stenosis, 3 mm, could be anything from none to
a wide one: it is not graded."""
WIDEST_MM = 20.0
"""Twice the widths of lumbar foramina on CT (7 to 10 mm, docs/ACCURACY.md); where one is wider, bone behind it is
missing."""
PLACE_MM = 0.5
"""Standard uncertainty of the height at which a width is taken; it matters where walls slope."""
SACRAL_PEDICLE_MM, SACRAL_WIDER_MM = np.array([0.0, -3.0, -9.0]), (-1.0, 4.0)
"""The sacrum's pedicles are not told from its wings: their middles lie about so far from the corner of S1's endplate,
along A and S, and as far outside of the canal's bony wall as those of the vertebra above; how much wider it can be."""
BESIDE_MM = np.array([[0.0, front, up] for front in (-1.5, 0.0, 1.5) for up in (-2.0, 0.0, 2.0)])
"""Where the bony wall beside a canal is looked for, about its middle at the pedicle's height; the median counts."""
PEDICLE_ESTIMATED = "pedicle_height_estimated"
BOX_MM = np.array([26.0, 30.0, 13.0])
"""What can belong to a foramen lies this near to its middle, to the front, to the head and aside."""

_PLANE = ("In the foramen's sagittal-oblique plane: through the middles of the pedicles above and below it, along the "
          "disc's A axis.")
_AXIAL = " Where an axial T2 slice holds the place and tells it better: between what is dark in that slice."
_WIDTH = "Distance along A from the body or disc to the superior articular process, or to bone in front of it"

DEFINITIONS = (
    Definition("foramen_height", "Foramen height", "mm", "Distance along S from the lower border of the upper pedicle "
               f"to the upper border of the lower one. {_PLANE}", "Hasegawa et al., J Bone Joint Surg Am 1995;77:32-38",
               draw=True),
    Definition("foramen_width", "Foramen width", "mm", f"{_WIDTH}: the smallest from half to three quarters of the "
               f"foramen's height. {_PLANE}", draw=True),
    Definition("foramen_width_disc", "Foramen width at the disc", "mm", f"{_WIDTH}, at the height of the disc's "
               f"middle. {_PLANE}{_AXIAL}", draw=True),
    Definition("foramen_area", "Foramen area", "mm2", "Area between pedicles, body and disc, and a wall behind that "
               f"goes no farther back than the superior articular process's front. {_PLANE}", decimals=0, draw=True),
    Definition("foramen_asymmetry", "Foramen asymmetry", "%", "Right area minus left area, over their mean.",
               decimals=0),
    Definition("foramen_fat_ratio", "Foramen fat", "1", "On T1: share of fat in the foramen's area, by signal between "
               f"that of the canal's contents (0) and the brightest tenth of all foramina (1). {_PLANE}",
               "after Lee et al., AJR Am J Roentgenol 2010;194:1095-1098", decimals=2),
    Definition("lateral_recess_depth", "Lateral recess depth", "mm", "Just above the lower pedicle: the "
               "smallest distance along A from the body or disc to the front of the superior articular process, from "
               f"5 mm inside to 3 mm outside of the canal's side wall.{_AXIAL}",
               "Ciric et al., J Neurosurg 1980;53:433-443", draw=True),
)


@dataclass(frozen=True, eq=False)
class Foramen:
    """One foramen of a segment.

    :param disc_height: along the plane's head axis, mm, where the disc plane passes between the pedicles.
    :param beside_spread: mm, by how much the recess would be deeper or shallower where its place is a little off.
    """

    motion: MotionSegment
    side: Side
    opening: Opening
    disc_height: float
    recess: Recess | None
    flags: tuple[str, ...]
    walls: Walls
    beside_spread: float = 0.0


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure the foramina of every segment whose arches are labeled."""
    common = spine_flags(spine)
    found: list[Foramen] = []
    records: list[Measurement] = []
    for i, motion in enumerate(spine.segments):
        step(progress, i / len(spine.segments), f"Measuring the foramina of {motion.segment}")
        for side, sign in SIDES:
            foramen = _foramen(spine, motion, side, sign, common + motion.flags)
            if isinstance(foramen, Foramen):
                found.append(foramen)
            else:
                records.append(_missing("foramen_area", motion.segment, side, (*common, *motion.flags, foramen)))
    steps = spine.resolution
    for foramen in found:
        records += _records(foramen, steps, parameters)
    records, notes = led_by_axial_slices(spine, records, [p for foramen in found for p in _places(foramen)], parameters)
    records += _asymmetries(found, records, parameters)
    records += fat_ratios(spine, [(f.motion.segment, f.side, f.opening, f.flags) for f in found])
    step(progress, 1.0, "Foramina measured")
    return FamilyResult(tuple(records), notes=notes)


def _places(foramen: Foramen) -> Iterator[Place]:
    """What axial slices can show of a foramen."""
    found, motion, height = foramen.opening, foramen.motion, foramen.disc_height
    if found.floor < height < found.roof:
        behind, ahead = found.walls_at(height)
        yield Place("foramen_width_disc", motion.segment, foramen.side,
                    found.points(np.array([(behind, height), (ahead, height)])), found.frame.right,
                    motion.disc.superior, foramen.walls, foramen.flags)
    if foramen.recess is not None:
        frame = foramen.recess.frame
        yield Place("lateral_recess_depth", motion.segment, foramen.side, foramen.recess.line_RAS, frame.anterior,
                    frame.superior, foramen.walls, foramen.flags, foramen.recess.reach_mm,
                    apply_cutoffs=PEDICLE_ESTIMATED not in foramen.flags)


def _missing(key: str, segment: Segment, side: Side | None, flags: tuple[str, ...]) -> Measurement:
    unit = next(d.unit for d in DEFINITIONS if d.key == key)
    return Measurement(key, segment, None, unit, side, None, quality_of(flags), flags)


def _foramen(spine: Spine, motion: MotionSegment, side: Side, sign: int, flags: tuple[str, ...]) -> Foramen | str:
    """One foramen, or the flag that says why it cannot be measured."""
    upper, lower = spine.vertebra(motion.segment.upper), spine.vertebra(motion.segment.lower)
    assert upper is not None and lower is not None
    top, bottom = upper.pedicles.get(side), _lower_pedicle(spine, upper, lower, side, sign)
    if top is None or bottom is None:
        return "arch_not_labeled"
    frame = plane_through(top, bottom, motion.disc.anterior)
    walls = Walls.of(_walls(spine, motion.segment, frame))
    found = opening(walls, frame, top, bottom)
    if found is None or float(np.median(found.widths)) > WIDEST_MM:
        return "foramen_not_in_view"
    a, b = motion.disc.plane.distance(np.stack([top, bottom]))
    low, high = frame.to_frame(bottom)[1], frame.to_frame(top)[1]
    beside, spread = None, 0.0
    if lower.level.region in (Region.LUMBAR, Region.SACRAL):
        border = bottom + (found.floor - low) * frame.anterior
        beside, spread = _recess(walls, lower.frame, _canal_beside(spine, lower, bottom), border, sign)
    if side not in lower.pedicles:
        flags = (*flags, PEDICLE_ESTIMATED)
    return Foramen(motion, side, found, float(low + (high - low) * b / (b - a)), beside, flags, walls, spread)


def _recess(walls: Walls, frame: Frame, canal: FloatArray, border: FloatArray, sign: int
            ) -> tuple[Recess | None, float]:
    """A recess, and how uncertain its depth is as its place is, half a voxel up or down and to the side.

    Where an articular process is met in one place and missed in the next, that is most of the uncertainty.
    """
    found = recess(walls, frame, canal, border, sign)
    if found is None:
        return None, 0.0
    steps = np.linalg.norm(frame.axes @ walls.mask.ijk_to_ras[:3, :3], axis=1)
    off = np.zeros(2)
    for i, move in enumerate((steps[0] * frame.right, steps[2] * frame.superior)):
        others = [recess(walls, frame, canal + way * move, border + way * move, sign)
                  for way in (-RECESS_SHARE, RECESS_SHARE)]
        off[i] = max(found.depth / 2.0 if other is None else abs(other.depth - found.depth) for other in others)
    return found, float(np.linalg.norm(off))


def _lower_pedicle(spine: Spine, upper: Vertebra, lower: Vertebra, side: Side, sign: int) -> FloatArray | None:
    """The middle of the lower pedicle, (3,) RAS."""
    rim = lower.faces.superior if lower.faces is not None else None
    if side in lower.pedicles or lower.level.region is not Region.SACRAL or side not in upper.pedicles or rim is None:
        return lower.pedicles.get(side)
    own = upper.pedicles[side]
    aside = float(upper.frame.to_frame(own)[0])
    rough = rim.corner(-1) + (SACRAL_PEDICLE_MM + np.array([aside, 0.0, 0.0])) @ lower.frame.axes
    wider = _bony_half(spine, lower, rough, sign) - _bony_half(spine, upper, own, sign)
    return np.asarray(rough + sign * float(np.clip(np.nan_to_num(wider), *SACRAL_WIDER_MM)) * lower.frame.right)


def _bony_half(spine: Spine, vertebra: Vertebra, pedicle: FloatArray, sign: int) -> float:
    """From the canal's middle to the bone at its side, at a pedicle's height, mm; NaN where there is none."""
    middle = vertebra.frame.to_frame(_canal_beside(spine, vertebra, pedicle))
    along = np.arange(0.0, BOX_MM[0], 0.25)
    places = middle + BESIDE_MM[:, None] + sign * along[:, None] * np.array([1.0, 0.0, 0.0])
    labels = spine.labels
    index = np.rint(labels.to_ijk(vertebra.frame.to_ras(places))).astype(int)
    index = np.clip(index, 0, np.array(labels.shape) - 1)
    bone = np.isin(labels.array[tuple(np.moveaxis(index, -1, 0))], labels.values(VERTEBRA_KINDS, vertebra.level))
    first = np.where(bone.any(axis=1), along[bone.argmax(axis=1)], np.nan)
    return float(np.nanmedian(first)) if np.isfinite(first).mean() > 0.5 else float("nan")


def _canal_beside(spine: Spine, vertebra: Vertebra, pedicle: FloatArray) -> FloatArray:
    """(3,) RAS where the canal's centerline passes the pedicle's height."""
    plane = Plane(pedicle, vertebra.frame.superior)
    near = float(spine.centerline.project(pedicle))
    crossing = spine.centerline.intersections(plane)
    return spine.centerline.position(crossing[np.abs(crossing - near).argmin()] if len(crossing) else near)


def _walls(spine: Spine, segment: Segment, frame: Frame) -> Volume:
    """Voxels of both vertebrae and of discs about a foramen."""
    labels = spine.labels
    corners = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T * BOX_MM
    index = labels.to_ijk(frame.to_ras(corners))
    window = labels.crop(np.floor(index.min(axis=0)), np.ceil(index.max(axis=0)) + 1)
    values = [value for level in (segment.upper, segment.lower) for value in labels.values(VERTEBRA_KINDS, level)]
    return Volume(np.isin(window.array, values + labels.values(Kind.DISC)), window.ijk_to_ras)


def _records(foramen: Foramen, steps: FloatArray, settings: Mapping[str, Any]) -> Iterator[Measurement]:
    """:param steps: (3, 3) columns, RAS steps between voxels."""
    found, segment, side = foramen.opening, foramen.motion.segment, foramen.side
    front, up, across = np.linalg.norm(found.frame.axes @ steps, axis=1)
    estimated = PEDICLE_ESTIMATED in foramen.flags  # too uncertain for a grade

    def record(key: str, value: float, unit: str, spread: float, geometry: Geometry) -> Measurement:
        vague = key == "lateral_recess_depth" and spread > VAGUE_MM
        flags = (*foramen.flags, "too_vague") if vague else foramen.flags
        return graded(key, segment, value, unit, spread, flags, geometry, settings, side,
                      apply_cutoffs=not estimated and not vague)

    placed = ESTIMATED_MM if estimated else 0.0
    drawn = float(np.linalg.norm([BORDER_SHARE * up, PLANE_SHARE["height"] * across, placed]))
    middle = float(found.ahead.mean() + found.behind.mean()) / 2.0
    yield record("foramen_height", found.height, "mm", drawn, _line(found, (middle, found.floor), (middle, found.roof)))
    edges = {"foramen_width": _at_edges(found, drawn)}
    drawn = float(np.linalg.norm([BORDER_SHARE * front, PLANE_SHARE["width"] * across, placed]))
    narrow = float(found.heights[found.narrowest(*UPPER_PART)])
    for key, height in (("foramen_width", narrow), ("foramen_width_disc", foramen.disc_height)):
        if not found.floor < height < found.roof:
            yield _missing(key, segment, side, (*foramen.flags, "disc_beside_pedicle"))
            continue
        behind, ahead = found.walls_at(height)
        spread = float(np.linalg.norm([drawn, PLACE_MM * found.slope_at(height), edges.get(key, 0.0)]))
        if ahead <= behind or ahead - behind > WIDEST_MM or edges.get(key, 0.0) > ahead - behind:
            yield _missing(key, segment, side, (*foramen.flags, "walls_meet" if ahead <= behind else "wall_not_told"))
            continue
        yield record(key, ahead - behind, "mm", spread, _line(found, (behind, height), (ahead, height)))
    outline = OUTLINE_SHARE * found.perimeter * float(np.linalg.norm([(front + up) / 2.0, across, placed]))
    yield record("foramen_area", found.area, "mm2", outline, Geometry("contour", found.contour_RAS, found.frame))
    if foramen.recess is not None:
        spread = float(np.hypot(drawn, foramen.beside_spread))
        yield record("lateral_recess_depth", foramen.recess.depth, "mm", spread,
                     Geometry("line", foramen.recess.line_RAS, foramen.recess.frame))
    elif foramen.motion.segment.lower.region in (Region.LUMBAR, Region.SACRAL):
        yield _missing("lateral_recess_depth", segment, side, (*foramen.flags, "facet_not_in_view"))


def _at_edges(found: Opening, drawn: float) -> float:
    """How much the smallest width changes where its range ends higher or lower, as a wall may have a step there.

    :param drawn: standard uncertainty of the heights that the range is a share of, mm.
    """
    low, high = UPPER_PART
    ends = [max(high + sense * drawn / found.height, low + 0.05) for sense in (-1, 0, 1)]
    return float(np.ptp([found.widths[found.narrowest(low, end)] for end in ends]))


def _line(found: Opening, *ends: tuple[float, float]) -> Geometry:
    return Geometry("line", found.points(np.array(ends)), found.frame)


def _asymmetries(found: Sequence[Foramen], records: Sequence[Measurement], settings: Mapping[str, Any]
                 ) -> Iterator[Measurement]:
    areas = {(m.level, m.side): m for m in records if m.key == "foramen_area" and m.value is not None}
    for foramen in found:
        segment = foramen.motion.segment
        left, right = areas.get((segment, "left")), areas.get((segment, "right"))
        if foramen.side != "left" or left is None or right is None:
            continue
        assert left.value and right.value and left.uncertainty and right.uncertainty
        mean = (left.value + right.value) / 2.0
        smaller = min(left, right, key=lambda m: m.value or 0.0)
        assert smaller.geometry is not None
        spread = 100.0 * float(np.hypot(left.uncertainty, right.uncertainty)) / mean
        yield graded("foramen_asymmetry", segment, 100.0 * (right.value - left.value) / mean, "%", spread,
                     foramen.flags, smaller.geometry, settings)


FAMILY = Family("foramen", "Foramina and lateral recesses", DEFINITIONS, compute,
                {"foramen_height_cutoff": "hasegawa_1995", "lateral_recess_depth_cutoff": "ciric_1980"}, order=20,
                chapter="Foramen")
