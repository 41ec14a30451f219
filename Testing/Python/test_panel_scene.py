"""The panel's life with its scene: saved and loaded, closed, changed under it, canceled, failed, several analyses."""

import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from panel_scene import Opened, add_phantom, phantom

from Harness import pythonqt
from SpineAnalysisLib import headless
from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.mrml.results import remove_results, result_items
from SpineAnalysisLib.mrml.views import AXIAL_VIEW
from SpineAnalysisLib.progress import step
from SpineAnalysisLib.schemes import LabeledInput
from SpineAnalysisLib.segmentation.protocol import Engine, Segmented
from SpineAnalysisLib.segmentation.registry import engines


def segment_phantom(job):
    step(job.progress, 0.5, "Half way")
    return Segmented(LabeledInput(phantom()[1], "spineanalysis"), provenance={"engine": "tried"})


def engine_that(run) -> Engine:
    return Engine("tried", "Tried", "MR", "Apache-2.0", "https://example.org", "json", ("json",), "Any computer.", run,
                  terms="Cite it.", takes_hints=True)


@pytest.fixture
def tried(fresh, monkeypatch):
    """The panel with a scan and an engine of the test's own; call it with what the engine does."""
    volume, segmentation = add_phantom()
    slicer.mrmlScene.RemoveNode(segmentation)

    def choose(run):
        monkeypatch.setitem(engines(), "tried", engine_that(run))
        fresh.ui.volumeSelector.setCurrentNode(volume)
        fresh.parameters.source, fresh.parameters.engine = "engine", "tried"
        fresh.settle()
        return fresh
    return choose


def panel_texts(opened: Opened) -> list:
    ui = opened.ui
    return [opened.texts(ui.overviewTable), opened.texts(ui.labelTable), ui.findingsText.toPlainText(),
            ui.levelName.text, ui.volumeSelector.currentNode().GetName(), ui.plotSelector.count]


# ---- engines

def test_an_engine_segments_the_scan_on_a_click(tried):
    opened = tried(segment_phantom)
    assert "Apache-2.0" in opened.ui.engineNote.text
    assert "Cite it." in opened.ui.engineNote.text
    opened.click(opened.ui.runButton)
    assert opened.texts(opened.ui.overviewTable)[1][0] == "L4-L5"
    assert opened.session.memory.provenance["engine"] == {"engine": "tried"}
    made = opened.parameters.inputSegmentation
    assert made.GetSegmentation().GetNumberOfSegments() >= 6
    assert opened.parameters.source == "segmentation", "it is there now, to be edited and measured again"
    assert opened.ui.editButton.enabled


def test_points_go_to_the_engine(tried):
    seen = []

    def run(job):
        seen.extend((hint.kind.value, hint.points_RAS.round().tolist()) for hint in job.hints)
        return segment_phantom(job)
    opened = tried(run)
    opened.ui.pointKindSelector.currentIndex = opened.ui.pointKindSelector.findData("split")
    opened.click(opened.ui.pointPlaceButton)
    opened.parameters.hints.AddControlPoint([1.0, 2.0, 3.0])
    opened.settle()
    assert "1 points" in opened.ui.pointNote.text
    opened.click(opened.ui.runButton)
    assert seen == [("split", [[1.0, 2.0, 3.0]])]
    opened.click(opened.ui.pointClearButton)
    assert opened.parameters.hints.GetNumberOfControlPoints() == 0


def test_an_engine_that_fails_leaves_one_sentence(tried):
    def run(job):
        raise InputError("Tried ran out of memory: crop the scan.")
    opened = tried(run)
    before = slicer.mrmlScene.GetNumberOfNodes()
    opened.click(opened.ui.runButton)
    assert "out of memory" in opened.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert not opened.panel.busy
    assert opened.ui.runButton.text.startswith("Segment")
    assert opened.session.memory is None


