"""Published cut-offs, as data: which value, where it applies, what its bands are called and who said so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..anatomy import CanalMeaning, Level, Region, Segment
from ..errors import InputError
from ..spine import Chances, Tube
from .flags import ABOUT_GRADES, NEAR_CUTOFF, PLACE_IN_DOUBT, quality_of
from .record import Grade, Measurement, Severity

LIKELY_PLACE = 0.9
"""Probability that a place is of a region that a rule was made for, from which on it grades; names are likely by it."""


@dataclass(frozen=True)
class Band:
    """What a value below (where more is worse: from) ``limit`` is called."""

    limit: float
    label: str
    severity: Severity


@dataclass(frozen=True)
class Cutoff:
    """One published rule.

    :param name: how a user chooses it.
    :param regions: of the upper vertebra (or of the vertebra) that it is about.
    :param meanings: of the canal's outline that it may be applied to.
    :param bands: from the lowest limit to the highest.
    :param more_is_worse: whether values from a limit upwards are abnormal, whatever their sign, instead of below it.
    :param signed: of these, whether only positive values are.
    :param at: whether it is for motion segments, vertebrae, the whole spine (``None``'s type) or several of these.
    :param derived: whether a canal derived from bone, which is a little narrower than it looks on MR, may be graded.
    """

    name: str
    key: str
    regions: frozenset[Region]
    bands: tuple[Band, ...]
    source: str
    meanings: frozenset[CanalMeaning] = frozenset({"bony canal", "dural sac", ""})
    at: tuple[type, ...] = (Segment, Level)
    derived: bool = True
    levels: frozenset[Level] = frozenset(Level)
    unit: str = "mm"
    more_is_worse: bool = False
    signed: bool = False

    def applies(self, level: Level | Segment | None, meaning: CanalMeaning, derived: bool) -> bool:
        """Whether the rule was made for such a place and such an outline."""
        place = level.upper if isinstance(level, Segment) else level
        if place is None:
            return type(None) in self.at
        return isinstance(level, self.at) and place in self.levels and place.region in self.regions \
            and meaning in self.meanings and (self.derived or not derived)

    def chance(self, level: Level | Segment | None, chances: Chances) -> float:
        """Probability that a place is of a region that the rule was made for; one level up or down makes no difference.

        :param chances: of what each named level is in truth.
        """
        place = level.upper if isinstance(level, Segment) else level
        if place is None or self.regions == frozenset(Region):
            return 1.0
        return sum(chance for other, chance in chances.get(place, {}).items() if other.region in self.regions)

    def is_near(self, value: float, uncertainty: float) -> bool:
        """Whether a value may as well lie on the other side of a limit."""
        return any(abs(self._size(value) - band.limit) < uncertainty for band in self.bands)

    def _size(self, value: float) -> float:
        """What is compared with the limits."""
        return abs(value) if self.more_is_worse and not self.signed else value

    def with_limits(self, limits: Sequence[float]) -> "Cutoff":
        """The same rule with a user's own limits, which its source then says.

        :raises InputError: for another number of limits, or limits out of order.
        """
        given = [float(x) for x in limits]
        if given == [band.limit for band in self.bands]:
            return self
        if len(given) != len(self.bands) or not np.isfinite(given).all() or given != sorted(set(given)):
            raise InputError(f"The cut-off {self.name} takes {len(self.bands)} limits in ascending order, not {given}.")
        bands = tuple(replace(band, limit=limit) for band, limit in zip(self.bands, given, strict=True))
        published = ", ".join(f"{band.limit:g}" for band in self.bands)
        return replace(self, bands=bands, source=f"own limits, instead of {published} by {self.source}")

    def grade(self, value: float) -> Grade:
        """The band a value falls in; what is beyond all limits is normal."""
        if self.more_is_worse:
            return self._from_above(self._size(value))
        lower = None
        for band in self.bands:
            if value < band.limit:
                text = f"< {band.limit:g}" if lower is None else f"{lower:g}-{band.limit:g}"
                return Grade(band.label, f"{text} {self.unit}".strip(), self.source, band.severity, self.name)
            lower = band.limit
        return Grade("normal", f">= {lower:g} {self.unit}".strip(), self.source, Severity.NORMAL, self.name)

    def _from_above(self, value: float) -> Grade:
        upper = None
        for band in reversed(self.bands):
            if value >= band.limit:
                text = f">= {band.limit:g}" if upper is None else f"{band.limit:g}-{upper:g}"
                return Grade(band.label, f"{text} {self.unit}".strip(), self.source, band.severity, self.name)
            upper = band.limit
        return Grade("normal", f"< {upper:g} {self.unit}".strip(), self.source, Severity.NORMAL, self.name)


def fitting(cutoffs: Iterable[Cutoff], key: str, level: Level | Segment | None, canal: Tube | None = None,
            preferred: str | None = None) -> tuple[Cutoff, ...]:
    """The rules for a measurement at a place, the preferred one first.

    :param canal: the outline that was measured, where it is about one.
    """
    meaning: CanalMeaning = canal.meaning if canal is not None else ""
    derived = canal is not None and canal.derived
    found = [c for c in cutoffs if c.key == key and c.applies(level, meaning, derived)]
    return tuple(sorted(found, key=lambda c: c.name != preferred))


def regraded(record: Measurement, rules: Mapping[str, Cutoff]) -> Measurement:
    """A record graded anew.

    :param rules: by name, those that stayed as they were included.
    """
    if record.others:
        record = replace(record, others=tuple(regraded(other, rules) for other in record.others))
    if record.value is None or not any(grade.rule in rules for grade in record.grades):
        return record
    return _graded(record, tuple(rules[g.rule].grade(record.value) if g.rule in rules else g for g in record.grades),
                   rules)


def surely_graded(record: Measurement, rules: Mapping[str, Cutoff], chances: Chances) -> Measurement:
    """A record without the grades of rules that may not be made for its place, as its level's name is in doubt.

    What holds anywhere along the spine grades all the same.

    :param rules: by name; :param chances: of what each named level is in truth.
    """
    if record.others:
        record = replace(record, others=tuple(surely_graded(other, rules, chances) for other in record.others))
    kept = tuple(g for g in record.grades
                 if g.rule not in rules or rules[g.rule].chance(record.level, chances) >= LIKELY_PLACE)
    if len(kept) == len(record.grades):
        return record
    return _graded(replace(record, flags=(*record.flags, PLACE_IN_DOUBT)), kept, rules)


def _graded(record: Measurement, grades: tuple[Grade, ...], rules: Mapping[str, Cutoff]) -> Measurement:
    """A record with these grades, and the flags that go with them."""
    value, spread = record.value or 0.0, record.uncertainty or 0.0
    near = any(g.rule in rules and rules[g.rule].is_near(value, spread) for g in grades)
    idle = (NEAR_CUTOFF,) if grades else ABOUT_GRADES
    flags = tuple(flag for flag in record.flags if flag not in idle) + ((NEAR_CUTOFF,) if near else ())
    return replace(record, grades=grades, flags=flags, quality=quality_of(flags))
