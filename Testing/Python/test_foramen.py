"""Foramina and lateral recesses: exact answers, the right side, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import SIDES, Kind, Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import foramen
from SpineAnalysisLib.measurements.record import Measurement, Quality
from SpineAnalysisLib.phantoms import Phantom, SpineSpec, preset
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import LabelMap, Volume

TURNED = Rotation.from_rotvec([0.12, -0.2, 0.3]).as_matrix()
UPPER, LOWER = Segment(Level.L3, Level.L4), Segment(Level.L4, Level.L5)
LENGTHS = ("foramen_height", "foramen_width", "foramen_width_disc", "lateral_recess_depth")
Key = tuple[str, object, object]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """Narrow on the left at L3-L4 and on the right at L4-L5; L3 leans to the right."""
    return Phantom(SpineSpec.typical(Level.L3, Level.L5).changed(
        vertebrae={Level.L4: {"facet_left": 4.0}, Level.L5: {"facet_right": 4.0}},
        joints={Level.L3: {"coronal": 5.0}, Level.L4: {"disc_height": 9.0}}))


@pytest.fixture(scope="module")
def straight(phantom: Phantom) -> LabelMap:
    return phantom.labels(phantom.grid(1.0))


@pytest.fixture(scope="module")
def spine(straight: LabelMap) -> Spine:
    return build_spine(straight)


def measured(spine: Spine) -> dict[Key, Measurement]:
    return {(m.key, m.level, m.side): m for m in foramen.compute(spine, {}, silent).measurements}


def values(spine: Spine) -> dict[Key, float]:
    return {place: m.value for place, m in measured(spine).items() if m.value is not None}


def test_facets_that_stand_forward_narrow_their_own_foramina() -> None:
    normal, narrow = ({(t.key, t.level, t.side): t.value for t in preset(name).truth()}
                      for name in ("normal_lumbar", "foraminal"))
    assert normal["foramen_width", UPPER, "left"] == pytest.approx(normal["foramen_width", UPPER, "right"], abs=1e-6)
    for level, narrow_side, wide_side, shift in ((UPPER, "left", "right", 4.0), (LOWER, "right", "left", 3.5)):
        for key in ("foramen_width_disc", "lateral_recess_depth"):
            assert narrow[key, level, wide_side] - narrow[key, level, narrow_side] == pytest.approx(shift, abs=0.4)
    assert narrow["foramen_asymmetry", LOWER, None] < -25 < 20 < narrow["foramen_asymmetry", UPPER, None]
    lean = Segment(Level.L2, Level.L3)
    assert narrow["foramen_height", lean, "right"] < narrow["foramen_height", lean, "left"] - 2.0


@pytest.mark.parametrize("grid", ["straight", "turned"])
def test_lengths_and_areas_are_exact(grid: str, phantom: Phantom, spine: Spine) -> None:
    if grid == "turned":
        spine = build_spine(phantom.labels(phantom.grid(1.0, "PSR", TURNED)))
    found = measured(spine)
    truth: dict[Key, float] = {(t.key, t.level, t.side): t.value for t in phantom.truth()
                               if t.key.startswith("foramen") or t.key in LENGTHS}
    assert len(truth) == 2 * (2 * 5 + 1)
    off = {}
    for place, value in truth.items():
        got = found[place].value
        assert got is not None
        off[place] = got - value
    assert max(abs(v) for (key, *_), v in off.items() if key in LENGTHS) < 0.7, off
    assert max(abs(v) / truth[place] for place, v in off.items() if place[0] == "foramen_area") < 0.08, off
    covered = [abs(v) <= (found[place].uncertainty or 0.0) for place, v in off.items()]
    assert np.mean(covered) >= 0.9


def test_the_narrow_side_is_the_right_one(spine: Spine) -> None:
    found = values(spine)
    for key in ("foramen_width", "foramen_width_disc", "lateral_recess_depth"):
        assert found[key, UPPER, "left"] < 0.8 * found[key, UPPER, "right"], key
        assert found[key, LOWER, "right"] < 0.8 * found[key, LOWER, "left"], key
    assert found["foramen_asymmetry", UPPER, None] > 8.0
    assert found["foramen_asymmetry", LOWER, None] < -15.0
    # L3 leans to the right, which closes the foramen there.
    assert found["foramen_height", UPPER, "right"] < found["foramen_height", UPPER, "left"] - 1.5


def test_what_is_drawn_lies_on_its_side(spine: Spine) -> None:
    for (key, level, side), record in measured(spine).items():
        geometry = record.geometry
        assert geometry is not None
        assert geometry.frame is not None
        if side is None:
            continue
        vertebra = next(v for v in spine.vertebrae if v.level == level.lower)  # type: ignore[attr-defined]
        sides = vertebra.frame.to_frame(geometry.points_RAS)[:, 0] * dict(SIDES)[side]  # type: ignore[index]
        assert sides.min() > 3.0, (key, level, side)
        assert np.abs(geometry.frame.plane.distance(geometry.points_RAS)).max() < 1e-6
        if geometry.type == "line" and record.value is not None and key != "foramen_height":
            assert np.linalg.norm(np.diff(geometry.points_RAS, axis=0)) == pytest.approx(record.value, abs=0.3)


def test_voxel_order_and_mirrored_patients(straight: LabelMap, spine: Spine) -> None:
    expected = values(spine)
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = np.array(straight.shape)[[0, 2]] - 1
    flipped = replace(straight, array=np.ascontiguousarray(straight.array[::-1, :, ::-1]),
                      ijk_to_ras=straight.ijk_to_ras @ flip)
    same = values(build_spine(flipped))
    mirrored = replace(straight, ijk_to_ras=np.diag([-1.0, 1.0, 1.0, 1.0]) @ straight.ijk_to_ras)
    swapped = values(build_spine(mirrored))
    other = {"left": "right", "right": "left", None: None}
    for (key, level, side), value in expected.items():
        again, opposite = same[key, level, side], swapped[key, level, other[side]]  # type: ignore[index]
        if key == "foramen_asymmetry":
            assert again == pytest.approx(value, abs=2.0)
            assert opposite == pytest.approx(-value, abs=3.0)
        else:
            assert again == pytest.approx(value, abs=0.25, rel=0.01), (key, level, side)
            assert opposite == pytest.approx(value, abs=0.3, rel=0.03), (key, level, side)


def test_bodies_alone_have_no_foramina(phantom: Phantom) -> None:
    labels = phantom.labels(phantom.grid(1.5), split=True)
    bodies = {v: s for v, s in labels.structures.items() if s.kind is not Kind.ARCH}
    found = measured(build_spine(replace(labels, structures=bodies)))
    assert {key for key, *_ in found} == {"foramen_area"}
    assert len(found) == 4
    for record in found.values():
        assert record.value is None
        assert "arch_not_labeled" in record.flags
        assert record.quality is Quality.POOR


def test_fat_is_a_share_on_t1_only(spine: Spine) -> None:
    """Canal at 200, fat at 800; one foramen halfway between."""
    labels = spine.labels
    array = np.where(labels.mask(labels.values((Kind.CANAL, Kind.CORD))), 200, 800).astype(np.int16)
    middle = next(m for m in spine.segments if m.segment == UPPER).disc
    place = middle.to_frame(labels.to_ras(np.stack(np.indices(labels.shape), axis=-1)))
    array[(place[..., 0] < -12.0) & (np.abs(place[..., 2]) < 18.0)] = 500
    image = Volume(array, labels.ijk_to_ras)
    t1 = measured(replace(spine, image=image, contrast="T1"))
    assert t1["foramen_fat_ratio", UPPER, "left"].value == pytest.approx(0.5, abs=0.05)
    assert t1["foramen_fat_ratio", UPPER, "right"].value == pytest.approx(1.0, abs=0.05)
    assert "no_bias_correction" in t1["foramen_fat_ratio", UPPER, "left"].flags
    for contrast in ("T2", "CT", None):
        other = measured(replace(spine, image=image, contrast=contrast))["foramen_fat_ratio", UPPER, "left"]
        assert other.value is None
        assert "needs_t1" in other.flags
    flat = measured(replace(spine, image=image.with_array(np.full_like(array, 300)), contrast="T1"))
    assert "fat_not_told" in flat["foramen_fat_ratio", UPPER, "right"].flags
    assert not any(key == "foramen_fat_ratio" for key, *_ in measured(spine))


def test_grades_name_their_source(spine: Spine, phantom: Phantom) -> None:
    narrow = Phantom(phantom.spec.changed(joints={Level.L4: {"disc_height": 5.0, "lordosis": 3.0}},
                                          vertebrae={Level.L5: {"facet_right": 8.0}}))
    found = measured(build_spine(narrow.labels(narrow.grid(1.0))))
    height, recess = found["foramen_height", LOWER, "right"], found["lateral_recess_depth", LOWER, "right"]
    assert height.grade is not None
    assert recess.grade is not None
    assert height.value is not None
    assert height.value < 15.0
    assert (height.grade.label, height.grade.cutoff) == ("narrow foramen", "< 15 mm")
    assert "Hasegawa" in height.grade.source
    assert recess.grade.label == "lateral recess stenosis"
    assert "Ciric" in recess.grade.source
    wide = measured(spine)["lateral_recess_depth", UPPER, "right"]
    assert wide.grade is not None
    assert wide.grade.label == "normal"


@pytest.mark.parametrize(("ahead", "flag"), [(21.0, "wall_not_told"), (-0.5, "walls_meet"), (8.0, None)])
def test_widths_that_no_foramen_has_are_refused(spine: Spine, ahead: float, flag: str | None) -> None:
    """Where bone behind is missing, and where disc and process were labeled into each other."""
    found = foramen._foramen(spine, spine.segments[0], "right", 1, ())
    assert isinstance(found, foramen.Foramen)
    walls = replace(found.opening, behind=np.zeros_like(found.opening.behind),
                    ahead=np.full_like(found.opening.ahead, ahead))
    records = {m.key: m for m in foramen._records(replace(found, opening=walls), spine.resolution, {})}
    for key in ("foramen_width", "foramen_width_disc"):
        assert records[key].value == (pytest.approx(ahead) if flag is None else None)
        assert flag is None or flag in records[key].flags


def test_a_recess_that_could_be_anything_is_not_graded(phantom: Phantom) -> None:
    """On slices of 5 mm a recess is known no better than its limit of 3 mm."""
    grid = phantom.grid((5.0, 1.0, 1.0))
    recesses = [record for (key, *_), record in measured(build_spine(phantom.labels(grid))).items()
                if key == "lateral_recess_depth" and record.value is not None]
    assert recesses
    for record in recesses:
        assert record.uncertainty is not None
        assert record.uncertainty > 1.5
        assert record.grade is None
        assert "too_vague" in record.flags
