"""Which vertebra is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region, successors
from ..errors import InputError
from .atlas import telling
from .detections import Detection, far_away, from_head_to_foot
from .inference import Path, Posterior, infer
from .landmarks import Landmark
from .lowest import TELLING, sacral_evidence
from .model import Rules, chain_of
from .plausible import check_anchors
from .priors import MISLEADING, VARIANTS

LEVELS = tuple(Level)
T = TypeVar("T")

CERTAIN = 0.993
"""Probability of the whole labeling from which on it is called certain, so that at most one in 200 is wrong."""
LIKELY = 0.9
"""Probability of the whole labeling from which on no doubt is told, only the probability."""
DOUBTFUL = 0.5
"""Probability of the whole labeling under which its levels are provisional."""
_TELLING = 0.9
"""Probability of a region from which on a detection counts as of this region."""
BLURRED = "blurred "
"""How a reference begins that may be one vertebra off."""
_ANCHOR_REACH_MM = 25.0
_LPS = np.array([-1.0, -1.0, 1.0])
_MOST_STRAY = 0.5
"""Share of detections that may be spurious in a spine that can be labeled."""


class Certainty(Enum):
    CERTAIN = "certain"
    LIKELY = "likely"
    DOUBTFUL = "doubtful"
    PROVISIONAL = "provisional"
    REFUSED = "refused"


class Numbering(Enum):
    """Where to count from."""

    C2 = "C2"
    SACRUM = "sacrum"
    RIBS = "ribs"


@dataclass(frozen=True, eq=False)
class Anchor:
    """What people know: this vertebra is that level.

    :param at_RAS: (3,) a point in or near its body.
    """

    level: Level
    at_RAS: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Labeling:
    """Names for detections; everything in the order in which they were passed.

    :param levels: ``None`` for a detection that is no vertebra of its own.
    :param probabilities: of each name.
    :param probability: of all names together.
    :param runner_up: the likeliest other names, and their probability.
    :param references: what in view tells the levels: "anchor", "C1", "C2", "sacrum", "sacral shape" (of a body), "neck
        border", "rib border", "conus", "pelvis"; "blurred neck border" and "blurred rib border" where some vertebra
        between the two regions looks like neither or is missing, so that the border may be one vertebra off.
    :param notes: sentences about the doubt, variants and gaps.
    :param chances: of each detection, the probability of every level that it could be.
    """

    levels: tuple[Level | None, ...]
    probabilities: tuple[float, ...]
    probability: float
    certainty: Certainty
    runner_up: tuple[Level | None, ...] | None = None
    runner_up_probability: float = 0.0
    references: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chances: tuple[Mapping[Level, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data; names from head to foot."""
        chances = sorted((level, round(chance, 4)) for level, chance in
                         zip(self.levels, self.probabilities, strict=True) if level is not None)
        return {"certainty": self.certainty.value, "probability": round(self.probability, 4),
                "references": list(self.references), "levels": {str(level): chance for level, chance in chances},
                "next_likeliest": [str(level) for level in sorted(v for v in self.runner_up or () if v is not None)],
                "next_probability": round(self.runner_up_probability, 4)}


_NO_VARIANTS = frozenset(VARIANTS.values())
_USUAL_CHEST = frozenset(state for step, state in VARIANTS.items() if step[0].region is Region.THORACIC)
# What each way of counting settles: states that a spine then does not have, and whether ribs still tell levels.
_COUNTING: dict[Numbering | None, tuple[frozenset[str], bool]] = {
    None: (frozenset(), True),
    Numbering.C2: (_USUAL_CHEST, False),
    Numbering.SACRUM: (_NO_VARIANTS, False),
    Numbering.RIBS: (_USUAL_CHEST | MISLEADING, True),
}


def label(detections: Sequence[Detection], anchors: Sequence[Anchor] = (), numbering: Numbering | None = None,
          room_above_mm: float | None = None, room_below_mm: float | None = None,
          landmarks: Sequence[Landmark] = ()) -> Labeling:
    """Name vertebrae.

    :param detections: in any order.
    :param anchors: overrule everything else.
    :param numbering: where to count from; without it whatever is in view decides.
    :param room_above_mm, room_below_mm: how far the image goes on beyond the first and the last one, where known.
    :param landmarks: what else in view tells levels.
    :raises InputError: for what cannot be one spine in RAS, and for anchors that contradict one another.
    """
    order = from_head_to_foot(detections)
    astray = far_away(detections, order)
    order = [*(i for i in order if i not in astray), *sorted(astray)]
    ordered = [detections[i] for i in order[:len(order) - len(astray)]]
    anchored = _anchored(ordered, anchors)
    absent, use_ribs = _COUNTING[numbering]
    if numbering is None and not _shows_neck(ordered, anchored):
        absent = _USUAL_CHEST
    rules = Rules(absent, use_ribs, anchored, room_above_mm, room_below_mm, tuple(landmarks))
    found = infer(chain_of(ordered, rules))
    if found is None:
        raise InputError("No numbering of the vertebrae fits what is given: correct the named vertebrae, or the way "
                         "of counting.")
    lost = _lost(ordered, found.best)
    if (anchors or numbering is not None) and (lost or _mostly_stray(found.best)):
        raise InputError(f"What was named, or counted from, does not fit {lost or 'the other vertebrae'}: correct the "
                         "names, or the way of counting.")
    found = _with_spurious(found, len(astray))
    references = (*_references([detections[i] for i in order], found.best, anchored),
                  *(mark.name for mark in landmarks))
    certainty = Certainty.REFUSED if lost else _certainty(found, references)
    return Labeling(
        _in_order(_named(found.best), order), _in_order(_chances(found), order), found.probability, certainty,
        None if found.second is None else _in_order(_named(found.second), order), found.second_probability,
        references, tuple(_notes(found, certainty, lost)),
        _in_order([dict(zip(LEVELS, map(float, row), strict=True)) for row in found.levels], order))


