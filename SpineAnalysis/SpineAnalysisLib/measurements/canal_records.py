"""Records of the canal with every grade that applies to them."""

from collections.abc import Mapping
from typing import Any

from ..anatomy import Level, Segment
from ..spine import Tube
from .canal_cutoffs import CUTOFFS
from .cutoffs import fitting
from .flags import AP_CUTOFF, AREA_CUTOFF, NEAR_CUTOFF, quality_of
from .record import Geometry, Measurement


def graded_canal(key: str, place: Level | Segment, value: float, unit: str, spread: float, flags: tuple[str, ...],
                 geometry: Geometry, tube: Tube, settings: Mapping[str, Any], scan: str | None = None) -> Measurement:
    """:param tube: what was measured, as its outline's meaning decides which cut-offs apply."""
    rules = fitting(CUTOFFS, key, place, tube, settings.get(f"{key}_cutoff"))
    if any(rule.is_near(value, spread) for rule in rules):
        flags = (*flags, NEAR_CUTOFF)
    if rules and key.endswith("_area") and not tube.meaning:
        flags = (*flags, AREA_CUTOFF)
    if rules and key.endswith("_ap_diameter") and tube.meaning != "bony canal":
        flags = (*flags, AP_CUTOFF)
    return Measurement(key, place, value, unit, None, spread, quality_of(flags), flags,
                       tuple(rule.grade(value) for rule in rules), geometry, scan)
