"""Whole runs in the panel on real scans, from click to table, with the built-in engine's network in its own process.

What they find is measured elsewhere; here the panel is to show it, and to survive whatever happens on the way.
"""

import os
import signal
import time
from dataclasses import replace

import pytest
import slicer
from panel_scene import Opened
from stand_in_engines import children

from SpineAnalysisLib.mrml.results import find_result, one_operation
from SpineAnalysisLib.mrml.volumes import add_volume
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.segmentation import read_segmentation


@pytest.fixture
def scan(fresh, real_data):
    """A sagittal T2 scan of the loins, chosen for the built-in engine."""
    found = read_image([real_data("lumbar_subject_cc0/mr15_t2_sag.nii.gz")]).volume
    with one_operation(slicer.mrmlScene, "MR") as folder:
        node = add_volume(folder, replace(found, name="T2 sagittal"), "T2")
    node.RemoveAttribute("SpineAnalysis.analysis")
    fresh.ui.volumeSelector.setCurrentNode(node)
    fresh.ui.engineRadio.click()
    fresh.settle()
    return fresh


def watched(opened: Opened, monkeypatch: pytest.MonkeyPatch, react) -> list[tuple[float, str]]:
    """What the progress bar shows during a run; ``react`` is called with each."""
    seen: list[tuple[float, str]] = []
    show = opened.panel._show_progress

    def shown(fraction, message=""):
        if fraction is not None:
            seen.append((fraction, message))
            react(fraction, message)
        show(fraction, message)
    monkeypatch.setattr(opened.panel, "_show_progress", shown)
    return seen


def test_a_scan_goes_from_click_to_table(scan, monkeypatch):
    scan.ui.symptomRootSelector.currentIndex = scan.ui.symptomRootSelector.findData("L5")
    busy = []
    seen = watched(scan, monkeypatch, lambda _fraction, message: busy.append(len(children()))
                   if "Segmenting the spine" in message else None)
    scan.click(scan.ui.runButton)
    assert max(busy) == 1, "the engine has a process of its own"
    assert children() == []
    assert [f for f, _m in seen] == sorted(f for f, _m in seen)
    rows = scan.texts(scan.ui.overviewTable)
    levels = [row[0] for row in rows]
    assert {"L3-L4", "L4", "L4-L5", "L5", "L5-S1"} <= set(levels)
    assert all(row[1] for row in rows if row[0] in ("L3-L4", "L4-L5")), "the canal is measured there"
    memory = scan.session.memory
    assert memory.provenance["engine"]["engine"] == "builtin"
    assert any("outlines" in doubt for doubt in memory.doubts)
    assert len(scan.ui.findingsText.toPlainText().splitlines()) > 2
    assert scan.ui.symptomNote.text
    segmentation = find_result(slicer.mrmlScene, scan.session.name, "segmentation")
    assert segmentation.GetSegmentation().GetNumberOfSegments() > 10
    scan.ui.overviewTable.setCurrentCell(levels.index("L4-L5"), 1)
    assert str(scan.session.record.level) == "L4-L5"
    # What people do next: they add a segment and measure again.
    segmentation.GetSegmentation().AddEmptySegment("", "my tumor")
    values = {(m.key, str(m.level), m.side): m.value for m in memory.measurements}
    scan.panel.turn_to(scan.panel.MEASURE)
    scan.click(scan.ui.measureButton)
    assert scan.parameters.inputSegmentation is segmentation
    assert segmentation.GetSegmentation().GetSegmentIdBySegmentName("my tumor")
    again = {(m.key, str(m.level), m.side): m.value for m in scan.session.memory.measurements}
    for level in ("L3-L4", "L4-L5"):
        key = ("canal_area", level, None)
        assert again[key] == pytest.approx(values[key], rel=0.02), "the same voxels give the same answer"


@pytest.mark.parametrize("moment", ["Looking for the spine", "Telling vertebrae apart", "Fitting vertebrae"])
def test_cancel_at_any_moment_leaves_nothing(scan, monkeypatch, moment):
    before, canceled = slicer.mrmlScene.GetNumberOfNodes(), []

    def react(_fraction, message):
        if moment in message and not canceled:
            canceled.append(time.monotonic())
            scan.ui.runButton.click()
    watched(scan, monkeypatch, react)
    scan.click(scan.ui.runButton)
    assert canceled
    assert "Canceled" in scan.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert not scan.panel.busy
    assert scan.ui.runButton.text.startswith("Segment")
    assert scan.session.memory is None
    assert children() == []


def test_an_engine_that_is_killed_is_one_sentence(scan, monkeypatch):
    def react(_fraction, message):
        if "Looking for the spine" in message:
            for number in children():
                os.kill(number, signal.SIGKILL)
    before = slicer.mrmlScene.GetNumberOfNodes()
    watched(scan, monkeypatch, react)
    scan.click(scan.ui.runButton)
    assert "was killed, most likely for lack of memory" in scan.ui.statusLabel.text
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert not scan.panel.busy


def test_a_scan_without_a_spine_is_one_sentence(scan):
    node = scan.session.volume
    slicer.util.arrayFromVolume(node)[:] = 100
    slicer.util.arrayFromVolume(node)[::2, ::3] = 140
    slicer.util.arrayFromVolumeModified(node)
    scan.click(scan.ui.runButton)
    assert "spine" in scan.ui.statusLabel.text
    assert scan.session.memory is None


def test_a_ct_with_another_programs_labels_goes_from_click_to_table(fresh, real_data):
    """The scheme of the label map is recognized."""
    scan = read_image([real_data("lumbar_ct_totalsegmentator/ct.nii.gz")]).volume
    found = read_segmentation(real_data("lumbar_ct_totalsegmentator/totalseg_labels.nii.gz")).volume
    with one_operation(slicer.mrmlScene, "CT") as folder:
        volume = add_volume(folder, replace(scan, name="Abdomen"), None)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    labels.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(found.ijk_to_ras))
    slicer.util.updateVolumeFromArray(labels, found.array.transpose(2, 1, 0).astype("uint8"))
    fresh.choose(volume, labels)
    assert "CT" in fresh.texts(fresh.ui.scanTable)[0][0]
    assert fresh.ui.schemeSelector.enabled
    fresh.click(fresh.ui.runButton)
    levels = [row[0] for row in fresh.texts(fresh.ui.overviewTable)]
    assert {"L1", "L3-L4", "L5", "S1"} <= set(levels)
    assert any("derived" in doubt for doubt in fresh.session.memory.doubts)
    density = fresh.session.analysis.measurement("trabecular_density", "L1")
    assert 50 < density.value < 350
    row = levels.index("L3-L4")
    fresh.ui.overviewTable.setCurrentCell(row, 1)
    assert fresh.session.record is not None
