"""What a cohort's studies are: BIDS data sets, plain folders and lists."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SpineAnalysisLib.cohort.bids import Name, cohort_of_bids
from SpineAnalysisLib.cohort.folders import cohort_of_folder
from SpineAnalysisLib.cohort.lists import cohort_of_list
from SpineAnalysisLib.cohort.study import Person, Scan, Study, person_of
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms.__main__ import write
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.nifti import read_grid
from SpineAnalysisLib.volume import Volume


def scan(path: Path, spacing: tuple[float, float, float] = (1.0, 1.0, 4.0), axes: str = "PSR", seed: int = 0) -> Path:
    """A small image of noise whose last axis is across the slices."""
    directions = {"P": (0, -1, 0), "S": (0, 0, 1), "R": (1, 0, 0)}
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([directions[axis] for axis in axes]).T * spacing
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Volume(np.random.default_rng(seed).integers(0, 99, (6, 5, 4)).astype(np.int16), matrix), path)
    return path


def test_names_are_taken_apart() -> None:
    name = Name.parse("sub-01_ses-2_acq-sag_run-03_T2w.nii.gz")
    assert name is not None
    assert name.entities == {"sub": "01", "ses": "2", "acq": "sag", "run": "03"}
    assert (name.suffix, name.stem) == ("T2w", "sub-01_ses-2_acq-sag_run-03")
    derived = Name.parse("sub-01_T2w_label-SC_seg.nii.gz")
    assert derived is not None
    assert (derived.of, derived.suffix, derived.source) == ("T2w", "seg", {"sub": "01"})
    for other in ("T2w.nii.gz", "sub-01_T2w.json", "sub-01_sub-02_T2w.nii.gz", "sub-01_what_T2w.nii", "notes.nii.gz"):
        assert Name.parse(other) is None


def test_a_session_is_a_study_and_its_sagittal_t2_leads(tmp_path: Path) -> None:
    anat = tmp_path / "sub-01" / "ses-a" / "anat"
    scan(anat / "sub-01_ses-a_acq-ax_T2w.nii.gz", axes="RPS")
    scan(anat / "sub-01_ses-a_acq-sag_T2w.nii.gz")
    scan(anat / "sub-01_ses-a_acq-stir_T2w.nii.gz")
    scan(anat / "sub-01_ses-a_T1w.nii.gz")
    scan(anat / "sub-01_ses-a_run-1_PDw.nii.gz")
    scan(tmp_path / "sub-01" / "ses-b" / "anat" / "sub-01_ses-b_run-1_T1w.nii.gz")
    scan(tmp_path / "sub-01" / "ses-b" / "anat" / "sub-01_ses-b_run-02_T1w.nii.gz")
    scan(tmp_path / "sub-02" / "ct" / "sub-02_ct.nii.gz", (1.0, 1.0, 1.0))
    (tmp_path / "sub-03").mkdir()
    cohort = cohort_of_bids(tmp_path)
    assert [study.label for study in cohort.studies] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02"]
    first, second, third = cohort.studies
    assert [(s.path.name, s.contrast) for s in first.scans] == [
        ("sub-01_ses-a_acq-sag_T2w.nii.gz", "T2"), ("sub-01_ses-a_acq-stir_T2w.nii.gz", "STIR"),
        ("sub-01_ses-a_acq-ax_T2w.nii.gz", "T2"), ("sub-01_ses-a_T1w.nii.gz", "T1")]
    assert first.stem == "sub-01_ses-a_acq-sag"
    assert first.folder == Path("sub-01", "ses-a", "anat")
    assert [s.path.name for s in second.scans] == ["sub-01_ses-b_run-02_T1w.nii.gz"], "the last of repeated runs"
    assert third.scans[0].contrast == "CT"
    assert "sub-03" in cohort.notes[0]
    assert [s.path.name for s in cohort_of_bids(tmp_path, ["T1w"]).studies[0].scans] == ["sub-01_ses-a_T1w.nii.gz"]
    assert len(cohort.of(["sub-01"], []).studies) == 2
    assert [s.label for s in cohort.of(["01"], ["ses-b"]).studies] == ["sub-01_ses-b"]
    with pytest.raises(InputError, match="no participant 09"):
        cohort.of(["09"], [])


def test_segmentations_are_those_of_the_scan_and_its_space(tmp_path: Path) -> None:
    anat, made = tmp_path / "sub-01" / "anat", tmp_path / "derivatives" / "manual" / "sub-01" / "anat"
    scan(anat / "sub-01_T2w.nii.gz")
    scan(anat / "sub-01_T1w.nii.gz", (1.0, 1.5, 4.0))
    scan(made / "sub-01_space-MNI_dseg.nii.gz")
    scan(made / "sub-01_desc-other_mask.nii.gz")
    of_t1 = scan(made / "sub-01_desc-manual_dseg.nii.gz", (1.0, 1.5, 4.0))
    study = cohort_of_bids(tmp_path, derivatives=Path("manual")).studies[0]
    assert study.segmentations == (of_t1,), "the name fits both scans, the voxels are the T1 scan's"
    assert [s.contrast for s in study.scans] == ["T1", "T2"], "what is segmented leads"
    assert "1 segmentation(s)" in study.notes[0], "that of another space is told, a mask is none"
    of_t2 = scan(made / "sub-01_space-T2w_desc-manual_dseg.nii.gz", (3.0, 3.0, 3.0))
    study = cohort_of_bids(tmp_path, derivatives=made.parents[1]).studies[0]
    assert study.segmentations == (of_t2,)
    assert study.scans[0].contrast == "T2"
    assert cohort_of_bids(tmp_path).studies[0].segmentations == ()
    with pytest.raises(InputError, match="no derivatives"):
        cohort_of_bids(tmp_path, derivatives=Path("absent"))


def test_participants(tmp_path: Path) -> None:
    for label in ("01", "02", "03"):
        scan(tmp_path / f"sub-{label}" / "anat" / f"sub-{label}_T2w.nii.gz")
    (tmp_path / "participants.tsv").write_text("﻿participant_id\tage\tsex\nsub-01\t41.5\tF\n02\t89+\tMale\n", "utf-8")
    assert [study.person for study in cohort_of_bids(tmp_path).studies] == [
        Person(41.5, "female"), Person(None, "male"), Person()]
    assert person_of({"Age": "n/a", "SEX": "1"}) == Person()


def test_a_link_without_content_is_a_study_that_will_fail(tmp_path: Path) -> None:
    anat = tmp_path / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_T2w.nii.gz").symlink_to("../../.git/annex/objects/nothing.nii.gz")
    assert cohort_of_bids(tmp_path).studies[0].scans == (Scan(anat / "sub-01_T2w.nii.gz", "T2"),)


def test_what_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scan sub-"):
        cohort_of_bids(tmp_path)


def test_labels_of_a_plain_folder_name_nobody_and_stay_the_same(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "in" / "out"
    scan(folder / "DOE_JANE.nii.gz", seed=1)
    scan(folder / "DOE_JANE_seg.nii.gz", seed=2)
    scan(folder / "ROE_RICHARD" / "t2.nii.gz", seed=3)
    scan(folder / "ROE_RICHARD" / "t2-label.nii.gz", seed=4)
    scan(folder / "lonely_seg.nii.gz", seed=5)
    (folder / "MOE" / "series").mkdir(parents=True)
    (folder / "MOE" / "series" / "1.dcm").write_bytes(b"no DICOM yet")
    scan(out / "sub-x" / "old.nii.gz")
    cohort = cohort_of_folder(folder, keep_names=False, without=out)
    assert len(cohort.studies) == 3
    assert not any(name in study.label.upper() for study in cohort.studies for name in ("DOE", "JANE", "ROE", "MOE"))
    assert cohort.notes == ("Segmentations without an image beside them that were left out: 1.",)
    by_scan = {study.scans[0].path.name: study for study in cohort.studies}
    assert [path.name for path in by_scan["DOE_JANE.nii.gz"].segmentations] == ["DOE_JANE_seg.nii.gz"]
    assert [path.name for path in by_scan["t2.nii.gz"].segmentations] == ["t2-label.nii.gz"]
    (folder / "MOE").rename(folder / "A_NAME")
    again = cohort_of_folder(folder, keep_names=False, without=out)
    assert [study.label for study in again.studies] == [study.label for study in cohort.studies]
    scan(folder / "again.nii.gz", seed=6)
    scan(folder / "again too.nii.gz", seed=6)
    (folder / "gone.nii.gz").symlink_to("nowhere.nii.gz")
    twice = cohort_of_folder(folder, keep_names=False, without=out)
    assert len(twice.studies) == 4
    assert twice.notes[0] == "Studies that are there twice and count once: 1."
    for name in ("again.nii.gz", "again too.nii.gz"):
        (folder / name).unlink()
    kept = cohort_of_folder(folder, keep_names=True, without=out)
    assert [study.label for study in kept.studies] == ["sub-ANAME", "sub-DOEJANE", "sub-ROERICHARD"]
    with pytest.raises(InputError, match="no image"):
        cohort_of_folder(out / "sub-x" / "..", keep_names=False, without=out / "sub-x")


def test_lists(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("participant_id,session_id,image,segmentation,also,contrast,age,sex\n"
                     "01,a,scans/x.nii.gz,x-seg.nii.gz,y.nii.gz; z.nii.gz,t2,50,F\nsub-02,,folder,,,,,\n", "utf-8")
    first, second = cohort_of_list(table).studies
    assert (first.label, first.stem, first.person) == ("sub-01_ses-a", "sub-01_ses-a", Person(50.0, "female"))
    assert first.scans == (Scan(tmp_path / "scans" / "x.nii.gz", "T2"), Scan(tmp_path / "y.nii.gz"),
                           Scan(tmp_path / "z.nii.gz"))
    assert first.segmentations == (tmp_path / "x-seg.nii.gz",)
    assert second == Study("02", "", (Scan(tmp_path / "folder"),), (), Person(), "sub-02")


@pytest.mark.parametrize(("text", "said"), [
    ("participant_id\n01\n", "no column image"), ("participant_id,image\n", "no column"),
    ("participant_id,image\n01,a.nii\n01,b.nii\n", "sub-01 twice"), ("participant_id,image\nJane Doe,a.nii\n", "label"),
    ("participant_id,image\n01,\n", "Line 2"), ("participant_id,image,contrast\n01,a.nii,PET\n", "PET")])
def test_lists_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "list.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match=said):
        cohort_of_list(tmp_path / "list.csv")


def test_sentences_lose_the_names_of_files() -> None:
    study = Study("01", scans=(Scan(Path("/data/DOE^JANE/scan")),), segmentations=(Path("/data/jane_doe-seg.nii.gz"),))
    text = study.anonymous("There is no /data/DOE^JANE/scan/0001.dcm; jane_doe-seg.nii.gz is empty.")
    assert text == "There is no the image; the segmentation is empty."


def test_real_scans_in_a_bids_tree(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    subject = real_data("lumbar_subject_cc0")
    names = {"mr03_t2_axial_block1": "ses-day0_acq-ax1_T2w", "mr03_t2_sag": "ses-day0_acq-sag_T2w",
             "mr03_t1_sag": "ses-day0_acq-sag_T1w", "mr03_stir_sag": "ses-day0_acq-stir_T2w",
             "ct_axial_block1": "ses-day25_acq-ax1_ct", "ct_sag": "ses-day25_acq-sag_ct"}
    for source, name in names.items():
        target = tmp_path / "sub-01" / name.split("_")[0] / "anat" / f"sub-01_{name}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(subject / f"{source}.nii.gz")
    mr, ct = cohort_of_bids(tmp_path).studies
    assert mr.scans[0].path.resolve().name == "mr03_t2_sag.nii.gz"
    assert {(s.path.resolve().name.split(".")[0], s.contrast) for s in mr.scans[1:]} == {
        ("mr03_t2_axial_block1", "T2"), ("mr03_t1_sag", "T1"), ("mr03_stir_sag", "STIR")}
    assert ct.scans[0].path.resolve().name == "ct_sag.nii.gz"
    shape, matrix = read_grid(ct.scans[1].path, "The image")
    whole = read_image([ct.scans[1].path]).volume
    assert shape == whole.shape
    assert np.allclose(matrix, whole.ijk_to_ras)