def test_an_engine_that_breaks_is_shown_as_an_error(tried):
    def run(job):
        raise RuntimeError("a bug")
    opened = tried(run)
    opened.click(opened.ui.runButton)
    assert [str(error) for error in pythonqt.errors] == ["a bug"]
    assert not opened.panel.busy
    pythonqt.errors.clear()


def test_what_is_not_installed_says_how_to_get_it(tried, monkeypatch):
    opened = tried(segment_phantom)
    monkeypatch.setitem(engines(), "tried", replace(engine_that(segment_phantom), package="surely_not_here"))
    opened.panel.update()
    assert not opened.ui.runButton.enabled
    assert "Install" in opened.ui.runButton.toolTip
    assert not opened.ui.installButton._it.isHidden()


# ---- cancel

def test_the_application_goes_on_while_it_works_and_cancel_ends_it(tried):
    running = threading.Event()
    turns = []

    def run(job):
        running.set()
        for _ in range(4000):  # until the progress raises
            step(job.progress, 0.3, "Working")
            time.sleep(0.005)
    opened = tried(run)
    timer = pythonqt.QtCore.QTimer()

    def turn():
        turns.append((opened.ui.runButton.text, opened.ui.progressBar.value, opened.ui.scanPage.enabled))
        if running.is_set() and opened.panel.busy and len(turns) > 3:
            opened.ui.runButton.click()  # it says Cancel
    timer.timeout.connect(turn)
    timer.start(5)
    before = slicer.mrmlScene.GetNumberOfNodes()
    opened.click(opened.ui.runButton)
    timer.stop()
    assert turns[3][0] == "Cancel"
    assert not turns[3][2], "inputs are locked meanwhile"
    assert "Canceled" in opened.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert threading.active_count() < 4


@pytest.mark.parametrize("moment", [0.85, 0.97])
def test_cancel_while_nodes_are_added_takes_them_out(fresh, monkeypatch, moment):
    fresh.choose(*add_phantom())
    show = fresh.panel._show_progress

    def watch(fraction, message=""):
        if fraction is not None and fraction >= moment:
            fresh.panel.cancel()
        show(fraction, message)
    monkeypatch.setattr(fresh.panel, "_show_progress", watch)
    before = slicer.mrmlScene.GetNumberOfNodes()
    fresh.click(fresh.ui.runButton)
    assert "Canceled" in fresh.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert fresh.session.memory is None


def test_closing_the_scene_cancels(tried):
    def run(job):
        for _ in range(2000):
            step(job.progress, 0.3, "Working")
            time.sleep(0.005)
    opened = tried(run)
    timer = pythonqt.QtCore.QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(slicer.mrmlScene.Clear)
    timer.start(50)
    opened.click(opened.ui.runButton)
    assert not opened.panel.busy
    assert opened.session.memory is None


# ---- the scene

def test_a_saved_scene_brings_the_panel_back(fresh, tmp_path):
    fresh.run()
    fresh.panel.walk(1)
    fresh.ui.findingsText.setPlainText("In my words.")
    fresh.settle()
    before = panel_texts(fresh)
    headless.write_mrb(slicer.mrmlScene, tmp_path / "scene.mrb")
    fresh.clear()
    assert fresh.texts(fresh.ui.overviewTable) == []
    headless.read_mrb(slicer.mrmlScene, tmp_path / "scene.mrb")
    fresh.settle()
    (loaded,) = fresh.widget.logic.getAllParameterNodes()
    assert fresh.ui.parameterSelector.currentNode() is loaded, "the untouched one made way for it"
    assert panel_texts(fresh) == before
    assert fresh.session.analysis is None
    fresh.ui.overviewTable.setCurrentCell(1, 1)
    assert fresh.session.record is not None
    fresh.click(fresh.ui.measureButton)
    assert fresh.ui.findingsText.toPlainText() == "In my words.", "what people wrote outlives a run"
    assert "as you edited them" in fresh.ui.statusLabel.text
    fresh.click(fresh.ui.findingsResetButton)
    assert "L4-L5" in fresh.ui.findingsText.toPlainText()
    assert fresh.session.analysis is not None, "it can be measured again from what the scene holds"


