"""Several scans of one visit: brought together exactly, told apart from what does not belong, and refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scan_files import noise, write, write_series
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.reading.further import read_further
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.spine import Scan, Spine, VisitScan
from SpineAnalysisLib.visit.align import align
from SpineAnalysisLib.volume import LabelMap, Volume, transform_points

SAGITTAL = (3.3, 1.0, 1.0)
SPEC = SpineSpec.typical(Level.L3, Level.L5)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SPEC)


@pytest.fixture(scope="module")
def spine(phantom: Phantom) -> Spine:
    return build_spine(phantom.labels(phantom.grid(2.0)), phantom.image(phantom.grid(SAGITTAL), "T2"), "T2")


@pytest.fixture(scope="module")
def t1(phantom: Phantom) -> Volume:
    return phantom.image(phantom.grid(SAGITTAL), "T1")


@pytest.fixture(scope="module")
def bent() -> Phantom:
    """The same vertebrae, bent and lying elsewhere."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [6, -3, 4], degrees=True).as_matrix()
    pose[:3, 3] = (14, -22, 61)
    lordosis = [joint.lordosis for joint in SPEC.joints]
    changed = SPEC.changed(joints={Level.L3: {"lordosis": lordosis[0] + 5.0},
                                   Level.L4: {"lordosis": lordosis[1] - 4.0}})
    return Phantom(replace(changed, pose=pose))


@pytest.fixture(scope="module")
def ct(bent: Phantom) -> VisitScan:
    return VisitScan(bent.image(bent.grid((1.5, 1.5, 2.0)), "CT"), "CT", labels=bent.labels(bent.grid(2.0)))


def test_every_vertebra_of_another_day_is_where_it_was(spine: Spine, phantom: Phantom, bent: Phantom, ct: VisitScan
                                                       ) -> None:
    (scan,) = align(spine, [ct]).further
    assert (scan.name, scan.alignment, len(scan.motions)) == ("CT", "registered", 3)
    assert scan.residual_mm is not None
    assert scan.residual_mm < 0.7
    for here, there in zip(phantom.chain.bodies, bent.chain.bodies, strict=True):
        exact = here.frame.matrix @ np.linalg.inv(there.frame.matrix)
        moved = scan.near(here.frame.origin).volume.ijk_to_ras @ np.linalg.inv(ct.volume.ijk_to_ras)
        ends = there.frame.to_ras(np.array([[20.0, 0, 0], [-20, 0, 0], [0, 17, 0], [0, 0, 13], [0, 0, -13]]))
        off = transform_points(moved, ends) - transform_points(exact, ends)
        assert np.linalg.norm(off, axis=1).max() < 0.7, here.spec.level


def test_a_scan_that_lies_elsewhere_is_segmented_to_find_it(spine: Spine, bent: Phantom, ct: VisitScan) -> None:
    asked: list[str | None] = []

    def segment(volume: Volume, contrast: str | None) -> LabelMap | None:
        asked.append(contrast)
        return ct.labels if volume is ct.volume else None

    bare = replace(ct, labels=None)
    with pytest.raises(InputError, match=r"could not be brought|to tell where it lies"):
        align(spine, [bare])
    (scan,) = align(spine, [bare], segment=segment).further
    assert (scan.alignment, len(scan.motions), asked) == ("registered", 3, ["CT"])
    with pytest.raises(InputError, match=r"could not be brought|to tell where it lies"):
        align(spine, [bare], segment=lambda _volume, _contrast: None)


def test_a_scan_of_the_same_session_is_used_as_it_is(spine: Spine, t1: Volume) -> None:
    (scan,) = align(spine, [VisitScan(t1)]).further
    assert (scan.alignment, scan.volume.ijk_to_ras.tolist()) == ("same frame", t1.ijk_to_ras.tolist())
    assert scan.residual_mm is not None
    assert scan.residual_mm < 0.5
    assert (scan.name, scan.contrast, scan.contrast_guessed) == ("T1 sagittal", "T1", True)


