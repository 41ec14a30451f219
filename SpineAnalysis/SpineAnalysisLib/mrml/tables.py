"""Measurements as table nodes, measured curves as tables with plots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from ..findings import Explanation, LevelFinding
from ..measurements.record import Measurement, Table
from ..measurements.registry import Definition
from ..report.wording import pretty_unit
from .results import ResultFolder

_COLUMNS = {
    "key": vtk.vtkStringArray, "measurement": vtk.vtkStringArray, "level": vtk.vtkStringArray,
    "side": vtk.vtkStringArray, "value": vtk.vtkDoubleArray, "word": vtk.vtkStringArray,
    "unit": vtk.vtkStringArray, "uncertainty": vtk.vtkDoubleArray, "quality": vtk.vtkStringArray,
    "flags": vtk.vtkStringArray, "scan": vtk.vtkStringArray, "grade": vtk.vtkStringArray,
    "cutoff": vtk.vtkStringArray, "source": vtk.vtkStringArray,
}
_COLORS = ((0.13, 0.40, 0.67), (0.85, 0.37, 0.01), (0.42, 0.24, 0.60), (0.20, 0.60, 0.25))
_MARK_COLOR = (0.35, 0.35, 0.35)


def add_measurement_table(folder: ResultFolder, measurements: Sequence[Measurement],
                          definitions: Mapping[str, Definition], subfolder: int) -> Any:
    """One row per record; what could not be measured has the value NaN, and its flags say why."""
    rows = [_row(m, definitions.get(m.key)) for m in measurements]
    node = folder.add("vtkMRMLTableNode", "Measurements", "measurements", subfolder)
    for name, array_class in _COLUMNS.items():
        column = array_class()
        column.SetName(name)
        for row in rows:
            column.InsertNextValue(row[name])
        node.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def add_findings_table(folder: ResultFolder, findings: Sequence[LevelFinding], subfolder: int) -> Any:
    """One row per finding, the worst level first."""
    rows = [(str(each.level), phrase.severity.name.lower(), phrase.text) for each in findings
            for phrase in each.phrases]
    return _text_table(folder, "Findings", "findings", ("level", "severity", "finding"), rows, subfolder)


def add_explanation_table(folder: ResultFolder, explanations: Sequence[Explanation], subfolder: int) -> Any:
    """Where the pain of a dermatome could come from, the best supported place first."""
    rows = [(each.symptom, str(each.level), each.side or "", each.where, "; ".join(each.evidence),
             "; ".join(each.against), ", ".join(each.missing)) for each in explanations]
    columns = ("symptom", "level", "side", "place", "evidence", "not abnormal", "not measured")
    return _text_table(folder, "Symptom", "symptom", columns, rows, subfolder)


def _text_table(folder: ResultFolder, title: str, role: str, columns: Sequence[str], rows: Sequence[Sequence[str]],
                subfolder: int) -> Any:
    node = folder.add("vtkMRMLTableNode", title, role, subfolder)
    for index, name in enumerate(columns):
        column = vtk.vtkStringArray()
        column.SetName(name)
        for row in rows:
            column.InsertNextValue(row[index])
        node.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def _row(record: Measurement, definition: Definition | None) -> dict[str, Any]:
    grade = record.grade
    return {
        "key": record.key, "measurement": definition.title if definition else record.key,
        "level": "" if record.level is None else str(record.level), "side": record.side or "",
        "value": np.nan if record.value is None else record.value, "word": record.word, "unit": record.unit,
        "uncertainty": np.nan if record.uncertainty is None else record.uncertainty,
        "quality": record.quality.value, "flags": "; ".join(record.flags),
        "scan": record.scan or "", "grade": grade.label if grade else "", "cutoff": grade.cutoff if grade else "",
        "source": grade.source if grade else "",
    }


def add_curve(folder: ResultFolder, table: Table, subfolder: int) -> tuple[Any, list[Any]]:
    """A measured curve as a table, and one chart for each unit of its columns, level names marked.

    :return: the table node and the chart nodes.
    """
    node = folder.add("vtkMRMLTableNode", table.title, table.key, subfolder)
    columns = table.all_columns
    slicer.util.updateTableFromArray(node, [np.asarray(c, float) for c in columns.values()], list(columns))
    node.SetLocked(True)
    units: dict[str, list[str]] = {}
    for column in list(table.columns)[1:]:
        units.setdefault(_unit(column), []).append(column)
    marks = _add_marks(folder, table, subfolder) if table.marks else None
    return node, [_add_chart(folder, table, unit, columns, node, marks, subfolder) for unit, columns in units.items()]


def _add_marks(folder: ResultFolder, table: Table, subfolder: int) -> Any:
    """The positions of the levels, each on the first curve of every unit."""
    positions = np.array(list(table.marks.values()))
    node = folder.add("vtkMRMLTableNode", f"{table.title}: levels", f"{table.key} levels", subfolder)
    columns = [positions] + [_at(table, column, positions) for column in list(table.columns)[1:]]
    slicer.util.updateTableFromArray(node, columns, list(table.columns))
    names = vtk.vtkStringArray()
    names.SetName("level")
    for name in table.marks:
        names.InsertNextValue(name)
    node.AddColumn(names)
    node.SetLocked(True)
    return node


def _at(table: Table, column: str, positions: Any) -> Any:
    along = next(iter(table.columns.values()))
    values = table.columns[column]
    known = np.isfinite(values)
    return np.interp(positions, along[known], values[known]) if known.any() else np.full(positions.shape, np.nan)


def _add_chart(folder: ResultFolder, table: Table, unit: str, columns: Sequence[str], node: Any, marks: Any | None,
               subfolder: int) -> Any:
    along = next(iter(table.columns))
    chart = folder.add("vtkMRMLPlotChartNode", f"{table.title} ({pretty_unit(unit)})", f"{table.key} chart", subfolder)
    chart.SetTitle(table.title)
    chart.SetXAxisTitle(_readable(along))
    chart.SetYAxisTitle(pretty_unit(unit))
    for index, column in enumerate(columns):
        series = _add_series(folder, _readable(column), node, along, column, subfolder)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetMarkerStyle(series.MarkerStyleNone)
        series.SetColor(*_COLORS[index % len(_COLORS)])
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    if marks is not None:
        series = _add_series(folder, f"Levels ({pretty_unit(unit)})", marks, along, columns[0], subfolder)
        series.SetLabelColumnName("level")
        series.SetPlotType(series.PlotTypeScatter)
        series.SetLineStyle(series.LineStyleNone)
        series.SetMarkerStyle(series.MarkerStyleDiamond)
        series.SetMarkerSize(9)
        series.SetColor(*_MARK_COLOR)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    return chart


def _add_series(folder: ResultFolder, title: str, table_node: Any, x: str, y: str, subfolder: int) -> Any:
    series = folder.add("vtkMRMLPlotSeriesNode", title, "series", subfolder)
    series.SetAndObserveTableNodeID(table_node.GetID())
    series.SetXColumnName(x)
    series.SetYColumnName(y)
    return series


def _unit(column: str) -> str:
    """``canal_area_mm2`` -> ``mm2``."""
    return column.rpartition("_")[2]


def _readable(column: str) -> str:
    """``canal_area_mm2`` -> ``Canal area (mm²)``."""
    words, _, unit = column.rpartition("_")
    return f"{words.replace('_', ' ').capitalize().replace(' ap ', ' AP ')} ({pretty_unit(unit)})" if words else column
