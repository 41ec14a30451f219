"""Step 4: what was measured, level by level."""

from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from ..anatomy import Level, Segment, successors
from ..measurements.record import Measurement
from ..measurements.registry import Family, definitions, families
from ..report.tables import level_order
from .symptom import SymptomRow
from .tables import Cell, explained, fill, said, said_shortly, said_with_spread
from .thresholds import Thresholds

if TYPE_CHECKING:
    from .panel import Panel

_Place = Level | Segment | None
_ROW_HEIGHT = 20


class MeasureStep:
    """The overview is the spine: one row per level, one column per chapter, the worst value in each cell."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        self._checks: dict[str, Any] = {}
        self._places: list[_Place] = []
        self._filled: Any = None
        self._thresholds, self._symptom = Thresholds(panel), SymptomRow(panel)
        ui = self._ui
        for index, family in enumerate(families()):
            self._checks[family.name] = box = qt.QCheckBox(family.title)
            box.toolTip = _("Measure: {list}").format(list=", ".join(d.title for d in family.definitions))
            box.connect("toggled(bool)", self._families_chosen)
            ui.familiesLayout.addWidget(box, index // 2, index % 2)
        ui.overviewTable.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        ui.detailTable.verticalHeader().setMinimumSectionSize(_ROW_HEIGHT)
        ui.detailTable.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)  # long names go on below
        for column, mode in enumerate((qt.QHeaderView.Stretch, qt.QHeaderView.ResizeToContents,
                                       qt.QHeaderView.ResizeToContents)):
            ui.detailTable.horizontalHeader().setSectionResizeMode(column, mode)
        ui.overviewTable.connect("currentCellChanged(int,int,int,int)", self._cell_chosen)
        ui.detailTable.connect("currentCellChanged(int,int,int,int)", self._record_chosen)
        ui.overviewTable.connect("cellClicked(int,int)", self._cell_chosen)  # the current one may be clicked again
        ui.detailTable.connect("cellClicked(int,int)", self._record_chosen)
        ui.measureButton.connect("clicked(bool)", lambda: panel.run(ui.measureButton, again=True))

    def update(self) -> None:
        chosen, memory, ui = self._session.parameters, self._session.memory, self._ui
        if chosen is not None:
            wanted = self._session.families()
            for name, box in self._checks.items():
                before = box.blockSignals(True)
                box.checked = name in wanted
                box.blockSignals(before)
        ui.measureNote.visible = memory is None
        self._thresholds.update()
        self._symptom.update()
        if not self._panel.busy:
            ui.measureButton.enabled = memory is not None and any(box.checked for box in self._checks.values())
        if memory is not self._filled:
            self._filled = memory
            self._fill()
        self.select()

    def select(self) -> None:
        """Mark the level that the views show, and list what was measured there."""
        level = self._session.record.level if self._session.record is not None else self._session.level
        row = self._places.index(level) if level in self._places else -1
        table = self._ui.overviewTable
        if row != table.currentRow():
            before = table.blockSignals(True)
            table.setCurrentCell(row, 0)
            table.blockSignals(before)
        self._list(level)

    def _fill(self) -> None:
        records = self._session.memory.measurements if self._session.memory is not None else ()
        measured = {m.key for m in records if m.value is not None}
        known = {title: group for title, group in _chapters().items() if measured.intersection(_keys(group))}
        self._places = sorted({m.level for m in records if m.value is not None}, key=_order)
        table = self._ui.overviewTable
        before = table.blockSignals(True)
        table.setColumnCount(1 + len(known))
        table.setHorizontalHeaderLabels([_("Level"), *known])
        table.horizontalHeader().setTextElideMode(qt.Qt.ElideRight)
        table.horizontalHeader().setDefaultAlignment(qt.Qt.AlignLeft)
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        for column, group in enumerate(known.values(), start=1):
            table.horizontalHeaderItem(column).setToolTip("\n".join(family.title for family in group))
            last = column == len(known)
            mode = qt.QHeaderView.Stretch if last else qt.QHeaderView.ResizeToContents
            table.horizontalHeader().setSectionResizeMode(column, mode)
        table.blockSignals(before)
        fill(table, [self._row(place, list(known.values())) for place in self._places])

    def _row(self, place: _Place, known: list[list[Family]]) -> list[Cell]:
        here = [(i, m) for i, m in enumerate(self._session.memory.measurements)  # type: ignore[union-attr]
                if m.level == place and m.value is not None and m.key in definitions()]
        cells = []
        for group in known:
            keys = _keys(group)
            cells.append(_summary_cell([(i, m) for i, m in here if m.key in keys], keys))
        index, worst = max(here, key=lambda entry: entry[1].severity)
        return [Cell(_place_name(place), "", worst.severity, index, bold=isinstance(place, Level), swatch=True), *cells]

    def _list(self, place: _Place) -> None:
        """The detail table: everything at a level, the worst first."""
        memory, table = self._session.memory, self._ui.detailTable
        here = [(i, m) for i, m in enumerate(memory.measurements if memory is not None else ())
                if m.level == place and m.key in definitions()]
        here.sort(key=lambda entry: -entry[1].severity)
        fill(table, [_detail(index, record) for index, record in here])
        row = next((r for r, (_i, m) in enumerate(here) if m is self._session.record), -1)
        before = table.blockSignals(True)
        table.setCurrentCell(row, 0)
        table.blockSignals(before)

    def _cell_chosen(self, row: int, column: int) -> None:
        item = self._ui.overviewTable.item(row, column)
        index = item.data(qt.Qt.UserRole) if item is not None else None
        if index is not None and self._session.memory is not None:
            self._panel.look_at(self._session.memory.measurements[index])
        elif item is not None:
            self._panel.go_to(self._places[row])

    def _record_chosen(self, row: int, _column: int) -> None:
        item = self._ui.detailTable.item(row, 0)
        if item is not None and self._session.memory is not None:
            self._panel.look_at(self._session.memory.measurements[item.data(qt.Qt.UserRole)])

    def _families_chosen(self, _on: bool) -> None:
        if self._session.parameters is not None:
            self._session.parameters.skipped = ",".join(n for n, box in self._checks.items() if not box.checked)


def _order(place: _Place) -> tuple[int, tuple[int, int]]:
    """Levels head to foot, then ranges, then the whole spine."""
    neighbors = not isinstance(place, Segment) or place.lower in successors(place.upper)
    return (2 if place is None else 0 if neighbors else 1), level_order(place)


def _place_name(place: _Place) -> str:
    return _("Whole") if place is None else str(place)


def _chapters() -> dict[str, list[Family]]:
    """Families by the word over their column."""
    found: dict[str, list[Family]] = {}
    for family in families():
        found.setdefault(family.chapter or family.title, []).append(family)
    return found


def _keys(group: list[Family]) -> list[str]:
    return [definition.key for family in group for definition in family.definitions]


def _summary_cell(found: list[tuple[int, Measurement]], keys: list[str]) -> Cell:
    """The worst value of a chapter at a level; where all is normal, the chapter's first."""
    if not found:
        return Cell("")
    index, record = min(found, key=lambda entry: (-entry[1].severity, keys.index(entry[1].key)))
    definition = definitions()[record.key]
    side = "" if record.side is None else f"{record.side[0].upper()} "
    tip = f"{definition.title}: {side}{said(record, definition)}\n{explained(record, definition)}"
    return Cell(side + said_shortly(record, definition, definitions()[keys[0]].unit), tip, record.severity, index)


def _detail(index: int, record: Measurement) -> list[Cell]:
    definition = definitions()[record.key]
    title = definition.title if record.side is None else f"{definition.title}, {record.side}"
    mark = {"limited": " †", "poor": " ‡"}.get(record.quality.value, "")
    tip = explained(record, definition)
    return [Cell(title, tip, data=index), Cell(said_with_spread(record, definition) + mark, tip, right=True),
            Cell(record.grade.label if record.grade is not None else "", tip, record.severity)]
