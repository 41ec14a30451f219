"""The report of a cohort: what was found, what stands out, what failed, and a page to check every segmentation."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import __version__
from ..measurements.cutoffs import Cutoff
from ..measurements.record import Severity
from ..measurements.registry import Definition, families
from ..report.html import TEMPLATES as REPORT_TEMPLATES
from ..report.pictures import TONES, Picture
from ..report.wording import number, pretty_text, pretty_unit
from .figures import FEWEST_FOR_BOX, categories, distribution
from .numbers import (
    FEWEST_FOR_AGE,
    FEWEST_FOR_OUTLIERS,
    OUTLIER_SCORE,
    Cell,
    Measure,
    Outlier,
    measures,
    quality_shares,
)
from .place import Place, write_whole
from .rows import Result, result_of, write_tables
from .study import Cohort, Study

PAGE, QUALITY_PAGE = "cohort.html", "quality.html"
MOST_OUTLIERS = 60
_TEMPLATES = Path(__file__).parent / "templates"
_FEWEST_FOR_SD = 2
_SIGNED = frozenset({"vertebra_slip", "vertebra_slip_percent"})
"""Measures with a direction whose cut-offs hold in both."""
_NONE = "–"


@dataclass(frozen=True)
class Section:
    """One measure on the page.

    :param header, rows: of its table.
    """

    title: str
    anchor: str
    about: str
    unit: str
    picture: Picture
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """All that the pages tell about.

    :param failed: study and reason; :param waiting: never run to an end.
    :param others: labels of results that are of no study of the input.
    """

    results: tuple[Result, ...]
    failed: tuple[tuple[Study, str], ...]
    waiting: tuple[Study, ...]
    others: tuple[str, ...]


def write_group(cohort: Cohort, place: Place) -> None:
    """Tables and both pages, from the results of the cohort's studies that are there."""
    found = collect(cohort, place)
    write_tables(found.results, place.root)
    environment = Environment(loader=FileSystemLoader([_TEMPLATES, REPORT_TEMPLATES]), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                              keep_trailing_newline=True)
    environment.filters["pretty"] = pretty_text
    tones = {severity.name.lower(): tone for severity, tone in TONES.items()}
    common = {"tones": tones, "version": __version__, "found": found}
    quality = environment.get_template("quality.html.j2").render(**common, cards=quality_cards(found.results))
    write_whole(place.root / QUALITY_PAGE, quality)
    page = environment.get_template("cohort.html.j2").render(**common, **_context(cohort, found))
    write_whole(place.root / PAGE, page)


def collect(cohort: Cohort, place: Place) -> Found:
    """What became of every study."""
    results, failed, waiting = [], [], []
    for study in cohort.studies:
        result, record = result_of(study, place), place.recorded(study)
        if result is not None:
            results.append(result)
        elif record is not None:
            failed.append((study, record.reason))
        else:
            waiting.append(study)
    return Found(tuple(results), tuple(failed), tuple(waiting), tuple(place.others(cohort)))


def _context(cohort: Cohort, found: Found) -> dict[str, Any]:
    all_measures = measures(found.results)
    outliers = sorted(((measure, cell, outlier) for measure in all_measures if not measure.definition.words
                       for cell in measure.cells for outlier in cell.outliers()), key=lambda o: -abs(o[2].score))
    links = {result.study.label: result.files["report.html"] for result in found.results}
    sections = [(family.title, [_section(m, all_measures) for m in all_measures if m.definition in family.definitions])
                for family in families()]
    return {"facts": list(_facts(cohort, found)), "notes": list(_notes(cohort, found)),
            "families": [(title, parts) for title, parts in sections if parts],
            "outliers": [_outlier_row(*each, links) for each in outliers[:MOST_OUTLIERS]],
            "hidden_outliers": max(0, len(outliers) - MOST_OUTLIERS), "outlier_score": OUTLIER_SCORE,
            "fewest_for_outliers": FEWEST_FOR_OUTLIERS, "fewest_for_age": FEWEST_FOR_AGE}