def test_a_patient_who_moved_between_scans_is_followed(spine: Spine, t1: Volume) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = (1.0, 4.0, -3.0)
    moved = t1.transformed(matrix)
    (scan,) = align(spine, [VisitScan(moved, "T1", "1.2.3")], "1.2.3").further
    assert scan.alignment == "registered"
    found = scan.volume.ijk_to_ras @ np.linalg.inv(moved.ijk_to_ras)
    assert np.abs(found[:3, 3] + matrix[:3, 3]).max() < 0.5


def test_another_person_is_refused(spine: Spine) -> None:
    """Smaller vertebrae, whose centers nevertheless nearly fit."""
    small = {level: {name: 0.75 * getattr(vertebra, name) for name in ("width", "depth", "height_anterior",
                                                                        "height_posterior")}
             for level, vertebra in ((v.level, v) for v in SPEC.vertebrae)}
    other = Phantom(SPEC.changed(vertebrae=small))
    scan = VisitScan(other.image(other.grid(SAGITTAL), "T1"), "T1", labels=other.labels(other.grid(2.0)))
    with pytest.raises(InputError, match=r"T1 sagittal scan (does not fit|could not be brought)"):
        align(spine, [scan])
    kept = align(spine, [replace(scan, optional=True)])
    assert kept.further == ()
    assert "left out" in kept.notes[-1]


def test_what_cannot_be_a_further_scan_is_told(spine: Spine, ct: VisitScan) -> None:
    assert spine.image is not None
    far = spine.image.transformed(np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 900], [0, 0, 0, 1]]))
    with pytest.raises(InputError, match="could not be brought to the segmented one"):
        align(spine, [VisitScan(far, "T2")])
    with pytest.raises(InputError, match="passed twice"):
        align(spine, [VisitScan(spine.image, "T2")])
    with pytest.raises(InputError, match="passed twice"):
        align(spine, [ct, ct])
    with pytest.raises(InputError, match="40 further scans"):
        align(spine, [ct] * 40)
    with pytest.raises(InputError, match="pass that one as the image"):
        align(replace(spine, image=None), [ct])


def test_a_folder_gives_all_its_series_but_the_first(tmp_path: Path) -> None:
    for number, kind in ((4, "T2"), (5, "T1"), (6, "STIR")):
        write_series(tmp_path, prefix=f"{number}-", series=f"1.2.{number}", number=number,
                     SeriesDescription=f"{kind} SAG", FrameOfReferenceUID=f"9.{number // 6}")
    first = read_image([tmp_path], "4")
    further = read_further([str(tmp_path)], first)
    assert [(scan.contrast, scan.frame, scan.optional) for scan in further.scans] == [("T1", "9.0", True),
                                                                                      ("STIR", "9.1", True)]
    assert first.frame == "9.0"
    assert first.sha256 not in {entry["sha256"] for entry in further.inputs}
    (told,) = read_further([f"STIR={tmp_path / '5-0_0.dcm'}"], first).scans
    assert (told.contrast, told.optional) == ("STIR", False)


