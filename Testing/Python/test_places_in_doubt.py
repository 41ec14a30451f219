"""Grades where the name of a level is in doubt: limits of one part of the spine need that part to be likely."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.labeling.label import Anchor
from SpineAnalysisLib.measurements.cutoffs import LIKELY_PLACE, surely_graded
from SpineAnalysisLib.measurements.flags import NEAR_CUTOFF, PLACE_IN_DOUBT
from SpineAnalysisLib.measurements.record import Measurement, Severity
from SpineAnalysisLib.measurements.registry import cutoffs
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.volume import LabelMap

RealData = Callable[[str], Path]
L3_L4 = Segment(Level.L3, Level.L4)
STENOSIS_RULES = ("bolender_1985", "schoenstroem_1985", "verbiest_1976", "verbiest_1976_by_sac", "edwards_1983",
                   "edwards_1983_by_sac")
"""Rules for the cervical or the lumbar canal."""


def graded(key: str, value: float, *rules: str, flags: tuple[str, ...] = ()) -> Measurement:
    found = [cutoffs()[rule] for rule in rules]
    return Measurement(key, L3_L4, value, "mm", None, 2.0, flags=flags,
                       grades=tuple(rule.grade(value) for rule in found))


def test_every_rule_has_a_name_of_its_own() -> None:
    """By which records are graded anew; pelvic tilt once was by the limits of the sagittal vertical axis."""
    assert {rule.key for rule in cutoffs().values()} >= {"pelvic_tilt", "pi_ll_mismatch", "sagittal_vertical_axis"}


@pytest.mark.parametrize(("lumbar", "kept"), [(LIKELY_PLACE - 0.02, False), (LIKELY_PLACE + 0.02, True)])
def test_limits_of_one_part_of_the_spine_need_it_to_be_likely(lumbar: float, kept: bool) -> None:
    chances = {Level.L3: {Level.L3: lumbar - 0.3, Level.L2: 0.3, Level.T12: 1.0 - lumbar}}
    record = graded("canal_area", 76.0, "bolender_1985", "schoenstroem_1985", flags=(NEAR_CUTOFF,))
    found = surely_graded(record, cutoffs(), chances)
    assert bool(found.grades) is kept
    assert (PLACE_IN_DOUBT in found.flags, NEAR_CUTOFF in found.flags) == (not kept, kept)
    assert (found.value, found.severity) == (76.0, Severity.MODERATE if kept else Severity.NORMAL)


def test_what_holds_anywhere_is_graded_whatever_the_level_is() -> None:
    slip = graded("vertebra_slip", 6.0, "jacobsen_2007")
    assert surely_graded(slip, cutoffs(), {}) is slip
    led = replace(slip, others=(graded("canal_area", 90.0, "bolender_1985"),))
    (other,) = surely_graded(led, cutoffs(), {}).others
    assert (other.flags, other.grades) == ((PLACE_IN_DOUBT,), ()), "what other scans say too"


def counted(labels: LabelMap) -> LabelMap:
    """Three vertebrae with names that only count, from L5 up."""
    names = dict(zip(labels.levels, (Level.L3, Level.L4, Level.L5), strict=True))
    return replace(labels, structures={v: replace(s, level=names[s.level], below=None) if s.level else s
                                       for v, s in labels.structures.items()})


def without_cord(phantom: Phantom) -> LabelMap:
    """At 1.5 mm; where the cord ends would tell the levels."""
    return phantom.labels(phantom.grid(1.5), split=True, cord=False)


def measured(labels: LabelMap, anchors: tuple[Anchor, ...] = ()) -> Analysis:
    return analyze(None, counted(labels), levels_known=False, canal_means="dural sac", anchors=anchors,
                   only=("canal", "vertebra"))


def rules_of(analysis: Analysis, *places: str) -> set[str]:
    """At some places, or anywhere."""
    return {grade.rule for record in analysis.measurements if not places or str(record.level) in places
            for grade in record.grades}


@pytest.fixture(scope="module")
def thoracic() -> Phantom:
    """T11 to L1, the last with a slip above it, and stenosis by the limits of the lumbar canal."""
    joints = {Level.T11: {"narrowing_depth": 0.5, "narrowing_width": 0.3}, Level.T12: {"slip": 7.0}}
    return Phantom(SpineSpec.typical(Level.T11, Level.L1).changed(joints=joints))


def test_a_crop_of_unknown_region_is_graded_by_what_holds_anywhere(thoracic: Phantom) -> None:
    """Named L3 to L5, as nothing tells where to count from."""
    analysis = measured(without_cord(thoracic))
    assert [v.level for v in analysis.spine.vertebrae] == [Level.L3, Level.L4, Level.L5]
    assert not rules_of(analysis).intersection(STENOSIS_RULES)
    assert "jacobsen_2007" in rules_of(analysis), "a slip is one anywhere"
    narrow = analysis.measurement("canal_area", "L3-L4")
    assert narrow is not None
    assert 30.0 < (narrow.value or 0.0) < 100.0
    assert PLACE_IN_DOUBT in narrow.flags
    assert any(said.startswith("L4-L5 (provisional name): anterolisthesis") for said in analysis.findings)
    assert any(said.startswith("Central stenosis was not graded at L3-L4, L4-L5") for said in analysis.findings)
    assert not any("No central stenosis" in said or "no published cut-off" in said for said in analysis.findings)
    (why,) = [said for said in analysis.doubts if said.startswith("Grades by limits for one part")]
    assert re.search(r"L3 thoracic \(\d+%\) or lumbar \(\d+%\)", why)


def test_where_a_vertebra_is_named_everything_is_graded(thoracic: Phantom) -> None:
    place = thoracic.chain.bodies[0].frame.origin
    analysis = measured(without_cord(thoracic), (Anchor(Level.L3, place),))
    assert {"bolender_1985", "schoenstroem_1985", "verbiest_1976_by_sac"} <= rules_of(analysis, "L3-L4")
    assert not any(PLACE_IN_DOUBT in record.flags for record in analysis.measurements)
    right = measured(without_cord(thoracic), (Anchor(Level.T11, place),))
    assert not rules_of(right, "T11", "T12", "T11-T12").intersection(STENOSIS_RULES)


def test_provisional_names_within_one_region_keep_its_limits() -> None:
    """C6 to T1 are named C5 to C7: the upper two are of the neck whichever they are, the last may be of the chest."""
    analysis = measured(without_cord(Phantom(SpineSpec.typical(Level.C6, Level.T1))))
    assert analysis.spine.provisional
    upper, middle, lowest = (str(v.level) for v in analysis.spine.vertebrae)
    assert "edwards_1983_by_sac" in rules_of(analysis, upper) & rules_of(analysis, f"{upper}-{middle}")
    assert not rules_of(analysis, lowest).intersection(STENOSIS_RULES)


def test_a_real_crop_that_could_be_of_two_regions(real_data: RealData) -> None:
    """About three lumbar vertebrae, by their instances alone; the upper ones look more like the end of the chest."""
    files = [real_data(f"tptbox_samples/sub-mri_seg-{what}_label-6_msk.nii.gz") for what in ("vert", "subreg")]
    instances, parts = (read_segmentation(file).volume for file in files)
    assert instances is not None
    given = understand(instances, subregions=parts)
    assert not given.levels_known
    analysis = analyze(None, given.labels, levels_known=False, only=("canal", "vertebra", "foramen"))
    assert not rules_of(analysis, "L3", "L4", "L3-L4", "L4-L5").intersection((*STENOSIS_RULES, "hasegawa_1995"))
    assert "genant_1993" in rules_of(analysis), "for chest and loins alike"
    assert any(said.startswith("Central stenosis was not graded at L3-L4, L4-L5") for said in analysis.findings)
