"""What a Python console shows: one short line for everything that people get back, and one sentence for a mistake."""

from dataclasses import replace

import pytest

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L5))
    return analyze(None, replace(phantom.labels(phantom.grid(2.0)), name="Phantom"), only=["canal"])


def test_everything_is_told_in_a_line(analysis: Analysis) -> None:
    area = analysis.measurement("canal_area", "L4-L5")
    assert area is not None
    told = [repr(x) for x in (analysis, analysis.spine, analysis.spine.labels, area, analysis.tables[0])]
    assert all(len(line) < 400 and "\n" not in line and "array" not in line for line in told)
    whole, spine, labels, record, table = told
    assert whole.startswith("<Analysis of <Spine L3 to L5 on no scan>: ")
    assert spine in whole
    assert labels.startswith("<LabelMap Phantom: ")
    assert labels.endswith(f"voxels of 2 x 2 x 2 mm, {len(analysis.spine.labels.structures)} structures>")
    assert record.startswith(f"<Measurement canal_area at L4-L5: {area.value:.4g} ± ")
    assert " mm2, normal" in record
    assert table.startswith("<Table canal_profile: ")
    assert "canal_area_mm2" in table


def test_a_slip_of_the_pen_is_told(analysis: Analysis) -> None:
    assert analysis.measurement("cord_area", "L4-L5") is None
    with pytest.raises(InputError, match=r"no measurement canal_areas; did you mean canal_area\?"):
        analysis.measurement("canal_areas", "L4-L5")
    with pytest.raises(InputError, match=r"table\(\) lists all"):
        analysis.measurement("zzz", "L4-L5")
