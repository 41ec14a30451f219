"""Bulges and herniations of known depth, side, zone and type."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import herniation
from SpineAnalysisLib.measurements.record import Measurement, Severity
from SpineAnalysisLib.phantoms import Herniation, Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import Volume

CASES = {"fine": (1.0, "PSR", True), "thick": ((3.3, 0.7, 0.7), "RAS", False)}
JOINTS = {
    Level.L2: {"bulge_around": 2.5, "narrowing_depth": 0.4, "disc_height": 9.0},
    Level.L3: {"herniation": Herniation(5.0, 14.0, offset=7.0)},
    Level.L4: {"herniation": Herniation(7.0, 9.0, offset=-5.0, head=12.0, length=16.0, drop=4.0)},
}
L23, L34, L45, L51 = (Segment(a, b) for a, b in ((Level.L2, Level.L3), (Level.L3, Level.L4), (Level.L4, Level.L5),
                                                 (Level.L5, Level.S1)))
DEPTH_MM = 0.7
"""Tolerance of a bulge's depth."""
Records = dict[tuple[str, Segment], Measurement]


@cache
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L2, Level.S1).changed(joints=JOINTS))


@cache
def spine(name: str) -> Spine:
    spacing, axes, turned = CASES[name]
    rotation = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix() if turned else None
    return build_spine(phantom().labels(phantom().grid(spacing, axes, rotation, margin=3.0)))


def measured(model: Spine) -> Records:
    found = herniation.compute(model, {}, silent).measurements
    return {(m.key, m.level): m for m in found if isinstance(m.level, Segment)}


@cache
def records(name: str) -> Records:
    return measured(spine(name))


@pytest.mark.parametrize("name", CASES)
def test_depth(name: str) -> None:
    found = records(name)
    truths = {t.level: t.value for t in phantom().truth() if t.key == "disc_bulge_depth"}
    assert truths[L34] == 5.0
    assert truths[L45] == 7.0
    for level in (L34, L45, L23):
        record = found["disc_bulge_depth", level]
        assert record.value == pytest.approx(truths[level], abs=DEPTH_MM), level
        assert record.value is not None
        assert record.uncertainty is not None
        assert abs(record.value - truths[level]) <= record.uncertainty
    at_rest = found["disc_bulge_depth", L51]
    assert at_rest.value is not None
    assert at_rest.value < 1.2


@pytest.mark.parametrize("name", CASES)
def test_types_are_fardons(name: str) -> None:
    words = {level: records(name)["herniation_type", level].word for level in (L23, L34, L45, L51)}
    assert words == {L23: "bulge", L34: "protrusion", L45: "extrusion", L51: "none"}
    exact = {t.level: t.value for t in phantom().truth() if t.key == "herniation_type"}
    assert {level: records(name)["herniation_type", level].value for level in exact} == exact
    severities = [records(name)["herniation_type", level].severity for level in (L51, L23, L34, L45)]
    assert severities == sorted(severities) == list(Severity)


@pytest.mark.parametrize("name", CASES)
def test_side_and_zone_are_the_patients(name: str) -> None:
    found = records(name)
    assert found["herniation_side", L34].word == "right"
    assert found["herniation_side", L45].word == "left"
    assert found["herniation_zone", L34].word == "subarticular"
    assert found["herniation_zone", L45].word == "central"
    assert {level for key, level in found if key == "herniation_side"} == {L34, L45}


@pytest.mark.parametrize("name", CASES)
def test_share_of_the_canal(name: str) -> None:
    truths = {t.level: t.value for t in phantom().truth() if t.key == "herniation_canal_fraction"}
    for level in (L34, L45):
        record = records(name)["herniation_canal_fraction", level]
        assert record.value == pytest.approx(truths[level], abs=4.0), level
        assert record.grades[0].label == "mild"
    assert records(name)["herniation_canal_fraction", L34].grades[1].label == "MSU 1-B"


@pytest.mark.parametrize("name", CASES)
def test_what_is_drawn_lies_behind_the_disc(name: str) -> None:
    for level, sign in ((L34, 1), (L45, -1)):
        line = records(name)["disc_bulge_depth", level].geometry
        outline = records(name)["herniation_type", level].geometry
        motion = next(m for m in spine(name).segments if m.segment == level)
        assert line is not None
        assert outline is not None
        start, end = motion.disc.to_frame(line.points_RAS)
        assert end[1] < start[1] < -12.0
        assert sign * motion.disc.to_frame(outline.points_RAS)[:, 0].mean() > 2.5


def test_derived_discs_show_no_herniation() -> None:
    model = spine("thick")
    derived = replace(model.labels, derived=frozenset(model.labels.values(Kind.DISC)))
    found = measured(replace(model, labels=derived))
    assert {key for key, _ in found} == {"disc_bulge_depth", "herniation_type"}
    for record in found.values():
        assert record.value is None
        assert "disc_derived" in record.flags


