"""Which vertebra is which: the labeler on chains with known levels."""

from dataclasses import replace

import numpy as np
import pytest
from labeling_chains import chain, levels_between

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.detections import Detection
from SpineAnalysisLib.labeling.label import Anchor, Certainty, Numbering, label

WHOLE = levels_between(Level.C1, Level.L5)


@pytest.mark.parametrize("size", [0.85, 1.0, 1.12])
@pytest.mark.parametrize("ends", [(Level.C1, Level.L5), (Level.T9, Level.L5), (Level.C3, Level.T5),
                                  (Level.T8, Level.L2), (Level.T10, Level.S1)])
def test_usual_spines_are_named(ends: tuple[Level, Level], size: float) -> None:
    levels = levels_between(*ends)
    labeling = label(chain(levels, size, noise_mm=1.0))
    assert list(labeling.levels) == levels
    assert labeling.certainty in (Certainty.CERTAIN, Certainty.DOUBTFUL)
    assert labeling.probability > 0.8
    assert all(0.8 < p <= 1.0 for p in labeling.probabilities)


def test_a_whole_spine_is_certain_and_its_runner_up_is_told() -> None:
    labeling = label(chain(WHOLE))
    assert labeling.certainty is Certainty.CERTAIN
    assert {"neck border", "rib border"} <= set(labeling.references)
    assert labeling.runner_up is not None
    assert labeling.runner_up != labeling.levels
    assert labeling.runner_up_probability < 1.0 - labeling.probability + 1e-9
    assert labeling.notes == ()


def test_the_order_of_detections_does_not_matter() -> None:
    found = chain(levels_between(Level.T9, Level.L5))
    order = np.random.default_rng(3).permutation(len(found))
    straight, mixed = label(found), label([found[i] for i in order])
    assert [straight.levels[i] for i in order] == list(mixed.levels)
    assert mixed.probability == pytest.approx(straight.probability)


@pytest.mark.parametrize(("levels", "note"), [
    (levels_between(Level.C2, Level.S1, variants=[Level.L6]), "Six lumbar vertebrae."),
    (levels_between(Level.C2, Level.S1, Level.L5), "Four lumbar vertebrae: L5 belongs to the sacrum."),
    (levels_between(Level.C2, Level.S1, Level.T12), "Eleven thoracic vertebrae: T12 is absent."),
    (levels_between(Level.C2, Level.S1, variants=[Level.T13]), "Thirteen thoracic vertebrae."),
], ids=["L6", "L4", "T11", "T13"])
def test_variants_are_found(levels: list[Level], note: str) -> None:
    labeling = label(chain(levels, noise_mm=0.5, sure=0.99))
    assert list(labeling.levels) == levels
    assert note in labeling.notes


def test_a_missed_vertebra_leaves_a_gap() -> None:
    levels = levels_between(Level.T6, Level.L5)
    found = [d for d, level in zip(chain(levels), levels, strict=True) if level is not Level.T10]
    labeling = label(found)
    assert list(labeling.levels) == [v for v in levels if v is not Level.T10]
    assert "Not found although others around are: T10." in labeling.notes


def test_a_spurious_detection_gets_no_name() -> None:
    levels = levels_between(Level.T9, Level.L5)
    found = chain(levels)
    between = (found[4].center_RAS + found[5].center_RAS) / 2.0 + np.array([5.0, 4.0, 0.0])
    labeling = label([*found, Detection(between, np.array([0.2, 0.4, 0.4]))])
    assert labeling.levels == (*levels, None)
    assert "Detections that are no vertebra of their own: 1." in labeling.notes


def test_without_landmarks_levels_are_provisional() -> None:
    labeling = label(chain(levels_between(Level.T4, Level.T8)))
    assert labeling.certainty is Certainty.PROVISIONAL
    assert labeling.notes[0].startswith("Levels are provisional")
    assert label(chain(levels_between(Level.T11, Level.L4), regions=False)).certainty is Certainty.PROVISIONAL


def test_an_anchor_fixes_the_rest() -> None:
    levels = levels_between(Level.T4, Level.T8)
    found = chain(levels)
    labeling = label(found, [Anchor(Level.T6, found[1].center_RAS + 3.0)])
    assert labeling.levels == (Level.T5, Level.T6, Level.T7, Level.T8, Level.T9)
    assert "anchor" in labeling.references
    assert labeling.certainty is Certainty.CERTAIN
    assert labeling.probabilities[1] == pytest.approx(1.0)


