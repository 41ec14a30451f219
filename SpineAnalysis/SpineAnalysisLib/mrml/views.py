"""Pointing slice and 3D views at an analysis."""

from typing import Any

import numpy as np
import slicer

from ..analysis import Analysis
from ..geometry.frames import Frame, reject, unit
from ..measurements.record import Measurement, Severity
from ..spine import Spine
from ..volume import FloatArray
from .markups import plane_of
from .show import ResultNodes
from .volumes import scan_node

SAGITTAL_VIEW, AXIAL_VIEW = "SpineSagittal", "SpineAxial"
"""Singleton tags of the slice views of the panel's own layout."""

_SLICES = ("Red", "Yellow", "Green")
_VIEW = "1"
_ORIENTATION = "Section"  # Slicer makes an XML attribute of it
_FROM = unit(np.array([0.75, 1.0, 0.1]))  # the camera stands to the right and in front of the patient
_VIEW_ANGLE_DEG = 30.0
_MARGIN = 1.25  # room around the spine in a view
_LEAST_EXTENT_MM = 120.0


def arrange_views(scene: Any, analysis: Analysis, nodes: ResultNodes) -> None:
    """Four views: the axial one in the plane of the worst measurement, the others through it, and the spine in 3D."""
    _show_four_up(scene)
    worst, plane = _worst(analysis), worst_plane(analysis)
    on = scan_node(scene, nodes.name, worst.scan) if worst is not None else None
    extent = max(float(np.linalg.norm(np.ptp(_spine_points(analysis.spine), axis=0))), _LEAST_EXTENT_MM) * _MARGIN
    for name in _SLICES:
        slice_node = _singleton(scene, "vtkMRMLSliceNode", name)
        composite = _singleton(scene, "vtkMRMLSliceCompositeNode", name)
        composite.SetLayoutName(name)
        image = on if on is not None and name == "Red" else nodes.image
        if image is not None:
            composite.SetBackgroundVolumeID(image.GetID())
        if name == "Red":
            look_at(slice_node, plane)
        else:
            slice_node.SetOrientation({"Yellow": "Sagittal", "Green": "Coronal"}[name])
            slice_node.JumpSliceByCentering(*plane.origin)
        width, height, depth = slice_node.GetFieldOfView()
        size = _LEAST_EXTENT_MM if name == "Red" else extent
        slice_node.SetFieldOfView(size * width / height, size, depth)
    _place_camera(scene, analysis.spine, extent)


def look_at(slice_node: Any, plane: Frame) -> None:
    """Turn a slice view into a plane, seen from below as radiologists do: the patient's right is on the left.

    The view offers the orientation by name from then on; without a name, Slicer logs an error when it loads the scene.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([-plane.right, plane.anterior, plane.superior], axis=1)
    matrix[:3, 3] = plane.origin
    if slice_node.HasSliceOrientationPreset(_ORIENTATION):
        slice_node.RemoveSliceOrientationPreset(_ORIENTATION)
    slice_node.AddSliceOrientationPreset(_ORIENTATION, slicer.util.vtkMatrixFromArray(matrix[:3, :3]))
    slice_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    slice_node.UpdateMatrices()


def upright(plane: Frame, anatomy: Frame) -> Frame:
    """A plane along the spine turned within itself: the head is up, and the patient's front or right is left.

    :param anatomy: tells where front and right are.
    """
    up = unit(reject(np.array([0.0, 0.0, 1.0]), plane.superior))
    aside = np.cross(up, plane.superior)
    toward = max((float(aside @ axis) for axis in (anatomy.anterior, anatomy.right)), key=abs)
    aside = aside if toward > 0 else -aside
    return Frame(plane.origin, aside, up, np.cross(aside, up))


def jump_to(markup_node: Any, slice_node: Any) -> bool:
    """Show the plane in which a measurement's markup was measured.

    :return: whether the markup has one.
    """
    plane = plane_of(markup_node)
    if plane is not None:
        look_at(slice_node, plane)
    return plane is not None


def worst_plane(analysis: Analysis) -> Frame:
    """The plane of the most severe measurement; of the middle of the spine where everything is normal."""
    worst = _worst(analysis)
    if worst is not None and worst.geometry is not None and worst.geometry.frame is not None:
        return worst.geometry.frame
    vertebrae = analysis.spine.vertebrae
    return vertebrae[len(vertebrae) // 2].frame


def _worst(analysis: Analysis) -> Measurement | None:
    return max((m for m in analysis.measurements if _has_plane(m)), key=lambda m: m.severity, default=None)


def _has_plane(record: Measurement) -> bool:
    return record.severity > Severity.NORMAL and record.geometry is not None and record.geometry.frame is not None


def _spine_points(spine: Spine) -> FloatArray:
    return np.array([v.frame.origin for v in spine.vertebrae])


def _show_four_up(scene: Any) -> None:
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None:
        layout.SetViewArrangement(layout.SlicerLayoutFourUpView)
        return
    logic = slicer.vtkMRMLLayoutLogic()  # makes the layout and view nodes that Slicer's application has anyway
    logic.SetMRMLScene(scene)
    logic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def show_spine(scene: Any, points_RAS: FloatArray) -> None:
    """Turn the camera of the first 3D view, where there is one, to a spine.

    :param points_RAS: (N, 3) along it.
    """
    cameras = [scene.GetNthNodeByClass(i, "vtkMRMLCameraNode") for i in range(
        scene.GetNumberOfNodesByClass("vtkMRMLCameraNode"))]
    camera = next((c for c in cameras if c.GetLayoutName() == _VIEW), None)
    if camera is not None:
        extent = max(float(np.linalg.norm(np.ptp(points_RAS, axis=0))), _LEAST_EXTENT_MM) * _MARGIN
        _point_camera(camera, points_RAS, extent)


def _place_camera(scene: Any, spine: Spine, extent: float) -> None:
    _point_camera(_singleton(scene, "vtkMRMLCameraNode", _VIEW), _spine_points(spine), extent)


def _point_camera(camera: Any, points: FloatArray, extent: float) -> None:
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    camera.SetFocalPoint(*center)
    camera.SetPosition(*(center + _FROM * extent / 2 / np.tan(np.radians(_VIEW_ANGLE_DEG / 2))))
    camera.SetViewUp(0, 0, 1)
    camera.SetViewAngle(_VIEW_ANGLE_DEG)
    camera.ResetClippingRange()


def _singleton(scene: Any, class_name: str, layout_name: str) -> Any:
    """The node of a view, which Slicer's application has and a headless scene has not."""
    node = scene.GetSingletonNode(layout_name, class_name)
    if node is None:
        node = getattr(slicer, class_name)()
        node.SetLayoutName(layout_name)
        node.SetSingletonTag(layout_name)
        node = scene.AddNode(node)
    return node
