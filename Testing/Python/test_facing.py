"""Facing endplates that do not fit each other: nothing is said that goes by them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.findings import doubts, sentences
from SpineAnalysisLib.geometry.faces import NO_MATCH, ODD_MATCH
from SpineAnalysisLib.measurements import alignment, disc, herniation, vertebra
from SpineAnalysisLib.measurements.record import Measurement, Quality
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Spine

TURNED = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
CUT, WHOLE = Segment(Level.L5, Level.S1), Segment(Level.L4, Level.L5)
RIM_KEYS = {"disc_height_middle", "disc_wedge_angle", "segmental_angle"}


@cache
def spine(kept_share: float) -> Spine:
    """L4 slid by 8 mm on L5; of S1 only this share of its depth is labeled, its front is not."""
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.S1).changed(joints={Level.L4: {"slip": 8.0}}))
    labels = phantom.labels(phantom.grid(1.5, rotation=TURNED), split=True)
    sacrum = phantom.chain.bodies[-1]
    place = sacrum.frame.to_frame(labels.to_ras(np.stack(np.indices(labels.shape), axis=-1)))
    front = place[..., 1] > (kept_share - 0.5) * sacrum.spec.depth
    cut = front & np.isin(labels.array, labels.values((Kind.BODY, Kind.VERTEBRA, Kind.ARCH), Level.S1))
    return build_spine(replace(labels, array=np.where(cut, 0, labels.array)))


def records(kept_share: float) -> dict[tuple[str, object], Measurement]:
    families = (vertebra, disc, herniation, alignment)
    found = [m for family in families for m in family.compute(spine(kept_share), {}, silent).measurements]
    return {(m.key, m.level): m for m in found}


def test_a_wrong_sacrum_gives_no_slip_and_no_finding() -> None:
    found = records(0.55)
    for key in ("vertebra_slip", "disc_bulge_depth", "herniation_type"):
        record = found[key, CUT]
        assert record.value is None
        assert NO_MATCH in record.flags
        assert record.quality is Quality.POOR
    assert ("vertebra_slip_percent", CUT) not in found
    assert ("lateral_slip", CUT) not in found
    for key in RIM_KEYS:
        assert found[key, CUT].quality is Quality.POOR
    said = "\n".join(sentences(spine(0.55), list(found.values())))
    assert "L5-S1" not in said
    assert any("L5-S1" in doubt and "do not fit" in doubt for doubt in doubts(spine(0.55), ()))


def test_the_level_above_is_measured_as_ever() -> None:
    found = records(0.55)
    assert found["vertebra_slip", WHOLE].value == pytest.approx(8.0, abs=0.7)
    assert not {NO_MATCH, ODD_MATCH} & set(found["vertebra_slip", WHOLE].flags)
    assert "anterolisthesis" in "\n".join(sentences(spine(0.55), list(found.values())))


def test_a_slip_on_an_odd_endplate_is_no_finding() -> None:
    """The front is cut, but it could as well be the back: the slip is as uncertain as the endplate is short."""
    found = records(0.86)
    slip = found["vertebra_slip", CUT]
    assert ODD_MATCH in slip.flags
    assert slip.quality is Quality.LIMITED
    assert not slip.grades
    assert not found["vertebra_slip_percent", CUT].grades
    assert slip.uncertainty is not None
    assert slip.uncertainty > 2.0 > (records(2.0)["vertebra_slip", CUT].uncertainty or 0.0)


def test_whole_bodies_fit() -> None:
    found = records(2.0)
    slip = found["vertebra_slip", CUT]
    assert slip.value == pytest.approx(0.0, abs=0.8)
    assert not {NO_MATCH, ODD_MATCH} & set(slip.flags)
    assert not any("do not fit" in doubt for doubt in doubts(spine(2.0), ()))
