"""The tidy table of a cohort: one row for every measurement of every study, as CSV and as Parquet."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..labeling.label import Certainty
from ..labeling.naming import Source
from ..measurements.flags import FLAGS, meaning
from ..measurements.record import Quality
from ..measurements.registry import definitions
from .place import Place, write_whole
from .study import Study

TABLE = "measurements"
DICTIONARY = "columns.json"
_LIST_SEPARATOR = "; "

Row = dict[str, Any]
_Type = Literal["text", "number"]


@dataclass(frozen=True)
class Column:
    """:param values: what its words mean, where it has few."""

    name: str
    type: _Type
    description: str
    values: Mapping[str, str] | None = None


def columns() -> tuple[Column, ...]:
    """Every column, in order."""
    defined = definitions().values()
    keys = {d.key: f"{d.title}: {d.definition}" + (f" Unit: {d.unit}." if d.unit != "1" else "") for d in defined}
    flags = {name: meaning(name) for name in FLAGS}
    qualities = {Quality.GOOD: "as intended", Quality.LIMITED: "outside the intended use, see flags",
                 Quality.POOR: "not to be relied on, see flags"}
    return (
        Column("participant_id", "text", "BIDS label of the participant"),
        Column("session_id", "text", "BIDS label of the session; empty where there are none"),
        Column("age", "number", "Years, from participants.tsv or the list"),
        Column("sex", "text", "From participants.tsv or the list", {s: s for s in ("female", "male", "other")}),
        Column("modality", "text", "Of the scan that was segmented", {"MR": "magnetic resonance",
                                                                      "CT": "computed tomography"}),
        Column("segmentation", "text", "The engine that made the segmentation, or 'given'"),
        Column("key", "text", "What was measured", keys),
        Column("title", "text", "The same in words"),
        Column("level", "text", "Vertebra (L4), motion segment (L4-L5) or range (L1-S1); empty for the whole spine"),
        Column("side", "text", "The patient's; empty for what has none", {"left": "left", "right": "right"}),
        Column("value", "number", "In the column unit; empty where it could not be measured, and flags say why"),
        Column("word", "text", "What the value of a category is called"),
        Column("unit", "text", "UCUM; 1 for ratios and categories"),
        Column("uncertainty", "number", "One standard deviation of the measurement, in the same unit"),
        Column("quality", "text", "How far the measurement is within its intended use",
               {str(key): text for key, text in qualities.items()}),
        Column("flags", "text", "What limits the measurement, separated by semicolons", flags),
        Column("scan", "text", "The scan whose intensities were measured; empty for what labels alone tell"),
        Column("grade", "text", "What the publication in the column source calls the value"),
        Column("cutoff", "text", "The cut-off that the grade follows from"),
        Column("source", "text", "The publication of the cut-off"),
        Column("version", "text", "Of Spine Analysis"),
    )


@dataclass(frozen=True)
class Result:
    """One study that is done.

    :param rows: of the table; :param levels: of the vertebrae, head to foot.
    :param provisional: whether the levels' names are; :param doubtful: whether other names are nearly as likely.
    :param files: how a result is called in the folder of the cohort, by the end of its name.
    """

    study: Study
    rows: tuple[Row, ...]
    levels: tuple[str, ...]
    provisional: bool
    doubtful: bool
    doubts: tuple[str, ...]
    modality: str
    files: Mapping[str, str]


def result_of(study: Study, place: Place) -> Result | None:
    """What a study's files tell; ``None`` where it is not done.

    :raises InputError: where they cannot be read.
    """
    record = place.recorded(study)
    if record is None or record.state != "done":
        return None
    path = place.file(study, record, "measurements.json")
    try:
        content = json.loads(path.read_text("utf-8"))
        provenance = content["provenance"]
        modality = "CT" if provenance["contrast"] == "CT" else "MR"
        made = (provenance.get("engine") or {}).get("engine", "given")
        rows = tuple(_row(study, each, modality, made, provenance["version"]) for each in content["records"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}); remove it and run again.") from None
    files = {end: place.file(study, record, end).relative_to(place.root).as_posix()
             for end in ("report.html", "thumbnail.png")}
    levels = tuple(dict.fromkeys(row["level"] for row in rows if row["level"] and "-" not in row["level"]))
    named = provenance["levels"]
    doubtful = named["named_by"] == Source.ANATOMY.value and named["anatomy"]["certainty"] == Certainty.DOUBTFUL.value
    return Result(study, rows, levels, named["provisional"], doubtful, tuple(content["doubts"]), modality, files)


def _row(study: Study, record: Mapping[str, Any], modality: str, made: str, version: str) -> Row:
    grade = record["grade"] or {}
    defined = definitions().get(record["key"])
    return {
        "participant_id": f"sub-{study.subject}", "session_id": f"ses-{study.session}" if study.session else None,
        "age": study.person.age, "sex": study.person.sex or None, "modality": modality, "segmentation": made,
        "key": record["key"], "title": defined.title if defined else record["key"], "level": record["level"],
        "side": record["side"], "value": record["value"], "word": record["word"], "unit": record["unit"],
        "uncertainty": record["uncertainty"], "quality": record["quality"],
        "flags": _LIST_SEPARATOR.join(record["flags"]) or None, "scan": record["scan"],
        "grade": grade.get("label"), "cutoff": grade.get("cutoff"), "source": grade.get("source"), "version": version}


def write_tables(results: Sequence[Result], folder: Path) -> None:
    """``measurements.csv``, ``measurements.parquet`` and the dictionary of their columns, each whole or not at all.

    :raises InputError: where pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    named = columns()
    rows = [row for result in results for row in result.rows]
    with _whole(folder / f"{TABLE}.csv") as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [c.name for c in named], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    types = {"text": arrow.string(), "number": arrow.float64()}
    schema = arrow.schema([arrow.field(c.name, types[c.type], metadata={"description": c.description}) for c in named])
    with _whole(folder / f"{TABLE}.parquet") as path:
        parquet.write_table(arrow.Table.from_pylist(rows, schema), path)
    told = {c.name: {"Description": c.description, **({"Levels": dict(c.values)} if c.values else {})} for c in named}
    write_whole(folder / DICTIONARY, json.dumps(told, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path to write to, whose file takes this place at the end."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError('Parquet needs pyarrow: install it with pip install "spine-analysis[cohort]".') from None
    return pyarrow, pyarrow.parquet
