"""The canal that arches enclose, against phantoms whose canal is known and on real segmentations."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.derive.canal import derive_canal
from SpineAnalysisLib.derive.gaps import close_gaps
from SpineAnalysisLib.derive.rings import find_rings
from SpineAnalysisLib.errors import Cancelled
from SpineAnalysisLib.phantoms import Phantom, preset
from SpineAnalysisLib.volume import LabelMap

Mask = NDArray[np.bool_]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


# --- comparison

def dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def derived(labels: LabelMap) -> Mask:
    mask, _ = derive_canal(labels)
    assert mask is not None
    assert mask.shape == labels.shape
    assert label(mask, np.ones((3, 3, 3)))[1] == 1
    assert not (mask & labels.mask(labels.values({*Kind} - {Kind.CANAL_CONTENT, Kind.CORD}))).any()
    return mask


def along(phantom: Phantom, points: NDArray) -> NDArray:
    """Arc length of the phantom's canal beside each point."""
    return phantom.canal.s[cKDTree(phantom.canal.points).query(points)[1]]


def profile(phantom: Phantom, labels: LabelMap, mask: Mask) -> tuple[NDArray, NDArray]:
    """Arc lengths of the phantom's canal every 3 mm, and the mask's area there in shares of the bony canal."""
    canal, width = phantom.canal, 3.0
    points = labels.to_ras(np.argwhere(mask).astype(float))
    volume = np.bincount((along(phantom, points) / width).astype(int), minlength=int(canal.s[-1] / width) + 1)
    s = (np.arange(len(volume)) + 0.5) * width
    truth = np.pi / 4 * canal.at(canal.bony_width, s) * canal.at(canal.bony_depth, s)
    return s, volume * labels.voxel_volume / width / truth


def within_arches(phantom: Phantom, s: NDArray, margin: float = 3.0) -> Mask:
    bodies = phantom.chain.bodies
    first, last = (phantom.canal.position(b.pedicle_plane) for b in (bodies[0], bodies[-1]))
    return (s > first + margin) & (s < last - margin)


def bones(phantom: Phantom, spacing: float | tuple[float, ...], axes: str = "RAS", rotation: NDArray | None = None,
          split: bool = False, discs: bool = False) -> LabelMap:
    return phantom.labels(phantom.grid(spacing, axes, rotation), split=split, discs=discs, canal=False, cord=False)


@cache
def normal() -> tuple[LabelMap, Mask]:
    labels = bones(preset("normal_lumbar"), 1.5, split=True)
    return labels, derived(labels)


def without(labels: LabelMap, values: list[int]) -> LabelMap:
    return replace(labels, array=np.where(np.isin(labels.array, values), 0, labels.array))


# --- phantoms

@pytest.mark.parametrize(("name", "spacing", "axes", "discs"), [
    ("normal_lumbar", 1.5, "RAS", True),
    ("scoliotic", 2.0, "LPS", False),
    ("curved", 2.0, "SAR", False),
    ("normal_lumbar", (3.3, 0.9, 0.9), "RPI", True),
    ("normal_lumbar", (0.9, 0.9, 3.0), "LAS", False),
    ("normal_lumbar", 3.0, "RAS", False),
    ("cervical", 1.0, "RAS", False),
])
def test_area_is_that_of_the_bony_canal(name: str, spacing: float, axes: str, discs: bool) -> None:
    phantom = preset(name)
    labels = bones(phantom, spacing, axes, Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix(), discs=discs)
    s, share = profile(phantom, labels, derived(labels))
    inside = within_arches(phantom, s)
    assert share[inside].mean() == pytest.approx(1.0, abs=0.05)
    assert np.abs(share[inside] - 1.0).max() < 0.25


def test_pedicle_levels_are_exact() -> None:
    phantom = preset("normal_lumbar")
    labels = bones(phantom, 1.0)
    s, share = profile(phantom, labels, derived(labels))
    for body in phantom.chain.bodies[1:-1]:
        at = phantom.canal.position(body.pedicle_plane)
        assert float(np.interp(at, s, share)) == pytest.approx(1.0, abs=0.05), body.spec.level


def test_covers_the_canal_from_the_first_arch_to_the_last() -> None:
    phantom = preset("normal_lumbar")
    labels, mask = normal()
    s, share = profile(phantom, labels, mask)
    assert (share[within_arches(phantom, s, margin=0.0)] > 0.7).all()


def test_a_moved_spine_has_the_moved_canal() -> None:
    labels, mask = normal()
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_rotvec([1.2, 0.7, -2.0]).as_matrix()
    transform[:3, 3] = 30, -50, 99
    assert dice(derived(replace(labels, ijk_to_ras=transform @ labels.ijk_to_ras)), mask) > 0.998


