"""Published cut-offs, as data: which value, where it applies, what its bands are called and who said so."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..anatomy import CanalMeaning, Level, Region, Segment
from ..spine import Tube
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

    def applies(self, level: Level | Segment, meaning: CanalMeaning, derived: bool) -> bool:
        """Whether the rule was made for such a place and such an outline."""
        place = level.upper if isinstance(level, Segment) else level
        return isinstance(level, self.at) and place in self.levels and place.region in self.regions \
            and meaning in self.meanings and (self.derived or not derived)

    def is_near(self, value: float, uncertainty: float) -> bool:
        """Whether a value may as well lie on the other side of a limit."""
        return any(abs(value - band.limit) < uncertainty for band in self.bands)

    def grade(self, value: float) -> Grade:
        """The band a value falls in; the last limit and above is normal."""
        lower = None
        for band in self.bands:
            if value < band.limit:
                text = f"< {band.limit:g}" if lower is None else f"{lower:g}-{band.limit:g}"
                return Grade(band.label, f"{text} {self.unit}".strip(), self.source, band.severity)
            lower = band.limit
        return Grade("normal", f">= {lower:g} {self.unit}".strip(), self.source, Severity.NORMAL)


def fitting(cutoffs: Iterable[Cutoff], key: str, level: Level | Segment, canal: Tube,
            preferred: str | None = None) -> tuple[Cutoff, ...]:
    """The rules for a measurement at a place, the preferred one first."""
    found = [c for c in cutoffs if c.key == key and c.applies(level, canal.meaning, canal.derived)]
    return tuple(sorted(found, key=lambda c: c.name != preferred))
