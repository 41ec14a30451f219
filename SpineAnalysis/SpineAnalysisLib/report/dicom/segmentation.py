"""The labels as DICOM Segmentation with coded segments."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...anatomy import Structure
from ...errors import InputError
from ...terminology import Code, code_of, color_of
from ...terminology.codes import SCHEME
from ...volume import LabelMap
from .source import PRODUCT, RAS_TO_LPS, Source, identity, product

if TYPE_CHECKING:
    import highdicom
    from pydicom.sr.coding import Code as DicomCode

_RIGHT_ANGLE = 1e-4  # cosine: DICOM planes have rows and columns at right angles


def segmentation(labels: LabelMap, source: Source) -> "highdicom.seg.Segmentation":
    """Every structure that has voxels as one segment, in the order of the label values.

    :raises InputError: for labels that are empty or on a sheared grid.
    """
    import highdicom

    values = segmented_values(labels)
    if not values:
        raise InputError("There is nothing to write: the segmentation is empty.")
    frames, affine = _as_frames(labels, values)
    columns, spacing = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0), np.linalg.norm(affine[:3, :3], axis=0)
    positions = affine[:3, 3] + np.arange(len(frames))[:, None] * affine[:3, 0]
    patient = highdicom.enum.CoordinateSystemNames.PATIENT
    made = highdicom.seg.Segmentation(
        source.images, frames, highdicom.seg.SegmentationTypeValues.BINARY,
        [_description(number, labels, value) for number, value in enumerate(values, start=1)],
        pixel_measures=highdicom.PixelMeasuresSequence(
            pixel_spacing=spacing[1:].tolist(), slice_thickness=float(spacing[0]),
            spacing_between_slices=float(spacing[0])),
        plane_orientation=highdicom.PlaneOrientationSequence(patient, [*columns[:, 2], *columns[:, 1]]),
        plane_positions=[highdicom.PlanePositionSequence(patient, position) for position in positions],
        content_label="SPINE", content_description="Structures of the spine", **identity(0), **product())
    made.SeriesDescription = f"{PRODUCT}: segmentation"
    return made


def segmented_values(labels: LabelMap) -> list[int]:
    """Label values that have voxels; the place in this list is the segment's number, from one."""
    present = set(np.unique(labels.array).tolist())
    return sorted(value for value in labels.structures if value in present)


def _as_frames(labels: LabelMap, values: Sequence[int]) -> tuple[NDArray[np.uint16], NDArray[np.floating]]:
    """(frames, rows, columns) of segment numbers, and (4, 4) from those indices to LPS.

    Frames are stacked along the axis with the largest steps, whole slices of most scans.
    """
    along = int(np.argmax(labels.spacing))
    others = [axis for axis in range(3) if axis != along]
    steps = labels.ijk_to_ras[:3, others] / labels.spacing[others]
    if abs(float(steps[:, 0] @ steps[:, 1])) > _RIGHT_ANGLE:
        raise InputError("The segmentation's grid is sheared within its slices, which DICOM cannot hold; resample it.")
    order = [along, others[1], others[0]]
    numbers = np.zeros(int(labels.array.max()) + 1, np.uint16)
    numbers[list(values)] = np.arange(1, len(values) + 1)
    affine = RAS_TO_LPS @ labels.ijk_to_ras[:, [*order, 3]]
    return numbers[labels.array.transpose(order)], affine


def _description(number: int, labels: LabelMap, value: int) -> "highdicom.seg.SegmentDescription":
    import highdicom

    structure = labels.structures[value]
    coded = code_of(structure)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=PRODUCT, version=__version__, family=dicom_code(Code("123110", "Artificial Intelligence"), "DCM"))
    made = highdicom.seg.SegmentDescription(
        number, str(structure)[:64], dicom_code(coded.category), dicom_code(coded.type),
        highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC, algorithm,
        anatomic_regions=[dicom_code(coded.region)] if coded.region else None,
        display_color=_color(structure))
    if coded.modifier is not None:
        made.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            highdicom.sr.CodedConcept.from_code(dicom_code(coded.modifier))]
    return made


def _color(structure: Structure) -> "highdicom.color.CIELabColor":
    import highdicom

    return highdicom.color.CIELabColor.from_rgb(*(round(255 * c) for c in color_of(structure)))


def dicom_code(code: Code, scheme: str = SCHEME) -> "DicomCode":
    """A code as pydicom writes it."""
    from pydicom.sr.coding import Code as DicomCode

    return DicomCode(code.value, scheme, code.meaning)