def test_a_label_that_stops_short_of_the_rims_is_refused() -> None:
    model = spine("thick")
    values = model.labels.values(Kind.DISC, Level.L3)
    disc = model.labels.mask(values)
    kept = binary_erosion(disc, np.ones((3, 9, 3)))
    labels = replace(model.labels, array=np.where(disc & ~kept, 0, model.labels.array))
    record = measured(replace(model, labels=labels))["herniation_type", L34]
    assert record.value is None
    assert "disc_label_short" in record.flags


def test_a_loose_piece_is_a_sequestration() -> None:
    model = spine("fine")
    motion = next(m for m in model.segments if m.segment == L51)
    center = motion.disc.to_ras(np.array([4.0, -20.5, 8.0]))
    points = model.labels.to_ras(np.indices(model.labels.shape).reshape(3, -1).T).reshape(*model.labels.shape, 3)
    ball = np.linalg.norm(points - center, axis=-1) < 2.8
    array = model.labels.array.copy()
    array[ball] = model.labels.values(Kind.DISC, Level.L5)[0]
    found = measured(replace(model, labels=replace(model.labels, array=array)))
    assert found["herniation_type", L51].word == "sequestration"
    assert found["herniation_side", L51].word == "right"


def test_thick_slices_give_a_depth_but_no_name() -> None:
    labels = phantom().labels(phantom().grid((4.8, 0.7, 0.7), margin=3.0))
    found = measured(build_spine(labels))
    for level in (L34, L45):
        named = found["herniation_type", level]
        assert named.value is None
        assert "slices_too_thick_for_type" in named.flags
        assert ("herniation_zone", level) not in found
        depth = found["disc_bulge_depth", level]
        assert depth.value is not None
        assert depth.value > 3.0


def spilled(unlike: float | None, until_mm: float = -60.0) -> str:
    """Zone of what is found at L3-L4 with 7 mm of label beyond its left side, in a scan that changes there or not.

    :param until_mm: where on the left the scan ends.
    """
    model = spine("fine")
    motion = next(m for m in model.segments if m.segment == L34)
    points = model.labels.to_ras(np.indices(model.labels.shape).reshape(3, -1).T)
    place = np.abs(motion.disc.to_frame(points) - np.array([-26.0, -5.0, 0.0])).reshape(*model.labels.shape, 3)
    spill = (place < np.array([7.0, 5.0, 3.0])).all(axis=-1) & (model.labels.array == 0)
    array = model.labels.array.copy()
    array[spill] = model.labels.values(Kind.DISC, Level.L3)[0]
    image = None
    if unlike is not None:
        values = 50.0 + np.random.default_rng(0).normal(0.0, 2.0, array.shape)
        image = Volume(values + unlike * (array == 0), model.labels.ijk_to_ras)
        end = image.to_ijk(motion.disc.to_ras(np.array([until_mm, -5.0, 0.0])))[2]  # the grid's third axis is R
        image = image.crop(np.array([0, 0, max(round(end), 0)]), np.array(image.shape))
    found = measured(replace(model, labels=replace(model.labels, array=array), image=image))
    return found["herniation_zone", L34].word


def test_aside_a_herniation_needs_an_edge_in_the_scan() -> None:
    assert spilled(None) == "extraforaminal"
    assert spilled(60.0) == "extraforaminal"
    assert spilled(0.0) == "subarticular"  # the label ends in muscle of like signal; the herniation on the right stays


def test_nothing_is_named_where_the_scan_ends() -> None:
    assert spilled(60.0, until_mm=-50.0) == "extraforaminal"
    assert spilled(60.0, until_mm=-33.5) == "subarticular"  # half a millimeter beyond the label


def test_crumbs_of_a_label_are_no_fragments() -> None:
    model = spine("fine")
    motion = next(m for m in model.segments if m.segment == L51)
    index = np.rint(model.labels.to_ijk(motion.disc.to_ras(np.array([3.0, -23.0, 3.0])))).astype(int)
    array = model.labels.array.copy()
    array[tuple(slice(i, i + 2) for i in index)] = model.labels.values(Kind.DISC, Level.L5)[0]
    found = measured(replace(model, labels=replace(model.labels, array=array)))
    assert found["herniation_type", L51].word == "none"


def test_beside_the_canal_only_lumbar_discs_herniate() -> None:
    neck = Phantom(SpineSpec.typical(Level.C4, Level.C7))
    labels = neck.labels(neck.grid(1.0, margin=3.0))
    model = build_spine(labels)
    motion = next(m for m in model.segments if m.segment.upper is Level.C5)
    points = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T)
    place = np.abs(motion.disc.to_frame(points) - np.array([12.0, -5.0, 0.0])).reshape(*labels.shape, 3)
    array = labels.array.copy()
    array[(place < np.array([4.0, 3.0, 2.0])).all(axis=-1) & (array == 0)] = labels.values(Kind.DISC, Level.C5)[0]
    found = measured(replace(model, labels=replace(labels, array=array)))
    assert found["herniation_type", motion.segment].word == "none"
