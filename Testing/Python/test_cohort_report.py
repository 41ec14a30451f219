"""The table and the report of a cohort, against numbers worked out otherwise."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from scipy.stats import spearmanr

from SpineAnalysisLib.cohort.figures import _DIFFERENT, _ORDERED, _groups, _of_group
from SpineAnalysisLib.cohort.numbers import Correlation, Share, level_of, measures, quality_shares
from SpineAnalysisLib.cohort.page import write_group
from SpineAnalysisLib.cohort.place import Place, Record
from SpineAnalysisLib.cohort.rows import columns, result_of
from SpineAnalysisLib.cohort.study import Cohort, Person, Study
from SpineAnalysisLib.measurements.registry import cutoffs, definitions

VALUES = [95.0, 120.0, 125.0, 128.0, 140.0, 141.0, 150.0, 155.0, 160.0, 171.0, 180.0, 900.0]
"""Of the area of the canal at L4-L5: one below 100, three from there to 130, and the last cannot be."""


def record(value: float | None, key: str = "canal_area", level: str | None = "L4-L5", **more: Any) -> dict[str, Any]:
    rule = cutoffs()["sosort_2016" if key == "cobb_angle" else "bolender_1985"]
    graded = key == "cobb_angle" or (key == "canal_area" and level == "L4-L5")
    return {"key": key, "level": level, "side": None, "value": value, "word": None, "unit": definitions()[key].unit,
            "uncertainty": 4.0, "quality": "good", "flags": [], "scan": None,
            "grade": rule.grade(value).as_dict() if graded and value is not None else None, **more}


def leave(place: Place, study: Study, records: list[dict[str, Any]], *, contrast: str = "T2",
          provisional: bool = False, certainty: str = "certain") -> None:
    """A study's results."""
    content = {"records": records, "doubts": ["Levels <in> doubt."],
               "provenance": {"contrast": contrast, "version": "9", "engine": {"engine": "builtin"},
                              "levels": {"provisional": provisional, "named_by": "anatomy",
                                         "anatomy": {"certainty": certainty}}}}
    with place.work_folder(study) as folder:
        (folder / "made").mkdir()
        (folder / "made" / f"{study.stem}_desc-spine_measurements.json").write_text(json.dumps(content), "utf-8")
        place.publish(study, folder / "made", "key")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    people = [Study(f"{i:02d}", person=Person(30.0 + 2 * i, "female" if i % 3 else "male"), stem=f"sub-{i:02d}")
              for i in range(len(VALUES))]
    return Cohort((*people, Study("00", "later", stem="sub-00_ses-later"), Study("20", stem="sub-20"),
                   Study("21", stem="sub-21"), Study("22", stem="sub-22"), Study("23", stem="sub-23")))


@pytest.fixture(scope="module")
def place(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("cohort") / "out")
    place.open()
    *people, later, ct, provisional, failed, _waiting = cohort.studies
    for study, value in zip(people, VALUES, strict=True):
        leave(place, study, [record(value), record(2.0, "pfirrmann_grade", word="II"),
                             record(None, "canal_ap_diameter", flags=["canal_not_labeled"], quality="poor"),
                             record(20.0 + value / 100, "cobb_angle", f"T{int(value) % 5 + 4}-L2")])
    leave(place, later, [record(1.0)])
    leave(place, ct, [record(333.0), record(5000.0, quality="poor", level="L3-L4")], contrast="CT",
          certainty="doubtful")
    leave(place, provisional, [record(2.0, flags=["level_provisional"], quality="limited")], provisional=True)
    place.record(failed, Record("", "failed", "It <crashed>.", "sub-22"))
    leave(place, Study("99", stem="sub-99"), [record(3.0)])
    write_group(cohort, place)
    return place


