"""What a volume node shows, before anything is computed from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..errors import InputError
from ..reading.contrast import of_intensities, of_words
from ..spine import Contrast, scan_name
from ..volume import Volume
from .anchors import find_anchors
from .volumes import volume_from_node, window_level

CONTRAST_ATTRIBUTE = "SpineAnalysis.contrast"
"""Attribute of a volume node: the contrast that people say it has."""

_SEQUENCE_ATTRIBUTE = "Sequences.BaseName"  # Slicer sets it on the node that shows one item of a sequence
_FRAME_TAG = "0020,0052"  # of DICOM: Frame of Reference UID
_SHORT_MM = 60.0  # about two lumbar vertebrae with their discs
_THICK_MM = 5.0
_FEW_SLICES = 3
_STEP_MM = 30.0


@dataclass(frozen=True, eq=False)
class ScanSummary:
    """:param role: as in "T2 sagittal".

    :param picture: (height, width) uint8, rows from the top, its pixels square; the middle slice.
    :param warnings: sentences, what is gravest first.
    """

    role: str
    contrast: Contrast | None
    picture: NDArray[np.uint8]
    warnings: tuple[str, ...] = ()


def contrast_of(node: Any) -> Contrast | None:
    """What people say, the node's name says, or Hounsfield units say."""
    said = node.GetAttribute(CONTRAST_ATTRIBUTE)
    if said:
        return said
    named = of_words(node.GetName() or "", "name")
    if named is not None:
        return named[0]
    try:
        found = of_intensities(volume_from_node(node).array)
    except InputError:
        return None
    return found[0] if found is not None else None


def frame_of(node: Any) -> str:
    """What identifies the scanner's coordinate system, where Slicer's DICOM database knows the scan; else empty."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    return str(database.instanceValue(instances[0], _FRAME_TAG)) if database is not None and instances else ""


def choose_first(parameters: Any) -> None:
    """Choose what the scene holds: the scan that reaches farthest, the first segmentation and known vertebrae.

    :param parameters: with the fields ``inputVolume``, ``inputSegmentation``, ``source`` and ``anchors``.
    """
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")  # label maps are such as well
    scans = [node for node in volumes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
    parameters.inputVolume = max(scans, key=_reach, default=None)
    parameters.inputSegmentation = next(iter(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), None)
    if parameters.inputSegmentation is not None:
        parameters.source = "segmentation"
    parameters.anchors = find_anchors(slicer.mrmlScene)


def _reach(node: Any) -> int:
    """From head to foot, in steps that differences between series of one visit do not matter in; no localizers."""
    image, bounds = node.GetImageData(), np.zeros(6)
    if image is None or min(image.GetDimensions()) < _FEW_SLICES:
        return 0
    node.GetRASBounds(bounds)
    return round(float(bounds[5] - bounds[4]) / _STEP_MM)


def summary(node: Any, size: int = 72) -> ScanSummary:
    """A scan's kind, a small picture of it, and what speaks against analyzing it.

    :param size: of the picture's longer side, pixels.
    """
    contrast = contrast_of(node)
    try:
        volume = volume_from_node(node)
    except InputError as error:
        return ScanSummary("unusable", contrast, np.zeros((size, size), np.uint8), (str(error),))
    return ScanSummary(scan_name(volume, contrast), contrast, _picture(volume, contrast, size),
                       tuple(_warnings(node, volume)))


def _warnings(node: Any, volume: Volume) -> list[str]:
    out = []
    spacing, shape = volume.spacing, np.array(volume.shape)
    steps = np.abs(volume.ijk_to_ras[:3, :3])
    tall = float((steps[2] * shape).max())
    if shape.min() < _FEW_SLICES:
        out.append("It has fewer than three slices: load the whole series.")
    if node.GetAttribute(_SEQUENCE_ATTRIBUTE):
        out.append("It is one moment of a 4D series; only the moment that is shown is analyzed.")
    if np.array_equal(spacing, np.ones(3)) and not volume.ijk_to_ras[:3, 3].any():
        out.append("Its file gives neither position nor voxel size: lengths and sides cannot be relied on.")
    if tall < _SHORT_MM:
        out.append(f"It shows only {tall:.0f} mm from head to foot: choose a longer scan to segment.")
    if spacing.max() > _THICK_MM:
        out.append(f"Its slices are {spacing.max():.1f} mm apart: measurements across them are uncertain.")
    if float(np.ptp(volume.array)) == 0.0:
        out.append("It shows nothing: every voxel has the same value.")
    return out


def _picture(volume: Volume, contrast: Contrast | None, size: int) -> NDArray[np.uint8]:
    """The middle slice, in the plane of thick slices, else sagittal; head or front up."""
    axes = volume.ijk_to_ras[:3, :3] / volume.spacing
    main = [int(np.abs(axes[row]).argmax()) for row in range(3)]  # voxel axis along R, A, S
    if len(set(main)) < 3:
        main = [0, 1, 2]
    array = volume.array.transpose(main)
    for axis, voxel_axis in enumerate(main):
        if axes[axis, voxel_axis] < 0:
            array = np.flip(array, axis)
    spacing = volume.spacing[main]
    across = int(spacing.argmax()) if spacing.max() > 1.5 * np.sort(spacing)[1] else 0
    plane = np.take(array, array.shape[across] // 2, axis=across)
    rest = [axis for axis in range(3) if axis != across]
    plane, steps = plane.T[::-1, ::-1], spacing[rest][::-1]  # rows: head or front first; columns: patient's right left
    extent = np.array(plane.shape) * steps
    rows, columns = np.maximum((size * extent / extent.max()).round().astype(int), 1)
    picked = plane[np.ix_(np.linspace(0, plane.shape[0] - 1, rows).round().astype(int),
                          np.linspace(0, plane.shape[1] - 1, columns).round().astype(int))]
    window, level = window_level(volume.array, contrast)
    return np.ascontiguousarray((np.clip((picked - level) / window + 0.5, 0.0, 1.0) * 255).astype(np.uint8))
