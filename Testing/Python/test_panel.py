"""The panel: every control does what it says, and a whole run goes from clicks to tables."""

import csv
import json

import numpy as np
import pytest
import slicer
from panel_scene import Opened, add_phantom
from PySide6 import QtCore, QtGui, QtWidgets

from Harness import pythonqt
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.measurements.record import Severity
from SpineAnalysisLib.mrml.results import find_result, nodes_of
from SpineAnalysisLib.mrml.views import AXIAL_VIEW, SAGITTAL_VIEW


@pytest.fixture(scope="module")
def _run(opened):
    opened.run()
    return opened


@pytest.fixture
def done(_run):
    """The panel after a run, whose scene tests do not change for one another."""
    if _run.session.memory is None or _run.parameters.limits or _run.parameters.anchors is not None:
        _run.run()
    yield _run
    assert pythonqt.errors == []


def matrix(view: str) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(slicer.mrmlScene.GetSingletonNode(view, "vtkMRMLSliceNode").GetSliceToRAS())


def record(opened: Opened, key: str, level: str) -> tuple[int, object]:
    """Row in the detail table and record, after going to its level."""
    ui = opened.ui
    row = [r[0] for r in opened.texts(ui.overviewTable)].index(level)
    ui.overviewTable.setCurrentCell(row, 0)
    memory = opened.session.memory
    for index in range(ui.detailTable.rowCount):
        found = memory.measurements[ui.detailTable.item(index, 0).data(256)]
        if found.key == key:
            return index, found
    raise AssertionError(f"no {key} at {level}")


# ---- before a run

def test_the_panel_fits_beside_the_views_of_a_small_screen(done):
    least = done.module.widgetRepresentation().minimumSizeHint
    assert least.width() <= 390, "Slicer's panel is about so wide"
    assert least.height() <= 480, "on 1280 x 800, of which Slicer's own bars take the rest"


def test_an_empty_scene_asks_for_a_scan(fresh):
    assert not fresh.ui.scanNextButton.enabled
    assert "Load a scan" in fresh.ui.scanNote.text
    assert not fresh.ui.sampleButton._it.isHidden()
    assert not fresh.ui.runButton.enabled
    assert "scan" in fresh.ui.runButton.toolTip
    assert fresh.texts(fresh.ui.overviewTable) == []
    assert not fresh.ui.measureNote._it.isHidden(), "it says why the tables are empty"
    assert not fresh.ui.reportButton.enabled


def test_scans_are_listed_with_what_they_show(fresh):
    volume, _segmentation = add_phantom()
    fresh.settle()
    table = fresh.ui.scanTable
    assert table.item(0, 0).text() == "T2 sagittal\nT2"
    assert table.cellWidget(0, 1).currentText == "T2 (guessed)"
    fresh.ui.volumeSelector.setCurrentNode(volume)
    fresh.settle()
    assert fresh.parameters.inputVolume is volume
    assert fresh.ui.scanNextButton.enabled
    assert table.item(0, 2).checkState() == pythonqt.QtCore.Qt.Checked
    fresh.click(fresh.ui.scanNextButton)
    assert fresh.ui.stepTabs.currentIndex == 1


def test_a_wrong_guess_is_corrected_and_kept_with_the_scan(fresh):
    volume, _segmentation = add_phantom()
    fresh.settle()
    fresh.ui.scanTable.cellWidget(0, 1).currentIndex = 2
    fresh.settle()
    assert volume.GetAttribute("SpineAnalysis.contrast") == "T1"
    assert fresh.texts(fresh.ui.scanTable)[0][0] == "T2 sagittal\nT1"


def test_further_scans_of_the_visit_are_checked(fresh):
    first, _ = add_phantom()
    second, _ = add_phantom("T1 sagittal")
    fresh.ui.volumeSelector.setCurrentNode(first)
    fresh.settle()
    row = [text[0].partition("\n")[0] for text in fresh.texts(fresh.ui.scanTable)].index("T1 sagittal")
    fresh.ui.scanTable.item(row, 2).setCheckState(pythonqt.QtCore.Qt.Checked)
    fresh.settle()
    assert fresh.session.further() == [second]


@pytest.mark.parametrize(("change", "said"), [
    (lambda v: v.SetAttribute("Sequences.BaseName", "phase"), "4D"),
    (lambda v: slicer.util.updateVolumeFromArray(v, slicer.util.arrayFromVolume(v)[:, :, :2].copy()), "three slices"),
    (lambda v: (v.SetSpacing(1, 1, 1), v.SetOrigin(0, 0, 0)), "neither position"),
    (lambda v: slicer.util.updateVolumeFromArray(v, np.zeros((40, 40, 40), np.int16)), "nothing"),
])
def test_scans_that_promise_trouble_are_told_early(fresh, change, said):
    volume, _ = add_phantom()
    change(volume)
    fresh.ui.volumeSelector.setCurrentNode(volume)
    fresh.panel.update()
    assert said in fresh.ui.scanNote.text


