"""Figures of a cohort: every participant's value at every level, with the bands of the published cut-offs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..measurements.cutoffs import Cutoff
from ..measurements.record import Severity
from ..report.pictures import HAIRLINE, INK, TONES, Picture, house_style, picture
from ..report.wording import pretty_unit
from .numbers import Cell, Measure

FEWEST_FOR_BOX = 5
_MOST_DOTS = 150
"""At one place; of more, only those beyond the whiskers are drawn."""
_GROUPS = {"female": ("women", "#7b3294"), "male": ("men", "#008837"), "right": ("right", "#01665e"),
           "left": ("left", "#a6611a"), "": ("", "#40566b"), "unknown": ("sex other or not known", "#40566b")}
_ORDERED = frozenset({"pfirrmann_grade", "herniation_type", "modic_type"})
"""Categories from normal to worst; the others only differ."""
_DIFFERENT = ("#40566b", "#2fb3c4", "#a6611a", "#7b3294", "#8aa82c", "#c3ccd4")
_HEIGHT_IN, _WIDTH_IN, _COLUMN_IN, _MARGIN_IN = 2.9, 7.4, 0.8, 1.2
_FEWEST_COLUMNS = 5
"""That a figure has room for, so that columns are never broad and the legend fits."""
_ALONG, _SPAN = 0.09, 0.8


def distribution(measure: Measure) -> Picture:
    """Dots, boxes (quartiles, whiskers to the 5th and 95th percentile) and bands, by level from head to foot."""
    levels = list(dict.fromkeys(cell.level for cell in measure.cells))
    groups = _groups(measure)
    with house_style():
        figure = Figure(figsize=(_width(levels), _HEIGHT_IN))
        axes = figure.add_axes((0.62 / figure.get_figwidth(), 0.13, 1 - 0.75 / figure.get_figwidth(), 0.74))
        _limits(axes, measure)
        width = _SPAN / max(len(groups), 2)
        tinted: dict[str, Severity] = {}
        for cell in measure.cells:
            at = levels.index(cell.level)
            if cell.rule is not None:
                tinted |= _bands(axes, cell.rule, at)
            for place, group in enumerate(groups):
                values = _of_group(cell, group)
                if len(values):
                    _draw(axes, values, at + width * (place - (len(groups) - 1) / 2), width, _GROUPS[group][1])
        _across(axes, len(levels))
        axes.set_xticks(range(len(levels)), [level or "whole spine" for level in levels])
        axes.tick_params(length=0)
        axes.grid(axis="y", color=HAIRLINE, linewidth=0.5)
        axes.set_axisbelow(True)
        unit = pretty_unit(measure.definition.unit)
        axes.set_ylabel(measure.definition.title + (f" ({unit})" if unit else ""))
        _legend(figure, groups, tinted)
        return picture(figure, _alt(measure, levels))


def categories(measure: Measure) -> Picture:
    """How many participants have which category, by level from head to foot."""
    words = measure.definition.words
    levels = list(dict.fromkeys(cell.level for cell in measure.cells))
    shades = _shades(len(words)) if measure.definition.key in _ORDERED else _DIFFERENT
    with house_style():
        figure = Figure(figsize=(min(_WIDTH_IN, _width(levels) + 1.3), _HEIGHT_IN - 0.4))
        axes = figure.add_axes((0.62 / figure.get_figwidth(), 0.14, 1 - 2.05 / figure.get_figwidth(), 0.8))
        floor = np.zeros(len(levels))
        for shade, (value, word) in zip(shades, words.items(), strict=False):
            counts = np.array([sum((cell.values == value).sum() for cell in measure.cells if cell.level == level)
                               for level in levels], float)
            axes.bar(range(len(levels)), counts, 0.62, floor, color=shade, label=word, edgecolor="white", linewidth=0.6)
            floor += counts
        axes.set_xticks(range(len(levels)), levels)
        axes.tick_params(length=0)
        _across(axes, len(levels))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("participants")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
        return picture(figure, _alt(measure, levels))


def _width(levels: Sequence[str]) -> float:
    """Inches."""
    return min(_WIDTH_IN, _MARGIN_IN + _COLUMN_IN * max(len(levels), _FEWEST_COLUMNS))


def _across(axes: Axes, levels: int) -> None:
    """Levels in the middle where they are few."""
    spare = max(0.0, (_FEWEST_COLUMNS - levels) / 2)
    axes.set_xlim(-0.6 - spare, levels - 0.4 + spare)


def _shades(count: int) -> list[str | tuple[float, float, float]]:
    """Of ordered categories, the first of which is normal."""
    return [TONES[Severity.NORMAL].mark, *(_mixed(i / max(count - 2, 1)) for i in range(count - 1))]


def _mixed(share: float) -> tuple[float, float, float]:
    """Between the colors of a mild and a severe grade."""
    from matplotlib.colors import to_rgb

    a, b = (np.array(to_rgb(TONES[severity].mark)) for severity in (Severity.MILD, Severity.SEVERE))
    red, green, blue = (1 - share) * a + share * b
    return float(red), float(green), float(blue)


def _groups(measure: Measure) -> list[str]:
    """What the columns at one level are: sides, or sexes where both are known, or one."""
    sides = {cell.side for cell in measure.cells if cell.side}
    if sides:
        return [side for side in ("right", "left") if side in sides]
    sexes = {row["sex"] for cell in measure.cells for row in cell.rows}
    if not sexes >= {"female", "male"}:
        return [""]
    return ["female", "male", *(["unknown"] if sexes - {"female", "male"} else [])]


def _of_group(cell: Cell, group: str) -> np.ndarray:
    if group in ("right", "left"):
        return cell.values if cell.side == group else np.empty(0)
    if group == "unknown":
        return np.array([row["value"] for row in cell.rows if row["sex"] not in ("female", "male")], float)
    return cell.of_sex(group) if group else cell.values


def _limits(axes: Axes, measure: Measure) -> None:
    """Room for all values and for the limit of a cut-off that is near to them."""
    values = np.concatenate([cell.values for cell in measure.cells])
    low, high = float(values.min()), float(values.max())
    near = [limit for cell in measure.cells if cell.rule is not None for limit in _limits_of(cell.rule)
            if low - (high - low) <= limit <= high + (high - low)]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _limits_of(rule: Cutoff) -> list[float]:
    limits = [band.limit for band in rule.bands]
    return limits + [-limit for limit in limits] if rule.more_is_worse and not rule.signed else limits


def _bands(axes: Axes, rule: Cutoff, at: int) -> dict[str, Severity]:
    """The rule's abnormal ranges, behind the values of one level; what those are called that are in view."""
    drawn = {}
    bottom, top = axes.get_ylim()
    edges = [band.limit for band in rule.bands]
    for i, band in enumerate(rule.bands):
        if rule.more_is_worse:
            ranges = [(edges[i], edges[i + 1] if i + 1 < len(edges) else math.inf)]
            ranges += [] if rule.signed else [(-ranges[0][1], -ranges[0][0])]
        else:
            ranges = [(edges[i - 1] if i else -math.inf, edges[i])]
        for low, high in ranges:
            low, high = max(low, bottom), min(high, top)
            if low < high and band.severity > Severity.NORMAL:
                axes.fill_between([at - 0.5, at + 0.5], low, high, color=TONES[band.severity].background, linewidth=0,
                                  zorder=0)
                drawn[band.label] = band.severity
    return drawn


