"""Whether the lowest body is the last lumbar one or the sacrum's first, by its looks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.geometry.frames import angle_deg
from SpineAnalysisLib.labeling.evidence import pieces
from SpineAnalysisLib.labeling.label import Anchor, Certainty
from SpineAnalysisLib.labeling.lowest import TELLING, Looks, looks, sacral_evidence
from SpineAnalysisLib.labeling.naming import Naming, name_levels
from SpineAnalysisLib.labeling.repair import relabel
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.volume import LabelMap, transform_points

RealData = Callable[[str], Path]
STEEP, DEEP = 38.0, 0.95


def posed(slope_deg: float) -> Phantom:
    """A spine from L2 to the sacrum whose upper end slopes as much."""
    spec = SpineSpec.typical(Level.L2, Level.S1)
    normal = Phantom(spec).chain.bodies[-1].endplate(1).superior
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("x", np.degrees(np.arctan2(normal[1], normal[2])) - slope_deg,
                                       degrees=True).as_matrix()
    return Phantom(replace(spec, pose=pose))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return posed(STEEP)


@pytest.fixture(scope="module")
def labels(phantom: Phantom) -> LabelMap:
    return phantom.labels(phantom.grid(2.0), split=True)


def counted(labels: LabelMap, *names: Level) -> LabelMap:
    """The label map with other names for its vertebrae, from head to foot."""
    new = dict(zip(labels.levels, names, strict=True))
    structures = {value: replace(s, level=new[s.level], below=None) if s.level in new else s
                  for value, s in labels.structures.items()}
    return replace(labels, structures=structures)


def value_of(labels: LabelMap, kind: Kind, level: Level) -> int:
    return next(v for v, s in labels.structures.items() if (s.kind, s.level) == (kind, level))


def seen(labels: LabelMap, level: Level, above: Level) -> Looks:
    center = labels.to_ras(np.array(ndimage.center_of_mass(labels.array == value_of(labels, Kind.BODY, above))))
    found = looks(labels, value_of(labels, Kind.BODY, level), center)
    assert found is not None
    return found


@pytest.mark.parametrize("turn", [0.0, 12.0])
def test_what_is_seen_of_a_phantom(phantom: Phantom, turn: float) -> None:
    """On the patient's grid and on one that is turned and flipped."""
    grid = phantom.grid(2.0)
    matrix = grid.ijk_to_ras.copy()
    if turn:
        center = transform_points(matrix, (np.array(grid.shape) - 1) / 2.0)
        rotation = Rotation.from_euler("xyz", [turn, -turn, turn], degrees=True).as_matrix()
        matrix[:3, :3] = rotation @ matrix[:3, :3]
        matrix[:3, 3] = center + rotation @ (matrix[:3, 3] - center)
    labels = phantom.labels(replace(grid, ijk_to_ras=matrix), split=True)
    bodies = {b.spec.level: b for b in phantom.chain.bodies}
    for level, above in ((Level.S1, Level.L5), (Level.L5, Level.L4), (Level.L4, Level.L3)):
        normal = bodies[level].endplate(1).superior
        found = seen(labels, level, above)
        assert found.slope_deg == pytest.approx(np.degrees(np.arctan2(normal[1], normal[2])), abs=2.0)
        if level is not Level.S1:
            assert found.disc == pytest.approx(1.0, abs=0.12)
    assert angle_deg(bodies[Level.S1].endplate(1).superior, [0.0, 0.0, 1.0]) == pytest.approx(STEEP, abs=0.1)


def test_evidence_follows_what_is_published() -> None:
    """Steep and without a deep disc is sacral, the mean L5 is lumbar; what is not seen says nothing."""
    unseen = float("nan")
    assert sacral_evidence(Looks(STEEP, 0.5)) > TELLING
    assert sacral_evidence(Looks(STEEP, 0.0)) > TELLING
    assert sacral_evidence(Looks(18.0, DEEP)) < -TELLING
    assert sacral_evidence(Looks(unseen, unseen)) == 0.0
    assert abs(sacral_evidence(Looks(STEEP, DEEP))) < TELLING  # a first sacral vertebra that stands free
    slopes = [sacral_evidence(Looks(slope, unseen)) for slope in (10.0, 20.0, 30.0, 40.0)]
    assert slopes == sorted(slopes)