def _facts(cohort: Cohort, found: Found) -> Iterator[tuple[str, str]]:
    people = {result.study.subject: result.study.person for result in found.results}
    yield "Participants", f"{len(people)} measured of {len({s.subject for s in cohort.studies})}"
    yield "Studies", f"{len(found.results)} done, {len(found.failed)} failed" + (
        f", {len(found.waiting)} not run" if found.waiting else "")
    ages = [person.age for person in people.values() if person.age is not None]
    if ages:
        low, middle, high = np.percentile(ages, (25, 50, 75))
        known = "" if len(ages) == len(people) else f", known of {len(ages)}"
        yield "Age", f"median {middle:.0f} years (quartiles {low:.0f}–{high:.0f}){known}"
    sexes = Counter[str](person.sex for person in people.values() if person.sex)
    if sexes:
        named = {"female": "women", "male": "men", "other": "other"}
        told = [f"{named[sex]} {sexes[sex]}" for sex in named if sexes[sex]]
        unknown = len(people) - sum(sexes.values())
        yield "Sex", ", ".join([*told, *([f"not known {unknown}"] if unknown else [])])
    yield "Scans", _counted(result.modality for result in found.results)
    yield "Segmentation", _counted(row["segmentation"] for result in found.results for row in result.rows[:1])


def _counted(words: Any) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(Counter(words).items())) or "none"


def _notes(cohort: Cohort, found: Found) -> Iterator[str]:
    """What a reader must know before the numbers."""
    yield from cohort.notes
    left_out = sum(bool(study.notes) for study in cohort.studies)
    if left_out:
        texts = sorted({note for study in cohort.studies for note in study.notes})
        yield f"Studies of which something was left out: {left_out}. {' '.join(texts)}"
    provisional = sum(result.provisional for result in found.results)
    if provisional:
        yield (f"Studies with provisional names of levels: {provisional} of {len(found.results)}; their values are in "
               "the table and not in the distributions by level.")
    doubtful = sum(result.doubtful and not result.provisional for result in found.results)
    if doubtful:
        yield (f"Studies whose levels are in doubt: {doubtful} of {len(found.results)}; the likeliest names are used, "
               "and a wrong one puts every value of that study one level off.")
    repeated = len(found.results) - len({result.study.subject for result in found.results})
    if repeated:
        yield (f"Further sessions of the same participants: {repeated}; they are in the table and not in the "
               "distributions, which take the first session of each.")
    if cohort.unwanted:
        yield f"Studies of the input that were not asked for: {len(cohort.unwanted)}."
    for column, what in (("segmentation", "Segmentations"), ("version", "Results")):
        origins = _counted(row[column] for result in found.results for row in result.rows[:1])
        if "," in origins:
            yield f"{what} are of different origin ({origins}), so that what differs may come from that."
    if found.others:
        yield f"Results that are of no study in the input, and were left out: {', '.join(found.others)}."


def _section(measure: Measure, every: Sequence[Measure]) -> Section:
    definition = measure.definition
    places = {m.place for m in every if m.definition is definition}
    where = f", at the {measure.place}" if len(places) > 1 and measure.place != "ranges" else ""
    title = definition.title + where + (f", {measure.modality}" if len({m.modality for m in every}) > 1 else "")
    anchor = f"{definition.key}-{measure.place}-{measure.modality.lower()}"
    sources = tuple(map(_cited, {c.rule.name: c.rule for c in measure.cells if c.rule is not None}.values()))
    if definition.words:
        header, rows = _category_table(measure)
        return Section(title, anchor, definition.definition, "", categories(measure), header, rows, sources)
    header, rows = _number_table(measure)
    return Section(title, anchor, definition.definition, pretty_unit(definition.unit),
                   distribution(measure), header, rows, sources)


def _cited(rule: Cutoff) -> str:
    sign = "≥" if rule.more_is_worse else "<"
    bands = [f"{band.label} {sign} {band.limit:g}" for band in rule.bands if band.severity > Severity.NORMAL]
    either = " either way" if rule.more_is_worse and not rule.signed and rule.key in _SIGNED else ""
    return f"{', '.join(bands)} {rule.unit}".strip() + f"{either}: {rule.source}"


