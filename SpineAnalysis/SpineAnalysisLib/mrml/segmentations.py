"""Segmentation nodes <-> masks and label maps."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from ..anatomy import Structure
from ..errors import InputError
from ..progress import Progress, silent, step
from ..schemes import own_value
from ..terminology import color_of, terminology_entry
from ..volume import FloatArray, LabelMap, Volume, bounding_box
from .results import ResultFolder
from .volumes import image_array, image_data, in_world

DERIVED_TAG = "SpineAnalysis.derived"
"""Tag of segments that were computed from other structures instead of segmented."""

LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
_GEOMETRY_PARAMETER = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
TERMINOLOGY_TAG = slicer.vtkSegment.GetTerminologyEntryTagName()

_FILL_OPACITY = 0.2
_OUTLINE_OPACITY = 0.9
_LEAST_SPACING_MM = 0.5  # of the grid on which surfaces without one are turned into label maps
_MOST_VOXELS = 2e7


class SegmentMask(NamedTuple):
    """One segment.

    :param terminology: the serialized terminology entry, empty where the segment has none.
    :param mask: boolean, in RAS.
    """

    name: str
    terminology: str
    mask: Volume


def segments_from_node(node: Any) -> Iterator[SegmentMask]:
    """All segments on one grid, which just holds them, where the node's parent transforms put it.

    Segments that overlap stay whole.  The node itself is not changed.  Masks are made one after the other, because
    those of a whole body together would not fit into memory.

    :param node: ``vtkMRMLSegmentationNode``, whatever its source representation.
    :raises InputError: for a node without a segment that has voxels.
    """
    segmentation = _with_labelmaps(node)
    grid = slicer.vtkOrientedImageData()
    geometry = segmentation.DetermineCommonLabelmapGeometry(segmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS, None)
    if not geometry:
        raise InputError(f"The segmentation {node.GetName()} is empty: load or choose another one.")
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(geometry, grid)
    return _masks(node, segmentation, grid)


def _masks(node: Any, segmentation: Any, grid: Any) -> Iterator[SegmentMask]:
    layers: dict[Any, Volume] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        image = segment.GetRepresentation(LABELMAP)
        if image not in layers:
            layers[image] = in_world(_resampled(image, grid), node, nearest=True)
        mask = layers[image].with_array(layers[image].array == segment.GetLabelValue())
        yield SegmentMask(segment.GetName(), tag_of(segment, TERMINOLOGY_TAG), mask)


def derived_segments(node: Any) -> frozenset[str]:
    """Names of the segments of a node that an earlier analysis computed from others."""
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    return frozenset(segment.GetName() for segment in segments if tag_of(segment, DERIVED_TAG) == "1")


def _with_labelmaps(node: Any) -> Any:
    """The node's segmentation, or a copy of it that has label maps."""
    original = node.GetSegmentation()
    if original.ContainsRepresentation(LABELMAP):
        return original
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(original)
    if copy.GetNumberOfSegments() and not copy.GetConversionParameter(_GEOMETRY_PARAMETER):
        copy.SetConversionParameter(_GEOMETRY_PARAMETER, _grid_around(copy))
    if not copy.CreateRepresentation(LABELMAP):
        raise InputError(f"The segmentation {node.GetName()} cannot be turned into a label map: is it empty?")
    return copy


def _grid_around(segmentation: Any) -> str:
    """An upright grid around surfaces that come without one, serialized."""
    bounds = np.zeros(6)
    segmentation.GetBounds(bounds)
    low, high = bounds[::2] - _LEAST_SPACING_MM, bounds[1::2] + _LEAST_SPACING_MM
    spacing = max(_LEAST_SPACING_MM, float(np.prod(high - low) / _MOST_VOXELS) ** (1 / 3))
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = low
    return _serialized(np.ceil((high - low) / spacing).astype(int) + 1, matrix)


def _resampled(image: Any, grid: Any) -> Volume:
    out = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, grid, out, False, True)
    return volume_from_oriented_image(out)


def volume_from_oriented_image(image: Any) -> Volume:
    """The voxels of a ``vtkOrientedImageData``, whose extent may begin anywhere."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ijk_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    ijk_to_ras[:3, 3] += ijk_to_ras[:3, :3] @ np.array(image.GetExtent()[::2])
    return Volume(image_array(image), ijk_to_ras)


def tag_of(segment: Any, name: str) -> str:
    """The value of a segment's tag, or an empty string."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def add_segmentation(folder: ResultFolder, labels: LabelMap, image_node: Any | None, surfaces: bool = True,
                     progress: Progress = silent) -> Any:
    """Every labeled structure as a named, colored and coded segment, all in one shared label map.

    The label map covers the spine, not the whole scan, and lies on the grid of ``labels``, which is also the reference
    geometry.  Its values are this project's own, whatever program the labels came from.

    :param image_node: the scan that the segmentation belongs to.
    :param surfaces: make closed surfaces, so that it shows in 3D.
    :raises InputError: where nothing is labeled.
    :raises Cancelled: by ``progress``.
    """
    node = folder.add("vtkMRMLSegmentationNode", "Spine segmentation", "segmentation")
    with slicer.util.NodeModify(node):
        _set_reference_geometry(node, labels, image_node)
        if not add_structures(node, labels, surfaces=surfaces, progress=progress):
            raise InputError("The segmentation holds no structure of the spine: check the label scheme.")
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(_FILL_OPACITY)
    display.SetOpacity2DOutline(_OUTLINE_OPACITY)
    display.SetPreferredDisplayRepresentationName3D(_SURFACE)
    return node