def free(labels: LabelMap, cut: float = 0.0) -> Naming:
    """Named anew where all bodies are counted as lumbar ones, and the image may end in the last.

    :param cut: share of the last body that the image cuts off.
    """
    numbered = counted(labels, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
    if cut:
        places = np.argwhere(numbered.array == value_of(numbered, Kind.BODY, Level.L5))
        heights = numbered.to_ras(places)[:, 2]
        axis = int(np.abs(numbered.ijk_to_ras[2, :3]).argmax())
        ends = np.zeros(3, int), np.array(numbered.shape)
        kept = places[heights >= np.quantile(heights, cut)][:, axis]
        ends[0][axis] = kept.min() if numbered.ijk_to_ras[2, axis] > 0 else 0
        ends[1][axis] = numbered.shape[axis] if numbered.ijk_to_ras[2, axis] > 0 else kept.max() + 1
        cropped = numbered.crop(*ends)
        numbered = replace(numbered, array=cropped.array, ijk_to_ras=cropped.ijk_to_ras)
    return name_levels(numbered, levels_known=False)


@pytest.mark.parametrize("cut", [0.0, 0.4])
def test_a_free_first_sacral_body_is_told(labels: LabelMap, cut: float) -> None:
    """No sacrum is labeled; where the image cuts the body, only its upper end is seen."""
    naming = free(labels, cut)
    assert naming.labeling is not None
    best = [v for v in naming.labeling.levels if v is not None]
    assert max(best) is Level.S1
    assert naming.labeling.certainty is not Certainty.CERTAIN


def test_a_last_lumbar_body_stays_one(phantom: Phantom) -> None:
    """The same chain that ends with L5."""
    short = phantom.labels(phantom.grid(2.0), split=True)
    last = {v for v, s in short.structures.items() if s.level is Level.S1}
    kept = replace(short, array=np.where(np.isin(short.array, list(last)), 0, short.array).astype(np.uint16),
                   structures={v: s for v, s in short.structures.items() if v not in last})
    naming = name_levels(counted(kept, Level.L1, Level.L2, Level.L3, Level.L4), levels_known=False)
    assert naming.labeling is not None
    assert Level.S1 not in naming.labeling.levels


def with_rest(labels: LabelMap, depth: float) -> LabelMap:
    """The first sacral body counted as L5, a disc of some depth (share of the body's) below it and the rest of the
    sacrum beyond.
    """
    body = labels.array == value_of(labels, Kind.BODY, Level.S1)
    points = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T)
    center = labels.to_ras(np.array(ndimage.center_of_mass(body)))
    up = np.array([0.0, np.sin(np.radians(STEEP)), np.cos(np.radians(STEEP))])
    forward = np.array([0.0, up[2], -up[1]])
    down, ahead, aside = (center - points) @ up, (points - center) @ forward, np.abs((points - center)[:, 0])
    end = np.quantile(down[body.ravel()], 0.98)
    reach = np.abs(ahead[body.ravel()]).max()
    below = np.where((down > end) & (down <= end + 4.0) & (np.abs(ahead) < depth * reach) & (aside < 20.0), 1, 0)
    below[(down > end + 4.0) & (np.abs(ahead) < reach) & (aside < 30.0)] = 2
    numbered = counted(labels, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
    first = max(numbered.structures) + 1
    array = np.where(numbered.array > 0, numbered.array,
                     np.where(below > 0, below + first - 1, 0).reshape(labels.shape)).astype(np.uint16)
    return replace(numbered, array=array, structures={
        **numbered.structures, first: Structure(Kind.DISC, Level.L5, below=Level.S1),
        first + 1: Structure(Kind.VERTEBRA, Level.S1)})


@pytest.fixture(scope="module")
def split_sacrum(phantom: Phantom) -> LabelMap:
    """What the built-in engine makes of some spines: the first sacral body apart from the sacrum."""
    grid = phantom.grid(2.0, margin=40.0)
    return with_rest(phantom.labels(grid, split=True), 0.5)


def test_the_rest_of_the_sacrum_stays_sacrum(split_sacrum: LabelMap) -> None:
    named = relabel(split_sacrum, [Anchor(Level.L2, pieces(split_sacrum)[0].center_RAS)])
    assert named.labels.levels == (Level.L2, Level.L3, Level.L4, Level.L5, Level.S1)
    kinds = {s.kind for s in named.labels.structures.values() if s.level is Level.S1}
    assert {Kind.BODY, Kind.VERTEBRA} <= kinds
    discs = [s.level for s in named.labels.structures.values() if s.kind is Kind.DISC]
    assert sorted(discs) == [Level.L2, Level.L3, Level.L4, Level.L5]  # what lies within the sacrum is no disc
    assert not any("no vertebra of its own" in note for note in named.notes)
    built = build_spine(named.labels)
    assert [v.level for v in built.vertebrae] == list(named.labels.levels)


def test_the_looks_find_a_sacrum_that_begins_higher(split_sacrum: LabelMap) -> None:
    """Nobody names a vertebra: the likelier chain ends with the body, and the other is told."""
    labeling = relabel(split_sacrum).labeling
    assert labeling is not None
    found = sorted(zip(labeling.levels, (p.level for p in pieces(split_sacrum)), strict=True), key=lambda x: x[1])
    assert [level for level, _ in found][-2:] == [Level.S1, Level.S1]
    assert "sacral shape" in labeling.references


def test_a_first_sacral_vertebra_like_a_lumbar_one_stays_in_doubt(labels: LabelMap, phantom: Phantom) -> None:
    """Steep as a sacrum, its disc as deep as a lumbar one's: L5, L6 or S1."""
    lumbarized = with_rest(phantom.labels(phantom.grid(2.0, margin=40.0), split=True), 1.0)
    labeling = relabel(lumbarized).labeling
    assert labeling is not None
    assert labeling.certainty in (Certainty.DOUBTFUL, Certainty.PROVISIONAL)
    assert labeling.runner_up is not None
    assert labeling.runner_up != labeling.levels


def test_slopes_of_manual_outlines_are_as_published(real_data: RealData) -> None:
    """Bodies that people outlined, of eleven exams: the first sacral one and the last lumbar one above it."""
    sacral, last = [], []
    for path in sorted(real_data("mr_vertebrae_manual").glob("VB1_*_gt.nii.gz")):
        volume = read_segmentation(path).volume
        assert volume is not None
        found = understand(volume.with_array(volume.array.astype(int)), "instances").labels
        bodies = sorted(pieces(found), key=lambda p: float(p.center_RAS[2]))
        s1, l5 = (looks(found, bodies[i].value, bodies[i + 1].center_RAS) for i in (0, 1))
        assert s1 is not None
        assert l5 is not None
        sacral.append(s1.slope_deg)
        last.append(l5.slope_deg)
    assert len(sacral) == 11
    assert np.mean(sacral) == pytest.approx(STEEP, abs=5.0)
    assert np.mean(last) == pytest.approx(18.0, abs=5.0)


def test_names_stay_where_the_looks_do_not_tell() -> None:
    """Between an L5 and a sacrum, with a disc as deep as a lumbar one's below."""
    between = posed(24.0)
    naming = name_levels(with_rest(between.labels(between.grid(2.0, margin=40.0), split=True), 1.0), levels_known=False)
    assert naming.provisional
    assert naming.labels.levels == (Level.L1, Level.L2, Level.L3, Level.L4, Level.L5, Level.S1)


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 1, 0)])
def test_a_spine_in_the_wrong_frame_is_refused_in_one_sentence(labels: LabelMap, axes: tuple[int, int, int]) -> None:
    numbered = counted(labels, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
    turned = replace(numbered, ijk_to_ras=numbered.ijk_to_ras[[*axes, 3]])
    with pytest.raises(InputError) as error:
        relabel(turned)
    assert str(error.value).count(". ") == 0


def test_what_is_too_small_tells_nothing(labels: LabelMap) -> None:
    """A single slice through the vertebrae, and one across them."""
    numbered = counted(labels, Level.L1, Level.L2, Level.L3, Level.L4, Level.L5)
    value, above = (value_of(numbered, Kind.BODY, level) for level in (Level.L5, Level.L4))
    center = numbered.to_ras(np.array(ndimage.center_of_mass(numbered.array == above)))
    middle = np.rint(ndimage.center_of_mass(numbered.array == value)).astype(int)
    for axis in range(3):
        thin = np.zeros_like(numbered.array)
        at = tuple(slice(middle[a], middle[a] + 1) if a == axis else slice(None) for a in range(3))
        thin[at] = numbered.array[at]
        found = looks(replace(numbered, array=thin), value, center)
        assert found is None or not np.isfinite(found.slope_deg) or abs(found.slope_deg - STEEP) < 12.0
