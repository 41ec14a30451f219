"""The dural sac on axial T2 slices: as wide as it is, in the patient who moved, and told which scan said so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.geometry.borders import bright_border, closed_path
from SpineAnalysisLib.geometry.outlines import UNIT_CIRCLE, moments
from SpineAnalysisLib.headless import fresh_scene
from SpineAnalysisLib.measurements import canal
from SpineAnalysisLib.measurements.axial import axial_readings
from SpineAnalysisLib.measurements.cutoffs import regraded
from SpineAnalysisLib.measurements.record import Measurement
from SpineAnalysisLib.measurements.registry import cutoffs
from SpineAnalysisLib.mrml import memory
from SpineAnalysisLib.mrml.results import ROLE_ATTRIBUTE, ResultFolder
from SpineAnalysisLib.mrml.show import show
from SpineAnalysisLib.mrml.views import arrange_views
from SpineAnalysisLib.mrml.volumes import add_volume, scan_node, volume_from_node
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.rasterize import Grid
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.report.cards import cards_of
from SpineAnalysisLib.report.tables import References
from SpineAnalysisLib.spine import Contrast, Scan, Spine, VisitScan
from SpineAnalysisLib.volume import LabelMap, Volume

SAGITTAL = (4.0, 0.9, 0.9)
DISC = "L4-L5"
QUANTITIES = ("area", "ap_diameter", "transverse_diameter")


def narrowed(depth: float, width: float, fat: float = 5.0) -> Phantom:
    """Two vertebrae with a narrow canal between them, and fat behind it."""
    joints = {Level.L4: {"narrowing_depth": depth, "narrowing_width": width, "bulge": 2.0}}
    return Phantom(SpineSpec.typical(Level.L4, Level.L5).changed(joints=joints, fat=fat))


def block(phantom: Phantom, tilt_deg: float = 0.0, slices: int = 5, shift: float = 0.0, step: float = 4.4,
          size: int = 90) -> Grid:
    """Slices about the disc's plane, turned about the patient's right.

    :param shift: along the slices' normal, in slices.
    """
    disc = phantom.chain.joints[0].frame
    right, front, up = Rotation.from_euler("x", -tilt_deg, degrees=True).as_matrix() @ disc.axes
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([-0.6 * right, -0.6 * front, step * up])
    middle = np.array([(size - 1) / 2.0 + 0.3, (size - 1) / 2.0, (slices - 1) / 2.0 - shift])
    matrix[:3, 3] = disc.origin - 20.0 * disc.anterior - matrix[:3, :3] @ middle
    return Grid((size, size, slices), matrix)


def labels_of(phantom: Phantom) -> LabelMap:
    turn = Rotation.from_euler("xyz", [3, -4, 5], degrees=True).as_matrix()
    return phantom.labels(phantom.grid(SAGITTAL, rotation=turn).shifted((0.31, 0.17, 0.43)))


def with_block(spine: Spine, image: Volume, contrast: Contrast = "T2") -> Spine:
    return replace(spine, further=(Scan(image, f"{contrast} axial", contrast, alignment="same frame"),))


def canal_records(spine: Spine) -> tuple[dict[str, Measurement], tuple[str, ...]]:
    """The canal's records at the disc by key, and what could not be used."""
    found = canal.compute(spine, {}, silent)
    return {m.key: m for m in found.measurements if str(m.level) == DISC}, found.notes


def exact(phantom: Phantom) -> dict[str, float]:
    return {t.key: t.value for t in phantom.truth() if str(t.level) == DISC}


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return narrowed(0.3, 0.2)


@pytest.fixture(scope="module")
def sagittal(phantom: Phantom) -> Volume:
    grid = phantom.grid(SAGITTAL)
    return phantom.image(grid, "T2")


@pytest.fixture(scope="module")
def image(phantom: Phantom) -> Volume:
    return phantom.image(block(phantom), "T2", noise=40.0)


@pytest.fixture(scope="module")
def spine(phantom: Phantom, sagittal: Volume) -> Spine:
    return build_spine(labels_of(phantom), sagittal, "T2")


# --- the border in one picture

def test_cheapest_closed_path() -> None:
    """Around a valley whose place goes around once; a trap on the way is not worth the bends."""
    rows, columns = 24, 40
    valley = np.rint(20 + 6 * np.sin(2 * np.pi * np.arange(rows) / rows)).astype(int)
    cost = np.abs(np.arange(columns) - valley[:, None]).clip(max=5) / 5.0
    cost[7, 3] = -0.5
    assert closed_path(cost, 0.02).tolist() == valley.tolist()