def test_the_order_of_the_voxels_does_not_matter() -> None:
    labels, mask = normal()
    flip, turn = np.diag([-1.0, 1.0, 1.0, 1.0]), np.zeros((4, 4))
    flip[0, 3] = labels.shape[0] - 1
    turn[0, 1] = turn[1, 2] = turn[2, 0] = turn[3, 3] = 1.0
    array = np.transpose(labels.array[::-1], (2, 0, 1))
    other = replace(labels, array=array, ijk_to_ras=labels.ijk_to_ras @ flip @ turn)
    assert dice(np.transpose(derived(other), (1, 2, 0))[::-1], mask) > 0.995


def test_a_known_content_is_contained() -> None:
    phantom = preset("cervical")
    grid = phantom.grid(1.0)
    labels = phantom.labels(grid, discs=False, canal=False, cord=True)
    mask = derived(labels)
    cord = labels.mask(labels.values(Kind.CORD))
    s = along(phantom, labels.to_ras(np.argwhere(cord).astype(float)))
    assert mask[cord][within_arches(phantom, s)].all()


def test_the_sacral_canal_is_its_upper_part() -> None:
    labels, mask = normal()
    sacrum = preset("normal_lumbar").chain.bodies[-1]
    height = sacrum.frame.to_frame(labels.to_ras(np.argwhere(mask).astype(float)))[:, 2]
    assert -25.0 < height.min() < 0.0


# --- incomplete spines

def test_bodies_alone_have_no_canal() -> None:
    labels, _ = normal()
    mask, flags = derive_canal(without(labels, labels.values(Kind.ARCH)))
    assert mask is None
    assert flags[0] == "canal_not_derived"
    assert "no_enclosing_arch_L3" in flags


def test_one_arch_is_not_enough() -> None:
    labels, _ = normal()
    others = [v for v in labels.values(Kind.ARCH) if labels.structures[v].level != Level.L2]
    mask, flags = derive_canal(without(labels, others))
    assert mask is None
    assert "no_enclosing_arch_L2" not in flags


def test_a_missing_arch_is_bridged_and_named() -> None:
    phantom = preset("normal_lumbar")
    labels, _ = normal()
    bare = without(labels, labels.values(Kind.ARCH, Level.L3))
    assert derive_canal(bare)[1] == ("canal_derived", "no_enclosing_arch_L3")
    s, share = profile(phantom, bare, derived(bare))
    assert np.abs(share[within_arches(phantom, s)] - 1.0).max() < 0.3


def test_a_cleft_lamina_still_encloses() -> None:
    labels, mask = normal()
    index = np.argwhere(labels.mask(labels.values(Kind.ARCH, Level.L4)))
    cleft = index[np.abs(labels.to_ras(index.astype(float))[:, 0]) < 2.5]
    array = labels.array.copy()
    array[tuple(cleft.T)] = 0
    split = replace(labels, array=array)
    assert derive_canal(split)[1] == ("canal_derived",)
    assert dice(derived(split), mask) > 0.97


def test_a_cropped_view_agrees_with_the_whole() -> None:
    labels, mask = normal()
    low, high = (0, 0, int(0.45 * labels.shape[2])), (*labels.shape[:2], int(0.75 * labels.shape[2]))
    part, inside = derived(replace(labels.crop(low, high), derived=frozenset())), mask[:, :, low[2]:high[2]]
    covered = part.any(axis=(0, 1))
    assert covered.mean() > 0.6
    assert dice(part[:, :, covered], inside[:, :, covered]) > 0.95


def test_labels_that_the_array_lacks_are_not_missed() -> None:
    labels, _ = normal()
    more = replace(labels, structures={**labels.structures, 9999: Structure(Kind.VERTEBRA, Level.T4)})
    assert derive_canal(more)[1] == ("canal_derived",)


def test_cancelling() -> None:
    labels, _ = normal()
    with pytest.raises(Cancelled):
        derive_canal(labels, lambda fraction, _message: fraction < 0.5)


# --- parts

def test_rings_face_their_bodies() -> None:
    phantom = preset("scoliotic")
    labels = bones(phantom, 2.0)
    windows = {v: w for v, w in enumerate(find_objects(labels.array), 1) if w is not None}
    rings = {ring.level: ring for ring in find_rings(labels, windows)}
    assert set(rings) == set(phantom.spec.levels)
    for body in phantom.chain.bodies:
        ring, at = rings[body.spec.level], phantom.canal.position(body.pedicle_plane)
        away = body.frame.to_frame(ring.frame.origin) - body.frame.to_frame(phantom.canal.at(phantom.canal.points, at))
        assert np.hypot(*away[:2]) < 4.0
        assert ring.frame.anterior @ body.frame.anterior > 0.9
        assert ring.frame.superior @ body.frame.superior > 0.8


def tube(rows: int = 80, rays: int = 72) -> tuple[NDArray, NDArray]:
    angle = np.arange(rays) * 2 * np.pi / rays
    ellipse = 1 / np.hypot(np.cos(angle) / 11.0, np.sin(angle) / 8.0)
    return np.tile(ellipse, (rows, 1)), np.zeros((rows, rays))


