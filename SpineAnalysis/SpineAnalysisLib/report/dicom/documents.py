"""The report as an encapsulated PDF, and its pictures as secondary captures."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ..pictures import Picture
from .source import MANUFACTURER, PRODUCT, Source, identity

if TYPE_CHECKING:
    import highdicom
    from pydicom.dataset import FileDataset

_ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_DICOM_LETTERS = {"S": "H", "I": "F"}  # head and foot
_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")


def encapsulated(pdf: Path, source: Source) -> "FileDataset":
    """A PDF file as a DICOM document of the scan's study."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    names = identity(2)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _ENCAPSULATED_PDF, names["sop_instance_uid"]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(None, {}, preamble=b"\0" * 128, file_meta=meta)
    for name in (*_PATIENT, *_STUDY):
        setattr(made, name, source.first.get(name, ""))
    content = pdf.read_bytes()
    values = {
        "SOPClassUID": _ENCAPSULATED_PDF, "SOPInstanceUID": names["sop_instance_uid"],
        "SeriesInstanceUID": names["series_instance_uid"], "SeriesNumber": names["series_number"],
        "InstanceNumber": 1, "Modality": "DOC", "ConversionType": "WSD", "SeriesDescription": f"{PRODUCT}: report",
        "Manufacturer": MANUFACTURER, "ManufacturerModelName": PRODUCT, "SoftwareVersions": __version__,
        "ContentDate": "", "ContentTime": "", "AcquisitionDateTime": "", "BurnedInAnnotation": "NO",
        "DocumentTitle": "Spine analysis, for research only", "ConceptNameCodeSequence": [],
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocumentLength": len(content), "EncapsulatedDocument": content + b"\0" * (len(content) % 2)}
    for name, value in values.items():
        setattr(made, name, value)
    return made


def key_images(shown: Iterable[tuple[str, Picture]], source: Source) -> "Iterator[highdicom.sc.SCImage]":
    """Pictures of the report, each with its title, as one series of images of the scan's study."""
    import highdicom

    series = identity(3)
    for number, (title, picture) in enumerate(shown, start=1):
        names = series | {"sop_instance_uid": highdicom.UID(), "instance_number": number}
        sides = ["".join(_DICOM_LETTERS.get(letter, letter) for letter in side) for side in picture.orientation]
        made = highdicom.sc.SCImage.from_ref_dataset(
            source.first, picture.pixels(), photometric_interpretation="RGB", bits_allocated=8,
            coordinate_system="PATIENT", patient_orientation=tuple(side[0] for side in sides), **names)
        made.PatientOrientation = sides  # highdicom knows no planes between two axes
        made.SeriesDescription, made.ImageComments, made.BurnedInAnnotation = f"{PRODUCT}: pictures", title, "NO"
        yield made