def test_further_scans_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file or folder nowhere\.nii\.gz"):
        read_further(["nowhere.nii.gz"], None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM image"):
        read_further([str(tmp_path / "empty")], None)
    scan = write(tmp_path / "scan.nii.gz", noise())
    far = LabelMap(np.ones((3, 3, 3), np.uint8), np.eye(4), "", {1: Structure(Kind.BODY, Level.L5)})
    with pytest.raises(InputError, match="has the grid of none of them"):
        read_further([str(scan)], None, [far])


# --- real scans: a spine whose vertebrae were pointed at, in the scan of day 0

BODIES = {Level.L1: (-45, 95, 0), Level.L2: (-45, 60, 0), Level.L3: (-45, 25, -2), Level.L4: (-48, -10, -8),
          Level.L5: (-55, -43, -18)}
"""A and S of the bodies' centers and their tilt, as seen in the middle slice of ``mr03_t2_sag``, which is at R 17."""
CANAL = np.array([(-83, -55), (-76, -35), (-71, -5), (-68, 25), (-67, 60), (-66, 110)], float)


def pointed_at(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> LabelMap:
    """Boxes for bodies and a tube for the canal."""
    matrix = np.diag([2.0, 2, 2, 1])
    matrix[:3, 3] = (-23, -120, -70)
    array = np.zeros((40, 60, 95), np.uint8)
    place = np.moveaxis(np.indices(array.shape), 0, -1) * 2.0 + matrix[:3, 3]
    canal = np.interp(place[..., 2], CANAL[:, 1], CANAL[:, 0])
    array[np.hypot(place[..., 0] - 17, place[..., 1] - canal) < 8] = 1
    for value, (front, height, tilt) in enumerate(BODIES.values(), start=2):
        turned = Rotation.from_euler("x", -tilt, degrees=True).apply((place - (17, front, height)).reshape(-1, 3))
        array[(np.abs(turned) < (21, 16, 12.5)).all(axis=1).reshape(array.shape)] = value
    matrix[:3, 3] += shift
    structures = {1: Structure(Kind.CANAL)} | {v: Structure(Kind.VERTEBRA, k) for v, k in enumerate(BODIES, start=2)}
    return LabelMap(array, matrix, "", structures)


@pytest.fixture(scope="module")
def real(real_data: Callable[[str], Path]) -> Callable[[str], Volume]:
    return lambda name: read_image([real_data(f"lumbar_subject_cc0/{name}.nii.gz")]).volume


@pytest.fixture(scope="module")
def day_0(real: Callable[[str], Volume]) -> Spine:
    return build_spine(pointed_at(), real("mr03_t2_sag"), "T2")


def test_one_session_of_a_real_subject(day_0: Spine, real: Callable[[str], Volume]) -> None:
    names = {"mr03_t1_sag": "T1", "mr03_t2_axial_block2": "T2"}
    t1, block = align(day_0, [VisitScan(real(name), contrast) for name, contrast in names.items()]).further
    assert (t1.alignment, t1.name) == ("same frame", "T1 sagittal")
    assert block.name == "T2 axial"
    moved = (block.volume.ijk_to_ras @ np.linalg.inv(real("mr03_t2_axial_block2").ijk_to_ras))[:3, 3]
    assert np.linalg.norm(moved) < 3.0, "the patient lay still"


def test_days_of_a_real_subject_agree(day_0: Spine, real: Callable[[str], Volume]) -> None:
    """T1 and T2 of one later session were registered on their own; they must tell the same of the patient's bend."""
    labels = pointed_at((3.0, -3.0, -46.0))
    scans = [VisitScan(real(f"mr15_{contrast}_sag"), labels=labels) for contrast in ("t2", "t1")]
    t2, t1 = align(day_0, scans).further
    assert (t2.contrast, t1.contrast) == ("T2", "T1"), "guessed where they were brought"
    for scan in (t2, t1):
        assert scan.alignment == "registered"
        assert scan.residual_mm is not None
        assert scan.residual_mm < 1.5

    def places(scan: Scan, original: str) -> np.ndarray:
        back = [real(original).ijk_to_ras @ np.linalg.inv(scan.near(v.frame.origin).volume.ijk_to_ras)
                for v in day_0.vertebrae]
        return np.array([transform_points(b, v.frame.origin) for b, v in zip(back, day_0.vertebrae, strict=True)])

    apart = np.linalg.norm(places(t2, "mr15_t2_sag") - places(t1, "mr15_t1_sag"), axis=1)
    assert apart.max() < 1.5
    assert np.median(apart) < 1.0


@pytest.mark.parametrize("name", ["VB1_11_DzZ_T2", "VB1_17_St1", "VB3_13"])
@pytest.mark.parametrize("first", [Level.L5, Level.L4])
def test_another_real_person_is_refused(day_0: Spine, real_data: Callable[[str], Path], name: str, first: Level
                                        ) -> None:
    """Whatever its levels are called."""
    scan = read_image([real_data(f"mr_vertebrae_manual/{name}_img.nii.gz")]).volume
    bodies = read_image([real_data(f"mr_vertebrae_manual/{name}_gt.nii.gz")]).volume
    count_up = name.startswith("VB1")
    structures = {value: Structure(Kind.BODY, Level(first + 1 - value if count_up else first - 5 + value))
                  for value in range(1, 6)}
    labels = LabelMap(np.rint(bodies.array).astype(np.uint8), bodies.ijk_to_ras, "", structures)
    with pytest.raises(InputError, match=r"does not fit|could not be brought|to tell where it lies"):
        align(day_0, [VisitScan(scan, "T2", labels=labels)])
