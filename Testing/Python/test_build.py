"""From label maps to the spine's model: which levels, which segments, and what is derived."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import CanalMeaning, Kind, Level, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.geometry.frames import angle_deg, reject
from SpineAnalysisLib.labeling.variants import unusual
from SpineAnalysisLib.measurements import canal
from SpineAnalysisLib.measurements.flags import AP_CUTOFF
from SpineAnalysisLib.phantoms import Phantom, SpineSpec, preset
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import LabelMap

USUAL = (Level.T13, Level.L6)
"""Levels that most people do not have."""


def phantom_of(upper: Level, lower: Level, omit: tuple[Level, ...] = USUAL) -> Phantom:
    return Phantom(SpineSpec.typical(upper, lower, omit))


def labels_of(phantom: Phantom, spacing: float = 1.5, **what: bool) -> LabelMap:
    return phantom.labels(phantom.grid(spacing).shifted((0.3, 0.2, 0.4)), **what)


def without(labels: LabelMap, level: Level) -> LabelMap:
    """Without the bone of a vertebra."""
    gone = [v for v, s in labels.structures.items() if s.kind.is_bone and s.level == level]
    array = np.where(np.isin(labels.array, gone), 0, labels.array)
    return replace(labels, array=array, structures={v: s for v, s in labels.structures.items() if v not in gone})


def names(items: Iterable[object]) -> list[str]:
    return [str(item) for item in items]


def dice(a: NDArray, b: NDArray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def lumbar() -> Phantom:
    return phantom_of(Level.L1, Level.S1)


@pytest.fixture(scope="module")
def small() -> LabelMap:
    """Three lumbar vertebrae, coarsely."""
    return labels_of(phantom_of(Level.L3, Level.L5))


@pytest.fixture(scope="module")
def lumbar_spine(lumbar: Phantom) -> Spine:
    return build_spine(labels_of(lumbar, 1.0))


# --- levels

@pytest.mark.parametrize(("upper", "lower", "omit", "expected"), [
    (Level.T11, Level.L2, (Level.L6,), ["T11-T12", "T12-T13", "T13-L1", "L1-L2"]),
    (Level.L4, Level.S1, (Level.T13,), ["L4-L5", "L5-L6", "L6-S1"]),
    (Level.T10, Level.L1, (*USUAL, Level.T12), ["T10-T11", "T11-L1"]),
    (Level.L3, Level.S1, (*USUAL, Level.L5), ["L3-L4", "L4-S1"]),
], ids=["thirteenth thoracic", "sixth lumbar", "no twelfth thoracic", "sacralized fifth lumbar"])
def test_numeric_variants(upper: Level, lower: Level, omit: tuple[Level, ...], expected: list[str]) -> None:
    phantom = phantom_of(upper, lower, omit)
    spine = build_spine(labels_of(phantom))
    assert names(m.segment for m in spine.segments) == expected
    assert names(v.level for v in spine.vertebrae) == names(phantom.spec.levels)
    assert not spine.notes
    discs = {(s.level, s.below) for s in spine.labels.structures.values() if s.kind is Kind.DISC}
    assert discs == {(m.segment.upper, m.segment.lower) for m in spine.segments}


@pytest.mark.parametrize(("upper", "gone", "lower", "expected"), [
    (Level.L1, Level.L3, Level.L5, ["L1-L2", "L4-L5"]),
    (Level.T10, Level.T12, Level.L1, ["T10-T11"]),  # T11 and L1 could be neighbors, were they not so far apart
], ids=["L3", "T12"])
def test_skipped_vertebra_makes_no_segment(upper: Level, gone: Level, lower: Level, expected: list[str]) -> None:
    spine = build_spine(without(labels_of(phantom_of(upper, lower)), gone))
    assert names(m.segment for m in spine.segments) == expected
    assert spine.vertebra(gone) is None


# --- geometry of the model

def test_frames_planes_and_crossings(lumbar: Phantom, lumbar_spine: Spine) -> None:
    for body in lumbar.chain.bodies:
        vertebra = lumbar_spine.vertebra(body.spec.level)
        assert vertebra is not None
        sacrum = body.spec.level is Level.S1  # whose frame is that of its superior endplate alone
        exact = body.endplate(1) if sacrum else body.frame
        assert angle_deg(vertebra.frame.superior, exact.superior) < 2.0
        assert angle_deg(vertebra.frame.anterior, exact.anterior) < 2.0
        assert np.linalg.norm(vertebra.frame.to_frame(body.frame.origin)) < (5.0 if sacrum else 2.5)
        assert vertebra.superior_endplate is not None
        assert angle_deg(vertebra.superior_endplate.normal, body.endplate(1).superior) < 2.0
        assert (vertebra.inferior_endplate is None) == sacrum
        s = lumbar.canal.position(body.pedicle_plane)
        place = lumbar.canal.at(lumbar.canal.points, s)
        assert vertebra.canal_s is not None
        assert abs(vertebra.canal_s - lumbar_spine.centerline.project(place)) < (2.5 if sacrum else 0.5)
        if not sacrum:
            assert vertebra.body_ap_mm == pytest.approx(body.ap_mm, abs=1.0)
            assert abs(body.pedicle_plane.distance(vertebra.pedicle_RAS)) < 0.7


def test_disc_planes(lumbar: Phantom, lumbar_spine: Spine) -> None:
    for joint, motion in zip(lumbar.chain.joints, lumbar_spine.segments, strict=True):
        assert motion.segment == joint.segment
        assert angle_deg(motion.disc.superior, joint.frame.superior) < 1.5
        assert angle_deg(motion.disc.anterior, joint.frame.anterior) < 1.5
        assert abs(joint.frame.plane.distance(motion.disc.origin)) < 0.6
        assert motion.height_mm == pytest.approx(joint.height, abs=1.8)
        place = lumbar.canal.at(lumbar.canal.points, lumbar.canal.position(joint.frame.plane))
        assert motion.canal_s is not None
        assert abs(motion.canal_s - lumbar_spine.centerline.project(place)) < 0.6


def test_centerline_and_tubes(lumbar: Phantom, lumbar_spine: Spine) -> None:
    canal, line = lumbar.canal, lumbar_spine.centerline
    inner = canal.points[(canal.s > 15) & (canal.s < canal.s[-1] - 15)][::40]
    assert np.linalg.norm(line.position(line.project(inner)) - inner, axis=1).max() < 0.6
    tangents = canal.tangents[(canal.s > 15) & (canal.s < canal.s[-1] - 15)][::40]
    tilts = [angle_deg(a, b) for a, b in zip(line.tangent(line.project(inner)), tangents, strict=True)]
    assert max(tilts) < 3.0
    tube = lumbar_spine.canal
    assert tube is not None
    assert not tube.derived
    assert (np.diff(tube.s) == 0.5).all()
    assert tube.complete.mean() > 0.85
    assert np.isnan(tube.area[~tube.complete]).all()
    for i in np.flatnonzero(tube.complete)[::25]:
        section = tube.sections[i]
        assert section is not None
        assert angle_deg(section.frame.superior, -line.tangent(tube.s[i])) < 0.01
        forward = reject(lumbar_spine.anterior(tube.s[i]), section.frame.superior)
        assert angle_deg(section.frame.anterior, forward) < 0.5
    cord = lumbar_spine.cord
    assert cord is not None
    assert cord.complete[: len(cord.s) // 4].any()
    assert not cord.complete[len(cord.s) // 2:].any()  # it ends at L1


def test_bodies_and_arches_or_whole_vertebrae(lumbar: Phantom, lumbar_spine: Spine) -> None:
    """Where bodies are not labeled apart they are found, in the same place."""
    split = build_spine(labels_of(lumbar, 1.0, split=True))
    for one, other in zip(split.vertebrae[:-1], lumbar_spine.vertebrae[:-1], strict=True):
        assert one.level is other.level
        assert angle_deg(one.frame.superior, other.frame.superior) < 1.0
        assert np.linalg.norm(one.frame.origin - other.frame.origin) < 1.5
        assert one.canal_s == pytest.approx(other.canal_s, abs=0.5)


# --- what is derived

def test_derived_discs_lie_between_the_endplates(lumbar: Phantom) -> None:
    segmented = labels_of(lumbar, 1.0)
    spine = build_spine(labels_of(lumbar, 1.0, discs=False))
    values = spine.labels.values(Kind.DISC)
    assert len(values) == 5
    for value in values:
        structure = spine.labels.structures[value]
        assert spine.labels.is_derived([value])
        mask = spine.labels.array == value
        (truth,) = segmented.values(Kind.DISC, structure.level)
        assert dice(mask, segmented.array == truth) > (0.88 if structure.below is Level.S1 else 0.92)
        assert segmented.structures[truth].below == structure.below
    bone = segmented.mask(segmented.values(Kind.VERTEBRA))
    assert not (spine.labels.mask(values) & bone).any()  # nothing labeled is overwritten
    np.testing.assert_array_equal(spine.labels.array[bone], segmented.array[bone])


def test_labeled_discs_are_kept(small: LabelMap) -> None:
    (value,) = small.values(Kind.DISC, Level.L3)
    spine = build_spine(replace(small, structures={v: s for v, s in small.structures.items()
                                                   if s.kind is not Kind.DISC or v == value}))
    discs = spine.labels.values(Kind.DISC)
    assert [spine.labels.is_derived([v]) for v in discs] == [False, True]
    np.testing.assert_array_equal(spine.labels.array == value, small.array == value)


def test_derived_canal(lumbar: Phantom, lumbar_spine: Spine) -> None:
    spine = build_spine(labels_of(lumbar, 1.0, canal=False, cord=False))
    assert spine.canal is not None
    assert spine.canal.derived
    assert spine.canal_meaning == "bony canal"
    assert spine.cord is None
    derived = spine.labels.mask(spine.labels.values(Kind.CANAL))
    segmented = lumbar_spine.labels.mask(lumbar_spine.labels.values((Kind.CANAL, Kind.CORD)))
    inner = np.zeros_like(derived)
    slices = np.flatnonzero(derived.any(axis=(0, 1)))
    inner[:, :, slices[5]:slices[-5]] = True
    assert dice(derived & inner, segmented & inner) > 0.95
    for vertebra, exact in zip(spine.vertebrae[:-1], lumbar_spine.vertebrae[:-1], strict=True):
        assert angle_deg(vertebra.frame.superior, exact.frame.superior) < 1.5
        assert np.linalg.norm(vertebra.pedicle_RAS - exact.pedicle_RAS) < 1.5


def test_canal_content_guides_but_is_not_measured(small: LabelMap) -> None:
    """A label that follows the canal without saying what of it is replaced by the derived canal."""
    content = {v: Structure(Kind.CANAL_CONTENT) if s.kind is Kind.CANAL else s for v, s in small.structures.items()}
    spine = build_spine(replace(small, structures=content))
    assert spine.canal is not None
    assert spine.canal.derived
    assert not spine.labels.values(Kind.CANAL_CONTENT)


@pytest.mark.parametrize(("kind", "told", "meaning"), [
    (Kind.CANAL, "", ""), (Kind.CANAL, "bony canal", "bony canal"), (Kind.DURAL_SAC, "", "dural sac")])
def test_what_the_canal_means(small: LabelMap, kind: Kind, told: CanalMeaning, meaning: str) -> None:
    renamed = {v: Structure(kind) if s.kind is Kind.CANAL else s for v, s in small.structures.items()}
    assert build_spine(replace(small, structures=renamed), canal_means=told).canal_meaning == meaning


# --- other inputs

@pytest.mark.parametrize(("told", "flagged"), [("dural sac", True), ("bony canal", False), ("", True)])
def test_cutoffs_of_the_bony_canal_say_so_on_a_dural_sac(small: LabelMap, told: CanalMeaning, flagged: bool) -> None:
    found = canal.compute(build_spine(small, canal_means=told), {}, silent).measurements
    diameters = [m for m in found if m.key == "canal_ap_diameter"]
    assert diameters
    assert all(m.grades and m.grade is not None and "Verbiest" in m.grade.source for m in diameters)
    assert all((AP_CUTOFF in m.flags) is flagged for m in diameters)


def cord_by_levels(phantom: Phantom) -> LabelMap:
    """The cord alone, labeled by the vertebra beside it, as the Spinal Cord Toolbox does."""
    labels = labels_of(phantom, 1.0)
    (cord,) = labels.values(Kind.CORD)
    index = np.argwhere(labels.array == cord)
    borders = [joint.frame.plane for joint in phantom.chain.joints]
    row = np.sum([plane.distance(labels.to_ras(index)) < 0 for plane in borders], axis=0)
    array = np.zeros(labels.shape, np.uint8)
    array[tuple(index.T)] = row + 1
    structures = {i: Structure(Kind.CORD, level) for i, level in enumerate(phantom.spec.levels, 1)}
    return LabelMap(array, labels.ijk_to_ras, structures=structures)


def test_cord_labeled_by_levels() -> None:
    phantom = preset("cervical")
    spine = build_spine(cord_by_levels(phantom))
    assert names(v.level for v in spine.vertebrae) == names(phantom.spec.levels)
    assert spine.canal is None
    assert spine.cord is not None
    assert all({"vertebra_from_cord_label", "orientation_from_scanner"} <= set(v.flags) for v in spine.vertebrae)
    assert unusual(spine) == (), "labels of a cord that touch are no fused vertebrae"
    for joint, motion in zip(phantom.chain.joints, spine.segments, strict=True):
        assert motion.canal_s is not None
        i = spine.cord.nearest(motion.canal_s)
        exact = phantom.canal.position(joint.frame.plane)
        area = phantom.canal.at(np.pi / 4 * phantom.canal.cord_width * phantom.canal.cord_depth, exact)
        assert spine.cord.area[i] == pytest.approx(area, rel=0.08)
        assert np.linalg.norm(spine.centerline.position(motion.canal_s)
                              - phantom.canal.at(phantom.canal.points, exact)) < 1.5


@pytest.mark.parametrize("end", ["upper", "lower"])
def test_partly_visible_end_vertebra(lumbar: Phantom, end: str) -> None:
    """A vertebra that the scan cuts is flagged or left out with a note, and does not bend its neighbors."""
    labels = labels_of(lumbar)
    level = Level.L1 if end == "upper" else Level.L5
    body = next(b for b in lumbar.chain.bodies if b.spec.level == level)
    cut = int(labels.to_ijk(body.frame.origin)[2])
    window = labels.crop((0, 0, 0), (*labels.shape[:2], cut)) if end == "upper" else \
        labels.crop((0, 0, cut), labels.shape)
    seen = set(np.unique(window.array))
    spine = build_spine(replace(window, structures={v: s for v, s in labels.structures.items() if v in seen}))
    vertebra = spine.vertebra(level)
    name = "superior" if end == "upper" else "inferior"
    if vertebra is None:
        assert any(str(level) in note for note in spine.notes)
    else:
        assert f"{name}_endplate_not_in_view" in vertebra.flags
        assert getattr(vertebra, f"{name}_endplate") is None
    whole = Level.L3
    found, exact = spine.vertebra(whole), next(b for b in lumbar.chain.bodies if b.spec.level == whole)
    assert found is not None
    assert angle_deg(found.frame.superior, exact.frame.superior) < 1.5


def test_a_crumb_of_a_label_is_no_vertebra() -> None:
    """An engine's vertebra in the worn disc above the sacrum, which is found from the body above it all the same."""
    phantom = phantom_of(Level.L2, Level.S1, (*USUAL, Level.L5))
    labels = labels_of(phantom)
    disc = next(v for v, s in labels.structures.items() if s.kind is Kind.DISC and s.level is Level.L4)
    index = np.argwhere(labels.array == disc)
    near = np.linalg.norm(labels.to_ras(index) - phantom.chain.joints[-1].frame.origin, axis=1) < 12.0
    crumb = max(labels.structures) + 1
    array = labels.array.copy()
    array[tuple(index[near].T)] = crumb
    spine = build_spine(replace(labels, array=array, structures={
        **labels.structures, crumb: Structure(Kind.VERTEBRA, Level.L5)}))
    assert names(v.level for v in spine.vertebrae) == ["L2", "L3", "L4", "S1"]
    assert names(m.segment for m in spine.segments) == ["L2-L3", "L3-L4", "L4-S1"]
    assert any("L5 could not be measured" in note for note in spine.notes)


