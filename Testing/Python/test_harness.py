"""The stand-in for Slicer's application: it offers what Slicer offers, and the panel uses no more."""

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import slicer

from Harness import api, pythonqt, slicer_application

slicer_application.install()

import ctk  # noqa: E402, the stand-in's
import qt  # noqa: E402

MODULES = Path(__file__).resolve().parents[2] / "SpineAnalysis"
SOURCES = [*sorted(MODULES.glob("*.py")), *sorted((MODULES / "SpineAnalysisLib" / "panel").glob("*.py"))]
UI = ElementTree.parse(MODULES / "Resources" / "UI" / "SpineAnalysis.ui").getroot()
WIDGETS = {w.get("name"): w.get("class") for w in UI.iter("widget")}
LAYOUTS = {w.get("name"): w.get("class") for w in UI.iter("layout")}
OWN_PROPERTIES = {"SlicerParameterName", "buddy"}  # Qt's loader knows the latter


def nodes(kind: type) -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        yield from ((path, node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind))


def ui_widget(node: ast.AST) -> str | None:
    """``self.ui.scanTable`` or ``ui.scanTable`` -> ``scanTable``."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("ui", "self.ui", "self._ui"):
        return node.attr
    return None


# ---- the stand-in

@pytest.mark.parametrize("use", [
    lambda: qt.QPushButton().caption, lambda: setattr(qt.QPushButton(), "caption", "x"),
    lambda: qt.QPushButton().connect("clicked(int)", print), lambda: qt.QNothing,
    lambda: ctk.QPushButton, lambda: slicer.qMRMLNodeComboBox().currentNodes(), lambda: qt.QSlider.Sideways])
def test_what_slicer_has_not_is_refused(use):
    with pytest.raises(AttributeError, match="has no"):
        use()


def test_read_only_properties_and_methods_cannot_be_set():
    table = qt.QTableWidget()
    with pytest.raises(AttributeError, match="read-only"):
        table.frameWidth = 3
    with pytest.raises(AttributeError, match="no property"):
        table.item = None


def test_properties_are_attributes():
    button = qt.QPushButton("Go")
    button.enabled, button.toolTip, button.objectName = False, "Start.", "goButton"
    assert (button.text, button.enabled, button.toolTip, button.name) == ("Go", False, "Start.", "goButton")


def test_slots_get_as_many_arguments_as_they_take():
    got = []
    table = qt.QTableWidget(2, 2)
    table.connect("currentCellChanged(int,int,int,int)", lambda row, column: got.append((row, column)))
    table.connect("currentCellChanged(int,int,int,int)", lambda: got.append(()))
    table.setCurrentCell(1, 0)
    assert got == [(1, 0), ()]


def test_what_is_disconnected_stays_silent():
    got = []
    box = qt.QCheckBox()
    box.toggled.connect(got.append)
    box.checked = True
    box.toggled.disconnect(got.append)
    box.checked = False
    assert got == [True]


def test_a_slot_that_fails_stops_nobody(capsys):
    pythonqt.errors.clear()
    box, got = qt.QCheckBox(), []
    box.connect("toggled(bool)", lambda on: 1 / 0)
    box.connect("toggled(bool)", got.append)
    box.checked = True
    assert got == [True]
    assert [type(error) for error in pythonqt.errors] == [ZeroDivisionError]
    pythonqt.errors.clear()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_node_selector_follows_the_scene():
    slicer.mrmlScene.Clear()
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(slicer.mrmlScene)
    seen = []
    box.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Scan")
    assert (box.nodeCount(), box.currentNode()) == (1, None)
    box.setCurrentNode(node)
    assert box.currentNode() is node
    slicer.mrmlScene.RemoveNode(node)
    assert box.nodeCount() == 0
    assert seen == [node, None]


# ---- the panel's own calls

def test_widgets_of_the_panel_exist_in_slicer_with_these_properties():
    wrong = []
    for widget in UI.iter("widget"):
        for prop in widget.findall("property"):
            try:
                if prop.get("name") not in OWN_PROPERTIES and widget.get("class") in api.classes():
                    assert api.kind_of(widget.get("class"), prop.get("name")) == "property"
            except (AssertionError, AttributeError) as error:
                wrong.append(f"{widget.get('name')}.{prop.get('name')}: {error}")
    assert wrong == []
    assert {cls for cls in WIDGETS.values() if cls not in api.classes()} == set()


def test_connections_of_the_panel_exist_in_slicer():
    for connection in UI.iter("connection"):
        sender, signal = connection.find("sender").text, connection.find("signal").text
        api.check_signal(WIDGETS[sender], signal)
        assert api.kind_of(WIDGETS[connection.find("receiver").text],
                           connection.find("slot").text.partition("(")[0]) == "slot"


def test_the_code_uses_widgets_that_are_there_and_what_slicer_gives_them():
    wrong, used = [], 0
    for path, node in nodes(ast.Attribute):
        name = ui_widget(node.value)
        if name is None:
            continue
        used += 1
        if name not in WIDGETS and name not in LAYOUTS:
            wrong.append(f"{path.name}: {name}")
        elif name in WIDGETS:
            try:
                api.kind_of(WIDGETS[name], node.attr)
            except AttributeError as error:
                wrong.append(f"{path.name}: {error}")
    assert wrong == []
    assert used > 100


def test_the_code_connects_signals_that_slicer_has():
    wrong, used = [], 0
    for path, call in nodes(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "connect" and call.args
                and isinstance(call.args[0], ast.Constant)):
            continue
        name = ui_widget(call.func.value)
        classes = [WIDGETS[name]] if name in WIDGETS else api.classes()
        used += 1
        if not any(call.args[0].value in api.signals(c) for c in classes) and call.args[0].value != "activated()":
            wrong.append(f"{path.name}: {name} {call.args[0].value}")
    assert wrong == []
    assert used > 20


def test_the_code_uses_classes_and_enums_of_qt_that_slicer_has():
    wrong, used = [], set()
    for path, node in nodes(ast.Attribute):
        parts = ast.unparse(node).split(".")
        if parts[0] not in ("qt", "ctk") or len(parts) < 2 or parts[1] == "Qt":
            continue
        used.add(parts[1])
        try:
            assert api.module_of(parts[1]) == parts[0]
            if len(parts) > 2:
                api.kind_of(parts[1], parts[2])
        except (AssertionError, AttributeError, KeyError) as error:
            wrong.append(f"{path.name}: {'.'.join(parts)}: {error}")
    assert wrong == []
    assert len(used) > 8


def test_every_control_says_what_it_does():
    passive = {"QWidget", "QLabel", "QSplitter", "qMRMLWidget"}
    silent = [w.get("name") for w in UI.iter("widget") if w.get("class") not in passive
              and not any(p.get("name") == "toolTip" and p.find("string").text.endswith(".")
                          for p in w.findall("property"))]
    assert silent == []


def test_every_class_that_the_panel_names_is_declared_in_its_file():
    declared = {widget.find("class").text for widget in UI.iter("customwidget")}
    assert {cls for cls in WIDGETS.values() if not cls.startswith("Q")} == declared
