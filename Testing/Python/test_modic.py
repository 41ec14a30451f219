"""Modic changes of known type."""

from dataclasses import replace
from functools import cache

import pytest

from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import modic
from SpineAnalysisLib.measurements.record import Severity
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Scan, Spine

TYPES = {Level.L2: 1, Level.L3: 0, Level.L4: 2, Level.L5: 3}


@cache
def spine() -> Spine:
    """Thick sagittal T2, and T1 on a grid of its own."""
    phantom = Phantom(SpineSpec.typical(Level.L2, Level.S1).changed(
        joints={level: {"modic": kind} for level, kind in TYPES.items()}))
    grid = phantom.grid((3.3, 0.9, 0.9), margin=(4.0, 30.0, 2.0))
    other = phantom.grid((3.6, 1.0, 1.0), margin=(3.0, 28.0, 1.0))
    model = build_spine(phantom.labels(grid), phantom.image(grid, "T2"), "T2")
    return replace(model, further=(Scan(phantom.image(other, "T1"), "T1 sagittal", "T1"),))


def test_types() -> None:
    found = {m.level.upper: m for m in modic.compute(spine(), {}, silent).measurements if isinstance(m.level, Segment)}
    assert {level: int(m.value or 0) for level, m in found.items()} == TYPES
    assert [found[level].word for level in TYPES] == ["I", "none", "II", "III"]
    assert found[Level.L2].severity is Severity.MODERATE
    assert found[Level.L3].severity is Severity.NORMAL
    for record in found.values():
        assert record.scan == "T1 sagittal, T2 sagittal"
        assert record.geometry is not None
        assert "near_cutoff" not in record.flags


@pytest.mark.parametrize(("contrast", "flag"), [("T1", "modic_needs_t1"), ("T2", "modic_needs_t2")])
def test_one_contrast_is_not_enough(contrast: str, flag: str) -> None:
    model = spine()
    only = replace(model, further=()) if contrast == "T1" else replace(model, contrast=None)
    found = modic.compute(only, {}, silent).measurements
    assert len(found) == 4
    for record in found:
        assert record.value is None
        assert flag in record.flags


def test_computed_tomography_says_nothing_of_it() -> None:
    assert not modic.compute(replace(spine(), contrast="CT", further=()), {}, silent).measurements
