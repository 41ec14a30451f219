"""Vertebrae and alignment, against phantoms whose answers are known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.findings import sentences
from SpineAnalysisLib.geometry.faces import Faces
from SpineAnalysisLib.geometry.frames import Frame, angle_deg
from SpineAnalysisLib.measurements import alignment, vertebra
from SpineAnalysisLib.measurements.bone_cutoffs import CUTOFFS
from SpineAnalysisLib.measurements.coronal import coronal_curves
from SpineAnalysisLib.measurements.record import Measurement, Severity
from SpineAnalysisLib.phantoms import Phantom, preset
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Contrast, Spine, Vertebra
from SpineAnalysisLib.volume import LabelMap, Volume

TURNED = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
Key = tuple[str, Level | Segment | None]

FINE = {"deg": 0.7, "mm": 0.4}
"""Tolerances on voxels of 1 mm."""
THICK = {"deg": 2.0, "mm": 0.7}
HOLLOW_MM = 0.7
"""The front of the body with endplates 4 mm hollow is not found as well."""
CASES: dict[str, tuple[str, float | tuple[float, ...], str, bool, bool, dict[str, float]]] = {
    # preset, spacing, axes, turned, bodies labeled apart, tolerances
    "slipped": ("slipped", 1.0, "PSR", True, False, FINE),
    "fractured": ("fractured", 1.0, "LPS", True, True, {**FINE, "mm": HOLLOW_MM}),
    "curved": ("curved", 1.0, "RAS", True, True, FINE),
    "scoliotic": ("scoliotic", 1.0, "PSR", True, True, {**FINE, "mm": 0.45}),
    "cervical": ("cervical", 1.0, "RAS", True, True, FINE),
    "thick sagittal": ("normal_lumbar", (3.3, 0.7, 0.7), "RAS", False, True, THICK),
    "thick turned": ("fractured", (3.3, 0.7, 0.7), "RAS", True, False, {**THICK, "mm": HOLLOW_MM}),
}
SLIP_MM = {"fine": 0.5, "thick": 1.2}


def labels_of(phantom: Phantom, case: str) -> LabelMap:
    _, spacing, axes, turned, split, _ = CASES[case]
    return phantom.labels(phantom.grid(spacing, axes, TURNED if turned else None), split=split)


def measured(spine: Spine) -> list[Measurement]:
    return [*vertebra.compute(spine, {}, silent).measurements, *alignment.compute(spine, {}, silent).measurements]


def ideal_vertebrae(phantom: Phantom) -> list[Vertebra]:
    """The phantom's vertebrae, exact."""
    return [Vertebra(b.spec.level, b.frame, b.endplate(1).plane,
                     None if b.spec.level is Level.S1 else b.endplate(-1).plane, b.frame.origin, None)
            for b in phantom.chain.bodies]


@cache
def case_records(case: str) -> tuple[dict[Key, Measurement], dict[Key, float]]:
    phantom = preset(CASES[case][0])
    records = {(m.key, m.level): m for m in measured(build_spine(labels_of(phantom, case)))}
    truth: dict[Key, float] = {(t.key, t.level): t.value for t in phantom.truth()}
    ideal = ideal_vertebrae(phantom)
    for curve in coronal_curves(ideal):
        truth["cobb_angle", Segment(curve.vertebrae[0].level, curve.vertebrae[-1].level)] = curve.angle_deg
        truth["curve_apex_deviation", curve.apex.level] = abs(curve.deviation)
    for body in ideal[:-1]:
        truth["vertebral_rotation", body.level] = vertebra.rotation_deg(body.frame, ideal[-1].frame)
    return records, truth


def errors(case: str, *keys: str) -> dict[Key, float]:
    """Of every record that has a truth; a truth without a record fails."""
    records, truth = case_records(case)
    wanted = [place for place in truth if place[0] in keys and not (place[0] == "lateral_slip" and "S1" in str(place))]
    found = {}
    for place in wanted:
        value = records[place].value
        assert value is not None
        found[place] = value - truth[place]
    return found


