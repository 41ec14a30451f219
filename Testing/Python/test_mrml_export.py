"""Files that Slicer opens: written, read back into another scene, compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mrml_phantom
import numpy as np
import pytest
import SimpleITK
import slicer
import vtk

from SpineAnalysisLib import headless
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.mrml import show as room
from SpineAnalysisLib.mrml import views
from SpineAnalysisLib.mrml.export import write_scene, write_segmentation
from SpineAnalysisLib.mrml.markups import plane_of
from SpineAnalysisLib.mrml.results import ANALYSIS_ATTRIBUTE, find_result
from SpineAnalysisLib.mrml.segmentations import segments_from_node, tag_of
from SpineAnalysisLib.mrml.show import show
from SpineAnalysisLib.mrml.volumes import volume_from_node
from SpineAnalysisLib.schemes import own_value
from SpineAnalysisLib.terminology import color_of, terminology_entry

TITLE = "Spine analysis: T2 sag"


@pytest.fixture(autouse=True)
def defined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "definitions", lambda: mrml_phantom.DEFINITIONS)


def described(scene: Any) -> set[tuple[str, str, str, str]]:
    """What was filed for an analysis: class, name, role and key of every node."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return {(n.GetClassName(), n.GetName(), n.GetAttribute("SpineAnalysis.role"), n.GetAttribute("SpineAnalysis.key"))
            for n in nodes if n.GetAttribute(ANALYSIS_ATTRIBUTE) == TITLE}


def hierarchy_of(scene: Any) -> list[str]:
    """Every item as a path of names."""
    node = scene.GetSubjectHierarchyNode()
    ids = vtk.vtkIdList()
    node.GetItemChildren(node.GetSceneItemID(), ids, True)
    paths = []
    for i in range(ids.GetNumberOfIds()):
        item, path = ids.GetId(i), []
        while item != node.GetSceneItemID():
            path.insert(0, node.GetItemName(item))
            item = node.GetItemParent(item)
        paths.append("/".join(path))
    return sorted(paths)


def test_scene_comes_back_with_the_same_nodes_and_values(tmp_path: Path) -> None:
    with headless.fresh_scene() as scene:
        show(mrml_phantom.analysis(), scene)
        nodes, paths = described(scene), hierarchy_of(scene)
    write_scene(mrml_phantom.analysis(), tmp_path / "scene.mrb")
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]
    with headless.fresh_scene() as scene:
        headless.read_mrb(scene, tmp_path / "scene.mrb")
        assert described(scene) == nodes
        assert hierarchy_of(scene) == paths
        image = volume_from_node(find_result(scene, TITLE, "image"))
        assert np.array_equal(image.array, mrml_phantom.image().array)
        assert np.allclose(image.ijk_to_ras, mrml_phantom.oblique_matrix(), atol=1e-6)
        labels = mrml_phantom.labels()
        for segment in segments_from_node(find_result(scene, TITLE, "segmentation")):
            value = next(v for v, s in labels.structures.items() if str(s) == segment.name)
            assert segment.terminology == terminology_entry(labels.structures[value])
            points = segment.mask.to_ras(np.argwhere(segment.mask.array))
            assert np.abs(points - labels.to_ras(np.argwhere(labels.array == value))).max() < 1e-5
        narrow = scene.GetFirstNodeByName("L4-L5 canal area")
        assert narrow.GetPropertiesLabelText().strip() == "72.3 mm²"
        assert narrow.GetLocked()
        assert plane_of(narrow) is not None
        assert not scene.GetFirstNodeByName("L3-L4 canal area").GetDisplayNode().GetVisibility()
        values = slicer.util.arrayFromTableColumn(find_result(scene, TITLE, "measurements"), "value")
        expected = [np.nan if m.value is None else m.value for m in mrml_phantom.measurements()]
        assert np.allclose(values, expected, equal_nan=True)


def test_scene_opens_on_the_worst_level(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_scene(mrml_phantom.analysis(), tmp_path / "scene.mrb")
    worst = next(m for m in mrml_phantom.measurements() if m.grades).geometry.frame
    with headless.fresh_scene() as scene:
        headless.read_mrb(scene, tmp_path / "scene.mrb")
        assert capfd.readouterr() == ("", "")
        image = find_result(scene, TITLE, "image")
        for name in ("Red", "Yellow", "Green"):
            assert scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode").GetBackgroundVolumeID() == image.GetID()
            slice_node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
            to_slice = np.linalg.inv(slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS()))
            assert abs((to_slice @ [*worst.origin, 1])[2]) < 1e-3
        red = slicer.util.arrayFromVTKMatrix(scene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetSliceToRAS())
        assert np.allclose(red[:3, :3], np.stack([-worst.right, worst.anterior, worst.superior], 1), atol=1e-4)
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpView
        camera = scene.GetFirstNodeByClass("vtkMRMLCameraNode")
        from_spine = np.array(camera.GetPosition()) - camera.GetFocalPoint()
        assert from_spine[0] > 50
        assert from_spine[1] > 50
        display = find_result(scene, TITLE, "segmentation").GetDisplayNode()
        assert 0 < display.GetOpacity2DFill() < 0.5 < display.GetOpacity2DOutline()


