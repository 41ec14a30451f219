"""SNOMED CT codes of structures.

Codes and meanings are those of DICOM (context groups 7603 for vertebrae, 7604 for discs, and others), of Slicer's
TotalSegmentator extension (ribs, vertebral body, hip, muscles) and, for the dural sac, of AAPM TG-263.  Where SNOMED
CT has no code for a structure at one level, the type is the general one and the level's vertebra is the anatomic
region, so that the codes alone say which it is.  Only the numeric variants T13 and L6 have no code of their own at all:
they are a vertebra with the thoracic or the lumbar spine as its region, and the name tells the rest.
"""

from dataclasses import dataclass
from functools import cache

from ..anatomy import Kind, Level, Region, Side, Structure, successors

SCHEME = "SCT"


@dataclass(frozen=True)
class Code:
    """A SNOMED CT concept; two codes are the same where their values are."""

    value: str
    meaning: str


@dataclass(frozen=True)
class CodedStructure:
    """A structure as DICOM segments and Slicer's segments describe it.

    :param modifier: its side.
    :param region: where the type alone does not say it, the vertebra (or the part of the spine) it belongs to.
    """

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None


ANATOMICAL_STRUCTURE = Code("123037004", "Anatomical Structure")
TISSUE = Code("85756007", "Tissue")
SIDES: dict[Side, Code] = {"left": Code("7771000", "Left"), "right": Code("24028007", "Right")}

VERTEBRA = Code("51282000", "Vertebra")
DISC = Code("360499006", "Intervertebral disc")
RIB = Code("113197003", "Rib")
SACRUM = Code("54735007", "Sacrum")
SPINE_REGIONS = {
    Region.CERVICAL: Code("122494005", "Cervical spine"),
    Region.THORACIC: Code("122495006", "Thoracic spine"),
    Region.LUMBAR: Code("122496007", "Lumbar spine"),
}

_VERTEBRAE = {
    Level.C1: "14806007", Level.C2: "39976000", Level.C3: "113205007", Level.C4: "5329002", Level.C5: "36978003",
    Level.C6: "36054005", Level.C7: "87391001",
    Level.T1: "64864005", Level.T2: "53733008", Level.T3: "1626008", Level.T4: "73071006", Level.T5: "56401006",
    Level.T6: "45296009", Level.T7: "62487009", Level.T8: "11068009", Level.T9: "82687006", Level.T10: "7610001",
    Level.T11: "12989004", Level.T12: "23215003",
    Level.L1: "66794005", Level.L2: "14293000", Level.L3: "36470004", Level.L4: "11994002", Level.L5: "49668003",
}

# By the vertebra above; the one below is the usual one.
_DISCS = {
    Level.C2: "1078209008", Level.C3: "58820006", Level.C4: "49400002", Level.C5: "73959003", Level.C6: "75095006",
    Level.C7: "37414007",
    Level.T1: "40908007", Level.T2: "6004007", Level.T3: "2620004", Level.T4: "82965004", Level.T5: "72692000",
    Level.T6: "74401007", Level.T7: "28693002", Level.T8: "9188009", Level.T9: "113209001", Level.T10: "34959001",
    Level.T11: "1537001", Level.T12: "76206002",
    Level.L1: "80064006", Level.L2: "67459009", Level.L3: "62551000", Level.L4: "84020006", Level.L5: "715056000",
}

_RIBS = {
    Level.T1: ("48535007", "First"), Level.T2: ("78247007", "Second"), Level.T3: ("25888004", "Third"),
    Level.T4: ("25523003", "Fourth"), Level.T5: ("15339008", "Fifth"), Level.T6: ("59558009", "Sixth"),
    Level.T7: ("24915002", "Seventh"), Level.T8: ("5953002", "Eighth"), Level.T9: ("22565002", "Ninth"),
    Level.T10: ("77644006", "Tenth"), Level.T11: ("58830002", "Eleventh"), Level.T12: ("43993008", "Twelfth"),
}

