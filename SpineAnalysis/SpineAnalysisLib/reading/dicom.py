"""DICOM series: from files to one volume.

Geometry comes from the positions and orientations of the slices, so that tilted and obliquely stacked series keep
their shape; SimpleITK decodes the pixels, compressed ones included.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .contrast import Hint
from .headers import Header, candidates, is_dicom, read_headers
from .raw import LPS_TO_RAS, RawImage, affine, check_memory, check_size, out_of_memory, unreadable
from .stack import Slice, geometry_of, parallel, sorted_along_normal, without_duplicates

__all__ = ["Block", "DicomVolume", "Series", "is_dicom", "read", "series_files", "series_of"]


_BYTES = 4
"""Of a decoded value, at least."""


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """:param files: that went into it; :param description: without anything about the patient.

    :param frame: UID of the scanner's coordinate system, which the scans of one session share.
    """

    raw: RawImage
    hint: Hint | None
    files: tuple[Path, ...]
    description: str
    frame: str = ""


@dataclass(frozen=True, eq=False)
class Series:
    """All images of one series UID."""

    headers: tuple[Header, ...]

    @property
    def first(self) -> Header:
        return self.headers[0]

    @property
    def count(self) -> int:
        return sum(len(h.slices) for h in self.headers)

    @cached_property
    def blocks(self) -> "tuple[Block, ...]":
        """What can be read as a volume each: the one stack that holds most images, or every stack where none does."""
        stacks = [sorted_along_normal(stack) for stack in parallel([s for h in self.headers for s in h.slices])]
        largest = max(stacks, key=len)
        if 2 * len(largest) > self.count:
            return (Block(self, 0, tuple(largest)),)
        return tuple(Block(self, number, tuple(stack)) for number, stack in enumerate(stacks, start=1))


@dataclass(frozen=True, eq=False)
class Block:
    """Parallel slices in order along their normal.

    :param number: in its series from one, as an axial series has several angled ones; 0 where it is the only one.
    """

    series: Series
    number: int
    slices: tuple[Slice, ...]

    @property
    def label(self) -> str:
        number = self.series.first.number
        named = f"series {number}" if number else "the series"
        return f"block {self.number} of {named}" if self.number else named

    def is_called(self, wanted: str) -> bool:
        """Whether a number or UID, with or without a block's number behind a slash, means this."""
        name, _, block = wanted.partition("/")
        return name in (self.series.first.number, self.series.first.uid) and block in ("", str(self.number))

    def name(self, unique: bool) -> str:
        """How to ask for it."""
        first = self.series.first
        return (first.number if unique and first.number else first.uid) + (f"/{self.number}" if self.number else "")


def read(paths: Sequence[Path], series: str | None) -> DicomVolume:
    """One series of a folder, of one file and its neighbors, or of a list of files.

    :param series: number or UID, and "/2" behind it for the second block; may be left out where there is only one.
    :raises InputError: for several series without a choice, missing slices, or what cannot be decoded.
    """
    found, broken = series_of(paths)
    if broken and not found:
        raise unreadable("The DICOM series")
    block = _choose(found, series, paths)
    label = block.label
    _check_one_patient(block.series)
    if not all(header.whole for header in block.series.headers):
        raise unreadable("An image of the DICOM series")
    stack, duplicates = without_duplicates(block.slices, _decode, label)
    others = block.series.count - len(block.slices) if not block.number else 0
    notes = [(others, f"{others} image(s) of another orientation or size (such as a localizer) were left out of "
                      f"{label}."),
             (duplicates, f"{duplicates} duplicate image(s) of {label} were left out."),
             (len(broken), f"{len(broken)} DICOM file(s) in this folder cannot be read and were left out.")]
    directions, origin = geometry_of(stack, label)
    shape = (stack[0].size[1], stack[0].size[0], len(stack))
    check_size(shape, "The series")
    check_memory(shape, _BYTES, "The series")
    raw = RawImage(_pixels(stack), LPS_TO_RAS @ affine(directions, origin),
                   notes=tuple(note for count, note in notes if count))
    first = block.series.first
    files = tuple(dict.fromkeys(s.path for s in stack))
    return DicomVolume(raw, first.hint, files, f"DICOM {first.modality} series of {len(stack)} slices", first.frame)


def series_files(paths: Sequence[Path], series: str | None) -> tuple[Path, ...]:
    """The files that :func:`read` would read; none where there is no DICOM.

    :raises InputError: as it does, for what headers tell.
    """
    if not paths or not (paths[0].is_dir() or (paths[0].is_file() and is_dicom(paths[0]))):
        return ()
    block = _choose(series_of(paths)[0], series, paths)
    return tuple(dict.fromkeys(s.path for s in block.slices))


def series_of(paths: Sequence[Path]) -> tuple[list[Series], list[Path]]:
    """Every series that these hold, in order of their numbers, and the DICOM files that cannot be read."""
    headers, broken = read_headers(candidates(paths))
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.uid].append(header)
    found = [Series(tuple(members)) for members in by_uid.values()]
    return sorted(found, key=lambda s: (s.first.number.zfill(12), s.first.uid)), broken


def _check_one_patient(series: Series) -> None:
    if len({h.patient for h in series.headers}) > 1:
        raise InputError("The images of one DICOM series belong to different patients; pass the folder of one patient.")


def _choose(found: Sequence[Series], wanted: str | None, paths: Sequence[Path]) -> Block:
    if wanted is None and len(paths) == 1 and paths[0].is_file():
        found = [s for s in found if any(h.path == paths[0] for h in s.headers)]
    if not found:
        raise InputError("There is no DICOM image here; pass the folder that holds the slices of the scan.")
    blocks = [block for series in found for block in series.blocks]
    matching = [block for block in blocks if wanted is None or block.is_called(wanted)]
    if len(matching) == 1:
        return matching[0]
    several = "DICOM series" if len(found) == len(blocks) else "DICOM series and blocks of slices"
    start = f"There are {len(blocks)} {several}" if matching else f"There is no DICOM series {wanted}"
    raise InputError(f"{start}; choose one with --series: {'; '.join(_listed(b, found) for b in blocks)}.")


def _listed(block: Block, others: Sequence[Series]) -> str:
    first = block.series.first
    unique = sum(s.first.number == first.number for s in others) == 1
    title = f' "{first.description}"' if first.description else ""
    count = len(block.slices) if block.number else block.series.count
    return f"{block.name(unique)}{title} ({first.modality or 'unknown modality'}, {count} images)"


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
            frames = decoded[s.path]
            if s.frame >= len(frames) or frames[s.frame].shape != s.size:  # not what the header says
                raise unreadable("An image of the DICOM series")
            planes.append(frames[s.frame])
        return np.stack(planes).transpose(2, 1, 0)
    except MemoryError:
        raise out_of_memory("The series") from None
