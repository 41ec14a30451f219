"""One card for every level: what was found there, the planes it was measured in, and its numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..analysis import Analysis
from ..anatomy import Level, Segment
from ..findings import level_findings
from ..measurements import registry
from ..measurements.record import Measurement, Severity
from .curvatures import is_curve
from .pictures import Picture
from .planes import Section, sections_at
from .section import section_pictures
from .tables import Cell, Footnotes, References, cell, level_group, level_order

MOST_OPEN = 6
"""So many of the worst levels lie open; the others open on a click."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Place = Level | Segment | None


@dataclass(frozen=True)
class Plate:
    """One picture of a card.

    :param letter: by which the card's numbers name it.
    """

    letter: str
    title: str
    picture: Picture
    caption: str
    severity: Severity


@dataclass(frozen=True)
class Number:
    """:param plates: letters of the pictures that show where it was measured."""

    name: str
    cell: Cell
    plates: str


@dataclass(frozen=True)
class Card:
    """:param said: what was found, without the level's name; empty where nothing is abnormal.

    :param leading: pictures of what is abnormal, or the first one; :param further: the others.
    :param graded: numbers that are abnormal; :param numbers: the others.
    """

    level: str
    anchor: str
    severity: Severity
    said: str
    leading: tuple[Plate, ...]
    further: tuple[Plate, ...]
    graded: tuple[Number, ...]
    numbers: tuple[Number, ...]


def level_severities(measurements: Sequence[Measurement]) -> dict[Level | Segment, Severity]:
    """Worst grade of each level, head to foot."""
    worst: dict[Level | Segment, Severity] = {}
    for m in measurements:
        if m.level is not None:
            worst[m.level] = max(m.severity, worst.get(m.level, Severity.NORMAL))
    return dict(sorted(worst.items(), key=lambda item: level_order(item[0])))


def ranked(measurements: Sequence[Measurement]) -> list[Place]:
    """Levels with something measured, in the findings' order, then head to foot; ranges are not among them."""
    worst: dict[Place, Severity] = {}
    for m in measurements:
        if m.level is None or level_group(m.level) != "ranges":
            worst[m.level] = max(m.severity, worst.get(m.level, Severity.NORMAL))
    order = {finding.level: rank for rank, finding in enumerate(level_findings(measurements))}
    return sorted(worst, key=lambda place: (order.get(place, len(order)) if place is not None else len(order),
                                            -worst[place], level_order(place)))


def cards_of(analysis: Analysis, references: References) -> tuple[list[Card], list[Card], Footnotes]:
    """Cards that lie open, cards that do not, and the notes of all.

    Open are the worst levels, or, where none is abnormal, the one whose canal is the narrowest.
    """
    records = [m for m in analysis.measurements if not is_curve(m)]
    places = ranked(records)
    notes = Footnotes([m for m in records if m.level in set(places)])
    said = {finding.level: "; ".join(phrase.text for phrase in finding.phrases) for finding in analysis.levels
            if finding.sentence in analysis.findings}  # a person may have written others
    cards = {place: _card(analysis, place, records, said, references, notes) for place in places}
    abnormal = [place for place in places if cards[place].severity > Severity.NORMAL]
    first = abnormal[:MOST_OPEN] or _narrowest(records)[:1] or places[:1]
    others = sorted((place for place in places if place not in first), key=level_order)
    return [cards[place] for place in first], [cards[place] for place in others], notes


def anchor(level: str) -> str:
    """What links to a level's card name."""
    return f"level-{level.replace(' ', '-').lower()}"


def _narrowest(records: Sequence[Measurement]) -> list[Place]:
    """Discs by the area of their canal, the smallest first."""
    areas = [m for m in records if m.key == "canal_area" and isinstance(m.level, Segment) and m.value is not None]
    return [m.level for m in sorted(areas, key=lambda m: m.value or 0.0)]


def _card(analysis: Analysis, place: Place, records: Sequence[Measurement], said: Mapping[Level | Segment, str],
          references: References, notes: Footnotes) -> Card:
    here = [m for m in records if m.level == place]
    led = [m for m in here if m.others]
    others = [other for m in led for other in m.others]
    behind = {id(other) for other in others}
    sections = sections_at(place, [*led, *others, *(m for m in here if not m.others)])
    plates: list[Plate] = []
    shown: dict[int, str] = {}
    abnormal = 0
    for section in sorted(sections, key=lambda section: id(section.leading) in behind):
        made = _plates(analysis, section, LETTERS[len(plates):])
        plates += made
        abnormal += len(made) if section.severity > Severity.NORMAL and id(section.leading) not in behind else 0
        for record in section.told:
            shown[id(record)] = "".join(plate.letter for plate in made)
    name = "Whole spine" if place is None else str(place)
    keys = {m.key for m in led}
    numbers = list(_numbers(here, shown, references, notes, keys))
    further = [number for _, number in _numbers(others, shown, references, notes, keys)]
    count = max(abnormal, 1)
    return Card(name, anchor(name), max(m.severity for m in here), said.get(place, "") if place is not None else "",
                tuple(plates[:count]), tuple(plates[count:]), tuple(number for bad, number in numbers if bad),
                (*(number for bad, number in numbers if not bad), *further))


def _plates(analysis: Analysis, section: Section, letters: str) -> list[Plate]:
    made = section_pictures(analysis.spine, section, registry.definitions())
    return [Plate(letter, section.title(analysis.spine), each.picture, each.caption, section.severity)
            for letter, each in zip(letters, made, strict=False)]


def _numbers(records: Sequence[Measurement], shown: Mapping[int, str], references: References, notes: Footnotes,
             several: Collection[str]) -> "list[tuple[bool, Number]]":
    """Whether each is abnormal, and it, in the families' order.

    :param several: keys that more than one scan tells, whose names say which.
    """
    definitions = registry.definitions()
    order = {key: place for place, key in enumerate(definitions)}
    ordered = sorted(records, key=lambda m: (order[m.key], m.side or ""))

    def name(m: Measurement) -> str:
        return ", ".join(filter(None, [definitions[m.key].title, m.side, m.scan if m.key in several else None]))

    return [(m.severity > Severity.NORMAL,
             Number(name(m), cell(m, definitions[m.key], references, notes), shown.get(id(m), ""))) for m in ordered]
