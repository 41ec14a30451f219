"""Which levels and sides could explain the pain of a dermatome.

Roots leave the spine above their vertebra in the neck (C8 between C7 and T1) and below it from T1 on.  In the lumbar
spine a root also crosses the disc above on its way down, in the lateral recess (Bogduk, Clinical and Radiological
Anatomy of the Lumbar Spine, 5th ed., 2012).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..anatomy import Level, Region, Segment, Side, segments
from ..errors import InputError
from ..measurements.record import Measurement, Severity
from .phrases import FORAMEN_KEYS, HERNIATION_KEYS, RECESS_KEYS, STENOSIS_KEYS, Phrase, measured, phrases, title

_SIDES: tuple[Side, ...] = ("left", "right")
ROOTS: tuple[str, ...] = tuple(name for level in Level if level.name not in ("C1", "T13")
                               for name in ((level.name, "C8") if level is Level.C7 else (level.name,)))
"""Dermatomes, from head to foot."""


@dataclass(frozen=True)
class Symptom:
    """:param root: as in "L5" or "C8"."""

    root: str
    sides: tuple[Side, ...]

    def __str__(self) -> str:
        return f"{self.root} {self.sides[0] if len(self.sides) == 1 else 'both sides'}"


@dataclass(frozen=True)
class Mechanism:
    """Where a root can be pressed.

    :param where: as people call it.
    :param crossing: at the disc above that the root crosses, not where it leaves.
    :param keys: what tells of it; :param zones: of a herniation that reaches it.
    """

    where: str
    crossing: bool
    keys: tuple[str, ...]
    zones: tuple[str, ...]


_FORAMINAL = Mechanism("foraminal", False, FORAMEN_KEYS, ("foraminal", "extraforaminal"))
_MECHANISMS = (
    _FORAMINAL,
    Mechanism("subarticular or lateral recess", True, RECESS_KEYS, ("subarticular",)),
    Mechanism("central", True, STENOSIS_KEYS, ("central",)),
)
_NECK = (Mechanism("foraminal", False, FORAMEN_KEYS, ("foraminal", "extraforaminal", "subarticular")),)


@dataclass(frozen=True, eq=False)
class Explanation:
    """One place that could explain a symptom.

    :param evidence: what is abnormal there; :param against: what was measured and is not.
    :param missing: what would tell of it and was not measured.
    """

    symptom: str
    level: Segment
    side: Side | None
    where: str
    severity: Severity
    evidence: tuple[str, ...]
    against: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def supported(self) -> bool:
        return bool(self.evidence)

    @property
    def place(self) -> str:
        """``L4-L5 left subarticular or lateral recess``."""
        return " ".join([str(self.level), *([self.side] if self.side else []), self.where])

    @property
    def sentence(self) -> str:
        said = "; ".join(self.evidence) if self.evidence else "nothing abnormal was measured" if self.against \
            else "not measured"
        known = self.evidence or self.against
        missing = f" (not measured: {', '.join(self.missing)})" if self.missing and known else ""
        return f"{self.place}: {said}{missing}."

    def as_dict(self) -> dict[str, object]:
        return {"symptom": self.symptom, "level": str(self.level), "side": self.side, "where": self.where,
                "severity": self.severity.name.lower(), "evidence": list(self.evidence),
                "against": list(self.against), "missing": list(self.missing)}


def symptom_of(text: str) -> Symptom:
    """``L5 left``, ``right C6`` or ``S1 both``.

    :raises InputError: for anything else.
    """
    words = re.findall(r"[A-Za-z]+\d*", text)
    roots = [word.upper() for word in words if re.fullmatch(r"[CTLSctls]\d+", word)]
    sides = [word.lower() for word in words if word.lower() in (*_SIDES, "both", "bilateral")]
    if len(words) != 2 or len(roots) != 1 or len(sides) != 1 or not _is_root(roots[0]):
        raise InputError(f"{text!r} names no dermatome from C2 to S1 and a side; write it as in 'L5 left' or 'C6 "
                         "both'.")
    side = next((side for side in _SIDES if side == sides[0]), None)
    return Symptom(roots[0], (side,) if side else _SIDES)


def _is_root(name: str) -> bool:
    return name in ROOTS


def explain(symptom: Symptom, levels: Sequence[Level], measurements: Sequence[Measurement]) -> tuple[Explanation, ...]:
    """Every place that could explain a symptom, the best supported first.

    :param levels: of the vertebrae in view.
    :return: none where none of the places is in view.
    """
    found = [explanation for side in symptom.sides
             for mechanism, segment in _places(symptom.root, levels)
             for explanation in [_judged(symptom, mechanism, segment, side, measurements)]]
    unique = {e.place: e for e in found}  # the central canal has no side
    return tuple(sorted(unique.values(), key=lambda e: (-e.supported, -e.severity)))


def _places(root: str, levels: Sequence[Level]) -> Iterator[tuple[Mechanism, Segment]]:
    """Mechanisms with their segments, as far as they are in view."""
    chain = segments(levels)
    if root == "C8" or Level[root].region is Region.CERVICAL:
        lower = Level.T1 if root == "C8" else Level[root]
        yield from ((mechanism, segment) for mechanism in _NECK for segment in chain if segment.lower is lower)
        return
    for mechanism in _MECHANISMS:
        yield from ((mechanism, segment) for segment in chain
                    if (segment.lower if mechanism.crossing else segment.upper) is Level[root])


def _judged(symptom: Symptom, mechanism: Mechanism, segment: Segment, side: Side, measurements: Sequence[Measurement]
            ) -> Explanation:
    at = [m for m in measurements if m.level == segment]
    here = [m for m in at if m.key in mechanism.keys and m.side in (None, side)]
    herniation = {m.key: m for m in at if m.key in HERNIATION_KEYS}
    told = [*phrases(here), *_herniated(herniation, mechanism, side)]
    abnormal = {id(record) for phrase in told for record in phrase.records}
    known = [m for m in here if m.value is not None]
    against = [measured(m) for m in known if m.grades and id(m) not in abnormal]
    missing = [title(key) for key in mechanism.keys if key not in {m.key for m in known}]
    if "herniation_type" not in herniation or herniation["herniation_type"].value is None:
        missing.append("herniation")
    severity = max((phrase.severity for phrase in told), default=Severity.NORMAL)
    sided = None if mechanism.keys == STENOSIS_KEYS else side
    return Explanation(str(symptom), segment, sided, mechanism.where, severity, tuple(p.text for p in told),
                       tuple(against), tuple(missing))


def _herniated(records: dict[str, Measurement], mechanism: Mechanism, side: Side) -> list[Phrase]:
    """A herniation in the zones of the mechanism, on this side or in the middle."""
    zone, to = (records[key].word if key in records else "" for key in ("herniation_zone", "herniation_side"))
    if zone not in mechanism.zones or to not in (side, "central", ""):
        return []
    return phrases(list(records.values()))
