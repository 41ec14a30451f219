"""Volume nodes <-> volumes."""

from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..errors import InputError
from ..reading.contrast import is_hounsfield
from ..spine import Contrast, Scan
from ..volume import Volume
from .results import ResultFolder, nodes_of

SCAN_ATTRIBUTE = "SpineAnalysis.scan"
"""Attribute of a volume that an analysis added: the name by which records call the scan."""
CT_WINDOW = 1400.0
"""HU; with ``CT_LEVEL`` shows cortex and trabecular bone while soft tissue keeps some contrast."""
CT_LEVEL = 350.0
_MR_PERCENTILES = (0.5, 99.5)
_LATTICE = 9  # points along each axis that tell where a nonlinear transform moves a volume

# VTK has no 64-bit integer images that Slicer can show, and neither booleans nor half floats.
_SHOWN_TYPES = {np.dtype(bool): np.uint8, np.dtype(np.int64): np.int32, np.dtype(np.uint64): np.int32,
                np.dtype(np.float16): np.float32}


def volume_from_node(node: Any) -> Volume:
    """A scalar or label map volume node where its parent transforms put it.

    A linear transform becomes part of the geometry; a nonlinear one resamples the voxels.  The node stays as it is.

    :param node: ``vtkMRMLScalarVolumeNode``, or a subclass with one value per voxel.
    :raises InputError: for an empty node and for colors or vectors.
    """
    if node.GetImageData() is None or 0 in node.GetImageData().GetDimensions():
        raise InputError(f"The volume {node.GetName()} is empty: load or choose another one.")
    if node.GetImageData().GetNumberOfScalarComponents() != 1:
        raise InputError(f"The volume {node.GetName()} has colors or vectors instead of one value per voxel: "
                         "convert it to a scalar volume.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    array = slicer.util.arrayFromVolume(node).transpose(2, 1, 0)
    volume = Volume(array, slicer.util.arrayFromVTKMatrix(matrix), node.GetName() or "")
    return in_world(volume, node, nearest=node.IsA("vtkMRMLLabelMapVolumeNode"))


def in_world(volume: Volume, node: Any, nearest: bool) -> Volume:
    """What a node holds, moved as its parent transforms move the node.

    :param volume: in the node's own coordinates.
    :param nearest: keep values as they are where a nonlinear transform makes new voxels.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return volume
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        return volume.transformed(slicer.util.arrayFromVTKMatrix(matrix))
    transform = vtk.vtkGeneralTransform()
    parent.GetTransformToWorld(transform)
    return _warped(volume, transform, nearest)


def _warped(volume: Volume, transform: Any, nearest: bool) -> Volume:
    """Resample on a grid with the same axes that holds the volume wherever a nonlinear transform moves it.

    Slicer's own hardening keeps the extent, and so cuts off what moves out of it.
    """
    lattice = np.array(np.meshgrid(*[np.linspace(0, n - 1, _LATTICE) for n in volume.shape])).reshape(3, -1).T
    there = volume.to_ijk(np.array([transform.TransformPoint(*point) for point in volume.to_ras(lattice)]))
    first, last = np.floor(there.min(axis=0)).astype(int), np.ceil(there.max(axis=0)).astype(int)
    back = vtk.vtkGeneralTransform()
    back.PostMultiply()
    back.Concatenate(slicer.util.vtkMatrixFromArray(volume.ijk_to_ras))
    back.Concatenate(transform.GetInverse())
    back.Concatenate(slicer.util.vtkMatrixFromArray(volume.ras_to_ijk))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image_data(volume.array))
    reslice.SetResliceTransform(back)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(*np.stack([first, last], axis=1).ravel().tolist())
    reslice.SetInterpolationMode(vtk.VTK_RESLICE_NEAREST if nearest else vtk.VTK_RESLICE_LINEAR)
    reslice.SetBackgroundLevel(0.0 if nearest else float(volume.array.min()))
    reslice.Update()
    matrix = volume.ijk_to_ras.copy()
    matrix[:3, 3] = volume.to_ras(first)
    return Volume(image_array(reslice.GetOutput()), matrix, volume.name)


def image_array(image: Any) -> NDArray:
    """(I, J, K) view of the voxels of a ``vtkImageData``."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).transpose(2, 1, 0)


def image_data(array: NDArray, image: Any | None = None) -> Any:
    """A copy of an (I, J, K) array as ``vtkImageData``.

    :param image: fill this one, whose extent has the array's shape, instead of a new one.
    """
    if image is None:
        image = vtk.vtkImageData()
        image.SetDimensions(*array.shape)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array.transpose(2, 1, 0)).ravel(), deep=True))
    return image


def add_volume(folder: ResultFolder, volume: Volume, contrast: Contrast | None, role: str = "image") -> Any:
    """A scan as a scalar volume node with a window that suits it."""
    node = folder.add("vtkMRMLScalarVolumeNode", volume.name or "Scan", role)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.ijk_to_ras))
    array = volume.array.astype(_SHOWN_TYPES.get(volume.array.dtype, volume.array.dtype), copy=False)
    slicer.util.updateVolumeFromArray(node, array.transpose(2, 1, 0))
    window, level = window_level(array, contrast)
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window, level)
    return node


def add_scan(folder: ResultFolder, scan: Scan, role: str) -> Any:
    """One more scan of the visit, where the labels are.

    :param role: "image" offers it for analyses to come; another one does not.
    """
    middle = scan.volume.to_ras((np.array(scan.volume.shape) - 1) / 2.0)
    node = add_volume(folder, replace(scan.near(middle).volume, name=scan.name), scan.contrast, role)
    node.SetAttribute(SCAN_ATTRIBUTE, scan.name)
    return node


def scan_node(scene: Any, name: str, scan: str | None) -> Any | None:
    """The volume that an analysis added for a scan, by the name that records call it.

    :param name: of the analysis.
    """
    return next((node for node in nodes_of(scene, name, "vtkMRMLScalarVolumeNode")
                 if scan and node.GetAttribute(SCAN_ATTRIBUTE) == scan), None)


def window_level(array: NDArray, contrast: Contrast | None) -> tuple[float, float]:
    """Window and level: fixed for CT, percentiles of the foreground for MR.

    Without a known contrast, Hounsfield units give CT away.
    """
    if contrast == "CT" or (contrast is None and is_hounsfield(array)):
        return CT_WINDOW, CT_LEVEL
    step = max(1, int((array.size / 1e6) ** (1 / 3)))  # a million voxels tell the percentiles well enough
    sample = array[::step, ::step, ::step]
    foreground = sample[sample > sample.min()]
    if foreground.size == 0:
        return 1.0, float(sample.min())
    low, high = np.percentile(foreground, _MR_PERCENTILES)
    return max(float(high - low), 1e-6), float(high + low) / 2