# ---- a run

def test_clicks_lead_to_a_table(done):
    rows = done.texts(done.ui.overviewTable)
    assert [row[0] for row in rows][:5] == ["L4", "L4-L5", "L5", "L5-S1", "S1"]
    _, area = record(done, "canal_area", "L4-L5")
    assert 55 < area.value < 100
    assert any(row[0] == "Canal area" and row[1].startswith(f"{area.value:.0f} ±")
               for row in done.texts(done.ui.detailTable))
    assert done.ui.measureNote._it.isHidden()
    assert done.ui.overviewTable.item(1, 1).background().color().red() > 200
    assert "L4-L5" in done.ui.findingsText.toPlainText()
    assert "measurements" in done.ui.statusLabel.text
    assert [w.enabled for w in (done.ui.reportButton, done.ui.tableButton, done.ui.copyButton)] == [True] * 3
    assert not done.panel.busy
    assert done.ui.runButton.text == "Label and measure"


def test_diameters_are_told_from_the_areas_in_their_column(done):
    row = [text[0] for text in done.texts(done.ui.overviewTable)].index("L4-L5")
    _, area = record(done, "canal_area", "L4-L5")
    _, across = record(done, "canal_ap_diameter", "L4-L5")
    shown = done.texts(done.ui.overviewTable)[row][1]
    worst = max((area, across), key=lambda each: each.severity)
    assert shown == (f"{area.value:.0f}" if worst is area else f"Ø {across.value:.1f}")
    diameters = [text[1] for text in done.texts(done.ui.overviewTable) if text[1] and float(text[1].strip("Ø ")) < 20]
    assert diameters
    assert all(text.startswith("Ø ") for text in diameters)


def test_the_spine_views_come_and_go(done):
    manager = slicer.app.layoutManager()
    assert manager.layout == 27131
    done.ui.spineViewsCheck.click()
    done.settle()
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    done.panel.go_to(Level.L4)
    at = done.session.walk.frame(done.session.s).origin
    for view in ("Red", "Yellow", "Green"):
        np.testing.assert_allclose(matrix(view)[:3, 3], at, atol=1e-3)
    done.ui.spineViewsCheck.click()
    done.settle()
    assert manager.layout == 27131
    slicer.util.selectModule("Data")
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    slicer.util.selectModule("SpineAnalysis")
    assert manager.layout == 27131
    slicer.util.selectModule("Data")
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
    slicer.util.selectModule("SpineAnalysis")


def test_a_measurement_is_shown_alone_in_its_own_plane(done):
    row, area = record(done, "canal_area", "L4-L5")
    done.ui.detailTable.setCurrentCell(row, 0)
    plane = area.geometry.frame
    assert abs(matrix(AXIAL_VIEW)[:3, 2] @ plane.superior) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(matrix(AXIAL_VIEW)[:3, 3], plane.origin, atol=1e-3)
    shown = [n.GetAttribute("SpineAnalysis.key") for n in nodes_of(slicer.mrmlScene, done.session.name,
             "vtkMRMLMarkupsNode") if n.GetAttribute("SpineAnalysis.key") and n.GetDisplayNode().GetVisibility()]
    assert shown == ["canal_area"]


def test_a_sagittal_measurement_turns_the_sagittal_view(done):
    row, height = record(done, "disc_height_middle", "L4-L5")
    done.ui.detailTable.setCurrentCell(row, 0)
    assert abs(matrix(SAGITTAL_VIEW)[:3, 2] @ height.geometry.frame.superior) == pytest.approx(1.0, abs=1e-4)
    node = next(n for n in nodes_of(slicer.mrmlScene, done.session.name, "vtkMRMLMarkupsNode")
                if n.GetAttribute("SpineAnalysis.key") == "disc_height_middle" and n.GetDisplayNode().GetVisibility())
    points = slicer.util.arrayFromMarkupsControlPoints(node)
    np.testing.assert_allclose(points, height.geometry.points_RAS, atol=1e-3)


