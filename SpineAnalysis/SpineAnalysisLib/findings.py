"""What a reader should know first, in sentences."""

from collections.abc import Callable, Mapping, Sequence

from .anatomy import Level, Segment
from .measurements.flags import NEAR_CUTOFF
from .measurements.record import Measurement, Severity
from .spine import Spine

_WORD = {Severity.SEVERE: "severe", Severity.MODERATE: "moderate", Severity.MILD: "mild"}
STENOSIS_KEYS = ("canal_area", "canal_ap_diameter")


def central_stenosis(measurements: Sequence[Measurement]) -> dict[Segment, tuple[Severity, list[Measurement]]]:
    """How narrow the canal is at each segment that was graded, and by which records, the worst segment first."""
    found: dict[Segment, tuple[Severity, list[Measurement]]] = {}
    for record in measurements:
        if record.key in STENOSIS_KEYS and isinstance(record.level, Segment) and record.grades:
            severity, records = found.get(record.level, (Severity.NORMAL, []))
            found[record.level] = (max(severity, record.severity), [*records, record])
    return dict(sorted(found.items(), key=lambda item: (-item[1][0], item[1][1][0].value or 0.0)))


def sentences(spine: Spine, measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """Findings, the worst first."""
    graded = central_stenosis(measurements)
    found = [(severity, _stenosis(level, severity, records)) for level, (severity, records) in graded.items()
             if severity > Severity.NORMAL]
    stenotic = bool(found)
    found += [(record.severity, _SENTENCES[record.key](record, measurements)) for record in measurements
              if record.key in _SENTENCES and record.severity > Severity.NORMAL]
    out = [sentence for _, sentence in sorted(found, key=lambda item: -item[0])]
    if graded and not stenotic:
        first, last = min(graded), max(graded)
        what = "bony central stenosis" if spine.canal is not None and spine.canal.derived else "central stenosis"
        out.append(f"No {what} by the cut-offs used, {first.upper} to {last.lower}.")
    out += [_narrowest(measurements)] if not graded else []
    return tuple(sentence for sentence in out if sentence)


def _stenosis(level: Segment, severity: Severity, records: Sequence[Measurement]) -> str:
    reasons = []
    for record in records:
        worst = max(record.grades, key=lambda g: g.severity)
        if worst.severity > Severity.NORMAL:
            name, digits, unit = ("area", 0, "mm²") if record.key == "canal_area" else ("AP diameter", 1, "mm")
            spread = "" if record.uncertainty is None else f" ± {record.uncertainty:.{digits}f}"
            cutoff = worst.cutoff.replace("mm2", "mm²")
            reasons.append(f"{name} {record.value:.{digits}f}{spread} {unit} ({worst.label}, {cutoff})")
    worst_records = [record for record in records if record.severity == severity]
    borderline = "borderline " if all(NEAR_CUTOFF in record.flags for record in worst_records) else ""
    return f"{level}: {borderline}{_WORD[severity]} central stenosis, {'; '.join(reasons)}."


def _said(record: Measurement, unit: str, digits: int) -> str:
    """The size of a value with its uncertainty; words around it say its direction."""
    spread = "" if record.uncertainty is None else f" ± {record.uncertainty:.{digits}f}"
    return f"{abs(record.value or 0.0):.{digits}f}{spread}{unit}"


def _borderline(record: Measurement) -> str:
    return "borderline " if NEAR_CUTOFF in record.flags else ""


def _fracture(record: Measurement, _: Sequence[Measurement]) -> str:
    against = "its neighbors" if "loss_against_neighbors" in record.flags else "its posterior height"
    grade = max(record.grades, key=lambda g: g.severity)
    return f"{record.level}: {_borderline(record)}height loss of {_said(record, ' %', 0)} against {against} " \
           f"({grade.label}, {grade.cutoff})."


def _slip(record: Measurement, measurements: Sequence[Measurement]) -> str:
    name = "anterolisthesis" if (record.value or 0.0) > 0 else "retrolisthesis"
    share = next((m for m in measurements if m.key == "vertebra_slip_percent" and m.level == record.level), None)
    grade = "" if share is None or share.grade is None else f", {_said(share, ' %', 0)} ({share.grade.label})"
    return f"{record.level}: {_borderline(record)}{name} of {_said(record, ' mm', 1)}{grade}."


def _scoliosis(record: Measurement, measurements: Sequence[Measurement]) -> str:
    assert isinstance(record.level, Segment) and record.grade is not None
    apex = next((m.level for m in measurements if m.key == "curve_apex_deviation" and m.side == record.side
                 and isinstance(m.level, Level) and record.level.upper <= m.level <= record.level.lower), None)
    named = "" if apex is None else f", apex {apex}"
    return (f"{record.level}: coronal curve convex to the {record.side}, Cobb angle {_said(record, '°', 0)}{named} "
            f"({_borderline(record)}{record.grade.label}), lying down.")


_SENTENCES: Mapping[str, Callable[[Measurement, Sequence[Measurement]], str]] = {
    "vertebral_height_loss": _fracture, "vertebra_slip": _slip, "cobb_angle": _scoliosis}
"""What says a graded record; stenosis is said for several records of a segment at once."""


def _narrowest(measurements: Sequence[Measurement]) -> str:
    areas = [m for m in measurements if m.key in ("canal_area", "cord_area") and m.value is not None
             and isinstance(m.level, Segment)]
    if not areas:
        return ""
    first = areas[0].key
    least = min((m for m in areas if m.key == first), key=lambda m: m.value or 0.0)
    return (f"The {'canal' if first == 'canal_area' else 'cord'} is smallest at {least.level}, {least.value:.0f} mm²; "
            "no published cut-off applies to these levels.")


LOWEST_USUAL_CORD = Level.L2
"""The conus lies at L1-L2 in most adults (Saifuddin et al., Spine 1998;23:1452-1456)."""


def _low_cord(spine: Spine) -> str:
    """A doubt about a cord where there is none in most people."""
    if spine.cord is None:
        return ""
    below = [v.level for v in spine.vertebrae if v.level > LOWEST_USUAL_CORD and v.canal_s is not None
             and spine.cord.complete[spine.cord.nearest(v.canal_s)]]
    return f"A cord is labeled at {below[0]}, where few people have one: check the names of the levels, or the label." \
        if below else ""


def doubts(spine: Spine, notes: Sequence[str]) -> tuple[str, ...]:
    """What limits the result, the gravest first."""
    out = []
    if spine.provisional and not any(note.startswith("Levels are provisional") for note in notes):
        out.append("Levels are provisional: the segmentation does not show where to count from, so every level may be "
                   "off by one or more.")
    if spine.canal is None:
        out.append("No canal is labeled and none could be derived; only the cord was measured.")
    elif spine.canal.derived:
        out.append("The canal was derived from the vertebral arches: it is the bony canal, without discs, ligaments "
                   "and fat, so soft-tissue stenosis is not seen.")
    if spine.image is None:
        out.append("There is no scan, only a segmentation: nothing about signal was measured and pictures show labels.")
    out.append(_low_cord(spine))
    return tuple(doubt for doubt in (*out, *spine.notes, *notes) if doubt)
