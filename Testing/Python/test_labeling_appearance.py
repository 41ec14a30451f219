"""What vertebrae look like by themselves: sizes, discs, canal, cord, spinous processes, and the atlas."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labeling_chains import chain, levels_between
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.labeling import bodies, canals, discs, processes
from SpineAnalysisLib.labeling.appearance import TRAITS, appearance
from SpineAnalysisLib.labeling.evidence import evidence_from_pieces, pieces
from SpineAnalysisLib.labeling.label import Certainty, Labeling, label
from SpineAnalysisLib.labeling.landmarks import landmarks, shown_beyond
from SpineAnalysisLib.labeling.priors import NAMES
from SpineAnalysisLib.labeling.repair import relabel
from SpineAnalysisLib.labeling.traits import ODD, Seen
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.volume import LabelMap

RealData = Callable[[str], Path]
USUAL = [level for level in Level if not level.is_variant]
CROPS = {"neck": (Level.C3, Level.C7), "chest": (Level.T4, Level.T8), "loins": (Level.L1, Level.L4)}


def seen(labels: LabelMap) -> dict[Level, dict[str, Seen]]:
    found = sorted((p for p in pieces(labels) if p.level is not Level.S1), key=lambda p: p.level)
    return {p.level: dict(each) for p, each in zip(
        found, appearance(labels, [(p.level, p.value, p.center_RAS) for p in found]), strict=True)}


def counted(labels: LabelMap) -> LabelMap:
    """Names that only count, from L5 up."""
    names = dict(zip(reversed(labels.levels), reversed([v for v in USUAL if v <= Level.L5]), strict=False))
    return replace(labels, structures={v: replace(s, level=names[s.level], below=None) if s.level else s
                                       for v, s in labels.structures.items()})


def without_looks(labels: LabelMap) -> Labeling:
    """As if nothing was measured of the vertebrae."""
    found = evidence_from_pieces(labels, pieces(labels), {Level.S1})
    by_height = sorted(found, key=lambda d: -d.center_RAS[2])
    above, below = shown_beyond(labels, by_height[0].center_RAS, by_height[-1].center_RAS)
    return label([replace(d, traits={}, ring=None) for d in found], (), None, above, below, landmarks(labels))


def lowest_as(found: Labeling, level: Level) -> float:
    """Probability that the lowest vertebra is this level."""
    named = zip(found.levels, found.chances, strict=True)
    return max((name, chances[level]) for name, chances in named if name is not None)[1]


@pytest.fixture(scope="module", params=CROPS)
def phantom(request: pytest.FixtureRequest) -> Phantom:
    return Phantom(SpineSpec.typical(*CROPS[request.param]))


@pytest.mark.parametrize("turn", [0.0, 12.0])
def test_what_is_measured_of_a_phantom(phantom: Phantom, turn: float) -> None:
    """On the patient's grid and on one that is turned and reordered: bodies, canal, cord, disc and process."""
    rotation = Rotation.from_euler("xyz", [turn, -turn, turn], degrees=True).as_matrix()
    labels = phantom.labels(phantom.grid(1.5, "RAS" if turn == 0.0 else "PIR", rotation), split=True)
    measured = seen(labels)
    for spec, joint in zip(phantom.spec.vertebrae, phantom.spec.joints, strict=False):
        of = {name: each.value for name, each in measured[spec.level].items()}
        # the outermost voxels are left out, so ellipses are a twentieth smaller
        assert of[bodies.WIDTH.name] == pytest.approx(0.95 * spec.width * (1.0 - spec.waist), abs=2.5)
        assert of[bodies.DEPTH.name] == pytest.approx(spec.depth * (1.0 - spec.waist / 2.0), abs=2.0)
        assert of[canals.SHAPE.name] == pytest.approx(spec.canal_width / spec.canal_depth, abs=0.15)
        assert of[canals.SHARE.name] == pytest.approx(spec.canal_width / spec.width / (1.0 - spec.waist), abs=0.12)
        # less half a millimeter and most of the hollow at either end
        less = 1.0 + 1.4 * spec.concavity
        height = (spec.height_anterior + spec.height_posterior) / 2.0 - less
        assert of[discs.HEIGHT.name] == pytest.approx((joint.disc_height + less) / height, abs=1.5 / height)
        wedge = measured[spec.level][discs.WEDGE.name]
        assert wedge.value == pytest.approx(joint.lordosis, abs=2.5 * wedge.error)
        assert of[processes.FALL.name] == pytest.approx(np.degrees(np.arctan(spec.spinous_slope)), abs=15.0)
        if canals.CORD.name in of:
            assert of[canals.CORD.name] == pytest.approx(spec.cord_width, abs=1.8)


