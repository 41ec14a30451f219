"""An analysis as a text in the scene: what a panel shows again after the scene was saved and loaded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..analysis import Analysis
from ..anatomy import Level, Segment
from ..geometry.frames import Frame
from ..measurements.record import Geometry, Grade, Measurement, Quality, Severity
from .results import ResultFolder, find_result

ROLE = "memory"


@dataclass(frozen=True)
class LevelName:
    """One vertebra's name and how sure it is.

    :param probability: of the name by the spine's anatomy; ``None`` where that does not tell.
    :param other: the next likely name, and its probability.
    """

    level: Level
    probability: float | None = None
    other: Level | None = None
    other_probability: float | None = None
    provisional: bool = False


@dataclass(frozen=True, eq=False)
class Memory:
    """What is left of an analysis in its scene: everything but the spine itself."""

    measurements: tuple[Measurement, ...]
    findings: tuple[str, ...]
    doubts: tuple[str, ...]
    names: tuple[LevelName, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def memory_of(analysis: Analysis, names: Sequence[LevelName] = ()) -> Memory:
    return Memory(analysis.measurements, analysis.findings, analysis.doubts, tuple(names), analysis.provenance)


def remember(folder: ResultFolder, memory: Memory, subfolder: int) -> Any:
    """Add a text node that :func:`recall` reads."""
    node = folder.add("vtkMRMLTextNode", "Analysis record", ROLE, subfolder)
    node.SetText(json.dumps({
        "findings": memory.findings, "doubts": memory.doubts, "provenance": dict(memory.provenance),
        "names": [_name_as_dict(name) for name in memory.names],
        "records": [_as_dict(m) for m in memory.measurements]}, ensure_ascii=False, allow_nan=False))
    return node


def recall(scene: Any, name: str) -> Memory | None:
    """What a scene remembers of the analysis of a name; ``None`` where it has none, or its text was changed."""
    node = find_result(scene, name, ROLE)
    try:
        data = json.loads(node.GetText()) if node is not None else None
        if data is None:
            return None
        return Memory(tuple(_measurement(d) for d in data["records"]), tuple(data["findings"]), tuple(data["doubts"]),
                      tuple(_name(d) for d in data["names"]), data["provenance"])
    except (KeyError, TypeError, ValueError):
        return None


def place(name: str) -> Level | Segment:
    """``"L4"`` or ``"L4-L5"``.

    :raises KeyError: for what is no level.
    """
    upper, _, lower = name.partition("-")
    return Segment(Level[upper], Level[lower]) if lower else Level[upper]


def _as_dict(record: Measurement) -> dict[str, Any]:
    return {**record.as_dict(), "severities": [int(grade.severity) for grade in record.grades],
            "rules": [grade.rule for grade in record.grades],
            "other_scans": [_as_dict(other) for other in record.others]}


def _measurement(data: Mapping[str, Any]) -> Measurement:
    grades = [g for g in (data["grade"], *data["other_grades"]) if g is not None]
    return Measurement(
        data["key"], place(data["level"]) if data["level"] else None, data["value"], data["unit"], data["side"],
        data["uncertainty"], Quality(data["quality"]), tuple(data["flags"]),
        tuple(Grade(g["label"], g["cutoff"], g["source"], Severity(severity), rule)
              for g, severity, rule in zip(grades, data["severities"], data["rules"], strict=True)),
        _geometry(data["geometry"]), data["scan"], data.get("word") or "", data.get("probabilities") or {},
        tuple(_measurement(other) for other in data.get("other_scans", ())))


def _geometry(data: Mapping[str, Any] | None) -> Geometry | None:
    if data is None:
        return None
    plane = data.get("plane")
    frame = None
    if plane is not None:
        right, anterior = np.array(plane["right_RAS"], float), np.array(plane["anterior_RAS"], float)
        frame = Frame(np.array(plane["origin_RAS"], float), right, anterior, np.cross(right, anterior))
    return Geometry(data["type"], np.array(data["points_RAS"], float).reshape(-1, 3), frame)


def _name_as_dict(name: LevelName) -> dict[str, Any]:
    return {"level": str(name.level), "probability": name.probability, "provisional": name.provisional,
            "other": None if name.other is None else str(name.other), "other_probability": name.other_probability}


def _name(data: Mapping[str, Any]) -> LevelName:
    other = data["other"]
    return LevelName(Level[data["level"]], data["probability"], Level[other] if other else None,
                     data["other_probability"], data["provisional"])
