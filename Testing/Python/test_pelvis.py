"""Pelvic parameters and balance: femoral heads of known place, and real pelves."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.geometry.frames import Frame, reject, unit
from SpineAnalysisLib.geometry.spheres import largest_ball
from SpineAnalysisLib.measurements import alignment, foramen, pelvis
from SpineAnalysisLib.measurements.bone_cutoffs import CUTOFFS
from SpineAnalysisLib.measurements.record import Measurement, Severity
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import names_from_table, understand
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import LabelMap, Volume

LEAN_DEG = 9.0
"""The phantom leans backward by this much, so that its pelvis is tilted."""


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("XZ", [LEAN_DEG, 12.0], degrees=True).as_matrix()
    return Phantom(SpineSpec.typical(Level.L1, Level.S1).changed(pose=pose))


@pytest.fixture(scope="module")
def spine(phantom: Phantom) -> Spine:
    return build_spine(phantom.labels(phantom.grid(1.0)))


def plate_of(phantom: Phantom) -> Frame:
    return phantom.chain.bodies[-1].endplate(1)


def heads_of(phantom: Phantom) -> np.ndarray:
    """(2, 3) left and right, below and before the sacrum."""
    plate = plate_of(phantom)
    return plate.origin + np.array([[-88.0], [91.0]]) * plate.right + [0.0, 25.0, -95.0]


def truths(phantom: Phantom) -> dict[str, float]:
    """By the definitions, from the exact endplate and the exact heads."""
    plate, heads = plate_of(phantom), heads_of(phantom)
    right = unit(reject(heads[1] - heads[0], np.array([0.0, 0.0, 1.0])))
    normal = unit(reject(plate.superior, right))
    line = unit(reject(plate.origin - heads.mean(axis=0), right))
    front = np.cross([0.0, 0.0, 1.0], right)
    slope = np.degrees(np.arcsin(normal @ front))
    tilt = np.degrees(np.arcsin(-(line @ front)))
    return {"sacral_slope": slope, "pelvic_tilt": tilt, "pelvic_incidence": np.degrees(np.arccos(line @ normal))}


def measured(spine: Spine, **parameters: Any) -> dict[str, Measurement]:
    return {m.key: m for m in pelvis.compute(spine, parameters, silent).measurements}


def with_femora(labels: LabelMap, heads: np.ndarray, radius: float) -> LabelMap:
    """Balls with necks and shafts on a grid of their own, 1.5 mm, added to what is labeled."""
    low, high = heads.min(axis=0) - 40.0, heads.max(axis=0) + 60.0
    shape = np.ceil((high - low) / 1.5).astype(int)
    matrix = np.diag([1.5, 1.5, 1.5, 1.0])
    matrix[:3, 3] = low
    points = np.stack(np.meshgrid(*[low[a] + 1.5 * np.arange(shape[a]) for a in range(3)], indexing="ij"), axis=-1)
    array = np.zeros(shape, np.uint16)
    for value, (head, out) in enumerate(zip(heads, (-1.0, 1.0), strict=True), start=1):
        trochanter = head + np.array([out * 38.0, -3.0, -32.0])
        rod = trochanter - head
        share = np.clip((points - head) @ rod / (rod @ rod), 0.0, 1.0)
        neck = np.linalg.norm(points - head - share[..., None] * rod, axis=-1) < 15.0
        shaft = (np.hypot(*np.moveaxis(points[..., :2] - trochanter[:2], -1, 0)) < 16.0) & (
            points[..., 2] < trochanter[2] + 8.0)
        array[neck | shaft | (np.linalg.norm(points - head, axis=-1) < radius)] = value
    return LabelMap(array, matrix, structures={1: Structure(Kind.FEMUR, None, "left"),
                                               2: Structure(Kind.FEMUR, None, "right")})


def test_angles_are_exact(phantom: Phantom, spine: Spine) -> None:
    found = measured(spine, femoral_heads_RAS=heads_of(phantom)[::-1].tolist())
    for key, value in truths(phantom).items():
        record = found[key]
        assert record.value == pytest.approx(value, abs=0.7), key
        assert record.uncertainty is not None
        assert abs(record.value - value) <= record.uncertainty
        assert "supine" in record.flags
    assert truths(phantom)["pelvic_incidence"] == pytest.approx(
        truths(phantom)["sacral_slope"] + truths(phantom)["pelvic_tilt"])
    lordosis = next(m for m in alignment.compute(spine, {}, silent).measurements if m.key == "lumbar_lordosis")
    mismatch, incidence = found["pi_ll_mismatch"].value, found["pelvic_incidence"].value
    assert mismatch is not None
    assert incidence is not None
    assert lordosis.value is not None
    assert mismatch == pytest.approx(incidence - lordosis.value, abs=0.3)


def test_femoral_heads_are_found_in_labels(phantom: Phantom, spine: Spine) -> None:
    heads = heads_of(phantom)
    femora = with_femora(spine.labels, heads, 24.0)
    for value, head in enumerate(heads, start=1):
        ball = largest_ball(Volume(femora.array == value, femora.ijk_to_ras))
        assert ball is not None
        assert np.linalg.norm(ball.center - head) < 0.7
        assert ball.radius == pytest.approx(24.0, abs=1.0)
    found = measured(replace(spine, labels=femora))
    for key, value in truths(phantom).items():
        assert found[key].value == pytest.approx(value, abs=0.7), key
    cut = replace(femora, array=femora.array[:, :, int((heads[0, 2] - femora.ijk_to_ras[2, 3]) / 1.5) + 8:],
                  ijk_to_ras=femora.ijk_to_ras @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, int(
                      (heads[0, 2] - femora.ijk_to_ras[2, 3]) / 1.5) + 8], [0, 0, 0, 1.0]]))
    incidence = measured(replace(spine, labels=cut))["pelvic_incidence"]
    assert incidence.value is None
    assert "femoral_heads_not_in_view" in incidence.flags


def test_balance_is_measured_from_c7(phantom: Phantom, spine: Spine) -> None:
    body = phantom.chain.bodies[-1]
    heads = heads_of(phantom)
    right = unit(reject(heads[1] - heads[0], np.array([0.0, 0.0, 1.0])))
    front = np.cross([0.0, 0.0, 1.0], right)
    place = body.rim(1, front=False) + 47.0 * front - 13.0 * right + np.array([0.0, 0.0, 450.0])
    first = spine.vertebrae[0]
    c7 = replace(first, level=Level.C7, frame=first.frame.at(place))
    found = measured(replace(spine, vertebrae=(c7, *spine.vertebrae)), femoral_heads_RAS=heads.tolist())
    assert found["sagittal_vertical_axis"].value == pytest.approx(47.0, abs=0.8)
    assert found["coronal_balance"].value == pytest.approx(-13.0, abs=0.8)
    grade = found["sagittal_vertical_axis"].grade
    assert grade is not None
    assert (grade.label, grade.cutoff) == ("moderate (+)", "40-95 mm")
    assert "Schwab" in grade.source


def test_what_is_not_in_view_says_so(spine: Spine) -> None:
    found = measured(spine)
    assert found["sacral_slope"].value is not None
    assert found["pelvic_incidence"].value is None
    assert "femoral_heads_not_in_view" in found["pelvic_incidence"].flags
    assert found["sagittal_vertical_axis"].value is None
    assert "c7_not_in_view" in found["sagittal_vertical_axis"].flags
    assert "pelvic_tilt" not in found
    assert not measured(replace(spine, vertebrae=spine.vertebrae[:-1], segments=spine.segments[:-1]))


@pytest.mark.parametrize("points", [[[0, 0, 0]], [[0, 0, 0], [1, 2, float("nan")]]])
def test_points_that_are_no_heads_are_refused(spine: Spine, points: list[list[float]]) -> None:
    with pytest.raises(InputError, match="two points"):
        measured(spine, femoral_heads_RAS=points)


def test_only_positive_values_are_abnormal() -> None:
    rules: Mapping[str, Any] = {c.key: c for c in CUTOFFS if c.name.startswith("srs_schwab_2012")}
    assert [rules["pelvic_tilt"].grade(v).severity for v in (-35.0, 19.0, 20.0, 30.0)] == [
        Severity.NORMAL, Severity.NORMAL, Severity.MODERATE, Severity.SEVERE]
    assert rules["pi_ll_mismatch"].grade(-25.0).severity is Severity.NORMAL
    assert rules["sagittal_vertical_axis"].is_near(94.0, 2.0)
    assert not rules["sagittal_vertical_axis"].is_near(-40.0, 2.0)


def test_real_pelvis_and_foramina(real_data: Callable[[str], Path]) -> None:
    folder = real_data("whole_body_masks_totalsegmentator")
    names = names_from_table((folder / "labels.json").read_text())
    volume = read_segmentation(folder / "s0328_labels.nii.gz").volume
    assert volume is not None
    labels = understand(volume, names=names).labels
    spine = build_spine(labels)
    found = measured(spine)
    incidence, slope, tilt = (found[key].value for key in ("pelvic_incidence", "sacral_slope", "pelvic_tilt"))
    assert incidence is not None
    assert slope is not None
    assert tilt is not None
    assert incidence == pytest.approx(slope + tilt)
    # Means and two standard deviations of 709 healthy adults (Mac-Thiong et al., Eur Spine J 2011;20 Suppl 5:572-577).
    assert 32.0 < incidence < 74.0
    assert 0.0 < tilt < 27.0
    assert 24.0 < slope < 55.0
    foramina = {(m.key, str(m.level), m.side): m.value for m in foramen.compute(spine, {}, silent).measurements}
    for level in ("L1-L2", "L2-L3", "L3-L4", "L4-L5"):
        for side in ("left", "right"):
            # Open, none of them stenotic to the eye: higher than Hasegawa's limit (15 mm) less the uncertainty.
            height, width = foramina["foramen_height", level, side], foramina["foramen_width_disc", level, side]
            assert height is not None
            assert width is not None
            assert 14.0 < height < 26.0
            assert 5.0 < width < 13.0