def test_crops_of_every_region_are_named_better(phantom: Phantom) -> None:
    """Nothing else is in view; the phantoms' sizes are near to the tables', so this shows that it works, no more."""
    labels = phantom.labels(phantom.grid(2.0), split=True)
    last = phantom.spec.levels[-1]
    found = relabel(counted(labels)).labeling
    assert found is not None
    assert lowest_as(found, last) > lowest_as(without_looks(counted(labels)), last)
    lowest = max(level for level in found.levels if level is not None)
    assert abs(USUAL.index(lowest) - USUAL.index(last)) <= 1
    told = Certainty.DOUBTFUL if "conus" in found.references else Certainty.PROVISIONAL
    assert found.certainty is told  # looks tell levels no more surely than that


@pytest.mark.parametrize(("levels", "before"), [((Level.T2, Level.T9), 0.16), ((Level.T6, Level.T9), 0.16)])
def test_a_crop_of_a_whole_scan_is_named_better_and_stays_provisional(
        real_data: RealData, levels: tuple[Level, Level], before: float) -> None:
    """Its ribs withheld; its cord is labeled without telling what its outline means."""
    read = read_segmentation(real_data("whole_body_masks_totalsegmentator/s0327_labels.nii.gz"))
    assert read.volume is not None
    labels = understand(read.volume, names=read.names).labels
    kept = {v: s for v, s in labels.structures.items() if s.kind is not Kind.RIB
            and (s.level is None or levels[0] <= s.level <= levels[1])}
    places = [p for p in pieces(labels) if levels[0] <= p.level <= levels[1]]
    heights = np.concatenate([labels.to_ijk(p.points_RAS)[:, 2] for p in places])
    bottom, top = int(heights.min()), int(heights.max())
    cropped = labels.crop((0, 0, bottom - 2), (*labels.shape[:2], top + 3))
    array = np.where(np.isin(cropped.array, list(kept)), cropped.array, 0)
    found = relabel(counted(replace(labels, array=array, ijk_to_ras=cropped.ijk_to_ras, structures=kept))).labeling
    assert found is not None
    assert lowest_as(found, levels[1]) > before  # 0.15 without what they look like, in either crop
    assert found.certainty is Certainty.PROVISIONAL
    lowest = max(level for level in found.levels if level is not None)
    assert abs(USUAL.index(lowest) - USUAL.index(levels[1])) <= 1


def of_level(level: Level) -> dict[str, Seen]:
    """What the tables have for a level."""
    place = NAMES.index(level.name)
    return {trait.name: Seen(float(trait.means[place])) for trait in TRAITS if np.isfinite(trait.means[place])}


def with_looks(levels: Sequence[Level], looks: Sequence[Level]) -> Labeling:
    return label([replace(d, traits=of_level(look)) for d, look in zip(chain(levels), looks, strict=True)])


def test_looks_do_not_overrule_what_tells() -> None:
    """Vertebrae beside a sacrum that look like ones three levels higher are named by the sacrum and the regions."""
    levels = levels_between(Level.T9, Level.S1)
    shifted = [USUAL[USUAL.index(v) - 3] for v in levels]
    found = with_looks(levels, shifted)
    assert list(found.levels) == levels
    assert found.probability < with_looks(levels, levels).probability


