"""The pictures of planes: a slice through the scan where something was measured, with what was measured on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Segment, Side
from ..measurements.registry import Definition
from ..spine import SHOWN, Scan, Spine
from .pictures import MUTED, PAPER, TONES, Picture, grays
from .planes import Section, Shape, anatomy_of, plane_name
from .reformat import colors_of_labels, named_vertebrae, sample_image
from .sketch import Sketch
from .wording import quantity

FloatArray = NDArray[np.floating]
Placing = Callable[[FloatArray], FloatArray]

FIELD_MM = 72.0
PIXELS = 288
SHOWN_PX = 272.0
_MARGIN_MM = 16.0
"""Around what is larger than the usual field."""
_AHEAD_MM = 8.0
"""Views from below are centered this far in front of what is drawn, so that the body is seen too."""
_SHARPER = 1.5
"""Another scan is shown than the one that was segmented where that one is coarser by this factor."""
_CROSSING = 0.5
"""Least sine of the angle at which an endplate and the plane that it is drawn into cross."""
_OUTLINE_MM = 2.0
"""An outline of the canal is drawn into a plane that it lies this near to."""
_NAMED_MM = 15.0
"""Vertebrae are named whose middles lie this near to the plane."""
_NAME_INSET_MM = 5.0
_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
_SECOND_LETTER = 0.34
"""Sine (of 20 degrees) from which on a direction is named by two sides of the patient."""


@dataclass(frozen=True, eq=False)
class SectionPicture:
    """:param caption: what is drawn, and on which scan."""

    picture: Picture
    caption: str


def section_pictures(spine: Spine, section: Section, definitions: Mapping[str, Definition]) -> list[SectionPicture]:
    """The section on every scan that its numbers were read from; else on the one that shows the plane best.

    As radiologists view it: the patient's right on the left and the front up, or the front on the left and the head up.
    """
    return [SectionPicture(_drawn(spine, section, scan, definitions), _caption(section, scan, definitions))
            for scan in _scans(spine, section)]


def _scans(spine: Spine, section: Section) -> Sequence[Scan | None]:
    """As they lie there; ``None`` where no scan shows the place."""
    origin = section.frame.origin
    names = (section.leading.scan or "").split(", ")
    named = [scan.near(origin) for scan in spine.scans if scan.name in names]
    if named:
        return named
    points = np.vstack([shape.geometry.points_RAS for shape in section.inside])
    showing = [scan.near(origin) for scan in spine.scans if scan.near(origin).shows(points) >= SHOWN]
    if not showing:
        return [None]
    first = showing[0]
    alike = [scan for scan in showing if scan.contrast == first.contrast]
    best = min(alike, key=lambda scan: scan.blur_mm(section.frame.superior))
    normal = section.frame.superior
    return [best if first.blur_mm(normal) > _SHARPER * best.blur_mm(normal) else first]


def _drawn(spine: Spine, section: Section, scan: Scan | None, definitions: Mapping[str, Definition]) -> Picture:
    frame = section.frame
    center, half = _field(spine, section)
    step = 2.0 * half / PIXELS
    offsets = (np.arange(PIXELS) + 0.5) * step - half
    right, front = np.meshgrid(center[0] - offsets, center[1] - offsets)
    points = frame.to_ras(np.stack([right, front, np.zeros_like(right)], axis=-1))
    image = colors_of_labels(spine.labels, points, step) if scan is None else grays(
        sample_image(scan.volume, points), scan.contrast, section.family.window_HU)
    sketch = Sketch(image, 2.0 * half, scan is not None)

    def place(points_RAS: FloatArray) -> FloatArray:
        flat = frame.to_frame(points_RAS)[..., :2]
        return np.stack([center[0] - flat[..., 0], flat[..., 1] - center[1]], axis=-1) + half

    sketch.orient(letters(frame.right), letters(-frame.anterior))
    sketch.scale_bar()
    for outline in _outlines_here(spine, section):
        sketch.line(place(outline), _guide(sketch), closed=True, width=1.0)
    for plate in _endplates(spine, section):
        sketch.line(place(plate), _guide(sketch), width=1.0)
    for shape in (*section.beside, *section.inside):
        sketch.line(place(shape.geometry.points_RAS), TONES[shape.severity].mark, name=shape.record.key,
                    closed=shape.geometry.type == "contour", dashed=shape in section.beside)
    _name_vertebrae(sketch, spine, section, place)
    for shape in (*section.inside, *section.beside):
        _write(sketch, shape, place, definitions)
    return sketch.picture(_alt(spine, section, definitions, scan is not None), SHOWN_PX,
                          (letters(frame.right)[1], letters(frame.anterior)[1]))


def _field(spine: Spine, section: Section) -> tuple[FloatArray, float]:
    """(2,) middle of the picture along R and A of the frame, and half its width, mm."""
    points = section.frame.to_frame(np.vstack([s.geometry.points_RAS for s in (*section.inside, *section.beside)]))
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    half = max(FIELD_MM / 2.0, float((high - low).max()) / 2.0 + _MARGIN_MM)
    ahead = _AHEAD_MM if half == FIELD_MM / 2.0 and _is_axial(spine, section) else 0.0
    return (low + high) / 2.0 + np.array([0.0, ahead]), half


def _is_axial(spine: Spine, section: Section) -> bool:
    return plane_name(section.frame, anatomy_of(spine, section.level)).startswith("axial")


def _outlines_here(spine: Spine, section: Section) -> list[FloatArray]:
    """(N, 3) outlines of canal and cord in this plane, where those that were measured lie in others."""
    if not section.outlined or any(shape.geometry.type == "contour" for shape in section.inside):
        return []
    at = float(spine.centerline.project(section.frame.origin))
    found = [tube.sections[tube.nearest(at)] for tube in (spine.canal, spine.cord) if tube is not None]
    return [each.contour_RAS for each in found if each is not None
            and float(np.abs(section.frame.plane.distance(each.contour_RAS)).max()) < _OUTLINE_MM]


def _endplates(spine: Spine, section: Section) -> list[FloatArray]:
    """(2, 3) endplates that lines in pictures from the side or the front run between, as lines of this plane."""
    if _is_axial(spine, section) or section.outlined or section.level is None:
        return []
    ends = [(section.level.upper, "inferior"), (section.level.lower, "superior")] if isinstance(
        section.level, Segment) else [(section.level, "superior"), (section.level, "inferior")]
    out = []
    for level, end in ends:
        vertebra = spine.vertebra(level)
        faces = None if vertebra is None else vertebra.faces
        rim = None if faces is None else faces.superior if end == "superior" else faces.inferior
        if rim is not None:
            along = np.cross(rim.plane.normal, section.frame.superior)
            if np.linalg.norm(along) < _CROSSING:  # the plate lies in the plane
                continue
            half = rim.half[int(abs(along @ rim.face.frame.anterior) > abs(along @ rim.face.frame.right))]
            middle = np.mean([rim.corner(1), rim.corner(-1)], axis=0)
            out.append(middle + np.outer([-half, half], along / np.linalg.norm(along)))
    return out


def _guide(sketch: Sketch) -> str:
    """The color of lines that only show where something lies."""
    return PAPER if sketch.dark else MUTED


def _name_vertebrae(sketch: Sketch, spine: Spine, section: Section, place: Placing) -> None:
    """In pictures from the side and from the front."""
    if _is_axial(spine, section):
        return
    width, height = (n / sketch.scale for n in sketch.size)
    for vertebra in named_vertebrae(spine):
        if abs(float(section.frame.plane.distance(vertebra.frame.origin))) > _NAMED_MM:
            continue
        x, y = place(vertebra.frame.origin)
        if _NAME_INSET_MM < x < width - _NAME_INSET_MM and _NAME_INSET_MM < y < height - _NAME_INSET_MM:
            sketch.label(str(vertebra.level), [np.array([x, y])], small=True)


def _write(sketch: Sketch, shape: Shape, place: Placing, definitions: Mapping[str, Definition]) -> None:
    """The number of a line or an angle beside it; outlines have theirs in the caption."""
    record = shape.record
    if shape.geometry.type == "contour" or record.value is None:
        return
    points = place(shape.geometry.points_RAS)
    places = [points[1], points[0], points[-1]] if len(points) == 3 else [points[-1], points[0], points.mean(axis=0)]
    sketch.label(quantity(record.value, definitions[record.key].decimals, record.unit), places,
                 shape.severity or None)


def letters(direction: FloatArray) -> tuple[str, str]:
    """The patient's sides that a direction points to, and the opposite ones: ``("A", "P")`` or ``("AS", "PI")``."""
    order = np.argsort(-np.abs(direction), kind="stable")
    named = [axis for place, axis in enumerate(order[:2]) if place == 0 or abs(direction[axis]) > _SECOND_LETTER]
    there = "".join(_AXIS_LETTERS[axis][0 if direction[axis] > 0 else 1] for axis in named)
    back = "".join(_AXIS_LETTERS[axis][1 if direction[axis] > 0 else 0] for axis in named)
    return there, back


