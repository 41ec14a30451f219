"""A scan from a file or a DICOM series."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..volume import Volume
from . import dicom, itk, nifti
from .contrast import Hint, of_intensities, of_words
from .raw import RawImage, unreadable
from .study import study_of

_ROLE = "The image"
_SPACING_MM = (0.01, 20.0)
# The longer suffix before the shorter that it ends with.
_READERS = {suffix: module.read for module in (nifti, itk) for suffix in module.SUFFIXES}


@dataclass(frozen=True, eq=False)
class ReadImage:
    """A scan as it was read.  Nothing here names the patient or the file.

    :param hint: contrast and how it is known.
    :param description: one line about the source.
    :param sha256: of the files that went into it.
    :param notes: sentences about what the reader left out or assumed.
    :param frame: identifies the scanner's coordinate system, where the file tells.
    """

    volume: Volume
    hint: Hint | None
    description: str
    sha256: str
    notes: tuple[str, ...] = ()
    frame: str = ""


def read_image(paths: Sequence[Path], series: str | None = None) -> ReadImage:
    """Read one scan.

    :param paths: one file, one DICOM folder, or the DICOM files of one series.
    :param series: number or UID of the DICOM series, where there are several.
    :raises InputError: for anything that is not exactly one usable volume.
    """
    for path in paths:
        check_exists(path)
    if paths[0].is_dir() or dicom.is_dicom(paths[0]):
        return _from_dicom(paths, series)
    if len(paths) > 1:
        raise InputError("One scan at a time: pass one image file, or the DICOM files of one series.")
    if series is not None:
        raise InputError("The image is no DICOM series; leave out --series.")
    raw = read_file(paths[0], _ROLE)
    array, notes = _checked(raw)
    hint = of_words(paths[0].name, "file name") or of_intensities(array)
    name = hint[0] if hint else "Scan"
    return ReadImage(Volume(array, raw.ijk_to_ras, name), hint, _describe(suffix_of(paths[0]) + " file", array),
                     digest([paths[0]]), (*raw.notes, *notes))


def read_images(path: Path) -> tuple[list[ReadImage], tuple[str, ...]]:
    """Every scan of a file or folder.

    :return: the scans, of a DICOM folder those that belong together, and a sentence about each that cannot be read.
    :raises InputError: for a file that is no scan, and for a folder without one.
    """
    check_exists(path)
    if not path.is_dir():
        return [read_image([path])], ()
    images, notes = [], []
    study = study_of(path)
    for name in study.proposed or [each.name for each in study.listed]:
        try:
            images.append(_from_dicom([path], name))
        except InputError as error:
            notes.append(f"A series was left out: {error}")
    if not images:
        raise InputError(f"There is no scan in {path} that shows a spine; pass the folder that holds its slices.")
    return images, tuple(notes)


def _from_dicom(paths: Sequence[Path], series: str | None) -> ReadImage:
    found = dicom.read(paths, series)
    array, notes = _checked(found.raw)
    hint = found.hint
    return ReadImage(Volume(array, found.raw.ijk_to_ras, hint[0] if hint else "Scan"), hint,
                     _describe(found.description, array), digest(found.files), (*found.raw.notes, *notes), found.frame)


def read_file(path: Path, role: str) -> RawImage:
    """One image file of any known format, with its geometry checked.

    :raises InputError: for a format that is not known, and as the readers do.
    """
    if not is_image(path):
        raise unreadable(role, "is in no known format; pass NIfTI, NRRD, MetaImage or a DICOM folder")
    raw = _READERS[suffix_of(path)](path, role)
    spacing = np.linalg.norm(raw.ijk_to_ras[:3, :3], axis=0)
    low, high = _SPACING_MM
    if not (np.isfinite(raw.ijk_to_ras).all() and abs(np.linalg.det(raw.ijk_to_ras)) > 0
            and (spacing > low).all() and (spacing <= high).all()):
        sizes = " x ".join(f"{s:.3g}" for s in spacing)
        raise InputError(f"{role} states voxels of {sizes} mm, which cannot be; correct the spacing in its header.")
    return raw


def check_exists(path: Path) -> None:
    """:raises InputError: where there is nothing, or nothing that may be read."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except FileNotFoundError:
        raise InputError(f"There is no file or folder {path}; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None


def suffix_of(path: Path) -> str:
    """The suffix that tells the format (".nii.gz" is one)."""
    name = path.name.lower()
    return next((s for s in _READERS if name.endswith(s)), path.suffix.lower())


def is_image(path: Path) -> bool:
    """Whether a name is that of a file in a known format."""
    return suffix_of(path) in _READERS


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of files, whatever their order and names."""
    each = []
    for path in files:
        with path.open("rb") as stream:
            each.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return each[0] if len(each) == 1 else hashlib.sha256("".join(sorted(each)).encode()).hexdigest()


def _checked(raw: RawImage) -> tuple[NDArray, tuple[str, ...]]:
    """Intensities that can be computed with.

    :raises InputError: for colors, and for an image that shows nothing.
    """
    if raw.array.ndim != 3:
        raise InputError("The image has several values per voxel (colors or vectors); pass a volume with one.")
    finite = np.isfinite(raw.array)
    values = raw.array[finite] if not finite.all() else raw.array
    if values.size == 0 or values.min() == values.max():
        raise InputError("The image has the same value everywhere or no numbers at all; pass the scan itself.")
    if finite.all():
        return raw.array, ()
    count = int(finite.size - np.count_nonzero(finite))
    return (np.where(finite, raw.array, values.min()),
            (f"{count} voxels of the image are no numbers and were set to its lowest value.",))


def _describe(source: str, array: NDArray) -> str:
    return f"{source}, {' x '.join(map(str, array.shape))} voxels"