def test_a_click_jumps_to_the_plane() -> None:
    with headless.fresh_scene() as scene:
        nodes = show(mrml_phantom.analysis(), scene)
        slice_node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
        line = next(n for n in nodes.markups if n.GetName() == "L4-L5 canal AP diameter")
        assert views.jump_to(line, slice_node)
        to_slice = np.linalg.inv(slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS()))
        ends = slicer.util.arrayFromMarkupsControlPoints(line)
        assert np.abs(ends @ to_slice[2, :3] + to_slice[2, 3]).max() < 1e-3
        assert not views.jump_to(nodes.levels, slice_node)


@pytest.mark.parametrize("message", ["Showing the segmentation", "Writing the scene"])
def test_cancelling_leaves_no_file(tmp_path: Path, message: str) -> None:
    with pytest.raises(Cancelled):
        write_scene(mrml_phantom.analysis(), tmp_path / "scene.mrb", progress=lambda _fraction, text: text != message)
    assert list(tmp_path.iterdir()) == []


def test_progress_only_grows(tmp_path: Path) -> None:
    seen: list[float] = []
    write_scene(mrml_phantom.analysis(), tmp_path / "scene.mrb", progress=lambda fraction, _text: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_segmentation_file_has_the_labels_on_their_grid(tmp_path: Path) -> None:
    labels = mrml_phantom.labels()
    path = tmp_path / "spine.seg.nrrd"
    write_segmentation(mrml_phantom.analysis(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["spine.seg.nrrd"]
    image = SimpleITK.ReadImage(str(path))
    own = np.zeros(labels.shape, np.uint16)
    for value, structure in labels.structures.items():
        own[labels.array == value] = own_value(structure)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), own)
    lps = np.diag([-1.0, -1.0, 1.0])
    directions = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    assert np.allclose(lps @ directions, labels.ijk_to_ras[:3, :3], atol=1e-6)
    assert np.allclose(lps @ image.GetOrigin(), labels.ijk_to_ras[:3, 3], atol=1e-6)


def test_mirrored_axes_keep_every_structure_in_its_place(tmp_path: Path) -> None:
    """A left-handed grid, which Slicer turns around when it reads the file."""
    analysis = mrml_phantom.analysis()
    labels, image = analysis.spine.labels, analysis.spine.image
    matrix = labels.ijk_to_ras @ np.array([[-1, 0, 0, labels.shape[0] - 1.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    spine = replace(analysis.spine, labels=replace(labels, array=labels.array[::-1], ijk_to_ras=matrix),
                    image=replace(image, array=image.array[::-1], ijk_to_ras=matrix))
    write_scene(replace(analysis, spine=spine), tmp_path / "scene.mrb")
    with headless.fresh_scene() as scene:
        headless.read_mrb(scene, tmp_path / "scene.mrb")
        node = find_result(scene, TITLE, "segmentation")
        for segment in segments_from_node(node):
            value = next(v for v, s in labels.structures.items() if str(s) == segment.name)
            points = segment.mask.to_ras(np.argwhere(segment.mask.array))
            expected = labels.to_ras(np.argwhere(labels.array == value))
            assert len(points) == len(expected)
            assert np.abs(np.sort(points, axis=0) - np.sort(expected, axis=0)).max() < 1e-4
        node.CreateClosedSurfaceRepresentation()
        surface = node.GetClosedSurfaceInternalRepresentation(segment_id(node, "L4 body"))
        mass = vtk.vtkMassProperties()
        mass.SetInputData(surface)
        assert mass.GetVolume() == pytest.approx((labels.array == 2).sum() * labels.voxel_volume, rel=0.08)
        back = volume_from_node(find_result(scene, TITLE, "image"))
        probe = np.argwhere(mrml_phantom.image().array > 240)[:50]
        there = np.round(back.to_ijk(mrml_phantom.image().to_ras(probe))).astype(int)
        assert np.array_equal(back.array[tuple(there.T)], mrml_phantom.image().array[tuple(probe.T)])


def segment_id(node: Any, name: str) -> str:
    return node.GetSegmentation().GetSegmentIdBySegmentName(name)


def test_segmentation_file_names_colors_and_codes_segments(tmp_path: Path) -> None:
    labels = mrml_phantom.labels()
    write_segmentation(mrml_phantom.analysis(), tmp_path / "spine.seg.nrrd")
    with headless.fresh_scene() as scene:
        node = slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(tmp_path / "spine.seg.nrrd"), False)
        segmentation = node.GetSegmentation()
        found = {}
        for i in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(i)
            found[segment.GetLabelValue()] = segment
        expected = {own_value(s): s for v, s in labels.structures.items() if (labels.array == v).any()}
        assert set(found) == set(expected)
        for value, segment in found.items():
            structure = expected[value]
            assert segment.GetName() == str(structure)
            assert np.allclose(segment.GetColor(), color_of(structure), atol=1e-3)
            assert tag_of(segment, "TerminologyEntry") == terminology_entry(structure)
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    for write, name in ((write_scene, "scene.mrb"), (write_segmentation, "spine.seg.nrrd")):
        with pytest.raises(InputError, match="choose another folder"):
            write(mrml_phantom.analysis(), tmp_path / "missing" / name)
