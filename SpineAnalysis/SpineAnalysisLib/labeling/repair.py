"""Names that a segmentation came with, held against the anatomy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import Kind, Level, Structure, successors
from ..errors import InputError
from ..spine import Spine
from ..volume import LabelMap, Volume
from .detections import Detection
from .evidence import SEGMENTED, Piece, evidence_from_pieces, evidence_from_spine, pieces
from .label import Anchor, Certainty, Labeling, Numbering, label
from .landmarks import landmarks, shown_beyond

SURE = 0.9
"""Probability of a labeling from which on it overrules names."""
_MOST_WRONG = 0.5
"""Share of names that may be wrong in a segmentation that can be repaired."""


@dataclass(frozen=True, eq=False)
class Repaired:
    """:param labels: the same object where nothing was wrong.

    :param notes: sentences on what was changed, what is missing, and doubts.
    :param labeling: that the names are from; ``None`` where they are the segmentation's.
    """

    labels: LabelMap
    notes: tuple[str, ...] = ()
    labeling: Labeling | None = None


def label_spine(spine: Spine) -> Labeling | None:
    """Which vertebra is which in a modeled spine, by its anatomy alone; ``None`` where it cannot be asked."""
    found = evidence_from_spine(spine)
    if not found:
        return None
    above, below = shown_beyond(spine.labels, found[0].center_RAS, found[-1].center_RAS)
    try:
        return label(found, room_above_mm=above, room_below_mm=below, landmarks=landmarks(spine.labels))
    except InputError:
        return None


def against(spine: Spine, labeling: Labeling) -> tuple[str, ...]:
    """What the anatomy says against a spine's names, in sentences; nothing where it cannot tell."""
    if labeling.certainty in (Certainty.PROVISIONAL, Certainty.REFUSED) or labeling.probability < SURE:
        return ()
    differing = [(v.level, level) for v, level in zip(spine.vertebrae, labeling.levels, strict=True)
                 if level is not None and level is not v.level]
    if not differing:
        return ()
    said, is_level = differing[-1]
    return (f"The segmentation says {said}, the anatomy says {is_level} ({labeling.probability:.0%}); "
            f"{len(differing)} of {len(spine.vertebrae)} vertebrae would be named otherwise.",)


def repair(labels: LabelMap) -> Repaired:
    """Correct names that cannot be: a vertebra labeled twice, names out of order, a level skipped.

    Names in order are changed only where that is sure, so a gap that a missing vertebra explains stays one.

    :raises InputError: where names out of order leave no sure way to correct them.
    """
    found = pieces(labels)
    downward = _downward(found)
    if all(lower in successors(upper) for upper, lower in zip(downward, downward[1:], strict=False)):
        return Repaired(labels)
    labeling = label([Detection(p.center_RAS, named=p.level, confidence=SEGMENTED) for p in found])
    wrong = sum(p.level is not level for p, level in zip(found, labeling.levels, strict=True))
    unsure = labeling.probability < SURE or wrong > _MOST_WRONG * len(found)
    if unsure and any(lower <= upper for upper, lower in zip(downward, downward[1:], strict=False)):
        raise InputError(f"The names of the vertebrae do not follow the spine, and which are right is not clear "
                         f"({wrong} of {len(found)} would change): correct the label map.")
    return Repaired(labels) if unsure else _with_names(labels, found, labeling)


def _downward(found: Sequence[Piece]) -> list[Level]:
    """Names in the order of the places, from the place of the highest name to that of the lowest."""
    if not found:
        return []
    first, last = (choose(found, key=lambda p: p.level).center_RAS for choose in (min, max))
    return [p.level for p in sorted(found, key=lambda p: float(p.center_RAS @ (last - first)))]


def relabel(labels: LabelMap, anchors: Sequence[Anchor] = (), numbering: Numbering | None = None) -> Repaired:
    """Name the vertebrae of a label map anew, from what people know and from its anatomy; of its names, only the
    sacrum's counts.

    :param anchors: vertebrae that people have named; they overrule everything else.
    :param numbering: where to count from, if people say so.
    :raises InputError: for what cannot be labeled or counted, and for anchors that contradict one another.
    """
    found = pieces(labels)
    if numbering is not None and not _SHOWS[numbering](labels):
        where = numbering.value if numbering is Numbering.C2 else f"the {numbering.value}"
        raise InputError(f"Levels cannot be counted from {where}: nothing is labeled so; name a vertebra, or count "
                         "from elsewhere.")
    certain = {Level.S1, Level.C2} if numbering is Numbering.C2 else {Level.S1}
    by_height = sorted(found, key=lambda p: -float(p.center_RAS[2]))
    above, below = shown_beyond(labels, by_height[0].center_RAS, by_height[-1].center_RAS) if found else (None, None)
    detections = evidence_from_pieces(labels, found, certain, look=numbering is not Numbering.SACRUM)
    labeling = label(detections, anchors, numbering, above, below, landmarks(labels))
    named = _with_names(labels, found, labeling)
    return replace(named, notes=(*(note for note in labeling.notes if note not in named.notes), *named.notes))


