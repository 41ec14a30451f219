"""Volume and segmentation nodes to the library's types, geometry included."""

from collections.abc import Iterator

import mrml_phantom
import numpy as np
import pytest
import slicer
import vtk
from numpy.typing import NDArray

from SpineAnalysisLib import headless
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.mrml.results import ResultFolder
from SpineAnalysisLib.mrml.segmentations import add_segmentation, segments_from_node
from SpineAnalysisLib.mrml.volumes import CT_LEVEL, CT_WINDOW, add_volume, volume_from_node, window_level
from SpineAnalysisLib.schemes import merge_segments
from SpineAnalysisLib.volume import LabelMap, Volume


@pytest.fixture
def scene() -> Iterator[object]:
    with headless.fresh_scene() as fresh:
        yield fresh


def linear(scene: object, matrix: NDArray, parent: object | None = None) -> object:
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


def rotation(axis: int, degrees: float, shift: tuple[float, float, float]) -> NDArray:
    transform = vtk.vtkTransform()
    transform.Translate(*shift)
    transform.RotateWXYZ(degrees, *np.eye(3)[axis])
    return slicer.util.arrayFromVTKMatrix(transform.GetMatrix())


def nonlinear(scene: object) -> object:
    """Shifts everything 4.5 mm (three voxels) along the volume's first axis, but is not called linear."""
    shift = -4.5 * mrml_phantom.frame_at(0, 0, 0).right
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in np.array(np.meshgrid([-400, 400], [-400, 400], [-400, 400])).reshape(3, -1).T:
        source.InsertNextPoint(*point)
        target.InsertNextPoint(*(point + shift))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    node.SetAndObserveTransformToParent(spline)
    return node


def contents(scene: object) -> list[str]:
    return [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]


def test_oblique_volume_round_trip(scene: object) -> None:
    image = mrml_phantom.image()
    node = add_volume(ResultFolder(scene, "test"), image, "T2")
    back = volume_from_node(node)
    assert back.name == "T2 sag"
    assert back.array.dtype == image.array.dtype
    assert np.array_equal(back.array, image.array)
    assert np.allclose(back.ijk_to_ras, image.ijk_to_ras, atol=1e-9)


@pytest.mark.parametrize(("given", "stored"), [(bool, np.uint8), (np.int64, np.int32), (np.float16, np.float32)])
def test_types_that_slicer_cannot_show_are_converted(scene: object, given: type, stored: type) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(given)
    node = add_volume(ResultFolder(scene, "test"), Volume(array, np.eye(4)), None)
    assert volume_from_node(node).array.dtype == stored
    assert np.array_equal(volume_from_node(node).array, array)


def test_nested_linear_parents_move_the_volume(scene: object) -> None:
    image = mrml_phantom.image()
    outer, inner = rotation(0, 25, (5, -7, 11)), rotation(2, -40, (-3, 2, 90))
    node = add_volume(ResultFolder(scene, "test"), image, "T2")
    node.SetAndObserveTransformNodeID(linear(scene, inner, linear(scene, outer)).GetID())
    moved = volume_from_node(node)
    assert np.abs(moved.ijk_to_ras - outer @ inner @ image.ijk_to_ras).max() < 1e-6
    assert np.array_equal(moved.array, image.array)


def test_nonlinear_parent_is_applied_to_a_copy(scene: object) -> None:
    image = mrml_phantom.image()
    node = add_volume(ResultFolder(scene, "test"), image, "T2")
    node.SetAndObserveTransformNodeID(nonlinear(scene).GetID())
    before = contents(scene)
    moved = volume_from_node(node)
    assert contents(scene) == before
    assert node.GetParentTransformNode() is not None
    assert np.array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), image.array)
    probe = mrml_phantom.frame_at(*mrml_phantom.SHAPE).origin * 0 + image.to_ras(np.array([20.0, 15.0, 30.0]))
    there = np.round(moved.to_ijk(probe - 4.5 * mrml_phantom.frame_at(0, 0, 0).right)).astype(int)
    here = np.array([20, 15, 30])
    around = tuple(slice(a - 2, a + 3) for a in there), tuple(slice(a - 2, a + 3) for a in here)
    assert np.abs(moved.array[around[0]].astype(float) - image.array[around[1]]).max() <= 1


def test_window_and_level() -> None:
    ct = np.full((4, 4, 4), -1000.0)
    assert window_level(ct, None) == (CT_WINDOW, CT_LEVEL)
    assert window_level(np.zeros((4, 4, 4)), "CT") == (CT_WINDOW, CT_LEVEL)
    mr = np.zeros((20, 20, 20))
    mr[5:15] = np.linspace(100, 300, 10 * 400).reshape(10, 20, 20)
    window, level = window_level(mr, "T2")
    assert window == pytest.approx(198, abs=2)
    assert level == pytest.approx(200, abs=1)


def test_unusable_volumes(scene: object) -> None:
    with pytest.raises(InputError, match="empty"):
        volume_from_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing"))
    colors = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    with pytest.raises(InputError, match="colors or vectors"):
        volume_from_node(colors)


