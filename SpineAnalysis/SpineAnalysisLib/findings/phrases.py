"""Records as the phrases that a radiologist would write."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..anatomy import Level, Segment, Side
from ..measurements.flags import BROKEN, NEAR_CUTOFF
from ..measurements.record import Grade, Measurement, Severity
from ..measurements.registry import definitions

Records = Mapping[str, Measurement]

WORDS = {Severity.SEVERE: "severe", Severity.MODERATE: "moderate", Severity.MILD: "mild"}
STENOSIS_KEYS = ("canal_area", "canal_ap_diameter")
HERNIATION_KEYS = ("herniation_type", "herniation_zone", "herniation_side", "disc_bulge_depth",
                   "herniation_canal_fraction")
FORAMEN_KEYS = ("foramen_height", "foramen_width", "foramen_width_disc", "foramen_area", "foramen_fat_ratio")
RECESS_KEYS = ("lateral_recess_depth",)
_UNITS = {"mm": " mm", "mm2": " mm²", "mm3": " mm³", "deg": "°", "%": " %", "1": "", "[hnsf'U]": " HU"}
_BESIDE_CANAL = frozenset({"foraminal", "extraforaminal"})
"""Zones from which a disc takes nothing of the canal worth a number."""


@dataclass(frozen=True, eq=False)
class Phrase:
    """One finding at one place.

    :param records: what it says, the worst first.
    :param presses: whether it narrows a place of nerves, or may let bone give way.
    """

    text: str
    severity: Severity
    records: tuple[Measurement, ...]
    side: Side | None = None
    presses: bool = True

    @property
    def is_borderline(self) -> bool:
        return bool(borderline(self.records))


@dataclass(frozen=True)
class Topic:
    """Records of one place (and side) that are said together.

    :param say: from those of ``keys`` that exist, and all records of the spine, to a text; empty for nothing to say.
    :param anyway: whether it is said although no grade is abnormal, as a category that is no grade tells enough.
    :param presses: whether it narrows a place of nerves, or may let bone give way; signs of wear do not.
    """

    keys: tuple[str, ...]
    say: Callable[[Records, Sequence[Measurement]], str]
    anyway: bool = False
    presses: bool = True


def phrases(records: Sequence[Measurement], every: Sequence[Measurement] = ()) -> list[Phrase]:
    """What is abnormal among the records of one place, the worst first.

    Keys that no topic claims are said by their title, value and grade: a new family needs nothing here.

    :param every: all records of the spine.
    """
    found = [phrase for side in (None, "left", "right")
             for phrase in _of_side([r for r in records if r.side == side], every)]
    return sorted(found, key=lambda phrase: (-phrase.severity, not phrase.presses))


def _of_side(records: Sequence[Measurement], every: Sequence[Measurement]) -> Iterator[Phrase]:
    by_key = {record.key: record for record in records if record.value is not None}
    for topic in TOPICS:
        mine = {key: by_key[key] for key in topic.keys if key in by_key}
        severity = max((record.severity for record in mine.values()), default=Severity.NORMAL)
        if mine and (severity > Severity.NORMAL or topic.anyway):
            text = topic.say(mine, every)
            if text:
                yield replace(_phrase(text, severity, mine.values()), presses=topic.presses)
    claimed = {key for topic in TOPICS for key in topic.keys}
    for key, record in by_key.items():
        if key not in claimed and record.severity > Severity.NORMAL:
            side = f"{record.side} " if record.side else ""
            yield _phrase(f"{borderline([record])}{side}{measured(record)}", record.severity, [record])


def _phrase(text: str, severity: Severity, records: Iterable[Measurement]) -> Phrase:
    listed = tuple(sorted(records, key=lambda record: -record.severity))
    return Phrase(text, severity, listed, listed[0].side)


def worst(record: Measurement) -> Grade | None:
    return max(record.grades, key=lambda grade: grade.severity, default=None)


def value(record: Measurement, signed: bool = False) -> str:
    """A number with its uncertainty and unit, or a category's word."""
    if record.word:
        return record.word
    definition = definitions().get(record.key)
    digits = definition.decimals if definition else 1
    number = record.value or 0.0
    text = f"{number if signed else abs(number):.{digits}f}"
    spread = "" if record.uncertainty is None else f" ± {record.uncertainty:.{digits}f}"
    return f"{text}{spread}{_UNITS.get(record.unit, ' ' + record.unit)}"


def title(key: str) -> str:
    """How people call a measurement within a sentence."""
    definition = definitions().get(key)
    return definition.noun if definition else key.replace("_", " ")


def measured(record: Measurement, name: str = "") -> str:
    """``area 82 ± 5 mm² (stenosis, < 100 mm²)``."""
    grade = worst(record)
    graded = "" if grade is None else f" ({grade.label}, {_pretty(grade.cutoff)})"
    return f"{name or title(record.key)} {value(record, signed=True)}{graded}"


def borderline(records: Sequence[Measurement]) -> str:
    """How certain what is worst is: within its uncertainty of a cut-off, of a broken outline, or neither."""
    most = max(record.severity for record in records)
    worst_ones = [record for record in records if record.severity == most]
    if any(BROKEN in record.flags for record in worst_ones):
        return "possible "
    return "borderline " if all(NEAR_CUTOFF in record.flags for record in worst_ones) else ""


def _pretty(cutoff: str) -> str:
    return cutoff.replace("mm2", "mm²").replace(" deg", "°")


def _abnormal(records: Records) -> list[Measurement]:
    return [record for record in records.values() if record.severity > Severity.NORMAL]


