"""Muscles of known cross-section and share of fat, and labeled ones on a real CT."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from SpineAnalysisLib.anatomy import Kind, Level, Segment, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import muscle
from SpineAnalysisLib.measurements.record import Measurement
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.schemes import own_value, understand
from SpineAnalysisLib.schemes.name_tables import names_from_table
from SpineAnalysisLib.spine import Contrast, Spine
from SpineAnalysisLib.volume import LabelMap, Volume, bounding_box

HALF_MM = {"right": (22.0, 18.0), "left": (18.0, 18.0)}
FAT = {"right": 0.1, "left": 0.3}
L45 = Segment(Level.L4, Level.L5)
SIGNAL: dict[Contrast, tuple[float, float]] = {"CT": (55.0, -100.0), "T1": (330.0, 860.0), "T2": (145.0, 620.0)}


@cache
def spine() -> tuple[Spine, dict[str, NDArray[np.bool_]], NDArray[np.bool_]]:
    """L4 and L5 with elliptic muscles, whose outer part is fat; the muscles' masks, and what is fat."""
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5))
    labels = phantom.labels(phantom.grid(1.5, margin=(40.0, 20.0, 4.0)))
    model = build_spine(labels)
    disc = model.segments[0].disc
    place = disc.to_frame(labels.to_ras(np.indices(labels.shape).reshape(3, -1).T)).reshape(*labels.shape, 3)
    array, structures, masks = labels.array.copy(), dict(labels.structures), {}
    fat = np.zeros(labels.shape, bool)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        half = HALF_MM[side]
        u, v = (sign * place[..., 0] - 30.0) / half[0], (place[..., 1] + 55.0) / half[1]
        mask = np.hypot(u, v) < 1.0
        structure = Structure(Kind.ERECTOR, None, "right" if sign > 0 else "left")
        array[mask] = own_value(structure)
        structures[own_value(structure)] = structure
        masks[side] = mask
        fat |= mask & (u > np.quantile(u[mask], 1.0 - FAT[side]))
    return replace(model, labels=replace(labels, array=array, structures=structures)), masks, fat


def measured(contrast: Contrast | None) -> dict[tuple[str, str | None], Measurement]:
    model, masks, fat = spine()
    if contrast is not None:
        lean, bright = SIGNAL[contrast]
        inside = masks["right"] | masks["left"]
        array = np.where(inside & ~fat, lean, bright) + np.random.default_rng(3).normal(0.0, 8.0, fat.shape)
        model = replace(model, image=Volume(array.astype(np.float32), model.labels.ijk_to_ras), contrast=contrast)
    return {(m.key, m.side): m for m in muscle.compute(model, {}, silent).measurements}


def test_area_and_asymmetry() -> None:
    found = measured(None)
    areas = {side: float(np.pi * a * b) for side, (a, b) in HALF_MM.items()}
    for side, exact in areas.items():
        record = found["erector_area", side]
        assert record.level == L45
        assert record.value == pytest.approx(exact, rel=0.03)
        assert record.value is not None
        assert record.uncertainty is not None
        assert abs(record.value - exact) <= record.uncertainty
    record = found["erector_asymmetry", None]
    assert record.value == pytest.approx(200.0 * (areas["right"] - areas["left"]) / sum(areas.values()), abs=3.0)
    assert not any(key.endswith("fat_share") or key.startswith("psoas") for key, _ in found)


@pytest.mark.parametrize("contrast", ["CT", "T1", "T2"])
def test_share_of_fat(contrast: Contrast) -> None:
    found = measured(contrast)
    for side, share in FAT.items():
        record = found["erector_fat_share", side]
        assert record.value == pytest.approx(100.0 * share, abs=4.0)
        assert record.scan is not None
        assert record.unit == "%"


def test_no_labels_no_records() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5))
    assert not muscle.compute(build_spine(phantom.labels(phantom.grid(2.0))), {}, silent).measurements


def test_real_muscles(real_data: Callable[[str], Path]) -> None:
    """Right and left of a person are about as large; L3 to L5 of a reference segmentation."""
    names = names_from_table(real_data("whole_body_masks_totalsegmentator/labels.json").read_text())
    volume = read_image([real_data("whole_body_masks_totalsegmentator/s0328_labels.nii.gz")]).volume
    whole = understand(volume, names=names).labels
    assert {str(whole.structures[v]) for v in whole.values(Kind.ERECTOR)} == {"left erector spinae",
                                                                             "right erector spinae"}
    bones = [v for level in (Level.L3, Level.L4) for v in whole.values(Kind.VERTEBRA, level)]
    box = bounding_box(whole.mask(bones), 14)
    assert box is not None
    up = int(np.abs(whole.ijk_to_ras[2, :3]).argmax())
    low, high = np.zeros(3, int), np.array(whole.shape)
    low[up], high[up] = box[0][up], box[1][up]
    cropped = whole.crop(low, high)
    assert isinstance(cropped, LabelMap)
    found = {(m.key, m.side): m for m in muscle.compute(build_spine(cropped), {}, silent).measurements
             if m.level == Segment(Level.L3, Level.L4)}
    for name, least, most in (("erector", 800.0, 4000.0), ("psoas", 250.0, 2500.0)):
        right, left = (found[f"{name}_area", side].value for side in ("right", "left"))
        assert right is not None
        assert left is not None
        assert least < right < most
        assert least < left < most
        assert abs(found[f"{name}_asymmetry", None].value or 0.0) < 25.0
