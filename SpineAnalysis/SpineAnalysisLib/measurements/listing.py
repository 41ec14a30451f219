"""Measurements as rows: for a console, and for whatever reads lists of dictionaries."""

from collections.abc import Iterable
from typing import Any

from .record import Measurement
from .registry import definitions

_SHOWN = ("level", "side", "measurement", "value", "uncertainty", "unit", "grade", "quality")


class Listing(list[dict[str, Any]]):
    """Rows that print as an aligned table; otherwise a list, as ``pandas.DataFrame`` takes it."""

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> "Listing":
        return cls(_row(m) for m in measurements)

    def __repr__(self) -> str:
        texts = [list(_SHOWN), *([_text(row[name]) for name in _SHOWN] for row in self)]
        widths = [max(len(row[i]) for row in texts) for i in range(len(_SHOWN))]
        return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
                         for row in texts)


def _row(record: Measurement) -> dict[str, Any]:
    defined = definitions().get(record.key)
    digits = defined.decimals if defined else 3
    value, spread = (None if x is None else round(x, digits) for x in (record.value, record.uncertainty))
    return {"key": record.key, "measurement": defined.title if defined else record.key,
            "level": "" if record.level is None else str(record.level), "side": record.side or "",
            "value": record.word or value, "uncertainty": spread, "unit": record.unit,
            "grade": record.grade.label if record.grade else "", "quality": record.quality.value,
            "flags": list(record.flags), "scan": record.scan or ""}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
