"""NRRD and MetaImage files, read by SimpleITK."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .raw import LPS_TO_RAS, RawImage, affine, check_memory, check_size, out_of_memory, unreadable

if TYPE_CHECKING:
    import SimpleITK

SUFFIXES = (".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")

_LONGEST_HEADER = 1 << 20
_DATA_FILE = re.compile(r"^(?:data ?file:|ElementDataFile\s*=)[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_IN_HEADER = ("", "local")


def read(path: Path, role: str) -> RawImage:
    """:raises InputError: for what is no volume, is truncated or has no usable geometry."""
    import SimpleITK

    _check_data_files(path, role)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        check_size(tuple(reader.GetSize()), role)
        check_memory((*reader.GetSize(), reader.GetNumberOfComponents()), _bytes_each(reader), role)
        image = reader.Execute()
        pixels = SimpleITK.GetArrayFromImage(image)
    except MemoryError:
        raise out_of_memory(role) from None
    except RuntimeError as error:
        raise _explained(str(error), role) from None
    # NumPy's view is [k, j, i], components last.
    array = pixels.transpose(2, 1, 0) if pixels.ndim == 3 else pixels.transpose(2, 1, 0, 3)
    directions = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix = LPS_TO_RAS @ affine(directions, np.asarray(image.GetOrigin()))
    return RawImage(array, matrix, dict(_texts(reader)))


def _bytes_each(reader: "SimpleITK.ImageFileReader") -> int:
    """Of one value."""
    import SimpleITK

    return int(SimpleITK.Image(1, 1, 1, reader.GetPixelID()).GetSizeOfPixelComponent())


def _texts(reader: "SimpleITK.ImageFileReader") -> Iterator[tuple[str, str]]:
    """The header's texts; what is in no character set that is known is left out or replaced."""
    for key in reader.GetMetaDataKeys():
        if not re.search("[\ud800-\udfff]", key):  # bytes that are no UTF-8
            yield key, reader.GetMetaData(key).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _check_data_files(path: Path, role: str) -> None:
    """A header may name the file that holds its voxels, or a list of them: they must not lie elsewhere."""
    with path.open("rb") as stream:
        header = stream.read(_LONGEST_HEADER).decode("latin-1").replace("\r", "")
    if header.startswith("NRRD"):
        header = header.partition("\n\n")[0]
    named = _DATA_FILE.search(header)
    if named is None or named[1].strip().lower() in _IN_HEADER:
        return
    names = header[named.end():].split("\n") if named[1].strip().upper().startswith("LIST") else [named[1]]
    folder = path.parent.resolve()
    for name in (name.strip() for name in names):
        if "\0" in name or not (folder / name).resolve().is_relative_to(folder):
            raise unreadable(role, "takes its voxels from a file outside of its folder; export it as one file")


def _explained(message: str, role: str) -> Exception:
    """The error that a user can act on, from SimpleITK's."""
    if "Unable to determine ImageIO" in message:
        return unreadable(role, "is not in the format that its name says; pass NIfTI, NRRD, MetaImage or DICOM")
    if "spacing" in message:
        return unreadable(role, "states a voxel spacing of zero; correct its header")
    if "allocate" in message:
        return out_of_memory(role)
    return unreadable(role)
