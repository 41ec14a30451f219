"""The program that tells measurement error from change."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.geometry.frames import angle_deg
from SpineAnalysisLib.measurements import disc, vertebra
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.segmentation.registry import engine_named


def record(key: str, level: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"key": key, "level": level, "side": None, "value": value, "unit": "mm2", "uncertainty": 3.0,
            "quality": "good", "word": None, **more}


def run(tmp_path: Path, *runs: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    files = []
    for number, records in enumerate(runs):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps({"records": records}))
    return called(files)


def called(paths: list[Path]) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).resolve().parents[2] / "Utilities" / "repeatability.py"
    return subprocess.run([sys.executable, str(program), *map(str, paths)], capture_output=True, encoding="utf-8",
                          check=False)


def row(text: str, title: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_figures_are_those_of_the_textbook(tmp_path: Path) -> None:
    """Differences 2, -4, 6: mean 4/3, deviation sqrt(76/3), within-subject sqrt(56/6)."""
    before = [record("canal_area", "L3", 100.0), record("canal_area", "L4", 104.0), record("canal_area", "L4-L5", 94.0)]
    after = [record("canal_area", "L3", 102.0), record("canal_area", "L4", 100.0), record("canal_area", "L4-L5", 100.0)]
    within = math.sqrt(56.0 / 6.0)
    assert row(run(tmp_path, before, after).stdout, "Canal area") == [
        "Canal area", "3", "1.3 mm²", f"{math.sqrt(76.0 / 3.0):.1f} mm²", "3%",
        f"{1.96 * math.sqrt(2.0) * within:.1f} mm²", "100%"]
    assert 0.025 < within / 100.0 < 0.035


def test_only_what_both_measured_at_one_place_counts(tmp_path: Path) -> None:
    before = [record("canal_area", "L3", 100.0), record("canal_area", "L4", 104.0),
              record("canal_area", "L5", 90.0, quality="poor"), record("foramen_area", "L4-L5", 80.0, side="left")]
    after = [record("canal_area", "L3", 130.0), record("canal_area", "L4", None), record("canal_area", "L5", 91.0),
             record("foramen_area", "L4-L5", 70.0, side="right")]
    printed = run(tmp_path, before, after).stdout
    found = row(printed, "Canal area")
    assert found[1:3] + found[-1:] == ["1", "30.0 mm²", "0%"], "30 is more than 1.96 of 4.2"
    assert "oramen" not in printed


def test_pairs_are_pooled_and_categories_counted(tmp_path: Path) -> None:
    def graded(word: str) -> list[dict[str, Any]]:
        return [record("pfirrmann_grade", "L4-L5", 4.0, word=word, unit="1")]
    printed = run(tmp_path, graded("IV"), graded("IV"), graded("IV"), graded("V")).stdout
    assert row(printed, "Pfirrmann grade")[1:] == ["2", "50%"]


def test_angles_have_no_coefficient_of_variation(tmp_path: Path) -> None:
    angles = [record("segmental_angle", "L4-L5", value, unit="deg") for value in (3.0,)]
    assert row(run(tmp_path, angles, angles).stdout, "Segmental angle")[4] == "–"


@pytest.mark.parametrize(("paths", "said"), [
    (["nowhere"], "in pairs"), (["nowhere", "nowhere"], "holds no measurements"), (["0.json", "1.json"], "in common")])
def test_what_cannot_be_compared_is_told(tmp_path: Path, paths: list[str], said: str) -> None:
    run(tmp_path, [record("canal_area", "L3", 1.0)], [record("canal_area", "L4", 1.0)])
    done = called([tmp_path / path for path in paths])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_two_field_strengths_of_one_subject_agree_as_far_as_is_stated(real_data: Callable[[str], Path]) -> None:
    """Segmented by the real engine with no hand in it; nothing has changed between the scans."""
    found = []
    for name in ("mr03_t2_sag", "mr15_t2_sag"):
        scan = read_image([real_data(f"lumbar_subject_cc0/{name}.nii.gz")]).volume
        spine = build_spine(engine_named("builtin").segment(scan, "T2").labeled.labels)
        assert {"L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1"} <= {str(m.segment) for m in spine.segments}
        tilts = [angle_deg(a.frame.superior, b.frame.superior)
                 for a, b in zip(spine.vertebrae, spine.vertebrae[1:], strict=False)]
        assert max(tilts) < 35.0
        found.append({(m.key, m.level): m for family in (vertebra, disc)
                      for m in family.compute(spine, {}, silent).measurements if m.value is not None})
    both = [(found[0][place], found[1][place]) for place in found[0].keys() & found[1].keys()]
    within = [abs((a.value or 0.0) - (b.value or 0.0)) <= 1.96 * math.hypot(a.uncertainty or 0.0, b.uncertainty or 0.0)
              for a, b in both]
    assert len(both) > 60
    assert sum(within) >= 0.9 * len(within)
