"""The scans of a visit in the model: which one is read where, and which one a record names."""

from dataclasses import replace

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements.registry import families
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import LocalMotion, Scan, Spine
from SpineAnalysisLib.volume import Volume, transform_points

SAGITTAL, AXIAL = (3.3, 1.0, 1.0), (0.8, 0.8, 4.0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L3, Level.L5))


@pytest.fixture(scope="module")
def spine(phantom: Phantom) -> Spine:
    """Segmented on T1, with a sagittal T2, a T2 block over L4-L5, and a CT of L3."""
    fine = phantom.grid(1.0)
    alone = build_spine(phantom.labels(fine), phantom.image(phantom.grid(SAGITTAL), "T1"), "T1")
    axial = phantom.image(phantom.grid(AXIAL), "T2")
    disc = round(float(axial.to_ijk(alone.segments[-1].disc.origin)[2]))
    block = axial.crop((0, 0, disc - 2), (*axial.shape[:2], disc + 3))
    ct = phantom.image(fine, "CT")
    top = ct.crop((0, 0, round(float(ct.to_ijk(alone.segments[0].disc.origin)[2]))), ct.shape)
    return replace(alone, further=(Scan(phantom.image(phantom.grid(SAGITTAL), "T2"), "T2 sagittal", "T2"),
                                   Scan(block, "T2 axial", "T2"), Scan(top, "CT", "CT")))


def test_the_segmented_scan_comes_first_and_each_is_named(spine: Spine) -> None:
    assert [scan.name for scan in spine.scans] == ["T1 sagittal", "T2 sagittal", "T2 axial", "CT"]
    assert spine.scans[0].volume is spine.image
    assert replace(spine, image=None).scans == spine.further


def test_a_scan_is_found_by_contrast_place_and_plane(spine: Spine) -> None:
    def name(scan: Scan | None) -> str | None:
        return None if scan is None else scan.name

    upper, lower = (m.disc for m in spine.segments)
    assert name(spine.scan("T2")) == "T2 sagittal", "the one that shows the whole spine"
    assert name(spine.scan("T2", lower.origin, lower.superior)) == "T2 axial"
    assert name(spine.scan("T2", lower.origin)) == "T2 sagittal", "sharper in the sagittal plane"
    assert name(spine.scan("T2", upper.origin, upper.superior)) == "T2 sagittal", "the block does not reach it"
    assert name(spine.scan("CT", spine.vertebrae[0].frame.origin)) == "CT"
    assert spine.scan("CT", spine.vertebrae[-1].frame.origin) is None
    assert spine.scan("STIR") is None
    assert name(spine.scan(("STIR", "T1"))) == "T1 sagittal"


def test_records_say_which_scan_they_came_from(spine: Spine) -> None:
    records = [m for family in families() for m in family.compute(spine, family.defaults, silent).measurements]
    density = {m.level: m.scan for m in records if m.key == "trabecular_density"}
    assert density == {Level.L3: "CT"}, "the only vertebra that the CT shows"
    assert {m.scan for m in records if m.key == "csf_signal_ratio"} == {"T2 sagittal"}
    assert {m.scan for m in records if m.key == "vertebra_height_middle"} == {None}
    assert next(m for m in records if m.scan == "CT").as_dict()["scan"] == "CT"


def test_a_registered_scan_is_read_as_it_lies_at_each_place() -> None:
    ramp = np.broadcast_to(np.arange(20.0)[:, None, None], (20, 20, 20))
    shift_a, shift_b = np.eye(4), np.eye(4)
    shift_a[0, 3], shift_b[0, 3] = 2.0, -3.0
    a, b = np.array([10.0, 10.0, 2.0]), np.array([10.0, 10.0, 18.0])
    scan = Scan(Volume(ramp, np.eye(4)), "T2", "T2", motions=(LocalMotion(a, shift_a), LocalMotion(b, shift_b)))
    assert scan.values(np.stack([a, b])).tolist() == [8.0, 13.0]
    assert scan.near(b).values(b) == 13.0
    assert np.isnan(scan.values(np.array([1.0, 10.0, 2.0]))), "moved out of the scan"
    assert transform_points(shift_b, np.array([13.0, 10.0, 18.0])).tolist() == b.tolist()
