"""Slicer's logic on a scan without a segmentation: an engine, help by points, edits that are measured."""

import runpy
import types
from pathlib import Path

import numpy as np
import pytest
import slicer
from network_answers import Table, center_of, scan_of

from Harness import application, slicer_application
from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.mrml.hints import hints_from_node
from SpineAnalysisLib.mrml.results import ANALYSIS_ATTRIBUTE, ResultFolder, find_result
from SpineAnalysisLib.mrml.volumes import add_volume
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.segmentation import builtin
from SpineAnalysisLib.segmentation.hints import HintKind
from SpineAnalysisLib.segmentation.network.model import Network
from SpineAnalysisLib.volume import LabelMap, Volume

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scan() -> tuple[Volume, LabelMap]:
    return scan_of(Phantom(SpineSpec.typical(Level.L4, Level.S1)), (1.0, 1.0, 4.0), "PSR")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.setattr(builtin, "load", lambda _path: Network(Table(), "0" * 64, {"version": "table"}))
    slicer_application.install()
    slicer.mrmlScene.Clear()
    import SpineAnalysis

    return SpineAnalysis


def volume_node(scan: Volume) -> object:
    return add_volume(ResultFolder(slicer.mrmlScene, "mine"), scan, "T2")


def test_a_scan_alone_is_segmented_measured_and_edited(module: types.ModuleType, scan: tuple[Volume, LabelMap]) -> None:
    logic = module.SpineAnalysisLogic()
    node = volume_node(scan[0])
    first = logic.analyze(node)
    assert {str(v.level) for v in first.spine.vertebrae} >= {"L4", "L5"}
    assert first.provenance["engine"]["engine"] == "builtin"
    name = f"Spine analysis: {node.GetName()}"
    drawn = find_result(slicer.mrmlScene, name, "segmentation")
    drawn.GetSegmentation().RemoveSegment("L4_L5_disc")
    drawn.GetSegmentation().AddEmptySegment("", "my tumor")
    again = logic.analyze(node, drawn)
    assert again.provenance["engine"] is None
    derived = [a.spine.labels.is_derived(a.spine.labels.values(Kind.DISC, Level.L4)) for a in (first, again)]
    assert derived == [False, True], "the edited segmentation is measured, whose disc is gone"
    assert find_result(slicer.mrmlScene, name, "segmentation") is drawn, "what the user edited stays"
    segments = [drawn.GetSegmentation().GetNthSegment(i).GetName()
                for i in range(drawn.GetSegmentation().GetNumberOfSegments())]
    assert "my tumor" in segments
    assert "L4-L5 disc" in segments, "the derived one is added"
    third = logic.analyze(node)
    assert third.provenance["engine"]["engine"] == "builtin"
    assert find_result(slicer.mrmlScene, name, "segmentation") is not drawn
    assert not slicer.mrmlScene.IsNodePresent(drawn), "nobody has changed it since"
    edited = find_result(slicer.mrmlScene, name, "segmentation")
    edited.GetSegmentation().AddEmptySegment("", "my screw")
    logic.analyze(node)
    assert slicer.mrmlScene.IsNodePresent(edited), "a new segmentation does not replace an edited one"
    assert edited.GetAttribute(ANALYSIS_ATTRIBUTE) is None
    assert edited.GetName() == "Spine segmentation (edited)"


def test_points_of_the_scene_help(module: types.ModuleType, scan: tuple[Volume, LabelMap]) -> None:
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    between = center_of(scan[1], Structure(Kind.DISC, Level.L4))
    points.AddControlPoint((between - [5.0, 0.0, 0.0]).tolist(), "merge: these are one")
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 5.0
    slicer.util.updateTransformMatrixFromArray(shift, matrix)
    points.SetAndObserveTransformNodeID(shift.GetID())
    hint, = hints_from_node(points)
    assert hint.kind is HintKind.MERGE
    assert np.allclose(hint.points_RAS, [between])
    points.SetNthControlPointLabel(0, "F-1")
    node = volume_node(scan[0])
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="The point F-1 does not say what it means"):
        module.SpineAnalysisLogic().analyze(node, hintsNode=points)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_cancel_and_failure_leave_the_scene_alone(module: types.ModuleType, scan: tuple[Volume, LabelMap]) -> None:
    logic = module.SpineAnalysisLogic()
    node = volume_node(scan[0])
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(Cancelled):
        logic.analyze(node, progress=lambda fraction, _message: fraction < 0.2)
    with pytest.raises(InputError, match="There is no engine magic"):
        logic.analyze(node, engine="magic")
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert logic.engines()[0] == "builtin"


def test_the_readme_s_three_lines(module: types.ModuleType, scan: tuple[Volume, LabelMap],
                                  monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if slicer.app.moduleManager().module("SpineAnalysis") is None:
        application.load_module(REPOSITORY / "SpineAnalysis" / "SpineAnalysis.py")
    blocks = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    lines = next(block for block in blocks if "getModuleLogic" in block).partition("```")[0]
    assert len(lines.splitlines()) == 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "console.py").write_text(lines, encoding="utf-8")
    names = runpy.run_path(str(tmp_path / "console.py"), {"slicer": slicer, "volumeNode": volume_node(scan[0])})
    analysis = names["analysis"]
    assert analysis.measurement("canal_area", "L4-L5").value > 50
    assert "Canal area" in repr(analysis.table())
    assert "L4-L5" in (tmp_path / "report.html").read_text(encoding="utf-8")
    again = names["logic"].analyze(names["volumeNode"], symptom="L5 left")
    assert {str(each.level) for each in again.explanations} >= {"L4-L5"}
    with pytest.raises(InputError, match="names no dermatome"):
        names["logic"].analyze(names["volumeNode"], symptom="knee")
