"""Filling tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import qt

from ..measurements.record import Measurement, Severity
from ..measurements.registry import Definition
from ..report.wording import flag_text, number, pretty_text, pretty_unit

COLORS = {Severity.MILD: (250, 224, 130), Severity.MODERATE: (245, 176, 102), Severity.SEVERE: (235, 125, 120)}
"""Backgrounds under black text, which stand out in dark and light themes; what is normal keeps the theme's color."""

_NORMAL = (140, 190, 150)  # of swatches
_LONG = 10.0  # from here on a value needs no decimals to be told apart


@dataclass(frozen=True)
class Cell:
    """:param data: what code finds it by.

    :param swatch: a square of the severity's color, which is seen in a selected cell as well.
    """

    text: str
    tip: str = ""
    severity: Severity = Severity.NORMAL
    data: Any = None
    editable: bool = False
    bold: bool = False
    swatch: bool = False
    right: bool = False


def fill(table: Any, rows: Sequence[Sequence[Cell]]) -> None:
    """Replace the rows of a table, without its signals."""
    before = table.blockSignals(True)
    table.clearContents()
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            table.setItem(index, column, _item(cell))
    table.blockSignals(before)


def _item(cell: Cell) -> Any:
    item = qt.QTableWidgetItem(cell.text)
    item.setToolTip(cell.tip)
    flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
    item.setFlags(flags | qt.Qt.ItemIsEditable if cell.editable else flags)
    if cell.data is not None:
        item.setData(qt.Qt.UserRole, cell.data)
    if cell.right:
        item.setTextAlignment(int(qt.Qt.AlignRight | qt.Qt.AlignVCenter))
    if cell.bold:
        font = qt.QFont()
        font.setBold(True)
        item.setFont(font)
    if cell.swatch:
        item.setIcon(_swatch(cell.severity))
    if cell.severity in COLORS:
        item.setBackground(qt.QBrush(qt.QColor(*COLORS[cell.severity])))
        item.setForeground(qt.QBrush(qt.QColor(0, 0, 0)))
    return item


def _swatch(severity: Severity) -> Any:
    pixmap = qt.QPixmap(10, 10)
    pixmap.fill(qt.QColor(*COLORS.get(severity, _NORMAL)))
    return qt.QIcon(pixmap)


def said(record: Measurement, definition: Definition) -> str:
    """A value with its unit, or its category."""
    if record.value is None:
        return "–"
    if record.word:
        return record.word
    unit = pretty_unit(record.unit)
    return number(record.value, definition.decimals) + ("" if not unit else unit if unit in "°%" else f" {unit}")


def said_shortly(record: Measurement, definition: Definition, usual_unit: str) -> str:
    """A value for a narrow column: three digits, and no unit of lengths and areas; diameters among areas have a sign.

    :param usual_unit: of the column.
    """
    if record.value is None or record.word:
        return said(record, definition)
    unit = pretty_unit(record.unit)
    digits = 0 if abs(record.value) >= _LONG else definition.decimals
    sign = "Ø " if (record.unit, usual_unit) == ("mm", "mm2") else ""
    return sign + number(record.value, digits) + (unit if unit in ("°", "%") else "")


def said_with_spread(record: Measurement, definition: Definition) -> str:
    """A value with its standard deviation and unit."""
    if record.value is None or record.word or record.uncertainty is None:
        return said(record, definition)
    unit = pretty_unit(record.unit)
    return f"{number(record.value, definition.decimals)} ± {number(record.uncertainty, definition.decimals)} " \
           f"{unit}".rstrip()


def explained(record: Measurement, definition: Definition) -> str:
    """The tip of a measurement: definition, grades with their sources, flags."""
    lines = [definition.definition]
    lines += [f"{grade.label} ({pretty_text(grade.cutoff)}): {grade.source}" for grade in record.grades]
    lines += [flag_text(flag) for flag in record.flags]
    return "\n".join(lines)
