"""The report: one self-contained HTML file for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..analysis import Analysis
from ..labeling.naming import from_below
from ..measurements import registry
from ..measurements.record import Severity
from ..spine import Spine
from .cards import MOST_OPEN, anchor, cards_of, level_severities, ranked
from .curvatures import curvature_pictures
from .pictures import TONES, Picture, house_style
from .planes import section_at
from .profile import profile_picture
from .reformat import SagittalSurface
from .sagittal import sagittal_picture
from .section import section_pictures
from .tables import FamilySection, References, family_section
from .views import rendered_picture
from .wording import pretty_text

TEMPLATES = Path(__file__).parent / "templates"
LEADING_DOUBTS = 2

LIMITS = (
    "Every number rests on the segmentation: where an outline is wrong, the number is wrong, and the stated "
    "uncertainty (one standard deviation, from voxel size, plane and repeatability) does not cover that.",
    "Grades apply published cut-offs to one number at a time. Publications disagree, populations differ, and a narrow "
    "canal need not cause symptoms.",
    "Imaging is one part of an assessment; history and examination are not known here.",
)


def write_report(analysis: Analysis, path: str | Path, *, title: str = "Spine analysis") -> None:
    """Write the report as one HTML file that needs nothing else.

    :param path: the file; written only when the whole report is complete.
    :param title: heading and window title.
    """
    text = render_report(analysis, title=title)
    Path(path).write_text(text, encoding="utf-8", newline="\n")


def render_report(analysis: Analysis, *, title: str = "Spine analysis") -> str:
    """The report's HTML; the same for the same analysis."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["pretty"] = pretty_text
    environment.filters["placed"] = placed_by(analysis.spine)
    environment.filters["anchor"] = anchor
    return environment.get_template("report.html.j2").render(_context(analysis, title))


def placed_by(spine: Spine) -> Callable[[str], str]:
    """Adds places from below to names of levels where the names are provisional: "L4-L5 (2-1 from below)"."""
    places = from_below([v.level for v in spine.vertebrae]) if spine.provisional else {}

    def placed(name: str) -> str:
        known = [str(places[level]) for level in name.split("-") if level in places]
        return f"{name} ({'-'.join(known)} from below)" if known else name

    return placed


def _context(analysis: Analysis, title: str) -> dict[str, Any]:
    spine, references = analysis.spine, References()
    severities = level_severities(analysis.measurements)
    surface = SagittalSurface.of(spine)
    by_name = {str(level): severity for level, severity in severities.items()}
    with house_style():
        pictures = {"sagittal": sagittal_picture(spine, surface, severities),
                    "views": rendered_picture(spine, surface, severities),
                    "profiles": [profile_picture(table, analysis.measurements, by_name)
                                 for table in analysis.tables if table.key.endswith("_profile")],
                    "curvatures": curvature_pictures(spine, analysis.measurements, registry.definitions())}
    cards, others, footnotes = cards_of(analysis, references)
    families = [section for family in registry.families()
                if (section := family_section(family, analysis.measurements, references)) is not None]
    return {"title": title, "facts": _facts(analysis), "findings": analysis.findings,
            "explanations": analysis.explanations, "doubts": analysis.doubts,
            "leading_doubts": LEADING_DOUBTS, "limits": LIMITS, **pictures, "cards": cards, "others": others,
            "card_footnotes": footnotes, "heading": _heading(any(card.severity for card in cards), spine),
            "abnormal": any(card.severity for card in cards), "families": families,
            "methods": _methods(families, references), "references": references.listed(),
            "provenance": list(flattened(analysis.provenance)),
            "tones": {severity.name.lower(): tone for severity, tone in TONES.items()}}


def key_pictures(analysis: Analysis) -> list[tuple[str, Picture]]:
    """The pictures worth keeping on their own, each with its title: the spine from the side, and the worst levels."""
    spine, measurements = analysis.spine, analysis.measurements
    severities = level_severities(measurements)
    with house_style():
        whole = sagittal_picture(spine, SagittalSurface.of(spine), severities)
    worst = [section_at(place, measurements) for place in ranked(measurements)
             if place is not None and severities[place] > Severity.NORMAL][:MOST_OPEN]
    return [("spine", whole),
            *((f"{section.level}, {section.title(spine)}", made.picture) for section in worst if section
              for made in section_pictures(spine, section, registry.definitions())[:1])]


_ALIGNED = {"reference": "", "same frame": ", of the same session", "registered": ", registered"}


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    """What was analyzed, without names, dates or paths."""
    spine = analysis.spine
    first, last = spine.vertebrae[0].level, spine.vertebrae[-1].level
    facts = [("Levels", f"{first} to {last} ({len(spine.vertebrae)} vertebrae)")]
    if analysis.naming is not None:
        facts.append(("Names", analysis.naming.told))
    if not spine.scans:
        facts.append(("Scan", "none; measured on the segmentation alone"))
    for scan in spine.scans:
        kind = scan.name if scan.contrast else f"{scan.name}, unspecified contrast"
        facts.append(("Scan", f"{kind}, {_grid(scan.volume.spacing)}{_ALIGNED[scan.alignment]}"))
    facts.append(("Segmentation", f"{len(spine.labels.structures)} structures, {_grid(spine.labels.spacing)}"))
    return facts


def _heading(abnormal: bool, spine: Spine) -> str:
    """What the cards that lie open are."""
    if abnormal:
        return "Levels with an abnormal grade, the worst first"
    return "Narrowest level" if spine.canal is not None else "Levels"


def _grid(spacing: np.ndarray) -> str:
    return " × ".join(f"{s:.3g}" for s in spacing) + " mm"


def _methods(families: Sequence[FamilySection],
             references: References) -> list[tuple[str, list[tuple[str, str, int | None]]]]:
    """Definitions of what this report shows, by family, each with the number of its publication."""
    shown = {c.key for f in families for t in f.tables for row in t.rows for c in row.cells if c is not None}
    return [(family.title, [(d.title, d.definition, references.cite(d.source) if d.source else None)
                            for d in family.definitions if d.key in shown])
            for family in registry.families() if any(d.key in shown for d in family.definitions)]


def flattened(data: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested plain data as (dotted name, text) rows."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from flattened(value, f"{name}.{key}" if name else str(key))
    elif isinstance(data, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in data):
        for index, item in enumerate(data, start=1):
            yield from flattened(item, f"{name}.{index}")
    elif isinstance(data, (list, tuple)):
        yield name, ", ".join(map(str, data)) or "none"
    else:
        yield name, "none" if data in (None, "") else str(data)