def test_results_that_are_removed_or_undone_leave_the_panel(fresh):
    fresh.run()
    assert fresh.texts(fresh.ui.overviewTable)
    remove_results(slicer.mrmlScene, fresh.session.name)
    fresh.settle()
    assert fresh.texts(fresh.ui.overviewTable) == []
    assert not fresh.ui.reportButton.enabled
    assert not fresh.ui.levelSlider.enabled


def test_the_longest_scan_is_proposed(fresh):
    short, _ = add_phantom("axial block")
    slicer.util.updateVolumeFromArray(short, slicer.util.arrayFromVolume(short)[:20].copy())
    long, _ = add_phantom("T2 sagittal")
    fresh.ui.parameterSelector.addNode()
    fresh.settle()
    assert fresh.parameters.inputVolume is long
    assert fresh.parameters.source == "segmentation"


def test_the_last_analysis_that_is_deleted_leaves_a_fresh_one(fresh):
    fresh.run()
    before = fresh.parameters.parameterNode
    fresh.ui.parameterSelector.removeCurrentNode()
    fresh.settle()
    assert before.GetScene() is None
    assert fresh.parameters.parameterNode.GetScene() is slicer.mrmlScene
    assert fresh.ui.parameterSelector.currentNode() is fresh.parameters.parameterNode
    assert fresh.texts(fresh.ui.overviewTable) == []


def test_a_scene_that_is_imported_adds_its_analyses(fresh, tmp_path):
    fresh.run()
    fresh.ui.findingsText.setPlainText("Of the file.")
    fresh.settle()
    headless.write_mrb(slicer.mrmlScene, tmp_path / "scene.mrb")
    fresh.ui.findingsText.setPlainText("Of the scene.")
    fresh.settle()
    mine = fresh.parameters.parameterNode
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrb"))
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    fresh.settle()
    assert fresh.parameters.parameterNode is mine, "what people look at stays"
    assert fresh.ui.findingsText.toPlainText() == "Of the scene."
    imported = next(n for n in fresh.widget.logic.getAllParameterNodes() if n is not mine)
    fresh.ui.parameterSelector.setCurrentNode(imported)
    fresh.settle()
    assert fresh.ui.findingsText.toPlainText() == "Of the file."
    assert fresh.texts(fresh.ui.overviewTable)


def test_undo_takes_a_run_back(fresh):
    volume, segmentation = add_phantom()
    fresh.choose(volume, segmentation)
    slicer.mrmlScene.SetUndoOn()
    try:
        nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode")
        fresh.click(fresh.ui.runButton)
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") > nodes
        slicer.mrmlScene.Undo()
        fresh.settle()
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == nodes
        assert fresh.texts(fresh.ui.overviewTable) == []
    finally:
        slicer.mrmlScene.SetUndoOff()
        slicer.mrmlScene.ClearUndoStack()


def test_transformed_nodes_are_analyzed_where_they_are(fresh):
    volume, segmentation = add_phantom()
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[0, -1, 0, 30], [1, 0, 0, 0], [0, 0, 1, -70], [0, 0, 0, 1]], float)
    slicer.util.updateTransformMatrixFromArray(shift, matrix)
    fresh.choose(volume, segmentation)
    fresh.click(fresh.ui.runButton)
    straight = {str(v.level): v.frame.origin for v in fresh.session.analysis.spine.vertebrae}
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(shift.GetID())
    fresh.click(fresh.ui.measureButton)
    for vertebra in fresh.session.analysis.spine.vertebrae:
        moved = matrix[:3, :3] @ straight[str(vertebra.level)] + matrix[:3, 3]
        np.testing.assert_allclose(vertebra.frame.origin, moved, atol=0.3)
    fresh.panel.go_to(Level.L5)
    at = slicer.util.arrayFromVTKMatrix(
        slicer.mrmlScene.GetSingletonNode(AXIAL_VIEW, "vtkMRMLSliceNode").GetSliceToRAS())[:3, 3]
    assert np.linalg.norm(at - (matrix[:3, :3] @ straight["L5"] + matrix[:3, 3])) < 40.0


