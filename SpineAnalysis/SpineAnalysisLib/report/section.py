"""The cross-section pictures: one measurement's plane through the scan, with what was measured drawn into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..anatomy import Level, Segment
from ..geometry.frames import Frame
from ..measurements import registry
from ..measurements.record import Measurement
from ..measurements.registry import Definition
from ..spine import Scan, Spine
from ..terminology import color_of
from .pictures import INK, PAPER, TONES, Picture, bare_axes, outline, picture, scale_bar, show_scan
from .reformat import regions, sample_image, sample_labels
from .wording import quantity

FloatArray = NDArray[np.floating]

PIXEL_MM = 0.25
FIELD_MM = 72.0
_SIZE_IN = 3.5
_AHEAD_MM = 8.0
"""The view is centered this far in front of the contour, so that the body is seen too."""

_DRAWN = {"contour": "mm2", "line": "mm"}
"""Units of the records whose own geometry is drawn; ratios and shares carry that of what they were made from."""
_PARALLEL = 0.7
"""Cosine of the angle up to which two planes show the same view."""
_SAME_PLANE_MM = 0.75
_BESIDE_MM = 12.0
LineStyle = str | tuple[float, tuple[float, ...]]
_DASHED: LineStyle = (0.0, (3.0, 2.0))
_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


@dataclass(frozen=True, eq=False)
class Section:
    """One plane at one level, and what is drawn into it.

    :param leading: the record whose plane it is.
    :param inside: outlines and diameters in this plane; :param beside: diameters in neighboring planes.
    """

    level: Level | Segment
    frame: Frame
    leading: Measurement
    inside: tuple[Measurement, ...]
    beside: tuple[Measurement, ...]


def section_at(level: Level | Segment, measurements: Sequence[Measurement]) -> Section | None:
    """The plane of the level's worst outline or diameter (of equals, of the first outline), or ``None``."""
    definitions = registry.definitions()
    here = _across_canal([m for m in measurements if m.level == level and m.geometry is not None
                          and m.geometry.frame is not None and _DRAWN.get(m.geometry.type) == m.unit])
    worth_it = [m for m in here if definitions[m.key].draw] or here
    shown = [m for m in here if _type(m) == "contour" or m in worth_it]
    if not shown:
        return None
    leading = max(sorted(shown, key=lambda m: _type(m) != "contour"), key=lambda m: m.severity)
    assert leading.geometry is not None and leading.geometry.frame is not None
    frame = leading.geometry.frame
    inside = tuple(m for m in shown if _distance(frame, m) <= _SAME_PLANE_MM)
    beside = tuple(m for m in shown if _SAME_PLANE_MM < _distance(frame, m) <= _BESIDE_MM and _type(m) == "line")
    return Section(level, frame, leading, inside, beside)


def _across_canal(records: Sequence[Measurement]) -> list[Measurement]:
    """Those of a level's records whose planes are about parallel to its outlines'; none without an outline."""
    normals = [m.geometry.frame.superior for m in records
               if _type(m) == "contour" and m.geometry is not None and m.geometry.frame is not None]
    return [m for m in records if normals and m.geometry is not None and m.geometry.frame is not None
            and abs(m.geometry.frame.superior @ normals[0]) > _PARALLEL]


def _type(measurement: Measurement) -> str:
    return "" if measurement.geometry is None else measurement.geometry.type


def _distance(frame: Frame, measurement: Measurement) -> float:
    assert measurement.geometry is not None
    return float(np.abs(frame.plane.distance(measurement.geometry.points_RAS)).max())


def _flat(frame: Frame, measurement: Measurement) -> FloatArray:
    """(N, 2) mm along R and A."""
    assert measurement.geometry is not None
    return frame.to_frame(measurement.geometry.points_RAS)[:, :2]