def test_an_anchor_overrules_shape_and_region() -> None:
    found = chain(levels_between(Level.T10, Level.S1))
    labeling = label(found, [Anchor(Level.L6, found[-2].center_RAS)])
    assert labeling.levels[-3:] == (Level.L5, Level.L6, Level.S1)


def test_numbering_says_where_to_count_from() -> None:
    levels = levels_between(Level.C2, Level.S1, Level.T12)
    found = chain(levels, sure=0.99)
    from_neck = label(found, numbering=Numbering.C2)
    assert Level.T12 in from_neck.levels
    assert Level.L5 not in from_neck.levels
    last = levels_between(Level.T10, Level.S1, variants=[Level.L6])
    from_sacrum = label(chain(last, sure=0.99), numbering=Numbering.SACRUM)
    assert list(from_sacrum.levels) == levels_between(Level.T9, Level.S1)
    from_ribs = label(chain(last, sure=0.99), numbering=Numbering.RIBS)
    assert list(from_ribs.levels) == last


def test_image_below_the_last_one_tells_the_lowest() -> None:
    found = chain(levels_between(Level.L1, Level.L5), regions=False)
    untold, told = label(found), label(found, room_below_mm=120.0)
    assert told.levels[-1] is Level.L5
    assert told.probabilities[-1] >= untold.probabilities[-1]


def test_probabilities_are_calibrated_on_what_the_model_believes() -> None:
    """Chains with regions nobody is sure of: the labeler is right about as often as it says."""
    levels, right, said = levels_between(Level.T9, Level.L4), [], []
    random = np.random.default_rng(5)
    for _ in range(40):
        found = chain(levels, float(random.normal(1.0, 0.08)), regions=False)
        blurred = [replace(d, center_RAS=d.center_RAS + random.normal(0, 1.5, 3), region_probabilities=share)
                   for d, share in zip(found, _blurred(levels, random), strict=True)]
        labeling = label(blurred)
        right.append(list(labeling.levels) == levels)
        said.append(labeling.probability)
    assert abs(np.mean(right) - np.mean(said)) < 0.2


def _blurred(levels: list[Level], random: np.random.Generator) -> list[np.ndarray]:
    """Regions as of a detector that errs by half a vertebra about the border."""
    border = levels.index(Level.L1) + random.normal(0.0, 0.4) - 0.5
    lumbar = [1.0 / (1.0 + np.exp(-(i - border) * 4.0)) for i in range(len(levels))]
    return [np.array([0.005, 0.995 * (1 - p), 0.995 * p]) for p in lumbar]


FOUND = chain(levels_between(Level.T9, Level.L5))
TURN = np.array([-1.0, -1.0, 1.0])


def turned(found: list[Detection], by: np.ndarray) -> list[Detection]:
    return [replace(d, center_RAS=d.center_RAS * by,
                    pedicles_RAS=None if d.pedicles_RAS is None else d.pedicles_RAS * by) for d in found]


@pytest.mark.parametrize(("found", "anchors", "says"), [
    ([], (), "No vertebra was found"),
    (FOUND[:1], (), "Only one vertebra"),
    (turned(FOUND, TURN), (), "LPS"),
    (turned(FOUND, np.array([1.0, -1.0, -1.0])), (), "upside down"),
    (turned(FOUND, np.array([0.1, 0.1, 0.1])), (), "not voxels"),
    ([replace(d, center_RAS=d.center_RAS[[2, 1, 0]], pedicles_RAS=None) for d in FOUND], (), "long axis"),
    ([replace(d, center_RAS=d.center_RAS * np.nan) for d in FOUND], (), "finite"),
    ([replace(d, center_RAS=d.center_RAS + x, pedicles_RAS=None) for x in ([0.0] * 3, [90.0, 0.0, 2.0])
      for d in FOUND], (), "two spines"),
    (FOUND, [Anchor(Level.L1, FOUND[2].center_RAS + 300.0)], "from the nearest vertebra"),
    (FOUND, [Anchor(Level.L1, FOUND[2].center_RAS), Anchor(Level.L2, FOUND[2].center_RAS)], "The same vertebra"),
    (FOUND, [Anchor(Level.L3, FOUND[2].center_RAS), Anchor(Level.L2, FOUND[4].center_RAS)], "above"),
    (FOUND, [Anchor(Level.C2, FOUND[2].center_RAS), Anchor(Level.L5, FOUND[3].center_RAS)], "No numbering"),
], ids=["none", "one", "LPS", "upside-down", "voxels", "lying", "NaN", "two spines", "far", "twice", "order", "jump"])
def test_bad_input_is_one_sentence(found: list[Detection], anchors: list[Anchor], says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        label(found, anchors)
    assert str(error.value).count(". ") == 0