def test_a_scan_that_is_removed_is_no_longer_chosen(fresh):
    volume, segmentation = add_phantom()
    fresh.choose(volume, segmentation)
    slicer.mrmlScene.RemoveNode(volume)
    slicer.mrmlScene.RemoveNode(segmentation)
    fresh.settle()
    assert fresh.session.volume is None
    assert not fresh.ui.runButton.enabled
    assert fresh.texts(fresh.ui.scanTable) == []


def test_analyses_live_side_by_side(fresh):
    fresh.run()
    first = fresh.parameters.parameterNode
    fresh.ui.parameterSelector.addNode()
    fresh.settle()
    assert fresh.parameters.parameterNode is not first
    assert fresh.texts(fresh.ui.overviewTable) == []
    fresh.choose(first.GetNodeReference("inputVolume"), first.GetNodeReference("inputSegmentation"))
    fresh.click(fresh.ui.runButton)
    assert fresh.session.name == "Spine analysis: T2 sagittal (2)"
    assert len(result_items(slicer.mrmlScene, "Spine analysis: T2 sagittal")) == 1
    fresh.ui.findingsText.setPlainText("Second.")
    fresh.settle()
    fresh.ui.parameterSelector.setCurrentNode(first)
    fresh.settle()
    assert "L4-L5" in fresh.ui.findingsText.toPlainText()
    fresh.ui.spineViewsCheck.checked = False
    fresh.settle()
    second = next(n for n in fresh.widget.logic.getAllParameterNodes() if n is not first)
    assert (first.GetParameter("spineViews"), second.GetParameter("spineViews")) == ("False", "True")


def test_the_user_edits_the_segmentation_and_measures_again(tried):
    opened = tried(segment_phantom)
    opened.click(opened.ui.runButton)
    made = opened.parameters.inputSegmentation
    segmentation = made.GetSegmentation()
    segmentation.RemoveSegment(segmentation.GetSegmentIdBySegmentName("L4-L5 disc"))
    segmentation.AddEmptySegment("", "my tumor")
    nodes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    opened.panel.turn_to(opened.panel.MEASURE)
    opened.click(opened.ui.measureButton)
    assert opened.parameters.inputSegmentation is made
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes
    assert segmentation.GetSegmentIdBySegmentName("my tumor"), "nothing that people have added is lost"
    assert segmentation.GetSegmentIdBySegmentName("L4-L5 disc"), "derived anew"
    labels = opened.session.analysis.spine.labels
    assert labels.is_derived(labels.values(Kind.DISC, Level.L4))
    assert len(result_items(slicer.mrmlScene, opened.session.name)) == 1
    assert made.GetDisplayVisibility()


@pytest.fixture
def reloaded(fresh):
    """The panel, which a test may reload; then it is made of the modules again that other tests have imported."""
    known = library()
    yield fresh
    for name in library():
        del sys.modules[name]
    sys.modules.update(known)
    slicer.util.reloadScriptedModule("SpineAnalysis")
    fresh.settle()


def library():
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "SpineAnalysisLib"}


def test_the_module_reloads_with_its_results(reloaded):
    reloaded.run()
    before = panel_texts(reloaded)
    panel = reloaded.panel
    reloaded.widget.onReload()
    reloaded.settle()
    assert reloaded.panel is not panel
    assert panel_texts(reloaded) == before
    assert slicer.app.layoutManager().layout == 27131
    assert len(reloaded.widget.Observations) == len({o[:3] for o in reloaded.widget.Observations})


def test_what_other_modules_keep_in_the_scene_is_left_alone(reloaded):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Other")
    other.SetAttribute("ModuleName", "Other")
    reloaded.widget.onReload()
    reloaded.settle()
    assert other.GetAttribute("ModuleName") == "Other"
    assert reloaded.parameters.parameterNode is not other
