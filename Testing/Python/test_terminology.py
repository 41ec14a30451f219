"""Codes, entries, names and colors of structures."""

import itertools

import pytest
from pydicom.sr._concepts_dict import concepts

from SpineAnalysisLib.anatomy import Kind, Level, Structure, successors
from SpineAnalysisLib.schemes import SCHEMES
from SpineAnalysisLib.terminology import (
    code_of,
    color_of,
    structure_from_codes,
    structure_from_entry,
    structure_from_name,
    terminology_entry,
)
from SpineAnalysisLib.terminology.codes import ANATOMICAL_STRUCTURE, SIDES, TISSUE

STRUCTURES = sorted(SCHEMES["spineanalysis"].table.values(), key=str)
IN_DICOM: dict[str, set[str]] = {}
for entries in concepts["SCT"].values():
    for value, (meaning, _) in entries.items():
        IN_DICOM.setdefault(value, set()).add(meaning)

# Codes that pydicom's copy of DICOM's context groups lacks, with where they were read.
ELSEWHERE = {
    "360499006": "Intervertebral disc",  # SNOMED CT, as TotalSegmentator's MR labels use it
    "3572006": "Vertebral body",  # SlicerTotalSegmentator, totalsegmentator_snomed_mapping.csv
    "44947003": "Erector spinae muscle", "68455001": "Iliopsoas muscle",  # the same
    "37554007": "Spinal dura mater",  # AAPM TG-263's ThecalSac
    "48535007": "First rib", "78247007": "Second rib", "25888004": "Third rib", "25523003": "Fourth rib",
    "15339008": "Fifth rib", "59558009": "Sixth rib", "24915002": "Seventh rib", "5953002": "Eighth rib",
    "22565002": "Ninth rib", "77644006": "Tenth rib", "58830002": "Eleventh rib", "43993008": "Twelfth rib",
}


def key(text: str) -> str:
    """What the standard's spellings of one meaning share."""
    return text.lower().replace(" (body structure)", "").replace("structure of ", "").replace(" structure", "")


def test_every_code_has_its_meaning_in_the_standard() -> None:
    coded = [code_of(structure) for structure in STRUCTURES]
    codes = {code for c in coded for code in (c.type, c.modifier, c.region) if code is not None}
    assert len(codes) > 70
    assert [c for c in codes if c.value in ELSEWHERE and c.meaning != ELSEWHERE[c.value]] == []
    assert [c for c in codes if c.value not in ELSEWHERE
            and key(c.meaning) not in {key(meaning) for meaning in IN_DICOM[c.value]}] == []


def test_categories_are_dicoms() -> None:
    assert "Tissue" in IN_DICOM[TISSUE.value]
    assert ANATOMICAL_STRUCTURE.value in IN_DICOM
    assert {side: IN_DICOM[code.value] for side, code in SIDES.items()} == {"left": {"Left"}, "right": {"Right"}}


def test_vertebrae_and_discs_have_codes_of_their_own() -> None:
    vertebrae = [Structure(Kind.VERTEBRA, level) for level in Level if not level.is_variant]
    discs = [Structure(Kind.DISC, level) for level in Level if Level.C1 < level < Level.S1 and not level.is_variant]
    codes = [code_of(s).type.value for s in vertebrae + discs]
    assert len(set(codes)) == len(codes) == 25 + 23
    assert all(code_of(s).region is None for s in vertebrae + discs)
    assert code_of(Structure(Kind.VERTEBRA, Level.T13)).region == code_of(Structure(Kind.BODY, Level.T13)).region
    assert code_of(Structure(Kind.DISC, Level.L5, None, Level.L6)).type.meaning == "Intervertebral disc"


def test_names_come_back() -> None:
    assert {s: structure_from_name(str(s)) for s in STRUCTURES} == {s: s for s in STRUCTURES}


def test_entries_with_names_come_back() -> None:
    assert [s for s in STRUCTURES if not same(structure_from_entry(terminology_entry(s), str(s)), s)] == []


def same(back: Structure | None, structure: Structure) -> bool:
    """Whether it is the same but for the lower neighbor of a disc, which follows from the other levels."""
    return back is not None and (back.kind, back.level, back.side) == (structure.kind, structure.level, structure.side)


def test_codes_alone_tell_what_they_can() -> None:
    unsure = [s for s in STRUCTURES if s.kind is not Kind.ENDPLATE and not (s.level and s.level.is_variant)]
    for structure in unsure:
        coded = code_of(structure)
        back = structure_from_codes(coded.type.value, coded.modifier.value if coded.modifier else "",
                                    coded.region.value if coded.region else "")
        assert same(back, structure)


