"""Which vertebra is which: the labeler on chains with known levels."""

from dataclasses import replace

import numpy as np
import pytest
from labeling_chains import chain, levels_between

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.detections import Detection
from SpineAnalysisLib.labeling.evidence import pieces
from SpineAnalysisLib.labeling.label import Anchor, Certainty, Numbering, label
from SpineAnalysisLib.labeling.landmarks import Landmark, landmarks, shown_beyond
from SpineAnalysisLib.volume import LabelMap

WHOLE = levels_between(Level.C1, Level.L5)


@pytest.mark.parametrize("size", [0.85, 1.0, 1.12])
@pytest.mark.parametrize("ends", [(Level.C1, Level.L5), (Level.T9, Level.L5), (Level.C3, Level.T5),
                                  (Level.T8, Level.L2), (Level.T10, Level.S1)])
def test_usual_spines_are_named(ends: tuple[Level, Level], size: float) -> None:
    levels = levels_between(*ends)
    labeling = label(chain(levels, size, noise_mm=1.0))
    assert list(labeling.levels) == levels
    assert labeling.certainty in (Certainty.CERTAIN, Certainty.LIKELY)
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


def test_a_group_far_from_the_spine_is_no_part_of_it() -> None:
    levels = levels_between(Level.C3, Level.L5)
    found = chain(levels)
    away = [Detection(found[-1].center_RAS - np.array([0.0, 0.0, 400.0 + 12.0 * i]), confidence=0.3) for i in range(8)]
    labeling = label([*away, *found])
    assert labeling.levels == (None,) * 8 + tuple(levels)
    assert labeling.probability == pytest.approx(label(found).probability)
    assert "Detections that are no vertebra of their own: 8." in labeling.notes
    assert None not in label(found[-6:]).levels


@pytest.mark.parametrize(("looks", "drop", "reference"), [
    (np.array([0.02, 0.4, 0.58]), None, "blurred rib border"), (None, Level.T12, "blurred rib border"),
    (None, None, "rib border")])
def test_a_border_tells_where_both_neighbors_do(looks: np.ndarray | None, drop: Level | None, reference: str) -> None:
    levels = levels_between(Level.T7, Level.L5)
    found = [d if looks is None or level is not Level.T12 else replace(d, region_probabilities=looks)
             for d, level in zip(chain(levels), levels, strict=True) if level is not drop]
    labeling = label(found)
    assert labeling.references == (reference,)
    assert reference == "rib border" or labeling.certainty is not Certainty.CERTAIN


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


def moved(found: list[Detection], by_mm: float, turn: np.ndarray | None = None) -> list[Detection]:
    """Without pedicles."""
    return [replace(d, center_RAS=(d.center_RAS + by_mm) * (1.0 if turn is None else turn), pedicles_RAS=None,
                    region_probabilities=None) for d in found]


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
    (FOUND, [Anchor(Level.L1, FOUND[2].center_RAS + 300.0)], "put it into a vertebral body"),
    (moved(FOUND, 60.0), [Anchor(Level.L1, (FOUND[2].center_RAS + 60.0) * TURN)], "signs of LPS"),
    (moved(chain(levels_between(Level.T12, Level.S1)), 0.0, np.array([-1.0, 1.0, -1.0])), (), "sacrum lies above"),
    (FOUND, [Anchor(Level.L1, FOUND[2].center_RAS), Anchor(Level.L2, FOUND[2].center_RAS)], "The same vertebra"),
    (FOUND, [Anchor(Level.L3, FOUND[2].center_RAS), Anchor(Level.L2, FOUND[4].center_RAS)], "above"),
    (FOUND, [Anchor(Level.C2, FOUND[2].center_RAS), Anchor(Level.L5, FOUND[3].center_RAS)], "536 mm are usual"),
], ids=["none", "one", "LPS", "upside-down", "voxels", "lying", "NaN", "two spines", "far", "LPS anchor",
        "sacrum on top", "twice", "order", "jump"])