def add_structures(node: Any, labels: LabelMap, only: Collection[Structure] | None = None, surfaces: bool = True,
                   progress: Progress = silent) -> int:
    """Labeled structures as segments of a node, all in one shared label map; what the node holds stays.

    :param labels: in the node's own coordinates.
    :param only: leave others out.
    :return: how many there are.
    :raises Cancelled: by ``progress``.
    """
    values = _own_values(labels, only)
    box = bounding_box(values > 0, margin=1)
    if box is None:
        return 0
    lower, upper = np.maximum(box[0], 0), np.minimum(box[1], labels.shape)
    values = values[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))]
    structures = {own_value(s): s for s in labels.structures.values()}
    derived = {own_value(labels.structures[v]) for v in labels.derived}
    shared = oriented_image(values, labels.ijk_to_ras, lower)
    segmentation = node.GetSegmentation()
    boxes = {value: where for value, where in enumerate(find_objects(values), start=1) if where is not None}
    for done, (value, where) in enumerate(boxes.items()):
        structure = structures[value]
        step(progress, done / len(boxes), f"Showing the {structure}")
        segment = _segment(structure, value, shared, value in derived)
        if surfaces:
            first = lower + [part.start for part in where]
            mask = oriented_image((values[where] == value).astype(np.uint8), labels.ijk_to_ras, first)
            segment.AddRepresentation(_SURFACE, _surface(mask))
        segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID(_identifier(segment.GetName())))
    return len(boxes)


def _own_values(labels: LabelMap, only: Collection[Structure] | None) -> NDArray[np.uint16]:
    """(I, J, K) of this project's own label scheme, 0 where nothing (of ``only``) is labeled."""
    table = np.zeros(max(labels.structures, default=0) + 1, np.uint16)
    for value, structure in labels.structures.items():
        table[value] = own_value(structure) if only is None or structure in only else 0
    known = (labels.array >= 0) & (labels.array < len(table))
    return np.where(known, table[np.where(known, labels.array, 0)], np.uint16(0))


def _segment(structure: Structure, value: int, shared: Any, derived: bool) -> Any:
    segment = slicer.vtkSegment()
    name_segment(segment, structure)
    segment.SetColor(*color_of(structure))
    if derived:
        segment.SetTag(DERIVED_TAG, "1")
    segment.SetLabelValue(value)
    segment.AddRepresentation(LABELMAP, shared)
    return segment


def name_segment(segment: Any, structure: Structure) -> None:
    """Say what a segment is, in words and in codes."""
    segment.SetName(str(structure))
    segment.SetTag(TERMINOLOGY_TAG, terminology_entry(structure))


def _surface(mask: Any) -> Any:
    """Slicer's own surface of one structure.

    Made of the structure's own box, because Slicer goes through the whole shared label map for every segment of it.
    """
    segmentation, segment = slicer.vtkSegmentation(), slicer.vtkSegment()
    segment.AddRepresentation(LABELMAP, mask)
    segmentation.AddSegment(segment, "structure")
    segmentation.CreateRepresentation(_SURFACE)
    return segment.GetRepresentation(_SURFACE)


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def oriented_image(array: NDArray, ijk_to_ras: FloatArray, first: NDArray) -> Any:
    """An image whose voxel ``array[0, 0, 0]`` has the index ``first`` on its grid.

    :param array: (I, J, K).
    :param ijk_to_ras: (4, 4) of the grid.
    :param first: (3,) integers.
    """
    image = slicer.vtkOrientedImageData()
    last = first + array.shape - 1
    image.SetExtent(*np.stack([first, last], axis=1).ravel().tolist())
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    return image_data(array, image)


def _set_reference_geometry(node: Any, labels: LabelMap, image_node: Any | None) -> None:
    if image_node is not None:
        node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), image_node.GetID())
    node.GetSegmentation().SetConversionParameter(_GEOMETRY_PARAMETER, _serialized(labels.shape, labels.ijk_to_ras))


def _serialized(shape: Sequence[int], ijk_to_ras: FloatArray) -> str:
    """A grid as the segmentation's conversion parameters keep it."""
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, int(shape[0]) - 1, 0, int(shape[1]) - 1, 0, int(shape[2]) - 1)
    grid.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    return str(slicer.vtkSegmentationConverter.SerializeImageGeometry(grid))
