"""Numbers, units and flags as people read them."""

import re

from ..measurements.flags import FLAGS, meaning

PRETTY_UNITS = {"mm": "mm", "mm2": "mm²", "mm3": "mm³", "deg": "°", "1": "", "%": "%", "[hnsf'U]": "HU"}

_UCUM_IN_TEXT = ((re.compile(r"\bmm2\b"), "mm²"), (re.compile(r"\bmm3\b"), "mm³"), (re.compile(r"\s*\bdeg\b"), "°"),
                 (re.compile(r"\[hnsf'U\]"), "HU"), (re.compile(r"<="), "≤"), (re.compile(r">="), "≥"))


def pretty_unit(unit: str) -> str:
    """A UCUM unit as printed; nothing for ratios."""
    return PRETTY_UNITS.get(unit, unit)


def pretty_text(text: str) -> str:
    """A sentence whose units and comparisons are printed instead of spelled in code."""
    for pattern, printed in _UCUM_IN_TEXT:
        text = pattern.sub(printed, text)
    return text


def number(value: float, decimals: int) -> str:
    """Fixed decimals with a true minus sign and no negative zero."""
    printed = f"{value:.{decimals}f}"
    if float(printed) == 0.0:
        printed = printed.lstrip("-")
    return printed.replace("-", "−")


def quantity(value: float, decimals: int, unit: str) -> str:
    """A value with its unit."""
    printed = pretty_unit(unit)
    return number(value, decimals) + ("" if not printed else printed if printed in "°%" else f" {printed}")


def clause(flag: str) -> str:
    """A flag within a sentence."""
    return pretty_text(meaning(flag) if flag in FLAGS else flag.replace("_", " "))


def flag_text(flag: str) -> str:
    """A flag as a footnote."""
    text = clause(flag)
    return text[:1].upper() + text[1:]
