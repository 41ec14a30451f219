"""The one enumeration of spinal levels and structures.

Levels are ordered from head to foot and include the numeric variants: a thirteenth thoracic and a sixth lumbar
vertebra.  A missing T12 or a sacralized L5 is a chain that does not hold the level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal

Side = Literal["left", "right"]
"""The patient's side."""

SIDES: tuple[tuple[Side, int], ...] = (("left", -1), ("right", 1))
"""Sides with the sign that they have along an R axis."""

CanalMeaning = Literal["bony canal", "dural sac", ""]
"""What a labeled canal's outline follows; empty where the segmentation does not say."""


class Region(Enum):
    CERVICAL = "cervical"
    THORACIC = "thoracic"
    LUMBAR = "lumbar"
    SACRAL = "sacral"


class Level(IntEnum):
    """A vertebra; a smaller value is nearer to the head.  The sacrum is S1."""

    C1 = 1
    C2 = 2
    C3 = 3
    C4 = 4
    C5 = 5
    C6 = 6
    C7 = 7
    T1 = 8
    T2 = 9
    T3 = 10
    T4 = 11
    T5 = 12
    T6 = 13
    T7 = 14
    T8 = 15
    T9 = 16
    T10 = 17
    T11 = 18
    T12 = 19
    T13 = 20
    L1 = 21
    L2 = 22
    L3 = 23
    L4 = 24
    L5 = 25
    L6 = 26
    S1 = 27

    def __str__(self) -> str:
        return self.name

    @property
    def region(self) -> Region:
        return _REGION_OF_LETTER[self.name[0]]

    @property
    def is_variant(self) -> bool:
        """A level that most people do not have."""
        return self in (Level.T13, Level.L6)


_REGION_OF_LETTER = {"C": Region.CERVICAL, "T": Region.THORACIC, "L": Region.LUMBAR, "S": Region.SACRAL}

# Which level may lie directly below which: the usual next one, and the numeric variants.
_SUCCESSORS: dict[Level, tuple[Level, ...]] = {
    **{upper: (Level(upper + 1),) for upper in Level if upper < Level.S1},
    Level.T11: (Level.T12, Level.L1),
    Level.T12: (Level.L1, Level.T13),
    Level.L4: (Level.L5, Level.S1),
    Level.L5: (Level.S1, Level.L6),
    Level.S1: (),
}


def successors(level: Level) -> tuple[Level, ...]:
    """Levels that may lie directly below, the usual one first."""
    return _SUCCESSORS[level]


@dataclass(frozen=True, order=True)
class Segment:
    """A motion segment (or, for ranges such as lumbar lordosis, any pair of end vertebrae)."""

    upper: Level
    lower: Level

    def __str__(self) -> str:
        return f"{self.upper}-{self.lower}"


def segments(levels: Sequence[Level]) -> list[Segment]:
    """Motion segments of a chain of levels, top to bottom.

    Neighbors in the chain that cannot be neighbors in a body (one between them is missing) make no segment, and
    there is no disc between C1 and C2.
    """
    chain = sorted(levels)
    return [Segment(a, b) for a, b in zip(chain, chain[1:], strict=False) if b in successors(a) and a != Level.C1]


class Kind(Enum):
    """What a labeled structure is.

    ``VERTEBRA`` is bone of a vertebra that no more specific label claims; ``CANAL_CONTENT`` follows the contents of
    the canal without saying whether it means cord or dural sac (so it guides, but is not measured).
    """

    VERTEBRA = "vertebra"
    BODY = "vertebral body"
    ARCH = "vertebral arch"
    SPINOUS_PROCESS = "spinous process"
    TRANSVERSE_PROCESS = "transverse process"
    SUPERIOR_ARTICULAR_PROCESS = "superior articular process"
    INFERIOR_ARTICULAR_PROCESS = "inferior articular process"
    ENDPLATE = "vertebral endplate"
    DISC = "intervertebral disc"
    CANAL = "spinal canal"
    DURAL_SAC = "dural sac"
    CORD = "spinal cord"
    CANAL_CONTENT = "canal content"
    RIB = "rib"
    HIP = "hip bone"
    FEMUR = "femur"
    ERECTOR = "erector spinae"
    ILIOPSOAS = "iliopsoas"

    @property
    def is_bone(self) -> bool:
        """Part of a vertebra."""
        return self in VERTEBRA_KINDS


POSTERIOR_KINDS = frozenset({Kind.ARCH, Kind.SPINOUS_PROCESS, Kind.TRANSVERSE_PROCESS,
                             Kind.SUPERIOR_ARTICULAR_PROCESS, Kind.INFERIOR_ARTICULAR_PROCESS})
VERTEBRA_KINDS = POSTERIOR_KINDS | {Kind.VERTEBRA, Kind.BODY, Kind.ENDPLATE}


@dataclass(frozen=True)
class Structure:
    """One named structure.

    :param level: its vertebra; for a disc the vertebra above it; for a piece of the cord the vertebra beside it.
    :param below: for a disc, the vertebra below it, where known.
    """

    kind: Kind
    level: Level | None = None
    side: Side | None = None
    below: Level | None = None

    def __str__(self) -> str:
        if self.kind is Kind.DISC and self.level is not None:
            lower = self.below or (successors(self.level) or (None,))[0]
            return f"{self.level}-{lower} disc"
        if self.kind in (Kind.VERTEBRA, Kind.BODY, Kind.ENDPLATE) and self.level is not None:
            noun = {Kind.VERTEBRA: "vertebra", Kind.BODY: "body", Kind.ENDPLATE: "endplates"}[self.kind]
            return "sacrum" if self == Structure(Kind.VERTEBRA, Level.S1) else f"{self.level} {noun}"
        parts = [str(self.level) if self.level is not None else "", self.side or "", self.kind.value]
        return " ".join(p for p in parts if p)
