"""Vertebrae and discs told apart, on what a perfect, an unsure and a wrong network would answer for phantoms."""

from dataclasses import replace

import numpy as np
import pytest
from network_answers import center_of, classes_of, dice, field_of, mask_of, phantom_labels
from numpy.typing import NDArray
from scipy import ndimage

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import SpineSpec
from SpineAnalysisLib.schemes import own_value
from SpineAnalysisLib.schemes.apply import own_structures
from SpineAnalysisLib.segmentation.hints import Hint, HintKind, hints_from_labels
from SpineAnalysisLib.segmentation.instances.boundaries import borders, corrected
from SpineAnalysisLib.segmentation.instances.field import Field, beside_canal, one_spine, without_dark_band
from SpineAnalysisLib.segmentation.instances.separate import LARGE_SACRUM_MM3, Separated, separate
from SpineAnalysisLib.segmentation.network.classes import BODY, Class
from SpineAnalysisLib.volume import LabelMap, Volume

FORWARD = np.array([0.0, 60.0, 0.0])
LUMBAR = (Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)


@pytest.fixture(scope="module")
def lumbar() -> LabelMap:
    """L1 to the sacrum in slices of 4 mm, with lordosis and a curve to the side."""
    spec = SpineSpec.typical(Level.L1, Level.S1)
    return phantom_labels(spec.changed({Level.L1: {"coronal": 8.0}, Level.L2: {"coronal": 6.0}}), pixel_mm=1.5)


@pytest.fixture(scope="module")
def classes(lumbar: LabelMap) -> NDArray[np.uint8]:
    return classes_of(lumbar)


def labels_of(found: Separated, whole: LabelMap) -> LabelMap:
    """What was found, which covers the spine only, on the grid that the field was given on."""
    first = np.rint(whole.to_ijk(found.field.grid.ijk_to_ras[:3, 3])).astype(int)
    array = np.zeros(whole.shape, np.uint16)
    array[tuple(slice(a, a + n) for a, n in zip(first, found.labels.shape, strict=True))] = found.labels
    return LabelMap(array, whole.ijk_to_ras, "", own_structures(whole.with_array(array)))


def check_bodies(found: Separated, truth: LabelMap, levels: tuple[Level, ...] = LUMBAR, least: float = 0.97) -> None:
    labels = labels_of(found, truth)
    assert found.levels == levels
    scores = {level: dice(mask_of(labels, Kind.BODY, level), mask_of(truth, Kind.BODY, level)) for level in levels}
    assert min(scores.values()) > least, scores


