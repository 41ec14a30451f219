"""A family's measurements as tables for people: rows are levels from head to foot, columns are measurements."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..anatomy import Level, Segment, Side, successors
from ..measurements.record import Grade, Measurement, Quality, Severity
from ..measurements.registry import Definition, Family
from .wording import clause, flag_text, number, pretty_text, pretty_unit

MAX_COLUMNS = 7
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
    """Explanations of some measurements' flags and quality.

    What holds for all of them is said once; the rest is marked with letters in the order in which it is needed.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._letters: dict[str, str] = {}
        first = _remarks(measurements[0]) if measurements else ()
        self._common = [flag for flag in first if all(flag in _remarks(m) for m in measurements)]
        self._qualities = {m.quality for m in measurements if m.value is not None}

    def marks(self, measurement: Measurement) -> tuple[str, ...]:
        """Signs behind a value: of its quality, and letters of its own flags."""
        quality = QUALITY_MARKS[measurement.quality] if len(self._qualities) > 1 else ""
        letters = [self._letter(flag) for flag in _remarks(measurement) if flag not in self._common]
        return (*([quality] if quality else []), *letters)

    def _letter(self, flag: str) -> str:
        return self._letters.setdefault(flag, _letters(len(self._letters)))

    @property
    def general(self) -> str:
        """What holds for all values, as a sentence; empty when nothing does."""
        quality = next(iter(self._qualities)) if len(self._qualities) == 1 else Quality.GOOD
        parts = [f"{quality} quality"] if quality is not Quality.GOOD else []
        parts += map(clause, self._common)
        return f"All values: {'; '.join(parts)}." if parts else ""

    def listed(self) -> list[tuple[str, str]]:
        """Sign and explanation of all that was marked."""
        qualities = [(QUALITY_MARKS[q], f"{q} quality".capitalize()) for q in Quality
                     if q is not Quality.GOOD and q in self._qualities and len(self._qualities) > 1]
        return qualities + [(letter, flag_text(flag)) for flag, letter in self._letters.items()]


def _remarks(measurement: Measurement) -> tuple[str, ...]:
    """Its flags, and on which scan it was measured."""
    on = (f"measured on {measurement.scan}",) if measurement.scan else ()
    return (*measurement.flags, *on)


def _letters(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (chr(96 + index // 26) if index >= 26 else "") + chr(97 + index % 26)


@dataclass(frozen=True)
class Chip:
    """One grade."""

    label: str
    severity: Severity
    cutoff: str
    reference: int


@dataclass(frozen=True)
class Cell:
    """:param value: printed value, ``None`` where it cannot be measured; :param marks: signs of footnotes."""

    key: str
    level: str
    value: str | None
    uncertainty: str | None
    unit: str
    chips: tuple[Chip, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    level: str
    severity: Severity
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class LevelTable:
    """:param columns: title and printed unit of each."""

    title: str
    level_heading: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    footnotes: Footnotes


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
    groups = {name: [m for m in mine if level_group(m.level) == name] for name in _HEADINGS}
    tables = tuple(_table(name, columns, group, references) for name, group in groups.items() if group
                   for columns in _portions(_columns(family, group)))
    return FamilySection(family.name, family.title, tables) if tables else None


def level_group(level: Level | Segment | None) -> str:
    """Which of the tables a level belongs to; what has no level belongs to the ranges."""
    if isinstance(level, Level):
        return "vertebrae"
    return "segments" if isinstance(level, Segment) and level.lower in successors(level.upper) else "ranges"


def _columns(family: Family, measurements: Sequence[Measurement]) -> list[_Column]:
    present = {(m.key, m.side) for m in measurements}
    return [(definition, side) for definition in family.definitions for side in (None, "right", "left")
            if (definition.key, side) in present]


def _portions(columns: Sequence[_Column]) -> Iterator[Sequence[_Column]]:
    """Columns of tables that fit on a page, about equally many in each."""
    size = math.ceil(len(columns) / math.ceil(len(columns) / MAX_COLUMNS))
    for start in range(0, len(columns), size):
        yield columns[start:start + size]


def _table(group: str, columns: Sequence[_Column], every: Sequence[Measurement], references: References) -> LevelTable:
    shown = {(definition.key, side) for definition, side in columns}
    measurements = [m for m in every if (m.key, m.side) in shown]
    found = {(m.level, m.key, m.side): m for m in measurements}
    footnotes = Footnotes(measurements)
    rows = []
    for level in sorted({m.level for m in measurements}, key=level_order):
        here = [found.get((level, definition.key, side)) for definition, side in columns]
        cells = tuple(None if m is None else cell(m, definition, references, footnotes)
                      for m, (definition, _) in zip(here, columns, strict=True))
        rows.append(Row(_level_name(level), max(m.severity for m in here if m is not None), cells))
    title, heading = _HEADINGS[group]
    return LevelTable(title, heading, tuple(_heading(*column) for column in columns), tuple(rows), footnotes)


def cell(measurement: Measurement, definition: Definition, references: References, footnotes: Footnotes) -> Cell:
    """One printed measurement.  Of several grades the first, and the worst where that is worse, are shown."""
    shown = list(measurement.grades[:1])
    shown += [g for g in measurement.grades[1:] if g.severity == measurement.severity > shown[0].severity][:1]
    for hidden in measurement.grades:
        references.cite_grade(definition.title, hidden)
    value, uncertainty = measurement.value, None if measurement.word else measurement.uncertainty
    return Cell(
        measurement.key, _level_name(measurement.level),
        None if value is None else _said(measurement, value, definition),
        None if uncertainty is None or value is None else number(uncertainty, definition.decimals),
        pretty_unit(measurement.unit),
        tuple(Chip(g.label, g.severity, pretty_text(g.cutoff), references.cite(g.source)) for g in shown),
        footnotes.marks(measurement))


def _said(measurement: Measurement, value: float, definition: Definition) -> str:
    """A number, or a category's name with its probability where that is known."""
    if not measurement.word:
        return number(value, definition.decimals)
    share = measurement.probabilities.get(measurement.word)
    return measurement.word if share is None else f"{measurement.word} ({share:.0%})"


def level_order(level: Level | Segment | None) -> tuple[int, int]:
    """Head to foot; a vertebra before the segment below it; what has no level last."""
    if level is None:
        return len(Level) + 1, 0
    return (int(level.upper), int(level.lower)) if isinstance(level, Segment) else (int(level), 0)


def _level_name(level: Level | Segment | None) -> str:
    return "Whole spine" if level is None else str(level)


def _heading(definition: Definition, side: Side | None) -> tuple[str, str]:
    return definition.title + (f", {side}" if side else ""), pretty_unit(definition.unit)