def section_picture(spine: Spine, section: Section, definitions: Mapping[str, Definition]) -> Picture:
    """The section as radiologists view it: the patient's right on the left, the front up."""
    outlines = [_flat(section.frame, m) for m in section.inside if _type(m) == "contour"]
    context = [] if outlines else _outline_of_canal(spine, section.frame)
    middle = np.mean([*outlines, *context, _flat(section.frame, section.leading)][0], axis=0)
    center = middle + np.array([0.0, _AHEAD_MM])
    half = FIELD_MM / 2.0
    rights = np.arange(center[0] + half, center[0] - half, -PIXEL_MM)
    fronts = np.arange(center[1] - half, center[1] + half, PIXEL_MM)
    right, front = np.meshgrid(rights, fronts)
    points = section.frame.to_ras(np.stack([right, front, np.zeros_like(right)], axis=-1))
    figure = Figure(figsize=(_SIZE_IN, _SIZE_IN))
    axes = bare_axes(figure, center[0] + half, center[0] - half, center[1] - half, center[1] + half)
    scan = _scan_of(spine, section)
    ink = INK if scan is None else PAPER
    if scan is not None:
        show_scan(axes, sample_image(scan.volume, points), scan.contrast)
    else:
        for region in regions(sample_labels(spine.labels, points), spine.labels, fronts, rights):
            axes.contourf(region.columns, region.rows, region.field, levels=[0.5, 2.0], alpha=0.55,
                          colors=[color_of(region.structure)])
    for outline_points in context:
        _draw_line(axes, outline_points, PAPER, "-", "context", closed=True)
    for measurement in section.inside:
        _draw_measurement(axes, section.frame, measurement, definitions[measurement.key], "-", ink)
    for measurement in section.beside:
        _draw_measurement(axes, section.frame, measurement, definitions[measurement.key], _DASHED, ink)
    _orient(axes, section.frame, ink)
    sides = _letters(section.frame.right)[1], _letters(section.frame.anterior)[1]
    return picture(figure, _alt(section, definitions, scan is not None), sides)


def _scan_of(spine: Spine, section: Section) -> Scan | None:
    """The scan that the leading record was measured on, as it lies there; otherwise the one that was segmented."""
    named = next((scan for scan in spine.scans if scan.name == section.leading.scan), None)
    scan = named or next(iter(spine.scans), None)
    return None if scan is None else scan.near(section.frame.origin)


def _outline_of_canal(spine: Spine, frame: Frame) -> list[FloatArray]:
    """The canal's outline in a plane in which no record holds it; none or one (N, 2)."""
    if spine.canal is None:
        return []
    section = spine.canal.sections[spine.canal.nearest(float(spine.centerline.project(frame.origin)))]
    return [] if section is None else [frame.to_frame(section.contour_RAS)[:, :2]]


def _draw_measurement(axes: Axes, frame: Frame, measurement: Measurement, definition: Definition,
                      dash: LineStyle, ink: str) -> None:
    points, is_line = _flat(frame, measurement), _type(measurement) == "line"
    _draw_line(axes, points, TONES[measurement.severity].mark, dash, measurement.key, closed=not is_line)
    if is_line and measurement.value is not None:
        end = points[np.argmax(points @ np.array([-0.6, -1.0]))]  # the lower or the right end, clear of the body
        text = quantity(measurement.value, definition.decimals, measurement.unit)
        axes.annotate(text, end, xytext=(3, -3), textcoords="offset points", color=ink, fontsize=7.5, va="top",
                      path_effects=outline(ink, 2.2))


def _draw_line(axes: Axes, points: FloatArray, color: str, dash: LineStyle, name: str, closed: bool) -> None:
    points = np.vstack([points, points[:1]]) if closed else points
    axes.plot(*points.T, color=color, linestyle=dash, linewidth=1.2, path_effects=outline(PAPER, 2.0),
              solid_capstyle="butt", gid=name)


def _orient(axes: Axes, frame: Frame, ink: str) -> None:
    (left, right), (up, down) = _letters(frame.right), _letters(frame.anterior)
    for x, y, letter in ((0.035, 0.5, left), (0.965, 0.5, right), (0.5, 0.035, down), (0.5, 0.965, up)):
        axes.text(x, y, letter, transform=axes.transAxes, color=ink, ha="center", va="center", fontsize=9,
                  fontweight="bold", path_effects=outline(ink))
    scale_bar(axes, 10.0, ink)


def _letters(direction: FloatArray) -> tuple[str, str]:
    """The patient's side that a direction points to, and the opposite one."""
    axis = int(np.argmax(np.abs(direction)))
    letters = _AXIS_LETTERS[axis]
    return letters if direction[axis] > 0 else (letters[1], letters[0])


def _alt(section: Section, definitions: Mapping[str, Definition], scanned: bool) -> str:
    parts = [f"{definitions[m.key].title} {quantity(m.value, definitions[m.key].decimals, m.unit)}"
             for m in (*section.inside, *section.beside) if m.value is not None]
    source = "scan" if scanned else "segmentation"
    return (f"Cross-section of the {source} at {section.level}, patient's right on the left, front up, "
            f"with what was measured drawn: {'; '.join(parts)}.")
