"""The canal's profile: area and diameters along the canal, drawn upright like the spine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..measurements.record import Measurement, Severity, Table
from .pictures import HAIRLINE, INK, TONES, Picture, picture
from .wording import pretty_unit

FloatArray = NDArray[np.floating]

_WIDTH_IN = 8.2
_FRAME_IN = (0.45, 0.5, 0.65, 0.4)  # left, below, right, above
_MM_PER_INCH = 45.0
_HEIGHT_RANGE_IN = (3.2, 8.2)
_UNITS = ("mm2", "mm")
_REACH_MM = 12.0
"""A limit is drawn this far beyond the levels it was applied to."""
_NUMBER = re.compile(r"(?<![A-Za-z\d.])\d+(?:\.\d+)?")
_TITLES = {"area": "Cross-sectional area", "ap_diameter": "AP diameter", "transverse_diameter": "Transverse diameter"}
_LINES = {"canal": (INK, "-"), "cord": ("#7c5cbf", "--")}


@dataclass(frozen=True)
class Curve:
    """One column: which structure, what of it, in which unit."""

    column: str
    structure: str
    quantity: str
    unit: str


@dataclass(frozen=True)
class CutoffLine:
    """A published limit of one column, and the stretch of the canal for which it was applied."""

    column: str
    limit: float
    start: float
    end: float


def cutoff_lines(table: Table, measurements: Iterable[Measurement]) -> list[CutoffLine]:
    """The limits of the configured grades, each along the levels that were graded by it."""
    places: dict[tuple[str, float], list[float]] = {}
    for m in measurements:
        column = f"{m.key}_{m.unit}"
        if m.grade is None or column not in table.columns or str(m.level) not in table.marks:
            continue
        for limit in _NUMBER.findall(m.grade.cutoff):
            places.setdefault((column, float(limit)), []).append(table.marks[str(m.level)])
    return [CutoffLine(column, limit, min(at) - _REACH_MM, max(at) + _REACH_MM)
            for (column, limit), at in sorted(places.items())]


def profile_picture(table: Table, measurements: Sequence[Measurement], severities: Mapping[str, Severity]) -> Picture:
    """Curves against arc length, one panel per quantity, the head at the top.

    :param measurements: whose grades give the limits that are drawn.
    :param severities: worst grade by level name; abnormal ones get a tinted band.
    """
    cutoffs = cutoff_lines(table, measurements)
    along = next(iter(table.columns.values()))
    curves = [curve for name in list(table.columns)[1:] if (curve := _parse(name)) is not None]
    quantities = list(dict.fromkeys(c.quantity for c in curves))
    height = float(np.clip(np.ptp(along) / _MM_PER_INCH + 0.9, *_HEIGHT_RANGE_IN))
    figure = Figure(figsize=(_WIDTH_IN, height))
    left, bottom, right, top = (_FRAME_IN[0] / _WIDTH_IN, _FRAME_IN[1] / height,
                                1.0 - _FRAME_IN[2] / _WIDTH_IN, 1.0 - _FRAME_IN[3] / height)
    panels = figure.subplots(1, len(quantities), sharey=True, squeeze=False, gridspec_kw={
        "left": left, "bottom": bottom, "right": right, "top": top, "wspace": 0.09})[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        shown = [c for c in curves if c.quantity == quantity]
        _levels(axes, table, severities)
        _panel(axes, table, shown, [c for c in cutoffs if c.column in {curve.column for curve in shown}])
    panels[0].set_ylim(float(along.max()), float(along.min()))
    _name_levels(panels[0], panels[-1], table, severities)
    if len({c.structure for c in curves}) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="upper right", ncols=2, borderaxespad=0.1)
    return picture(figure, _alt(table, curves))


def _parse(column: str) -> Curve | None:
    """``canal_ap_diameter_mm`` -> canal, ap_diameter, mm."""
    structure, _, rest = column.partition("_")
    quantity, _, unit = rest.rpartition("_")
    if structure not in _LINES or unit not in _UNITS:
        return None
    return Curve(column, structure, quantity, unit)


def _panel(axes: Axes, table: Table, curves: Sequence[Curve], cutoffs: Sequence[CutoffLine]) -> None:
    along = next(iter(table.columns.values()))
    for curve in curves:
        color, dash = _LINES[curve.structure]
        axes.plot(table.columns[curve.column], along, color=color, linestyle=dash, linewidth=1.3, label=curve.structure)
    for cutoff in cutoffs:
        top, bottom = max(cutoff.start, float(along.min())), min(cutoff.end, float(along.max()))
        axes.plot([cutoff.limit] * 2, [top, bottom], color=TONES[Severity.SEVERE].mark, linewidth=0.8,
                  linestyle=(0, (1, 2)), zorder=1.5)
        axes.annotate(f"{cutoff.limit:g}", (cutoff.limit, top), xytext=(0, 1), textcoords="offset points",
                      ha="center", va="bottom", fontsize=6.5, color=TONES[Severity.SEVERE].text)
    quantity = curves[0].quantity
    title = _TITLES.get(quantity, quantity.replace("_", " "))
    axes.set_xlabel(f"{title} ({pretty_unit(curves[0].unit)})")
    greatest = np.nanmax([np.nanmax(table.columns[c.column], initial=0.0) for c in curves])
    axes.set_xlim(0.0, max(1.08 * float(greatest), 1.0))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], prune="upper"))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=HAIRLINE, linewidth=0.5)
    axes.set_axisbelow(True)


def _levels(axes: Axes, table: Table, severities: Mapping[str, Severity]) -> None:
    for name, place in table.marks.items():
        severity = severities.get(name, Severity.NORMAL)
        is_disc = "-" in name
        if severity > Severity.NORMAL:
            half = 5.0 if is_disc else 2.5
            axes.axhspan(place - half, place + half, color=TONES[severity].background, linewidth=0, zorder=0)
        axes.axhline(place, color=HAIRLINE if is_disc else "#eef1f4", linewidth=0.6,
                     linestyle="-" if is_disc else ":", zorder=0.5)


def _name_levels(first: Axes, last: Axes, table: Table, severities: Mapping[str, Severity]) -> None:
    """Vertebrae on the left, discs on the right, where they do not get in each other's way."""
    first.set_yticks([])
    for name, place in table.marks.items():
        severity = severities.get(name, Severity.NORMAL)
        axes, x, align = (last, 1.0, "left") if "-" in name else (first, 0.0, "right")
        axes.annotate(name, (x, place), xycoords=axes.get_yaxis_transform(), va="center", ha=align,
                      xytext=(5 if align == "left" else -5, 0), textcoords="offset points", fontsize=8,
                      color=TONES[severity].text if severity else INK, fontweight="bold" if severity else "normal")


def _alt(table: Table, curves: Sequence[Curve]) -> str:
    canal = next((table.columns[c.column] for c in curves if c.structure == "canal" and c.quantity == "area"), None)
    text = f"{table.title}: area and diameters along the canal from head to foot."
    if canal is None or not np.isfinite(canal).any():
        return text
    least = int(np.nanargmin(canal))
    place = float(next(iter(table.columns.values()))[least])
    nearest = min(table.marks, key=lambda name: abs(table.marks[name] - place), default="")
    return f"{text} The smallest area, {canal[least]:.0f} mm², lies near {nearest or f'{place:.0f} mm'}."