@pytest.mark.parametrize("fat", [0.0, 0.75, 0.9])
def test_border_is_found_beside_fat(fat: float) -> None:
    """An ellipse with dark roots in it, fat behind it that is nearly as bright, and a thin dark wall between them."""
    half = np.array([9.0, 6.0])

    def picture(places: np.ndarray) -> np.ndarray:
        x, y = places[..., 0], places[..., 1]
        away = (np.hypot(*(places / half).T).T - 1.0) * half.min()
        values = np.where((np.abs(x) < 7.0 * (1.0 + y / 13.0)) & (y < 0.0), fat, 0.1)
        values = values + (0.3 - values) * np.clip(1.2 - np.abs(away) / 0.5, 0.0, 1.0)
        values = values + (1.0 - values) * np.clip(0.5 - away / 0.7, 0.0, 1.0)
        for root in ((-4.0, -3.0), (-1.0, -4.0), (2.0, -4.2), (4.5, -2.5)):
            values = np.where(np.hypot(x - root[0], y - root[1]) < 0.8, 0.45, values)
        return np.asarray(values)

    expected = np.array([1.2, -0.8]) + 1.15 * half * UNIT_CIRCLE
    found = bright_border(picture, expected, (2.0, 1.5))
    area, middle, _ = moments(found.outline)
    assert area == pytest.approx(np.pi * half.prod(), rel=0.06)
    assert np.linalg.norm(middle) < 0.6
    assert moments(found.wider(0.32))[0] - area == pytest.approx(0.32 * 47.6, rel=0.1)


# --- on a phantom

def test_axial_scan_leads_and_the_other_stays(spine: Spine, phantom: Phantom, image: Volume) -> None:
    found, notes = canal_records(with_block(spine, image))
    assert notes == ()
    for quantity in QUANTITIES:
        record = found[f"canal_{quantity}"]
        assert (record.scan, [other.scan for other in record.others]) == ("T2 axial", ["T2 sagittal"])
        assert record.value is not None
        assert record.uncertainty is not None
        assert abs(record.value - exact(phantom)[record.key]) <= record.uncertainty, record.key
        assert "scans_disagree" not in record.flags
    assert found["canal_area"].value == pytest.approx(exact(phantom)["canal_area"], rel=0.1)
    assert found["canal_area_ratio"].scan == "T2 sagittal", "made of one scan's areas, and of which one is told"
    (other,) = found["canal_area"].as_dict()["other_scans"]
    assert (other["scan"], other["value"]) == ("T2 sagittal", round(found["canal_area"].others[0].value or 0.0, 4))
    alone, _ = canal_records(spine)
    assert alone["canal_area"].value == found["canal_area"].others[0].value
    assert (alone["canal_area"].scan, alone["canal_area"].others) == (None, ())


def test_outline_lies_in_a_slice(spine: Spine, image: Volume) -> None:
    found, _ = canal_records(with_block(spine, image))
    area, front = found["canal_area"].geometry, found["canal_ap_diameter"].geometry
    assert area is not None
    assert front is not None
    slices = image.to_ijk(np.vstack([area.points_RAS, front.points_RAS]))[:, 2]
    np.testing.assert_allclose(slices, np.rint(slices.mean()), atol=1e-6)


@pytest.mark.parametrize(("depth", "width", "tilt", "shift"), [(0.0, 0.0, 14.0, 0.3), (0.5, 0.45, -12.0, 0.5),
                                                               (0.4, 0.1, 20.0, 0.0)])
def test_uncertainty_covers_the_error(depth: float, width: float, tilt: float, shift: float) -> None:
    """Slices that lean, and whose middle is not where the canal is narrowest."""
    other = narrowed(depth, width)
    seen = with_block(build_spine(labels_of(other)), other.image(block(other, tilt, shift=shift), "T2", noise=40.0))
    readings, _ = axial_readings(seen)
    (reading,) = (r for r in readings if str(r.motion.segment) == DISC)
    error = {q: abs(getattr(reading.narrowest, q) - exact(other)[f"canal_{q}"]) for q in QUANTITIES}
    # Of nine values one may lie outside of one standard deviation; none outside of one and a half.
    assert all(error[q] <= 1.5 * reading.uncertainty(q) for q in QUANTITIES), error
    assert error["area"] <= reading.uncertainty("area"), error
    assert reading.uncertainty("area") < 0.4 * exact(other)["canal_area"]


