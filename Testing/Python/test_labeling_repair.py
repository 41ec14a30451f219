"""Names that come with a segmentation, repaired or refused."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.cli import main
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.labeling.evidence import pieces
from SpineAnalysisLib.labeling.label import Anchor, Certainty, Numbering
from SpineAnalysisLib.labeling.naming import Source, lowest_named, name_levels
from SpineAnalysisLib.labeling.repair import label_spine, relabel, repair
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import LabelMap


@pytest.fixture(scope="module")
def phantom() -> LabelMap:
    spine = Phantom(SpineSpec.typical(Level.T9, Level.S1))
    return spine.labels(spine.grid(2.0), cord=False)


@pytest.fixture(scope="module")
def built(phantom: LabelMap) -> Spine:
    return build_spine(phantom)


def renamed(labels: LabelMap, names: dict[Level, Level | None]) -> LabelMap:
    """The label map with other names for its vertebrae; ``None`` drops one."""
    structures = {}
    for value, structure in labels.structures.items():
        if structure.kind.is_bone and structure.level in names:
            level = names[structure.level]
            if level is not None:
                structures[value] = replace(structure, level=level)
        else:
            structures[value] = structure
    return replace(labels, structures=structures)


def vertebra_mask(labels: LabelMap, level: Level) -> np.ndarray:
    return labels.mask(labels.values(Kind.VERTEBRA, level))


def test_right_names_stay(phantom: LabelMap) -> None:
    repaired = repair(phantom)
    assert repaired.labels is phantom
    assert repaired.notes == ()


@pytest.mark.parametrize("names", [
    {Level.L2: Level.L3, Level.L3: Level.L2},
    {Level.T12: Level.L1},
    {Level.L4: Level.L3},
    {Level.T9: Level.T8},
    {Level.L3: Level.T4},
], ids=["swapped", "doubled", "doubled lumbar", "skipped", "nonsense"])
def test_wrong_names_are_repaired(phantom: LabelMap, names: dict[Level, Level | None]) -> None:
    repaired = repair(renamed(phantom, names))
    assert repaired.labels.levels == phantom.levels
    for level in phantom.levels:
        assert (vertebra_mask(repaired.labels, level) == vertebra_mask(phantom, level)).all(), level
    assert any("renamed" in note for note in repaired.notes)
    discs = {str(s) for s in repaired.labels.structures.values() if s.kind is Kind.DISC}
    assert discs == {str(s) for s in phantom.structures.values() if s.kind is Kind.DISC}


def test_two_spines_are_refused(phantom: LabelMap) -> None:
    beside = replace(phantom, array=np.concatenate([phantom.array, phantom.array], axis=0))
    with pytest.raises(InputError, match="as of two spines: pass one person's spine at a time") as error:
        repair(beside)
    assert str(error.value).count(". ") == 0


def test_a_dropped_vertebra_is_reported_not_renamed(phantom: LabelMap) -> None:
    repaired = repair(renamed(phantom, {Level.L2: None}))
    assert repaired.notes == ("Not found although others around are: L2.",)
    assert repaired.labels.levels == tuple(v for v in phantom.levels if v is not Level.L2)


def test_shuffled_names_are_refused(phantom: LabelMap) -> None:
    levels = list(phantom.levels)
    shuffled = [levels[i] for i in np.random.default_rng(1).permutation(len(levels))]
    with pytest.raises(InputError, match="do not follow the spine"):
        repair(renamed(phantom, dict(zip(levels, shuffled, strict=True))))


def test_a_spine_with_its_sacrum_is_named_by_its_anatomy(phantom: LabelMap, built: Spine) -> None:
    naming = name_levels(phantom).checked(built)
    assert naming.labeling is not None
    assert naming.labeling.levels == tuple(v.level for v in built.vertebrae)
    assert "sacrum" in naming.labeling.references
    assert (naming.source, naming.provisional, naming.notes) == (Source.SEGMENTATION, False, ())
    told = naming.as_dict()["anatomy"]
    assert list(told["levels"]) == [str(level) for level in phantom.levels]
    assert told["next_likeliest"]
    assert told["next_probability"] < told["probability"]
    assert naming.told.startswith("as in the segmentation; the anatomy says the same (")
    assert ", next likeliest T" in naming.told


ABOVE = {level: Level(level - 1) if level is not Level.L1 else Level.T12 for level in Level if level > Level.C1}
ABOVE[Level.S1] = Level.S1


def test_names_against_the_anatomy_are_told(phantom: LabelMap, built: Spine) -> None:
    shifted = replace(built, vertebrae=tuple(replace(v, level=ABOVE[v.level]) for v in built.vertebrae))
    naming = name_levels(renamed(phantom, ABOVE)).checked(shifted)
    notes = naming.notes
    assert "the anatomy says otherwise" in naming.told
    assert len(notes) == 1
    assert notes[0].startswith("The segmentation says L4, the anatomy says L5")


def test_names_that_only_count_give_way_to_the_anatomy(phantom: LabelMap) -> None:
    """Instances of a network above a sacrum that it knows."""
    naming = name_levels(renamed(phantom, ABOVE), levels_known=False)
    assert (naming.source, naming.provisional) == (Source.ANATOMY, False)
    assert naming.labels.levels == phantom.levels
    for level in phantom.levels:
        assert (vertebra_mask(naming.labels, level) == vertebra_mask(phantom, level)).all(), level
    assert not any("renamed" in note for note in naming.notes)


def test_without_anything_to_count_from_names_are_provisional() -> None:
    spine = Phantom(SpineSpec.typical(Level.T11, Level.L4))
    labels = spine.labels(spine.grid(2.0), cord=False)
    labeling = label_spine(build_spine(labels))
    assert labeling is not None
    assert labeling.certainty is Certainty.PROVISIONAL
    naming = name_levels(labels, levels_known=False)
    assert naming.provisional
    assert naming.labels is labels
    assert naming.told == "provisional; counted from below: L4 1, L3 2, L2 3, L1 4, T12 5, T11 6"
    assert naming.as_dict()["from_below"] == {"L4": 1, "L3": 2, "L2": 3, "L1": 4, "T12": 5, "T11": 6}
    asked = name_levels(labels, levels_known=False, anchors=lowest_named(labels))
    assert (asked.source, asked.provisional) == (Source.PEOPLE, False)
    assert asked.labels.levels == labels.levels


def test_a_named_vertebra_names_the_others(phantom: LabelMap) -> None:
    at = next(p.center_RAS for p in pieces(phantom) if p.level is Level.L5)
    repaired = relabel(phantom, [Anchor(Level.L6, at)])
    assert {Level.L6, Level.S1, Level.T10} <= set(repaired.labels.levels)
    assert "The segmentation's L5 was renamed L6." in repaired.notes


def test_counting_needs_something_to_count_from(phantom: LabelMap) -> None:
    shifted = renamed(phantom, {Level.L5: Level.L6, Level.L4: Level.L5, Level.L3: Level.L4, Level.L2: Level.L3,
                                Level.L1: Level.L2, Level.T12: Level.L1, Level.T11: Level.T12, Level.T10: Level.T11,
                                Level.T9: Level.T10})
    assert repair(shifted).labels is shifted
    assert relabel(shifted, numbering=Numbering.SACRUM).labels.levels == phantom.levels
    for numbering in (Numbering.C2, Numbering.RIBS):
        with pytest.raises(InputError, match="cannot be counted"):
            relabel(phantom, numbering=numbering)


def test_the_analysis_uses_what_people_know(phantom: LabelMap) -> None:
    at = next(p.center_RAS for p in pieces(phantom) if p.level is Level.L5)
    analysis = analyze(None, phantom, levels_known=False, notes=["Levels are provisional: a guess."],
                       anchors=[Anchor(Level.L6, at)])
    assert not analysis.spine.provisional
    assert Level.L6 in {v.level for v in analysis.spine.vertebrae}
    assert not any("provisional" in doubt for doubt in analysis.doubts)
    assert "The segmentation's L5 was renamed L6." in analysis.doubts


def test_an_anchor_that_cannot_be_read_is_one_sentence(tmp_path: Path, phantom: LabelMap,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.nii.gz"
    image = nibabel.Nifti1Image(phantom.array.astype(np.uint16), np.diag([-1.0, -1.0, 1.0, 1.0]) @ phantom.ijk_to_ras)
    image.to_filename(file)
    code = main(["run", "--segmentation", str(file), "--scheme", "spineanalysis", "-o", str(tmp_path / "out"),
                 "--anchor", "L9@1,2"])
    assert code == 2
    assert "L9@1,2 names no vertebra" in capsys.readouterr().err
