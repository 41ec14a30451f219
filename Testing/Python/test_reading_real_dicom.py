"""A real series written anew in the ways that scanners and archives write: the same volume, or one clear sentence."""

from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import JPEGLSLossless, RLELossless
from scan_files import noise, save, slice_dataset, write_series

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.image import ReadImage, read_image
from SpineAnalysisLib.reading.study import study_of

KEPT = slice(4, 9)
"""Slices of the series, enough to tell."""


@pytest.fixture(scope="module")
def series(real_data: Callable[[str], Path]) -> list[pydicom.FileDataset]:
    found = [pydicom.dcmread(path) for path in real_data("lumbar_subject_cc0/dicom/mr15_t2_sag").rglob("*.dcm")]
    return sorted(found, key=lambda made: float(made.ImagePositionPatient[0]))[KEPT]


@pytest.fixture(scope="module")
def plain(series: list[pydicom.FileDataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    for k, made in enumerate(series):
        save(made, folder / f"{k}.dcm")
    return folder


@pytest.fixture(scope="module")
def expected(plain: Path) -> ReadImage:
    return read_image([plain])


def check_same(found: ReadImage, expected: ReadImage) -> None:
    np.testing.assert_array_equal(found.volume.array, expected.volume.array)
    np.testing.assert_allclose(found.volume.ijk_to_ras, expected.volume.ijk_to_ras, atol=1e-4)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
def test_compressed_by_pydicom(plain: Path, expected: ReadImage, tmp_path: Path, syntax: str) -> None:
    for path in plain.iterdir():
        made = pydicom.dcmread(path)
        made.compress(syntax)
        save(made, tmp_path / path.name)
    check_same(read_image([tmp_path]), expected)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_by_gdcm(plain: Path, expected: ReadImage, tmp_path: Path, compressor: str) -> None:
    for path in plain.iterdir():
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.SetFileName(str(tmp_path / path.name))
        writer.Execute(SimpleITK.ReadImage(str(path)))
    syntax = pydicom.dcmread(next(tmp_path.iterdir()), stop_before_pixels=True).file_meta.TransferSyntaxUID
    assert syntax.is_compressed
    check_same(read_image([tmp_path]), expected)


def test_enhanced_multi_frame(series: list[pydicom.FileDataset], expected: ReadImage, tmp_path: Path) -> None:
    """As highdicom converts classic series."""
    made = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        series, series_instance_uid=highdicom.UID(), series_number=77, sop_instance_uid=highdicom.UID(),
        instance_number=1)
    check_same(read_image([save(made, tmp_path / "all.dcm")]), expected)


def test_a_tilted_gantry_keeps_its_shear(series: list[pydicom.FileDataset], expected: ReadImage, tmp_path: Path
                                         ) -> None:
    for k, original in enumerate(series):
        made = pydicom.dcmread(original.filename)
        x, y, z = map(float, made.ImagePositionPatient)
        made.ImagePositionPatient = [x, y + 0.5 * k, z]
        save(made, tmp_path / f"{k}.dcm")
    found = read_image([tmp_path]).volume
    step = (found.ijk_to_ras - expected.volume.ijk_to_ras)[:3, 2]
    np.testing.assert_allclose(np.abs(step), [0.0, 0.5, 0.0], atol=1e-3)
    np.testing.assert_array_equal(found.array, expected.volume.array)


def test_a_missing_slice_is_refused(plain: Path, tmp_path: Path) -> None:
    for path in sorted(plain.iterdir()):
        if path.name != "2.dcm":
            save(pydicom.dcmread(path), tmp_path / path.name)
    with pytest.raises(InputError, match=r"missing in series .*: after slice 2 of 4 there is a gap of"):
        read_image([tmp_path])


def test_a_slice_twice_is_left_out_and_said(plain: Path, expected: ReadImage, tmp_path: Path) -> None:
    for path in plain.iterdir():
        save(pydicom.dcmread(path), tmp_path / path.name)
    again = pydicom.dcmread(plain / "1.dcm")
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = highdicom.UID()
    save(again, tmp_path / "again.dcm")
    found = read_image([tmp_path])
    check_same(found, expected)
    assert any(note.startswith("1 duplicate image(s)") for note in found.notes)


@pytest.mark.parametrize(("words", "charset"), [
    ("LWS Wirbelsäule sag", "ISO_IR 100"), ("ПОЗВОНОЧНИК T2", "ISO_IR 144"), ("腰椎 T2", "GB18030"),
    ("腰椎 矢状断", ["", "ISO 2022 IR 87"]), ("Colonne vertébrale", "ISO_IR 100"), ("Columna lumbar", "ISO_IR 192")])
def test_spine_in_the_character_sets_of_scanners(tmp_path: Path, words: str, charset: str | list[str]) -> None:
    write_series(tmp_path, SeriesDescription=words, SpecificCharacterSet=charset)
    save(slice_dataset(noise((9, 11)).astype(np.uint16), (0, 0, 0), series="1.9", number=9, Modality="SEG"),
         tmp_path / "s.dcm")
    (listed,) = study_of(tmp_path).listed
    assert listed.spine is True
    assert listed.description == words
