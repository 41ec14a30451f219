"""Scans from files."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom.uid import JPEG2000Lossless, RLELossless
from scan_files import PATIENT, enhanced_dataset, noise, save, slice_dataset, write, write_series

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.contrast import of_dicom, of_intensities, of_words
from SpineAnalysisLib.reading.image import ReadImage, read_image

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def test_every_format_gives_the_same_volume_in_ras(tmp_path: Path) -> None:
    array = noise()
    read = [read_image([write(tmp_path / f"scan.{suffix}", array)]).volume
            for suffix in ("nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd")]
    for volume in read:
        assert np.array_equal(volume.array, array)
        assert volume.same_grid(read[0])
    assert read[0].to_ras(np.array([1, 2, 3])) == pytest.approx([-6, -10, 16])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_of_any_kind(tmp_path: Path, dtype: type, version: type, order: str) -> None:
    affine = np.array([[-0.9, 0.1, 0.2, 30], [0.1, 0.02, 3.0, -40], [0.05, 0.8, -0.3, 500], [0, 0, 0, 1.0]])
    array = noise().astype(dtype)
    image = version(array, affine, version.header_class(endianness=order))
    image.set_data_dtype(dtype)
    image.to_filename(tmp_path / "scan.nii.gz")
    found = read_image([tmp_path / "scan.nii.gz"])
    assert np.array_equal(found.volume.array, array)
    assert found.volume.ijk_to_ras == pytest.approx(affine, abs=1e-4), "shear included"
    assert found.notes == ()


def test_nifti_scaling_and_units(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(noise(), np.diag([0.001, 0.001, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    image.header.set_slope_inter(2.0, -1000.0)
    image.to_filename(tmp_path / "scan.nii")
    found = read_image([tmp_path / "scan.nii"])
    assert found.volume.spacing == pytest.approx([1, 1, 2])
    stored = np.asarray(nibabel.load(tmp_path / "scan.nii").dataobj.get_unscaled())
    assert found.volume.array == pytest.approx(stored * 2.0 - 1000)


def test_nifti_matrix_is_the_one_that_slicer_uses(tmp_path: Path) -> None:
    scanner, aligned = np.diag([1.0, 2, 3, 1]), np.diag([-1.0, 2, 3, 1])
    aligned[:3, 3] = 50
    image = nibabel.Nifti1Image(noise(), None)
    image.set_qform(scanner, code=1)
    image.set_sform(aligned, code=4)
    image.to_filename(tmp_path / "scan.nii")
    found = read_image([tmp_path / "scan.nii"])
    reference = SimpleITK.ReadImage(str(tmp_path / "scan.nii"))
    assert found.volume.ijk_to_ras[:3, 3] == pytest.approx(LPS_TO_RAS[:3, :3] @ reference.GetOrigin())
    assert found.volume.ijk_to_ras == pytest.approx(scanner)
    assert "two different positions" in found.notes[0]
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    image.to_filename(tmp_path / "scan.nii")
    nowhere = read_image([tmp_path / "scan.nii"])
    assert "says nothing about position" in nowhere.notes[0]
    assert nowhere.volume.ijk_to_ras == pytest.approx(np.diag([-1, -2, 3, 1]))


@pytest.mark.parametrize(("series", "tolerance_mm"), [("ct_sag", 0.02), ("mr03_t2_sag", 0.01), ("mr15_t2_sag", 0.01)])
def test_dicom_lies_where_its_nifti_lies(real_data: Callable[[str], Path], series: str, tolerance_mm: float) -> None:
    dicom = read_image([real_data(f"lumbar_subject_cc0/dicom/{series}")])
    nifti = read_image([real_data(f"lumbar_subject_cc0/{series}.nii.gz")])
    points = np.random.default_rng(1).integers(0, dicom.volume.shape, (2000, 3))
    there = nifti.volume.to_ijk(dicom.volume.to_ras(points))
    nearest = np.rint(there).astype(int)
    assert np.linalg.norm((there - nearest) * nifti.volume.spacing, axis=1).max() < tolerance_mm
    assert np.array_equal(dicom.volume.array[tuple(points.T)], nifti.volume.array[tuple(nearest.T)])
    assert sorted(dicom.volume.shape) == sorted(nifti.volume.shape)
    assert dicom.hint is not None
    assert dicom.hint[0] == ("CT" if series == "ct_sag" else "T2")


def test_localizer_is_left_out_and_said(real_data: Callable[[str], Path]) -> None:
    found = read_image([real_data("lumbar_subject_cc0/dicom/ct_sag")])
    assert found.volume.shape == (512, 512, 38)
    assert [note for note in found.notes if "1 image(s)" in note and "localizer" in note]


@pytest.mark.parametrize("file", ["lumbar_ct_totalsegmentator/ct.nii.gz", "tptbox_samples/sub-mri_label-6_T2w.nii.gz",
                                  "mr_vertebrae_manual/VB1_16_S02_img.nii.gz", "cervical_mr_sct/t2.nii.gz"])
def test_real_nifti_as_simpleitk_reads_it(real_data: Callable[[str], Path], file: str) -> None:
    path = real_data(file)
    image = SimpleITK.ReadImage(str(path))
    found = read_image([path]).volume
    assert np.array_equal(found.array, SimpleITK.GetArrayFromImage(image).T)
    last = [n - 1 for n in found.shape]
    assert found.to_ras(np.array(last)) == pytest.approx(
        LPS_TO_RAS[:3, :3] @ image.TransformIndexToPhysicalPoint(last), abs=1e-3)


def test_series_in_any_order_of_files(tmp_path: Path) -> None:
    volume = write_series(tmp_path)
    found = read_image([tmp_path])
    assert np.array_equal(found.volume.array, volume.transpose(2, 1, 0))
    assert found.volume.to_ras(np.array([2, 3, 4])) == pytest.approx([6, -21, 30 - 3 * 0.75])
    assert found.hint == ("T2", "series description")
    assert found.notes == ()
    one = read_image([next(tmp_path.iterdir())])
    assert np.array_equal(one.volume.array, found.volume.array)
    listed = read_image(list(tmp_path.iterdir())[::-1])
    assert listed.sha256 == found.sha256 == one.sha256


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_series(tmp_path: Path, syntax: str) -> None:
    volume = write_series(tmp_path / "plain")
    (tmp_path / "packed").mkdir()
    for path in (tmp_path / "plain").iterdir():
        if syntax == RLELossless:
            import pydicom
            dataset = pydicom.dcmread(path)
            dataset.compress(RLELossless)
            save(dataset, tmp_path / "packed" / path.name)
        else:
            writer = SimpleITK.ImageFileWriter()
            writer.SetImageIO("GDCMImageIO")
            writer.KeepOriginalImageUIDOn()
            writer.UseCompressionOn()
            writer.SetCompressor("JPEG2000")
            writer.SetFileName(str(tmp_path / "packed" / path.name))
            writer.Execute(SimpleITK.ReadImage(str(path)))
    found = read_image([tmp_path / "packed"])
    assert np.array_equal(found.volume.array, volume.transpose(2, 1, 0))


def test_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    for k in range(5):
        save(slice_dataset(noise((9, 11), k), (0.0, 0.5 * k, 3.0 * k), instance=k, orientation=(1, 0, 0, 0, 1, 0)),
             tmp_path / f"{k}.dcm")
    volume = read_image([tmp_path]).volume
    assert volume.ijk_to_ras[:3, 2] == pytest.approx([0, -0.5, 3.0])


def test_enhanced_multi_frame(tmp_path: Path) -> None:
    pixels = noise((5, 9, 11)).astype(np.uint16)
    path = save(enhanced_dataset(pixels), tmp_path / "scan.dcm")
    found = read_image([path])
    assert np.array_equal(found.volume.array, pixels.transpose(2, 1, 0))
    assert found.volume.spacing == pytest.approx([0.5, 0.75, 4.0])
    assert found.hint == ("T1", "DICOM acquisition contrast")


def test_several_series_are_listed_and_one_is_taken(tmp_path: Path) -> None:
    write_series(tmp_path, prefix="a")
    write_series(tmp_path, prefix="b", series="1.2.4", number=7, SeriesDescription="STIR", count=4)
    with pytest.raises(InputError, match=r'2 DICOM series; choose one with --series: 4 "T2 SAG" \(MR, 6 images\); '
                                         r'7 "STIR" \(MR, 4 images\)') as caught:
        read_image([tmp_path])
    assert PATIENT not in str(caught.value)
    assert read_image([tmp_path], "7").volume.shape[2] == 4
    assert read_image([tmp_path], "1.2.3").volume.shape[2] == 6
    with pytest.raises(InputError, match="no DICOM series 9; choose one"):
        read_image([tmp_path], "9")


def test_series_that_share_a_number_are_told_apart_by_uid(tmp_path: Path) -> None:
    write_series(tmp_path, prefix="a")
    write_series(tmp_path, prefix="b", series="1.2.4")
    with pytest.raises(InputError, match=r"1\.2\.3 .*; 1\.2\.4 "):
        read_image([tmp_path], "4")


def test_missing_slice(tmp_path: Path) -> None:
    write_series(tmp_path, leave_out=[3])
    with pytest.raises(InputError, match=r"missing in series 4: after slice 3 of 5 there is a gap of 8.0 mm"):
        read_image([tmp_path])


def test_uneven_slices(tmp_path: Path) -> None:
    for k, place in enumerate((0.0, 3.0, 6.0, 7.5, 10.5)):
        save(slice_dataset(noise((9, 11), k), (place, 0, 0), instance=k), tmp_path / f"{k}.dcm")
    with pytest.raises(InputError, match=r"unevenly spaced \(1.50 to 3.00 mm\)"):
        read_image([tmp_path])


def test_duplicates_are_dropped_and_said_but_echoes_are_refused(tmp_path: Path) -> None:
    volume = write_series(tmp_path)
    save(slice_dataset(volume[2], (2.0, 20.0, 30.0), instance=30), tmp_path / "again.dcm")
    found = read_image([tmp_path])
    assert found.volume.shape[2] == 6
    assert found.notes == ("1 duplicate image(s) of series 4 were left out.",)
    save(slice_dataset(volume[3], (2.0, 20.0, 30.0), instance=31), tmp_path / "echo.dcm")
    with pytest.raises(InputError, match="several different images at the same place"):
        read_image([tmp_path])


def test_angled_blocks_are_listed_and_one_is_taken(tmp_path: Path) -> None:
    """As axial series of the lumbar spine have them: a few slices through each disc."""
    tilts = np.radians([0.0, 12.0, -9.0])
    blocks = [noise((9, 11, 3), seed).astype(np.uint16) for seed in range(3)]
    for b, (tilt, block) in enumerate(zip(tilts, blocks, strict=True)):
        normal = np.array([0.0, np.sin(tilt), np.cos(tilt)])
        for k in range(3):
            save(slice_dataset(block[..., k], np.array([0, 0, 40.0 * b]) + 4.0 * k * normal, instance=10 * b + k,
                               orientation=(1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)), SeriesDescription="T2 TRA"),
                 tmp_path / f"{b}{k}.dcm")
    with pytest.raises(InputError, match="There are 3 DICOM series and blocks of slices; choose one with --series: "
                                         r'4/1 "T2 TRA" \(MR, 3 images\); 4/2 .*; 4/3'):
        read_image([tmp_path])
    found = read_image([tmp_path], "4/2")
    np.testing.assert_array_equal(found.volume.array, blocks[1].transpose(1, 0, 2))
    np.testing.assert_allclose(found.volume.ijk_to_ras[:3, 2], [0, -4 * np.sin(tilts[1]), 4 * np.cos(tilts[1])],
                               atol=1e-6)
    assert not found.notes


def test_other_files_in_a_dicom_folder_do_not_matter(tmp_path: Path) -> None:
    write_series(tmp_path / "deep" / "er")
    (tmp_path / "notes.txt").write_text("hello")
    save(slice_dataset(noise((9, 11)), (0, 0, 0), series="9", Modality="SEG"), tmp_path / "seg.dcm")
    assert read_image([tmp_path]).volume.shape == (11, 9, 6)


def test_out_of_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.nii.gz", noise())

    def read(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    with pytest.raises(InputError, match="does not fit into the memory"):
        read_image([tmp_path / "x.nii.gz"])


def test_some_voxels_without_a_number_are_filled(tmp_path: Path) -> None:
    array = noise().astype(np.float32)
    array[0, :2, 0] = np.nan
    found = read_image([write(tmp_path / "x.nii", array)])
    assert found.notes == ("2 voxels of the image are no numbers and were set to its lowest value.",)
    assert found.volume.array[0, 0, 0] == np.nanmin(array)


@pytest.mark.parametrize(("paths", "series", "message"), [
    (["a.nii", "b.nii"], None, "One scan at a time"), (["a.nii"], "4", "no DICOM series; leave out --series")])
def test_wrong_choice_of_files(tmp_path: Path, paths: list[str], series: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image([write(tmp_path / name, noise()) for name in paths], series)


def test_nothing_read_names_the_patient(tmp_path: Path) -> None:
    write_series(tmp_path / "DOE_JANE")
    found = read_image([tmp_path / "DOE_JANE"])
    file = read_image([write(tmp_path / "DOE_JANE_T2w.nii", noise())])
    for told in (_told(found), _told(file)):
        assert "DOE" not in told
        assert "4711" not in told
    assert file.hint == ("T2", "file name")


def _told(read: ReadImage) -> str:
    return f"{read.description} {read.notes} {read.hint} {read.volume.name} {read.sha256}"


@pytest.mark.parametrize(("words", "expected"), [
    ("sub-01_T2w.nii.gz", "T2"), ("t1_tse_sag", "T1"), ("STIR sag", "STIR"), ("T2 STIR", "STIR"), ("lumbar-CT", "CT"),
    ("T1 and T2", None), ("scan.nii", None), ("impact2", None)])
def test_contrast_in_words(words: str, expected: str | None) -> None:
    hint = of_words(words, "file name")
    assert (hint and hint[0]) == expected


@pytest.mark.parametrize(("tags", "expected"), [
    ({"Modality": "CT"}, ("CT", "DICOM modality")),
    ({"EchoTime": 105, "RepetitionTime": 3200, "ScanningSequence": "SE"}, ("T2", "echo and repetition time")),
    ({"EchoTime": 12, "RepetitionTime": 600, "ScanningSequence": "SE"}, ("T1", "echo and repetition time")),
    ({"EchoTime": 12, "RepetitionTime": 2000, "InversionTime": 860, "ScanningSequence": ["SE", "IR"]},
     ("T1", "echo and repetition time")),
    ({"EchoTime": 60, "RepetitionTime": 4000, "InversionTime": 150, "ScanningSequence": ["SE", "IR"]},
     ("STIR", "inversion time")),
    ({"EchoTime": 30, "RepetitionTime": 3000, "ScanningSequence": "SE", "SeriesDescription": "PD"}, None),
    ({"EchoTime": 5, "RepetitionTime": 30, "ScanningSequence": "GR", "SeriesDescription": "t2 medic"},
     ("T2", "series description")),
    ({"EchoTime": None, "SeriesDescription": "survey"}, None),
    ({"Modality": "PT"}, None)])
def test_contrast_in_dicom(tags: dict[str, object], expected: tuple[str, str] | None) -> None:
    header = slice_dataset(noise((4, 4)), (0, 0, 0), **{"SeriesDescription": "", **tags})
    assert of_dicom(header) == expected


@pytest.mark.parametrize(("lowest", "share", "expected"), [
    (-1000, 0.4, ("CT", "Hounsfield units")), (0, 0.4, None), (-560, 0.02, None)], ids=["CT", "MR", "resampled MR"])
def test_contrast_in_intensities(lowest: int, share: float, expected: tuple[str, str] | None) -> None:
    array: NDArray[np.int16] = noise((10, 10, 10))
    array.ravel()[:int(share * array.size)] = lowest
    assert of_intensities(array) == expected
