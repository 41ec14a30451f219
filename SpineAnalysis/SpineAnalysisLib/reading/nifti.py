"""NIfTI files.

Read here and not by SimpleITK, which fills truncated files with zeros, replaces zero spacing by one, and refuses
matrices with the slightest shear; the rules for which matrix counts are ITK's, so that Slicer shows the same place.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .raw import LPS_TO_RAS, RawImage, affine, check_memory, check_size, out_of_memory, unreadable

SUFFIXES = (".nii.gz", ".nii")

# The fields that matter and where they lie, in the two versions of the format, by the size of their headers.
_NAMES = ["dim", "datatype", "pixdim", "vox_offset", "slope", "intercept", "units", "qform_code", "sform_code",
          "quaternion", "offset", "rows"]
_LAYOUTS = {
    348: np.dtype({"names": _NAMES, "itemsize": 348,
                   "formats": ["8i2", "i2", "8f4", "f4", "f4", "f4", "u1", "i2", "i2", "3f4", "3f4", "(3,4)f4"],
                   "offsets": [40, 70, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280]}),
    540: np.dtype({"names": _NAMES, "itemsize": 540,
                   "formats": ["8i8", "i2", "8f8", "i8", "f8", "f8", "i4", "i4", "i4", "3f8", "3f8", "(3,4)f8"],
                   "offsets": [16, 12, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400]}),
}
_DATA_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_COLOR_TYPES = (32, 128, 1792, 2304)
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
_SCANNER = 1
_LONGEST_EXTENSION, _FARTHEST = 1 << 20, 1 << 30
"""Bytes between header and voxels that are looked at, and that there can be."""

EXTENSION = "extension"
"""Metadata key of the text between header and voxels."""


def read(path: Path, role: str) -> RawImage:
    """:raises InputError: for what is no NIfTI volume, is truncated or has no usable geometry."""
    try:
        with path.open("rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            start = stream.read(540)
            fields, order = _parse(start, role)
            array = _pixels(stream, fields, order, role)
            extension = _extension(stream, fields)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise unreadable(role) from None
    except MemoryError:
        raise out_of_memory(role) from None
    matrix, notes = _geometry(fields, role)
    return RawImage(array, matrix, {EXTENSION: extension}, notes)


def read_grid(path: Path, role: str) -> tuple[tuple[int, ...], NDArray[np.floating]]:
    """Size along the first three axes and (4, 4) IJK to RAS; no voxel is read.

    :raises InputError: as :func:`read`.
    """
    try:
        with path.open("rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
            fields, _ = _parse(stream.read(540), role)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise unreadable(role) from None
    return tuple(int(n) for n in fields["dim"][1:4]), _geometry(fields, role)[0]


def _parse(start: bytes, role: str) -> tuple[dict[str, Any], str]:
    """Header fields and the byte order."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(start[:4].ljust(4, b"\0"), f"{order}i4")[0])
        if size in _LAYOUTS and len(start) >= size:
            record = np.frombuffer(start[:size], _LAYOUTS[size].newbyteorder(order))[0]
            return {name: record[name] for name in _NAMES}, order
    raise unreadable(role, "is not in the format that its name says; pass NIfTI, NRRD, MetaImage or DICOM")


def _pixels(stream: BinaryIO | gzip.GzipFile, fields: dict[str, Any], order: str, role: str) -> NDArray:
    count = int(fields["dim"][0])
    if not 1 <= count <= 7:
        raise unreadable(role)
    shape = [int(n) for n in fields["dim"][1:count + 1]]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    kind = int(fields["datatype"])
    if kind in _COLOR_TYPES or (len(shape) == 5 and shape[3] == 1):
        raise unreadable(role, "holds colors or vectors; pass a volume with one value per voxel")
    check_size(tuple(shape), role)
    if kind not in _DATA_TYPES or not fields["vox_offset"] < _FARTHEST:  # nor what is no number
        raise unreadable(role)
    dtype = np.dtype(order + _DATA_TYPES[kind])
    check_memory(tuple(shape), dtype.itemsize, role)
    offset, wanted = max(int(fields["vox_offset"]), 0), int(np.prod(shape)) * dtype.itemsize
    stream.seek(offset)
    data = stream.read(wanted)
    if len(data) < wanted:
        raise unreadable(role)
    stream.read(1)  # at its end gzip compares the checksum
    array = np.frombuffer(data, dtype).reshape(shape, order="F")
    slope, intercept = float(fields["slope"]), float(fields["intercept"])
    if np.isfinite([slope, intercept]).all() and slope != 0 and (slope, intercept) != (1, 0):
        return array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _extension(stream: BinaryIO | gzip.GzipFile, fields: dict[str, Any]) -> str:
    """What lies between header and voxels; TotalSegmentator writes its table of labels there."""
    stream.seek(0)
    return stream.read(min(max(int(fields["vox_offset"]), 0), _LONGEST_EXTENSION)).decode("utf-8", "ignore")


def _geometry(fields: dict[str, Any], role: str) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """IJK to RAS, and sentences about a doubtful choice."""
    scale = _MM_PER_UNIT.get(int(fields["units"]) & 7, 1.0)
    spacing = np.abs(np.asarray(fields["pixdim"][1:4], float)) * scale
    if not np.isfinite(spacing).all() or (spacing == 0).any():
        raise unreadable(role, "states a voxel spacing of zero; correct its header")
    rows = np.asarray(fields["rows"], float) * scale
    sform = affine(rows[:, :3], rows[:, 3]) if fields["sform_code"] > 0 and _usable(rows) else None
    turn = _rotation(np.asarray(fields["quaternion"], float)) if fields["qform_code"] > 0 else None
    qform = None
    if turn is not None:
        handed = np.array([1, 1, -1 if fields["pixdim"][0] < 0 else 1])
        qform = affine(turn * (spacing * handed), np.asarray(fields["offset"], float) * scale)
    if sform is None or qform is None:
        only = qform if sform is None else sform
        if only is not None:
            return only, ()
        note = "The file says nothing about position and orientation; its axes were taken as left, posterior, superior."
        return LPS_TO_RAS @ affine(np.diag(spacing), np.zeros(3)), (note,)
    if _agree(sform, qform, fields["dim"][1:4]):
        return sform, ()
    name, chosen = ("sform", sform) if fields["sform_code"] == _SCANNER else ("qform", qform)
    return chosen, (f"The file states two different positions; its {name} was used.",)


def _usable(rows: NDArray[np.floating]) -> bool:
    return bool(np.isfinite(rows).all() and abs(np.linalg.det(rows[:, :3])) > 1e-9)


def _agree(a: NDArray[np.floating], b: NDArray[np.floating], shape: NDArray) -> bool:
    """Whether two matrices put the corners within a tenth of a millimeter."""
    corners = np.array(np.meshgrid(*[(0, int(n) - 1) for n in shape], [1])).reshape(4, -1)
    return bool(np.abs((a - b) @ corners).max() < 0.1)


def _rotation(quaternion: NDArray[np.floating]) -> NDArray[np.floating] | None:
    """(3, 3) of the vector part of a unit quaternion; ``None`` where it is no number."""
    if not np.isfinite(quaternion).all():
        return None
    from scipy.spatial.transform import Rotation
    real = np.sqrt(max(0.0, 1.0 - float(quaternion @ quaternion)))
    return Rotation.from_quat([*quaternion, real]).as_matrix()