def _lost(ordered: Sequence[Detection], path: Path) -> str:
    """What has a certain name, as a labeled sacrum has, and yet would be no vertebra."""
    lost = [min(d.could_be) for d, level in zip(ordered, path, strict=True)
            if level < 0 and d.could_be is not None and len(d.could_be) == 1]
    return "" if not lost else "the labeled sacrum" if Level.S1 in lost else f"the labeled {lost[0]}"


def _mostly_stray(path: Path) -> bool:
    return sum(level < 0 for level in path) > _MOST_STRAY * len(path)


def _with_spurious(found: Posterior, more: int) -> Posterior:
    """With so many further detections, which are no vertebrae."""
    none, rows = (-1,) * more, np.zeros((more, found.levels.shape[1]))
    return replace(found, levels=np.concatenate([found.levels, rows]), best=found.best + none,
                   second=None if found.second is None else found.second + none)


def _shows_neck(ordered: Sequence[Detection], anchored: Sequence[tuple[int, Level]]) -> bool:
    """Whether chest vertebrae can be counted or have names; otherwise, by convention, the lowest with ribs is T12."""
    known = [*(level for _, level in anchored), *(max(d.could_be) for d in ordered if d.could_be)]
    at_neck = [d for d in ordered if d.region_probabilities is not None and np.argmax(d.region_probabilities) == 0]
    return bool(at_neck) or bool(_seen_of_neck(ordered)) or any(level <= Level.T11 for level in known) or \
        any(d.named is not None for d in ordered)


def _seen_of_neck(ordered: Sequence[Detection]) -> list[str]:
    """Which of the two highest vertebrae is known by its shape."""
    ring = any(d.ring is not None and telling(d.ring) for d in ordered)
    dens = any(d.tall is not None and d.tall.telling for d in ordered)
    return ["C1"] * ring + ["C2"] * dens


def _in_order(values: Sequence[T], order: Sequence[int]) -> tuple[T, ...]:
    """Values of ordered detections in the order in which the detections were passed."""
    return tuple(value for _, value in sorted(zip(order, values, strict=True), key=lambda pair: pair[0]))


def _named(path: Path) -> list[Level | None]:
    return [LEVELS[level] if level >= 0 else None for level in path]


def _chances(found: Posterior) -> list[float]:
    return [float(np.clip(row[level] if level >= 0 else 1.0 - row.sum(), 0.0, 1.0))
            for row, level in zip(found.levels, found.best, strict=True)]


def _anchored(ordered: Sequence[Detection], anchors: Sequence[Anchor]) -> tuple[tuple[int, Level], ...]:
    """Anchors as the detections that they name.

    :raises InputError: for anchors far from every detection, and contradictory ones.
    """
    centers = np.array([d.center_RAS for d in ordered], float)
    out: dict[int, Level] = {}
    for anchor in anchors:
        if np.shape(anchor.at_RAS) != (3,) or not np.isfinite(anchor.at_RAS).all():
            raise InputError(f"The point named {anchor.level} has no finite RAS position: place it anew.")
        apart = np.linalg.norm(centers - np.asarray(anchor.at_RAS, float), axis=1)
        index = int(apart.argmin())
        if not apart[index] <= _ANCHOR_REACH_MM:
            turned = np.linalg.norm(centers - np.asarray(anchor.at_RAS, float) * _LPS, axis=1).min()
            remedy = "its first two numbers seem to have the signs of LPS, turn them into RAS" \
                if turned <= _ANCHOR_REACH_MM else "put it into a vertebral body"
            raise InputError(f"The point named {anchor.level} lies {apart[index]:.0f} mm from the nearest vertebra: "
                             f"{remedy}.")
        if out.setdefault(index, anchor.level) is not anchor.level:
            raise InputError(f"The same vertebra is named {out[index]} and {anchor.level}: keep one of the two.")
    placed = sorted(out.items())
    check_anchors([(centers[index], level) for index, level in placed])
    return tuple(placed)


