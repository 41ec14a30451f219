"""Labeled scans whose names were shuffled, dropped and doubled: every one is repaired or refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.evidence import levels_with_ribs, pieces
from SpineAnalysisLib.labeling.naming import name_levels
from SpineAnalysisLib.labeling.repair import relabel, repair
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.volume import LabelMap, Volume

RealData = Callable[[str], Path]
USUAL = [level for level in Level if not level.is_variant]


def thinned(volume: Volume, step: int) -> Volume:
    """Every so many voxels, which is enough for places."""
    return replace(volume, array=volume.array[::step, ::step, ::step],
                   ijk_to_ras=volume.ijk_to_ras @ np.diag([step, step, step, 1.0]))


def read(path: Path, step: int = 1) -> LabelMap:
    """A label map that is understood, thinned afterwards."""
    found = read_segmentation(path)
    assert found.volume is not None
    labels = understand(found.volume, names=found.names).labels
    thin = thinned(labels, step)
    return replace(labels, array=thin.array, ijk_to_ras=thin.ijk_to_ras)


def renamed(labels: LabelMap, names: Mapping[Level, Level | None]) -> LabelMap:
    """The label map with other names for its vertebrae; ``None`` drops one."""
    structures = {}
    for value, structure in labels.structures.items():
        level = names.get(structure.level, structure.level) if structure.kind.is_bone and structure.level else None
        if level is not None:
            structures[value] = replace(structure, level=level)
        elif not structure.kind.is_bone:
            structures[value] = structure
    return replace(labels, structures=structures)


@pytest.mark.parametrize(("file", "step"), [
    ("lumbar_ct_totalsegmentator/totalseg_labels.nii.gz", 1),
    ("whole_body_masks_totalsegmentator/s0327_labels.nii.gz", 2),
    ("whole_body_masks_totalsegmentator/s0328_labels.nii.gz", 2),
    ("tptbox_samples/sub-ct_seg-vert_label-22_msk.nii.gz", 1)])
def test_names_of_scans_are_repaired_or_refused(real_data: RealData, file: str, step: int) -> None:
    labels = read(real_data(file), step)
    assert repair(labels).labels is labels
    centers = {p.level: p.center_RAS for p in pieces(labels)}
    inner = [v for v in labels.levels if v < Level.S1][1:-1]
    random = np.random.default_rng(7)
    for _ in range(3):
        doubled, dropped = (inner[i] for i in random.choice(len(inner), 2))
        for names in ({doubled: Level(doubled + 1)}, {dropped: None},
                      dict(zip(inner, [inner[i] for i in random.permutation(len(inner))], strict=True))):
            check_names(renamed(labels, names), centers)


def check_names(labels: LabelMap, centers: Mapping[Level, np.ndarray]) -> None:
    """Repaired to the right names, or refused."""
    try:
        repaired = repair(labels).labels
    except InputError:
        return
    for piece in pieces(repaired):
        nearest = min(centers, key=lambda level: float(np.linalg.norm(centers[level] - piece.center_RAS)))
        assert piece.level is nearest


@pytest.mark.parametrize("case", ["VB1_02_AKa3", "VB3_04"])
def test_numbers_of_scans_are_repaired_or_refused(real_data: RealData, case: str) -> None:
    """Bodies that are only numbered: what is missing or doubled is noticed, though where they begin stays unknown."""
    found = read_segmentation(real_data(f"mr_vertebrae_manual/{case}_gt.nii.gz")).volume
    assert found is not None
    volume = found.with_array(found.array.astype(int))
    numbers = [int(v) for v in np.unique(volume.array) if v]
    right = named(volume, {})
    random = np.random.default_rng(3)
    while np.all(np.diff(shuffled := random.permutation(numbers)) > 0) or np.all(np.diff(shuffled) < 0):
        pass
    with pytest.raises(InputError, match="do not follow the spine"):
        named(volume, dict(zip(numbers, shuffled, strict=True)))
    one = int(random.choice(numbers[1:-1]))
    assert named(volume, {one: one + 1}) == right
    without = named(volume, {one: 0})
    assert len(without) == len(right) - 1
    assert set(without) <= set(right)


def named(volume: Volume, numbers: Mapping[int, int]) -> list[int]:
    """Places of the named vertebrae above the lowest one, by their names, with other numbers in the label map."""
    table = np.arange(volume.array.max() + 1)
    for number, other in numbers.items():
        table[number] = other
    naming = name_levels(understand(volume.with_array(table[volume.array]), "instances").labels, levels_known=False)
    assert naming.provisional
    places = [USUAL.index(p.level) for p in sorted(pieces(naming.labels), key=lambda p: -p.center_RAS[2])]
    return [places[-1] - place for place in places]


@pytest.mark.parametrize(("file", "first", "last"), [("s0327", Level.T1, Level.T12), ("s0328", Level.T10, Level.T12)])
def test_ribs_of_scans_belong_to_their_vertebrae(real_data: RealData, file: str, first: Level, last: Level) -> None:
    labels = read(real_data(f"whole_body_masks_totalsegmentator/{file}_labels.nii.gz"), 2)
    assert levels_with_ribs(labels) == {v for v in USUAL if first <= v <= last}


def test_a_whole_scan_is_named_by_its_ribs_and_sacrum_alone(real_data: RealData) -> None:
    labels = read(real_data("whole_body_masks_totalsegmentator/s0327_labels.nii.gz"), 2)
    wrong = {v: Level(v - 1) if v is not Level.L1 else Level.T12 for v in labels.levels if Level.C7 < v < Level.S1}
    named = relabel(renamed(labels, {**wrong, Level.C7: Level.C6}))
    assert named.labels.levels == labels.levels
    assert named.labeling is not None
    assert {"sacrum", "rib border", "pelvis"} <= set(named.labeling.references)
    assert named.labeling.probability > 0.9
