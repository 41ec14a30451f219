"""Volumes in, a measured spine out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from . import __version__
from .anatomy import CanalMeaning
from .build import build_spine
from .contrast import guess_contrast
from .errors import InputError
from .findings import Explanation, LevelFinding, Symptom, doubts, explain, level_findings, sentences, symptom_of
from .labeling.label import Anchor, Numbering
from .labeling.naming import PROVISIONAL, Naming, Source, name_levels
from .measurements.cutoffs import regraded, surely_graded
from .measurements.listing import Listing
from .measurements.record import Measurement, Table
from .measurements.registry import cutoffs, definitions, families
from .progress import Progress, part, silent, step
from .spine import Chances, Contrast, Scan, Spine, VisitScan
from .visit.align import Segmenter, align
from .volume import LabelMap, Volume


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything that one run found.

    :param findings: sentences, the worst first.
    :param doubts: sentences about what limits the result: provisional levels, derived structures, partial view.
    :param levels: what is abnormal, by level, the worst first.
    :param explanations: places that could explain the symptom that was named, the best supported first.
    :param provenance: versions, parameters, inputs, how levels were named (plain data, JSON-ready).
    :param naming: where the levels' names come from, and what else they could be.
    """

    spine: Spine
    measurements: tuple[Measurement, ...]
    tables: tuple[Table, ...]
    findings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[LevelFinding, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    naming: Naming | None = None

    def __repr__(self) -> str:
        first = self.findings[0] if self.findings else "nothing crosses a cut-off."
        return f"<Analysis of {self.spine!r}: {len(self.measurements)} measurements; {first}>"

    def measurement(self, key: str, level: str, side: str | None = None) -> Measurement | None:
        """The record of a key at a level such as ``"L4"`` or ``"L4-L5"``; ``None`` where it was not measured.

        :raises InputError: for a key that no record has, and none of the registry.
        """
        if key not in definitions() and all(m.key != key for m in self.measurements):
            near = get_close_matches(key, definitions(), n=1)
            raise InputError(f"There is no measurement {key}; " + (f"did you mean {near[0]}?" if near else
                                                                   "table() lists all that there are."))
        return next((m for m in self.measurements if (m.key, str(m.level), m.side) == (key, level, side)), None)

    def table(self) -> Listing:
        """All records as rows (a list of dictionaries) that print as a table, head to foot."""
        return Listing.of(self.measurements)


def analyze(image: Volume | None, labels: LabelMap, *, contrast: Contrast | None = None, levels_known: bool = True,
            canal_means: CanalMeaning = "", notes: Sequence[str] = (), anchors: Sequence[Anchor] = (),
            numbering: Numbering | None = None, further: Sequence[VisitScan] = (), frame: str = "",
            segment: Segmenter | None = None, symptom: str = "",
            parameters: Mapping[str, Mapping[str, Any]] | None = None,
            only: Collection[str] | None = None, limits: Mapping[str, Sequence[float]] | None = None,
            provenance: Mapping[str, Any] | None = None,
            progress: Progress = silent) -> Analysis:
    """Model and measure a labeled spine.

    :param image: the scan, on any grid in the same patient space; ``None`` measures the labels' geometry alone.
    :param contrast: what kind of image it is; guessed (and flagged) when not given.
    :param levels_known: whether the labels' level names can be relied on; otherwise the anatomy names them where it
        can.
    :param canal_means: what the labeled canal's outline follows, where that is known.
    :param notes: doubts from reading the input.
    :param anchors: vertebrae that people have named; they overrule the labels' names.
    :param numbering: where people want levels counted from, instead of the labels' names.
    :param further: the visit's other scans; they are brought to where the labels are, or refused.
    :param frame: identifies the coordinate system of the scanner that made the scan, where that is known.
    :param segment: labels further scans that are not found where they lie, so that they can be registered.
    :param symptom: a dermatome and a side, as in "L5 left", to tell which levels could explain it.
    :param parameters: family name -> values that override the family's defaults.
    :param only: names of the families to measure; ``None`` measures all.
    :param limits: name of a published cut-off -> a user's own limits instead of its.
    :param provenance: of the inputs; versions and parameters are added.
    :raises InputError: for labels that cannot be measured, and for further scans that do not fit.
    :raises Cancelled: by ``progress``.
    """
    felt = symptom_of(symptom) if symptom else None
    naming = name_levels(labels, levels_known, anchors, numbering)
    spine = build_spine(naming.labels, image, contrast, naming.provisional, canal_means, part(progress, 0.0, 0.6))
    spine, naming = replace(spine, chances=naming.chances), naming.checked(spine)
    if naming.source is not Source.SEGMENTATION:
        notes = [note for note in notes if not note.startswith(PROVISIONAL)]
    notes = (*naming.notes, *notes)
    if contrast is None and image is not None:
        guessed = guess_contrast(spine, spine.scans[0])
        spine = replace(spine, contrast=guessed, contrast_guessed=guessed is not None)
    share = 0.6 if not further else 0.75
    spine = align(spine, further, frame, segment, part(progress, 0.6, share))
    measurements, tables, used, left_out = _measured(spine, parameters or {}, only, part(progress, share, 1.0))
    notes = (*notes, *left_out)
    measurements = _graded(measurements, limits or {}, spine.chances)
    step(progress, 1.0, "Measured")
    explained = explain(felt, [v.level for v in spine.vertebrae], measurements) if felt else ()
    notes = (*notes, *_about(felt, explained, spine))
    record = {"version": __version__, "contrast": spine.contrast, "contrast_guessed": spine.contrast_guessed,
              "scans": [_provenance(scan) for scan in spine.scans], "symptom": str(felt) if felt else None,
              "canal_means": spine.canal_meaning, "parameters": used,
              "limits": {name: list(own) for name, own in (limits or {}).items()},
              "levels": naming.as_dict(), **(provenance or {})}
    return Analysis(spine, tuple(measurements), tuple(tables), sentences(spine, measurements),
                    doubts(spine, notes, measurements), record, level_findings(measurements), explained, naming)


def _measured(spine: Spine, parameters: Mapping[str, Mapping[str, Any]], only: Collection[str] | None,
              progress: Progress) -> tuple[list[Measurement], list[Table], dict[str, Mapping[str, Any]], list[str]]:
    """Records and tables of the wanted families, the parameters that each was measured with, and what they note."""
    wanted = [family for family in families() if only is None or family.name in only]
    measurements: list[Measurement] = []
    tables: list[Table] = []
    used: dict[str, Mapping[str, Any]] = {}
    notes: list[str] = []
    for i, family in enumerate(wanted):
        settings = {**family.defaults, **parameters.get(family.name, {})}
        result = family.compute(spine, settings, part(progress, i / len(wanted), (i + 1) / len(wanted)))
        measurements += result.measurements
        tables += result.tables
        notes += result.notes
        used[family.name] = settings
    return measurements, tables, used, notes


def _graded(measurements: list[Measurement], limits: Mapping[str, Sequence[float]], chances: Chances | None
            ) -> list[Measurement]:
    """Records by a user's own limits, and without grades that only a name in doubt would give."""
    rules = {**cutoffs(), **{name: cutoffs()[name].with_limits(own) for name, own in limits.items()}}
    if limits:
        measurements = [regraded(m, rules) for m in measurements]
    return measurements if chances is None else [surely_graded(m, rules, chances) for m in measurements]


def _about(felt: Symptom | None, explained: Sequence[Explanation], spine: Spine) -> Iterator[str]:
    """What limits the explanations of a symptom."""
    if felt and not explained:
        yield f"No level that could explain {felt} is in view."
    elif felt and spine.provisional:
        yield f"Where pain of {felt} could come from follows from the levels' names, which are provisional."


def _provenance(scan: Scan) -> dict[str, Any]:
    """How a scan was used."""
    return {"name": scan.name, "contrast_guessed": scan.contrast_guessed, "alignment": scan.alignment,
            "residual_mm": None if scan.residual_mm is None else round(scan.residual_mm, 2),
            "registered_at": len(scan.motions)}