# Types of structures whose level, if any, is in the region.  Endplates have no code: they are the body's, by name.
# Canal content is what fills the canal without being told apart; its nearest concept is the fluid's pathway.
_TYPES = {
    Kind.VERTEBRA: VERTEBRA,
    Kind.BODY: Code("3572006", "Vertebral body"),
    Kind.ENDPLATE: Code("3572006", "Vertebral body"),
    Kind.ARCH: Code("40265002", "Arch of vertebra"),
    Kind.SPINOUS_PROCESS: Code("55678000", "Spinous process of vertebra"),
    Kind.TRANSVERSE_PROCESS: Code("73400003", "Transverse process of vertebra"),
    Kind.SUPERIOR_ARTICULAR_PROCESS: Code("317665004", "Superior articular process of vertebra"),
    Kind.INFERIOR_ARTICULAR_PROCESS: Code("317766009", "Inferior articular process of vertebra"),
    Kind.DISC: DISC,
    Kind.CANAL: Code("61853006", "Vertebral canal"),
    Kind.DURAL_SAC: Code("37554007", "Spinal dura mater"),
    Kind.CORD: Code("2748008", "Spinal cord"),
    Kind.CANAL_CONTENT: Code("280401006", "Spinal cerebrospinal fluid pathway"),
    Kind.RIB: RIB,
    Kind.HIP: Code("29836001", "Hip"),
    Kind.FEMUR: Code("71341001", "Femur"),
    Kind.ERECTOR: Code("44947003", "Erector spinae muscle"),
    Kind.ILIOPSOAS: Code("68455001", "Iliopsoas muscle"),
}

# DICOM has a second code for the lowest disc.
_SYNONYMS = {"75782005": "715056000"}


def _vertebra(level: Level) -> Code:
    """The code of a vertebra, or of its part of the spine for the numeric variants."""
    if level in _VERTEBRAE:
        return Code(_VERTEBRAE[level], f"{level} vertebra")
    return SACRUM if level is Level.S1 else SPINE_REGIONS[level.region]


def _own_type(structure: Structure) -> Code | None:
    """The type that names kind and level at once, where there is one."""
    kind, level = structure.kind, structure.level
    if level is None:
        return None
    usual = (successors(level) or (None,))[0]
    if kind is Kind.VERTEBRA and not level.is_variant:
        return _vertebra(level)
    if kind is Kind.DISC and level in _DISCS and structure.below in (None, usual):
        return Code(_DISCS[level], f"{level}/{usual} disc")
    if kind is Kind.RIB and level in _RIBS:
        return Code(_RIBS[level][0], f"{_RIBS[level][1]} rib")
    return None


def code_of(structure: Structure) -> CodedStructure:
    """The coded identity of a structure."""
    own = _own_type(structure)
    region = None if own or structure.level is None else _vertebra(structure.level)
    modifier = SIDES[structure.side] if structure.side else None
    return CodedStructure(ANATOMICAL_STRUCTURE, own or _TYPES[structure.kind], modifier, region)


@cache
def _structures() -> dict[tuple[str, str | None], Structure]:
    """(type, region) -> structure without its side, for every code that says which it is."""
    found: dict[tuple[str, str | None], Structure] = {}
    for kind in Kind:
        if kind is Kind.ENDPLATE:
            continue
        for level in (None, *Level):
            if level is not None and level.is_variant:
                continue
            structure = Structure(kind, level)
            coded = code_of(structure)
            found.setdefault((coded.type.value, coded.region.value if coded.region else None), structure)
    return found


def structure_from_codes(type_value: str, modifier_value: str = "", region_value: str = "") -> Structure | None:
    """The structure that SNOMED CT codes mean.

    :return: ``None`` for what is no structure of the spine.  The level is ``None`` where the codes do not say it.
    """
    side: Side | None = next((side for side, code in SIDES.items() if code.value == modifier_value), None)
    type_value = _SYNONYMS.get(type_value, type_value)
    exact = _structures().get((type_value, region_value or None)) or _structures().get((type_value, None))
    return Structure(exact.kind, exact.level, side) if exact else None
