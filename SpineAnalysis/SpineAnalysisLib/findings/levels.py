"""Findings by level, the worst level first."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..anatomy import Level, Region, Segment, successors
from ..labeling.variants import unusual
from ..measurements.flags import LEVEL_PROVISIONAL, PLACE_IN_DOUBT
from ..measurements.record import Measurement, Severity
from ..spine import Spine
from .phrases import STENOSIS_KEYS, WORDS, Phrase, phrases, place_of


@dataclass(frozen=True, eq=False)
class LevelFinding:
    """What is abnormal at one level.

    :param phrases: the worst first.
    """

    level: Level | Segment
    phrases: tuple[Phrase, ...]

    def __repr__(self) -> str:
        return f"<{self.severity.name.lower()} {self.sentence}>"

    @property
    def severity(self) -> Severity:
        return max(phrase.severity for phrase in self.phrases)

    @property
    def sentence(self) -> str:
        """``L4-L5: moderate central stenosis, area 82 mm² (...); left subarticular protrusion, 5 mm.``"""
        return f"{self.level}{self._doubt}: {'; '.join(phrase.text for phrase in self.phrases)}."

    @property
    def _doubt(self) -> str:
        """For those who read or copy one sentence alone."""
        unsure = any(LEVEL_PROVISIONAL in record.flags for phrase in self.phrases for record in phrase.records)
        return " (provisional name)" if unsure else ""

    @property
    def is_range(self) -> bool:
        """Of several segments, as a curve is."""
        return isinstance(self.level, Segment) and self.level.lower not in successors(self.level.upper)

    def as_dict(self) -> dict[str, object]:
        return {"level": str(self.level), "severity": self.severity.name.lower(),
                "findings": [phrase.text for phrase in self.phrases],
                "keys": list(dict.fromkeys(record.key for phrase in self.phrases for record in phrase.records))}


def level_findings(measurements: Sequence[Measurement]) -> tuple[LevelFinding, ...]:
    """Every level with something abnormal, the worst first: by its worst finding, which counts less where it is
    mere wear, borderline, or a vertebra's instead of a disc's, and more the more numbers say it; then by all findings,
    then head to foot."""
    at: dict[Level | Segment, list[Measurement]] = {}
    for record in measurements:
        if record.level is not None:
            at.setdefault(record.level, []).append(record)
    found = [LevelFinding(level, tuple(said)) for level, records in at.items()
             if (said := phrases(records, measurements))]
    return tuple(sorted(found, key=lambda f: (-f.severity, not f.phrases[0].presses,
                                              f.phrases[0].is_borderline, isinstance(f.level, Level),
                                              -sum(record.severity for record in f.phrases[0].records),
                                              -sum(p.severity for p in f.phrases), place_of(f.level))))


def sentences(spine: Spine, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """The summary, then a sentence for each level, the worst first."""
    found = level_findings(measurements)
    out = [_summary(spine, found), *(each.sentence for each in found)]
    graded = [m for m in measurements if m.key in STENOSIS_KEYS and isinstance(m.level, Segment) and m.grades]
    if graded and not any(m.severity for m in graded):
        levels = sorted({m.level for m in graded if isinstance(m.level, Segment)})
        what = "bony central stenosis" if spine.canal is not None and spine.canal.derived else "central stenosis"
        out.append(f"No {what} by the cut-offs used, {levels[0].upper} to {levels[-1].lower}.")
    out += [*unusual(spine), _not_graded(measurements), *([_narrowest(measurements)] if not graded else [])]
    return tuple(sentence for sentence in out if sentence)


def _summary(spine: Spine, found: Sequence[LevelFinding]) -> str:
    """The ranked levels in one sentence, where there are several or their names are uncertain."""
    graded = [each for each in found if each.severity > Severity.NORMAL and not each.is_range]
    if len(graded) < 2 and not (graded and spine.provisional):
        return ""
    by_severity = [(word, [str(f.level) for f in graded if f.severity is severity])
                   for severity, word in WORDS.items()]
    ranked = "; ".join(f"{word} {', '.join(levels)}" for word, levels in by_severity if levels)
    return f"Levels are provisional and may be off by one or more; as named: {ranked}." if spine.provisional \
        else f"Abnormal levels: {ranked}."


def _narrowest(measurements: Sequence[Measurement]) -> str:
    # Below the neck a cord is always smaller, and ends.
    areas = [m for m in measurements if m.value is not None and isinstance(m.level, Segment)
             and (m.key == "canal_area" or (m.key == "cord_area" and m.level.upper.region is Region.CERVICAL))]
    if not areas:
        return ""
    first = areas[0].key
    least = min((m for m in areas if m.key == first), key=lambda m: m.value or 0.0)
    why = "" if any(PLACE_IN_DOUBT in m.flags for m in areas) else "; no published cut-off applies to these levels"
    what = "canal" if first == "canal_area" else "cord"
    return f"The {what} is smallest at {least.level}, {least.value:.0f} mm²{why}."


def _not_graded(measurements: Sequence[Measurement]) -> str:
    """Where the stenosis of discs has no grade because the part of the spine is in doubt."""
    levels = sorted({m.level for m in measurements if m.key in STENOSIS_KEYS and isinstance(m.level, Segment)
                     and PLACE_IN_DOUBT in m.flags and not m.grades})
    return (f"Central stenosis was not graded at {', '.join(map(str, levels))}: its limits are published for one part "
            "of the spine, and which part this is is in doubt.") if levels else ""
