"""What people make of a segmentation outlives later analyses of it."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
from panel_scene import add_phantom, phantom

from Harness import slicer_application
from SpineAnalysisLib import headless
from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.mrml.edits import remember_content, renew, was_edited
from SpineAnalysisLib.mrml.results import one_operation
from SpineAnalysisLib.mrml.segmentations import add_segmentation, segments_from_node
from SpineAnalysisLib.volume import LabelMap


@pytest.fixture
def node():
    slicer_application.install()
    slicer.mrmlScene.Clear()
    return add_phantom()[1]


def names(node) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())]


def voxels(node) -> dict[str, int]:
    return {name: int(np.count_nonzero(mask.array)) for name, _entry, mask in segments_from_node(node)}


def paint(node, name: str, identifier: str = "") -> None:
    """A cube in a segment of one's own."""
    segmentation = node.GetSegmentation()
    identifier = segmentation.AddEmptySegment(identifier, name)
    reference = segmentation.GetNthSegment(0).GetRepresentation("Binary labelmap")
    cube = slicer.vtkOrientedImageData()
    cube.DeepCopy(reference)
    cube.GetPointData().GetScalars().Fill(0)
    extent = cube.GetExtent()
    for i in range(extent[0] + 3, extent[0] + 8):
        for j in range(extent[2] + 3, extent[2] + 8):
            cube.SetScalarComponentFromDouble(i, j, extent[4] + 3, 0, 1)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(cube, node, identifier)


def shifted(labels: LabelMap) -> LabelMap:
    """The same spine counted one level lower, L5 and L6 above the sacrum."""
    lower = {Level.L4: Level.L5, Level.L5: Level.L6}
    def moved(s: Structure) -> Structure:
        below = lower.get(s.below, s.below) if s.below is not None else None
        return replace(s, level=lower.get(s.level, s.level), below=below) if s.level is not None else s
    return replace(labels, structures={v: moved(s) for v, s in labels.structures.items()})


def test_names_follow_the_levels_and_voxels_stay(node):
    paint(node, "my tumor")
    before = voxels(node)
    colors = {n: node.GetSegmentation().GetNthSegment(i).GetColor() for i, n in enumerate(names(node))}
    renew(node, shifted(phantom()[1]))
    after = voxels(node)
    assert after["my tumor"] == before["my tumor"] == 25
    assert after["L5 vertebra"] == before["L4 vertebra"]
    assert after["L6 vertebra"] == before["L5 vertebra"]
    assert after["L5-L6 disc"] == before["L4-L5 disc"]
    assert sorted(after.values()) == sorted(before.values())
    assert len(names(node)) == len(before)
    at = names(node).index("my tumor")
    assert node.GetSegmentation().GetNthSegment(at).GetColor() == colors["my tumor"]


def test_what_is_missing_is_added_where_the_node_lies(node):
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.array([[0, -1, 0, 30], [1, 0, 0, 0], [0, 0, 1, -7], [0, 0, 0, 1]], float)
    slicer.util.updateTransformMatrixFromArray(shift, matrix)
    node.SetAndObserveTransformNodeID(shift.GetID())
    before = voxels(node)
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetSegmentIdBySegmentName("L4-L5 disc"))
    labels = phantom()[1]
    moved = replace(labels, ijk_to_ras=matrix @ labels.ijk_to_ras,
                    derived=frozenset(labels.values(Kind.DISC, Level.L4)))
    renew(node, moved)
    found = {name: mask for name, _entry, mask in segments_from_node(node)}
    assert voxels(node) == before
    disc = found["L4-L5 disc"]
    expected = np.argwhere(labels.mask(labels.values(Kind.DISC, Level.L4))).mean(axis=0)
    np.testing.assert_allclose(disc.to_ras(np.argwhere(disc.array).mean(axis=0)), moved.to_ras(expected), atol=0.01)


def test_changes_are_seen_also_after_saving_and_loading(node, tmp_path):
    assert was_edited(node), "nothing is noted of it"
    remember_content(node)
    assert not was_edited(node)
    with headless.fresh_scene() as scene:
        with one_operation(scene, "x") as folder:
            own = add_segmentation(folder, phantom()[1], None, surfaces=False)
        remember_content(own)
        headless.write_mrb(scene, tmp_path / "x.mrb")
        scene.Clear(0)
        headless.read_mrb(scene, tmp_path / "x.mrb")
        assert not was_edited(scene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
    node.GetSegmentation().GetNthSegment(0).SetColor(0, 0, 1)
    assert not was_edited(node)
    paint(node, "mine")
    assert was_edited(node)
