"""One measurement, as in the dictionary of measurements."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Segment, Side
from ..geometry.frames import Frame

GeometryType = Literal["point", "line", "angle", "contour", "curve", "plane"]


class Quality(StrEnum):
    GOOD = "good"
    LIMITED = "limited"  # outside the intended use: partial field of view, thick slices, uncertain level
    POOR = "poor"


class Severity(IntEnum):
    """How far from normal a grade is; orders levels in tables and findings."""

    NORMAL = 0
    MILD = 1
    MODERATE = 2
    SEVERE = 3


@dataclass(frozen=True, eq=False)
class Geometry:
    """What was measured, so that a scene can show it and a click can go there.

    :param points_RAS: (N, 3); a line has two, an angle three, a contour is closed.
    :param frame: the plane to look at it in (its R and A axes span the view).
    """

    type: GeometryType
    points_RAS: NDArray[np.floating]
    frame: Frame | None = None

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": self.type, "points_RAS": np.round(self.points_RAS, 3).tolist()}
        if self.frame is not None:
            out["plane"] = {name: np.round(getattr(self.frame, attribute), 5).tolist() for name, attribute in
                            (("origin_RAS", "origin"), ("right_RAS", "right"), ("anterior_RAS", "anterior"))}
        return out


@dataclass(frozen=True)
class Grade:
    """A published cut-off applied to one value.

    :param rule: name of the :class:`~.cutoffs.Cutoff`.
    """

    label: str
    cutoff: str
    source: str
    severity: Severity
    rule: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"label": self.label, "cutoff": self.cutoff, "source": self.source}


@dataclass(frozen=True, eq=False)
class Measurement:
    """One record.

    :param level: a vertebra, a motion segment or range, or ``None`` for what belongs to the whole spine.
    :param value: ``None`` where it cannot be measured; then a flag says why.
    :param uncertainty: one standard deviation, in ``unit``.
    :param unit: UCUM.
    :param grades: every published cut-off that applies; the first is the configured one.
    :param scan: name of the scan that it was measured on; ``None`` for what only the labels tell.
    :param others: the same by other scans of the visit, which this one leads.
    :param word: what a categorical value is called; its ``value`` is the number of the category.
    :param probabilities: word -> probability of every category that was weighed.
    """

    key: str
    level: Level | Segment | None
    value: float | None
    unit: str
    side: Side | None = None
    uncertainty: float | None = None
    quality: Quality = Quality.GOOD
    flags: tuple[str, ...] = ()
    grades: tuple[Grade, ...] = ()
    geometry: Geometry | None = None
    scan: str | None = None
    word: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    others: tuple["Measurement", ...] = ()

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.key} at {self.level}: {self.value} is not a measurement")
        if self.value is None and not self.flags:
            raise ValueError(f"{self.key} at {self.level}: a missing value needs a flag that says why")

    def __repr__(self) -> str:
        where = " ".join(str(part) for part in (self.level, self.side) if part is not None)
        spread = "" if self.uncertainty is None else f" ± {self.uncertainty:.3g}"
        value = "not measured" if self.value is None else self.word or f"{self.value:.4g}{spread} {self.unit}"
        told = ", ".join(filter(None, [value, self.grade.label if self.grade else "", *self.flags]))
        return f"<Measurement {self.key} at {where or 'the whole spine'}: {told}>"

    @property
    def grade(self) -> Grade | None:
        return self.grades[0] if self.grades else None

    @property
    def severity(self) -> Severity:
        return max((g.severity for g in self.grades), default=Severity.NORMAL)

    def as_dict(self) -> dict[str, Any]:
        """The JSON record."""
        return {
            "key": self.key, "level": None if self.level is None else str(self.level), "side": self.side,
            "value": _rounded(self.value), "word": self.word or None, "unit": self.unit,
            "uncertainty": _rounded(self.uncertainty),
            "probabilities": {word: round(share, 4) for word, share in self.probabilities.items()} or None,
            "quality": self.quality.value, "flags": list(self.flags), "scan": self.scan,
            "grade": self.grade.as_dict() if self.grade else None,
            "other_grades": [g.as_dict() for g in self.grades[1:]],
            "geometry": self.geometry.as_dict() if self.geometry else None,
            **({"other_scans": [other.as_dict() for other in self.others]} if self.others else {}),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True, eq=False)
class Table:
    """A measured curve: columns of equal length (such as the canal's profile).

    :param columns: column name with unit -> values over the first one; NaN where there is none.
    :param marks: level names at positions of the first column.
    :param points_RAS: (N, 3) where each row was measured.
    """

    key: str
    title: str
    columns: dict[str, NDArray[np.floating]]
    marks: dict[str, float] = field(default_factory=dict)
    points_RAS: NDArray[np.floating] | None = None

    def __repr__(self) -> str:
        return f"<Table {self.key}: {len(next(iter(self.columns.values()), []))} rows of {', '.join(self.columns)}>"

    @property
    def all_columns(self) -> dict[str, NDArray[np.floating]]:
        """The columns with the places between the first and the others."""
        if self.points_RAS is None:
            return self.columns
        (first, values), *others = self.columns.items()
        places = {f"{axis}_mm": column for axis, column in zip("RAS", self.points_RAS.T, strict=True)}
        return {first: values, **places, **dict(others)}
