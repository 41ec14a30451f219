"""The published cut-offs, and people's own limits in their place."""

import html
import re
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from ..errors import InputError
from ..measurements.cutoffs import Cutoff
from ..measurements.record import Severity
from ..measurements.registry import cutoffs, definitions
from ..report.wording import pretty_unit
from .tables import Cell, fill

if TYPE_CHECKING:
    from .panel import Panel

_LIMIT = 2


class Thresholds:
    """One row for each limit of each cut-off."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        self._rows: list[tuple[Cutoff, int]] = [(rule, i) for rule in cutoffs().values() if rule.key in definitions()
                                                for i in range(len(rule.bands))]
        self._filled: Any = None
        table = self._ui.thresholdTable
        for column, mode in enumerate((qt.QHeaderView.Stretch, qt.QHeaderView.Stretch, qt.QHeaderView.ResizeToContents,
                                       qt.QHeaderView.ResizeToContents)):
            table.horizontalHeader().setSectionResizeMode(column, mode)
        table.verticalHeader().setMinimumSectionSize(20)
        table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.connect("cellChanged(int,int)", self._changed)
        self._ui.thresholdResetButton.connect("clicked(bool)", self._reset)

    def update(self) -> None:
        if self._session.parameters is None:
            return
        limits = self._session.limits()
        self._ui.thresholdResetButton.enabled = bool(limits)
        if limits != self._filled:
            self._filled = limits
            fill(self._ui.thresholdTable, [_row(rule, i, limits.get(rule.name)) for rule, i in self._rows])

    def _changed(self, row: int, column: int) -> None:
        if column != _LIMIT:
            return
        rule, band = self._rows[row]
        limits = self._session.limits()
        own = limits.get(rule.name, [b.limit for b in rule.bands])
        try:
            own[band] = float(self._ui.thresholdTable.item(row, column).text().split()[0].replace(",", "."))
            changed = rule.with_limits(own)
        except (IndexError, ValueError) as error:
            said = html.escape(str(error)) if isinstance(error, InputError) else _("A limit is a number.")
            self._panel.say(said, error=True)
            self._filled = None
            self._panel.update_soon()
            return
        limits.pop(rule.name, None)
        if changed is not rule:
            limits[rule.name] = own
        self._session.set_limits(limits)
        self._panel.say(_("Measure again to grade by the changed limits."))

    def _reset(self) -> None:
        self._session.set_limits({})
        self._panel.say(_("Measure again to grade by the published limits."))


def _row(rule: Cutoff, index: int, own: list[float] | None) -> list[Cell]:
    band = rule.bands[index]
    limit = own[index] if own is not None and index < len(own) else band.limit
    title = definitions()[rule.key].title
    relation = "≥" if rule.more_is_worse else "<"
    unit = pretty_unit(rule.unit)
    changed = limit != band.limit
    tip = _("Published: {relation} {limit} {unit}, {source}").format(relation=relation, limit=f"{band.limit:g}",
                                                                      unit=unit, source=rule.source)
    return [Cell(title, f"{title}\n{tip}"), Cell(f"{band.label} {relation}", tip, band.severity),
            Cell(f"{limit:g} {unit}".strip(), tip, Severity.MILD if changed else Severity.NORMAL, editable=True,
                 bold=changed, right=True),
            Cell(_("own") if changed else _shortly(rule.source), tip)]


def _shortly(source: str) -> str:
    """First author (or first word) and year of a publication."""
    year = re.search(r"\b(?:19|20)\d\d\b", source)
    return " ".join([source.split()[0].rstrip(","), *([year[0]] if year is not None else [])])