def _references(ordered: Sequence[Detection], path: Path, anchored: Sequence[tuple[int, Level]]) -> tuple[str, ...]:
    """What tells levels, instead of mere likelihood."""
    labeled = [name for level, name in ((Level.C2, "C2"), (Level.S1, "sacrum"))
               if any(d.could_be == frozenset({level}) for d in ordered)]
    out = list(dict.fromkeys([*(["anchor"] if anchored else []), *_seen_of_neck(ordered), *labeled]))
    if any(d.looks is not None and sacral_evidence(d.looks) > TELLING and level >= 0 and LEVELS[level] is Level.S1
           for d, level in zip(ordered, path, strict=True)):
        out.append("sacral shape")
    return (*out, *_borders(ordered, path))


def _borders(ordered: Sequence[Detection], path: Path) -> list[str]:
    """Borders of regions in view; blurred ones where the vertebrae on both sides are not neighbors that tell."""
    sharp: set[str] = set()
    blurred: set[str] = set()
    above: tuple[Level, bool] | None = None
    neighbors = False
    for detection, level in zip(ordered, path, strict=True):
        if level < 0:
            continue
        share = np.nan if detection.region_probabilities is None else \
            float(detection.region_probabilities[1] / np.sum(detection.region_probabilities))
        if not (share >= _TELLING or share <= 1.0 - _TELLING):
            neighbors = False
            continue
        here = LEVELS[level], share >= _TELLING
        if above is not None and above[1] is not here[1]:
            name = "neck border" if here[1] else "rib border"
            (sharp if neighbors and here[0] in successors(above[0])[:1] else blurred).add(name)
        above, neighbors = here, True
    return [name if name in sharp else BLURRED + name for name in ("neck border", "rib border")
            if name in sharp | blurred]


def _certainty(found: Posterior, references: Sequence[str]) -> Certainty:
    if _mostly_stray(found.best):
        return Certainty.REFUSED
    if found.probability < DOUBTFUL or not references:
        return Certainty.PROVISIONAL
    if found.probability >= CERTAIN and any(not name.startswith(BLURRED) for name in references):
        return Certainty.CERTAIN
    return Certainty.LIKELY if found.probability >= LIKELY else Certainty.DOUBTFUL


def _notes(found: Posterior, certainty: Certainty, lost: str) -> list[str]:
    out = []
    named = [level for level in _named(found.best) if level is not None]
    if certainty is Certainty.REFUSED:
        out.append(f"Levels are refused: the vertebrae do not fit {lost}." if lost else
                   "Levels are refused: most of what was found does not follow one another as vertebrae do.")
    elif certainty is Certainty.PROVISIONAL:
        out.append(f"Levels are provisional: what is in view does not tell where to count from; {extent(named)} are "
                   f"likeliest ({found.probability:.0%}){_else(found)}.")
    elif certainty is Certainty.DOUBTFUL:
        out.append(f"Levels are in doubt: {extent(named)} are likeliest ({found.probability:.0%}){_else(found)}.")
    return [*out, *_variants(named), *_gaps(found.best)]


def _else(found: Posterior) -> str:
    other = [] if found.second is None else [level for level in _named(found.second) if level is not None]
    return f", {extent(other)} would be next ({found.second_probability:.0%})" if other else ""


def extent(named: Sequence[Level]) -> str:
    """The first and the last of some levels from head to foot, and which of them most people do not have."""
    odd = [str(level) for level in named if level.is_variant]
    return f"{named[0]} to {named[-1]}{' with ' + ' and '.join(odd) if odd else ''}"


_ODD_STEPS = {
    (Level.T11, Level.L1): "Eleven thoracic vertebrae: T12 is absent.",
    (Level.T12, Level.T13): "Thirteen thoracic vertebrae.",
    (Level.L4, Level.S1): "Four lumbar vertebrae: L5 belongs to the sacrum.",
    (Level.L5, Level.L6): "Six lumbar vertebrae.",
}


def _variants(named: Sequence[Level]) -> list[str]:
    """What is unusual in numbers, from head to foot."""
    return [_ODD_STEPS[step] for step in zip(named, named[1:], strict=False) if step in _ODD_STEPS]


def _gaps(path: Path) -> list[str]:
    real = [level for level in path if level >= 0]
    usual = [[level for level in LEVELS[a + 1:b] if not level.is_variant] for a, b in zip(real, real[1:], strict=False)
             if (LEVELS[a], LEVELS[b]) not in _ODD_STEPS]
    missed = [str(level) for levels in usual for level in levels]
    stray = sum(level < 0 for level in path)
    out = [f"Not found although others around are: {', '.join(missed)}."] if missed else []
    return [*out, f"Detections that are no vertebra of their own: {stray}."] if stray else out
