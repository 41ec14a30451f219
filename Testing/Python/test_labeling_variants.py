"""Unusual anatomy, told in sentences: on a phantom that is changed where the anatomy is to differ."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Kind, Level, Side, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.labeling.variants import unusual
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.spine import Spine


@pytest.fixture(scope="module")
def usual() -> Spine:
    phantom = Phantom(SpineSpec.typical(Level.T11, Level.S1))
    return build_spine(phantom.labels(phantom.grid(2.5, margin=30.0), cord=False))


Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def with_box(spine: Spine, structure: Structure, level: Level, box: Box) -> Spine:
    """The spine with a block more of a structure, in millimeters of a vertebra's frame (right, anterior, superior)."""
    labels, vertebra = spine.labels, spine.vertebra(level)
    assert vertebra is not None
    place = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T) - vertebra.frame.origin
    inside = np.all([(place @ axis >= low) & (place @ axis <= high) for axis, (low, high) in
                     zip(vertebra.frame.axes, box, strict=True)], axis=0).reshape(labels.shape)
    value = next((v for v, s in labels.structures.items() if s == structure), max(labels.structures) + 1)
    assert np.count_nonzero(inside) > 20
    changed = replace(labels, array=np.where(inside, value, labels.array).astype(np.uint16),
                      structures={**labels.structures, value: structure})
    return replace(spine, labels=changed)


def process(spine: Spine, side: Side, height: float) -> Spine:
    """The spine with a block for a transverse process of L5."""
    across = (34.0, 52.0) if side == "right" else (-52.0, -34.0)
    return with_box(spine, Structure(Kind.VERTEBRA, Level.L5), Level.L5,
                    (across, (-22.0, -4.0), (-height / 2.0, height / 2.0)))


def ala(spine: Spine, side: Side) -> Spine:
    """The spine with a block of the sacrum below that."""
    across = (34.0, 52.0) if side == "right" else (-52.0, -34.0)
    return with_box(spine, Structure(Kind.VERTEBRA, Level.S1), Level.L5, (across, (-22.0, -4.0), (-40.0, -13.0)))


def test_nothing_is_said_of_a_usual_spine(usual: Spine) -> None:
    assert unusual(usual) == ()
    assert unusual(process(process(usual, "left", 12.0), "right", 12.0)) == ()


def test_a_tall_transverse_process(usual: Spine) -> None:
    said, = unusual(process(process(usual, "left", 26.0), "right", 12.0))
    assert said.startswith("Suspected lumbosacral transitional vertebra: tall transverse process at L5, 2")
    assert "(left)" in said
    assert "(right)" not in said
    assert "Castellvi type Ia" in said
    assert "Castellvi type Ib" in unusual(process(process(usual, "left", 26.0), "right", 26.0))[0]


def test_transverse_processes_that_meet_the_sacrum(usual: Spine) -> None:
    one = ala(ala(process(process(usual, "left", 26.0), "right", 12.0), "left"), "right")
    said, = unusual(one)
    assert "the left transverse process meets the sacrum at L5" in said
    assert "IIa or IIIa" in said
    both = ala(ala(process(process(usual, "left", 26.0), "right", 26.0), "left"), "right")
    assert "both transverse processes meet the sacrum at L5, as in Castellvi type IIb, IIIb or IV" in unusual(both)[0]


def without_processes(spine: Spine, level: Level) -> Spine:
    """The spine with nothing labeled at one vertebra's sides, as where slices are too thick to show it."""
    labels, vertebra = spine.labels, spine.vertebra(level)
    assert vertebra is not None
    place = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T) - vertebra.frame.origin
    aside = (np.abs(place @ vertebra.frame.right) > 26.0) & (np.abs(place @ vertebra.frame.superior) < 25.0)
    array = np.where(aside.reshape(labels.shape) & labels.mask(labels.values(Kind.VERTEBRA, level)), 0, labels.array)
    return replace(spine, labels=replace(labels, array=array.astype(np.uint16)))


def test_rough_outlines_raise_no_suspicion(usual: Spine) -> None:
    """Where the vertebra above shows no processes either, or one would reach from above its vertebra to the sacrum."""
    tall = process(process(usual, "left", 26.0), "right", 12.0)
    assert unusual(tall)
    assert unusual(without_processes(tall, Level.L4)) == ()
    upward = with_box(usual, Structure(Kind.VERTEBRA, Level.L5), Level.L5,
                      ((-52.0, -46.0), (-22.0, -4.0), (-10.0, 32.0)))
    assert unusual(upward) == ()
    both = with_box(tall, Structure(Kind.VERTEBRA, Level.L4), Level.L4, ((-52.0, -30.0), (-22.0, -4.0), (-13.0, 13.0)))
    assert unusual(both) == ()


def renamed(spine: Spine, names: dict[Level, Level]) -> Spine:
    return replace(spine, vertebrae=tuple(replace(v, level=names.get(v.level, v.level)) for v in spine.vertebrae))


def test_six_lumbar_vertebrae_are_counted(usual: Spine) -> None:
    six = renamed(usual, {Level.T11: Level.T12, Level.T12: Level.L1, Level.L1: Level.L2, Level.L2: Level.L3,
                          Level.L3: Level.L4, Level.L4: Level.L5, Level.L5: Level.L6})
    assert unusual(six)[0].startswith("Six lumbar-type vertebrae instead of five")
    assert unusual(replace(six, provisional=True)) == ()


def ribs(spine: Spine, level: Level) -> Spine:
    """The spine with a rib that begins at a vertebra."""
    return with_box(spine, Structure(Kind.RIB, Level.T11, "left"), level, ((-70.0, -32.0), (-30.0, -16.0), (-4.0, 4.0)))


def test_ribs_elsewhere_than_at_the_last_thoracic_vertebra(usual: Spine) -> None:
    assert unusual(ribs(usual, Level.T12)) == ()
    assert unusual(ribs(usual, Level.T11)) == (
        "No ribs are labeled at T12: they may be absent, short, or not segmented.",
        "Six lumbar-type vertebrae instead of five: other readers may count the levels differently.")
    low, number = unusual(ribs(usual, Level.L1))
    assert low.startswith("Ribs are labeled at L1: lumbar ribs")
    assert number.startswith("Four lumbar-type vertebrae")


def test_vertebrae_without_a_disc_space(usual: Spine) -> None:
    segments = tuple(replace(m, height_mm=0.0) if m.segment.upper is Level.L2 else m for m in usual.segments)
    assert unusual(replace(usual, segments=segments)) == (
        "No disc space at L2-L3: fused vertebrae, or a disc that is gone.",)


@pytest.mark.parametrize("file", ["lumbar_ct_totalsegmentator/totalseg_labels.nii.gz",
                                  "whole_body_masks_totalsegmentator/s0328_labels.nii.gz"])
def test_real_spines(real_data: Callable[[str], Path], file: str) -> None:
    """Neither of these two has anything unusual, as seen in pictures of their labels."""
    read = read_segmentation(real_data(file))
    assert read.volume is not None
    assert unusual(build_spine(understand(read.volume, names=read.names).labels)) == ()
