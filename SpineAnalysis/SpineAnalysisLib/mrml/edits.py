"""What people make of a segmentation outlives every later analysis.

An analysis of its own earlier segmentation keeps that node: segments get the names that their levels have now and
missing ones are added, but no voxel, no color and no segment of people's own is touched.  A segmentation that an
analysis does not go on from is replaced only where nobody has changed it.
"""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import vtk

from ..anatomy import Structure
from ..terminology import color_of, structure_from_entry
from ..volume import LabelMap, Volume, bounding_box
from .segmentations import (
    LABELMAP,
    TERMINOLOGY_TAG,
    add_structures,
    name_segment,
    segments_from_node,
    tag_of,
    volume_from_oriented_image,
)

CONTENT_ATTRIBUTE = "SpineAnalysis.content"
"""Attribute of a segmentation node: what it held when an analysis left it."""

_SAMPLE = 4000  # voxels of a segment that tell which structure it is


def can_renew(node: Any) -> bool:
    """Whether structures can be added to a node where it lies: not through a nonlinear transform."""
    parent = node.GetParentTransformNode()
    return parent is None or bool(parent.IsTransformToWorldLinear())


def renew(node: Any, labels: LabelMap) -> None:
    """Bring the names of a segmentation up to date with what was made of it.

    :param node: ``vtkMRMLSegmentationNode`` that ``labels`` were read from.
    :param labels: its structures with the levels that they have now, and what was derived from them; in RAS.
    """
    segmentation = node.GetSegmentation()
    empty: dict[Structure, str] = {}
    seen: set[Structure] = set()
    with slicer.util.NodeModify(node):
        for index, (_name, _entry, mask) in enumerate(segments_from_node(node)):
            segment = segmentation.GetNthSegment(index)
            before = structure_from_entry(tag_of(segment, TERMINOLOGY_TAG), segment.GetName())
            if before is None:
                continue  # something of people's own
            now = _structure_now(before, mask, labels)
            if now is None:
                empty[before] = segmentation.GetNthSegmentID(index)
                continue
            seen.add(now)
            if now != before:
                _rename(segment, before, now)
        missing = set(labels.structures.values()) - seen
        for structure in missing & empty.keys():
            segmentation.RemoveSegment(empty[structure])
        add_structures(node, _in_node(labels, node), missing)
    remember_content(node)


def _structure_now(before: Structure, mask: Volume, labels: LabelMap) -> Structure | None:
    """The structure of the same kind that most of a segment's voxels are; ``None`` where they are none."""
    places = np.argwhere(mask.array)
    places = places[:: max(len(places) // _SAMPLE, 1)]
    there = np.rint(labels.to_ijk(mask.to_ras(places))).astype(int)
    inside = ((there >= 0) & (there < labels.shape)).all(axis=1)
    values, counts = np.unique(labels.array[tuple(there[inside].T)], return_counts=True)
    found = {labels.structures[v]: n for v, n in zip(values.tolist(), counts.tolist(), strict=True)
             if v in labels.structures}
    alike = [s for s in found if (s.kind, s.side) == (before.kind, before.side)]
    return max(alike, key=lambda s: found[s], default=None)


def _rename(segment: Any, before: Structure, now: Structure) -> None:
    """A new name and its codes; the color only where it is the old name's."""
    if np.allclose(segment.GetColor(), color_of(before), atol=0.01):
        segment.SetColor(*color_of(now))
    name_segment(segment, now)


def _in_node(labels: LabelMap, node: Any) -> LabelMap:
    """Labels in the coordinates of a node under a linear transform."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return labels
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return replace(labels, ijk_to_ras=np.linalg.inv(slicer.util.arrayFromVTKMatrix(matrix)) @ labels.ijk_to_ras)


def remember_content(node: Any) -> None:
    """Note what a segmentation holds, so that later changes are seen."""
    node.SetAttribute(CONTENT_ATTRIBUTE, _content(node))


def was_edited(node: Any) -> bool:
    """Whether anybody has changed a segmentation since an analysis left it."""
    return node.GetAttribute(CONTENT_ATTRIBUTE) != _content(node)


def _content(node: Any) -> str:
    """A checksum of the names and voxels of all segments; colors and what is visible do not count."""
    segmentation = node.GetSegmentation()
    layers: dict[Any, int] = {}
    sums = []
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        image = segment.GetRepresentation(LABELMAP)
        if image is not None and image not in layers:
            layers[image] = _voxels(volume_from_oriented_image(image))
        words = (segment.GetName(), segment.GetLabelValue(), tag_of(segment, TERMINOLOGY_TAG), layers.get(image))
        sums.append(zlib.crc32(repr(words).encode()))
    return f"{zlib.crc32(repr(sorted(sums)).encode()):08x}"


def _voxels(layer: Volume) -> int:
    """A checksum of what a label map holds and where, whatever its extent: files crop it."""
    box = bounding_box(layer.array)
    if box is None:
        return 0
    lower, upper = box
    held = layer.crop(lower, upper)
    where = repr(np.round(held.ijk_to_ras, 2).tolist())
    return zlib.crc32(np.ascontiguousarray(held.array).astype(np.uint16).tobytes(), zlib.crc32(where.encode()))
