"""Level labels, the canal's centerline and measurements as markups."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import slicer

from ..anatomy import Level, Segment
from ..geometry.frames import Frame
from ..measurements.record import Geometry, GeometryType, Measurement, Severity
from ..measurements.registry import Definition
from ..report.wording import pretty_unit
from ..spine import Spine
from ..volume import FloatArray
from .results import ResultFolder

KEY_ATTRIBUTE = "SpineAnalysis.key"
LEVEL_ATTRIBUTE = "SpineAnalysis.level"
SIDE_ATTRIBUTE = "SpineAnalysis.side"
PLANE_ATTRIBUTE = "SpineAnalysis.plane"
"""Origin, right and anterior axis of the plane to look at a measurement in: nine numbers, RAS."""

ALWAYS_DRAWN = "canal_area"
"""Segments show this measurement even where it is normal: it tells where the canal is narrowest."""

SHOWN_FROM = Severity.MODERATE
"""From here on a measurement is visible at once; milder ones are there to be switched on."""

SEVERITY_COLORS: Mapping[Severity, tuple[float, float, float]] = {
    Severity.NORMAL: (0.18, 0.70, 0.77), Severity.MILD: (0.88, 0.71, 0.0),
    Severity.MODERATE: (0.94, 0.54, 0.14), Severity.SEVERE: (0.90, 0.28, 0.30),
}
_LEVEL_COLOR = (1.0, 1.0, 0.75)
_CENTERLINE_COLOR = (0.30, 0.75, 0.93)

_CLASSES: Mapping[GeometryType, str] = {
    "point": "vtkMRMLMarkupsFiducialNode", "line": "vtkMRMLMarkupsLineNode", "angle": "vtkMRMLMarkupsAngleNode",
    "contour": "vtkMRMLMarkupsClosedCurveNode", "curve": "vtkMRMLMarkupsCurveNode",
    "plane": "vtkMRMLMarkupsClosedCurveNode",
}
_MOST_POINTS = 72  # of a curve: a control point costs far more than a vertex
_CENTERLINE_STEP_MM = 5.0
_DEFAULT_BODY_AP_MM = 30.0
_LABEL_GAP_MM = 12.0  # the text runs from its point toward the body, as seen from the patient's left
_FLAT_VIEWS = ("vtkMRMLSliceNodeYellow", "vtkMRMLSliceNodeGreen", "vtkMRMLSliceNodeSpineSagittal")
"""Slicer's sagittal and coronal view, and the sagittal one of the panel."""


def add_level_labels(folder: ResultFolder, spine: Spine) -> Any:
    """The name of every vertebra in front of its body."""
    node = folder.add("vtkMRMLMarkupsFiducialNode", "Vertebra levels", "levels")
    with slicer.util.NodeModify(node):
        for vertebra in spine.vertebrae:
            forward = (vertebra.body_ap_mm or _DEFAULT_BODY_AP_MM) / 2 + _LABEL_GAP_MM
            at = vertebra.frame.origin + forward * vertebra.frame.anterior
            node.AddControlPoint(at.tolist(), str(vertebra.level))
    display = node.GetDisplayNode()
    _style(display, _LEVEL_COLOR)
    display.SetPointLabelsVisibility(True)
    display.SetTextScale(3.5)
    display.SetOccludedVisibility(True)
    _show_out_of_plane(folder, node)
    node.SetLocked(True)
    return node


def _show_out_of_plane(folder: ResultFolder, node: Any) -> None:
    """Project the labels onto sagittal and coronal views; on axial ones they would all lie on one another."""
    display = folder.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialDisplayNode")
    display.CopyContent(node.GetDisplayNode())
    display.SliceProjectionOn()
    display.SetSliceProjectionOpacity(1.0)
    for view in _FLAT_VIEWS:
        display.AddViewNodeID(view)
    node.AddAndObserveDisplayNodeID(display.GetID())


def add_centerline(folder: ResultFolder, spine: Spine) -> Any:
    """The centerline of the canal (or of the cord, without one) as an open curve."""
    title = "Cord centerline" if spine.canal is None and spine.cord is not None else "Canal centerline"
    node = folder.add("vtkMRMLMarkupsCurveNode", title, "centerline")
    centerline = spine.centerline
    count = max(2, round(centerline.length / _CENTERLINE_STEP_MM) + 1)
    points = centerline.position(np.linspace(0.0, centerline.length, count))
    slicer.util.updateMarkupsControlPointsFromArray(node, points)
    _style(node.GetDisplayNode(), _CENTERLINE_COLOR)
    node.SetLocked(True)
    return node