# --- exact answers

@pytest.mark.parametrize("case", CASES)
def test_heights(case: str) -> None:
    found = errors(case, *(f"vertebra_height_{place}" for place in ("anterior", "middle", "posterior")))
    assert len(found) >= 18
    assert max(map(abs, found.values())) < CASES[case][5]["mm"], found


@pytest.mark.parametrize("case", CASES)
def test_sagittal_angles(case: str) -> None:
    found = errors(case, "segmental_angle", "lumbar_lordosis", "thoracic_kyphosis", "cervical_lordosis")
    assert len(found) >= 7
    assert max(map(abs, found.values())) < CASES[case][5]["deg"], found


@pytest.mark.parametrize("case", CASES)
def test_slip(case: str) -> None:
    limit = SLIP_MM["thick" if "thick" in case else "fine"]
    found = errors(case, "vertebra_slip")
    assert len(found) >= 6
    assert max(map(abs, found.values())) < limit, found


@pytest.mark.parametrize("case", ["slipped", "fractured", "curved", "scoliotic", "cervical"])
def test_lateral_slip_and_rotation(case: str) -> None:
    assert max(map(abs, errors(case, "lateral_slip").values())) < 0.6
    assert max(map(abs, errors(case, "vertebral_rotation").values())) < 1.5


def test_curves_have_their_end_vertebrae() -> None:
    records, truth = case_records("scoliotic")
    measured_curves = {level for key, level in records if key == "cobb_angle"}
    assert measured_curves == {level for key, level in truth if key == "cobb_angle"}
    assert len(measured_curves) == 2
    assert max(map(abs, errors("scoliotic", "cobb_angle").values())) < 1.0
    assert max(map(abs, errors("scoliotic", "curve_apex_deviation").values())) < 0.6
    sides = [records["cobb_angle", level].side for level in sorted(measured_curves, key=lambda x: x.upper)]
    assert sides == ["right", "left"]


def test_cobb_angle_is_about_the_sum_of_the_joints() -> None:
    spec = preset("scoliotic").spec
    upper = sum(j.coronal for j, level in zip(spec.joints, spec.levels, strict=False) if level < Level.T12)
    curves = coronal_curves(ideal_vertebrae(preset("scoliotic")))
    assert curves[0].angle_deg == pytest.approx(abs(upper), abs=2.0)


def test_a_straight_spine_has_no_curve() -> None:
    assert coronal_curves(ideal_vertebrae(preset("whole"))) == []
    assert not any(key == "cobb_angle" for key, _ in case_records("curved")[0])


def test_uncertainty_covers_the_errors() -> None:
    covered: dict[str, list[bool]] = {}
    for case in CASES:
        records, truth = case_records(case)
        for place in records.keys() & truth.keys():
            record = records[place]
            assert record.value is not None
            assert record.uncertainty is not None
            covered.setdefault(place[0], []).append(abs(record.value - truth[place]) <= record.uncertainty)
    assert np.mean([hit for hits in covered.values() for hit in hits]) >= 0.9
    shares = {key: np.mean(hits) for key, hits in covered.items() if len(hits) > 20}
    assert min(shares.values()) >= 0.85, shares


def test_voxel_order_does_not_matter() -> None:
    labels = labels_of(preset("slipped"), "slipped")
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = np.array(labels.shape)[[0, 2]] - 1
    flipped = replace(labels, array=np.ascontiguousarray(labels.array[::-1, :, ::-1]),
                      ijk_to_ras=labels.ijk_to_ras @ flip)
    other = {(m.key, m.level): m.value for m in measured(build_spine(flipped))}
    records, _ = case_records("slipped")
    assert other.keys() == records.keys()
    for place, record in records.items():
        assert other[place] == pytest.approx(record.value, abs=0.05, rel=0.01), place