def test_slicer_writes_and_reads_the_same_entry() -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    for structure in STRUCTURES:
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(terminology_entry(structure), entry)
        coded = code_of(structure)
        assert entry.GetTypeObject().GetCodeValue() == coded.type.value
        assert entry.GetTypeObject().GetCodeMeaning() == coded.type.meaning
        assert entry.GetRegionObject().GetCodeValue() == (coded.region.value if coded.region else None)
        assert logic.SerializeTerminologyEntry(entry) == terminology_entry(structure)


@pytest.mark.parametrize(("name", "expected"), [
    ("L4", "L4 vertebra"), ("vertebrae_L4", "L4 vertebra"), ("Vertebra L4 body", "L4 body"), ("Th12", "T12 vertebra"),
    ("VertebraL4", "L4 vertebra"), ("disc_L4_L5", "L4-L5 disc"), ("L4/L5 Disc", "L4-L5 disc"), ("L4L5", "L4-L5 disc"),
    ("disc_L5_S", "L5-S1 disc"), ("L5-S1", "L5-S1 disc"), ("T12-T13 disc", "T12-T13 disc"),
    ("L4-S1 disc", "L4-S1 disc"),
    ("Spinal canal", "spinal canal"), ("spinal_cord", "spinal cord"), ("thecal sac", "dural sac"), ("SACRUM", "sacrum"),
    ("vertebrae_S1", "sacrum"), ("rib_left_7", "T7 left rib"), ("hip_right", "right hip bone"),
    ("Costal_Process_Left", "left transverse process"), ("vertebrae", "vertebra"), ("discs", "intervertebral disc"),
    ("L4 left superior articular process", "L4 left superior articular process"),
])
def test_names_people_give(name: str, expected: str) -> None:
    assert str(structure_from_name(name)) == expected


@pytest.mark.parametrize("name", [
    "", "aorta", "vertebral artery", "auditory_canal_right", "costal_cartilages", "L4 nerve root", "T2w", "t2_seg",
    "umbilical cord", "L7", "C8", "L4-S2 screw", "C1-C2 disc", "L2-L5", "hip_implant", "body_trunc", "Segment_1",
    "spine", "rib_left_14", "femur", "left right femur", "L4 left disc L5", "spinal", "s",
])
def test_names_of_something_else(name: str) -> None:
    assert structure_from_name(name) is None


def entry(type_code: str, category: str = "123037004", region: str = "", context: str = "any") -> str:
    return f"{context}~SCT^{category}^-~SCT^{type_code}^-~^^~{'regions' if region else ''}~SCT^{region}^-~^^|"


def test_codes_count_more_than_names() -> None:
    vertebra = entry("11994002")
    assert structure_from_entry(vertebra, "L5") == Structure(Kind.VERTEBRA, Level.L4)
    assert structure_from_entry(vertebra, "Segment_1") == Structure(Kind.VERTEBRA, Level.L4)
    assert structure_from_entry(vertebra, "L4 body") == Structure(Kind.BODY, Level.L4)
    assert structure_from_entry(entry("85756007", "85756007"), "L4") == Structure(Kind.VERTEBRA, Level.L4)
    assert structure_from_entry("", "L4 vertebra") == Structure(Kind.VERTEBRA, Level.L4)
    assert structure_from_entry("", "liver") is None
    assert structure_from_entry(entry("75782005"), "") == Structure(Kind.DISC, Level.L5)
    assert structure_from_entry(entry("51282000", region="122496007"), "L6") == Structure(Kind.VERTEBRA, Level.L6)


def test_a_lesion_is_no_vertebra() -> None:
    assert structure_from_entry(entry("4147007", category="49755003"), "L4") is None


def test_the_cord_of_totalsegmentator_is_canal_content() -> None:
    own = entry("2748008", context="Segmentation category and type - Total Segmentator")
    assert structure_from_entry(own, "spinal cord") == Structure(Kind.CANAL_CONTENT)
    assert structure_from_entry(entry("2748008"), "spinal cord") == Structure(Kind.CORD)


def distance(a: Structure, b: Structure) -> float:
    return sum((x - y) ** 2 for x, y in zip(color_of(a), color_of(b), strict=True)) ** 0.5


def test_colors_tell_neighbors_apart() -> None:
    for kind in (Kind.VERTEBRA, Kind.BODY, Kind.DISC):
        for upper in Level:
            for lower in (level for level in successors(upper) if level - upper <= 2):
                assert distance(Structure(kind, upper), Structure(kind, lower)) > 0.1
    tubes = [Structure(kind) for kind in (Kind.CANAL, Kind.DURAL_SAC, Kind.CORD)] + [
        Structure(Kind.VERTEBRA, Level.L4), Structure(Kind.DISC, Level.L4)]
    assert all(distance(a, b) > 0.1 for a, b in itertools.combinations(tubes, 2))
    assert all(0.0 <= channel <= 1.0 for s in STRUCTURES for channel in color_of(s))