def test_a_closed_tube_stays_as_it_is() -> None:
    walls, nothing = tube()
    radii, seen = close_gaps(walls, nothing, 22.0)
    assert seen.all()
    np.testing.assert_allclose(radii, walls, atol=1e-6)


def test_windows_and_clefts_are_closed() -> None:
    walls, nothing = tube()
    open_ = walls.copy()
    open_[30:45, :8] = 22.0  # a foramen that leads into the open
    open_[30:45, 50:58] += 4.0  # a space behind it that ends at bone
    open_[60:70, 20] = 15.0  # a cleft
    radii, seen = close_gaps(open_, nothing, 22.0)
    assert not seen[35:40, 2:6].any()
    assert np.abs(radii / walls - 1).max() < 0.13
    assert (radii <= open_ + 1e-9).all()


def test_content_pushes_the_film_out() -> None:
    walls, content = tube()
    walls[30:50, 40:60] = 22.0
    content[38:42, 50] = 10.0
    radii, _ = close_gaps(walls, content, 22.0)
    assert (radii[38:42, 50] >= 10.0).all()


# --- real segmentations

def load(path: Path) -> tuple[NDArray, NDArray]:
    image = SimpleITK.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, LPS_TO_RAS @ matrix


def slice_areas(labels: LabelMap, mask: Mask, axis: int) -> NDArray:
    areas = mask.sum(axis=tuple(a for a in range(3) if a != axis)) * labels.voxel_volume / labels.spacing[axis]
    return areas[areas > 0]


def test_thick_ct(real_data: Callable[[str], Path]) -> None:
    array, matrix = load(real_data("lumbar_ct_totalsegmentator/totalseg_labels.nii.gz"))
    levels = (Level.S1, Level.L5, Level.L4, Level.L3, Level.L2, Level.L1, Level.T12, Level.T11)
    labels = LabelMap(array, matrix, structures={v: Structure(Kind.VERTEBRA, level)
                                                 for v, level in enumerate(levels, 26)})
    mask, flags = derive_canal(labels)
    assert mask is not None
    assert flags == ("canal_derived", "no_enclosing_arch_T11")
    areas = slice_areas(labels, mask, 2)
    assert len(areas) * labels.spacing[2] > 180
    assert 200 < np.median(areas) < 300
    assert (areas[14:] < 350).all()  # below, the sacral canal is cut aslant by the image's slices


def test_long_spine_contains_what_was_segmented_in_its_canal(real_data: Callable[[str], Path]) -> None:
    array, matrix = load(real_data("whole_body_masks_totalsegmentator/s0327_labels.nii.gz"))
    levels = [level for level in Level if not level.is_variant]
    structures = {v: Structure(Kind.VERTEBRA, level) for v, level in enumerate(levels, 1)}
    labels = LabelMap(array, matrix, structures={**structures, 26: Structure(Kind.VERTEBRA, Level.S1)})
    content = array == 27
    unguided, flags = derive_canal(labels)
    assert unguided is not None
    assert flags == ("canal_derived", "no_enclosing_arch_C7")
    guided = derived(replace(labels, structures={**labels.structures, 27: Structure(Kind.CANAL_CONTENT)}))
    covered = unguided.any(axis=(0, 1)) & content.any(axis=(0, 1))
    covered[[*np.flatnonzero(covered)[:8], *np.flatnonzero(covered)[-8:]]] = False
    assert covered.sum() * labels.spacing[2] > 400
    assert unguided[:, :, covered][content[:, :, covered]].mean() > 0.975
    assert guided[:, :, covered][content[:, :, covered]].mean() > 0.999


def test_agrees_with_a_segmented_canal_at_the_pedicles(real_data: Callable[[str], Path]) -> None:
    vertebra, matrix = load(real_data("tptbox_samples/sub-mri_seg-vert_label-6_msk.nii.gz"))
    part, _ = load(real_data("tptbox_samples/sub-mri_seg-subreg_label-6_msk.nii.gz"))
    kinds = dict.fromkeys(range(41, 49), Kind.ARCH) | {49: Kind.BODY}
    array, structures = np.where(part == 100, 9000, 0), {9000: Structure(Kind.DISC)}
    for level, one in zip((Level.L1, Level.L2, Level.L3), (5, 6, 7), strict=True):
        for value, kind in kinds.items():
            structures[100 * one + value] = Structure(kind, level)
            array[(vertebra == one) & (part == value)] = 100 * one + value
    labels = LabelMap(array, matrix, structures=structures)
    mask = derived(labels)
    given = np.isin(part, (60, 61))
    axis = int(np.abs(matrix[2, :3]).argmax())
    covered = mask.any(axis=tuple(a for a in range(3) if a != axis))
    ours, theirs = np.compress(covered, mask, axis=axis), np.compress(covered, given, axis=axis)
    assert dice(ours, theirs) > 0.87
    assert 0.97 < np.percentile(slice_areas(labels, ours, axis) / slice_areas(labels, theirs, axis), 10) < 1.15
