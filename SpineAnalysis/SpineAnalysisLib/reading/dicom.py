"""DICOM series: from files to one volume.

Geometry comes from the positions and orientations of the slices, so that tilted and obliquely stacked series keep
their shape; SimpleITK decodes the pixels, compressed ones included.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .contrast import Hint, of_dicom
from .raw import LPS_TO_RAS, RawImage, affine, check_size, out_of_memory, unreadable
from .stack import Slice, geometry_of, main_stack, without_duplicates

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = ["SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "InstanceNumber", "Rows", "Columns",
         "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
         "PerFrameFunctionalGroupsSequence", "SequenceName", "ScanningSequence", "EchoTime", "RepetitionTime",
         "InversionTime", "AcquisitionContrast"]
_NOT_SCANS = ("SEG", "RTDOSE")
_PREAMBLE = 128


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """:param files: that went into it; :param description: without anything about the patient."""

    raw: RawImage
    hint: Hint | None
    files: tuple[Path, ...]
    description: str


@dataclass(frozen=True, eq=False)
class _Series:
    uid: str
    header: "Dataset"
    slices: tuple[Slice, ...]

    @property
    def number(self) -> str:
        return str(self.header.get("SeriesNumber") or "")

    @property
    def label(self) -> str:
        return f"series {self.number}" if self.number else "the series"


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    with path.open("rb") as stream:
        return stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"


def read(paths: Sequence[Path], series: str | None) -> DicomVolume:
    """One series of a folder, of one file and its neighbors, or of a list of files.

    :param series: number or UID; may be left out where there is only one.
    :raises InputError: for several series without a choice, missing slices, or what cannot be decoded.
    """
    chosen = _choose(_group(_headers(_candidates(paths))), series, paths)
    stack, notes = main_stack(chosen.slices, chosen.label)
    stack, duplicates = without_duplicates(stack, _decode, chosen.label)
    if duplicates:
        notes = (*notes, f"{duplicates} duplicate image(s) of {chosen.label} were left out.")
    directions, origin = geometry_of(stack, chosen.label)
    check_size((stack[0].size[1], stack[0].size[0], len(stack)), "The series")
    raw = RawImage(_pixels(stack), LPS_TO_RAS @ affine(directions, origin), notes=notes)
    modality = str(chosen.header.get("Modality", ""))
    files = tuple(dict.fromkeys(s.path for s in stack))
    return DicomVolume(raw, of_dicom(chosen.header), files, f"DICOM {modality} series of {len(stack)} slices")


def series_files(paths: Sequence[Path], series: str | None) -> tuple[Path, ...]:
    """The files that :func:`read` would read; none where there is no DICOM.

    :raises InputError: as it does, for what headers tell.
    """
    if not paths or not (paths[0].is_dir() or (paths[0].is_file() and is_dicom(paths[0]))):
        return ()
    chosen = _choose(_group(_headers(_candidates(paths))), series, paths)
    stack, _ = main_stack(chosen.slices, chosen.label)
    return tuple(dict.fromkeys(s.path for s in stack))


def _candidates(paths: Sequence[Path]) -> list[Path]:
    """The files to look at: a folder means all below it, a single file its folder."""
    if len(paths) > 1:
        return sorted(paths)
    path = paths[0]
    found = path.rglob("*") if path.is_dir() else path.parent.iterdir()
    return sorted(p for p in found if p.is_file())


def _headers(files: Sequence[Path]) -> list[tuple[Path, "Dataset"]]:
    """What of these is a DICOM image with a place in the patient."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    found = []
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        except (InvalidDicomError, OSError, EOFError, ValueError, KeyError):
            continue
        if "Rows" in header and header.get("Modality") not in _NOT_SCANS and (
                "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header):
            found.append((path, header))
    return found


def _group(headers: Sequence[tuple[Path, "Dataset"]]) -> list[_Series]:
    by_uid: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    for path, header in headers:
        by_uid[str(header.get("SeriesInstanceUID", ""))].append((path, header))
    found = []
    for uid, members in by_uid.items():
        try:
            slices = tuple(s for path, header in members for s in _slices(path, header))
        except (AttributeError, IndexError, TypeError, ValueError):
            raise unreadable("The DICOM series", "has an image without a complete position; export it again") from None
        found.append(_Series(uid, members[0][1], slices))
    return sorted(found, key=lambda s: (s.number.zfill(12), s.uid))


def _slices(path: Path, header: "Dataset") -> list[Slice]:
    """One slice of a classic file, one per frame of an enhanced one."""
    size = (int(header.Rows), int(header.Columns))
    instance = int(header.get("InstanceNumber") or 0)
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [Slice(path, 0, instance, _vector(header.ImagePositionPatient), _vector(header.ImageOrientationPatient),
                      _vector(header.PixelSpacing), size)]
    shared = header.get("SharedFunctionalGroupsSequence") or [None]
    out = []
    for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        def macro(name: str, frame: "Dataset" = frame) -> "Dataset":
            return getattr(frame if name in frame else shared[0], name)[0]
        out.append(Slice(path, index, index + 1, _vector(macro("PlanePositionSequence").ImagePositionPatient),
                         _vector(macro("PlaneOrientationSequence").ImageOrientationPatient),
                         _vector(macro("PixelMeasuresSequence").PixelSpacing), size))
    return out


def _vector(values: Sequence[float]) -> NDArray[np.floating]:
    return np.array([float(v) for v in values])


def _choose(found: Sequence[_Series], wanted: str | None, paths: Sequence[Path]) -> _Series:
    if wanted is None and len(paths) == 1 and paths[0].is_file():
        found = [s for s in found if any(x.path == paths[0] for x in s.slices)]
    if not found:
        raise InputError("There is no DICOM image here; pass the folder that holds the slices of the scan.")
    matching = [s for s in found if wanted is None or wanted in (s.number, s.uid)]
    if len(matching) == 1:
        return matching[0]
    start = f"There are {len(found)} DICOM series" if matching else f"There is no DICOM series {wanted}"
    raise InputError(f"{start}; choose one with --series: {'; '.join(_listed(s, found) for s in found)}.")


def _listed(series: _Series, others: Sequence[_Series]) -> str:
    unique = series.number and sum(s.number == series.number for s in others) == 1
    description = " ".join(str(series.header.get("SeriesDescription", "")).split())
    title = f' "{description}"' if description else ""
    modality = series.header.get("Modality", "unknown modality")
    return f"{series.number if unique else series.uid}{title} ({modality}, {len(series.slices)} images)"


def _decode(path: Path) -> NDArray:
    """(frames, rows, columns) with the rescaling of the file applied."""
    import SimpleITK

    try:
        image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
    except RuntimeError:
        raise unreadable("An image of the DICOM series") from None
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise unreadable("The DICOM series", "holds color pictures; choose the series with the scan itself")
    pixels = SimpleITK.GetArrayFromImage(image)
    return pixels if pixels.ndim == 3 else pixels[None]


def _pixels(stack: Sequence[Slice]) -> NDArray:
    """(I, J, K)."""
    try:
        decoded: dict[Path, NDArray] = {}
        planes = []
        for s in stack:
            if s.path not in decoded:
                decoded = {s.path: _decode(s.path)}
            planes.append(decoded[s.path][s.frame])
        return np.stack(planes).transpose(2, 1, 0)
    except MemoryError:
        raise out_of_memory("The series") from None
