"""Disc spaces against phantoms whose answers are known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import disc
from SpineAnalysisLib.measurements.record import Measurement
from SpineAnalysisLib.phantoms import Phantom, SpineSpec, preset
from SpineAnalysisLib.progress import silent

TURNED = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
FINE = {"mm": 0.4, "deg": 0.7, "1": 0.012}
THICK = {"mm": 0.7, "deg": 2.0, "1": 0.02}
CASES = {
    # name: preset, spacing, axes, turned, tolerances
    "stenotic": ("stenotic_lumbar", 1.0, "PSR", True, FINE),
    "slipped thick": ("slipped", (3.3, 0.7, 0.7), "RAS", True, THICK),
    "stenotic thick": ("stenotic_lumbar", (3.3, 0.7, 0.7), "RAS", False, THICK),
    "cervical": ("cervical", 1.0, "RAS", True, {**FINE, "deg": 1.2}),
}
KEYS = {definition.key for definition in disc.FAMILY.definitions}
LEVELS = 4
Key = tuple[str, Level | Segment | None]


@cache
def case(name: str) -> tuple[Phantom, dict[Key, Measurement]]:
    source, spacing, axes, turned, _ = CASES[name]
    whole = preset(source).spec
    phantom = Phantom(replace(whole, vertebrae=whole.vertebrae[-LEVELS:], joints=whole.joints[1 - LEVELS:]))
    labels = phantom.labels(phantom.grid(spacing, axes, TURNED if turned else None))
    found = disc.compute(build_spine(labels), {}, silent).measurements
    return phantom, {(m.key, m.level): m for m in found}


@pytest.mark.parametrize("name", CASES)
def test_heights_and_angles(name: str) -> None:
    phantom, records = case(name)
    truths = [t for t in phantom.truth() if t.key in KEYS]
    assert len(truths) == 5 * (LEVELS - 1)
    for truth in truths:
        record = records[truth.key, truth.level]
        assert record.value == pytest.approx(truth.value, abs=CASES[name][-1][truth.unit]), (truth.key, truth.level)
        assert record.unit == truth.unit
        assert record.geometry is not None
        assert record.geometry.frame is not None


def test_uncertainty_covers_the_errors() -> None:
    covered = []
    for name in CASES:
        phantom, records = case(name)
        for truth in phantom.truth():
            if truth.key in KEYS:
                record = records[truth.key, truth.level]
                assert record.value is not None
                assert record.uncertainty is not None
                covered.append(abs(record.value - truth.value) <= record.uncertainty)
    assert np.mean(covered) >= 0.9


def test_height_is_drawn_where_it_is_measured() -> None:
    _, records = case("stenotic")
    segment = Segment(Level.L4, Level.L5)
    lines = {place: records[f"disc_height_{place}", segment].geometry for place in disc.PLACES}
    depths = {}
    for place, geometry in lines.items():
        assert geometry is not None
        assert geometry.frame is not None
        value = records[f"disc_height_{place}", segment].value
        assert np.linalg.norm(np.diff(geometry.points_RAS, axis=0)) == pytest.approx(value, abs=0.1)
        depths[place] = float(geometry.points_RAS.mean(axis=0) @ geometry.frame.right)  # the view's R is forward
    assert depths["anterior"] > depths["middle"] > depths["posterior"]


def test_derived_discs_have_heights_and_say_what_they_are() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.S1))
    grid = phantom.grid(1.0)
    with_discs, without = (
        {(m.key, str(m.level)): m for m in disc.compute(
            build_spine(phantom.labels(grid, discs=discs)), {}, silent).measurements} for discs in (True, False))
    assert with_discs.keys() == without.keys()
    for key, record in without.items():
        if key[0] != "disc_volume":
            assert record.value == pytest.approx(with_discs[key].value, abs=0.01)
        assert ("disc_derived" in record.flags) == (key[0] == "disc_volume")
    fine = phantom.labels(phantom.grid(0.6))
    exact = np.count_nonzero(fine.mask([v for v, s in fine.structures.items() if str(s) == "L4-L5 disc"]))
    record = with_discs["disc_volume", "L4-L5"]
    assert record.value == pytest.approx(exact * 0.6**3, rel=0.02)
    assert record.uncertainty is not None
    assert abs(record.value - exact * 0.6**3) < record.uncertainty
    assert without["disc_volume", "L4-L5"].value == pytest.approx(exact * 0.6**3, rel=0.15)
