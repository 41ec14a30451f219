"""Published cut-offs, as data: which value, where it applies, what its bands are called and who said so."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..anatomy import CanalMeaning, Level, Region, Segment
from .record import Grade, Severity


@dataclass(frozen=True)
class Band:
    """What a value below ``limit`` is called."""

    limit: float
    label: str
    severity: Severity


@dataclass(frozen=True)
class Cutoff:
    """One published rule for values of which less is worse.

    :param name: how a user chooses it.
    :param regions: of the upper vertebra (or of the vertebra) that it is about.
    :param meanings: of the canal's outline that it may be applied to.
    :param bands: from the lowest limit to the highest.
    :param at: whether it is for motion segments, vertebrae or both.
    """

    name: str
    key: str
    regions: frozenset[Region]
    bands: tuple[Band, ...]
    source: str
    meanings: frozenset[CanalMeaning] = frozenset({"bony canal", "dural sac", ""})
    at: tuple[type, ...] = (Segment, Level)
    levels: frozenset[Level] = frozenset(Level)
    unit: str = "mm"

    def applies(self, level: Level | Segment, meaning: CanalMeaning) -> bool:
        place = level.upper if isinstance(level, Segment) else level
        return isinstance(level, self.at) and place in self.levels and place.region in self.regions \
            and meaning in self.meanings

    def grade(self, value: float) -> Grade:
        """The band a value falls in; the last limit and above is normal."""
        lower = None
        for band in self.bands:
            if value < band.limit:
                text = f"< {band.limit:g}" if lower is None else f"{lower:g}-{band.limit:g}"
                return Grade(band.label, f"{text} {self.unit}".strip(), self.source, band.severity)
            lower = band.limit
        return Grade("normal", f">= {lower:g} {self.unit}".strip(), self.source, Severity.NORMAL)



def grades(cutoffs: Iterable[Cutoff], key: str, level: Level | Segment, meaning: CanalMeaning,
           value: float, preferred: str | None = None) -> tuple[Grade, ...]:
    """Every grade of a value, the preferred rule's first."""
    fitting = [c for c in cutoffs if c.key == key and c.applies(level, meaning)]
    fitting.sort(key=lambda c: c.name != preferred)
    return tuple(c.grade(value) for c in fitting)