def test_normal_measurements_are_drawn_only_while_they_are_looked_at(done):
    def focused():
        return [n.GetAttribute("SpineAnalysis.key") for n in nodes_of(slicer.mrmlScene, done.session.name,
                "vtkMRMLMarkupsNode") if n.GetAttribute("SpineAnalysis.role") == "focus"]

    row, _ = record(done, "canal_transverse_diameter", "L5")
    done.ui.detailTable.setCurrentCell(row, 0)
    assert focused() == ["canal_transverse_diameter"]
    done.panel.walk(1)
    assert focused() == [], "who walks on no longer looks at it"
    done.ui.detailTable.setCurrentCell(0, 0)
    done.panel.leave()
    done.panel.enter()
    assert focused() == []
    shown = {n.GetAttribute("SpineAnalysis.level") for n in nodes_of(slicer.mrmlScene, done.session.name,
             "vtkMRMLMarkupsNode") if n.GetAttribute("SpineAnalysis.key") and n.GetDisplayNode().GetVisibility()}
    assert "L4-L5" in shown, "the abnormal ones are back"


def test_up_and_down_walk_the_levels(done):
    done.panel.go_to(Level.L4)
    seen = []
    for _ in range(5):
        seen.append(str(done.session.level))
        done.click(done.ui.levelDownButton)
    assert seen == ["L4", "L4-L5", "L5", "L5-S1", "S1"]
    done.click(done.ui.levelUpButton)
    assert done.ui.levelName.text == "<b>L5-S1</b>"
    assert done.ui.overviewTable.item(done.ui.overviewTable.currentRow(), 0).text() == "L5-S1"


def test_the_keys_of_the_slider_walk_the_levels(done):
    done.panel.go_to(Level.L5)
    slider = done.ui.levelSlider._it
    done.module._widget.show()
    slider.setFocus()
    done.settle()
    QtWidgets.QApplication.sendEvent(slider, QtGui.QKeyEvent(QtGui.QKeyEvent.ShortcutOverride, 0x01000015,
                                                             pythonqt.QtCore.Qt.NoModifier))
    next(s for s in done.panel._shortcuts if s.key.toString() == "Down").activated.emit()
    assert str(done.session.level) == "L5-S1"


def test_the_slider_follows_the_canal(done):
    walk = done.session.walk
    for s in (10, round(walk.length / 2)):
        done.ui.levelSlider.value = s
        frame = walk.frame(s)
        np.testing.assert_allclose(matrix(AXIAL_VIEW)[:3, 3], frame.origin, atol=1e-6)
        assert abs(matrix(AXIAL_VIEW)[:3, 2] @ walk.centerline.tangent(s)) == pytest.approx(1.0)
        assert abs(matrix(SAGITTAL_VIEW)[:3, 2] @ frame.right) == pytest.approx(1.0)


def test_the_walk_agrees_with_the_spine(done):
    spine = done.session.analysis.spine
    for vertebra in spine.vertebrae:
        s = done.session.walk.s_of(vertebra.level)
        frame = done.session.walk.frame(s)
        assert frame.anterior @ vertebra.frame.anterior > np.cos(np.radians(20))
        assert np.linalg.norm(done.session.walk.body(s) - vertebra.frame.origin) < 12.0


def test_the_plot_shows_the_chosen_curve(done):
    box = done.ui.plotSelector
    assert box.count == 2
    for index in (1, 0):
        box.currentIndex = index
        view = slicer.mrmlScene.GetSingletonNode("SpinePlot", "vtkMRMLPlotViewNode")
        assert view.GetPlotChartNode().GetName() == box.currentText


# ---- levels

def test_levels_are_listed_with_their_doubt(done):
    rows = done.texts(done.ui.labelTable)
    assert [row[0] for row in rows] == ["L4", "L5", "S1"]
    done.panel.go_to(Level.S1)
    done.ui.labelTable.setCurrentCell(1, 0)
    assert done.session.level == Level.L5
    assert done.ui.anchorSelector.currentData == "L5"


def test_naming_one_vertebra_names_all(done):
    done.panel.turn_to(done.panel.LABEL)
    done.ui.labelTable.setCurrentCell(1, 0)
    done.ui.anchorSelector.currentIndex = done.ui.anchorSelector.findData("L6")
    done.click(done.ui.anchorButton)
    assert [row[0] for row in done.texts(done.ui.labelTable)] == ["L5", "L6", "S1"]
    assert "that you named" in done.ui.labelNote.text
    assert done.parameters.anchors.GetNthControlPointLabel(0) == "L6"
    assert "L5-L6" in done.ui.findingsText.toPlainText()
    done.click(done.ui.forgetButton)
    assert [row[0] for row in done.texts(done.ui.labelTable)] == ["L4", "L5", "S1"]