def test_the_table_has_every_measurement_of_the_input(place: Place) -> None:
    with (place.root / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = pyarrow.parquet.read_table(place.root / "measurements.parquet")
    named = [c.name for c in columns()]
    assert list(rows[0]) == table.column_names == named == list(
        json.loads((place.root / "columns.json").read_text("utf-8")))
    assert len(rows) == table.num_rows == 4 * len(VALUES) + 1 + 2 + 1
    assert str(table.schema.field("value").type) == "double"
    assert table.schema.field("value").metadata[b"description"]
    areas = [row for row in rows if row["key"] == "canal_area" and row["modality"] == "MR"]
    assert [float(row["value"]) for row in areas][:12] == VALUES
    first = areas[0]
    assert (first["participant_id"], first["session_id"], first["age"], first["sex"]) == ("sub-00", "", "30.0", "male")
    assert (first["grade"], first["segmentation"]) == ("stenosis", "builtin")
    assert {row["value"] for row in table.to_pylist() if row["key"] == "canal_ap_diameter"} == {None}
    assert not any("sub-99" in str(row) for row in rows), "it is not in the input"


def test_distributions_take_one_good_value_of_each_participant(place: Place, cohort: Cohort) -> None:
    results = [result for study in cohort.studies if (result := result_of(study, place)) is not None]
    found = {(m.definition.key, m.modality): m for m in measures(results)}
    assert set(found) == {("canal_area", "MR"), ("canal_area", "CT"), ("pfirrmann_grade", "MR"), ("cobb_angle", "MR")}
    (cell,) = found["canal_area", "MR"].cells
    assert cell.values.tolist() == VALUES, "no second session, no provisional level, no other modality"
    assert cell.rule is cutoffs()["bolender_1985"]
    assert cell.beyond == Share.wilson(4, 12)
    assert cell.uncertainty == 4.0
    assert [c.level for c in found["canal_area", "CT"].cells] == ["L4-L5"], "what is poor does not count"
    (outlier,) = cell.outliers()
    assert outlier.row["participant_id"] == "sub-11"
    deviations = np.abs(np.array(VALUES) - 145.5)
    assert outlier.score == pytest.approx((900 - 145.5) / (1.4826 * np.median(deviations)))
    assert [c.level for c in found["cobb_angle", "MR"].cells] == ["largest curve"]
    assert found["cobb_angle", "MR"].cells[0].rule is cutoffs()["sosort_2016"]
    assert quality_shares(results[0].rows) == {"good": 0.75, "limited": 0.0, "poor": 0.0, "missing": 0.25}


def test_nobody_is_left_out_of_a_figure(place: Place, cohort: Cohort) -> None:
    results = [result for study in cohort.studies if (result := result_of(study, place)) is not None]
    everybody = next(m for m in measures(results) if (m.definition.key, m.modality) == ("canal_area", "MR"))
    (cell,) = everybody.cells
    assert _groups(everybody) == ["female", "male"]
    rows = (*cell.rows[:-2], {**cell.rows[-2], "sex": None}, {**cell.rows[-1], "sex": "other"})
    some = replace(everybody, cells=(replace(cell, rows=rows),))
    drawn = [_of_group(some.cells[0], group) for group in _groups(some)]
    assert sorted(np.concatenate(drawn)) == sorted(VALUES)
    assert len(drawn) == 3
    words = {d.key for d in definitions().values() if d.words}
    assert max(len(definitions()[key].words) for key in words - _ORDERED) <= len(_DIFFERENT)
    assert words >= _ORDERED


def test_statistics_are_the_published_ones() -> None:
    # Newcombe, Stat Med 1998;17:857-872, Table I: 81 of 263 and 0 of 20 by Wilson's method.
    assert (Share.wilson(81, 263).low, Share.wilson(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (Share.wilson(0, 20).low, Share.wilson(0, 20).high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (2, 40)).astype(float)
    found = Correlation.spearman(x, y)
    assert found is not None
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high
    assert Correlation.spearman(x[:9], y[:9]) is None
    assert Correlation.spearman(np.ones(20), y[:20]) is None
    perfect = Correlation.spearman(np.arange(12.0), np.arange(12.0))
    assert perfect is not None
    assert (perfect.rho, perfect.high) == (pytest.approx(1.0), pytest.approx(1.0))


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 400 samples of 60 pairs with a true rank correlation of about 0.48, near 95 % of the intervals hold it."""
    rng = np.random.default_rng(1)
    true = 6 / np.pi * np.arcsin(0.5 / 2)
    held = 0
    for _ in range(400):
        x, noise = rng.standard_normal((2, 60))
        found = Correlation.spearman(x, 0.5 * x + np.sqrt(0.75) * noise)
        assert found is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_pages_tell_what_was_found_and_what_failed(place: Place) -> None:
    page = (place.root / "cohort.html").read_text("utf-8")
    quality = (place.root / "quality.html").read_text("utf-8")
    for text in (page, quality):
        assert "Not a medical device." in text
        assert "It &lt;crashed&gt;." in text
        assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == [], "nothing is fetched"
    assert "14 measured of 16" in page
    assert "15 done, 1 failed, 1 not run" in page
    assert "sub-23" in page
    assert "sub-99" in page
    assert "4 of 12 (14%–61%)" in page
    assert "Bolender" in page
    assert re.search(r'href="sub-11/anat/sub-11_desc-spine_report.html">sub-11</a></th><td>Canal area', page)
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    tiles = re.findall(r"<h3><a href=\"[^\"]+\">([^<]+)</a></h3>", quality)
    assert tiles[:2] == ["sub-21", "sub-20"], "provisional names come first, then those in doubt"
    assert "Studies whose levels are in doubt: 1 of 15" in page
    assert sorted(tiles) == sorted([f"sub-{i:02d}" for i in range(12)] + ["sub-00_ses-later", "sub-20", "sub-21"])
    assert "Levels &lt;in&gt; doubt." in quality


def test_the_same_results_make_the_same_report(place: Place, cohort: Cohort) -> None:
    names = ("cohort.html", "quality.html", "measurements.csv", "columns.json")
    before = [(place.root / name).read_bytes() for name in names]
    write_group(cohort, place)
    assert [(place.root / name).read_bytes() for name in names] == before
    assert not list(place.root.glob(".*.partial-*"))


def test_a_part_of_the_input_is_told_to_be_a_part(place: Place, cohort: Cohort, tmp_path: Path) -> None:
    copy = Place(shutil.copytree(place.root, tmp_path / "copy"))
    write_group(cohort.of(["sub-01", "sub-02"], []), copy)
    page = (copy.root / "cohort.html").read_text("utf-8")
    assert "Studies of the input that were not asked for: 15." in page
    assert "left out: sub-99." in page


def test_a_cohort_without_results_is_still_told_about(tmp_path: Path) -> None:
    place = Place(tmp_path / "out")
    place.open()
    write_group(Cohort((Study("1", stem="sub-1"),)), place)
    assert "Not run yet: sub-1." in (place.root / "cohort.html").read_text("utf-8")
    assert pyarrow.parquet.read_table(place.root / "measurements.parquet").num_rows == 0


def test_levels_are_those_of_the_library() -> None:
    assert [str(level_of(name)) for name in ("L4", "L4-L5", "L1-S1")] == ["L4", "L4-L5", "L1-S1"]
    assert level_of("") is None