def test_everything_of_a_lumbar_spine(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    found = separate(field_of(classes, lumbar))
    labels = labels_of(found, lumbar)
    check_bodies(found, lumbar)
    assert found.sacrum
    assert "L1 to L5 upward from the sacrum" in found.notes[0]
    for level in LUMBAR:
        assert dice(mask_of(labels, Kind.DISC, level), mask_of(lumbar, Kind.DISC, level)) > 0.97
        assert dice(mask_of(labels, Kind.ARCH, level), mask_of(lumbar, Kind.ARCH, level)) > 0.90, level
    for kind in (Kind.CANAL, Kind.CORD):
        assert dice(mask_of(labels, kind), mask_of(lumbar, kind)) > 0.97
    assert min(found.confidence) > 0.8


def test_a_neck_is_told_apart_and_its_levels_are_not_pretended_to_be_known() -> None:
    truth = phantom_labels(SpineSpec.typical(Level.C2, Level.T1), slice_mm=3.0, pixel_mm=1.25)
    found = separate(field_of(classes_of(truth), truth))
    assert len(found.levels) == 7, "the dens makes C2 as tall as two"
    assert not found.sacrum
    assert "on the assumption" in found.notes[0]
    labels = labels_of(found, truth)
    for true, named in zip(truth.levels, found.levels, strict=True):
        assert dice(mask_of(labels, Kind.BODY, named), mask_of(truth, Kind.BODY, true)) > 0.95
        assert dice(mask_of(labels, Kind.ARCH, named), mask_of(truth, Kind.ARCH, true)) > 0.90


def test_processes_of_a_vertebra_whose_pedicles_are_out_of_view(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Joined behind, as processes are in thick slices, they must not all go to the next vertebra."""
    body = np.argwhere(mask_of(lumbar, Kind.BODY, Level.L2))[:, 1]
    start = int(body.min() + 0.8 * np.ptp(body))
    truth = replace(lumbar, array=lumbar.array[:, start:], ijk_to_ras=lumbar.crop(
        np.array([0, start, 0]), np.array(lumbar.shape)).ijk_to_ras)
    joined = classes[:, start:].copy()
    arch = np.argwhere(joined == Class.ARCH)
    middle = slice(int(np.median(arch[:, 0])) - 1, int(np.median(arch[:, 0])) + 2)
    closed = ndimage.binary_closing(joined[middle] == Class.ARCH, np.ones((1, 15, 1)))
    joined[middle][closed & (joined[middle] == Class.BACKGROUND)] = Class.ARCH
    labels = labels_of(separate(field_of(joined, truth)), truth)
    for level in (Level.L2, Level.L3, Level.L4):
        assert dice(mask_of(labels, Kind.ARCH, level), mask_of(truth, Kind.ARCH, level)) > 0.8, level


def test_fused_vertebrae_come_apart(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    fused = classes.copy()
    between = mask_of(lumbar, Kind.DISC, Level.L3)
    fused[between] = Class.MARROW
    fused[(classes == Class.RIM) & near(between, lumbar, 4.0)] = Class.MARROW
    found = separate(field_of(fused, lumbar))
    check_bodies(found, lumbar, least=0.85)


def test_a_cleft_in_a_body_is_no_disc(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    split = classes.copy()
    body = mask_of(lumbar, Kind.BODY, Level.L3)
    middle = np.argwhere(body).mean(axis=0)
    rows = np.arange(body.shape[1])[None, :, None]
    cleft = body & (np.abs(rows - middle[1]) < 2.0)
    split[cleft] = Class.DISC
    found = separate(field_of(split, lumbar))
    assert found.levels == LUMBAR
    labels = labels_of(found, lumbar)
    assert dice(mask_of(labels, Kind.BODY, Level.L3) | cleft, body) > 0.95


def test_islands_leaks_and_specks_do_not_count(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    dirty = classes.copy()
    dirty[:3, 20:60, :12] = Class.MARROW  # at the skin
    dirty[14:17, 60:75, -6:] = Class.CANAL
    corner = np.argwhere(mask_of(lumbar, Kind.BODY, Level.L3)).max(axis=0)
    dirty[corner[0] + 2:, corner[1] - 6:corner[1], 30:44] = np.where(
        dirty[corner[0] + 2:, corner[1] - 6:corner[1], 30:44] == 0, Class.CANAL, Class.ARCH)
    found = separate(field_of(dirty, lumbar))
    check_bodies(found, lumbar)
    assert dice(mask_of(labels_of(found, lumbar), Kind.CANAL), mask_of(lumbar, Kind.CANAL)) > 0.95
    assert not labels_of(found, lumbar).array[:3, 20:60, :12].any()
    background = found.field.classes() == Class.BACKGROUND
    assert background[found.labels == 0].all(), "labels and probabilities agree"


def test_without_a_sacrum_levels_are_assumed(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    rows = np.flatnonzero(mask_of(lumbar, Kind.BODY, Level.L4).any(axis=(0, 2)))
    cut = classes[:, :int(rows[0] + 12)]
    grid = replace(lumbar, array=lumbar.array[:, :cut.shape[1]])
    found = separate(field_of(cut, grid))
    assert found.levels == (Level.L2, Level.L3, Level.L4, Level.L5), "the lowest is the part of L4 that is in view"
    assert not found.sacrum


def test_pieces_of_the_sacrum_are_no_vertebrae(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Its lower part looks like bodies, as it does on coarse CT."""
    taken = classes.copy()
    rows = np.nonzero(classes == Class.SACRUM)[1]
    lower = (classes == Class.SACRUM) & (np.arange(classes.shape[1])[:, None] > np.quantile(rows, 0.8))
    taken[lower] = Class.MARROW
    assert np.count_nonzero(taken == Class.SACRUM) * lumbar.voxel_volume > LARGE_SACRUM_MM3
    found = separate(field_of(taken, lumbar))
    check_bodies(found, lumbar)
    assert found.sacrum


def test_hips_do_not_bend_the_column(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Bits of them look like bodies, on both sides of the sacrum and farther down."""
    taken = np.pad(classes, ((8, 8), (0, 30), (0, 0)))
    grid = replace(lumbar, array=np.pad(lumbar.array, ((8, 8), (0, 30), (0, 0))))
    column = np.argwhere(np.isin(taken, (Class.MARROW, Class.RIM)))
    low, (left, right) = column[:, 1].max(), (column[:, 0].min(), column[:, 0].max())
    back = int(np.median(column[:, 2]))
    for slices in (slice(left - 6, left - 3), slice(right + 4, right + 7)):
        taken[slices, low + 10:low + 28, back:back + 8] = Class.MARROW
    taken[right - 3:right, low + 36:low + 48, back:back + 10] = Class.MARROW
    check_bodies(separate(field_of(taken, grid)), grid)


def test_a_lip_beside_a_disc_does_not_cut_the_canal(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Where all that a row shows of bodies is an osteophyte at one side."""
    taken = classes.copy()
    disc = np.argwhere(mask_of(lumbar, Kind.DISC, Level.L3))
    rows = range(int(disc[:, 1].min()), int(disc[:, 1].max()) + 1)
    side = int(disc[:, 0].min())
    for row in rows:
        columns = disc[disc[:, 1] == row][:, 2]
        taken[side - 3:side, row, columns.min():columns.max()] = Class.MARROW
    labels = labels_of(separate(field_of(taken, lumbar)), lumbar)
    truth = mask_of(lumbar, Kind.CANAL) | mask_of(lumbar, Kind.CORD)
    found = mask_of(labels, Kind.CANAL) | mask_of(labels, Kind.CORD)
    shares = found[:, rows].sum(axis=(0, 2)) / truth[:, rows].sum(axis=(0, 2))
    assert shares.min() > 0.9


def test_a_sacrum_that_was_taken_for_vertebrae(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Its first body looks like one more vertebra, but no disc follows where the scan goes on."""
    taken = classes.copy()
    taken[classes == Class.SACRUM] = 0
    first = mask_of(lumbar, Kind.BODY, Level.S1)
    taken[first] = Class.MARROW
    field = field_of(taken, lumbar)
    end = float(field.spacing[1] * field.values.shape[2])
    found = separate(field, scan_end_mm=end + 40.0)
    check_bodies(found, lumbar, least=0.95)
    assert found.sacrum
    assert dice(labels_of(found, lumbar).mask([own_value(Structure(Kind.VERTEBRA, Level.S1))]), first) > 0.9
    assert any("no disc lies below" in note for note in found.notes)
    assert len(separate(field, scan_end_mm=end - 60.0).levels) == 6, "where the scan ends, a disc may follow"


@pytest.mark.parametrize("seen_mm", [12.0, 24.0])
def test_a_scan_that_ends_in_the_sacrum(lumbar: LabelMap, classes: NDArray[np.uint8], seen_mm: float) -> None:
    """Its first body looks like one more vertebra, but its wings do not."""
    first = mask_of(lumbar, Kind.BODY, Level.S1)
    end = int(np.argwhere(first)[:, 1].min() + seen_mm / lumbar.spacing[1])
    grid = replace(lumbar, array=lumbar.array[:, :end])
    taken = classes[:, :end].copy()
    taken[first[:, :end]] = Class.MARROW
    assert np.count_nonzero(taken == Class.SACRUM) > np.count_nonzero(first[:, :end]), "wings are larger"
    found = separate(field_of(taken, grid))
    check_bodies(found, grid, least=0.95)
    assert found.sacrum
    sacrum = labels_of(found, grid).mask([own_value(Structure(Kind.VERTEBRA, Level.S1))])
    assert dice(sacrum, grid.mask([v for v, s in lumbar.structures.items() if s.level is Level.S1 and s.kind.is_bone])
                ) > 0.9


def test_wings_beside_a_vertebra_with_a_disc_below_do_not_make_it_sacral(lumbar: LabelMap,
                                                                         classes: NDArray[np.uint8]) -> None:
    """A steep last lumbar vertebra lies between the wings."""
    body = mask_of(lumbar, Kind.BODY, Level.L5)
    taken, (low, high) = classes.copy(), np.quantile(np.argwhere(body)[:, 1], (0.2, 1.0)).astype(int)
    beside = near(body, lumbar, 22.0) & (classes == Class.BACKGROUND)
    beside[:, :low] = beside[:, high:] = False
    beside[:, :, :int(np.argwhere(body)[:, 2].mean())] = False
    taken[beside] = Class.SACRUM
    assert np.count_nonzero(beside) > 0.6 * np.count_nonzero(body)
    found = separate(field_of(taken, lumbar))
    check_bodies(found, lumbar, least=0.9)
    assert found.sacrum


def test_an_unsure_body_is_named(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    field = field_of(classes, lumbar)
    body = mask_of(lumbar, Kind.BODY, Level.L2)
    values = field.values.copy()
    values[:, body] = (values[:, body] * 0.55).astype(np.uint8)
    values[Class.BACKGROUND, body] += 105
    found = separate(replace(field, values=values))
    assert any("unsure of L2 (" in note for note in found.notes)


def test_nothing_and_too_little(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="No spine was found in this scan; check"):
        separate(field_of(np.zeros_like(classes), lumbar, noise=0.0))
    canal = np.where(np.isin(classes, (Class.CANAL, Class.CORD)), classes, 0).astype(np.uint8)
    with pytest.raises(InputError, match="No spine was found"):
        separate(field_of(canal, lumbar))


def at(labels: LabelMap, kind: Kind, level: Level) -> NDArray[np.floating]:
    return center_of(labels, Structure(kind, level))


def near(mask: NDArray[np.bool_], grid: LabelMap, reach_mm: float) -> NDArray[np.bool_]:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~mask, grid.spacing) < reach_mm


def test_a_vertebra_that_the_network_hardly_saw_is_added(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """L1, the uppermost: between others, a missing one would show as a gap."""
    field = field_of(classes, lumbar)
    body = mask_of(lumbar, Kind.BODY, Level.L1)
    values = field.values.copy()
    values[:, body] = values[:, body] // 4
    values[Class.BACKGROUND, body] += 190
    faint = replace(field, values=values)
    assert separate(faint).levels == LUMBAR[1:]
    found = separate(faint, [Hint(HintKind.ADD, at(lumbar, Kind.BODY, Level.L1))])
    check_bodies(found, lumbar, least=0.9)
    with pytest.raises(InputError, match="Nothing like a vertebra is seen where one was added"):
        separate(faint, [Hint(HintKind.ADD, at(lumbar, Kind.BODY, Level.L1) + FORWARD)])


def test_split_and_merge(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    between = at(lumbar, Kind.DISC, Level.L2)
    merged = separate(field_of(classes, lumbar), [Hint(HintKind.MERGE, between)])
    assert len(merged.levels) == 4, "people may be wrong, and are obeyed"
    apart = separate(field_of(classes, lumbar), [Hint(HintKind.SPLIT, at(lumbar, Kind.BODY, Level.L3))])
    assert len(apart.levels) == 6
    with pytest.raises(InputError, match=r"A point \(split\) lies far from the spine"):
        separate(field_of(classes, lumbar), [Hint(HintKind.SPLIT, between + 1.5 * FORWARD)])


def test_remove(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    field = field_of(classes, lumbar)
    found = separate(field, [Hint(HintKind.REMOVE, at(lumbar, Kind.BODY, Level.L1))])
    check_bodies(found, lumbar, LUMBAR[1:])
    assert not mask_of(labels_of(found, lumbar), Kind.BODY)[mask_of(lumbar, Kind.BODY, Level.L1)].any()
    without = separate(field, [Hint(HintKind.REMOVE, at(lumbar, Kind.DISC, Level.L3))])
    assert without.levels == LUMBAR
    assert not mask_of(labels_of(without, lumbar), Kind.DISC, Level.L3).any()
    with pytest.raises(InputError, match="no vertebra or disc where one was to be removed"):
        separate(field, [Hint(HintKind.REMOVE, at(lumbar, Kind.BODY, Level.L1) + FORWARD)])


def test_region(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    points = np.array([at(lumbar, Kind.BODY, level) for level in (Level.L1, Level.L3)])
    found = separate(field_of(classes, lumbar), [Hint(HintKind.REGION, points)])
    assert not found.sacrum
    assert 3 <= len(found.levels) <= 4
    centers = [lumbar.to_ras(np.argwhere(labels_of(found, lumbar).array > 0)).min(axis=0)[2]]
    assert min(centers) > points[1, 2] - 40.0


def test_two_spines_are_one_and_its_continuation() -> None:
    spacing = np.array([3.0, 1.0, 1.0])
    mask = np.zeros((20, 200, 100), bool)
    mask[5:15, 20:100, 40:60] = True
    mask[5:15, 115:160, 42:62] = True  # continues it below a gap of metal
    mask[5:15, 30:90, 80:95] = True  # lies beside it
    kept = one_spine(mask, spacing)
    assert kept[10, 130, 50]
    assert not kept[10, 60, 85]


def test_hips_are_no_vertebrae() -> None:
    spacing = np.array([3.0, 1.0, 1.0])
    classes = np.zeros((60, 260, 80), np.uint8)
    classes[27:33, 10:200, 50:60] = Class.CANAL
    classes[24:36, 10:190, 15:45] = Class.MARROW
    classes[10:50, 190:240, 40:60] = Class.SACRUM
    classes[2:12, 150:250, 20:60] = Class.MARROW
    kept = beside_canal(classes, spacing)
    assert kept[24:36, 10:190, 15:45].all()
    assert kept[12:48, 190:240, 40:60].all()
    assert not kept[2:12, :190].any()
    alone = np.where(classes == Class.MARROW, classes, 0).astype(np.uint8)
    assert (beside_canal(alone, spacing) == (alone > 0)).all(), "without a canal nothing tells"


def test_borders_follow_discs_and_spacing() -> None:
    disc = np.zeros(190)
    for place in (20, 53, 87, 122, 158):
        disc[place - 4:place + 5] = 0.9
    assert borders(disc).tolist() == pytest.approx([20, 53, 87, 122, 158], abs=1.0)
    gone = disc.copy()
    gone[83:92] = 0.0
    assert len(borders(gone)) == 5
    assert borders(gone)[2] == pytest.approx(87, abs=8.0)
    assert borders(np.zeros(30)).size == 0


def test_people_move_borders() -> None:
    places = np.array([20.0, 53.0, 87.0])
    assert corrected(places, [], [50.0]).tolist() == [20.0, 87.0]
    assert corrected(places, [70.0, 22.0], []).tolist() == [22.0, 53.0, 70.0, 87.0]
    with pytest.raises(InputError, match="nothing to merge near a point"):
        corrected(places, [], [130.0])


def test_points_say_what_they_mean() -> None:
    point = np.array([1.0, 2.0, 3.0])
    found = hints_from_labels([("Split 1", point), ("add", point), ("split-2", point + 1)])
    assert {hint.kind: len(hint.points_RAS) for hint in found} == {HintKind.SPLIT: 2, HintKind.ADD: 1}
    with pytest.raises(InputError, match="The point F-1 does not say what it means: begin its label with add, split"):
        hints_from_labels([("F-1", point)])
    with pytest.raises(InputError, match="needs points"):
        Hint(HintKind.ADD, np.zeros((0, 3)))


def test_bodies_hold_marrow_and_rim(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    field = field_of(classes, lumbar, blur_mm=0.6, noise=0.0)
    assert np.mean(field.classes() == classes) > 0.98
    assert set(np.unique(field.classes()[mask_of(lumbar, Kind.BODY, Level.L4)])) >= set(map(int, BODY))


def test_a_body_that_is_hardly_seen_above_the_last_one_is_none(lumbar: LabelMap, classes: NDArray[np.uint8]) -> None:
    """Where a spine ends in fat, the network expects one more body, half-heartedly and with no disc below it."""
    guess = mask_of(lumbar, Kind.BODY, Level.L1) | mask_of(lumbar, Kind.DISC, Level.L1)
    field = field_of(np.where(guess, Class.MARROW, classes), lumbar)
    assert separate(field).levels == LUMBAR, "fused vertebrae have no disc either"
    values = field.values.copy()
    taken = (0.35 * values[Class.MARROW] * guess).astype(np.uint8)
    values[Class.MARROW] -= taken
    values[Class.BACKGROUND] += taken
    check_bodies(separate(replace(field, values=values)), lumbar, LUMBAR[1:], 0.9)  # some of the guess stays on L2


@pytest.mark.parametrize(("outside", "bone"), [(Class.DISC, 2), (Class.BACKGROUND, 2), (Class.CANAL, 4)])
def test_half_of_a_dark_band_is_bone(outside: Class, bone: int) -> None:
    """Ten voxels of marrow, a rim of four, and ten of what lies outside, a little blurred."""
    kinds = np.repeat([Class.MARROW, Class.RIM, outside], (10, 4, 10))
    values = np.stack([ndimage.gaussian_filter1d(np.where(kinds == kind, 255.0, 0.0), 0.8) for kind in Class])
    line = np.broadcast_to(np.rint(values).astype(np.uint8)[:, None, :, None], (len(Class), 2, 24, 9))
    image = np.broadcast_to(np.where(kinds == Class.RIM, 1, 4)[:, None], (2, 24, 9))
    field = Field(line, Volume(image, np.eye(4)))
    assert without_dark_band(Field(line, Volume(-image, np.eye(4)))).values is line, "bright cortex is all bone"
    found = without_dark_band(field).classes()[0, :, 4]
    assert np.isin(field.classes()[0, :14, 4], BODY).all()
    assert np.isin(found[:10 + bone], BODY).all()
    assert (found[10 + bone:] == outside).all()