def _number_table(measure: Measure) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns that nobody has a value for are left out."""
    columns = {name: [_told(cell, measure.definition)[name] for cell in measure.cells]
               for name in _told(measure.cells[0], measure.definition)}
    kept = {name: texts for name, texts in columns.items() if any(text not in ("", _NONE) for text in texts)}
    return tuple(kept), tuple(zip(*kept.values(), strict=True))


def _told(cell: Cell, definition: Definition) -> dict[str, str]:
    values, decimals = cell.values, definition.decimals

    def said(value: float) -> str:
        return number(value, decimals)

    low, middle, high = np.percentile(values, (25, 50, 75))
    many = len(values) >= FEWEST_FOR_BOX
    by_sex = {name: cell.of_sex(sex) for name, sex in (("Women", "female"), ("Men", "male"))}
    age, beyond, stated = cell.age, cell.beyond, cell.uncertainty
    return {
        "Level": cell.level or "Whole spine", "Side": cell.side or "", "n": str(len(values)),
        "Mean ± SD": f"{said(values.mean())} ± {said(values.std(ddof=1))}" if len(values) >= _FEWEST_FOR_SD else _NONE,
        "Median (quartiles)": said(middle) + (f" ({said(low)} to {said(high)})" if many else ""),
        "Range": f"{said(values.min())} to {said(values.max())}" if len(values) > 1 else _NONE,
        **{f"{name}: median (n)": f"{said(float(np.median(own)))} ({len(own)})" if len(own) else _NONE
           for name, own in by_sex.items()},
        "Rank correlation with age (95 % CI)":
            f"{number(age.rho, 2)} ({number(age.low, 2)} to {number(age.high, 2)})" if age else _NONE,
        "Beyond the cut-off (95 % CI)": f"{beyond.count} of {beyond.of} ({beyond.low:.0%}–{beyond.high:.0%})" if beyond
            else _NONE,
        "Stated SD of one measurement": said(stated) if stated is not None else _NONE,
        "Not measured": str(cell.missing) if cell.missing else ""}


def _category_table(measure: Measure) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    words = {value: word for value, word in measure.definition.words.items()
             if any((cell.values == value).any() for cell in measure.cells)}
    sided = any(cell.side for cell in measure.cells)
    header = ("Level", *(("Side",) if sided else ()), "n", *words.values(), "Not measured")
    rows = [(cell.level, *((cell.side or "",) if sided else ()), str(len(cell.rows)),
             *(str(int((cell.values == value).sum())) for value in words), str(cell.missing)) for cell in measure.cells]
    return header, tuple(rows)


def _outlier_row(measure: Measure, cell: Cell, outlier: Outlier, links: Mapping[str, str]) -> dict[str, str]:
    row, definition = outlier.row, measure.definition
    unit = pretty_unit(definition.unit)
    label = "_".join(filter(None, (row["participant_id"], row["session_id"])))
    return {"label": label, "link": links[label], "measure": definition.title, "level": row["level"] or "Whole spine",
            "side": cell.side or "", "value": f"{number(row['value'], definition.decimals)} {unit}".strip(),
            "median": f"{number(outlier.median, definition.decimals)} {unit}".strip(),
            "score": number(outlier.score, 1), "quality": row["quality"]}


def quality_cards(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One for each study, those that need a look before the others."""
    cards = []
    for result in results:
        shares = quality_shares(result.rows)
        cards.append({"label": result.study.label, "levels": _span(result.levels), "modality": result.modality,
                      "provisional": result.provisional, "doubtful": result.doubtful, "doubts": result.doubts,
                      "shares": shares, "report": result.files["report.html"],
                      "thumbnail": result.files["thumbnail.png"],
                      "segmentation": result.rows[0]["segmentation"] if result.rows else ""})
    return sorted(cards, key=lambda card: (not card["provisional"], not card["doubtful"],
                                           -card["shares"]["poor"] - card["shares"]["missing"], card["label"]))


def _span(levels: Sequence[str]) -> str:
    return f"{levels[0]} to {levels[-1]}" if levels else "no level"
