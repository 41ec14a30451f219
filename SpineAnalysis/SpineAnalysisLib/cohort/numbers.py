"""What the measurements of many people have in common, and which stand out.

One study of each participant enters (the first session), so that values are independent.  Left out are values of poor
quality, and levels whose names are provisional, since they would be compared with other levels.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from ..anatomy import Level, Segment, successors
from ..measurements.cutoffs import Cutoff
from ..measurements.record import Severity
from ..measurements.registry import Definition, cutoffs, definitions
from ..report.tables import level_order
from .rows import Result, Row

Where = Literal["discs", "vertebrae", "ranges"]

FEWEST_FOR_OUTLIERS = 10
OUTLIER_SCORE = 3.5
"""Of the modified z-score (Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993)."""
FEWEST_FOR_AGE = 10

_NORMAL_SD_PER_MAD = 1.4826
_95 = NormalDist().inv_cdf(0.975)
_PROVISIONAL = "level_provisional"
_OWN_PLACE = {"cobb_angle": "largest curve", "curve_apex_deviation": "largest curve"}
"""What lies at other levels in everybody is compared by its greatest value in each."""


@dataclass(frozen=True)
class Share:
    """:param low, high: 95 % confidence interval, 0..1 (Wilson, J Am Stat Assoc 1927;22:209-212)."""

    count: int
    of: int
    low: float
    high: float

    @staticmethod
    def wilson(count: int, of: int) -> "Share":
        share, z2 = count / of, _95**2
        middle = (share + z2 / (2 * of)) / (1 + z2 / of)
        half = _95 * np.sqrt(share * (1 - share) / of + z2 / (4 * of**2)) / (1 + z2 / of)
        return Share(count, of, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its 95 % confidence interval.

    Source: Bonett and Wright, Psychometrika 2000;65:23-28.
    """

    rho: float
    low: float
    high: float
    n: int

    @staticmethod
    def spearman(x: np.ndarray, y: np.ndarray) -> "Correlation | None":
        """``None`` for too few pairs, or where one does not vary."""
        if len(x) < FEWEST_FOR_AGE or np.ptp(x) == 0 or np.ptp(y) == 0:
            return None
        from scipy.stats import rankdata

        rho = float(np.clip(np.corrcoef(rankdata(x), rankdata(y))[0, 1], -1.0, 1.0))
        if abs(rho) > 1 - 1e-12:
            return Correlation(rho, rho, rho, len(x))
        half = _95 * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
        return Correlation(rho, float(np.tanh(np.arctanh(rho) - half)), float(np.tanh(np.arctanh(rho) + half)), len(x))


@dataclass(frozen=True)
class Outlier:
    row: Row
    score: float
    median: float


@dataclass(frozen=True)
class Cell:
    """One measurement at one level and side, over all participants.

    :param rows: that were counted; :param missing: studies where it could not be measured or was of poor quality.
    :param values: of the rows; :param beyond: how many a published cut-off calls abnormal, where one applies.
    :param rule: that cut-off.
    """

    level: str
    side: str | None
    rows: tuple[Row, ...]
    missing: int
    rule: Cutoff | None
    beyond: Share | None

    @property
    def values(self) -> np.ndarray:
        return np.array([row["value"] for row in self.rows], float)

    def of_sex(self, sex: str) -> np.ndarray:
        return np.array([row["value"] for row in self.rows if row["sex"] == sex], float)

    @property
    def uncertainty(self) -> float | None:
        """The middle of the standard deviations that the measurements state."""
        stated = [row["uncertainty"] for row in self.rows if row["uncertainty"] is not None]
        return float(np.median(stated)) if stated else None

    @property
    def age(self) -> Correlation | None:
        pairs = [(row["age"], row["value"]) for row in self.rows if row["age"] is not None]
        return Correlation.spearman(*np.array(pairs, float).T) if len(pairs) >= FEWEST_FOR_AGE else None

    def outliers(self) -> Iterator[Outlier]:
        """Values far from the middle, by the modified z-score; none where there are few, or most are the same."""
        values = self.values
        if len(values) < FEWEST_FOR_OUTLIERS:
            return
        median = float(np.median(values))
        spread = _NORMAL_SD_PER_MAD * float(np.median(np.abs(values - median)))
        if spread > 0:
            for row, value in zip(self.rows, values, strict=True):
                score = (value - median) / spread
                if abs(score) > OUTLIER_SCORE:
                    yield Outlier(row, float(score), median)