def _stenosis(records: Records, _: Sequence[Measurement]) -> str:
    if not all(isinstance(record.level, Segment) for record in records.values()):
        return ", ".join(f"{borderline([record])}{measured(record)}" for record in _abnormal(records))
    bad = sorted(_abnormal(records), key=lambda record: -record.severity)  # first what makes it severe
    names = {"canal_area": "area", "canal_ap_diameter": "AP diameter"}
    said = ", ".join(measured(record, names[record.key]) for record in bad)
    return f"{borderline(bad)}{WORDS[bad[0].severity]} central stenosis{_led_by(bad)}, {said}"


def _led_by(records: Sequence[Measurement]) -> str:
    """The scan that leads where several of the visit show a place."""
    scans = {record.scan for record in records if record.others}
    return f" on {next(iter(scans))}" if len(scans) == 1 else ""


def _herniation(records: Records, _: Sequence[Measurement]) -> str:
    """``left subarticular protrusion, 5.0 ± 0.6 mm, 35 ± 5 % of the canal (moderate)``."""
    kind = records.get("herniation_type")
    if kind is None or not kind.word or kind.word == "none":
        return ""
    place = {key: records[key].word for key in ("herniation_side", "herniation_zone") if key in records}
    words = list(dict.fromkeys(word for word in place.values() if word))
    if len(words) > 1:
        words = [word for word in words if word != "central"] or words
    noun = f"disc {kind.word}" if kind.word == "bulge" else kind.word
    parts = [f"{borderline([kind])}{' '.join([*words, noun])}"]
    if "disc_bulge_depth" in records:
        parts.append(value(records["disc_bulge_depth"]))
    taken = records.get("herniation_canal_fraction")
    if taken is not None and not _BESIDE_CANAL.intersection(words):
        grade = f" ({taken.grade.label})" if taken.grade else ""
        parts.append(f"{value(taken)} of the canal{grade}")
    return ", ".join(parts)


def _degeneration(records: Records, _: Sequence[Measurement]) -> str:
    grade = records.get("pfirrmann_grade")
    if grade is None:
        return ", ".join(measured(record) for record in _abnormal(records))
    share = grade.probabilities.get(grade.word)
    sure = "" if share is None else f" ({share:.0%})"
    return f"{borderline([grade])}disc degeneration, Pfirrmann {grade.word or value(grade)}{sure}"


def _modic(records: Records, _: Sequence[Measurement]) -> str:
    (record,) = records.values()
    word = record.word or value(record)
    return "" if word in ("", "0", "none") else f"Modic type {word} endplate change"


def _foramen(records: Records, _: Sequence[Measurement]) -> str:
    bad = _abnormal(records)
    said = ", ".join(measured(record, title(record.key).removeprefix("foramen ")) for record in bad)
    return f"{borderline(bad)}{WORDS[max(record.severity for record in bad)]} {bad[0].side} foraminal stenosis, {said}"


def _recess(records: Records, _: Sequence[Measurement]) -> str:
    (record,) = records.values()
    grade = worst(record)
    assert grade is not None
    return f"{borderline([record])}{record.side} {grade.label}, {value(record)} ({_pretty(grade.cutoff)})"


def _fracture(records: Records, _: Sequence[Measurement]) -> str:
    (record,) = records.values()
    against = "its neighbors" if "loss_against_neighbors" in record.flags else "its posterior height"
    grade = worst(record)
    assert grade is not None
    return f"{borderline([record])}height loss of {value(record)} against {against} ({grade.label}, {grade.cutoff})"


def _slip(records: Records, _: Sequence[Measurement]) -> str:
    record, share = records.get("vertebra_slip"), records.get("vertebra_slip_percent")
    if record is None:
        return ""
    name = "anterolisthesis" if (record.value or 0.0) > 0 else "retrolisthesis"
    grade = "" if share is None or share.grade is None else f", {value(share)} ({share.grade.label})"
    return f"{borderline([record])}{name} of {value(record)}{grade}"


def _curve(records: Records, every: Sequence[Measurement]) -> str:
    (record,) = records.values()
    assert isinstance(record.level, Segment) and record.grade is not None
    apex = next((m.level for m in every if m.key == "curve_apex_deviation" and m.side == record.side
                 and isinstance(m.level, Level) and record.level.upper <= m.level <= record.level.lower), None)
    named = "" if apex is None else f", apex {apex}"
    return (f"coronal curve convex to the {record.side}, Cobb angle {value(record)}{named} "
            f"({borderline([record])}{record.grade.label}), lying down")


def _density(records: Records, _: Sequence[Measurement]) -> str:
    (record,) = records.values()
    grade = worst(record)
    assert grade is not None
    return f"{borderline([record])}{grade.label}, {value(record)} ({grade.cutoff})"


TOPICS: tuple[Topic, ...] = (
    Topic(STENOSIS_KEYS, _stenosis),
    Topic(HERNIATION_KEYS, _herniation, anyway=True),
    Topic(RECESS_KEYS, _recess),
    Topic(FORAMEN_KEYS, _foramen),
    Topic(("vertebra_slip", "vertebra_slip_percent"), _slip),
    Topic(("vertebral_height_loss",), _fracture),
    Topic(("cobb_angle",), _curve),
    Topic(("pfirrmann_grade", "disc_desiccation", "disc_signal_ratio"), _degeneration, presses=False),
    Topic(("modic_type",), _modic, anyway=True, presses=False),
    Topic(("trabecular_density",), _density),
)


def place_of(level: Level | Segment) -> tuple[int, int]:
    """Head to foot, a vertebra before the segment below it."""
    return (int(level.upper), int(level.lower)) if isinstance(level, Segment) else (int(level), 0)
