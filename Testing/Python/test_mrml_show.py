"""An analysis in a scene: what is there, what it looks like, and that nothing else changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mrml_phantom
import numpy as np
import pytest
import slicer
import vtk

from SpineAnalysisLib import headless
from SpineAnalysisLib.errors import Cancelled
from SpineAnalysisLib.mrml import markups
from SpineAnalysisLib.mrml import show as room
from SpineAnalysisLib.mrml.results import find_result, remove_results
from SpineAnalysisLib.mrml.show import ResultNodes, show
from SpineAnalysisLib.mrml.volumes import volume_from_node
from SpineAnalysisLib.schemes import own_value
from SpineAnalysisLib.terminology import color_of, terminology_entry

TITLE = "Spine analysis: T2 sag"


@pytest.fixture(autouse=True)
def defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "definitions", lambda: mrml_phantom.DEFINITIONS)


@pytest.fixture
def scene() -> Iterator[Any]:
    with headless.fresh_scene() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shown() -> Iterator[tuple[Any, ResultNodes]]:
    """One scene for all tests that only look."""
    with pytest.MonkeyPatch.context() as patch, headless.fresh_scene() as fresh:
        patch.setattr(room, "definitions", lambda: mrml_phantom.DEFINITIONS)
        yield fresh, show(mrml_phantom.analysis(), fresh)


def tree(scene: Any, item: int | None = None) -> dict[str, Any]:
    """The subject hierarchy as nested names."""
    hierarchy = scene.GetSubjectHierarchyNode()
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID() if item is None else item, children, False)
    ids = [children.GetId(i) for i in range(children.GetNumberOfIds())]
    return {hierarchy.GetItemName(i): tree(scene, i) for i in ids}


def contents(scene: Any) -> tuple[list[str], dict[str, Any]]:
    return sorted(scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())), tree(scene)


def by_name(nodes: tuple[Any, ...], name: str) -> Any:
    return next(node for node in nodes if node.GetName() == name)


def test_subject_hierarchy_reads_well(shown: tuple[Any, ResultNodes]) -> None:
    scene, nodes = shown
    assert scene.GetSubjectHierarchyNode().GetItemName(nodes.folder) == TITLE
    assert tree(scene)[TITLE] == {
        "T2 sag": {}, "Spine segmentation": {}, "Vertebra levels": {}, "Canal centerline": {},
        "Measurements": {"L3-L4": {"L3-L4 canal area": {}},
                         "L4-L5": {"L4-L5 canal area": {}, "L4-L5 canal AP diameter": {}}},
        "Tables and plots": {
            "Analysis record": {}, "Measurements": {}, "Canal profile": {}, "Canal profile: levels": {},
            "Canal profile (mm²)": {}, "Canal area (mm²)": {}, "Levels (mm²)": {},
            "Canal profile (mm)": {}, "Canal AP diameter (mm)": {}, "Canal transverse diameter (mm)": {},
            "Levels (mm)": {}},
    }


def test_segments_have_names_colors_codes_and_surfaces(shown: tuple[Any, ResultNodes]) -> None:
    labels = mrml_phantom.labels()
    segmentation = shown[1].segmentation.GetSegmentation()
    present = {v: s for v, s in labels.structures.items() if (labels.array == v).any()}
    assert segmentation.GetNumberOfSegments() == len(present)
    assert segmentation.GetNumberOfLayers() == 1
    for value, structure in present.items():
        segment = segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(str(structure)))
        assert segment.GetLabelValue() == own_value(structure)
        assert np.allclose(segment.GetColor(), color_of(structure))
        tag = vtk.reference("")
        assert segment.GetTag("TerminologyEntry", tag)
        assert str(tag) == terminology_entry(structure)
        assert segment.HasTag("SpineAnalysis.derived") == (value in labels.derived)
        surface = segment.GetRepresentation("Closed surface")
        expected = labels.to_ras(np.argwhere(labels.array == value)).mean(axis=0)
        assert surface.GetNumberOfCells() > 100
        assert np.linalg.norm(np.array(surface.GetCenter()) - expected) < 6


def test_segmentation_is_cropped_and_has_the_whole_grid_as_reference(shown: tuple[Any, ResultNodes]) -> None:
    _, nodes = shown
    image = nodes.segmentation.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    assert image.GetNumberOfPoints() < np.prod(mrml_phantom.SHAPE) * 0.6
    role = nodes.segmentation.GetReferenceImageGeometryReferenceRole()
    assert nodes.segmentation.GetNodeReference(role) is nodes.image
    geometry = nodes.segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")
    grid = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, grid)
    assert grid.GetDimensions() == mrml_phantom.SHAPE
    matrix = vtk.vtkMatrix4x4()
    grid.GetImageToWorldMatrix(matrix)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), mrml_phantom.oblique_matrix(), atol=1e-6)


def test_slicer_exports_the_segments_it_was_given(shown: tuple[Any, ResultNodes]) -> None:
    _, nodes = shown
    segmentation = nodes.segmentation.GetSegmentation()
    canal = slicer.util.arrayFromSegmentBinaryLabelmap(
        nodes.segmentation, segmentation.GetSegmentIdBySegmentName("spinal canal"), nodes.image)
    assert np.array_equal(canal.transpose(2, 1, 0) > 0, mrml_phantom.labels().array == mrml_phantom.CANAL_LABEL)


def test_levels_stand_in_front_of_their_bodies(shown: tuple[Any, ResultNodes]) -> None:
    node = shown[1].levels
    points = slicer.util.arrayFromMarkupsControlPoints(node)
    assert [node.GetNthControlPointLabel(i) for i in range(3)] == ["L3", "L4", "L5"]
    for point, vertebra in zip(points, mrml_phantom.spine().vertebrae, strict=True):
        right, forward, up = vertebra.frame.to_frame(point)
        assert forward == pytest.approx(27.0)
        assert abs(right) + abs(up) < 1e-9
    assert node.GetLocked()
    everywhere, flat = node.GetNthDisplayNode(0), node.GetNthDisplayNode(1)
    assert not everywhere.GetSliceProjection()
    assert flat.GetSliceProjection()
    assert flat.IsDisplayableInView("vtkMRMLSliceNodeYellow")
    assert not flat.IsDisplayableInView("vtkMRMLSliceNodeRed")


def test_measurements_say_their_value_and_are_seen_where_abnormal(shown: tuple[Any, ResultNodes]) -> None:
    _, nodes = shown
    narrow, line, normal = (by_name(nodes.markups, name) for name in
                            ("L4-L5 canal area", "L4-L5 canal AP diameter", "L3-L4 canal area"))
    assert narrow.GetPropertiesLabelText().strip() == "72.3 mm²"
    assert narrow.GetDisplayNode().GetVisibility()
    assert narrow.GetDisplayNode().GetColor() == markups.SEVERITY_COLORS[mrml_phantom.STENOSIS.severity]
    assert not normal.GetDisplayNode().GetVisibility()
    assert all(node.GetLocked() for node in nodes.markups)
    assert slicer.util.arrayFromMarkupsControlPoints(line).shape == (2, 3)
    # The drawn curve, with fewer points, still has the area that it says.
    points = slicer.util.arrayFromMarkupsControlPoints(narrow)
    assert len(points) == 72
    flat = markups.plane_of(narrow).to_frame(points)
    area = 0.5 * abs(np.sum(flat[:, 0] * np.roll(flat[:, 1], -1) - flat[:, 1] * np.roll(flat[:, 0], -1)))
    assert area == pytest.approx(72.34, rel=0.003)


def test_a_markup_knows_its_record_and_its_plane(shown: tuple[Any, ResultNodes]) -> None:
    node = by_name(shown[1].markups, "L4-L5 canal area")
    assert node.GetAttribute("SpineAnalysis.key") == "canal_area"
    assert node.GetAttribute("SpineAnalysis.level") == "L4-L5"
    assert node.GetAttribute("SpineAnalysis.side") is None
    expected = next(m for m in mrml_phantom.measurements() if str(m.level) == "L4-L5").geometry.frame
    assert np.allclose(markups.plane_of(node).matrix, expected.matrix, atol=1e-5)


def test_measurement_table_has_a_row_for_every_record(shown: tuple[Any, ResultNodes]) -> None:
    table = shown[1].table.GetTable()
    records = mrml_phantom.measurements()
    column = {table.GetColumnName(i): table.GetColumn(i) for i in range(table.GetNumberOfColumns())}
    assert table.GetNumberOfRows() == len(records)
    assert [column["value"].GetValue(i) for i in (0, 2)] == [180.0, 72.34]
    assert np.isnan(column["value"].GetValue(4))
    assert column["flags"].GetValue(4) == "canal not in view at L5"
    assert column["measurement"].GetValue(0) == "Canal area"
    assert (column["grade"].GetValue(2), column["source"].GetValue(2)) == ("stenosis", "Bolender 1985")


def test_profile_is_plotted_by_unit_with_level_names(shown: tuple[Any, ResultNodes]) -> None:
    _, nodes = shown
    area, diameters = nodes.charts
    assert [area.GetNthPlotSeriesNode(i).GetYColumnName() for i in range(2)] == ["canal_area_mm2"] * 2
    assert diameters.GetNumberOfPlotSeriesNodes() == 3
    marks = area.GetNthPlotSeriesNode(1)
    assert marks.GetLabelColumnName() == "level"
    table = marks.GetTableNode()
    assert [table.GetCellText(i, table.GetColumnIndex("level")) for i in range(3)] == ["L3", "L4", "L5"]
    assert slicer.util.arrayFromTableColumn(table, "canal_area_mm2")[1] == pytest.approx(150 + 30 * np.cos(73 / 20))
    assert area.GetYAxisTitle() == "mm²"


def test_the_users_scan_is_used_and_stays_as_it_is(scene: Any) -> None:
    image = mrml_phantom.image()
    users = slicer.util.addVolumeFromArray(image.array.transpose(2, 1, 0), image.ijk_to_ras, "my scan")
    users.GetDisplayNode().AutoWindowLevelOff()
    users.GetDisplayNode().SetWindowLevel(10, 5)
    nodes = show(mrml_phantom.analysis(), scene, image_node=users)
    assert nodes.image is users
    assert nodes.name == "Spine analysis: my scan"
    assert "my scan" not in tree(scene)["Spine analysis: my scan"]
    assert users.GetDisplayNode().GetWindow() == 10
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert np.array_equal(volume_from_node(users).array, image.array)


@pytest.mark.parametrize("message", ["Showing the scan", "Showing the measurements", "Filling the tables", "Shown"])
def test_cancelling_leaves_the_scene_as_it_was(scene: Any, message: str) -> None:
    slicer.util.addVolumeFromArray(np.zeros((3, 3, 3), np.int16), name="mine")
    before = contents(scene)
    with pytest.raises(Cancelled):
        show(mrml_phantom.analysis(), scene, progress=lambda _fraction, text: text != message)
    assert contents(scene) == before
    assert not scene.IsBatchProcessing()


def test_an_error_on_the_way_leaves_the_scene_as_it_was(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    show(mrml_phantom.analysis(), scene)
    before = contents(scene)

    def fails(*_arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(room, "add_curve", fails)
    with pytest.raises(MemoryError):
        show(mrml_phantom.analysis(), scene, replace=True)
    assert contents(scene) == before


def test_showing_again_replaces_only_if_asked(scene: Any) -> None:
    empty = contents(scene)
    show(mrml_phantom.analysis(), scene)
    once = len(contents(scene)[0])
    show(mrml_phantom.analysis(), scene, replace=True)
    assert len(contents(scene)[0]) == once
    assert list(tree(scene)).count(TITLE) == 1
    show(mrml_phantom.analysis(), scene)
    assert len(contents(scene)[0]) == 2 * once - len(empty[0])
    show(mrml_phantom.analysis(), scene, name="other")
    remove_results(scene, TITLE)
    assert list(tree(scene)) == ["other"]
    remove_results(scene, "other")
    assert contents(scene) == empty


def test_what_the_user_moved_into_the_folder_stays(scene: Any) -> None:
    nodes = show(mrml_phantom.analysis(), scene)
    hierarchy = scene.GetSubjectHierarchyNode()
    mine = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "mine")
    hierarchy.CreateItem(nodes.folder, mine)
    remove_results(scene, nodes.name)
    assert tree(scene) == {TITLE: {"mine": {}}}
    assert mine.GetScene() is scene


def test_results_are_found_after_the_fact(shown: tuple[Any, ResultNodes]) -> None:
    scene, nodes = shown
    assert find_result(scene, nodes.name, "segmentation") is nodes.segmentation
    assert find_result(scene, nodes.name, "measurements") is nodes.table
    assert find_result(scene, "another", "segmentation") is None


def test_one_undo_takes_everything_back(scene: Any) -> None:
    slicer.util.addVolumeFromArray(np.zeros((3, 3, 3), np.int16), name="mine")
    scene.SetUndoOn()
    nodes = show(mrml_phantom.analysis(), scene)
    assert scene.GetNumberOfUndoLevels() == 1
    scene.Undo()
    assert scene.GetFirstNodeByName("mine") is not None
    for class_name in ("vtkMRMLSegmentationNode", "vtkMRMLMarkupsNode", "vtkMRMLTableNode", "vtkMRMLPlotChartNode"):
        assert scene.GetNumberOfNodesByClass(class_name) == 0
    assert find_result(scene, nodes.name, "image") is None


def test_masks_without_a_scan(scene: Any) -> None:
    analysis = mrml_phantom.analysis()
    nodes = show(replace(analysis, spine=replace(analysis.spine, image=None)), scene)
    assert nodes.image is None
    assert nodes.name == "Spine analysis: phantom"
    assert nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 9