def label_values(scene: object, labels: LabelMap, matrix: NDArray | None = None) -> dict[str, NDArray]:
    """RAS centers of every segment that comes back from a segmentation node."""
    node = add_segmentation(ResultFolder(scene, "test"), labels, None, surfaces=False)
    if matrix is not None:
        node.SetAndObserveTransformNodeID(linear(scene, matrix).GetID())
    return {s.name: s.mask.to_ras(np.argwhere(s.mask.array)) for s in segments_from_node(node)}


def voxels_of(labels: LabelMap, name: str) -> NDArray:
    value = next(v for v, s in labels.structures.items() if str(s) == name)
    return labels.to_ras(np.argwhere(labels.array == value))


def test_segments_come_back_where_they_were(scene: object) -> None:
    labels = mrml_phantom.labels()
    found = label_values(scene, labels)
    assert set(found) == {str(s) for v, s in labels.structures.items() if (labels.array == v).any()}
    for name, points in found.items():
        assert np.abs(points - voxels_of(labels, name)).max() < 1e-6


def test_segments_under_a_linear_parent(scene: object) -> None:
    labels, matrix = mrml_phantom.labels(), rotation(1, 30, (10, 20, 30))
    found = label_values(scene, labels, matrix)
    for name, points in found.items():
        expected = voxels_of(labels, name) @ matrix[:3, :3].T + matrix[:3, 3]
        assert np.abs(points - expected).max() < 1e-6


def test_segments_under_a_nonlinear_parent(scene: object) -> None:
    labels = mrml_phantom.labels()
    node = add_segmentation(ResultFolder(scene, "test"), labels, None, surfaces=False)
    node.SetAndObserveTransformNodeID(nonlinear(scene).GetID())
    before = contents(scene)
    found = {s.name: s.mask.to_ras(np.argwhere(s.mask.array)) for s in segments_from_node(node)}
    assert contents(scene) == before
    shift = -4.5 * mrml_phantom.frame_at(0, 0, 0).right
    for name in ("L4 body", "spinal canal"):
        expected = voxels_of(labels, name) + shift
        assert np.linalg.norm(found[name].mean(axis=0) - expected.mean(axis=0)) < 0.3
        assert len(found[name]) == pytest.approx(len(expected), rel=0.05)


def test_overlapping_segments_and_closed_surfaces(scene: object) -> None:
    """Segments of another program: two that overlap, given as surfaces only."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.SetSourceRepresentationToClosedSurface()
    for name, radius in (("inner", 8.0), ("outer", 14.0)):
        sphere = vtk.vtkSphereSource()
        sphere.SetCenter(10, -20, 30)
        sphere.SetRadius(radius)
        sphere.SetThetaResolution(60)
        sphere.SetPhiResolution(60)
        sphere.Update()
        node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), name, [1, 0, 0])
    segments = {s.name: s.mask for s in segments_from_node(node)}
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")
    inner, outer = segments["inner"], segments["outer"]
    assert inner.same_grid(outer)
    assert (inner.array & outer.array).sum() == inner.array.sum()
    for mask, radius in ((inner, 8.0), (outer, 14.0)):
        assert mask.array.sum() * mask.voxel_volume == pytest.approx(4 / 3 * np.pi * radius ** 3, rel=0.03)
        assert np.allclose(mask.to_ras(np.argwhere(mask.array)).mean(axis=0), (10, -20, 30), atol=0.2)


def test_empty_segmentation(scene: object) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    with pytest.raises(InputError, match="mine is empty"):
        segments_from_node(node)
    node.GetSegmentation().AddEmptySegment("a")
    with pytest.raises(InputError, match="mine is empty"):
        segments_from_node(node)
    with pytest.raises(InputError, match="no structure of the spine"):
        add_segmentation(ResultFolder(scene, "test"), LabelMap(np.zeros((3, 3, 3), np.uint8), np.eye(4)), None)


def test_segments_of_the_scene_become_the_labels_they_were(scene: object) -> None:
    """By terminology and name alone, through a transform that turns the patient."""
    labels, matrix = mrml_phantom.labels(), rotation(2, 15, (4, 5, 6))
    node = add_segmentation(ResultFolder(scene, "test"), labels, None, surfaces=False)
    node.SetAndObserveTransformNodeID(linear(scene, matrix).GetID())
    merged = merge_segments(segments_from_node(node)).labels
    assert set(merged.structures.values()) >= {labels.structures[v] for v in np.unique(labels.array) if v}
    for structure in (labels.structures[2], labels.structures[mrml_phantom.CANAL_LABEL]):
        value = next(v for v, s in merged.structures.items() if s == structure)
        points = merged.to_ras(np.argwhere(merged.array == value))
        expected = voxels_of(labels, str(structure)) @ matrix[:3, :3].T + matrix[:3, 3]
        assert np.abs(points - expected).max() < 1e-6
