"""The names that people and programs give to structures of the spine.

A name is read as a set of words, in any order, case and with any separators: "vertebrae_L4", "L4 vertebra",
"disc_L4_L5", "L4/L5 disc", "left rib 7", "Spinal canal".  The vocabulary is closed: one unknown word ("vertebral
artery", "auditory canal", "L4 nerve root") and the name is not a structure of the spine.
"""

import re

from ..anatomy import Kind, Level, Side, Structure, successors

_WORD = re.compile(r"(?<![a-z])(?:th|[ctls])\d+|[a-z]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

_SIDES: dict[str, Side] = {"left": "left", "right": "right"}
_FILLERS = frozenset({"the", "of", "and", "vertebra", "vertebrae", "vertebral", "spine", "spinal", "bone", "structure",
                      "process", "processes", "muscle", "segment", "segmentation", "label", "mask", "level",
                      "intervertebral"})

# Words that name a kind, each phrase as a set; the first phrase that is all there wins, so longer ones come first.
_PHRASES: tuple[tuple[frozenset[str], Kind], ...] = tuple((frozenset(words.split()), kind) for words, kind in (
    ("canal content", Kind.CANAL_CONTENT), ("canal contents", Kind.CANAL_CONTENT),
    ("superior articular", Kind.SUPERIOR_ARTICULAR_PROCESS), ("inferior articular", Kind.INFERIOR_ARTICULAR_PROCESS),
    ("dural sac", Kind.DURAL_SAC), ("thecal sac", Kind.DURAL_SAC), ("csf", Kind.DURAL_SAC),
    ("body", Kind.BODY), ("bodies", Kind.BODY), ("corpus", Kind.BODY),
    ("arch", Kind.ARCH), ("arches", Kind.ARCH), ("arcus", Kind.ARCH), ("posterior elements", Kind.ARCH),
    ("spinous", Kind.SPINOUS_PROCESS), ("spinosus", Kind.SPINOUS_PROCESS),
    ("transverse", Kind.TRANSVERSE_PROCESS), ("costal", Kind.TRANSVERSE_PROCESS),
    ("endplate", Kind.ENDPLATE), ("endplates", Kind.ENDPLATE),
    ("disc", Kind.DISC), ("discs", Kind.DISC), ("disk", Kind.DISC), ("disks", Kind.DISC), ("ivd", Kind.DISC),
    ("canal", Kind.CANAL), ("cord", Kind.CORD),
    ("rib", Kind.RIB), ("hip", Kind.HIP), ("femur", Kind.FEMUR),
    ("erector spinae", Kind.ERECTOR), ("autochthon", Kind.ERECTOR), ("iliopsoas", Kind.ILIOPSOAS),
))

_GREATEST = {"c": 7, "t": 13, "th": 13, "l": 6, "s": 5}  # of the level numbers
_TOGETHER = frozenset({Kind.RIB, Kind.HIP, Kind.FEMUR, Kind.ERECTOR, Kind.ILIOPSOAS})
"""Kinds of which a name without a side means both."""


def _level(word: str) -> Level | None:
    """The level of "l4" or "th12"; every piece of the sacrum is S1."""
    letters = word.rstrip("0123456789")
    number = int(word[len(letters):] or 0)
    if not 1 <= number <= _GREATEST.get(letters, 0):
        return None
    return Level.S1 if letters == "s" else Level[f"{letters[0].upper()}{number}"]


def _kind(words: set[str]) -> Kind | None:
    """The kind that the words name, taken out of the words."""
    for phrase, kind in _PHRASES:
        if phrase <= words:
            words -= phrase
            return kind
    return None


def _of_levels(kind: Kind | None, levels: list[Level], side: Side | None, generic: bool) -> Structure | None:
    """The structure that kind and levels make; ``generic``: the name says vertebra or intervertebral."""
    if len(levels) == 2:
        upper, lower = sorted(levels)
        is_disc = kind in (None, Kind.DISC) and side is None and upper is not Level.C1 and lower in successors(upper)
        return Structure(Kind.DISC, upper, None, lower) if is_disc else None
    if len(levels) > 2 or (kind is None and not levels and not generic):
        return None
    return Structure(kind or Kind.VERTEBRA, levels[0] if levels else None, side)


def structure_from_name(name: str) -> Structure | None:
    """The structure of the spine, or of the bones near it, that a name means.

    :return: ``None`` for anything else.  The level is ``None`` for names such as "vertebrae" or "discs".
    """
    words = _WORD.findall(_CAMEL.sub(" ", name).lower())
    numbers = [int(w) for w in words if w.isdigit()]
    coded = [w for w in words if w[-1].isdigit() and not w.isdigit()]
    found = [_level(w) for w in coded]
    levels = [level for level in found if level is not None]
    plain = {w for w in words if not w[-1].isdigit()}
    if len(levels) != len(found):
        return None
    if "s" in plain and not levels:  # it is the sacrum, but only in "L5-S"
        return None
    if plain & {"s", "sacrum"}:
        levels.append(Level.S1)
    levels = list(dict.fromkeys(levels))
    sides = [_SIDES[w] for w in sorted(plain & set(_SIDES))]
    plain -= {"s", "sacrum", *_SIDES}
    generic = bool(plain & {"vertebra", "vertebrae"})
    between = "intervertebral" in plain
    kind = _kind(plain)
    if plain - _FILLERS or len(sides) > 1 or (between and kind is not Kind.DISC):
        return None
    side = sides[0] if sides else None
    if kind is Kind.RIB and len(numbers) == 1 and not levels and 1 <= numbers[0] <= 13:
        return Structure(Kind.RIB, Level[f"T{numbers[0]}"], side)
    if numbers or (kind in _TOGETHER and side is None):
        return None
    return _of_levels(kind, levels, side, generic)