def test_other_organs_are_ignored(small: LabelMap) -> None:
    """Labels that are no part of the spine change nothing, wherever they lie; and the input is left as it was."""
    array = small.array.copy()
    free = array == 0
    array[free] = np.random.default_rng(1).choice([0, 60_000, 60_001], size=int(free.sum()))
    before = array.copy()
    with_organs, alone = build_spine(replace(small, array=array)), build_spine(small)
    for one, other in zip(with_organs.vertebrae, alone.vertebrae, strict=True):
        np.testing.assert_array_equal(one.frame.matrix, other.frame.matrix)
    assert with_organs.canal is not None
    assert alone.canal is not None
    np.testing.assert_array_equal(with_organs.canal.area, alone.canal.area)
    np.testing.assert_array_equal(array, before)


def test_upside_down_and_turned_patient() -> None:
    """Directions come from the levels, not from the scanner."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [170, 8, 95], degrees=True).as_matrix()
    phantom = Phantom(SpineSpec.typical(Level.L2, Level.L5).changed(pose=pose))
    spine = build_spine(labels_of(phantom))
    for body, vertebra in zip(phantom.chain.bodies, spine.vertebrae, strict=True):
        assert angle_deg(vertebra.frame.superior, body.frame.superior) < 2.5
        assert angle_deg(vertebra.frame.right, body.frame.right) < 2.5