@dataclass(frozen=True)
class Measure:
    """One kind of measurement, of one modality and one kind of place: its cells head to foot, right before left."""

    definition: Definition
    modality: str
    place: Where
    cells: tuple[Cell, ...]

    @property
    def participants(self) -> int:
        return len({row["participant_id"] for cell in self.cells for row in cell.rows})


def first_sessions(results: Iterable[Result]) -> list[Result]:
    """One of each participant's studies."""
    first: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: result.study.label):
        first.setdefault(result.study.subject, result)
    return list(first.values())


def measures(results: Sequence[Result]) -> list[Measure]:
    """Every kind of measurement that somebody has, in the order of presentation."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for result in first_sessions(results):
        for row in result.rows:
            rows.setdefault((row["key"], row["modality"]), []).append(row)
    found = [Measure(definition, modality, place, tuple(c for c in _cells(rows[definition.key, modality])
                                                        if _place(c) == place))
             for definition in definitions().values() for modality in ("MR", "CT") if (definition.key, modality) in rows
             for place in get_args(Where)]
    return [measure for measure in found if measure.cells]


def _place(cell: Cell) -> Where:
    level = level_of(cell.rows[0]["level"] or "")
    if isinstance(level, Level):
        return "vertebrae"
    return "discs" if isinstance(level, Segment) and level.lower in successors(level.upper) else "ranges"


def _cells(rows: Sequence[Row]) -> Iterator[Cell]:
    places: dict[tuple[str, str | None], list[Row]] = {}
    key = rows[0]["key"]
    if key in _OWN_PLACE:
        largest = tuple(_largest(rows))
        if largest:
            yield Cell(_OWN_PLACE[key], None, largest, 0, rule_of(largest), _beyond(largest))
        return
    for row in rows:
        if _PROVISIONAL not in (row["flags"] or ""):
            places.setdefault((row["level"] or "", row["side"]), []).append(row)
    for level, side in sorted(places, key=lambda place: (level_order(level_of(place[0])), place[1] != "right")):
        here = places[level, side]
        used = tuple(filter(_is_usable, here))
        if used:
            yield Cell(level, side, used, len(here) - len(used), rule_of(used), _beyond(used))


def _is_usable(row: Row) -> bool:
    return row["value"] is not None and row["quality"] != "poor"


def _largest(rows: Sequence[Row]) -> Iterator[Row]:
    """Each participant's row of the greatest size."""
    own: dict[str, list[Row]] = {}
    for row in filter(_is_usable, rows):
        own.setdefault(row["participant_id"], []).append(row)
    for each in own.values():
        yield max(each, key=lambda row: abs(row["value"]))


def level_of(name: str) -> Level | Segment | None:
    """A level as the library knows it."""
    if not name:
        return None
    upper, dash, lower = name.partition("-")
    return Segment(Level[upper], Level[lower]) if dash else Level[upper]


def rule_of(rows: Sequence[Row]) -> Cutoff | None:
    """The published cut-off that most of the rows were graded by."""
    sources = [row["source"] for row in rows if row["source"]]
    if not sources:
        return None
    usual = max(sorted(set(sources)), key=sources.count)
    level = level_of(rows[0]["level"] or "")
    place = level.upper if isinstance(level, Segment) else level
    for rule in cutoffs().values():
        at = isinstance(level, rule.at) and (place is None or (place in rule.levels and place.region in rule.regions))
        if rule.key == rows[0]["key"] and rule.source == usual and at:
            return rule
    return None


def _beyond(rows: Sequence[Row]) -> Share | None:
    """How many of the graded values are abnormal."""
    rules = {rule.source: {band.label for band in rule.bands if band.severity > Severity.NORMAL}
             for rule in cutoffs().values() if rule.key == rows[0]["key"]}
    graded = [row for row in rows if row["source"] in rules]
    abnormal = sum(row["grade"] in rules[row["source"]] for row in graded)
    return Share.wilson(abnormal, len(graded)) if graded else None


def quality_shares(rows: Sequence[Row]) -> dict[str, float]:
    """Of a study's measurements: how many are good, limited, poor or missing, 0..1."""
    kinds = ["missing" if row["value"] is None else row["quality"] for row in rows]
    return {kind: kinds.count(kind) / max(len(kinds), 1) for kind in ("good", "limited", "poor", "missing")}
