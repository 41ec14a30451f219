"""How much measurements change between two scans of one subject who has not changed, as a Markdown table for ``docs/``.

Run by hand: ``python Utilities/repeatability.py BEFORE AFTER [BEFORE AFTER ...]``, each a ``measurements.json`` of
``spine-analysis run`` or its folder.

Of every measurement: the mean difference; the standard deviation of the differences; the coefficient of variation
(within-subject standard deviation over the mean); and the smallest detectable change, 1.96 sqrt(2) within-subject
standard deviations, which is the smallest difference of two scans that is more than measurement error in 95 of 100
cases (Bland and Altman, BMJ 1996;313:744; de Vet et al., Health Qual Life Outcomes 2006;4:54).  *Covered* is the share
of differences within 1.96 of the standard deviations that both records state.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from SpineAnalysisLib.errors import InputError
from SpineAnalysisLib.measurements.registry import definitions
from SpineAnalysisLib.results import MEASUREMENTS

Record = Mapping[str, Any]
_UNITS = {"1": "", "mm2": "mm²", "mm3": "mm³", "deg": "°", "[hnsf'U]": "HU"}


@dataclass(frozen=True)
class Repeatability:
    """Of one measurement over all places.

    :param variation: NaN for what may be negative.
    :param covered: share of differences that the stated uncertainties explain; NaN where none is stated.
    """

    key: str
    unit: str
    count: int
    mean_difference: float
    deviation: float
    variation: float
    smallest_change: float
    covered: float


@dataclass(frozen=True)
class Agreement:
    """Of one category over all places: how often both scans give the same."""

    key: str
    count: int
    same: float


def read(path: Path) -> list[Record]:
    """The records of a run.

    :raises InputError: for what is no such file.
    """
    file = path / MEASUREMENTS if path.is_dir() else path
    try:
        return list(json.loads(file.read_text("utf-8"))["records"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{file} holds no measurements; pass the folder of a run of spine-analysis.") from None


def pairs(before: Iterable[Record], after: Iterable[Record]) -> dict[str, list[tuple[Record, Record]]]:
    """Records of the same key, level and side that both have a value and are not of poor quality."""
    def usable(records: Iterable[Record]) -> dict[tuple[str, str, str], Record]:
        return {(r["key"], r["level"] or "", r["side"] or ""): r for r in records
                if r["value"] is not None and r["quality"] != "poor"}

    first, second = usable(before), usable(after)
    found: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
    for place, record in first.items():
        if place in second:
            found[place[0]].append((record, second[place]))
    return found


def repeatability(key: str, both: Sequence[tuple[Record, Record]]) -> Repeatability:
    values = np.array([(a["value"], b["value"]) for a, b in both], float)
    off = values[:, 1] - values[:, 0]
    within = math.sqrt(float(np.square(off).mean()) / 2.0)  # of one scan, bias between the two included
    has_zero = both[0][0]["unit"] != "deg" and values.min() > 0.0  # or else its mean says nothing of its size
    known = [(a["uncertainty"], b["uncertainty"]) for a, b in both]
    stated = np.array([np.nan if None in spreads else math.hypot(*spreads) for spreads in known])
    told = np.isfinite(stated)
    return Repeatability(
        key, both[0][0]["unit"], len(off), float(off.mean()), float(off.std(ddof=1)) if len(off) > 1 else math.nan,
        within / float(values.mean()) if has_zero else math.nan, 1.96 * math.sqrt(2.0) * within,
        float((np.abs(off[told]) <= 1.96 * stated[told]).mean()) if told.any() else math.nan)


def agreement(key: str, both: Sequence[tuple[Record, Record]]) -> Agreement:
    return Agreement(key, len(both), float(np.mean([a["word"] == b["word"] for a, b in both])))


def tables(found: Mapping[str, Sequence[tuple[Record, Record]]]) -> str:
    """Numbers, then categories, in the order of the dictionary of measurements."""
    order = {key: place for place, key in enumerate(definitions())}
    keys = sorted(found, key=lambda key: (order.get(key, len(order)), key))
    words = [key for key in keys if any(a.get("word") for a, _ in found[key])]
    lines = ["| measurement | n | mean difference | SD of differences | coefficient of variation | smallest detectable "
             "change | covered |", "|---|---|---|---|---|---|---|"]
    lines += [_row(repeatability(key, found[key])) for key in keys if key not in words]
    if words:
        lines += ["", "| category | n | the same in both |", "|---|---|---|"]
        lines += [f"| {_title(each.key)} | {each.count} | {each.same:.0%} |"
                  for each in (agreement(key, found[key]) for key in words)]
    return "\n".join(lines)


def _row(each: Repeatability) -> str:
    definition = definitions().get(each.key)
    digits = max(definition.decimals, 1) if definition else 2
    unit = _UNITS.get(each.unit, each.unit)

    def said(number: float) -> str:
        return "–" if math.isnan(number) else f"{number:.{digits}f} {unit}".strip()

    variation = "–" if math.isnan(each.variation) else f"{each.variation:.0%}"
    covered = "–" if math.isnan(each.covered) else f"{each.covered:.0%}"
    figures = (said(each.mean_difference), said(each.deviation), variation, said(each.smallest_change), covered)
    return f"| {_title(each.key)} | {each.count} | {' | '.join(figures)} |"


def _title(key: str) -> str:
    definition = definitions().get(key)
    return definition.title if definition else key


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="BEFORE AFTER", help="measurements.json or its folder")
    runs = parser.parse_args(arguments).runs
    if len(runs) % 2:
        parser.error("pass runs in pairs: before and after")
    together: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
    try:
        for before, after in zip(runs[::2], runs[1::2], strict=True):
            for key, both in pairs(read(before), read(after)).items():
                together[key] += both
    except InputError as error:
        parser.exit(2, f"{error}\n")
    if not together:
        parser.exit(2, "The runs have no level and measurement in common; check that their levels are named alike.\n")
    print(tables(together))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