def test_an_odd_vertebra_is_one_nonetheless() -> None:
    """What fits no level speaks for none of them, and not for a stray detection either."""
    levels = levels_between(Level.T9, Level.S1)
    found = [replace(d, traits={trait.name: Seen(trait.between[1])} if i == 3 else {})
             for trait in TRAITS[:1] for i, d in enumerate(chain(levels))]
    assert list(label(found).levels) == levels
    for trait in TRAITS:
        unseen, odd = (trait.likelihood(np.array([value]), np.zeros(1), np.ones(1))
                       for value in (np.nan, trait.between[1]))
        assert np.all(unseen == 0.0)
        assert np.all(odd >= np.log(ODD) - 1e-9)


def test_many_vertebrae_of_one_person_count_little_more_than_a_few() -> None:
    """As the design effect has it: with a correlation of a half, never more than two do."""
    trait = bodies.DEPTH
    values = np.full(20, trait.means[NAMES.index("L3")])
    one, all_of_them = (trait.likelihood(values[:n], np.zeros(n), np.ones(1)).sum(axis=1) for n in (1, 20))
    assert all_of_them.max() < 2.0 * one.max()


def test_twenty_four_vertebrae_with_all_their_looks_take_little() -> None:
    levels = levels_between(Level.C2, Level.S1)
    found = [replace(d, traits=of_level(v)) for d, v in zip(chain(levels), levels, strict=True)]
    label(found)
    start = time.process_time()
    for _ in range(5):
        label(found)
    assert (time.process_time() - start) / 5.0 < 0.05


@pytest.fixture(scope="module")
def neck() -> LabelMap:
    """C2 to C6 as whole vertebrae, and a ring above, 72 mm wide and 7 mm thick around a hole 28 mm deep."""
    phantom = Phantom(SpineSpec.typical(Level.C2, Level.C6))
    labels = phantom.labels(phantom.grid(1.5, margin=(25.0, 25.0, 30.0)))
    axis = phantom.chain.bodies[0].frame
    points = axis.to_frame(labels.to_ras(np.indices(labels.shape).reshape(3, -1).T))
    canal = points[np.isin(labels.array, labels.values((Kind.CANAL, Kind.CORD))).ravel()]
    middle = np.median(canal[np.abs(canal[:, 2]) < 3.0, 1])
    aside, along, up = np.abs(points[:, 0]), points[:, 1] - middle, points[:, 2] - 17.0
    outer, inner = (aside / 36.0) ** 2 + (along / 21.0) ** 2, (aside / 14.0) ** 2 + (along / 14.0) ** 2
    ring = (outer <= 1.0) & (inner > 1.0) & (np.abs(up) < 5.0)
    tube = (np.abs(along) < 8.0) & (aside < 12.0) & (np.abs(up) < 9.0)
    value, content = max(labels.structures) + 1, labels.values(Kind.CANAL)[0]
    array = np.where(ring.reshape(labels.shape), value, labels.array)
    array = np.where(tube.reshape(labels.shape) & (array == 0), content, array)
    return replace(labels, array=array.astype(np.uint16),
                   structures={**labels.structures, value: Structure(Kind.VERTEBRA, Level.C1)})


def test_a_ring_above_is_the_atlas(neck: LabelMap) -> None:
    found = relabel(counted(neck)).labeling
    assert found is not None
    assert sorted(v for v in found.levels if v is not None) == levels_between(Level.C1, Level.C6)
    assert "C1" in found.references
    assert found.probability > 0.5


def test_without_the_ring_nothing_counts_from_the_atlas(neck: LabelMap) -> None:
    value = neck.values(Kind.VERTEBRA, Level.C1)[0]
    rest = replace(neck, array=np.where(neck.array == value, 0, neck.array),
                   structures={v: s for v, s in neck.structures.items() if v != value})
    found = relabel(counted(rest)).labeling
    assert found is not None
    assert "C1" not in found.references
