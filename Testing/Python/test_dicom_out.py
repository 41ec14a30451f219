"""DICOM results: valid, of the right patient, and with the same numbers when they are read back."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import CONCEPTS
from scan_files import PATIENT, noise, save, slice_dataset, write
from scipy.spatial.transform import Rotation

from SpineAnalysisLib import cli
from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.measurements.registry import definitions
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.progress import Progress
from SpineAnalysisLib.reading.dicom import series_files
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.report.dicom.documents import key_images
from SpineAnalysisLib.report.dicom.measurements import concept
from SpineAnalysisLib.report.dicom.segmentation import segmentation, segmented_values
from SpineAnalysisLib.report.dicom.source import PRIVATE_SCHEME, RAS_TO_LPS, Source
from SpineAnalysisLib.report.dicom.write import write_dicom
from SpineAnalysisLib.report.html import key_pictures, write_report
from SpineAnalysisLib.results import write_measurements
from SpineAnalysisLib.terminology import structure_from_codes
from SpineAnalysisLib.volume import LabelMap, Volume

STUDY = {"StudyInstanceUID": "1.2.840.99999.71.1", "FrameOfReferenceUID": "1.2.840.99999.71.2",
         "StudyDate": "20200102", "StudyTime": "101112", "StudyID": "7", "AccessionNumber": "A77",
         "PatientBirthDate": "19700101", "PatientSex": "F", "ReferringPhysicianName": "ROE^RICHARD",
         "InstitutionName": "General", "PatientID": "PAT-4711-X", "SpecificCharacterSet": "ISO_IR 100"}
IDENTIFYING = (PATIENT, "PAT-4711-X", "ROE^RICHARD", "19700101", "20200102", *list(STUDY.values())[:2])


def write_scan(volume: Volume, folder: Path) -> None:
    """A volume as a series of its slices along k."""
    affine = RAS_TO_LPS @ volume.ijk_to_ras
    steps = affine[:3, :3] / volume.spacing
    for k in range(volume.shape[2]):
        made = slice_dataset(
            volume.array[:, :, k].T.astype(np.uint16), affine[:3, 3] + k * affine[:3, 2], instance=k + 1,
            series="1.2.840.99999.71.3", orientation=[*steps[:, 0], *steps[:, 1]],
            PixelSpacing=[volume.spacing[1], volume.spacing[0]], SliceThickness=volume.spacing[2], **STUDY)
        save(made, folder / f"{k}.dcm")


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    """Three vertebrae on an oblique grid of sagittal slices."""
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L5))
    grid = phantom.grid(2.0)
    found = phantom.labels(grid, split=True)
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("xyz", [4.0, -7.0, 11.0], degrees=True).as_matrix()
    return found.transformed(tilt)


@pytest.fixture(scope="module")
def scan(labels: LabelMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    write_scan(labels.with_array(np.random.default_rng(1).integers(1, 900, labels.shape)), folder)
    return folder


@pytest.fixture(scope="module")
def source(scan: Path) -> Source:
    return Source.of_files(series_files([scan], None))


@pytest.fixture(scope="module")
def analysis(labels: LabelMap) -> Analysis:
    return analyze(None, labels)


@pytest.fixture(scope="module")
def page(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(analysis, path)
    return path


@pytest.fixture(scope="module")
def written(analysis: Analysis, source: Source, page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "dicom"
    write_dicom(analysis, source, page, folder)
    return folder


@pytest.fixture(scope="module")
def anonymous(analysis: Analysis, source: Source, page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("anonymous") / "dicom"
    write_dicom(analysis, source.deidentified(), page, folder)
    return folder


@pytest.mark.parametrize("folder", ["written", "anonymous"])
def test_a_validator_finds_no_error(folder: str, request: pytest.FixtureRequest) -> None:
    validator, dumper = shutil.which("dciodvfy"), shutil.which("dsrdump")
    if validator is None or dumper is None:
        pytest.skip("dicom3tools or dcmtk is not installed")
    files = sorted(request.getfixturevalue(folder).glob("*.dcm"))
    assert {"measurements.dcm", "segmentation.dcm", "key_image_1.dcm"} <= {f.name for f in files}
    for file in files:
        said = subprocess.run([validator, file], capture_output=True, encoding="utf-8", check=False).stderr
        assert [line for line in said.splitlines() if line.startswith(("Error", "Abort"))] == [], file.name
    report = next(file for file in files if file.stem == "measurements")
    dumped = subprocess.run([dumper, report], capture_output=True, encoding="utf-8", check=True)
    assert "Imaging Measurement Report" in dumped.stdout
    assert not [line for line in dumped.stderr.splitlines() if line.startswith("E:")]


def test_every_number_comes_back(analysis: Analysis, written: Path) -> None:
    groups = {item.tracking_identifier: item for item in _groups(written)}
    measured = [m for m in analysis.measurements if m.value is not None]
    assert len(groups) == len(measured) > 30
    for record in measured:
        group = groups[" ".join(filter(None, [record.key, str(record.level), record.side]))]
        (value,) = group.get_measurements()
        assert value.value == pytest.approx(record.value, abs=6e-5)
        assert value.unit.value == record.unit
        assert value.name == concept(definitions()[record.key])
        coding = definitions()[record.key].coding
        named = 1 if coding is not None and coding.structure is not None else 0
        assert len(group.finding_sites) == named + (2 if str(record.level) in RANGES else 1)
        laterality = {str(site.laterality.meaning).lower() for site in group.finding_sites if site.laterality}
        assert laterality == ({record.side} if record.side else set())
        if record.uncertainty is not None:
            (spread,) = [i for i in value[0].ContentSequence if "upper" in i.ConceptNameCodeSequence[0].CodeMeaning]
            assert float(spread.MeasuredValueSequence[0].NumericValue) == pytest.approx(record.uncertainty, abs=6e-5)
            assert spread.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == record.unit


def test_declared_codes_are_in_the_standard() -> None:
    """As far as pydicom lists them, which it takes from DICOM PS3.16."""
    standard = {(scheme, code): {meanings[0] for found in CONCEPTS[scheme].values() for value, meanings in found.items()
                                 if value == code} for scheme in ("DCM", "SCT")
                for found in CONCEPTS[scheme].values() for code in found}
    codings = [d.coding for d in definitions().values() if d.coding is not None]
    codes = {code for c in codings for code in (c.quantity, c.derivation, c.method, c.part) if code is not None}
    assert len(codings) >= 13
    for scheme, value, meaning in codes:
        assert meaning in standard[scheme, value], (scheme, value, meaning)


def test_no_two_measurements_of_a_place_look_alike(analysis: Analysis, written: Path) -> None:
    """Where standard codes are used, quantity, derivation, structure, part, level and side tell them apart."""
    seen: dict[tuple[str, ...], str] = {}
    for group in _groups(written):
        (value,) = group.get_measurements()
        sites = [code.value for site in group.finding_sites for code in (site, site.laterality,
                                                                         site.topographical_modifier) if code]
        told = (value.name.value, *sites, str(value.derivation and value.derivation.value))
        assert seen.setdefault(told, group.tracking_identifier) == group.tracking_identifier
    heights = {group.tracking_identifier: group.finding_sites[0].topographical_modifier.meaning for group in
               _groups(written) if "vertebra_height" in group.tracking_identifier and "L4" in group.tracking_identifier}
    assert heights == {"vertebra_height_anterior L4": "Anterior", "vertebra_height_middle L4": "Central",
                       "vertebra_height_posterior L4": "Posterior"}


RANGES = {"L3-L5"}


def _groups(folder: Path) -> list[highdicom.sr.MeasurementsAndQualitativeEvaluations]:
    report = highdicom.sr.srread(folder / "measurements.dcm").content
    return [*report.get_image_measurement_groups(), *report.get_volumetric_roi_measurement_groups()]


def test_contours_lie_where_they_were_measured(analysis: Analysis, written: Path) -> None:
    record = analysis.measurement("canal_area", "L4")
    assert record is not None
    assert record.geometry is not None
    (group,) = [g for g in _groups(written) if g.tracking_identifier == "canal_area L4"]
    (region,) = group.get_measurements()[0].referenced_coordinates
    points = region.value @ RAS_TO_LPS[:3, :3]
    np.testing.assert_allclose(points[:-1], record.geometry.points_RAS, atol=1e-3)
    np.testing.assert_allclose(points[-1], points[0])
    assert region.ReferencedFrameOfReferenceUID == STUDY["FrameOfReferenceUID"]


def test_what_has_no_contour_refers_to_its_segment(analysis: Analysis, written: Path) -> None:
    segments = pydicom.dcmread(written / "segmentation.dcm")
    report = highdicom.sr.srread(written / "measurements.dcm").content
    (group,) = [g for g in report.get_volumetric_roi_measurement_groups()
                if g.tracking_identifier == "vertebra_volume L4"]
    reference = group.referenced_segment
    assert reference.referenced_sop_instance_uid == segments.SOPInstanceUID
    (number,) = reference[0].referenced_segment_numbers
    assert segments.SegmentSequence[number - 1].SegmentLabel == "L4 body"


def test_segments_come_back(analysis: Analysis, written: Path) -> None:
    labels = analysis.spine.labels
    read = highdicom.seg.segread(written / "segmentation.dcm")
    values = segmented_values(labels)
    volume = read.get_volume(combine_segments=True)
    index = np.argwhere(volume.array)
    ras = (RAS_TO_LPS @ volume.affine)[:3, :3] @ index.T + (RAS_TO_LPS @ volume.affine)[:3, 3:]
    ijk = labels.to_ijk(ras.T)
    np.testing.assert_allclose(ijk, ijk.round(), atol=1e-3)
    again = np.zeros(labels.shape, int)
    again[tuple(ijk.round().astype(int).T)] = np.array([0, *values])[volume.array[tuple(index.T)]]
    np.testing.assert_array_equal(again, np.where(np.isin(labels.array, values), labels.array, 0))


def test_segments_are_coded(analysis: Analysis, written: Path) -> None:
    labels = analysis.spine.labels
    read = pydicom.dcmread(written / "segmentation.dcm")
    assert len(read.SegmentSequence) == len(segmented_values(labels))
    for item, value in zip(read.SegmentSequence, segmented_values(labels), strict=True):
        region = item.get("AnatomicRegionSequence")
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        found = structure_from_codes(kind.CodeValue, "", region[0].CodeValue if region else "")
        assert found is not None
        assert (found.kind, found.level) == (labels.structures[value].kind, labels.structures[value].level)
        assert item.SegmentLabel == str(labels.structures[value])


def test_results_belong_to_the_scan(written: Path) -> None:
    found = [pydicom.dcmread(file) for file in sorted(written.glob("*.dcm"))]
    for dataset in found:
        assert dataset.PatientName == PATIENT
        assert dataset.StudyInstanceUID == STUDY["StudyInstanceUID"]
    assert len({d.SOPInstanceUID for d in found}) == len(found)
    assert len({d.SeriesNumber for d in found}) == len({d.SeriesInstanceUID for d in found})


def test_nothing_identifies_anybody_on_request(anonymous: Path) -> None:
    files = sorted(anonymous.glob("*.dcm"))
    for file in files:
        content = file.read_bytes()
        assert [word for word in IDENTIFYING if word.encode() in content] == [], file.name
        assert pydicom.dcmread(file).PatientIdentityRemoved == "YES"
    studies = {pydicom.dcmread(file).StudyInstanceUID for file in files}
    assert len(studies) == 1


def test_key_images_show_the_spine(written: Path) -> None:
    image = pydicom.dcmread(written / "key_image_1.dcm")
    pixels = image.pixel_array
    assert pixels.shape == (image.Rows, image.Columns, 3)
    assert pixels.std() > 10
    assert list(image.PatientOrientation) == ["P", "F"]
    assert image.BurnedInAnnotation == "NO"


def test_key_images_of_planes_between_two_axes_say_so(analysis: Analysis, source: Source) -> None:
    (_title, whole), *_ = key_pictures(analysis)
    (image,) = key_images([("oblique", replace(whole, orientation=("LP", "PI")))], source)
    assert list(image.PatientOrientation) == ["LP", "PF"]


def test_own_codes_name_their_scheme(written: Path) -> None:
    report = pydicom.dcmread(written / "measurements.dcm")
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == PRIVATE_SCHEME


def test_a_scan_without_dicom_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    write(tmp_path / "scan.nrrd", noise())
    with pytest.raises(InputError, match="belong to a DICOM scan"):
        Source.of_files([tmp_path / "scan.nrrd"])
    with pytest.raises(InputError, match="belong to a DICOM scan"):
        Source.of_files([])


def test_a_scan_that_lies_nowhere_is_refused(tmp_path: Path) -> None:
    made = slice_dataset(np.ones((4, 4), np.uint16), (0, 0, 0))
    with pytest.raises(InputError, match="frame of reference"):
        Source.of_files([save(made, tmp_path / "1.dcm")])


def test_the_command_line_writes_them(analysis: Analysis, scan: Path, page: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def write_light(analysis: Analysis, folder: Path, _progress: Progress) -> None:
        write_measurements(analysis, folder)
        shutil.copy(page, folder / cli.REPORT)

    monkeypatch.setattr(cli, "_analyze", lambda _arguments, _progress: analysis)
    monkeypatch.setattr(cli, "_write", write_light)
    command = ["run", str(scan), "-o", str(tmp_path / "out"), "--dicom", "--deidentify", "--quiet"]
    assert cli.main(command) == cli.DONE
    assert cli.main([*command, "--overwrite"]) == cli.DONE
    files = {path.name for path in (tmp_path / "out" / "dicom").iterdir()}
    assert {"segmentation.dcm", "measurements.dcm", "key_image_1.dcm"} <= files
    assert pydicom.dcmread(tmp_path / "out" / "dicom" / "measurements.dcm").PatientIdentityRemoved == "YES"


def test_the_command_line_wants_a_dicom_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "scan.nrrd", noise())
    command = ["run", str(tmp_path / "scan.nrrd"), "-o", str(tmp_path / "out"), "--dicom", "--quiet"]
    assert cli.main(command) == cli.BAD_INPUT
    assert "belong to a DICOM scan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_real_headers_are_enough(labels: LabelMap, real_data) -> None:
    """Character sets and gaps of a real study; the spine is computed and laid into its middle."""
    folder = real_data("lumbar_subject_cc0/dicom/mr15_t2_sag")
    image, files = read_image([folder]), series_files([folder], None)
    shift = np.eye(4)
    shift[:3, 3] = image.volume.to_ras(np.array(image.volume.shape) / 2) - labels.to_ras(np.array(labels.shape) / 2)
    made: Dataset = segmentation(labels.transformed(shift), Source.of_files(files))
    assert made.FrameOfReferenceUID == pydicom.dcmread(files[0]).FrameOfReferenceUID
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(files) == 15
