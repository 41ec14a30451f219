"""Slicer's serialized terminology entries: the coded identity of a segment in one string."""

from dataclasses import replace

from ..anatomy import Kind, Structure
from .codes import ANATOMICAL_STRUCTURE, SCHEME, TISSUE, Code, code_of, structure_from_codes
from .names import structure_from_name

_TYPES_CONTEXT = "Segmentation category and type - DICOM master list"
_REGIONS_CONTEXT = "Anatomic codes - DICOM master list"
_TOTAL_SEGMENTATOR = "Total Segmentator"  # in the name of its own context


def terminology_entry(structure: Structure) -> str:
    """The entry as Slicer's terminologies logic serializes it.

    Context, category, type, modifier, context of regions, region and its modifier are parted by ``~``; scheme, value
    and meaning of each by ``^``.
    """
    coded = code_of(structure)
    return "~".join([
        _TYPES_CONTEXT, _triple(coded.category), _triple(coded.type), _triple(coded.modifier),
        _REGIONS_CONTEXT if coded.region else "", _triple(coded.region), _triple(None),
    ])


def _triple(code: Code | None) -> str:
    return f"{SCHEME}^{code.value}^{code.meaning}" if code else "^^"


def structure_from_entry(entry: str, name: str = "") -> Structure | None:
    """The structure that a segment is, by its terminology entry and its name.

    The codes decide what they can; the name adds what they leave open (a T13, the endplates of a body) and stands alone
    where they say nothing of the spine, as with the "Tissue" of new segments.

    :param entry: serialized, from whatever program; may be empty.
    :param name: of the segment.
    """
    category, *codes = _values(entry)
    if category not in ("", ANATOMICAL_STRUCTURE.value, TISSUE.value):
        return None  # a lesion or a screw, wherever it is
    coded, named = structure_from_codes(*codes), structure_from_name(name)
    if coded is None:
        return named
    if coded.kind is Kind.CORD and _TOTAL_SEGMENTATOR in entry.split("~")[0]:
        return Structure(Kind.CANAL_CONTENT)  # its spinal cord goes on to the sacrum
    return named if named is not None and _refines(named, coded) else coded


def _values(entry: str) -> list[str]:
    """The SNOMED CT values of category, type, modifier and region; empty strings for other schemes."""
    fields = entry.rstrip("|").split("~")
    parts = [(fields[i].split("^") if i < len(fields) else []) for i in (1, 2, 3, 5)]
    return [part[1] if len(part) > 1 and part[0] == SCHEME else "" for part in parts]


def _refines(named: Structure, coded: Structure) -> bool:
    """Whether the name says all that the codes say, and more."""
    same_kind = named.kind is coded.kind or (named.kind.is_bone and coded.kind is Kind.VERTEBRA) or (
        (named.kind, coded.kind) == (Kind.ENDPLATE, Kind.BODY))
    filled = replace(coded, kind=named.kind, level=coded.level or named.level, side=coded.side or named.side,
                     below=coded.below or named.below)
    return same_kind and filled == named
