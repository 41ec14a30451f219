"""The Slicer module: its description, its panel's file, its parameters, its logic on nodes."""

import ast
import sys
import types
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import slicer

from Harness import slicer_application

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "SpineAnalysis" / "SpineAnalysis.py"
PANEL = ElementTree.parse(REPOSITORY / "SpineAnalysis" / "Resources" / "UI" / "SpineAnalysis.ui").getroot()
WIDGETS = {widget.get("name"): widget for widget in PANEL.iter("widget")}


@pytest.fixture(scope="module")
def module() -> types.ModuleType:
    slicer_application.install()
    import SpineAnalysis

    return SpineAnalysis


@pytest.fixture
def logic(module):
    slicer.mrmlScene.Clear()
    return module.SpineAnalysisLogic()


def bound_parameters() -> dict[str, str]:
    """Field of the parameter node -> class of the widget that is bound to it."""
    return {prop.find("string").text: widget.get("class") for widget in WIDGETS.values()
            for prop in widget.findall("property") if prop.get("name") == "SlicerParameterName"}


def test_slicer_learns_what_the_module_is(module, monkeypatch):
    connected = []
    monkeypatch.setattr(slicer, "app", types.SimpleNamespace(connect=lambda *signal: connected.append(signal)),
                        raising=False)
    parent = types.SimpleNamespace(path=str(SOURCE))
    module.SpineAnalysis(parent)
    assert parent.title == "Spine Analysis"
    assert parent.categories == ["Quantification"]
    assert "Not a medical device" in parent.helpText
    assert connected == [("startupCompleted()", module.registerSampleData)]


def test_the_sample_is_offered_and_computed(module, logic, monkeypatch):
    offered = []
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **source: offered.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    monkeypatch.setattr(module.SpineAnalysisLogic, "loadSample", lambda self: ["scan", "segmentation"])
    module.registerSampleData()
    phantom, *scans = offered
    assert phantom["sampleName"] == module.SAMPLE_NAME
    assert phantom["customDownloader"](None) == ["scan", "segmentation"]
    assert {source["category"] for source in offered} == {"Spine"}
    for source in scans:
        algorithm, _, checksum = source["checksums"].partition(":")
        assert (algorithm, len(bytes.fromhex(checksum))) == ("SHA256", 32)
        assert source["uris"].endswith(f"/SHA256/{checksum}"), "what is downloaded is addressed by its content"


def test_the_panel_is_bound_to_the_parameters(module):
    fields = set(module.SpineAnalysisParameterNode.allParameters)
    assert bound_parameters() == {"inputVolume": "qMRMLNodeComboBox", "inputSegmentation": "qMRMLNodeComboBox",
                                  "spineViews": "QCheckBox"}
    assert bound_parameters().keys() <= fields


def test_node_selectors_follow_the_scene():
    selectors = {name for name, widget in WIDGETS.items() if widget.get("class") == "qMRMLNodeComboBox"}
    connected = {c.find("receiver").text for c in PANEL.iter("connection")
                 if c.find("signal").text == "mrmlSceneChanged(vtkMRMLScene*)"}
    assert selectors == connected


def test_what_users_read_can_be_translated():
    """Texts of the widget go through _(), those of the panel are strings that Qt translates."""
    shown = {"setStatusTip", "errorDisplay", "showStatusMessage", "tryWithErrorDisplay", "confirmOkCancelDisplay",
             "say", "Cell", "addItem", "setToolTip"}
    properties = {"text", "toolTip", "title", "placeholderText"}
    bare = []
    for path in (SOURCE, *sorted((SOURCE.parent / "SpineAnalysisLib" / "panel").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                bare += [a.value for a in node.args[:1] if name in shown and isinstance(a, ast.Constant)]
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                bare += [node.value.value for t in node.targets if isinstance(t, ast.Attribute)
                         and t.attr in properties]
    assert [text for text in bare if isinstance(text, str) and any(map(str.isalpha, text))] == []


def test_parameters_live_in_the_scene(module, logic):
    parameters = logic.getParameterNode()
    assert (parameters.inputVolume, parameters.scheme, parameters.source) == (None, "auto", "engine")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters.inputVolume, parameters.scheme, parameters.source = volume, "verse", "segmentation"
    again = module.SpineAnalysisLogic().getParameterNode()
    assert again.inputVolume is volume
    assert (again.scheme, again.source) == ("verse", "segmentation")
    with pytest.raises(ValueError, match="nowhere"):
        parameters.source = "nowhere"


def test_schemes_are_those_of_the_library(logic):
    from SpineAnalysisLib.schemes import SCHEMES

    assert logic.schemes() == ["auto", *SCHEMES]


def test_the_modules_own_test_passes(module):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(module.SpineAnalysisTest).run(result)
    assert [text for _, text in result.failures + result.errors] == []
    assert result.testsRun == 3


def test_a_report_is_written(module, logic, tmp_path):
    analysis = logic.analyze(*logic.loadSample())
    logic.writeReport(analysis, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "L4-L5" in text
    assert "not a medical device" in text.lower()


def test_a_label_map_is_as_good_as_a_segmentation(logic):
    _scan, segmentation = logic.loadSample(scan=False)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    identifiers = list(segmentation.GetSegmentation().GetSegmentIDs())
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(segmentation, identifiers, labels)
    own = np.array([0, *(segmentation.GetSegmentation().GetSegment(i).GetLabelValue() for i in identifiers)], np.uint16)
    slicer.util.updateVolumeFromArray(labels, own[slicer.util.arrayFromVolume(labels)])
    analysis = logic.analyze(None, labels, scheme="spineanalysis")
    assert "L4-L5" in analysis.findings[0]
    assert str(analysis.spine.vertebrae[-1].level) == "S1"