# --- records

def test_every_record_says_what_it_is() -> None:
    for case in ("slipped", "scoliotic", "thick turned"):
        for record in case_records(case)[0].values():
            assert record.geometry is not None
            assert record.geometry.frame is not None
            assert ("supine" in record.flags) == (record.key in {d.key for d in alignment.DEFINITIONS})


def test_grades() -> None:
    by_key = {c.key: c for c in CUTOFFS}
    loss = by_key["vertebral_height_loss"]
    assert [loss.grade(v).severity for v in (19.9, 20.0, 25.0, 40.0)] == list(Severity)
    assert loss.grade(30.0).cutoff == "25-40 %"
    assert loss.grade(5.0).cutoff == "< 20 %"
    assert loss.grade(70.0).cutoff == ">= 40 %"
    assert loss.is_near(19.0, 1.5)
    assert not loss.is_near(17.0, 1.5)
    assert by_key["vertebra_slip"].grade(-4.0).severity is Severity.MILD


def test_findings_name_fracture_slip_and_scoliosis() -> None:
    def said(case: str) -> str:
        spine = build_spine(labels_of(preset(CASES[case][0]), case))
        return "\n".join(sentences(spine, measured(spine)))
    fractured, slipped, scoliotic = said("thick turned"), said("slipped"), said("scoliotic")
    assert "L1: " in fractured
    assert "Genant grade 2" in fractured
    assert "L4-L5: anterolisthesis of 8." in slipped
    assert "Meyerding grade I" in slipped
    assert "T4-T11: coronal curve convex to the right" in scoliotic
    assert "apex T8" in scoliotic


# --- density

def ct(contrast: Contrast) -> list[Measurement]:
    phantom = preset("normal_lumbar")
    grid = phantom.grid(2.0)
    spine = build_spine(phantom.labels(grid), phantom.image(grid, "CT"), contrast)
    return [m for m in vertebra.compute(spine, {}, silent).measurements if m.key == "trabecular_density"]


def test_density_is_that_of_marrow_on_ct_only() -> None:
    found = ct("CT")
    assert [m.level for m in found] == [Level.T12, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5]
    assert all(m.value == pytest.approx(190.0, abs=8.0) for m in found)
    assert [m.level for m in found if m.grades] == [Level.L1]
    assert not ct("T2")


# --- faces

def box(damage: NDArray[np.bool_] | None = None) -> Volume:
    """A body with one corner cut obliquely, 0.7 mm voxels, upper face tilted by 6 degrees toward the front."""
    axis = np.arange(-30.0, 30.0, 0.7)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = (np.abs(x) < 21.3) & (np.abs(y) < 16.4) & (z > -12.2) & (z < 12.2 + np.tan(np.radians(6.0)) * y)
    matrix = np.diag([0.7, 0.7, 0.7, 1.0])
    matrix[:3, 3] = -30.0
    return Volume(inside if damage is None else inside ^ damage, matrix)


def test_pit_and_spur_do_not_tilt_an_endplate() -> None:
    axis = np.arange(-30.0, 30.0, 0.7)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    top = 12.2 + np.tan(np.radians(6.0)) * y
    pit = (np.hypot(x - 8.0, y + 4.0) < 3.5) & (z < top) & (z > top - 5.0)
    spur = (np.abs(x) < 8.0) & (y > 13.5) & (y < 19.0) & (z > top - 2.0) & (z < top + 4.0)
    spur &= ~((y < 16.4) & (z < top))
    frame = Frame(np.array([0.4, -0.6, 0.3]), *np.eye(3))
    expected = np.array([0.0, -np.sin(np.radians(6.0)), np.cos(np.radians(6.0))])
    for damage, limit in ((None, 0.15), (pit | spur, 1.0)):
        rim = Faces.of(box(damage), frame).superior
        assert rim is not None
        assert angle_deg(rim.plane.normal, expected) < limit
        assert rim.half == pytest.approx([21.3, 16.4], abs=0.6)


