"""Where the names of a spine's levels come from, how sure they are, and what else they could be.

``name_levels`` is the way in for label maps of any origin.  Vertebrae of a network that tells instances but not levels
come with any names in order, as ``schemes`` gives them, and with ``levels_known=False``: what is labeled around them
(sacrum, ribs, cord), their spacing and the image's extent then name them, where that is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..anatomy import Level
from ..spine import Chances, Spine
from ..volume import LabelMap
from .evidence import pieces
from .label import Anchor, Certainty, Labeling, Numbering, extent
from .plausible import check_spine
from .repair import Repaired, against, label_spine, relabel, repair

_SETTLED = frozenset({Certainty.CERTAIN, Certainty.LIKELY, Certainty.DOUBTFUL})
_IMPOSSIBLE = 0.01
"""Probability of a name under which another takes its place, though that is provisional as well."""
PROVISIONAL, REFUSED = "Levels are provisional", "Levels are refused"
"""How sentences begin that say so."""


class Source(StrEnum):
    """Who named the levels."""

    SEGMENTATION = "segmentation"
    PEOPLE = "people"
    ANATOMY = "anatomy"


@dataclass(frozen=True, eq=False)
class Naming:
    """Named levels.

    :param labels: with these names.
    :param labeling: what the anatomy says of them; ``None`` where it cannot be asked.
    :param provisional: whether nothing tells where to count from.
    :param notes: sentences on what was changed, and doubts.
    :param anchors: vertebrae that people named.
    :param agrees: whether the anatomy says the same as the segmentation's names; ``None`` where it cannot tell.
    :param chances: of these names; ``None`` where the segmentation's are relied on.
    """

    labels: LabelMap
    source: Source
    labeling: Labeling | None = None
    provisional: bool = False
    notes: tuple[str, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    numbering: Numbering | None = None
    agrees: bool | None = None
    chances: Chances | None = None

    def checked(self, spine: Spine) -> "Naming":
        """The same, held against the anatomy of the modeled spine where the names are the segmentation's."""
        if self.source is not Source.SEGMENTATION or self.provisional:
            return self
        labeling = label_spine(spine)
        if labeling is None:
            return self
        same = all(v.level is level for v, level in zip(spine.vertebrae, labeling.levels, strict=True))
        return replace(self, labeling=labeling, notes=(*self.notes, *against(spine, labeling)),
                       agrees=same if labeling.certainty in _SETTLED else None)

    @property
    def told(self) -> str:
        """Who named the levels, how sure that is, and what they would be otherwise."""
        if self.provisional:
            places = ", ".join(f"{level} {place}" for level, place in from_below(self.labels.levels).items())
            return f"provisional; counted from below: {places}"
        named = {Source.SEGMENTATION: "as in the segmentation", Source.PEOPLE: "as people named them",
                 Source.ANATOMY: "by the anatomy"}[self.source]
        if self.labeling is None or (self.source is Source.SEGMENTATION and self.agrees is None):
            return f"{named}; the anatomy in view cannot tell"
        chance = f"{self.labeling.probability:.0%}"
        says = {None: f"{named} ({chance})", True: f"{named}; the anatomy says the same ({chance})",
                False: f"{named}; the anatomy says otherwise ({chance})"}[self.agrees]
        other = sorted(level for level in self.labeling.runner_up or () if level is not None)
        return f"{says}, next likeliest {extent(other)} ({self.labeling.runner_up_probability:.0%})" if other else says

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        out: dict[str, Any] = {
            "named_by": self.source.value, "provisional": self.provisional,
            "anchors": [{"level": str(a.level), "at_RAS": [float(x) for x in a.at_RAS]} for a in self.anchors],
            "counted_from": self.numbering.value if self.numbering else None, "anatomy_agrees": self.agrees}
        if self.provisional:
            out["from_below"] = from_below(self.labels.levels)
        return out if self.labeling is None else out | {"anatomy": self.labeling.as_dict()}


def name_levels(labels: LabelMap, levels_known: bool = True, anchors: Sequence[Anchor] = (),
                numbering: Numbering | None = None) -> Naming:
    """Name the vertebrae of a label map by what is known best: people, then the segmentation, then the anatomy.

    :param levels_known: whether the names in the label map mean levels; names in order that only count do not.
    :param anchors: vertebrae that people have named.
    :param numbering: where people want levels counted from.
    :raises InputError: for names that cannot be and cannot be repaired, for what cannot be one spine, for anchors that
        contradict one another or lie beside the spine.
    """
    check_spine(labels, pieces(labels), levels_known and not anchors and numbering is None)
    if anchors or numbering is not None:
        named = relabel(labels, anchors, numbering)
        return Naming(named.labels, Source.PEOPLE, named.labeling, not _settled(named), named.notes, tuple(anchors),
                      numbering, chances=_chances(named, named.labeling))
    if levels_known:
        named = repair(labels)
        return Naming(named.labels, Source.SEGMENTATION, named.labeling, notes=named.notes)
    if len(pieces(labels)) < 2:
        return Naming(labels, Source.SEGMENTATION, provisional=True, chances={})
    named, source = relabel(labels), Source.ANATOMY
    labeling = named.labeling
    if _cannot_be(labels, labeling):  # such as lumbar names for a neck
        return Naming(named.labels, source, labeling, True, _but_renamed(named.notes),
                      chances=_chances(named, labeling))
    if not _settled(named):  # names stay, but for vertebrae that are missing or labeled twice
        counted = Numbering.SACRUM if Level.S1 in labels.levels else None
        named, source = relabel(labels, lowest_named(labels), counted), Source.SEGMENTATION
        if not _settled(named):
            refused = () if labeling is None else (n for n in labeling.notes if n.startswith(REFUSED))
            return Naming(labels, source, labeling, True, tuple(refused), chances={})
    return Naming(named.labels, source, labeling, source is Source.SEGMENTATION, _but_renamed(named.notes),
                  chances=_chances(named, labeling))


def _chances(named: Repaired, labeling: Labeling | None) -> Chances:
    """What each name stands for in truth, by a labeling of the same vertebrae that knows nothing of these names."""
    if named.labeling is None or labeling is None:
        return {}
    return {level: each for level, each in zip(named.labeling.levels, labeling.chances, strict=True)
            if level is not None}


def _cannot_be(labels: LabelMap, labeling: Labeling | None) -> bool:
    """Whether nothing tells where to count from, but the names in the label map are next to impossible."""
    if labeling is None or labeling.certainty is not Certainty.PROVISIONAL:
        return False
    lowest, chances = min(zip(pieces(labels), labeling.chances, strict=True), key=lambda p: float(p[0].center_RAS[2]))
    return chances[lowest.level] < _IMPOSSIBLE


def _but_renamed(notes: Sequence[str]) -> tuple[str, ...]:
    """Notes without those that say what the names that only count became."""
    return tuple(note for note in notes if "was renamed" not in note)


def _settled(named: Repaired) -> bool:
    return named.labeling is not None and named.labeling.certainty in _SETTLED


def lowest_named(labels: LabelMap) -> tuple[Anchor, ...]:
    """The name of the lowest vertebra as what people know, where they asked for it."""
    lowest = min(pieces(labels), key=lambda p: float(p.center_RAS[2]), default=None)
    return () if lowest is None else (Anchor(lowest.level, lowest.center_RAS),)


def from_below(levels: Sequence[Level]) -> dict[str, int]:
    """Place of every level, counted from the lowest that is labeled: what stays true of provisional names."""
    return {str(level): place for place, level in enumerate(sorted(levels, reverse=True), start=1)}