def test_steep_slices_are_cut_across_the_canal(spine: Spine, phantom: Phantom) -> None:
    steep = phantom.image(block(phantom, -40.0, slices=9), "T2", noise=40.0)
    found, _ = canal_records(with_block(spine, steep))
    record = found["canal_area"]
    assert record.value is not None
    assert record.uncertainty is not None
    assert (record.scan, "plane_between_slices" in record.flags) == ("T2 axial", True)
    assert abs(record.value - exact(phantom)["canal_area"]) <= record.uncertainty
    assert record.geometry is not None
    assert record.geometry.frame is not None
    along = spine.centerline.tangent(float(spine.centerline.project(record.geometry.frame.origin)))
    assert abs(float(along @ record.geometry.frame.superior)) > 0.99


@pytest.fixture(scope="module")
def visit(phantom: Phantom, sagittal: Volume, image: Volume) -> Analysis:
    """All of it, of a patient who moved between the scans."""
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", [1.5, -1.0, 1.0], degrees=True).as_matrix()
    moved[:3, 3] = (1.5, -2.5, 2.0)
    return analyze(sagittal, labels_of(phantom), contrast="T2", frame="1.2", only=["canal"],
                   further=[VisitScan(image.transformed(moved), "T2", "1.2")])


def test_a_patient_who_moved_between_the_scans(phantom: Phantom, visit: Analysis) -> None:
    record = visit.measurement("canal_area", DISC)
    assert record is not None
    assert record.value is not None
    assert record.uncertainty is not None
    assert record.geometry is not None
    assert record.scan == "T2 axial"
    assert visit.spine.further[0].alignment == "registered"
    assert abs(record.value - exact(phantom)["canal_area"]) <= record.uncertainty
    middle = record.geometry.points_RAS.mean(axis=0)
    assert np.linalg.norm(phantom.canal.points - middle, axis=1).min() < 1.5


def test_report_draws_each_outline_on_its_own_scan(visit: Analysis) -> None:
    opened, others, _ = cards_of(visit, References())
    (card,) = (card for card in (*opened, *others) if card.level == DISC)
    plates = [*card.leading, *card.further]
    of = {number.name: number.plates for number in (*card.graded, *card.numbers)}
    axial, segmented = (next(p for p in plates if p.letter in of[f"Canal area, {name}"])
                        for name in ("T2 axial", "T2 sagittal"))
    assert plates[0] is axial
    assert "On T2 axial" in axial.caption
    assert "On T2 sagittal" in segmented.caption
    assert of["Canal area ratio"] == segmented.letter


def test_scene_remembers_what_the_other_scans_say(visit: Analysis) -> None:
    record = visit.measurement("canal_area", DISC)
    assert record is not None
    back = memory._measurement(memory._as_dict(record))
    assert [(m.scan, m.grade and m.grade.rule) for m in back.others] == [
        (m.scan, m.grade and m.grade.rule) for m in record.others]
    assert back.as_dict() == record.as_dict()


@pytest.mark.parametrize("own_image", [False, True], ids=["file", "panel"])
def test_scene_shows_the_outline_on_its_scan(visit: Analysis, own_image: bool) -> None:
    """Beside the user's own scan, which may lie elsewhere, only the one that the outline was drawn on."""
    record = visit.measurement("canal_area", DISC)
    assert record is not None
    assert record.geometry is not None
    assert visit.spine.image is not None
    with fresh_scene() as scene:
        mine = add_volume(ResultFolder(scene, "mine"), visit.spine.image, "T2") if own_image else None
        nodes = show(visit, scene, image_node=mine, name="Visit")
        arrange_views(scene, visit, nodes)
        node = scan_node(scene, "Visit", "T2 axial")
        assert node is not None
        assert node.GetAttribute(ROLE_ATTRIBUTE) == ("scan" if own_image else "image")
        slices = volume_from_node(node).to_ijk(record.geometry.points_RAS)[:, 2]
        np.testing.assert_allclose(slices, np.rint(slices.mean()), atol=1e-6)
        worst = max(visit.measurements, key=lambda m: m.severity)
        shown = nodes.image if worst.scan != "T2 axial" else node
        background = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode").GetBackgroundVolumeID()
        assert background == shown.GetID()


def test_own_limits_grade_the_other_scans_too(visit: Analysis) -> None:
    record = visit.measurement("canal_area", DISC)
    assert record is not None
    rules = {**cutoffs(), "bolender_1985": cutoffs()["bolender_1985"].with_limits([900.0, 950.0])}
    anew = regraded(record, rules)
    assert {m.grade and m.grade.label for m in (anew, *anew.others)} == {"stenosis"}


# --- what is refused or flagged

