"""The label values of the programs that people have.

Each table was read from the program's own source, which is named beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..anatomy import VERTEBRA_KINDS, CanalMeaning, Kind, Level, Region, Side, Structure, successors


@dataclass(frozen=True)
class Scheme:
    """What the label values of one program mean.

    :param name: what people pass.
    :param title: what people read.
    :param table: label value -> structure.
    :param source: where the table is from.
    :param ignored: values that the program also writes, of no use here.
    :param canal_means: what the canal's label follows.
    """

    name: str
    title: str
    table: Mapping[int, Structure]
    source: str
    ignored: frozenset[int] = frozenset()
    canal_means: CanalMeaning = ""


def _vertebrae(values: Mapping[Level, int]) -> dict[int, Structure]:
    return {value: Structure(Kind.VERTEBRA, level) for level, value in values.items()}


def _run(first: Level, last: Level, value: int, step: int = 1) -> dict[Level, int]:
    """Values of the levels from one to another, the numeric variants left out."""
    levels = [level for level in Level if first <= level <= last and (not level.is_variant or level is last)]
    return {level: value + step * index for index, level in enumerate(levels)}


def disc_below(level: Level) -> Structure:
    """The disc below a vertebra, with its usual lower neighbor."""
    return Structure(Kind.DISC, level, None, successors(level)[0])


def _paired(kind: Kind, left: int, right: int) -> dict[int, Structure]:
    return {left: Structure(kind, None, "left"), right: Structure(kind, None, "right")}


# Our own values: a block of a hundred for each kind; in it thirty for each side, and the level's number.
_OWN_BLOCKS = {kind: 1000 + 100 * index for index, kind in enumerate((
    Kind.VERTEBRA, Kind.BODY, Kind.ARCH, Kind.SPINOUS_PROCESS, Kind.TRANSVERSE_PROCESS, Kind.SUPERIOR_ARTICULAR_PROCESS,
    Kind.INFERIOR_ARTICULAR_PROCESS, Kind.ENDPLATE, Kind.DISC, Kind.CORD, Kind.CANAL, Kind.DURAL_SAC,
    Kind.CANAL_CONTENT, Kind.RIB, Kind.HIP, Kind.FEMUR, Kind.ERECTOR, Kind.ILIOPSOAS))}
_OWN_SIDES: dict[Side | None, int] = {None: 0, "left": 30, "right": 60}


def own_value(structure: Structure) -> int:
    """The label value of a structure in this project's own label maps; below 65536, and stable."""
    return _OWN_BLOCKS[structure.kind] + _OWN_SIDES[structure.side] + (structure.level or 0)


def _own_table() -> dict[int, Structure]:
    """Every structure that there can be.  Level ``None``: of all levels, or of one that is not known."""
    levels: dict[Kind, list[Level | None]] = {kind: [None, *Level] for kind in (*VERTEBRA_KINDS, Kind.CORD)}
    levels[Kind.DISC] = [None, *(level for level in Level if Level.C1 < level < Level.S1)]
    levels[Kind.RIB] = [level for level in Level if level.region is Region.THORACIC]
    sides: dict[Kind, tuple[Side | None, ...]] = dict.fromkeys(
        (Kind.RIB, Kind.HIP, Kind.FEMUR, Kind.ERECTOR, Kind.ILIOPSOAS), ("left", "right"))
    sides |= dict.fromkeys((Kind.TRANSVERSE_PROCESS, Kind.SUPERIOR_ARTICULAR_PROCESS, Kind.INFERIOR_ARTICULAR_PROCESS),
                           (None, "left", "right"))
    table = {}
    for kind in _OWN_BLOCKS:
        for side in sides.get(kind, (None,)):
            for level in levels.get(kind, [None]):
                structure = disc_below(level) if kind is Kind.DISC and level else Structure(kind, level, side)
                table[own_value(structure)] = structure
    return table


_SPINEPS_LEVELS = _run(Level.C1, Level.T12, 1) | {Level.T13: 28} | _run(Level.L1, Level.L6, 20)
_DISC_LEVELS = range(Level.C2, Level.S1)


def _spineps_instances() -> dict[int, Structure]:
    """Vertebrae; the disc below each at 100 more and its endplates at 200 more; five pieces of the sacrum."""
    table = _vertebrae(_SPINEPS_LEVELS | {Level.S1: 26})
    table |= dict.fromkeys(range(29, 34), Structure(Kind.VERTEBRA, Level.S1))
    table |= {100 + value: disc_below(level) for level, value in _SPINEPS_LEVELS.items() if level in _DISC_LEVELS}
    return table | {200 + value: Structure(Kind.ENDPLATE, level)
                    for level, value in (_SPINEPS_LEVELS | {Level.S1: 26}).items()}


_SPINEPS_SUBREGIONS = {
    26: Structure(Kind.VERTEBRA, Level.S1), 40: Structure(Kind.VERTEBRA), 41: Structure(Kind.ARCH),
    42: Structure(Kind.SPINOUS_PROCESS), **_paired(Kind.TRANSVERSE_PROCESS, 43, 44),
    **_paired(Kind.SUPERIOR_ARTICULAR_PROCESS, 45, 46), **_paired(Kind.INFERIOR_ARTICULAR_PROCESS, 47, 48),
    49: Structure(Kind.BODY), 50: Structure(Kind.BODY), 52: Structure(Kind.ENDPLATE), 53: Structure(Kind.ENDPLATE),
    60: Structure(Kind.CORD), 61: Structure(Kind.CANAL), 62: Structure(Kind.ENDPLATE), 100: Structure(Kind.DISC),
    **dict.fromkeys(range(70, 74), Structure(Kind.VERTEBRA, Level.S1)), 74: Structure(Kind.ENDPLATE),  # of the sacrum
}