def test_bad_input_is_one_sentence(found: list[Detection], anchors: list[Anchor], says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        label(found, anchors)
    assert str(error.value).count(". ") == 0


def with_regions(levels: list[Level], looks: dict[Level, int]) -> list[Detection]:
    """A chain in which some levels look like another region."""
    found = chain(levels, sure=0.999)
    shares = {level: np.where(np.arange(3) == column, 0.999, 0.0005) for level, column in looks.items()}
    return [replace(d, region_probabilities=shares.get(level, d.region_probabilities))
            for d, level in zip(found, levels, strict=True)]


def test_where_ribs_end_alone_is_never_certain() -> None:
    """A twelfth rib that was not seen and a first lumbar one look the same: ends of the spine must decide."""
    cut = levels_between(Level.T7, Level.L3)
    assert label(with_regions(cut, {})).certainty is Certainty.LIKELY
    early = label(with_regions(levels_between(Level.T7, Level.L5), {Level.T12: 2}))
    assert early.certainty in (Certainty.DOUBTFUL, Certainty.PROVISIONAL)
    assert early.runner_up is not None
    named = {tuple(early.levels), tuple(early.runner_up)}
    assert tuple(levels_between(Level.T7, Level.L5)) in named


def test_a_whole_spine_overrules_where_ribs_seem_to_end() -> None:
    """Counted from the neck and ended by the sacrum, a missing rib or a lumbar one moves no level."""
    for looks in ({Level.T12: 2}, {Level.L1: 1}):
        labeling = label(with_regions(WHOLE, looks))
        assert labeling.levels.count(Level.L1) == 1
        assert list(labeling.levels)[:18] == WHOLE[:18]
    neck = label(with_regions(WHOLE, {Level.C7: 1}))
    assert list(neck.levels) == WHOLE


@pytest.mark.parametrize(("name", "level", "below", "ends"), [
    ("conus", Level.L1, 0.25, (Level.T12, Level.L4)), ("pelvis", Level.L4, 0.5, (Level.L1, Level.L4))])
def test_landmarks_tell_levels_where_nothing_else_does(name: str, level: Level, below: float,
                                                       ends: tuple[Level, Level]) -> None:
    levels = levels_between(*ends)
    found = moved(chain(levels), 0.0)
    here, next_one = (found[levels.index(v)].center_RAS for v in (level, Level(level + 1))) \
        if level is not Level.L4 else (found[-1].center_RAS, 2 * found[-1].center_RAS - found[-2].center_RAS)
    mark = Landmark(name, here + below * (next_one - here) + np.array([20.0, -30.0, 0.0]), level, below, 0.5)
    named = label(found, landmarks=[mark])
    assert list(named.levels) == levels
    assert named.references == (name,)
    assert named.certainty is not Certainty.CERTAIN
    assert label(found).certainty is Certainty.PROVISIONAL
    assert named.probability > label(found).probability


def columns(*parts: tuple[Structure, tuple[int, int], int]) -> LabelMap:
    """Upright columns of structures: from and to a height, and a place across, in voxels of 2 mm."""
    array, structures = np.zeros((12, 8, 100), np.uint16), {}
    for value, (structure, (low, high), across) in enumerate(parts, start=1):
        array[across:across + 2, 3:5, low:high] = value
        structures[value] = structure
    return LabelMap(array, np.diag([2.0, 2.0, 2.0, 1.0]), structures=structures)


CORD, CANAL, HIP = Structure(Kind.CORD), Structure(Kind.CANAL), Structure(Kind.HIP, side="left")


def test_the_cord_ends_where_the_canal_goes_on() -> None:
    mark, = landmarks(columns((CORD, (60, 100), 4), (CANAL, (10, 100), 8)))
    assert (mark.name, mark.level) == ("conus", Level.L1)
    assert mark.at_RAS[2] == pytest.approx(122.0, abs=4.0)
    assert landmarks(columns((CORD, (60, 100), 4), (CANAL, (55, 100), 8))) == ()
    assert landmarks(columns((CORD, (60, 100), 4))) == ()


def test_the_top_of_the_pelvis_counts_where_it_is_not_cut() -> None:
    mark, = landmarks(columns((HIP, (0, 60), 4)))
    assert (mark.name, mark.level) == ("pelvis", Level.L4)
    assert mark.at_RAS[2] == pytest.approx(118.0, abs=4.0)
    assert landmarks(columns((HIP, (0, 99), 4))) == ()


def test_a_vertebra_that_the_image_cuts_is_not_missed() -> None:
    levels = levels_between(Level.L1, Level.L4)
    found = moved(chain(levels), 0.0)
    mark = Landmark("conus", found[0].center_RAS - np.array([0.0, 0.0, 8.0]), Level.L1, 0.25, 0.5)
    assert list(label(found, room_above_mm=35.0, room_below_mm=42.0, landmarks=[mark]).levels) == levels
    assert label(found, room_above_mm=35.0, room_below_mm=120.0, landmarks=[mark]).levels[-1] is Level.L5


def test_the_spine_is_shown_as_far_as_its_canal_is() -> None:
    """Images often go on in blank borders, where no vertebra was missed."""
    top, bottom = np.array([8.0, 6.0, 150.0]), np.array([8.0, 6.0, 60.0])
    body = (Structure(Kind.BODY, Level.L1), (30, 75), 4)
    assert shown_beyond(columns(body), top, bottom) == (48.0, 60.0)
    above, below = shown_beyond(columns(body, (CANAL, (20, 80), 8)), top, bottom)
    assert (above, below) == pytest.approx((8.0, 20.0), abs=4.0)
    assert shown_beyond(columns(body, (CANAL, (40, 70), 8)), top, bottom) == (0.0, 0.0)


def test_the_sacrum_begins_below_the_last_vertebra_though_its_wings_reach_higher() -> None:
    """Parts of the last vertebra taken for it do so as well."""
    body = [(Structure(Kind.BODY, level), low, 4) for level, low in
            ((Level.L4, (70, 84)), (Level.L5, (52, 66)), (Level.S1, (30, 48)))]
    labels = columns(*body)
    labels.array[6:8, 3:5, 46:72] = 3
    upper, lower, sacrum = pieces(labels)
    assert (upper.level, lower.level, sacrum.level) == (Level.L4, Level.L5, Level.S1)
    assert sacrum.center_RAS[2] < lower.center_RAS[2] - 15.0
    assert abs(sacrum.center_RAS[0] - lower.center_RAS[0]) < 5.0