_SHOWS: dict[Numbering, Callable[[LabelMap], bool]] = {
    Numbering.C2: lambda labels: Level.C2 in labels.levels,
    Numbering.SACRUM: lambda labels: Level.S1 in labels.levels,
    Numbering.RIBS: lambda labels: bool(labels.values(Kind.RIB)),
}


def _with_names(labels: LabelMap, found: Sequence[Piece], labeling: Labeling) -> Repaired:
    """The labels with the names of a labeling, and notes on what differs and what is missing."""
    notes = [_change(p.level, level) for p, level in zip(found, labeling.levels, strict=True) if p.level is not level]
    missing = [note for note in labeling.notes if note.startswith("Not found")]
    return Repaired(_renamed(labels, found, labeling.levels) if notes else labels, (*notes, *missing), labeling)


def _change(said: Level, is_level: Level | None) -> str:
    if is_level is None:
        return f"A part labeled {said} is no vertebra of its own and was left out."
    return f"The segmentation's {said} was renamed {is_level}."


def _renamed(labels: LabelMap, found: Sequence[Piece], names: Sequence[Level | None]) -> LabelMap:
    """A label map in which every piece has its new name."""
    array, structures = labels.array, dict(labels.structures)
    for value, structure in labels.structures.items():
        owners = [i for i, p in enumerate(found) if p.value == value] or \
                 [i for i, p in enumerate(found) if p.level is structure.level]
        if not structure.kind.is_bone or not owners:
            continue
        if len(owners) == 1:
            _name(structures, value, structure, names[owners[0]])
            continue
        array, parts = _split(Volume(array, labels.ijk_to_ras), value, [found[i].center_RAS for i in owners],
                              max(int(array.max()), *structures) + 1)
        for part, owner in zip(parts, owners, strict=True):
            _name(structures, part, structure, names[owner])
    placed: dict[Level, NDArray[np.floating]] = {}
    for piece, level in zip(found, names, strict=True):
        if level is not None and (level not in placed or piece.center_RAS[2] > placed[level][2]):
            placed[level] = piece.center_RAS
    discs = _discs(labels, placed)
    below_sacral = {value for value, disc in discs.items() if disc is None}
    return replace(labels, array=array, structures={
        value: discs.get(value) or structure for value, structure in structures.items() if value not in below_sacral})


def _name(structures: dict[int, Structure], value: int, structure: Structure, level: Level | None) -> None:
    """Give a value its level, or none of the table."""
    if level is None:
        structures.pop(value, None)
    else:
        structures[value] = replace(structure, level=level)


def _split(volume: Volume, value: int, centers: Sequence[NDArray[np.floating]], first_new: int,
           ) -> tuple[NDArray[np.integer], list[int]]:
    """The array with one value told apart by the nearest of some centers, and the value of each part.

    :param first_new: value of the second part; the first keeps its own.
    """
    where = np.argwhere(volume.array == value)
    nearest = np.linalg.norm(volume.to_ras(where)[:, None] - np.array(centers), axis=2).argmin(axis=1)
    values = np.array([value, *range(first_new, first_new + len(centers) - 1)])
    array = volume.array.astype(np.promote_types(volume.array.dtype, np.min_scalar_type(int(values.max()))))
    array[tuple(where.T)] = values[nearest]
    return array, [int(v) for v in values]


def _discs(labels: LabelMap, placed: Mapping[Level, NDArray[np.floating]]) -> dict[int, Structure | None]:
    """Disc labels by the vertebrae that lie above and below them; ``None`` for those within the sacrum."""
    out: dict[int, Structure | None] = {}
    levels = sorted(placed)
    heights = np.array([placed[level][2] for level in levels])
    for value in labels.values(Kind.DISC):
        middle = labels.to_ras(np.array(ndimage.center_of_mass(labels.array == value)))
        above = int(np.count_nonzero(heights > middle[2])) - 1
        if 0 <= above < len(levels) - 1:
            out[value] = replace(labels.structures[value], level=levels[above], below=levels[above + 1])
        elif above >= 0 and levels[above] is Level.S1:
            out[value] = None
    return out
