"""What is understood of a patient's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_files import noise, save, slice_dataset, write_series

from SpineAnalysisLib import cli
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.reading.study import plane_of, study_of

T2 = {"ScanningSequence": "SE", "EchoTime": 100, "RepetitionTime": 3000}
T1 = {"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 500}


def write_blocks(folder: Path, number: int, tilts_deg: tuple[float, ...], **tags: Any) -> None:
    for b, tilt in enumerate(np.radians(tilts_deg)):
        normal = np.array([0.0, np.sin(tilt), np.cos(tilt)])
        for k in range(3):
            made = slice_dataset(noise((9, 11), b + k), np.array([0, 0, 40.0 * b]) + 4.0 * k * normal, f"1.2.{number}",
                                 number, 10 * b + k, (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)), **tags)
            save(made, folder / f"{number}-{b}-{k}.dcm")


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """T2 and T1 sagittal, T2 axial in two blocks, a localizer and a knee."""
    write_series(tmp_path, prefix="t2", series="1.2.3", number=3, SeriesDescription="LWS T2 SAG", **T2)
    write_series(tmp_path, prefix="t1", series="1.2.4", number=4, SeriesDescription="LWS T1 SAG", **T1)
    write_blocks(tmp_path, 5, (0.0, 14.0), SeriesDescription="LWS T2 TRA", **T2)
    write_series(tmp_path, prefix="loc", count=3, series="1.2.1", number=1, SeriesDescription="Localizer", **T1)
    write_series(tmp_path, prefix="knee", series="1.2.6", number=6, SeriesDescription="KNEE T2 SAG", **T2)
    victim = next(tmp_path.glob("knee*"))
    victim.rename(tmp_path / "kneecut.dcm").write_bytes(victim.with_name("kneecut.dcm").read_bytes()[:-90])
    return tmp_path


def test_the_scans_of_the_spine_are_proposed(patient: Path) -> None:
    study = study_of(patient)
    assert [(x.name, x.contrast, x.plane, x.spine, x.localizer) for x in study.listed] == [
        ("1", "T1", "sagittal", None, True), ("3", "T2", "sagittal", True, False), ("4", "T1", "sagittal", True, False),
        ("5/1", "T2", "axial", True, False), ("5/2", "T2", "axial", True, False),
        ("6", "T2", "sagittal", False, False)]
    assert study.proposed == ("3", "4", "5/1", "5/2")
    assert [path.name for path in study.unreadable] == ["kneecut.dcm"]
    assert study.listed[1].spacing == pytest.approx((0.5, 0.75, 4.0))
    assert study.listed[1].shape == (11, 9, 6)


def test_the_command_line_lists_them(patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["series", str(patient)]) == cli.DONE
    said = capsys.readouterr().out
    assert "3         LWS T2 SAG: T2, sagittal, 11 x 9 x 6 voxels of 0.5 x 0.75 x 4 mm\n" in said
    assert "6         KNEE T2 SAG: T2, sagittal, 11 x 9 x 6 voxels of 0.5 x 0.75 x 4 mm, not of the spine\n" in said
    assert "Cannot be read: kneecut.dcm\n" in said
    assert said.endswith("To analyze together: 3, 4, 5/1, 5/2\n")
    assert "DOE" not in said


@pytest.mark.parametrize("words", [
    "L-Spine T2", "LWS T2 tse sag", "RACHIS LOMBAIRE", "columna lumbar", "腰椎 T2", "COLONNA CERVICALE", "Wirbelsäule",
    "позвоночник"])
def test_spine_in_many_languages(tmp_path: Path, words: str) -> None:
    write_series(tmp_path, SeriesDescription=words, SpecificCharacterSet="ISO_IR 192")
    assert study_of(tmp_path).listed[0].spine is True


@pytest.mark.parametrize(("normal", "plane"), [
    ((1, 0, 0), "sagittal"), ((-0.95, 0.3, 0), "sagittal"), ((0, 1, 0), "coronal"), ((0, 0.4, 0.9), "axial"),
    ((0.7, 0.7, 0.1), "oblique")])
def test_planes(normal: tuple[float, ...], plane: str) -> None:
    assert plane_of(np.array(normal) / np.linalg.norm(normal)) == plane


def test_several_patients_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, prefix="a", series="1.2.3", PatientID="one")
    write_series(tmp_path, prefix="b", series="1.2.4", PatientID="two")
    with pytest.raises(InputError, match="several patients; pass the folder of one"):
        study_of(tmp_path)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no DICOM image here"):
        study_of(tmp_path)


def test_a_real_study(real_data: Callable[[str], Path]) -> None:
    """Three scans of one person on three days; CT with its extra reference slice."""
    study = study_of(real_data("lumbar_subject_cc0/dicom"))
    kinds = {(x.contrast, x.plane) for x in study.listed if x.name in study.proposed}
    assert kinds == {("T2", "sagittal"), ("CT", "sagittal")}
    assert not any(x.localizer for x in study.listed)
