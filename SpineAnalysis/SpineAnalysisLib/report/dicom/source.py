"""The series that an analysis was made from, and what all objects made from it share."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import InputError
from ...reading.raw import LPS_TO_RAS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

MANUFACTURER = "SlicerSpineAnalysis"
PRODUCT = "Spine Analysis"
SERIAL_NUMBER = "none"
PRIVATE_SCHEME = "99SPINEANALYSIS"
"""Designator of codes that are this project's own."""
FIRST_SERIES = 9100
"""Scanners number their series from one; results come after all of them."""

# What a header without identity keeps, gets anew and leaves empty.
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_GEOMETRY = ("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameContentSequence")
_TECHNICAL = ("SOPClassUID", "Modality", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness",
              "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber",
              "SeriesNumber", *_FUNCTIONAL_GROUPS)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_EMPTIED = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
            "ReferringPhysicianName")
_NOBODY = "Anonymous^"
IDENTITY_REMOVED = ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence")
"""What every object of a scan without identity says of it."""

RAS_TO_LPS = LPS_TO_RAS  # its own inverse


@dataclass(frozen=True, eq=False)
class Source:
    """Headers of one scan's files, without pixels.

    :param images: classic images, or one multi-frame image; all of one study.
    """

    images: tuple["Dataset", ...]

    @staticmethod
    def of_files(files: Sequence[Path]) -> "Source":
        """:raises InputError: for a scan that is no DICOM series, or one whose place is not stated."""
        import pydicom
        from pydicom.errors import InvalidDicomError

        try:
            images = tuple(_in_unicode(pydicom.dcmread(path, stop_before_pixels=True)) for path in files)
        except (InvalidDicomError, OSError, EOFError):
            images = ()
        if not images:
            raise InputError("DICOM results belong to a DICOM scan; pass the scan's DICOM folder or leave out --dicom.")
        if not images[0].get("FrameOfReferenceUID"):
            raise InputError("The DICOM scan does not say in which frame of reference it lies, so DICOM results cannot "
                             "refer to it; leave out --dicom.")
        return Source(images)

    def deidentified(self) -> "Source":
        """The same scan with nothing in its headers but how it was made and where it lies.

        What the basic application level confidentiality profile (DICOM PS3.15, annex E) removes is not kept; UIDs are
        replaced by new ones, the same everywhere in one run.
        """
        import highdicom

        fresh: dict[str, str] = defaultdict(highdicom.UID)
        return Source(tuple(_without_identity(image, fresh) for image in self.images))

    @property
    def first(self) -> "Dataset":
        return self.images[0]

    @cached_property
    def frame_of_reference(self) -> str:
        return str(self.first.FrameOfReferenceUID)


def _in_unicode(image: "Dataset") -> "Dataset":
    """The header with its texts in one character set, whichever ones they were written in, and what every header has.

    Scans that were de-identified often lack what the standard wants to be there, if only empty.
    """
    image.decode()
    for name in ("PatientName", "PatientID", *_EMPTIED):
        if name not in image:
            setattr(image, name, "")
    image.SpecificCharacterSet = "ISO_IR 192"
    return image


def _without_identity(image: "Dataset", fresh: Mapping[str, str]) -> "Dataset":
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    made = Dataset()
    for name in _TECHNICAL:
        if name in image:
            made[name] = deepcopy(image[name])
    for name in _UIDS:
        if image.get(name):
            setattr(made, name, fresh[str(image[name].value)])
    for name in _EMPTIED:
        setattr(made, name, "")
    for name in _FUNCTIONAL_GROUPS:
        for group in made.get(name, ()):
            for element in [e for e in group if e.keyword not in _GEOMETRY]:
                del group[element.tag]
    method = codes.DCM.BasicApplicationConfidentialityProfile
    made.PatientName, made.PatientID, made.PatientIdentityRemoved = _NOBODY, _NOBODY, "YES"
    made.DeidentificationMethodCodeSequence = [_coded(method)]
    made.SpecificCharacterSet = "ISO_IR 192"
    return made


def _coded(code: "Code") -> "Dataset":
    from pydicom.dataset import Dataset

    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return made


def identity(series: int) -> dict[str, Any]:
    """What names a new object and who made it, as keyword arguments that all objects of highdicom take.

    :param series: which of the results it is, from zero.
    """
    import highdicom

    return {"series_instance_uid": highdicom.UID(), "series_number": FIRST_SERIES + series,
            "sop_instance_uid": highdicom.UID(), "instance_number": 1, "manufacturer": MANUFACTURER}


def product() -> dict[str, Any]:
    """The program, as objects that were computed name it."""
    return {"manufacturer_model_name": PRODUCT, "software_versions": __version__,
            "device_serial_number": SERIAL_NUMBER}
