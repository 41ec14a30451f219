"""Findings by level and what could explain a pain, on records made by hand and on a phantom."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import CanalMeaning, Level, Segment, Side
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.findings import doubts, explain, level_findings, sentences, symptom_of
from SpineAnalysisLib.measurements.record import Grade, Measurement, Severity
from SpineAnalysisLib.measurements.registry import cutoffs
from SpineAnalysisLib.phantoms import Phantom, preset
from SpineAnalysisLib.report.cards import ranked as ranked_places
from SpineAnalysisLib.report.html import render_report
from SpineAnalysisLib.results import write_measurements

LUMBAR = [Level.T12, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5, Level.S1]
CERVICAL = [Level.C4, Level.C5, Level.C6, Level.C7, Level.T1]
L4_L5, L5_S1 = Segment(Level.L4, Level.L5), Segment(Level.L5, Level.S1)
NORMAL, MILD, MODERATE, SEVERE = Severity


def record(key: str, level: Level | Segment, value: float | None, unit: str = "mm", *, side: Side | None = None,
           severity: Severity | None = None, label: str = "narrow", cutoff: str = "< 4 mm", word: str = "",
           uncertainty: float | None = 0.4, flags: tuple[str, ...] = ()) -> Measurement:
    grades = () if severity is None else (Grade(label, cutoff, "Somebody 2001", severity),)
    return Measurement(key, level, value, unit, side, uncertainty, flags=flags, grades=grades, word=word)


def herniation(level: Segment, kind: str, side: str, zone: str, depth: float = 5.0) -> list[Measurement]:
    return [record("herniation_type", level, 2.0, "1", word=kind, severity=MODERATE, label=kind, cutoff="5.0 mm deep"),
            record("herniation_zone", level, 1.0, "1", word=zone),
            record("herniation_side", level, 2.0, "1", word=side), record("disc_bulge_depth", level, depth)]


STENOSIS = record("canal_area", L4_L5, 82.0, "mm2", severity=MODERATE, label="stenosis", cutoff="< 100 mm2",
                  uncertainty=5.0)


def test_a_level_reads_like_a_radiologists_sentence() -> None:
    (found,) = level_findings([STENOSIS, *herniation(L4_L5, "protrusion", "left", "subarticular")])
    assert found.sentence == ("L4-L5: moderate central stenosis, area 82 ± 5 mm² (stenosis, < 100 mm²); left "
                              "subarticular protrusion, 5.0 ± 0.4 mm.")
    assert found.severity is MODERATE


@pytest.mark.parametrize(("kind", "side", "zone", "said"), [
    ("bulge", "central", "central", "central disc bulge, 5.0"),
    ("extrusion", "right", "foraminal", "right foraminal extrusion"),
    ("protrusion", "central", "central", "central protrusion, 5.0"),
    ("protrusion", "left", "central", "left protrusion")])
def test_herniations_are_named_by_side_and_zone(kind: str, side: str, zone: str, said: str) -> None:
    (found,) = level_findings(herniation(L5_S1, kind, side, zone))
    assert found.phrases[0].text.startswith(said)


def test_no_herniation_is_no_finding() -> None:
    assert level_findings([record("herniation_type", L4_L5, 0.0, "1", word="none", severity=NORMAL),
                           record("disc_bulge_depth", L4_L5, 0.6)]) == ()


def test_a_family_that_nobody_has_told_of_appears_by_its_definition() -> None:
    (found,) = level_findings([record("muscle_fat_share", L4_L5, 31.0, "%", side="left", severity=MILD,
                                      label="fatty", cutoff=">= 25 %")])
    assert found.sentence == "L4-L5: left muscle fat share 31.0 ± 0.4 % (fatty, >= 25 %)."


def test_sides_are_said_apart() -> None:
    (found,) = level_findings([
        record("lateral_recess_depth", L4_L5, 2.4, side="right", severity=MODERATE, label="lateral recess stenosis"),
        record("lateral_recess_depth", L4_L5, 5.0, side="left", severity=NORMAL, label="normal"),
        record("foramen_height", L4_L5, 13.0, side="left", severity=MILD, label="narrow foramen", cutoff="< 15 mm")])
    assert [phrase.text for phrase in found.phrases] == [
        "right lateral recess stenosis, 2.4 ± 0.4 mm (< 4 mm)",
        "mild left foraminal stenosis, height 13.0 ± 0.4 mm (narrow foramen, < 15 mm)"]


def test_levels_are_ranked_by_the_worst_and_then_by_all() -> None:
    mild = [record("canal_area", Segment(Level.L2, Level.L3), 120.0, "mm2", severity=MILD)]
    double = [record("canal_area", L5_S1, 120.0, "mm2", severity=MILD),
              record("pfirrmann_grade", L5_S1, 3.0, "1", severity=MILD, word="III")]
    severe = [record("vertebral_height_loss", Level.L1, 45.0, "%", severity=SEVERE, label="Genant grade 3")]
    ranked = level_findings([*mild, *double, *severe, STENOSIS])
    assert [str(each.level) for each in ranked] == ["L1", "L4-L5", "L5-S1", "L2-L3"]
    assert "Pfirrmann III" in ranked[2].sentence


def test_a_certain_stenosis_comes_before_a_borderline_one_and_a_disc_before_a_vertebra() -> None:
    near = [replace(STENOSIS, level=L5_S1, flags=("near_cutoff",)),
            record("pfirrmann_grade", L5_S1, 5.0, "1", severity=MODERATE, word="V")]
    vertebra = record("canal_ap_diameter", Level.L3, 11.0, severity=MODERATE)
    ranked = level_findings([vertebra, *near, STENOSIS])
    assert [each.level for each in ranked] == [L4_L5, Level.L3, L5_S1]
    assert ranked_places([vertebra, *near, STENOSIS]) == [L4_L5, Level.L3, L5_S1], "as the cards"


def test_what_presses_comes_before_mere_wear() -> None:
    """A collapsed disc is a severe grade as well, and yet not the first that a reader needs."""
    worn = [record("pfirrmann_grade", L5_S1, 5.0, "1", severity=SEVERE, word="V")]
    narrow = record("canal_area", L4_L5, 64.0, "mm2", severity=SEVERE, flags=("near_cutoff",))
    assert [each.level for each in level_findings([*worn, narrow])] == [L4_L5, L5_S1]
    (found,) = level_findings([*worn, replace(narrow, level=L5_S1)])
    assert found.sentence.startswith("L5-S1: borderline severe central stenosis")


def test_where_more_numbers_say_so_it_is_worse() -> None:
    upper = Segment(Level.L2, Level.L3)
    both = [record("canal_area", L4_L5, 31.0, "mm2", severity=SEVERE),
            record("canal_ap_diameter", L4_L5, 5.2, severity=SEVERE)]
    one = [record("canal_ap_diameter", upper, 8.9, severity=SEVERE),
           record("canal_area", upper, 129.0, "mm2", severity=MILD),
           record("pfirrmann_grade", upper, 4.0, "1", severity=MODERATE, word="IV")]
    assert [each.level for each in level_findings([*one, *both])] == [L4_L5, upper]


def test_what_makes_a_stenosis_severe_is_said_first() -> None:
    (found,) = level_findings([replace(STENOSIS, grades=(Grade("early stenosis", "100-130 mm2", "A 1985", MILD),)),
                               record("canal_ap_diameter", L4_L5, 8.3, severity=SEVERE, label="absolute stenosis",
                                      cutoff="< 10 mm")])
    assert found.sentence.startswith("L4-L5: severe central stenosis, AP diameter 8.3 ± 0.4 mm (absolute stenosis")


def test_a_broken_outline_is_only_a_possible_stenosis() -> None:
    broken = replace(STENOSIS, level=L5_S1, flags=("outline_breaks_up",))
    first, second = level_findings([broken, STENOSIS])
    assert first.level == L4_L5, "what is certain comes first"
    assert second.sentence.startswith("L5-S1: possible moderate central stenosis, area 82")


def test_the_scan_that_leads_is_named() -> None:
    led = replace(STENOSIS, scan="T2 axial 3", others=(replace(STENOSIS, scan="T2 sagittal"),))
    assert level_findings([led])[0].sentence.startswith("L4-L5: moderate central stenosis on T2 axial 3, area 82")


def test_names_of_people_keep_their_capital() -> None:
    (found,) = level_findings([record("torg_pavlov_ratio", Level.C4, 0.6, "1", severity=MILD, label="stenosis")])
    assert found.sentence.startswith("C4: Torg-Pavlov ratio 0.60")


def test_a_disc_beside_the_canal_takes_no_share_of_it() -> None:
    taken = record("herniation_canal_fraction", L4_L5, 14.0, "%", severity=MILD, label="mild")
    for zone, said in (("foraminal", False), ("subarticular", True)):
        (found,) = level_findings([*herniation(L4_L5, "protrusion", "right", zone), taken])
        assert ("of the canal" in found.sentence) is said


def test_near_a_cutoff_is_said() -> None:
    (found,) = level_findings([record("vertebra_slip", L4_L5, -3.1, severity=MILD, flags=("near_cutoff",)),
                               record("vertebra_slip_percent", L4_L5, -9.0, "%", severity=MILD,
                                      label="Meyerding grade I")])
    assert found.sentence == "L4-L5: borderline retrolisthesis of 3.1 ± 0.4 mm, 9 ± 0 % (Meyerding grade I)."


@pytest.mark.parametrize("name", ["ciric_1980", "hasegawa_1995"])
def test_lumbar_limits_grade_no_chest(name: str) -> None:
    rule = cutoffs()[name]
    assert rule.applies(L4_L5, "", False)
    assert not rule.applies(Segment(Level.T12, Level.L1), "", False)


@pytest.mark.parametrize(("level", "meaning", "severities"), [
    (L4_L5, "bony canal", (SEVERE, MODERATE)), (L4_L5, "", (SEVERE, MODERATE)), (L4_L5, "dural sac", (MILD, MILD)),
    (Level.C5, "bony canal", (SEVERE, MODERATE)), (Level.C5, "dural sac", (MODERATE, MILD))])
def test_the_bony_limit_alone_calls_no_sac_severe(level: Level | Segment, meaning: CanalMeaning,
                                                  severities: tuple[Severity, Severity]) -> None:
    (rule,) = (rule for rule in cutoffs().values() if rule.key == "canal_ap_diameter" and len(rule.bands) == 2
               and rule.applies(level, meaning, False))
    assert (rule.grade(9.5).severity, rule.grade(11.0).severity) == severities
    assert rule.grade(9.5).cutoff == "< 10 mm"
    assert rule.grade(13.0).severity is NORMAL


def test_a_ratio_of_bones_grades_no_dural_sac() -> None:
    rule = cutoffs()["pavlov_1987"]
    assert rule.applies(Level.C5, "bony canal", False)
    assert not rule.applies(Level.C5, "dural sac", False)


# --- pain

@pytest.mark.parametrize(("text", "root", "sides"), [
    ("L5 left", "L5", ("left",)), ("right c6", "C6", ("right",)), ("C8, both", "C8", ("left", "right")),
    ("S1 bilateral", "S1", ("left", "right"))])
def test_dermatomes_are_read(text: str, root: str, sides: Sequence[Side]) -> None:
    assert (symptom_of(text).root, symptom_of(text).sides) == (root, sides)


@pytest.mark.parametrize("text", ["L5", "left", "L7 left", "C1 left", "C9 right", "L5 L4 left", "leg pain left",
                                  "S3 left"])
def test_what_is_no_dermatome_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"write it as in 'L5 left'"):
        symptom_of(text)


PLACES = {  # what could explain each: anatomy, not this program's output
    "L5 left": {"L5-S1 left foraminal", "L4-L5 left subarticular or lateral recess", "L4-L5 central"},
    "L4 right": {"L4-L5 right foraminal", "L3-L4 right subarticular or lateral recess", "L3-L4 central"},
    "S1 left": {"L5-S1 left subarticular or lateral recess", "L5-S1 central"},
}


@pytest.mark.parametrize("text", list(PLACES))
def test_lumbar_roots_leave_below_and_cross_above(text: str) -> None:
    assert {each.place for each in explain(symptom_of(text), LUMBAR, [])} == PLACES[text]


@pytest.mark.parametrize(("text", "place"), [("C6 left", "C5-C6 left foraminal"), ("C8 right", "C7-T1 right foraminal"),
                                             ("C5 left", "C4-C5 left foraminal")])
def test_cervical_roots_leave_above_their_vertebra(text: str, place: str) -> None:
    assert [each.place for each in explain(symptom_of(text), CERVICAL, [])] == [place]


def test_six_lumbar_vertebrae_have_their_own_course() -> None:
    six = [Level.L4, Level.L5, Level.L6, Level.S1]
    assert {e.place for e in explain(symptom_of("L5 left"), six, [])} == {
        "L5-L6 left foraminal", "L4-L5 left subarticular or lateral recess", "L4-L5 central"}
    assert "L6-S1 left subarticular or lateral recess" in {e.place for e in explain(symptom_of("S1 left"), six, [])}


def test_nothing_in_view_explains_nothing() -> None:
    assert explain(symptom_of("L5 left"), CERVICAL, []) == ()


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_painful_side_is_the_one_that_is_judged(side: Side) -> None:
    """Both sides are narrow somewhere; only those of the painful side are evidence."""
    other: Side = "right" if side == "left" else "left"
    records = [*herniation(L4_L5, "protrusion", side, "subarticular"),
               record("lateral_recess_depth", L4_L5, 2.1, side=side, severity=MODERATE, label="recess stenosis"),
               record("lateral_recess_depth", L4_L5, 2.9, side=other, severity=MODERATE, label="recess stenosis"),
               record("foramen_height", L5_S1, 18.0, side=side, severity=NORMAL, label="normal", cutoff=">= 15 mm"),
               record("foramen_height", L5_S1, 9.0, side=other, severity=SEVERE),
               record("foramen_width", L5_S1, None, side=side, uncertainty=None, flags=("not_in_view",))]
    best, *others = explain(symptom_of(f"L5 {side}"), LUMBAR, records)
    assert best.place == f"L4-L5 {side} subarticular or lateral recess"
    assert any("2.1" in text for text in best.evidence)
    assert any(f"{side} subarticular protrusion" in text for text in best.evidence)
    assert "2.9" not in best.sentence
    exit_ = next(each for each in others if each.level == L5_S1)
    assert (exit_.evidence, exit_.supported) == ((), False)
    assert exit_.against == ("foramen height 18.0 ± 0.4 mm (normal, >= 15 mm)",)
    assert {"foramen width", "herniation"} <= set(exit_.missing)
    assert "9.0" not in exit_.sentence
    silent = explain(symptom_of(f"L5 {other}"), LUMBAR, herniation(L4_L5, "protrusion", side, "subarticular"))
    assert not any(each.supported for each in silent)


def test_a_foraminal_herniation_presses_the_root_that_leaves() -> None:
    records = herniation(L4_L5, "extrusion", "left", "extraforaminal")
    assert explain(symptom_of("L4 left"), LUMBAR, records)[0].place == "L4-L5 left foraminal"
    assert not any(each.supported for each in explain(symptom_of("L5 left"), LUMBAR, records))


# --- all the way

@pytest.fixture(scope="module")
def narrow() -> Phantom:
    """L4-L5 as in the stenotic lumbar spine, and little more."""
    whole = preset("stenotic_lumbar").spec
    kept = [v.level for v in whole.vertebrae].index(Level.L4)
    return Phantom(replace(whole, vertebrae=whole.vertebrae[kept:], joints=whole.joints[kept:]))


@pytest.fixture(scope="module")
def analysis(narrow: Phantom) -> Analysis:
    return analyze(None, narrow.labels(narrow.grid(1.5)), symptom="L5 left", levels_known=False)


def test_an_analysis_explains_and_ranks(analysis: Analysis) -> None:
    assert analysis.levels[0].level == L4_L5
    assert analysis.levels[0].severity is SEVERE
    central = analysis.explanations[0]
    assert (central.place, central.supported) == ("L4-L5 central", True)
    assert "central stenosis" in central.sentence
    assert analysis.provenance["symptom"] == "L5 left"


def test_provisional_levels_lead_the_summary(analysis: Analysis) -> None:
    assert not analysis.spine.provisional, "the sacrum is in view"
    first = sentences(replace(analysis.spine, provisional=True), analysis.measurements)[0]
    assert first.startswith("Levels are provisional and may be off by one or more")
    assert "severe L4-L5" in first


def test_files_and_report_tell_the_same(analysis: Analysis, tmp_path: Path) -> None:
    write_measurements(analysis, tmp_path)
    content = json.loads((tmp_path / "measurements.json").read_text("utf-8"))
    assert content["levels"][0]["level"] == "L4-L5"
    assert content["explanations"][0]["evidence"] == list(analysis.explanations[0].evidence)
    page = render_report(analysis)
    assert "What could explain pain of L5 left" in page
    assert "L5-S1 left foraminal" in page


def test_whose_limits_ap_diameters_are_graded_by_is_said(analysis: Analysis) -> None:
    spine = analysis.spine
    assert spine.canal is not None
    meanings: tuple[CanalMeaning, ...] = ("dural sac", "bony canal")
    said = {meaning: doubts(replace(spine, canal=replace(spine.canal, meaning=meaning)), ("another",),
                            analysis.measurements)
            for meaning in meanings}
    assert said["bony canal"] == said["dural sac"][:-1], "the gravest come first"
    assert "AP diameters are of the dural sac" in said["dural sac"][-1]
