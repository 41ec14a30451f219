"""Counting from the axis, which is known by its dens."""

import numpy as np
import pytest
from labeling_chains import levels_between

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.labeling.dens import highest_body
from SpineAnalysisLib.labeling.naming import Naming, name_levels
from SpineAnalysisLib.labeling.priors import level_pitch
from SpineAnalysisLib.volume import LabelMap

BODY, DISC = 0.72, 5.0  # share of a level's pitch, and mm that no body takes


def column(levels: list[Level], tall: float, room_mm: float = 20.0) -> LabelMap:
    """Upright bodies, 1 mm, counted up to L5 whatever they are.

    :param tall: height of the highest, in its usual one; what is more stands on it like a peg.
    :param room_mm: image above it.
    """
    heights = [round(BODY * level_pitch()[level - 1]) for level in levels]
    gaps = [round((1.0 - BODY) * level_pitch()[level - 1]) for level in levels]
    peg = round((tall - 1.0) * heights[0])
    total = int(sum(heights) + sum(gaps) + max(peg, 0) + room_mm)
    array = np.zeros((30, 40, total), np.uint8)
    names = [v for v in Level if not v.is_variant and v <= Level.L5][-len(levels):]
    structures, top = {}, total - int(room_mm)
    if peg > 0:
        array[10:20, 12:22, top - peg:top] = 1
    top -= max(peg, 0)
    for value, (name, height, gap) in enumerate(zip(names, heights, gaps, strict=True), start=1):
        array[6:24, 10:26, top - height - min(peg, 0) * (value == 1):top] = value
        structures[value] = Structure(Kind.BODY, name)
        top -= height + gap
    return LabelMap(array, np.eye(4), structures=structures)


def named(labels: LabelMap) -> Naming:
    return name_levels(labels, levels_known=False)


@pytest.mark.parametrize("lowest", [Level.T2, Level.T8])
def test_the_neck_is_counted_from_the_axis(lowest: Level) -> None:
    levels = levels_between(Level.C2, lowest)
    naming = named(column(levels, 2.6))
    assert naming.labels.levels == tuple(levels)
    assert naming.labeling is not None
    assert "C2" in naming.labeling.references
    assert naming.labeling.probability > 0.7


def test_without_a_dens_nothing_is_told() -> None:
    levels = levels_between(Level.C3, Level.T3)
    assert named(column(levels, 1.0)).provisional


def test_a_neck_without_an_axis_gets_no_lumbar_names() -> None:
    """Where it is counted from stays open, but vertebrae so near to one another are none of the loins."""
    naming = named(column(levels_between(Level.C3, Level.C7), 1.0))
    assert naming.provisional
    assert max(naming.labels.levels) < Level.T10
    loins = named(column(levels_between(Level.L1, Level.L5), 1.0))
    assert loins.provisional
    assert loins.labels.levels == tuple(levels_between(Level.L1, Level.L5))


def test_a_body_that_the_image_cuts_tells_nothing_but_by_being_tall() -> None:
    levels = levels_between(Level.C2, Level.C7)
    cut = column(levels, 0.6, room_mm=0.0)
    assert highest_body(cut, [1, 2, 3]) is None
    tall = highest_body(column(levels, 2.2, room_mm=0.0), [1, 2, 3])
    assert tall is not None
    assert tall.ratio == pytest.approx(2.2 * level_pitch()[Level.C2 - 1] / level_pitch()[Level.C3 - 1:Level.C4].mean(),
                                       rel=0.1)


def test_two_lumbar_vertebrae_taken_for_one_are_no_axis() -> None:
    """As tall as an axis, but vertebrae of the neck do not lie so far apart."""
    naming = named(column(levels_between(Level.T12, Level.L5), 2.4))
    assert naming.labeling is not None
    assert min(v for v in naming.labeling.levels if v is not None) > Level.T4
