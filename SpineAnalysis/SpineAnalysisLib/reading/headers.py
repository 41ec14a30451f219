"""DICOM headers as plain data: whatever a file holds, it becomes a header or is counted as unreadable."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .contrast import Hint, of_dicom
from .stack import Slice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = ["PatientID", "PatientName", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
         "ProtocolName", "BodyPartExamined", "Modality", "ImageType", "InstanceNumber", "Rows", "Columns",
         "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
         "PerFrameFunctionalGroupsSequence", "SequenceName", "ScanningSequence", "EchoTime", "RepetitionTime",
         "InversionTime", "AcquisitionContrast", "ContrastBolusAgent", "NumberOfFrames", "BitsAllocated",
         "SamplesPerPixel", "FrameOfReferenceUID"]
_NOT_SCANS = ("SEG", "RTDOSE")
_PREAMBLE = 128
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MOST_INFLATED = 2**28
"""Bytes that a deflated file may unfold to; slices are far smaller."""


@dataclass(frozen=True, eq=False)
class Header:
    """What is read of one image file before its pixels.

    :param patient: tells patients apart; never shown.
    :param enhanced: whether contrast medium was given.
    :param whole: whether the file is long enough for the pixels that it states.
    :param frame: UID of the scanner's coordinate system, which the scans of one session share.
    """

    path: Path
    uid: str
    patient: tuple[str, str]
    number: str
    description: str
    modality: str
    body_part: str
    hint: Hint | None
    enhanced: bool
    whole: bool
    slices: tuple[Slice, ...]
    frame: str = ""


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    with path.open("rb") as stream:
        return stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"


def candidates(paths: Sequence[Path]) -> list[Path]:
    """The files to look at: a folder means all below it, a single file its folder; links must not lead out of it."""
    if len(paths) > 1:
        return sorted(paths)
    path = paths[0]
    folder = path if path.is_dir() else path.parent
    root = folder.resolve()
    found = path.rglob("*") if path.is_dir() else folder.iterdir()
    return sorted(p for p in found if p.is_file() and (not p.is_symlink() or p.resolve().is_relative_to(root)))


def read_headers(files: Sequence[Path]) -> tuple[list[Header], list[Path]]:
    """Headers of those that are DICOM images with a place in the patient, and DICOM files that cannot be read."""
    found, broken = [], []
    for path in files:
        try:
            header = _read(path)
        except Exception:  # what pydicom raises for damaged files has no common base
            if _starts_as_dicom(path):
                broken.append(path)
            continue
        if header is not None:
            found.append(header)
    return found, broken


def _starts_as_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError:
        return False


def _read(path: Path) -> Header | None:
    """``None`` for what is no DICOM image of a place."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    if not _is_small_enough(path):
        raise ValueError("unfolds to more than any slice")
    with path.open("rb") as stream:
        try:
            read = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
        except InvalidDicomError:
            return None
        left = path.stat().st_size - stream.tell()
    placed = "ImagePositionPatient" in read or "PerFrameFunctionalGroupsSequence" in read
    if "Rows" not in read or not placed or read.get("Modality") in _NOT_SCANS:
        return None
    text = {name: " ".join(str(read.get(name) or "").split()) for name in
            ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "BodyPartExamined")}
    return Header(path, text["SeriesInstanceUID"], (str(read.get("PatientID", "")), str(read.get("PatientName", ""))),
                  text["SeriesNumber"], text["SeriesDescription"] or text["ProtocolName"], text["Modality"],
                  text["BodyPartExamined"], of_dicom(read), bool(read.get("ContrastBolusAgent")),
                  _has_its_pixels(read, left), tuple(_slices(path, read)), str(read.get("FrameOfReferenceUID") or ""))


def _has_its_pixels(header: "Dataset", left: int) -> bool:
    """Whether the bytes left in a file can be all the pixels that it states; only decoders know of compressed ones."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed or syntax.is_deflated:
        return True
    sizes = [int(header.get(name) or 1) for name in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")]
    return left >= np.prod(sizes, dtype=float) * int(header.get("BitsAllocated") or 8) / 8


def _is_small_enough(path: Path) -> bool:
    """Whether a file, if it is deflated, unfolds to something that a computer can hold."""
    with path.open("rb") as stream:
        start = stream.read(1024)
        if _DEFLATED not in start:
            return True
        unfolded = zlib.decompressobj(-zlib.MAX_WBITS)
        length_at = _PREAMBLE + 4 + 8
        stream.seek(length_at + 4 + int.from_bytes(start[length_at:length_at + 4], "little"))
        return len(unfolded.decompress(stream.read(), _MOST_INFLATED)) < _MOST_INFLATED


def _slices(path: Path, header: "Dataset") -> list[Slice]:
    """One slice of a classic file, one per frame of an enhanced one."""
    size = (int(header.Rows), int(header.Columns))
    instance = int(header.get("InstanceNumber") or 0)
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [Slice(path, 0, instance, _vector(header.ImagePositionPatient, 3),
                      _vector(header.ImageOrientationPatient, 6), _vector(header.PixelSpacing, 2), size)]
    shared = header.get("SharedFunctionalGroupsSequence") or [None]
    out = []
    for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        def macro(name: str, frame: "Dataset" = frame) -> "Dataset":
            return getattr(frame if name in frame else shared[0], name)[0]
        out.append(Slice(path, index, index + 1, _vector(macro("PlanePositionSequence").ImagePositionPatient, 3),
                         _vector(macro("PlaneOrientationSequence").ImageOrientationPatient, 6),
                         _vector(macro("PixelMeasuresSequence").PixelSpacing, 2), size))
    return out


def _vector(values: Sequence[float], length: int) -> NDArray[np.floating]:
    """:raises ValueError: for another number of values, or what is no number."""
    found = np.array([float(v) for v in values])
    if found.shape != (length,) or not np.isfinite(found).all():
        raise ValueError("a place or a size is incomplete")
    return found
