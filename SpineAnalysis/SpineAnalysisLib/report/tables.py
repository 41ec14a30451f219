"""A family's measurements as tables for people: rows are levels from head to foot, columns are measurements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..anatomy import Level, Segment, Side, successors
from ..measurements.record import Grade, Measurement, Quality, Severity
from ..measurements.registry import Definition, Family
from .wording import flag_text, number, pretty_text, pretty_unit

QUALITY_MARKS = {Quality.GOOD: "", Quality.LIMITED: "†", Quality.POOR: "‡"}


class References:
    """Publications, numbered in the order in which they are first cited."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._cutoffs: dict[str, dict[tuple[str, str, str], None]] = {}

    def cite(self, source: str) -> int:
        """The number of a publication."""
        return self._numbers.setdefault(source, len(self._numbers) + 1)

    def cite_grade(self, title: str, grade: Grade) -> int:
        """The number of a grade's publication; its cut-off is listed with it."""
        self._cutoffs.setdefault(grade.source, {})[title, grade.label, pretty_text(grade.cutoff)] = None
        return self.cite(grade.source)

    def listed(self) -> list[tuple[int, str, list[tuple[str, str, str]]]]:
        """Number, source, and the (measurement, grade, cut-off) triples that were taken from it."""
        return [(n, source, sorted(self._cutoffs.get(source, ()))) for source, n in self._numbers.items()]


class Footnotes:
    """Explanations of one table, marked with letters in the order in which they are needed."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """The letter of an explanation: a, b, ..., z, aa, ab, ..."""
        if text not in self._letters:
            count = len(self._letters)
            self._letters[text] = (chr(96 + count // 26) if count >= 26 else "") + chr(97 + count % 26)
        return self._letters[text]

    def listed(self) -> list[tuple[str, str]]:
        return [(letter, text) for text, letter in self._letters.items()]


@dataclass(frozen=True)
class Chip:
    """One grade."""

    label: str
    severity: Severity
    cutoff: str
    reference: int


@dataclass(frozen=True)
class Cell:
    """:param value: printed value, ``None`` where it cannot be measured; :param marks: footnote letters."""

    key: str
    level: str
    value: str | None
    uncertainty: str | None
    unit: str
    chips: tuple[Chip, ...]
    quality: Quality
    marks: tuple[str, ...]

    @property
    def quality_mark(self) -> str:
        return QUALITY_MARKS[self.quality]


@dataclass(frozen=True)
class Row:
    level: str
    severity: Severity
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class LevelTable:
    """:param columns: title and printed unit of each; :param qualities: those below good that occur in it."""

    title: str
    level_heading: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    footnotes: tuple[tuple[str, str], ...]
    qualities: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FamilySection:
    name: str
    title: str
    tables: tuple[LevelTable, ...] = field(default=())


_Column = tuple[Definition, Side | None]

_HEADINGS = {"segments": ("At the discs", "Segment"), "vertebrae": ("At the vertebrae", "Vertebra"),
             "ranges": ("Over ranges", "Range")}


def family_section(family: Family, measurements: Iterable[Measurement], references: References) -> FamilySection | None:
    """The family's tables, one for motion segments, vertebrae and ranges each; ``None`` without measurements."""
    keys = {d.key for d in family.definitions}
    mine = [m for m in measurements if m.key in keys]
    groups = {name: [m for m in mine if _group(m.level) == name] for name in _HEADINGS}
    tables = tuple(_table(name, family, group, references) for name, group in groups.items() if group)
    return FamilySection(family.name, family.title, tables) if tables else None


def _group(level: Level | Segment | None) -> str:
    if isinstance(level, Level):
        return "vertebrae"
    return "segments" if isinstance(level, Segment) and level.lower in successors(level.upper) else "ranges"


def _table(group: str, family: Family, measurements: Sequence[Measurement], references: References) -> LevelTable:
    columns: list[_Column] = [(definition, side) for definition in family.definitions
                              for side in (None, "right", "left")
                              if any(m.key == definition.key and m.side == side for m in measurements)]
    found = {(m.level, m.key, m.side): m for m in measurements}
    footnotes = Footnotes()
    rows = []
    for level in sorted({m.level for m in measurements}, key=level_order):
        here = [found.get((level, definition.key, side)) for definition, side in columns]
        cells = tuple(None if m is None else cell(m, definition, references, footnotes)
                      for m, (definition, _) in zip(here, columns, strict=True))
        rows.append(Row(_level_name(level), max(m.severity for m in here if m is not None), cells))
    title, heading = _HEADINGS[group]
    present = {m.quality for m in measurements}
    explained = {Quality.LIMITED: "limited: outside the intended use", Quality.POOR: "poor: do not rely on it"}
    return LevelTable(title, heading, tuple(_heading(*column) for column in columns), tuple(rows),
                      tuple(footnotes.listed()),
                      tuple((QUALITY_MARKS[q], text) for q, text in explained.items() if q in present))


def cell(measurement: Measurement, definition: Definition, references: References, footnotes: Footnotes) -> Cell:
    """One printed measurement.  Of several grades the first, and the worst where that is worse, are shown."""
    shown = list(measurement.grades[:1])
    shown += [g for g in measurement.grades[1:] if g.severity == measurement.severity > shown[0].severity][:1]
    for hidden in measurement.grades:
        references.cite_grade(definition.title, hidden)
    value, uncertainty = measurement.value, measurement.uncertainty
    return Cell(
        measurement.key, _level_name(measurement.level),
        None if value is None else number(value, definition.decimals),
        None if uncertainty is None or value is None else number(uncertainty, definition.decimals),
        pretty_unit(measurement.unit),
        tuple(Chip(g.label, g.severity, pretty_text(g.cutoff), references.cite(g.source)) for g in shown),
        measurement.quality, tuple(footnotes.mark(flag_text(flag)) for flag in measurement.flags))


def level_order(level: Level | Segment | None) -> tuple[int, int]:
    """Head to foot; a vertebra before the segment below it; what has no level last."""
    if level is None:
        return len(Level) + 1, 0
    return (int(level.upper), int(level.lower)) if isinstance(level, Segment) else (int(level), 0)


def _level_name(level: Level | Segment | None) -> str:
    return "Whole spine" if level is None else str(level)


def _heading(definition: Definition, side: Side | None) -> tuple[str, str]:
    return definition.title + (f", {side}" if side else ""), pretty_unit(definition.unit)
