"""The mid-sagittal picture: the whole spine from the side, every level named, abnormal ones marked."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..anatomy import Kind, Level, Segment
from ..measurements.record import Severity
from ..spine import Spine
from ..terminology import color_of
from .pictures import INK, PAPER, TONES, Picture, bare_axes, level_tag, outline, picture, scale_bar, show_scan, spread
from .reformat import Region, SagittalSurface, canal_place, named_vertebrae, regions, sample_image, sample_labels

FloatArray = NDArray[np.floating]

PIXEL_MM = 0.5
_MARGINS_MM = (28.0, 34.0, 8.0, 8.0)  # in front, behind, below, above
_MAX_WIDTH_IN, _MAX_HEIGHT_IN = 3.6, 7.6
_SHOWN = frozenset({Kind.VERTEBRA, Kind.BODY, Kind.ARCH, Kind.SPINOUS_PROCESS, Kind.DISC, Kind.CANAL, Kind.DURAL_SAC,
                    Kind.CORD, Kind.SUPERIOR_ARTICULAR_PROCESS, Kind.INFERIOR_ARTICULAR_PROCESS})


def sagittal_picture(spine: Spine, surface: SagittalSurface, severities: Mapping[Level | Segment, Severity]) -> Picture:
    """The curved mid-sagittal reformat, the patient's front to the left.

    :param severities: worst grade of each level; those above normal are marked.
    """
    front, back, bottom, top = _extent(spine, surface)
    columns, rows = np.arange(front, back, -PIXEL_MM), np.arange(bottom, top, PIXEL_MM)
    values = None
    if spine.image is not None:
        values, columns, rows = _trimmed(sample_image(spine.image, surface.to_ras(*np.meshgrid(columns, rows))),
                                         columns, rows)
    front, back, bottom, top = columns[0], columns[-1], rows[0], rows[-1]
    scale = min(_MAX_WIDTH_IN / (front - back), _MAX_HEIGHT_IN / (top - bottom))
    figure = Figure(figsize=((front - back) * scale, (top - bottom) * scale))
    axes = bare_axes(figure, front, back, bottom, top)
    ink = INK if values is None else PAPER
    if values is not None:
        show_scan(axes, values, spine.contrast)
    sampled = sample_labels(spine.labels, surface.to_ras(*np.meshgrid(columns, rows)))
    _draw_structures(axes, regions(sampled, spine.labels, rows, columns), 0.75 if values is None else 0.10)
    _name_vertebrae(axes, spine, surface, severities, ink)
    _mark_segments(axes, spine, surface, severities, scale)
    _orient(axes, ink)
    return picture(figure, _alt(spine, severities), ("P", "I"))


def _trimmed(values: FloatArray, columns: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Without the margins that lie outside the scan."""
    seen = np.isfinite(values)
    across, along = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    if len(across) < 2 or len(along) < 2:
        return values, columns, rows
    window = slice(along[0], along[-1] + 1), slice(across[0], across[-1] + 1)
    return values[window], columns[window[1]], rows[window[0]]


def _extent(spine: Spine, surface: SagittalSurface) -> tuple[float, float, float, float]:
    """A of the front and the back edge, S of the bottom and the top."""
    centers = surface.to_picture(np.array([v.frame.origin for v in spine.vertebrae]))
    half = np.array([(v.body_ap_mm or 30.0) / 2.0 for v in spine.vertebrae])
    planes = [p.origin for v in spine.vertebrae for p in (v.superior_endplate, v.inferior_endplate) if p is not None]
    ends = np.concatenate([centers[:, 1], surface.to_picture(np.array(planes).reshape(-1, 3))[:, 1]])
    canal = surface.to_picture(spine.centerline.points)
    front, back, below, above = _MARGINS_MM
    rear = min([*(centers[:, 0] - half - 20.0), *(canal[:, 0] - 10.0)])
    low, high = (min(ends.min(), *canal[:, 1], ends.max()), max(ends.max(), *canal[:, 1], ends.min()))
    return float((centers[:, 0] + half).max() + front), float(rear - back), float(low - below), float(high + above)


def _draw_structures(axes: Axes, found: Iterable[Region], fill: float) -> None:
    for region in found:
        if region.structure.kind in _SHOWN:
            color = color_of(region.structure)
            axes.contourf(region.columns, region.rows, region.field, levels=[0.5, 2.0], colors=[color], alpha=fill)
            axes.contour(region.columns, region.rows, region.field, levels=[0.5], colors=[color], linewidths=0.7)


def _name_vertebrae(axes: Axes, spine: Spine, surface: SagittalSurface,
                    severities: Mapping[Level | Segment, Severity], ink: str) -> None:
    for vertebra in named_vertebrae(spine):
        front, height = surface.to_picture(vertebra.frame.origin)
        edge = front + (vertebra.body_ap_mm or 30.0) / 2.0 + 3.0
        severity = severities.get(vertebra.level, Severity.NORMAL)
        level_tag(axes, edge, height, str(vertebra.level), severity, align="right", ink=ink)


def _mark_segments(axes: Axes, spine: Spine, surface: SagittalSurface,
                   severities: Mapping[Level | Segment, Severity], inches_per_mm: float) -> None:
    back = axes.get_xlim()[1]
    marked = [s for s in spine.segments if severities.get(s.segment, Severity.NORMAL) > Severity.NORMAL]
    places = [surface.to_picture(canal_place(spine, segment)) for segment in marked]
    heights = spread([float(place[1]) for place in places], inches_per_mm)
    for segment, (front, height), tag_height in zip(marked, places, heights, strict=True):
        severity = severities[segment.segment]
        axes.plot([front - 8.0, front - 25.0, back + 3.0], [height, height, tag_height], color=TONES[severity].mark,
                  linewidth=1.0)
        level_tag(axes, back + 3.0, tag_height, str(segment.segment), severity, align="right")


def _orient(axes: Axes, ink: str) -> None:
    for x, letter, align in ((0.02, "A", "left"), (0.98, "P", "right")):
        axes.text(x, 0.985, letter, transform=axes.transAxes, color=ink, ha=align, va="top", fontsize=9,
                  path_effects=outline(ink))
    scale_bar(axes, 20.0, ink)


def _alt(spine: Spine, severities: Mapping[Level | Segment, Severity]) -> str:
    marked = [str(level) for level, severity in severities.items() if severity > Severity.NORMAL]
    first, last = spine.vertebrae[0].level, spine.vertebrae[-1].level
    ending = f"; marked as abnormal: {', '.join(marked)}." if marked else "; no level is marked as abnormal."
    return f"Mid-sagittal view of the spine from {first} to {last}, front to the left, levels named{ending}"