def test_names_are_whole_in_a_narrow_panel(done):
    """Long ones go on in a second line."""
    table = done.ui.detailTable._it
    for row in range(table.rowCount()):
        item = table.item(row, 0)
        place = table.visualItemRect(item)
        needed = table.fontMetrics().boundingRect(0, 0, place.width() - 6, 1000, QtCore.Qt.TextWordWrap, item.text())
        assert needed.height() <= place.height(), item.text()
        assert needed.width() <= place.width(), item.text()


# ---- families and thresholds

def test_families_that_are_not_checked_are_not_measured(done):
    boxes = done.panel.steps[3]._checks
    boxes["herniation"].click()
    done.click(done.ui.measureButton)
    headers = [done.ui.overviewTable.horizontalHeaderItem(i).text() for i in range(done.ui.overviewTable.columnCount)]
    assert "Bulge" not in headers
    assert "Canal" in headers
    boxes["herniation"].click()
    done.click(done.ui.measureButton)
    assert done.ui.overviewTable.columnCount == len(headers) + 1


def test_own_limits_grade_and_say_so(done):
    table = done.ui.thresholdTable
    rows = done.texts(table)
    row = next(i for i, r in enumerate(rows) if "Schönström" in r[3])
    assert rows[row][2] == "75 mm²"
    table.item(row, 2).setText("60")
    done.settle()
    assert json.loads(done.parameters.limits) == {"schoenstroem_1985": [60.0]}
    assert done.texts(table)[row][3] == "own"
    assert "Schönström" in table.item(row, 2).toolTip()
    done.click(done.ui.measureButton)
    _, area = record(done, "canal_area", "L4-L5")
    grade = next(g for g in area.grades if g.rule == "schoenstroem_1985")
    assert "own limits, instead of 75" in grade.source
    assert (grade.severity > Severity.NORMAL) == (area.value < 60.0)
    done.click(done.ui.thresholdResetButton)
    done.click(done.ui.measureButton)
    assert done.texts(table)[row][2] == "75 mm²"


@pytest.mark.parametrize("text", ["wide", "", "500"])
def test_limits_that_make_no_sense_are_refused(done, text):
    table = done.ui.thresholdTable
    row = next(i for i, r in enumerate(done.texts(table)) if "Bolender" in r[3])
    table.item(row, 2).setText(text)
    done.settle()
    assert done.parameters.limits == ""
    assert done.texts(table)[row][2] == "100 mm²"
    assert "limit" in done.ui.statusLabel.text


# ---- report

@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Answers every file dialog; opens no browser."""
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName",
                        lambda _parent, _title, name, _kind: (str(tmp_path / name), ""))
    monkeypatch.setattr(QtGui.QDesktopServices, "openUrl", lambda _url: True)
    return tmp_path


def test_findings_are_edited_and_reported(done, asked):
    measured = done.ui.findingsText.toPlainText()
    done.ui.findingsText.setPlainText("Narrow at L4-L5, in my words.")
    done.settle()
    assert done.parameters.findings == "Narrow at L4-L5, in my words."
    done.click(done.ui.reportButton)
    text = (asked / "report.html").read_text(encoding="utf-8")
    assert "Narrow at L4-L5, in my words." in text
    assert measured.splitlines()[0] not in text
    done.click(done.ui.findingsResetButton)
    assert done.ui.findingsText.toPlainText() == measured


def test_everything_can_be_written(done, asked):
    for button in (done.ui.tableButton, done.ui.sceneButton):
        done.click(button)
    with (asked / "measurements.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    area = next(r for r in rows if (r["key"], r["level"]) == ("canal_area", "L4-L5"))
    assert 55 < float(area["value"]) < 100
    assert (asked / "spine.mrb").stat().st_size > 10_000
    assert "spine.mrb" in done.ui.statusLabel.text


def test_the_clipboard_gets_findings_and_table(done):
    done.click(done.ui.copyButton)
    text = QtWidgets.QApplication.clipboard().text()
    assert text.startswith(done.parameters.findings)
    assert "Canal area" in text


def test_a_file_that_cannot_be_written_is_told(done, monkeypatch):
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", lambda *_: ("/nowhere/x.csv", ""))
    done.ui.tableButton.click()
    done.settle()
    assert [type(error) for error in pythonqt.errors] == [FileNotFoundError]
    pythonqt.errors.clear()


def test_the_results_are_filed_under_one_name(done):
    assert done.session.name == "Spine analysis: T2 sagittal"
    assert find_result(slicer.mrmlScene, done.session.name, "memory") is not None
