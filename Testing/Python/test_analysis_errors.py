"""What the analysis says to input that it cannot use, and how it stops when it is asked to."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import Cancelled, InputError
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.volume import LabelMap, Volume


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(SpineSpec.typical(Level.L3, Level.L5))


@pytest.fixture(scope="module")
def labels(phantom: Phantom) -> LabelMap:
    """Bodies, arches, discs and canal of three vertebrae."""
    return phantom.labels(phantom.grid(2.0).shifted((0.3, 0.2, 0.4)), split=True)


def keeping(labels: LabelMap, wanted: Callable[[Structure], bool]) -> LabelMap:
    kept = {v: s for v, s in labels.structures.items() if wanted(s)}
    return replace(labels, array=np.where(np.isin(labels.array, list(kept)), labels.array, 0), structures=kept)


def with_canal_where(labels: LabelMap, where: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> LabelMap:
    """:param where: from (3, ...) indices and the canal's middle index to where its label stays."""
    canal = np.isin(labels.array, labels.values(Kind.CANAL))
    stays = where(np.indices(labels.shape), np.argwhere(canal).mean(axis=0).round())
    return replace(labels, array=np.where(canal & ~stays, 0, labels.array))


def far_away(labels: LabelMap) -> LabelMap:
    """The canal's label a quarter of a meter from the vertebrae."""
    (canal,) = labels.values(Kind.CANAL)
    array = np.pad(np.where(labels.array == canal, 0, labels.array), ((0, 150), (0, 0), (0, 0)))
    array[-20:-12, 20:27, 5:60] = canal
    return replace(labels, array=array)


def one_voxel_each(labels: LabelMap) -> LabelMap:
    array = np.zeros_like(labels.array)
    for value in labels.structures:
        array[tuple(np.argwhere(labels.array == value)[0])] = value
    return replace(labels, array=array)


CASES: dict[str, tuple[Callable[[LabelMap], LabelMap], str, str]] = {
    # what is wrong: how it is made, what is said of it, and what to do
    "one vertebra": (lambda x: keeping(x, lambda s: s.level in (None, Level.L4)), "only one vertebra", "at least two"),
    "no voxel": (lambda x: replace(x, array=np.zeros_like(x.array)), "holds no vertebra", "pass one with"),
    "no structure": (lambda x: replace(x, structures={}), "holds no vertebra", "pass one with"),
    "only a canal": (lambda x: keeping(x, lambda s: s.kind is Kind.CANAL), "holds no vertebra", "pass one with"),
    "only discs": (lambda x: keeping(x, lambda s: s.kind is Kind.DISC), "holds no vertebra", "pass one with"),
    "bodies only": (lambda x: keeping(x, lambda s: s.kind is Kind.BODY), "no spinal canal", "pass one that labels"),
    "short canal": (lambda x: with_canal_where(x, lambda index, middle: abs(index[2] - middle[2]) < 2),
                    "too short to follow", "at least a centimeter"),
    "specks of canal": (lambda x: with_canal_where(x, lambda index, middle: (index % 9 == 0).all(axis=0)),
                        "too short to follow", "at least a centimeter"),
    "canal elsewhere": (far_away, "far from all labeled vertebrae", "check that"),
    "one voxel each": (one_voxel_each, "too short to follow", "at least a centimeter"),
}


@pytest.mark.parametrize("case", CASES)
def test_unusable_labels_are_one_clear_sentence(labels: LabelMap, case: str) -> None:
    make, wrong, advice = CASES[case]
    with pytest.raises(InputError) as caught:
        analyze(None, make(labels))
    message = str(caught.value)
    assert wrong in message
    assert advice in message
    assert message.endswith(".")
    assert message.count(". ") == 0
    assert "\n" not in message
    assert message[0].isupper()
    assert len(message) < 200


def test_bodies_and_a_canal_are_enough(labels: LabelMap) -> None:
    analysis = analyze(None, keeping(labels, lambda s: s.kind in (Kind.BODY, Kind.CANAL)))
    record = analysis.measurement("canal_area", "L4")
    assert record is not None
    assert record.value is not None
    assert "pedicle_height_estimated" in record.flags
    whole = analyze(None, labels).measurement("canal_area", "L4")
    assert whole is not None
    assert "pedicle_height_estimated" not in whole.flags


def test_what_is_not_in_view_has_no_value(labels: LabelMap) -> None:
    """A canal beside the upper vertebra only: the others' records say so, and none is a zero."""
    top = with_canal_where(labels, lambda index, middle: index[2] > middle[2])
    analysis = analyze(None, top)
    records = {str(m.level): m for m in analysis.measurements if m.key == "canal_area"}
    assert records["L3"].value is not None
    assert records["L5"].value is None
    assert "canal_not_in_view" in records["L5"].flags
    assert records["L5"].quality.value == "poor"
    assert not any(m.value == 0 for m in analysis.measurements if m.key.startswith("canal_") and m.unit != "%")


# --- progress and cancelling

def test_progress_runs_from_nothing_to_all(phantom: Phantom, labels: LabelMap) -> None:
    seen: list[tuple[float, str]] = []
    analyze(phantom.image(phantom.grid(3.0)), labels, contrast="T2", progress=lambda f, m: seen.append((f, m)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert len(seen) > 6
    assert max(np.diff(fractions)) < 0.35
    assert all(message and message[0].isupper() and not message.endswith(".") for _, message in seen)


class Stopper:
    """A listener that cancels at its n-th call."""

    def __init__(self, at: int) -> None:
        self.at, self.calls, self.told = at, 0, ""

    def __call__(self, fraction: float, message: str) -> bool:
        self.calls += 1
        self.told = message
        return self.calls <= self.at


def test_cancelling_at_any_step_leaves_the_input_alone() -> None:
    phantom = Phantom(SpineSpec.typical(Level.L4, Level.L5))
    grid = phantom.grid(2.5)
    labels = phantom.labels(grid, canal=False, discs=False)  # so that canal and discs are derived
    image = Volume(np.zeros(grid.shape, np.int16), grid.ijk_to_ras)
    before, structures = labels.array.copy(), dict(labels.structures)
    counter = Stopper(10_000)
    analyze(image, labels, contrast="CT", progress=counter)
    for at in range(counter.calls):
        stopper = Stopper(at)
        with pytest.raises(Cancelled, match=r"\w"):
            analyze(image, labels, contrast="CT", progress=stopper)
        assert stopper.calls == at + 1  # it stops at once
    np.testing.assert_array_equal(labels.array, before)
    assert labels.structures == structures
    assert not image.array.any()
    assert not labels.derived
