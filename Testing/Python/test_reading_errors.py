"""Scans that cannot be used: each gets one sentence."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scan_files import PATIENT, noise, save, slice_dataset, write, write_series

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.image import read_image


def _text(path: Path) -> Path:
    path.write_text("This is no scan.")
    return path


def _cut(path: Path, share: float = 0.6) -> Path:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:int(len(path.read_bytes()) * share)])
    return path


def _patched(path: Path, offset: int, form: str, *values: float) -> Path:
    """A NIfTI file with some of its header overwritten."""
    content = bytearray(write(path, noise()).read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)
    return path


def _with_header(path: Path, old: bytes, new: bytes) -> Path:
    content = write(path, noise()).read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def _color_dicom(path: Path) -> Path:
    for k in range(3):
        rgb = np.zeros((9, 11 * 3), np.uint8)
        save(slice_dataset(rgb, (k, 0, 0), instance=k, SamplesPerPixel=3, PhotometricInterpretation="RGB", Columns=11,
                           PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=rgb.tobytes()),
             path / f"{k}.dcm")
    return path


def _cut_dicom(path: Path) -> Path:
    write_series(path)
    victim = next(path.iterdir())
    victim.write_bytes(victim.read_bytes()[:-60])
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _flipped_crc(path: Path) -> Path:
    content = bytearray(write(path, noise()).read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    return path


BAD_IMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (lambda p: p / "no.nii", "There is no file or folder"),
    "text as NIfTI": (lambda p: _text(p / "x.nii.gz"), "not in the format that its name says"),
    "text as NRRD": (lambda p: _text(p / "x.nrrd"), "not in the format that its name says"),
    "text": (lambda p: _text(p / "x.txt"), "no known format"),
    "empty file": (lambda p: p / "x.nii" if (p / "x.nii").write_bytes(b"") == 0 else p, "not in the format"),
    "empty folder": (lambda p: _folder(p / "x"), "no DICOM image"),
    "cut NIfTI": (lambda p: _cut(p / "x.nii"), "truncated or corrupt"),
    "cut zipped NIfTI": (lambda p: _cut(p / "x.nii.gz"), "truncated or corrupt"),
    "NIfTI cut in its header": (lambda p: _cut(p / "x.nii", 0.1), "not in the format"),
    "wrong checksum": (lambda p: _flipped_crc(p / "x.nii.gz"), "truncated or corrupt"),
    "cut NRRD": (lambda p: _cut(p / "x.nrrd"), "truncated or corrupt"),
    "cut MetaImage": (lambda p: _cut(p / "x.mha"), "truncated or corrupt"),
    "cut DICOM": (lambda p: _cut_dicom(p / "x"), "truncated or corrupt"),
    "4D NIfTI": (lambda p: write(p / "x.nii", np.stack([noise()] * 2, -1)), "4 dimensions instead of 3"),
    "4D NRRD": (lambda p: write(p / "x.nrrd", np.stack([noise()] * 2, -1)), "4 dimensions instead of 3"),
    "2D": (lambda p: write(p / "x.nrrd", noise((9, 9))), "2 dimensions instead of 3"),
    "one slice": (lambda p: write(p / "x.nii", noise((9, 9, 1))), "only 9 x 9 x 1 voxels"),
    "color NIfTI": (lambda p: write(p / "x.nii", noise((9, 9, 9, 3)).astype(np.uint8), vector=True), "colors or vec"),
    "vectors": (lambda p: write(p / "x.nrrd", noise((9, 9, 9, 2)), vector=True), "several values per voxel"),
    "color DICOM": (lambda p: _color_dicom(p / "x"), "color pictures"),
    "no numbers": (lambda p: write(p / "x.nii", np.full((9, 9, 9), np.nan, np.float32)), "no numbers at all"),
    "constant": (lambda p: write(p / "x.mha", np.full((9, 9, 9), 7, np.int16)), "same value everywhere"),
    "zero spacing NIfTI": (lambda p: _patched(p / "x.nii", 80, "<f", 0.0), "spacing of zero"),
    "NaN spacing": (lambda p: _patched(p / "x.nii", 84, "<f", float("nan")), "spacing of zero"),
    "zero spacing NRRD": (lambda p: _with_header(p / "x.nrrd", b"(0,2,0)", b"(0,0,0)"), "spacing of zero"),
    "zero spacing MetaImage": (lambda p: _with_header(p / "x.mha", b"Spacing = 1 2 3", b"Spacing = 1 0 3"), "of zero"),
    "huge voxels": (lambda p: write(p / "x.nrrd", noise(), (1, 1, 50)), "voxels of 1 x 1 x 50 mm, which cannot be"),
    "tiny voxels": (lambda p: write(p / "x.nii", noise(), (0.001, 1, 1)), "which cannot be"),
    "voxels nowhere": (lambda p: _patched(p / "x.nii", 108, "<f", 1e30), "truncated or corrupt"),
    "voxels at no number": (lambda p: _patched(p / "x.nii", 108, "<f", float("nan")), "truncated or corrupt"),
    "negative sizes": (lambda p: _patched(p / "x.nii", 42, "<h", -9), "only -9 x 10 x 8 voxels large"),
    "too many voxels": (lambda p: _patched(p / "x.nii", 42, "<3h", 30000, 30000, 30000), r"more than 2\^31"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_is_one_clear_sentence(tmp_path: Path, case: str) -> None:
    make, message = BAD_IMAGES[case]
    with pytest.raises(InputError, match=message) as caught:
        read_image([make(tmp_path)])
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert PATIENT not in str(caught.value)