def test_scans_that_disagree_are_flagged(spine: Spine) -> None:
    """The block of another day's narrower canal."""
    other = narrowed(0.55, 0.5)
    found, _ = canal_records(with_block(spine, other.image(block(other), "T2", noise=40.0)))
    assert "scans_disagree" in found["canal_area"].flags
    assert found["canal_area"].quality == "limited"


def test_a_bony_canal_does_not_disagree_with_the_sac_in_it(spine: Spine) -> None:
    assert spine.canal is not None
    other = narrowed(0.55, 0.5)
    bony = replace(spine, canal=replace(spine.canal, meaning="bony canal"))
    found, _ = canal_records(with_block(bony, other.image(block(other), "T2", noise=40.0)))
    assert found["canal_area"].scan == "T2 axial"
    assert "scans_disagree" not in found["canal_area"].flags
    rules = {grade.rule for grade in found["canal_area"].grades}
    assert "schoenstroem_1985" in rules, "it is the sac that was measured"


def test_only_t2_is_outlined(spine: Spine, image: Volume) -> None:
    found, notes = canal_records(with_block(spine, image, "T1"))
    assert found["canal_area"].scan is None
    assert notes == ("The canal was not outlined on T1 axial, as only T2 shows the dural sac's border well.",)


def test_a_block_beside_the_disc_is_told(spine: Spine, image: Volume) -> None:
    """Its slices show the body above."""
    away = Volume(image.array, image.ijk_to_ras.copy(), "")
    away.ijk_to_ras[:3, 3] += 4.5 * image.ijk_to_ras[:3, 2]
    found, notes = canal_records(with_block(spine, away))
    assert found["canal_area"].scan is None
    assert notes == ("No disc is covered well enough to measure the canal on T2 axial.",)


def test_what_does_not_stand_out_is_not_outlined(spine: Spine, image: Volume) -> None:
    noise = image.with_array(np.random.default_rng(3).normal(500.0, 30.0, image.shape).astype(np.float32))
    found, notes = canal_records(with_block(spine, noise))
    assert found["canal_area"].scan is None
    assert notes[0].startswith("The dural sac does not stand out from what is around it at L4-L5 on T2 axial;")


# --- a real subject

CANAL = np.array([(-81, -49, 5.3, 6.5), (-76.7, -20.7, 4.7, 6.9), (-71.6, 10.6, 6.3, 8.5), (-68, 60, 6.3, 9.0)], float)
"""A and S of the canal's middle in ``mr03_t2_sag``, half its depth and width, as the built-in engine outlines it."""
BODIES = {Level.L3: (-45, 25), Level.L4: (-48, -10), Level.L5: (-55, -43)}


def test_real_blocks(real_data: Callable[[str], Path]) -> None:
    """The canal is much narrower at L4-L5 than at L3-L4, as readers of these images see."""
    matrix = np.diag([2.0, 2, 2, 1])
    matrix[:3, 3] = (-23, -110, -60)
    array = np.zeros((40, 45, 70), np.uint8)
    place = np.moveaxis(np.indices(array.shape), 0, -1) * 2.0 + matrix[:3, 3]
    front, depth, width = (np.interp(place[..., 2], CANAL[:, 1], CANAL[:, i]) for i in (0, 2, 3))
    array[np.hypot((place[..., 0] - 17) / width, (place[..., 1] - front) / depth) < 1] = 1
    for value, (a, s) in enumerate(BODIES.values(), start=2):
        array[(np.abs(place - (17, a, s)) < (21, 16, 12.5)).all(axis=-1)] = value
    structures = {1: Structure(Kind.CANAL)} | {v: Structure(Kind.VERTEBRA, k) for v, k in enumerate(BODIES, start=2)}
    scans = {n: read_image([real_data(f"lumbar_subject_cc0/mr03_t2_{n}.nii.gz")]).volume
             for n in ("sag", "axial_block1", "axial_block2")}
    spine = build_spine(LabelMap(array, matrix, "", structures), scans["sag"], "T2")
    further = tuple(Scan(scans[f"axial_block{i}"], f"T2 axial {i}", "T2", alignment="same frame") for i in (1, 2))
    found = canal.compute(replace(spine, further=further), {}, silent)
    areas = {str(m.level): (m.value or 0.0, m.scan) for m in found.measurements if m.key == "canal_area"}
    assert areas["L3-L4"][1] == "T2 axial 1"
    assert areas["L4-L5"][1] == "T2 axial 2"
    assert 105.0 < areas["L3-L4"][0] < 170.0
    assert 45.0 < areas["L4-L5"][0] < 90.0
