"""Label maps and segments of other programs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from SpineAnalysisLib.anatomy import Kind, Level, Structure
from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.phantoms import preset
from SpineAnalysisLib.schemes import (
    SCHEMES,
    LabeledInput,
    merge_segments,
    names_from_table,
    own_value,
    recognize,
    understand,
)
from SpineAnalysisLib.terminology import terminology_entry
from SpineAnalysisLib.volume import LabelMap, Volume

# Read again from the programs' own sources, as a check on the tables.
FROM_THE_SOURCES = {
    "totalspineseg": {1: "spinal cord", 2: "spinal canal", 11: "C1 vertebra", 17: "C7 vertebra", 21: "T1 vertebra",
                      32: "T12 vertebra", 41: "L1 vertebra", 46: "L6 vertebra", 50: "sacrum", 63: "C2-C3 disc",
                      67: "C6-C7 disc", 71: "C7-T1 disc", 82: "T11-T12 disc", 91: "T12-L1 disc", 95: "L4-L5 disc",
                      100: "L5-S1 disc"},
    "totalsegmentator": {25: "sacrum", 26: "sacrum", 27: "L5 vertebra", 31: "L1 vertebra", 32: "T12 vertebra",
                         43: "T1 vertebra", 44: "C7 vertebra", 50: "C1 vertebra", 75: "left femur",
                         78: "right hip bone", 79: "canal content", 92: "T1 left rib", 103: "T12 left rib",
                         104: "T1 right rib"},
    "totalsegmentator_mr": {18: "sacrum", 19: "vertebra", 20: "intervertebral disc", 21: "canal content",
                            36: "left femur", 39: "right hip bone"},
    "totalsegmentator_vertebrae_mr": {1: "sacrum", 2: "L5 vertebra", 7: "T12 vertebra", 19: "C7 vertebra",
                                      25: "C1 vertebra"},
    "totalsegmentator_vertebrae_body": {1: "vertebral body", 2: "intervertebral disc"},
    "verse": {1: "C1 vertebra", 8: "T1 vertebra", 19: "T12 vertebra", 20: "L1 vertebra", 25: "L6 vertebra",
              28: "T13 vertebra"},
    "monai_verse": {7: "C7 vertebra", 8: "T1 vertebra", 24: "L5 vertebra"},
    "spineps": {24: "L5 vertebra", 26: "sacrum", 28: "T13 vertebra", 30: "sacrum", 102: "C2-C3 disc",
                124: "L5-S1 disc", 128: "T13-L1 disc", 223: "L4 endplates"},
    "spineps_subregions": {41: "vertebral arch", 42: "spinous process", 43: "left transverse process",
                           46: "right superior articular process", 47: "left inferior articular process",
                           49: "vertebral body", 60: "spinal cord", 61: "spinal canal", 100: "intervertebral disc"},
    "spinalcordtoolbox": {3: "C3 spinal cord", 8: "T1 spinal cord", 20: "L1 spinal cord"},
}


@pytest.fixture(scope="module")
def lumbar() -> LabelMap:
    """T12 to the sacrum with discs, canal and cord, in own values."""
    phantom = preset("normal_lumbar")
    return phantom.labels(phantom.grid(2.0, margin=24.0))


@pytest.fixture(scope="module")
def parts() -> LabelMap:
    """The same in bodies and arches."""
    phantom = preset("normal_lumbar")
    return phantom.labels(phantom.grid(2.0, margin=24.0), split=True)


@pytest.fixture(scope="module")
def neck() -> LabelMap:
    phantom = preset("cervical")
    return phantom.labels(phantom.grid(2.0))


def relabeled(labels: LabelMap, values: Mapping[int, int]) -> Volume:
    """Other values; 0 for what is not named."""
    lookup = np.zeros(65536, np.uint16)
    for old, new in values.items():
        lookup[old] = new
    return Volume(lookup[labels.array], labels.ijk_to_ras)


def in_scheme(labels: LabelMap, name: str) -> Volume:
    """The label map as another program would have written it."""
    theirs = {(s.kind, s.level): value for value, s in reversed(SCHEMES[name].table.items())}
    return relabeled(labels, {v: theirs.get((s.kind, s.level), 0) for v, s in labels.structures.items()})


def numbered(labels: LabelMap, kinds: set[Kind], from_head: bool) -> Volume:
    """Vertebrae numbered 1, 2, ... along the spine."""
    chosen = sorted((s.level, v) for v, s in labels.structures.items() if s.kind in kinds and s.level is not None)
    return relabeled(labels, {v: n for n, (_, v) in enumerate(chosen if from_head else chosen[::-1], start=1)})


def named(labeled: LabeledInput) -> set[str]:
    return {str(s) for s in labeled.labels.structures.values()}


@pytest.mark.parametrize("name", FROM_THE_SOURCES)
def test_tables_agree_with_the_sources(name: str) -> None:
    table = SCHEMES[name].table
    assert {v: str(table[v]) for v in FROM_THE_SOURCES[name]} == FROM_THE_SOURCES[name]


def test_own_values_are_stable_and_distinct() -> None:
    table = SCHEMES["spineanalysis"].table
    assert all(own_value(structure) == value for value, structure in table.items())
    assert len(set(table.values())) == len(table)
    assert max(table) < 65536
    assert min(table) >= 1000, "no other program's values"
    assert own_value(Structure(Kind.VERTEBRA, Level.L4)) == 1024
    assert own_value(Structure(Kind.DISC, Level.L4, None, Level.L5)) == 1824
    assert own_value(Structure(Kind.TRANSVERSE_PROCESS, Level.T13, "right")) == 1480
    assert own_value(Structure(Kind.CANAL)) == 2000


@pytest.mark.parametrize("name", ["spineanalysis", "totalspineseg", "totalsegmentator", "totalsegmentator_vertebrae_mr",
                                  "verse", "spineps"])
@pytest.mark.parametrize("spine", ["lumbar", "neck"])
def test_every_program_is_recognized(name: str, spine: str, request: pytest.FixtureRequest) -> None:
    labels: LabelMap = request.getfixturevalue(spine)
    labeled = understand(in_scheme(labels, name))
    assert (labeled.scheme, labeled.levels_known, labeled.notes) == (name, True, ())
    theirs = set(SCHEMES[name].table.values())
    bones = {str(s) for s in labels.structures.values() if s.kind is Kind.VERTEBRA and s in theirs}
    assert bones <= named(labeled)
    assert len(bones) >= 6


def test_what_monai_writes_reads_as_verse(lumbar: LabelMap) -> None:
    assert recognize(in_scheme(lumbar, "monai_verse")).scheme.name == "verse"


def test_recognition_says_why(lumbar: LabelMap) -> None:
    reasons = " ".join(recognize(in_scheme(lumbar, "totalspineseg")).reasons)
    assert "T12 to S1 follow one another" in reasons
    assert "typical adult" in reasons


def test_a_label_map_upside_down_is_refused(lumbar: LabelMap) -> None:
    volume = in_scheme(lumbar, "verse")
    flipped = volume.transformed(np.diag([1.0, 1.0, -1.0, 1.0]))
    with pytest.raises(InputError, match="not follow one another from head to foot"):
        understand(flipped, "verse")
    assert understand(flipped).scheme != "verse"


def test_lumbar_vertebrae_are_not_taken_for_cervical_ones(lumbar: LabelMap) -> None:
    labeled = understand(numbered(lumbar, {Kind.VERTEBRA}, from_head=True))
    assert (labeled.scheme, labeled.levels_known) == ("instances", False)
    assert labeled.labels.levels[-1] is Level.L5
    assert any("provisional" in note for note in labeled.notes)


@pytest.mark.parametrize("from_head", [True, False])
def test_numbers_get_provisional_levels(parts: LabelMap, from_head: bool) -> None:
    volume = numbered(parts, {Kind.BODY}, from_head)
    labeled = understand(volume)
    assert labeled.scheme == "instances"
    assert named(labeled) == {"T11 body", "T12 body", "L1 body", "L2 body", "L3 body", "L4 body", "L5 body"}
    right = understand(volume, lowest=Level.S1)
    assert right.labels.levels == parts.levels
    assert not right.levels_known


def test_numbers_that_jump_about_are_refused(lumbar: LabelMap) -> None:
    values = [v for v, s in sorted(lumbar.structures.items()) if s.kind is Kind.VERTEBRA]
    shuffled = relabeled(lumbar, dict(zip(values, [2, 5, 1, 7, 3, 6, 4], strict=True)))
    with pytest.raises(InputError, match="fit no known label scheme; pass --scheme NAME; known schemes: spineanalysis"):
        understand(shuffled)
    with pytest.raises(InputError, match="do not follow the spine"):
        understand(shuffled, "instances")


def test_bodies_under_one_label_are_told_apart(parts: LabelMap) -> None:
    bodies = {v: {Kind.BODY: 1, Kind.DISC: 2}.get(s.kind, 0) for v, s in parts.structures.items()}
    labeled = understand(relabeled(parts, bodies))
    assert labeled.scheme == "totalsegmentator_vertebrae_body"
    assert not labeled.levels_known
    assert named(labeled) == {str(s) for s in parts.structures.values() if s.kind in (Kind.BODY, Kind.DISC)}
    for value, structure in parts.structures.items():
        if structure.kind is Kind.BODY:
            ours = labeled.labels.mask(labeled.labels.values(Kind.BODY, structure.level))
            assert np.count_nonzero(ours ^ (parts.array == value)) <= 5  # crumbs


def test_bodies_that_have_grown_together_are_cut_at_their_disc(parts: LabelMap) -> None:
    volume = relabeled(parts, {v: {Kind.BODY: 1, Kind.DISC: 2}.get(s.kind, 0) for v, s in parts.structures.items()})
    l2, l3 = (parts.array == parts.values(Kind.BODY, level)[0] for level in (Level.L2, Level.L3))
    rows = np.argwhere(l2 | l3)
    column = rows[rows[:, 1] == rows[:, 1].max()][0]  # in front, where an osteophyte bridges
    low, high = np.argwhere(l3)[:, 2].min(), np.argwhere(l2)[:, 2].max()
    bridge = volume.array.copy()
    bridge[column[0], column[1] - 3:column[1] + 1, low + 4:high - 4] = 1
    labeled = understand(volume.with_array(bridge))
    assert labeled.labels.levels == parts.levels


def test_vertebrae_that_touch_under_one_label_are_refused(lumbar: LabelMap) -> None:
    tube = np.where(lumbar.mask(lumbar.values({Kind.VERTEBRA, Kind.DISC})), 19, 0).astype(np.uint8)
    with pytest.raises(InputError, match="touch one another under a single label"):
        understand(lumbar.with_array(tube), "totalsegmentator_mr")


def test_the_disc_below_t12_is_above_t13() -> None:
    array = np.zeros((4, 4, 60), np.uint8)
    for index, value in enumerate((119, 28, 128, 20)):
        array[:, :, 40 - 10 * index:46 - 10 * index] = value
    array[:, :, 50:] = 19
    labeled = understand(Volume(array, np.diag([12.0, 12.0, 3.0, 1.0])), "spineps")
    assert {"T12-T13 disc", "T13-L1 disc", "T13 body"} <= named(labeled)


def test_the_disc_above_the_sacrum_is_below_l6() -> None:
    array = np.zeros((4, 4, 60), np.uint8)
    for index, value in enumerate((45, 96, 46, 100, 50)):
        array[:, :, 50 - 10 * index:56 - 10 * index] = value
    labeled = understand(Volume(array, np.diag([12.0, 12.0, 3.0, 1.0])), "totalspineseg")
    assert {"L5-L6 disc", "L6-S1 disc"} <= named(labeled)


def test_a_level_in_two_places_is_noted(lumbar: LabelMap) -> None:
    array = lumbar.array.copy()
    l1, l4 = (lumbar.values(Kind.VERTEBRA, level)[0] for level in (Level.L1, Level.L4))
    array[:, :array.shape[1] // 2][array[:, :array.shape[1] // 2] == l1] = l4
    notes = understand(Volume(array, lumbar.ijk_to_ras)).notes
    assert any("L4 vertebra is labeled in two places" in note for note in notes)


@pytest.mark.parametrize(("array", "scheme", "message"), [
    (np.zeros((4, 4, 4), np.uint8), "auto", "is empty"),
    (np.full((4, 4, 4), 0.5), "auto", "holds fractions"),
    (np.full((4, 4, 4), np.nan), "auto", "holds fractions"),
    (np.full((4, 4, 4), -5), "auto", "not labels"),
    (np.arange(4096).reshape(16, 16, 16), "auto", "it is a scan, not a label map"),
    (np.full((4, 4, 4), 99, np.uint8), "totalspineseg", "TotalSpineSeg has no label 99"),
    (np.full((4, 4, 4), 5, np.uint8), "totalsegmentator", "none of its labels is a structure of the spine"),
    (np.full((4, 4, 4), 1, np.uint8), "nonsense", "There is no label scheme nonsense"),
    (np.full((30, 30, 9), 24, np.uint8), "auto", "only one vertebra"),
])
def test_bad_input_gets_one_sentence(array: np.ndarray, scheme: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        understand(Volume(array, np.diag([3.0, 3.0, 3.0, 1.0])), scheme)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_floats_that_are_whole_are_labels(neck: LabelMap) -> None:
    volume = in_scheme(neck, "verse")
    assert understand(volume.with_array(volume.array.astype(float))).scheme == "verse"


def test_names_decide(lumbar: LabelMap) -> None:
    values = {v: n for n, v in enumerate(sorted(lumbar.structures), start=60)}
    names = {values[v]: str(s) for v, s in lumbar.structures.items()} | {7: "aorta"}
    assert named(understand(relabeled(lumbar, values), names=names)) == {str(s) for s in lumbar.structures.values()}
    del names[60]
    with pytest.raises(InputError, match="has no label 60"):
        understand(relabeled(lumbar, values), names=names)


def test_the_cord_of_totalsegmentators_names_is_canal_content(lumbar: LabelMap) -> None:
    names = {v: f"vertebrae_{s.level}" for v, s in lumbar.structures.items() if s.kind is Kind.VERTEBRA}
    cord = lumbar.values(Kind.CORD)[0]
    volume = relabeled(lumbar, {v: v for v in [*names, cord]})
    assert "canal content" in named(understand(volume, names={**names, cord: "spinal_cord"}))
    assert "spinal cord" in named(understand(volume, names={**names, cord: "spinal_cord", 7: "spinal_canal"}))


@pytest.mark.parametrize("text", [
    json.dumps({"1": "L4", "2": "L5"}), json.dumps({"labels": {"background": 0, "L4": 1, "L5": 2}}),
    json.dumps({"labels": {"0": "background", "1": "L4", "2": "L5"}}),
    '# a comment\n  0  0 0 0  0 0 0  "Clear Label"\n  1 255 0 0  1 1 1  "L4"\n  2 0 255 0  0.5 1 1  "L5"\n',
    "# Color table file\n0 background 0 0 0 0\n1 L4 128 174 128 255\n2 L5 241 214 145 255\n",
])
def test_tables_of_names(text: str) -> None:
    names = names_from_table(text)
    assert {v: names[v] for v in (1, 2)} == {1: "L4", 2: "L5"}
    assert 0 not in names


@pytest.mark.parametrize("text", ["", "{", "{}", "hello world", '{"labels": [1, 2]}'])
def test_tables_without_names(text: str) -> None:
    with pytest.raises(InputError, match="table of label names"):
        names_from_table(text)


def masks(labels: LabelMap) -> list[tuple[str, str, Volume]]:
    return [(str(s), "", Volume(labels.array == v, labels.ijk_to_ras)) for v, s in labels.structures.items()]


def test_segments_may_overlap(lumbar: LabelMap, parts: LabelMap) -> None:
    canal = lumbar.mask(lumbar.values({Kind.CANAL, Kind.CORD}))
    whole = [("Spinal canal", "", Volume(canal, lumbar.ijk_to_ras))]
    liver = ("liver", "", Volume(lumbar.array > 0, lumbar.ijk_to_ras))
    segments = [*masks(parts)[::-1], *masks(lumbar), *whole, liver]
    labeled = merge_segments(segments)
    assert labeled.scheme == "segments"
    for kind in (Kind.BODY, Kind.CORD, Kind.DISC):
        assert np.array_equal(labeled.labels.mask(labeled.labels.values(kind)), parts.mask(parts.values(kind)))
    assert any("are taken together" in note for note in labeled.notes)


def test_segments_are_found_by_terminology(lumbar: LabelMap) -> None:
    segments = [(f"Segment_{n}", terminology_entry(s), Volume(lumbar.array == v, lumbar.ijk_to_ras))
                for n, (v, s) in enumerate(lumbar.structures.items())]
    labeled = merge_segments(segments)
    assert named(labeled) == {str(s) for s in lumbar.structures.values()}
    assert labeled.notes == ()
    renamed = merge_segments([("L3", entry, mask) if n == 0 else (name, entry, mask)
                              for n, (name, entry, mask) in enumerate(segments)])
    assert any("which counts" in note for note in renamed.notes)


def test_no_segment_of_the_spine(lumbar: LabelMap) -> None:
    with pytest.raises(InputError, match=r"No segment is a structure of the spine .*\(liver\)"):
        merge_segments([("liver", "", lumbar)])


def test_segments_on_other_grids_are_refused(lumbar: LabelMap) -> None:
    first, second, *_ = masks(lumbar)
    moved = replace(second[2], ijk_to_ras=second[2].ijk_to_ras + np.diag([0.1, 0.0, 0.0, 0.0]))
    with pytest.raises(InputError, match="different voxel grids"):
        merge_segments([first, (second[0], "", moved)])


def load(path: Path) -> Volume:
    image = SimpleITK.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return Volume(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1.0, -1, 1, 1]) @ matrix)


RealData = Callable[[str], Path]
CT = "lumbar_ct_totalsegmentator/totalseg_labels.nii.gz"
CT_BODIES = "lumbar_ct_totalsegmentator/vertebrae_body.nii.gz"


def test_real_totalsegmentator(real_data: RealData) -> None:
    labeled = understand(load(real_data(CT)))
    assert (labeled.scheme, labeled.levels_known) == ("totalsegmentator", True)
    assert [str(level) for level in labeled.labels.levels] == ["T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"]


def test_real_bodies_of_totalsegmentator(real_data: RealData) -> None:
    bodies, whole = load(real_data(CT_BODIES)), understand(load(real_data(CT))).labels
    alone = understand(bodies).labels
    assert [str(level) for level in alone.levels] == ["T12", "L1", "L2", "L3", "L4", "L5", "S1"]
    for level in alone.levels:  # provisional, and right
        inside = whole.mask(whole.values(Kind.VERTEBRA, level))[alone.mask(alone.values(Kind.BODY, level))]
        assert inside.mean() > 0.85
    both = understand(load(real_data(CT)), subregions=bodies)
    assert both.levels_known
    assert {"T11 vertebra", "L4 body", "L4 vertebra", "L4-L5 disc", "L5-S1 disc"} <= named(both)


@pytest.mark.parametrize(("sample", "levels_known"), [("ct_{}_label-22", True), ("mri_{}_label-6", False)])
def test_real_spineps(real_data: RealData, sample: str, levels_known: bool) -> None:
    vertebrae, subregions = (load(real_data(f"tptbox_samples/sub-{sample.format(kind)}_msk.nii.gz"))
                             for kind in ("seg-vert", "seg-subreg"))
    labeled = understand(vertebrae, subregions=subregions)
    assert labeled.levels_known is levels_known
    expected = ["L2", "L3", "L4"] if levels_known else ["L3", "L4", "L5"]
    assert [str(level) for level in labeled.labels.levels] == expected
    assert {"L3 body", "L3 spinous process", "L4 left superior articular process"} <= named(labeled)
    assert ({"spinal canal", "spinal cord", "L4-L5 disc"} <= named(labeled)) is not levels_known
    other_way = understand(subregions, subregions=vertebrae)
    assert np.array_equal(other_way.labels.array, labeled.labels.array)
    assert understand(subregions).scheme == "spineps_subregions"


def test_real_names_that_differ_from_totalsegmentator_v2(real_data: RealData) -> None:
    names = names_from_table(real_data("whole_body_masks_totalsegmentator/labels.json").read_text())
    volume = load(real_data("whole_body_masks_totalsegmentator/s0327_labels.nii.gz"))
    labeled = understand(volume, names=names)
    assert labeled.labels.levels[0] is Level.C7
    assert len(labeled.labels.levels) == 19
    assert {"canal content", "left femur", "T7 right rib", "sacrum"} <= named(labeled)
    with pytest.raises(InputError, match="fit no known label scheme"):
        understand(volume)


def test_real_labeled_cord(real_data: RealData) -> None:
    labeled = understand(load(real_data("cervical_mr_sct/t2_seg-manual_labeled.nii.gz")))
    assert labeled.scheme == "spinalcordtoolbox"
    assert named(labeled) == {"C2 spinal cord", "C3 spinal cord", "C4 spinal cord", "C5 spinal cord"}
    for other in ("t2_seg-manual", "labels", "template/PAM50_small_label_disc"):
        with pytest.raises(InputError, match="fit no known label scheme"):
            understand(load(real_data(f"cervical_mr_sct/{other}.nii.gz")))
    with pytest.raises(InputError, match="it is a scan"):
        understand(load(real_data("cervical_mr_sct/t2.nii.gz")))


@pytest.mark.parametrize(("name", "highest"), [("VB1_10_DzZ_T1", "T9"), ("VB3_02", "L1")])
def test_real_numbered_bodies(real_data: RealData, name: str, highest: str) -> None:
    labeled = understand(load(real_data(f"mr_vertebrae_manual/{name}_gt.nii.gz")))
    assert (labeled.scheme, labeled.levels_known) == ("instances", False)
    assert {s.kind for s in labeled.labels.structures.values()} == {Kind.BODY}
    assert (str(labeled.labels.levels[0]), str(labeled.labels.levels[-1])) == (highest, "L5")