@pytest.mark.parametrize(("front", "shift", "leans"), [(30.0, -3.6, True), (26.0, -5.0, False)],
                         ids=["leaning", "upright"])
def test_walls_that_lean_do_not_make_a_slip(front: float, shift: float, leans: bool) -> None:
    """Corners are farther apart than 3 mm; the lines of the walls are so only where they do not lean that way."""
    back = 52.0 - front
    spec = SpineSpec.typical(Level.L3, Level.L4).changed(
        joints={Level.L3: {"slip": shift, "disc_height": 10.0, "lordosis": 0.0}},
        vertebrae={Level.L3: {"height_anterior": front, "height_posterior": back},
                   Level.L4: {"height_anterior": back, "height_posterior": front}})
    phantom = Phantom(spec)
    grid = phantom.grid(1.0, rotation=Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix())
    found = {m.key: m for m in vertebra.compute(build_spine(phantom.labels(grid, split=True)), {}, silent).measurements
             if str(m.level) == "L3-L4"}
    slip, share = found["vertebra_slip"], found["vertebra_slip_percent"]
    assert slip.value is not None
    assert slip.value < -3.0
    assert ("walls_lean" in slip.flags, slip.grade is None, share.grade is None) == (leans, leans, leans)


def test_rounded_corners_do_not_draw_an_endplate_out() -> None:
    """A front wall that is hollow in its middle only: a parabola through it would meet the endplates far in front."""
    axis = np.arange(-30.0, 30.0, 0.7)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    front = 16.0 - 5.0 * np.cos(np.clip(z / 9.0, -1.0, 1.0) * np.pi / 2.0)
    matrix = np.diag([0.7, 0.7, 0.7, 1.0])
    matrix[:3, 3] = -30.0
    body = Volume((np.abs(x) < 21.3) & (y > -16.4) & (y < front) & (np.abs(z) < 12.2), matrix)
    faces = Faces.of(body, Frame(np.zeros(3), *np.eye(3)))
    for rim in (faces.superior, faces.inferior):
        assert rim is not None
        assert rim.corner(1)[1] == pytest.approx(16.0, abs=0.7)


def test_heights_that_grow_downward_are_no_loss() -> None:
    """The second body in view has one neighbor above, so that one below counts too, not two."""
    phantom = Phantom(SpineSpec.typical(Level.T10, Level.L1))
    found = vertebra.compute(build_spine(phantom.labels(phantom.grid(1.5), split=True)), {}, silent).measurements
    loss = next(m for m in found if (m.key, m.level) == ("vertebral_height_loss", Level.T11))
    heights = {m.level: m.value or 0.0 for m in found if m.key == "vertebra_height_posterior"}
    assert heights[Level.T10] < heights[Level.T11] < heights[Level.T12] < heights[Level.L1]
    own = {m.key: m.value or 0.0 for m in found if m.level is Level.T11}
    wedge = 100.0 * (1.0 - own["vertebra_height_anterior"] / own["vertebra_height_posterior"])
    assert loss.value == pytest.approx(max(wedge, 0.0), abs=0.5)


def test_a_side_that_is_cut_tells_no_lateral_slip() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L4))
    labels = phantom.labels(phantom.grid(1.5), split=True)
    body = phantom.chain.bodies[1].frame
    aside = body.to_frame(labels.to_ras(np.indices(labels.shape).reshape(3, -1).T))[:, 0].reshape(labels.shape)
    array = np.where(np.isin(labels.array, labels.values(Kind.BODY, Level.L4)) & (aside < -6.0), 0, labels.array)
    for each, known in ((labels, True), (replace(labels, array=array), False)):
        record = next(m for m in measured(build_spine(each)) if m.key == "lateral_slip")
        assert (record.value is not None, "widths_do_not_match" in record.flags) == (known, not known)


