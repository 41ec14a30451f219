"""The cross-section pictures: one measurement's plane through the scan, with what was measured drawn into it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..anatomy import Level, Segment
from ..geometry.frames import Frame
from ..measurements.record import Geometry, Measurement, Severity
from ..measurements.registry import Definition
from ..spine import Spine
from ..terminology import color_of
from .pictures import INK, PAPER, TONES, Picture, bare_axes, outline, picture, scale_bar, show_scan
from .reformat import sample_image, sample_labels, smooth_regions
from .wording import quantity

FloatArray = NDArray[np.floating]

PIXEL_MM = 0.25
FIELD_MM = 72.0
_SIZE_IN = 3.5
_AHEAD_MM = 8.0
"""The view is centered this far in front of the contour, so that the body is seen too."""

_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


@dataclass(frozen=True, eq=False)
class Section:
    """Everything measured in one plane at one level."""

    level: Level | Segment
    frame: Frame
    drawn: tuple[Measurement, ...]

    @property
    def severity(self) -> Severity:
        return max(m.severity for m in self.drawn)

    @property
    def contour(self) -> FloatArray:
        """(N, 2) R and A of the outline that gave the plane, mm in its frame."""
        points = next(m.geometry.points_RAS for m in self.drawn
                      if m.geometry is not None and m.geometry.type == "contour")
        return self.frame.to_frame(points)[:, :2]

    @property
    def extent_mm2(self) -> float:
        """Area inside the outline."""
        x, y = self.contour.T
        return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2.0


def section_at(level: Level | Segment, measurements: Sequence[Measurement]) -> Section | None:
    """The plane of the level's worst contour and all geometry that lies in it; ``None`` without a contour."""
    here = [m for m in measurements if m.level == level and m.geometry is not None and m.geometry.frame is not None]
    contours = [m for m in here if m.geometry is not None and m.geometry.type == "contour"]
    if not contours:
        return None
    frame = max(contours, key=lambda m: m.severity).geometry.frame  # type: ignore[union-attr]
    assert frame is not None
    drawn = tuple(m for m in here if m.geometry is not None and _lies_in(m.geometry, frame))
    return Section(level, frame, drawn)


def _lies_in(geometry: Geometry, frame: Frame, tolerance_mm: float = 0.5) -> bool:
    return bool(np.abs(frame.plane.distance(geometry.points_RAS)).max() <= tolerance_mm)


def section_picture(spine: Spine, section: Section, definitions: dict[str, Definition]) -> Picture:
    """The section as radiologists view it: the patient's right on the left, the front up."""
    center = section.contour.mean(axis=0) + np.array([0.0, _AHEAD_MM])
    half = FIELD_MM / 2.0
    rights = np.arange(center[0] + half, center[0] - half, -PIXEL_MM)
    fronts = np.arange(center[1] - half, center[1] + half, PIXEL_MM)
    right, front = np.meshgrid(rights, fronts)
    points = section.frame.to_ras(np.stack([right, front, np.zeros_like(right)], axis=-1))
    figure = Figure(figsize=(_SIZE_IN, _SIZE_IN))
    axes = bare_axes(figure, center[0] + half, center[0] - half, center[1] - half, center[1] + half)
    ink = INK if spine.image is None else PAPER
    if spine.image is not None:
        show_scan(axes, sample_image(spine.image, points), spine.contrast)
    else:
        _draw_labels(axes, spine, sample_labels(spine.labels, points), rights, fronts)
    for measurement in section.drawn:
        _draw_measurement(axes, section.frame, measurement, definitions)
    _orient(axes, section.frame, ink)
    return picture(figure, _alt(section, definitions, spine.image is not None))


def _draw_labels(axes: Axes, spine: Spine, sampled: NDArray, rights: FloatArray, fronts: FloatArray) -> None:
    for value, field in smooth_regions(sampled, spine.labels, PIXEL_MM):
        color = color_of(spine.labels.structures[value])
        axes.contourf(rights, fronts, field, levels=[0.5, 2.0], colors=[color], alpha=0.55)


def _draw_measurement(axes: Axes, frame: Frame, measurement: Measurement, definitions: dict[str, Definition]) -> None:
    geometry = measurement.geometry
    assert geometry is not None
    points = frame.to_frame(geometry.points_RAS)[:, :2]
    color = TONES[measurement.severity].mark
    if geometry.type == "contour":
        points = np.vstack([points, points[:1]])
    axes.plot(*points.T, color=color, linewidth=1.4 if geometry.type == "contour" else 1.1,
              path_effects=outline(PAPER, 2.2), solid_capstyle="butt", gid=measurement.key)
    definition = definitions.get(measurement.key)
    if geometry.type == "line" and measurement.value is not None and definition is not None:
        end = points[np.argmax(points @ np.array([-0.6, -1.0]))]  # lower or viewer's right end, clear of the body
        text = quantity(measurement.value, definition.decimals, measurement.unit)
        axes.annotate(text, end, xytext=(3, -3), textcoords="offset points", color=PAPER, fontsize=7.5, va="top",
                      path_effects=outline(PAPER, 2.2))


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


def _alt(section: Section, definitions: dict[str, Definition], scanned: bool) -> str:
    parts = [f"{definitions[m.key].title} {quantity(m.value, definitions[m.key].decimals, m.unit)}"
             for m in section.drawn if m.value is not None and m.key in definitions]
    source = "scan" if scanned else "segmentation"
    return (f"Cross-section of the {source} at {section.level}, patient's right on the left, front up, "
            f"with what was measured drawn: {'; '.join(parts)}.")
