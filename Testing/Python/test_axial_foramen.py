"""Foramina at the disc and lateral recesses on axial T2 slices: on the right side, and told which scan said so."""

import numpy as np
import pytest
from test_axial import DISC, block, labels_of, with_block

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.geometry.clefts import bright_cleft
from SpineAnalysisLib.measurements import foramen
from SpineAnalysisLib.measurements.record import Measurement
from SpineAnalysisLib.phantoms import Phantom
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.progress import silent
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import Volume

KEYS = ("foramen_width_disc", "lateral_recess_depth")
Places = dict[tuple[str, str | None], Measurement]


def records(spine: Spine) -> tuple[Places, tuple[str, ...]]:
    """By key and side at the disc, and what could not be used."""
    found = foramen.compute(spine, {}, silent)
    return {(m.key, m.side): m for m in found.measurements if m.key in KEYS and str(m.level) == DISC}, found.notes


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """A bulging disc, and an articular process that stands forward on the right."""
    spec = SpineSpec.typical(Level.L4, Level.L5)
    return Phantom(spec.changed(joints={Level.L4: {"bulge_around": 2.0}}, vertebrae={Level.L5: {"facet_right": 5.0}}))


@pytest.fixture(scope="module")
def spine(phantom: Phantom) -> Spine:
    return build_spine(labels_of(phantom))


@pytest.fixture(scope="module")
def image(phantom: Phantom) -> Volume:
    return phantom.image(block(phantom, 12.0, size=110), "T2", noise=40.0)


@pytest.fixture(scope="module")
def exact(phantom: Phantom) -> dict[tuple[str, str | None], float]:
    return {(t.key, t.side): t.value for t in phantom.truth() if str(t.level) == DISC}


def test_cleft_between_slanted_walls() -> None:
    """The wall behind slants, a dark root lies in the cleft, and both walls are expected elsewhere."""
    across = np.arange(-4.0, 4.01, 0.25)

    def picture(places: np.ndarray) -> np.ndarray:
        x, y = places[..., 0], places[..., 1]
        inside = np.clip(0.5 + (y - 0.3 * x + 3.0) / 0.6, 0, 1) * np.clip(0.5 + (4.0 - y) / 0.6, 0, 1)
        return np.asarray(200.0 * (0.1 + 0.9 * inside) * np.where(np.hypot(x - 2.0, y - 1.0) < 1.0, 0.5, 1.0))

    found = bright_cleft(picture, across, np.full(33, -4.5), np.full(33, 5.0), (2.5, 1.5))
    np.testing.assert_allclose(found.behind, 0.3 * across - 3.0, atol=0.25)
    np.testing.assert_allclose(found.ahead, 4.0, atol=0.2)
    assert found.seen.all()


def test_axial_slices_lead_where_they_know_better(spine: Spine, image: Volume, exact: dict) -> None:
    alone, _ = records(spine)
    found, _ = records(with_block(spine, image))
    assert set(found) == set(alone)
    led = {place: m for place, m in found.items() if m.scan == "T2 axial"}
    assert ("foramen_width_disc", "right") in led
    assert any(key == "lateral_recess_depth" for key, _ in led)
    for place, record in led.items():
        (other,) = record.others
        assert other.value == alone[place].value
        assert record.value is not None
        assert record.uncertainty is not None
        assert record.uncertainty < (other.uncertainty or 0.0)
        assert "soft_walls" in record.flags
        assert abs(record.value - exact[place]) <= record.uncertainty, place


def test_left_and_right_are_the_patients(spine: Spine, image: Volume, exact: dict) -> None:
    """By the axial slices themselves, whether they lead or not."""
    found, _ = records(with_block(spine, image))
    widths = {side: next(m for m in (found[KEYS[0], side], *found[KEYS[0], side].others) if m.scan == "T2 axial")
              for side in ("left", "right")}
    truth = exact[KEYS[0], "left"] - exact[KEYS[0], "right"]
    assert truth > 4.0
    left, right = widths["left"], widths["right"]
    assert (left.value or 0.0) - (right.value or 0.0) == pytest.approx(truth, abs=2.0)


def test_lines_lie_in_a_slice(spine: Spine, image: Volume) -> None:
    found, _ = records(with_block(spine, image))
    for record in found.values():
        for each in (record, *record.others):
            if each.scan == "T2 axial":
                assert each.geometry is not None
                assert each.geometry.frame is not None
                slices = image.to_ijk(each.geometry.points_RAS)[:, 2]
                np.testing.assert_allclose(slices, np.rint(slices.mean()), atol=1e-6)


def test_beside_a_fine_segmentation_both_are_right(phantom: Phantom, image: Volume, exact: dict) -> None:
    """Whichever leads is the one that is known better."""
    found, _ = records(with_block(build_spine(phantom.labels(phantom.grid(1.0))), image))
    record = found["foramen_width_disc", "right"]
    (other,) = record.others
    assert {record.scan, other.scan} == {None, "T2 axial"}
    assert (record.uncertainty or 0.0) <= (other.uncertainty or 0.0)
    for each in (record, other):
        assert each.value == pytest.approx(exact["foramen_width_disc", "right"], abs=0.7)


def test_walls_that_do_not_stand_out_are_told(spine: Spine, image: Volume) -> None:
    noise = image.with_array(np.random.default_rng(3).normal(500.0, 30.0, image.shape).astype(np.float32))
    found, notes = records(with_block(spine, noise))
    assert all(m.scan is None and not m.others for m in found.values())
    (note,) = notes
    assert note.startswith("The walls do not stand out at L4-L5 left (foramen at the disc) on T2 axial, ")


def test_a_block_that_ends_before_the_place_is_not_used(spine: Spine, image: Volume) -> None:
    """Its slices show the body above; nothing is said of places that it does not hold."""
    away = Volume(image.array, image.ijk_to_ras.copy(), "")
    away.ijk_to_ras[:3, 3] += 6.0 * image.ijk_to_ras[:3, 2]
    found, notes = records(with_block(spine, away))
    assert all(m.scan is None and not m.others for m in found.values())
    assert notes == ()


def test_a_recess_is_read_where_some_of_the_pedicle_lies_in_its_slice(phantom: Phantom, spine: Spine, exact: dict
                                                                      ) -> None:
    """Slices along the disc's plane: the one at the recess, at the upper border of the pedicle, holds some of it."""
    found, _ = records(with_block(spine, phantom.image(block(phantom, 0.0, size=110, shift=0.5), "T2", noise=40.0)))
    record = found["lateral_recess_depth", "right"]
    assert record.scan == "T2 axial"
    assert record.value == pytest.approx(exact["lateral_recess_depth", "right"], abs=0.7)
