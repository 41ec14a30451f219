"""Which scan of a visit leads where several show the canal at one disc.

An axial T2 scan that covers the disc leads: it shows the dural sac in fine pixels, where a sagittal one has a slice of
some millimeters for every few pixels of it.  What the others say goes with the record, and is never mixed with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..anatomy import Segment
from ..geometry.sections import Section
from ..spine import Spine, Tube
from .axial import Reading, axial_readings
from .canal_records import graded_canal
from .flags import LEVEL_PROVISIONAL, quality_of
from .record import Geometry, Measurement

QUANTITIES = (("area", "mm2"), ("ap_diameter", "mm"), ("transverse_diameter", "mm"))
APART = 1.96
"""Values that differ by more than so many standard deviations of their difference disagree."""


def led_by_axial(spine: Spine, records: Sequence[Measurement], settings: Mapping[str, Any]
                 ) -> tuple[list[Measurement], tuple[str, ...]]:
    """The canal's records, those at discs that an axial scan shows by that scan; and sentences about scans of no use.

    :param records: of the canal, by the segmentation.
    """
    readings, notes = axial_readings(spine)
    by_place: dict[Segment, list[Reading]] = {}
    for reading in sorted(readings, key=lambda each: (-each.covered, each.uncertainty("area"))):
        by_place.setdefault(reading.motion.segment, []).append(reading)
    segmented = spine.scans[0].name if spine.image is not None else None
    out: list[Measurement] = []
    for record in records:
        there = by_place.get(record.level) if isinstance(record.level, Segment) else None
        if there is None or spine.canal is None:
            out.append(record)
            continue
        own = replace(record, scan=record.scan or segmented)
        quantity = _QUANTITY_OF.get(record.key)
        if quantity is None:
            out.append(own)
            continue
        mine = [_record(spine, spine.canal, reading, quantity, settings) for reading in there]
        bony = spine.canal.derived or spine.canal.meaning == "bony canal"  # which is wider than the sac in it
        out.append(leading(mine[0], [*mine[1:], own], mine[1:] if bony else [*mine[1:], own]))
    return out, notes


_QUANTITY_OF = {f"canal_{quantity}": (quantity, unit) for quantity, unit in QUANTITIES}


def leading(first: Measurement, others: Sequence[Measurement], alike: Sequence[Measurement]) -> Measurement:
    """The record of the scan that leads, with the others.

    :param alike: those of the others that are about the same outline.
    """
    flags = first.flags
    if any(_disagree(first, other) for other in alike):
        flags = (*flags, "scans_disagree")
    return replace(first, flags=flags, quality=quality_of(flags), others=tuple(others))


def _disagree(a: Measurement, b: Measurement) -> bool:
    if a.value is None or b.value is None:
        return False
    return abs(a.value - b.value) > APART * float(np.hypot(a.uncertainty or 0.0, b.uncertainty or 0.0))


def _record(spine: Spine, canal: Tube, reading: Reading, what: tuple[str, str], settings: Mapping[str, Any]
            ) -> Measurement:
    quantity, unit = what
    plane = reading.narrowest
    flags = (*((LEVEL_PROVISIONAL,) if spine.provisional else ()), *reading.motion.flags, *reading.flags)
    sac = replace(canal, meaning="dural sac", derived=False)
    return graded_canal(f"canal_{quantity}", reading.motion.segment, float(getattr(plane, quantity)), unit,
                        reading.uncertainty(quantity), flags, outline_or_line(quantity, plane.section), sac, settings,
                        reading.scan.name)


def outline_or_line(quantity: str, section: Section) -> Geometry:
    """What is drawn of a section's area or diameter."""
    if quantity == "area":
        return Geometry("contour", section.contour_RAS, section.frame)
    return Geometry("line", section.ap_line if quantity == "ap_diameter" else section.transverse_line, section.frame)