def _draw(axes: Axes, values: np.ndarray, x: float, width: float, color: str) -> None:
    """Dots, and a box where there are enough of them."""
    low, first, median, third, high = np.percentile(values, (5, 25, 50, 75, 95))
    boxed = len(values) >= FEWEST_FOR_BOX
    shown = values if len(values) <= _MOST_DOTS else values[(values < low) | (values > high)]
    across = x + _swarm(shown, np.ptp(axes.get_ylim()), width)
    axes.plot(across, shown, "o", color=color, markersize=3.0, alpha=0.55, markeredgewidth=0, zorder=2)
    if boxed:
        half = 0.32 * width
        axes.fill_between([x - half, x + half], first, third, facecolor=color, alpha=0.16, linewidth=0, zorder=1)
        axes.plot([x - half, x + half], [median, median], color=color, linewidth=1.8, solid_capstyle="butt", zorder=3)
        axes.plot([x, x], [third, high], color=color, linewidth=0.9, zorder=1)
        axes.plot([x, x], [low, first], color=color, linewidth=0.9, zorder=1)


def _swarm(values: np.ndarray, height: float, width: float) -> np.ndarray:
    """Offsets that keep dots of nearly the same value apart; the same for the same values."""
    offsets = np.zeros(len(values))
    bins = np.round(values / (height / 45.0)) if height > 0 else np.zeros(len(values))
    for each in np.unique(bins):
        here = np.flatnonzero(bins == each)
        step = min(_ALONG * width / 0.8 * 1.2, 0.8 * width / max(len(here), 1))
        offsets[here] = (np.arange(len(here)) - (len(here) - 1) / 2) * step
    return offsets


def _legend(figure: Figure, groups: Sequence[str], bands: Mapping[str, Severity]) -> None:
    """What colors mean: of groups, and of the cut-offs' bands."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=_GROUPS[group][1], label=_GROUPS[group][0])
        for group in groups if group]
    handles += [Patch(facecolor=TONES[severity].background, edgecolor=TONES[severity].mark, linewidth=0.5, label=label)
                for label, severity in bands.items()]
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.62 / figure.get_figwidth(), 1.0),
                      ncols=len(handles), borderaxespad=0.1, columnspacing=1.2, handletextpad=0.4, labelcolor=INK)


def _alt(measure: Measure, levels: Sequence[str]) -> str:
    return (f"{measure.definition.title} of {measure.participants} participants ({measure.modality}) at "
            f"{', '.join(level or 'the whole spine' for level in levels)}; the numbers are in the table.")
