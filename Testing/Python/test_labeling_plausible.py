"""Label maps that cannot be one person's spine in patient space, and names that contradict: one sentence, no guess."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.evidence import pieces
from SpineAnalysisLib.labeling.label import Anchor, Numbering
from SpineAnalysisLib.labeling.naming import name_levels
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.volume import LabelMap

SAYS = {
    "upside down": ("upside down", np.diag([-1.0, 1.0, -1.0, 1.0])),
    "mirrored": ("upside down", np.diag([1.0, 1.0, -1.0, 1.0])),
    "lying": ("long axis", np.eye(4)[[2, 1, 0, 3]]),
    "LPS": ("LPS, not RAS", np.diag([-1.0, -1.0, 1.0, 1.0])),
    "mouse": ("animals", np.diag([0.1, 0.1, 0.1, 1.0])),
    "dog": ("animals", np.diag([0.35, 0.35, 0.35, 1.0])),
    "voxels for millimeters": ("voxel size", np.diag([10.0, 10.0, 10.0, 1.0])),
}


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    phantom = Phantom(SpineSpec.typical(Level.L1, Level.S1))
    return phantom.labels(phantom.grid(2.5), split=True)


@pytest.mark.parametrize("case", SAYS)
def test_a_named_label_map_in_the_wrong_frame_is_refused(labels: LabelMap, case: str) -> None:
    says, matrix = SAYS[case]
    with pytest.raises(InputError, match=says) as error:
        name_levels(replace(labels, ijk_to_ras=matrix @ labels.ijk_to_ras))
    assert str(error.value).count(". ") == 0


def test_two_spines_beside_each_other_are_refused(labels: LabelMap) -> None:
    more = int(labels.array.max()) + 1
    array = np.concatenate([labels.array.astype(int), np.where(labels.array > 0, labels.array.astype(int) + more, 0)])
    both = replace(labels, array=array, structures={
        **labels.structures, **{v + more: replace(s, level=s.level and Level(s.level - 9)) for v, s in
                                labels.structures.items()}})
    with pytest.raises(InputError, match="two spines"):
        name_levels(both)


def test_spines_of_any_adult_are_not_refused(labels: LabelMap) -> None:
    """Small and large people, leaning and turned ones."""
    for size in (0.75, 1.3):
        assert name_levels(replace(labels, ijk_to_ras=np.diag([size, size, size, 1.0]) @ labels.ijk_to_ras)).notes == ()
    for degrees in (-35.0, 35.0):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        for turn in ([[1, 0, 0], [0, c, -s], [0, s, c]], [[c, 0, -s], [0, 1, 0], [s, 0, c]],
                     [[c, -s, 0], [s, c, 0], [0, 0, 1]]):
            matrix = np.eye(4)
            matrix[:3, :3] = turn
            assert name_levels(replace(labels, ijk_to_ras=matrix @ labels.ijk_to_ras)).notes == ()


def anchors(labels: LabelMap, named: Sequence[tuple[Level, Level]]) -> list[Anchor]:
    """Names for the vertebrae of other names."""
    centers = {p.level: p.center_RAS for p in pieces(labels)}
    return [Anchor(level, centers[at]) for level, at in named]


@pytest.mark.parametrize(("named", "numbering", "says"), [
    ([(Level.L1, Level.L2), (Level.L5, Level.L3)], None, "L1 and L5 are named 3. mm apart"),
    ([(Level.L4, Level.L1), (Level.L5, Level.L4)], None, "L4 and L5 are named 1.. mm apart"),
    ([(Level.C3, Level.L5)], None, "does not fit the labeled sacrum"),
    ([(Level.L4, Level.L5)], Numbering.SACRUM, "does not fit the labeled sacrum"),
    ([], Numbering.C2, "counted from C2: nothing is labeled so"),
    ([], Numbering.RIBS, "counted from the ribs: nothing is labeled so")])
def test_contradictory_names_are_refused(labels: LabelMap, named: list[tuple[Level, Level]],
                                         numbering: Numbering | None, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        name_levels(labels, anchors=anchors(labels, named), numbering=numbering)
    assert str(error.value).count(". ") == 0


def test_an_anchor_without_a_place_is_refused(labels: LabelMap) -> None:
    with pytest.raises(InputError, match="no finite RAS position"):
        name_levels(labels, anchors=[Anchor(Level.L5, np.array([np.nan, 0.0, 0.0]))])


def test_a_sacrum_that_does_not_fit_is_told(labels: LabelMap) -> None:
    """As below an animal's vertebrae whose names only count: no level is guessed."""
    naming = name_levels(replace(labels, ijk_to_ras=np.diag([0.35, 0.35, 0.35, 1.0]) @ labels.ijk_to_ras), False)
    assert naming.provisional
    assert naming.notes == ("Levels are refused: the vertebrae do not fit the labeled sacrum.",)
    assert naming.labels.levels == labels.levels


def test_what_is_left_out_is_told(labels: LabelMap) -> None:
    """A vertebra named twice is told from its place, and the others stay."""
    structures = {v: replace(s, level=Level.L2) if s.level is Level.L3 and s.kind is not Kind.DISC else s
                  for v, s in labels.structures.items()}
    naming = name_levels(replace(labels, structures=structures))
    assert naming.notes == ("The segmentation's L2 was renamed L3.",)
    assert naming.labels.levels == labels.levels
