"""Signal of discs: on phantoms of known signal, and never where the contrast does not allow it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.measurements import disc_signal
from SpineAnalysisLib.measurements.disc_space import disc_spaces
from SpineAnalysisLib.measurements.evenness import even
from SpineAnalysisLib.measurements.pfirrmann import (
    COUNTS,
    GRADES,
    HEIGHT,
    HEIGHT_SPREAD,
    expected_heights,
    grade_probabilities,
    height_spread,
    signal_ratios,
    signal_spreads,
)
from SpineAnalysisLib.measurements.record import Measurement, Quality, Severity
from SpineAnalysisLib.phantoms import Grid, Phantom, SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Contrast, Spine

WORN = {Level.L1: {"degeneration": 1}, Level.L2: {"degeneration": 2}, Level.L3: {"degeneration": 3},
        Level.L4: {"degeneration": 4, "disc_height": 9.0},
        Level.L5: {"degeneration": 5, "disc_height": 4.2, "lordosis": 4.0}}
EXPECTED = {Level.L1: "I", Level.L2: "II", Level.L3: "III", Level.L4: "IV", Level.L5: "V"}
SPACINGS = {"fine": (1.2, 1.0, 1.0), "thick": (3.3, 0.8, 0.8)}


@cache
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L1, Level.S1).changed(joints=WORN))


@cache
def spine(spacing: str) -> Spine:
    grid = phantom().grid(SPACINGS[spacing], margin=(4.0, 30.0, 2.0))
    return build_spine(phantom().labels(grid), phantom().image(grid, "T2"), "T2")


def records(model: Spine) -> dict[tuple[str, Level], Measurement]:
    found = disc_signal.compute(model, {}, silent).measurements
    return {(m.key, m.level.upper): m for m in found if isinstance(m.level, Segment)}


@pytest.mark.parametrize("spacing", SPACINGS)
def test_signal_is_the_tissues(spacing: str) -> None:
    found = records(spine(spacing))
    truths = [t for t in phantom().truth() if t.key in ("disc_signal_ratio", "disc_desiccation")]
    assert len(truths) == 10
    covered = []
    for truth in truths:
        assert isinstance(truth.level, Segment)
        record = found[truth.key, truth.level.upper]
        assert record.value == pytest.approx(truth.value, abs=0.06), (truth.key, truth.level)
        assert record.value is not None
        assert record.uncertainty is not None
        covered.append(abs(record.value - truth.value) <= record.uncertainty)
        assert record.scan is not None
    assert np.mean(covered) >= 0.8  # ten records, which share one fluid


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_grade_is_found(spacing: str) -> None:
    found = records(spine(spacing))
    for level, word in EXPECTED.items():
        grade = found["pfirrmann_grade", level]
        assert grade.word == word == GRADES[int(grade.value or 0)]
        assert sum(grade.probabilities.values()) == pytest.approx(1.0)
        assert max(grade.probabilities, key=grade.probabilities.__getitem__) == word
        assert grade.as_dict()["word"] == word
    severities = [found["pfirrmann_grade", level].severity for level in EXPECTED]
    assert severities == [Severity.NORMAL, Severity.NORMAL, Severity.MILD, Severity.MODERATE, Severity.SEVERE]


def test_the_coil_is_taken_out() -> None:
    biased = spine("thick")
    assert biased.image is not None
    even_coil = replace(biased, image=phantom().image(Grid.of(biased.image), "T2", bias=0.0))
    nuclei = np.array([motion.disc.origin for motion in biased.segments])
    canal = np.array([x.frame.origin for x in biased.canal.sections[::12] if x is not None]) if biased.canal else nuclei
    around = np.stack(np.meshgrid(*[np.linspace(-3.0, 3.0, 5)] * 3), axis=-1).reshape(-1, 3)

    def ratios(values: np.ndarray, fluid: np.ndarray) -> np.ndarray:
        return np.asarray(np.median(values, axis=1) / np.median(fluid))
    places, along = nuclei[:, None] + around, canal[:, None] + around
    plain = biased.scans[0]
    corrected = even(plain, biased)
    exact = ratios(even_coil.scans[0].values(places), even_coil.scans[0].values(along))
    before = np.abs(ratios(plain.values(places), plain.values(along)) / exact - 1.0).max()
    after = np.abs(ratios(corrected.values(places), corrected.values(along)) / exact - 1.0).max()
    assert before > 0.07
    assert after < 0.02


@pytest.mark.parametrize("contrast", ["T1", "STIR", "CT", None])
def test_other_contrasts_are_not_graded(contrast: Contrast | None) -> None:
    assert not records(replace(spine("thick"), contrast=contrast))


def test_a_guessed_contrast_is_flagged() -> None:
    found = records(replace(spine("thick"), contrast_guessed=True))
    assert len(found) == 15
    for record in found.values():
        assert "contrast_guessed" in record.flags
        assert record.quality is Quality.LIMITED


def test_discs_as_bright_as_fluid_are_not_graded_on_a_guess() -> None:
    """As on gradient echoes: every disc but one nearly as bright as the fluid."""
    def ratio(segment: Segment, value: float, guessed: bool) -> Measurement:
        flags = ("contrast_guessed",) if guessed else ()
        return Measurement("disc_signal_ratio", segment, value, "1", None, 0.03, flags=flags)

    spaces = [space for _, space in disc_spaces(spine("fine")) if space is not None]
    segments = [space.motion.segment for space in spaces]
    bright, usual = (0.93, 0.88, 0.95, 0.9, 0.4), (0.8, 0.6, 0.5, 0.2, 0.1)
    for guessed in (True, False):
        ratios = [ratio(s, v, guessed) for s, v in zip(segments, bright, strict=True)]
        grades = list(disc_signal._grades(spaces, ratios, [1.0] * 5))
        assert len(grades) == 5
        assert [grade.value is None for grade in grades] == [guessed] * 5
        assert all(("signal_unlike_t2" in grade.flags) == guessed for grade in grades)
    ratios = [ratio(s, v, True) for s, v in zip(segments, usual, strict=True)]
    assert all(grade.value for grade in disc_signal._grades(spaces, ratios, [1.0] * 5))


def test_without_fluid_there_is_no_grade() -> None:
    found = records(replace(spine("thick"), canal=None, cord=None))
    assert {key for key, _ in found} == {"disc_signal_ratio", "disc_desiccation"}
    for (key, _), record in found.items():
        if key == "disc_signal_ratio":
            assert record.value is None
            assert "no_free_csf" in record.flags


# --- the model of the grades

def test_typical_signals_are_their_own_grade() -> None:
    for grade, ratio in enumerate(signal_ratios()[:4]):
        assert int(grade_probabilities(float(ratio), 0.0, (1.0, 1.0, 0.9, 0.8)[grade]).argmax()) == grade
    assert int(grade_probabilities(float(signal_ratios()[4]), 0.0, 0.4).argmax()) == 4


def test_signal_alone_does_not_tell_five_from_four() -> None:
    dark = float(signal_ratios()[4])
    tall, low = grade_probabilities(dark, 0.0, 0.95), grade_probabilities(dark, 0.0, 0.45)
    assert tall[4] < 0.02
    assert low[4] > 0.8


def test_a_bright_disc_is_not_collapsed_however_low() -> None:
    """A rudimentary disc above a transitional vertebra."""
    for ratio in signal_ratios()[:2]:
        chances = grade_probabilities(float(ratio), 0.05 * float(ratio), 0.35)
        assert chances[4] < 0.1
        assert int(chances.argmax()) in (0, 1)


def test_the_lowest_disc_is_called_collapsed_later() -> None:
    dark = float(signal_ratios()[4])
    above, lowest = (grade_probabilities(dark, 0.0, 0.5, height_spread(Segment(upper, lower)))
                     for upper, lower in ((Level.L4, Level.L5), (Level.L5, Level.S1)))
    assert above[4] > 0.6 > lowest[4] > lowest[2]


def test_spread_of_grades_is_that_of_the_radiologists() -> None:
    """Discs drawn from the model are graded about as often I to V as radiologists did."""
    random = np.random.default_rng(1)
    drawn = random.choice(5, 3000, p=COUNTS / COUNTS.sum())
    ratios = signal_ratios()[drawn] * np.exp(signal_spreads()[drawn] * random.standard_normal(3000))
    heights = HEIGHT[drawn] + HEIGHT_SPREAD * random.standard_normal(3000)
    given = np.array([int(grade_probabilities(r, 0.0, h).argmax()) for r, h in zip(ratios, heights, strict=True)])
    shares = np.bincount(given, minlength=5) / 3000
    assert np.abs(shares - COUNTS / COUNTS.sum()).max() < 0.06
    assert (given == drawn).mean() > 0.6


def test_expected_height_is_the_subjects() -> None:
    lumbar = [Segment(a, b) for a, b in ((Level.L1, Level.L2), (Level.L2, Level.L3), (Level.L3, Level.L4),
                                         (Level.L4, Level.L5), (Level.L5, Level.S1))]
    usual = dict(zip(lumbar, (0.25, 0.28, 0.31, 0.33, 0.30), strict=True))
    low = {**{s: 0.9 * v for s, v in usual.items()}, lumbar[-1]: 0.10}
    shares = expected_heights(low)
    assert shares[lumbar[0]] == pytest.approx(1.0, abs=0.02)
    assert shares[lumbar[-1]] == pytest.approx(0.10 / 0.27, abs=0.03)
    assert not expected_heights({Segment(Level.C5, Level.C6): 0.3})