def test_a_body_that_the_scan_cuts_has_heights_but_no_volume() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L4))
    labels = phantom.labels(phantom.grid(1.5), split=True)
    index = np.argwhere(labels.mask(labels.values(Kind.BODY, Level.L4)))
    cut = labels.crop((index[:, 0].min() + 1, 0, 0), labels.shape)
    for each, whole in ((labels, True), (cut, False)):
        records = {m.key: m for m in measured(build_spine(each)) if m.level is Level.L4}
        volume = records["vertebra_volume"]
        assert (volume.value is not None, "body_cut" in volume.flags) == (whole, not whole)
        assert records["vertebra_height_middle"].value is not None


def test_a_slip_stands_out_of_what_all_segments_show() -> None:
    """Outlines that hold the ligament behind the bodies shift every segment a little."""
    levels = (Level.L1, Level.L2, Level.L3, Level.L4)
    for usual, clear in ((-3.9, False), (0.0, True)):
        slips = {level: {"slip": -5.0 if level is Level.L3 else usual} for level in levels}
        spine = build_spine((p := Phantom(SpineSpec.typical(Level.L1, Level.L5).changed(joints=slips))).labels(
            p.grid(1.5), split=True))
        found = {m.level: m for m in measured(spine) if m.key == "vertebra_slip"}
        slip = found[Segment(Level.L3, Level.L4)]
        assert slip.value is not None
        assert slip.value < -3.0
        assert ("slip_not_clear" not in slip.flags, bool(slip.grades)) == (clear, clear)


def test_a_vertebra_turned_beyond_nature_has_no_slip() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L4))
    spine = build_spine(phantom.labels(phantom.grid(1.5), split=True))
    upper, lower = spine.vertebrae
    turn = Rotation.from_rotvec(np.radians(40.0) * lower.frame.superior).as_matrix()
    turned = replace(lower, frame=Frame(lower.frame.origin, *(lower.frame.axes @ turn.T)))
    for model, known in ((spine, True), (replace(spine, vertebrae=(upper, turned)), False)):
        record = next(m for m in measured(model) if m.key == "vertebra_slip")
        assert (record.value is not None, "rotations_do_not_match" in record.flags) == (known, not known)


def test_a_depressed_endplate_ends_where_there_is_bone() -> None:
    """A parabola through it would rise far beyond the body's corners."""
    axis = np.arange(-30.0, 30.0, 0.7)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    top = 12.2 - 9.0 * np.clip(1.0 - np.hypot(x / 20.0, (y - 3.0) / 13.0)**4, 0.0, 1.0)
    matrix = np.diag([0.7, 0.7, 0.7, 1.0])
    matrix[:3, 3] = -30.0
    body = Volume((np.abs(x) < 21.3) & (np.abs(y) < 16.4) & (z > -12.2) & (z < top), matrix)
    rim = Faces.of(body, Frame(np.zeros(3), *np.eye(3))).superior
    assert rim is not None
    assert rim.corner(-1)[2] == pytest.approx(12.2, abs=0.7)
    assert rim.corner(1)[2] == pytest.approx(12.2, abs=2.5)
    assert rim.height_deviation(-1) > 2.0


@pytest.mark.parametrize(("share", "clear"), [(0.785, False), (0.65, True)])
def test_a_fracture_is_more_than_its_uncertainty(share: float, clear: bool) -> None:
    heights = {"height_anterior": share * 28.0, "height_posterior": 28.0}
    phantom = Phantom(SpineSpec.typical(Level.T12, Level.L2).changed(vertebrae={Level.L1: heights}))
    found = vertebra.compute(build_spine(phantom.labels(phantom.grid(1.5), split=True)), {}, silent).measurements
    loss = next(m for m in found if (m.key, m.level) == ("vertebral_height_loss", Level.L1))
    assert loss.value is not None
    assert loss.value > 20.0
    assert ("loss_not_clear" not in loss.flags, bool(loss.grades)) == (clear, clear)