_TOTALSPINESEG = {
    1: Structure(Kind.CORD), 2: Structure(Kind.CANAL),
    **_vertebrae(_run(Level.C1, Level.C7, 11) | _run(Level.T1, Level.T12, 21) | _run(Level.L1, Level.L6, 41)),
    50: Structure(Kind.VERTEBRA, Level.S1),
    **{value: disc_below(level) for level, value in (
        _run(Level.C2, Level.C6, 63) | _run(Level.C7, Level.T11, 71) | _run(Level.T12, Level.L4, 91)).items()},
    96: Structure(Kind.DISC, Level.L5, None, Level.L6), 100: disc_below(Level.L5),
}

# Its spinal cord goes on to the sacrum, about as wide as the dural sac: content of the canal, neither cord nor sac.
_TOTALSEGMENTATOR = {
    25: Structure(Kind.VERTEBRA, Level.S1), 26: Structure(Kind.VERTEBRA, Level.S1),
    **_vertebrae(_run(Level.L1, Level.L5, 31, -1) | _run(Level.T1, Level.T12, 43, -1)
                 | _run(Level.C1, Level.C7, 50, -1)),
    **_paired(Kind.FEMUR, 75, 76), **_paired(Kind.HIP, 77, 78), 79: Structure(Kind.CANAL_CONTENT),
    **_paired(Kind.ERECTOR, 86, 87), **_paired(Kind.ILIOPSOAS, 88, 89),
    **{value: Structure(Kind.RIB, level, "left") for level, value in _run(Level.T1, Level.T12, 92).items()},
    **{value: Structure(Kind.RIB, level, "right") for level, value in _run(Level.T1, Level.T12, 104).items()},
}

_TOTALSEGMENTATOR_MR = {
    18: Structure(Kind.VERTEBRA, Level.S1), 19: Structure(Kind.VERTEBRA), 20: Structure(Kind.DISC),
    21: Structure(Kind.CANAL_CONTENT), **_paired(Kind.FEMUR, 36, 37), **_paired(Kind.HIP, 38, 39),
}

_MAP_TO_BINARY = "github.com/wasserth/TotalSegmentator, totalsegmentator/map_to_binary.py"
_VERT_CONSTANTS = "github.com/Hendrik-code/TPTBox, TPTBox/core/vert_constants.py"

_ALL = (
    Scheme("spineanalysis", "SpineAnalysis", _own_table(), "this project"),
    Scheme("totalspineseg", "TotalSpineSeg", _TOTALSPINESEG,
           "github.com/neuropoly/totalspineseg, README.md and resources/labels_maps/tss_map.json",
           canal_means="dural sac"),
    Scheme("totalsegmentator", "TotalSegmentator v2, total", _TOTALSEGMENTATOR, _MAP_TO_BINARY,
           frozenset(range(1, 118)) - set(_TOTALSEGMENTATOR)),
    Scheme("totalsegmentator_mr", "TotalSegmentator v2, total_mr", _TOTALSEGMENTATOR_MR, _MAP_TO_BINARY,
           frozenset(range(1, 51)) - set(_TOTALSEGMENTATOR_MR)),
    Scheme("totalsegmentator_vertebrae_mr", "TotalSegmentator v2, vertebrae_mr",
           {1: Structure(Kind.VERTEBRA, Level.S1),
            **_vertebrae(_run(Level.L1, Level.L5, 6, -1) | _run(Level.T1, Level.T12, 18, -1)
                         | _run(Level.C1, Level.C7, 25, -1))}, _MAP_TO_BINARY),
    Scheme("totalsegmentator_vertebrae_body", "TotalSegmentator v2, vertebrae_body",
           {1: Structure(Kind.BODY), 2: Structure(Kind.DISC)}, _MAP_TO_BINARY),
    Scheme("verse", "VerSe", _vertebrae(_SPINEPS_LEVELS), "github.com/anjany/verse, README.md"),
    Scheme("monai_verse", "MONAI's VerSe bundle",
           _vertebrae(_run(Level.C1, Level.T12, 1) | _run(Level.L1, Level.L5, 20)),
           "github.com/Project-MONAI/MONAILabel, sample-apps/radiology/lib/configs/segmentation_vertebra.py"),
    Scheme("spineps", "SPINEPS, instance mask", _spineps_instances(), _VERT_CONSTANTS,
           # The coccyx, ribs, metal; pieces of discs above the axis or that are nearest to the sacrum.
           frozenset({27, *range(39, 54), 80, 101, 126})),
    Scheme("spineps_subregions", "SPINEPS, subregion mask", _SPINEPS_SUBREGIONS, _VERT_CONSTANTS,
           frozenset({51, 63, 64, 80})),  # the dens, ribs and metal
    Scheme("spinalcordtoolbox", "Spinal Cord Toolbox, labeled cord",
           {value: Structure(Kind.CORD, level) for level, value in
            (_run(Level.C1, Level.T12, 1) | _run(Level.L1, Level.L5, 20)).items()},
           "spinalcordtoolbox.com, labeling conventions"),
)

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in _ALL}
"""Every scheme by its name."""

INSTANCES = Scheme(
    "instances", "plain instance numbers",
    {**dict.fromkeys(range(1, 100), Structure(Kind.VERTEBRA)), **dict.fromkeys(range(101, 200), Structure(Kind.DISC)),
     **dict.fromkeys(range(201, 300), Structure(Kind.ENDPLATE))},
    "each value is one vertebra, numbered along the spine; the disc below it at 100 more, its endplates at 200 more")
"""Numbers that say which vertebra is next to which, not which level it is."""

SCHEMES[INSTANCES.name] = INSTANCES