class Drawn(NamedTuple):
    """A record that gets a markup.

    :param visible: at once; otherwise it is there to be switched on.
    """

    record: Measurement
    geometry: Geometry
    visible: bool


def drawn(measurements: Iterable[Measurement], definitions: Mapping[str, Definition]) -> list[Drawn]:
    """What gets a markup: the records of abnormal levels, and the canal's narrowest section at every segment.

    What is drawn at all is for the measurement's definition to say.  Visible are clearly abnormal records, and the
    contour that they were measured in.
    """
    worst: dict[Level | Segment | None, Severity] = {}
    for m in measurements:
        worst[m.level] = max(worst.get(m.level, Severity.NORMAL), m.severity)
    out = []
    for m in measurements:
        if m.geometry is None or m.key not in definitions or not definitions[m.key].draw:
            continue
        always = m.key == ALWAYS_DRAWN and isinstance(m.level, Segment)
        if always or worst[m.level] > Severity.NORMAL:
            counts = worst[m.level] if m.geometry.type == "contour" else m.severity
            out.append(Drawn(m, m.geometry, counts >= SHOWN_FROM))
    return out


def add_measurement(folder: ResultFolder, what: Drawn, definition: Definition, subfolder: int) -> Any:
    """One record as a locked line, curve or point that says its value."""
    record, geometry, visible = what
    where = " ".join(str(part) for part in (record.level, record.side) if part is not None)
    title = definition.noun if where else definition.title
    node = folder.add(_CLASSES[geometry.type], f"{where} {title}".strip(), "measurement", subfolder)
    with slicer.util.NodeModify(node):
        slicer.util.updateMarkupsControlPointsFromArray(node, _points(geometry))
        if node.IsA("vtkMRMLMarkupsCurveNode"):
            node.SetCurveTypeToLinear()
        _say_value(node, record, definition)
        for name, value in _attributes(record, geometry.frame).items():
            node.SetAttribute(name, value)
    display = node.GetDisplayNode()
    _style(display, SEVERITY_COLORS[record.severity])
    display.SetPropertiesLabelVisibility(record.severity >= SHOWN_FROM or not visible)
    display.SetVisibility(visible)
    node.SetLocked(True)
    return node


def _attributes(record: Measurement, frame: Frame | None) -> dict[str, str]:
    """What a node remembers of its record."""
    values = {KEY_ATTRIBUTE: record.key, LEVEL_ATTRIBUTE: record.level, SIDE_ATTRIBUTE: record.side,
              PLANE_ATTRIBUTE: _plane_text(frame) if frame else None}
    return {name: str(value) for name, value in values.items() if value is not None}


def plane_of(node: Any) -> Frame | None:
    """The plane to look at a measurement's markup in, as the scene keeps it."""
    text = node.GetAttribute(PLANE_ATTRIBUTE)
    if not text:
        return None
    origin, right, anterior = np.array(text.split(), float).reshape(3, 3)
    return Frame(origin, right, anterior, np.cross(right, anterior))


def _plane_text(frame: Frame) -> str:
    return " ".join(f"{x:.6f}" for x in np.concatenate([frame.origin, frame.right, frame.anterior]))


def _points(geometry: Geometry) -> FloatArray:
    points = np.asarray(geometry.points_RAS, float)
    if len(points) <= _MOST_POINTS:
        return points
    return points[np.linspace(0, len(points), _MOST_POINTS, endpoint=False).astype(int)]


def _say_value(node: Any, record: Measurement, definition: Definition) -> None:
    """Replace what Slicer would measure on the markup by the record's own value."""
    for index in range(node.GetNumberOfMeasurements()):
        node.GetNthMeasurement(index).SetEnabled(False)
    if record.value is None:
        return
    measurement = slicer.vtkMRMLStaticMeasurement()
    measurement.SetName(record.key)
    measurement.SetUnits(pretty_unit(record.unit))
    measurement.SetPrintFormat(record.word or f"%.{definition.decimals}f %s")
    measurement.SetValue(record.value)
    node.AddMeasurement(measurement)
    node.UpdateAllMeasurements()


def _style(display: Any, color: tuple[float, float, float]) -> None:
    """A thin line with hardly visible points, in one color whether selected or not."""
    display.SetColor(*color)
    display.SetSelectedColor(*color)
    display.SetGlyphScale(0.5)
    display.SetLineThickness(0.8)  # of a glyph
    display.SetTextScale(3.0)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.HandlesInteractiveOff()