def _told(shapes: Sequence[Shape], one_side: Side | None, definitions: Mapping[str, Definition]) -> list[str]:
    """``canal area 82 mm²`` of each; with its side, where not all lie on one."""
    out = []
    for record in (shape.record for shape in shapes):
        if record.value is not None:
            definition = definitions[record.key]
            said = record.word or quantity(record.value, definition.decimals, record.unit)
            side = f", {record.side}" if record.side and one_side is None else ""
            out.append(f"{definition.title}{side} {said}")
    return out


def _caption(section: Section, scan: Scan | None, definitions: Mapping[str, Definition]) -> str:
    told = "; ".join(_told(section.inside, section.side, definitions))
    beside = "; ".join(_told(section.beside, section.side, definitions))
    dashed = f" Dashed, from planes up to 12 mm away: {beside}." if beside else ""
    return f"{told}.{dashed} {_scan_named(scan, section.family.window_HU)}"


def _scan_named(scan: Scan | None, window_HU: tuple[float, float]) -> str:
    if scan is None:
        return "No scan shows this plane; drawn from the labels."
    window = f", {window_HU[0]:.0f} to {window_HU[1]:.0f} HU".replace("-", "−") if scan.contrast == "CT" else ""
    moved = ", registered" if scan.alignment == "registered" else ""
    return f"On {scan.name}{moved}{window}."


def _alt(spine: Spine, section: Section, definitions: Mapping[str, Definition], scanned: bool) -> str:
    parts = "; ".join(_told((*section.inside, *section.beside), section.side, definitions))
    source, place = "scan" if scanned else "segmentation", section.level or "the whole spine"
    right, up = letters(section.frame.right)[0], letters(section.frame.anterior)[0]
    return (f"{section.title(spine)} section of the {source} at {place}, the patient's {_words(right)} on the left, "
            f"{_words(up)} up, with what was measured drawn: {parts}.")


_SIDES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "head", "I": "feet"}


def _words(sides: str) -> str:
    return " and ".join(_SIDES[letter] for letter in sides)
