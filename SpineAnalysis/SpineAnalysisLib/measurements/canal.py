"""Canal and cord: central stenosis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind, Level, Region, Segment
from ..progress import Progress, step
from ..spine import MotionSegment, Spine, Tube, Vertebra
from .canal_cutoffs import CUTOFFS, DEFAULTS
from .canal_records import graded_canal
from .csf import csf_ratios
from .cutoffs import fitting
from .flags import ABOUT_GRADES, BROKEN, LEVEL_PROVISIONAL, NEAR_CUTOFF, quality_of
from .leading import QUANTITIES, led_by_axial, outline_or_line
from .profiles import reference, slab, smooth, value_at
from .record import Measurement, Table
from .registry import AREA, SOFT_HU, Coding, Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]

BOUNDARY_SHARE = 0.18
"""Standard uncertainty of where an outline runs, in voxels: the same way all around (partial volume, the
segmentation's threshold), when it is segmented anew (docs/REPEATABILITY.md)."""
END_SHARE = 0.36
"""The same for the two ends of a diameter, each on its own."""
PLACE_MM = 0.7
"""Standard uncertainty of where along the canal a level is; it matters where the canal widens or narrows."""
LOST_SHARE = 0.1
"""An area beside the pedicles that is less than this share of the canal's median one is that of a broken outline."""
THICK_MM = 3.5
COARSE_MM = 2.5

_PLACE = ("Between the vertebrae the smallest value within the disc slab (disc height and 3 mm each way) of the "
          "profile smoothed over 1.5 mm, at vertebrae at mid-pedicle; in the plane perpendicular to the centerline.")
_AXIAL = " Where an axial T2 scan covers the disc: of the dural sac in that scan's narrowest slice beside it."


@dataclass(frozen=True, eq=False)
class Profile:
    """One tube's smoothed curves."""

    name: str
    tube: Tube

    def _smooth(self, values: FloatArray) -> FloatArray:
        first = next(x for x in self.tube.sections if x is not None)
        extent = float(np.linalg.norm(self.tube.resolution.T @ first.frame.superior))
        return smooth(values, float(np.diff(self.tube.s[:2])[0]), extent)

    @cached_property
    def area(self) -> FloatArray:
        return self._smooth(self.tube.area)

    @cached_property
    def ap_diameter(self) -> FloatArray:
        return self._smooth(self.tube.ap_diameter)

    @cached_property
    def transverse_diameter(self) -> FloatArray:
        return self._smooth(self.tube.transverse_diameter)

    def uncertainty(self, quantity: str, index: int) -> float:
        """One standard deviation of a quantity at a section: of its outline and of its place."""
        section = self.tube.sections[index]
        assert section is not None
        frame, resolution = section.frame, self.tube.resolution
        if quantity == "area":
            in_plane = np.stack([frame.right, frame.anterior]) @ resolution
            drawn = BOUNDARY_SHARE * section.perimeter * float(np.sqrt(np.square(in_plane).sum() / 2.0))
        else:
            along = frame.anterior if quantity == "ap_diameter" else frame.right
            coarsest = float(np.linalg.norm(resolution, axis=0).max())
            drawn = float(np.sqrt(2.0)) * END_SHARE * float(
                np.hypot(np.linalg.norm(resolution.T @ along), 0.25 * coarsest))
        near = slice(max(index - 2, 0), index + 3)
        values, s = getattr(self, quantity)[near], self.tube.s[near]
        slope = float(np.ptp(values[np.isfinite(values)])) / max(float(np.ptp(s)), 0.5)
        return float(np.hypot(drawn, PLACE_MM * slope))


def _definitions() -> Iterator[Definition]:
    for name, title in (("canal", "Canal"), ("cord", "Cord")):
        yield Definition(f"{name}_area", f"{title} area", "mm2", f"Area of the {name}'s cross-section. {_PLACE}"
                         f"{_AXIAL if name == 'canal' else ''}",
                         coding=Coding(AREA, structure=Kind.CANAL if name == "canal" else Kind.CORD), decimals=0,
                         draw=name == "canal")
        for axis, side in (("ap", "A"), ("transverse", "R")):
            yield Definition(f"{name}_{axis}_diameter", f"{title} {'AP' if axis == 'ap' else axis} diameter", "mm",
                             f"Extent of the {name}'s cross-section through its centroid along the vertebral {side} "
                             f"axis. {_PLACE}{_AXIAL if name == 'canal' else ''}", draw=name == "canal")
    yield Definition("canal_area_ratio", "Canal area ratio", "1", "Canal area at the disc over the mean of the "
                     "mid-pedicle areas of the two vertebrae.", decimals=2)
    yield Definition("canal_occupation_ratio", "Canal occupation", "1", "Cord area over canal area in the same plane.",
                     "adapted spinal canal occupation ratio (aSCOR)", decimals=2)
    yield Definition("maximum_spinal_cord_compression", "Cord compression (MSCC)", "%", "1 - d / ((da + db) / 2): the "
                     "cord's AP diameter at the disc against its means over 20 mm above and below, from 10 mm away.",
                     "Spinal Cord Toolbox; Miyanji et al., Radiology 2007;243:820-827", decimals=0)
    yield Definition("maximum_canal_compromise", "Canal compromise (MCC)", "%",
                     "The same with the canal's AP diameter.", "Miyanji et al., Radiology 2007;243:820-827", decimals=0)
    yield Definition("torg_pavlov_ratio", "Torg-Pavlov ratio", "1", "Canal AP diameter over the body's AP diameter at "
                     "mid-height.", "Pavlov et al., Radiology 1987;164:771-775", decimals=2)
    yield Definition("csf_signal_ratio", "CSF signal ratio", "1", "On T2: signal of the canal without cord and "
                     "rootlets (median of its brighter half) at the disc, over the subject's own free CSF (its 90th "
                     "percentile along the canal).", decimals=2)


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure canal and cord at every vertebra and segment."""
    settings = {**DEFAULTS, **parameters}
    tubes = [Profile(name, tube) for name, tube in (("canal", spine.canal), ("cord", spine.cord))
             if tube is not None and tube.complete.any()]
    records: list[Measurement] = []
    for profile in tubes:
        step(progress, 0.2, f"Measuring the {profile.name}")
        for motion in spine.segments:
            records += _at_segment(spine, profile, motion, settings)
        for vertebra in spine.vertebrae:
            records += _at_vertebra(spine, profile, vertebra, settings)
    by_place = {(r.key, r.level): r for r in records if r.value is not None}
    for motion in spine.segments:
        records += _area_ratio(by_place, motion)
        for profile in tubes:
            records += _compression(by_place, _COMPRESSION[profile.name], profile, motion)
    places: list[Level | Segment] = [*(m.segment for m in spine.segments), *(v.level for v in spine.vertebrae)]
    for place in places:
        records += _ratio(by_place, "canal_occupation_ratio", ("cord_area", place), ("canal_area", place), place)
    if spine.canal is not None:
        records += [r for v in spine.vertebrae for r in _torg_pavlov(by_place, v, spine.canal)]
    records += csf_ratios(spine)
    step(progress, 0.7, "Outlining the dural sac on axial slices")
    records, notes = led_by_axial(spine, records, settings)
    step(progress, 1.0, "Canal measured")
    return FamilyResult(tuple(records), tuple(_profile_table(spine, tubes)), notes)


_COMPRESSION = {"canal": "maximum_canal_compromise", "cord": "maximum_spinal_cord_compression"}


def _common_flags(spine: Spine, profile: Profile, place: tuple[str, ...]) -> tuple[str, ...]:
    coarsest = float(np.linalg.norm(profile.tube.resolution, axis=0).max())
    finest = float(np.linalg.norm(profile.tube.resolution, axis=0).min())
    raised = {LEVEL_PROVISIONAL: spine.provisional, "canal_derived": profile.tube.derived,
              "thick_slices": coarsest > THICK_MM, "coarse_voxels": finest > COARSE_MM}
    return tuple(flag for flag, on in raised.items() if on) + place


def _at_segment(spine: Spine, profile: Profile, motion: MotionSegment, settings: Mapping[str, Any]
                ) -> Iterator[Measurement]:
    inside = slab(profile.tube, motion)
    flags = _common_flags(spine, profile, motion.flags)
    known = inside & np.isfinite(profile.area)
    if not known.any():
        if profile.name == "canal":
            yield _missing("canal_area", motion.segment, "mm2", (*flags, "canal_not_in_view"))
        return
    if known.sum() < 0.9 * inside.sum():
        seen = np.flatnonzero(np.isfinite(profile.area))
        lost = np.flatnonzero(inside & ~known)
        flags = (*flags, BROKEN if np.any((lost > seen[0]) & (lost < seen[-1])) else "partial_view")
    for quantity, unit in QUANTITIES:
        values = np.where(known, getattr(profile, quantity), np.inf)
        yield from _record(profile, quantity, unit, motion.segment, int(values.argmin()), float(values.min()), flags,
                           settings)


def _at_vertebra(spine: Spine, profile: Profile, vertebra: Vertebra, settings: Mapping[str, Any]
                 ) -> Iterator[Measurement]:
    flags = _common_flags(spine, profile, vertebra.flags)
    if not np.isfinite(value_at(profile.tube, profile.area, vertebra.canal_s)) or vertebra.canal_s is None:
        if profile.name == "canal":
            yield _missing("canal_area", vertebra.level, "mm2", (*flags, "canal_not_in_view"))
        return
    index = profile.tube.nearest(vertebra.canal_s)
    if profile.name == "canal" and profile.area[index] < LOST_SHARE * float(np.nanmedian(profile.area)):
        yield _missing("canal_area", vertebra.level, "mm2", (*flags, "canal_outline_lost"))
        return
    for quantity, unit in QUANTITIES:
        value = value_at(profile.tube, getattr(profile, quantity), vertebra.canal_s)
        yield from _record(profile, quantity, unit, vertebra.level, index, value, flags, settings)


def _record(profile: Profile, quantity: str, unit: str, place: Level | Segment, index: int, value: float,
            flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    section = profile.tube.sections[index]
    if section is None:
        return
    yield graded_canal(f"{profile.name}_{quantity}", place, value, unit, profile.uncertainty(quantity, index), flags,
                       outline_or_line(quantity, section), profile.tube, settings)


def _missing(key: str, place: Level | Segment, unit: str, flags: tuple[str, ...]) -> Measurement:
    return Measurement(key, place, None, unit, None, None, quality_of(flags), flags)


Records = Mapping[tuple[str, Level | Segment | None], Measurement]


def _combined(*parts: Measurement) -> tuple[str, ...]:
    """The flags of all parts, each once, in order."""
    return tuple(dict.fromkeys(flag for m in parts for flag in m.flags if flag not in ABOUT_GRADES))


def _relative(*parts: Measurement) -> float:
    """Relative standard deviation of a product or quotient."""
    return float(np.sqrt(sum(((m.uncertainty or 0.0) / (m.value or np.inf))**2 for m in parts)))


def _ratio(records: Records, key: str, above: tuple[str, Level | Segment], below: tuple[str, Level | Segment],
           place: Level | Segment) -> Iterator[Measurement]:
    if above in records and below in records:
        top, bottom = records[above], records[below]
        assert top.value is not None and bottom.value is not None
        value = top.value / bottom.value
        flags = _combined(top, bottom)
        yield Measurement(key, place, value, "1", None, value * _relative(top, bottom), quality_of(flags), flags, (),
                          top.geometry)


def _area_ratio(records: Records, motion: MotionSegment) -> Iterator[Measurement]:
    here = records.get(("canal_area", motion.segment))
    ends = [records.get(("canal_area", level)) for level in (motion.segment.upper, motion.segment.lower)]
    known = [m for m in ends if m is not None and m.value]
    if here is None or here.value is None or len(known) < 2:
        return
    mean = float(np.mean([m.value for m in known if m.value is not None]))
    value = here.value / mean
    flags = _combined(here, *known)
    spread = float(np.hypot(_relative(here), np.sqrt(sum((m.uncertainty or 0.0)**2 for m in known)) / (2.0 * mean)))
    yield Measurement("canal_area_ratio", motion.segment, value, "1", None, value * spread, quality_of(flags), flags,
                      (), here.geometry)


def _compression(records: Records, key: str, profile: Profile, motion: MotionSegment) -> Iterator[Measurement]:
    here = records.get((f"{profile.name}_ap_diameter", motion.segment))
    if here is None or here.value is None or motion.canal_s is None:
        return
    found = reference(profile.tube, profile.tube.ap_diameter, motion.canal_s)
    if found is None:
        return
    mean, share = found
    flags = _combined(here) + (("partial_reference",) if share < 0.95 else ())
    spread = 100.0 * here.value / mean * float(np.hypot(_relative(here), 0.5 * (here.uncertainty or 0.0) / mean))
    yield Measurement(key, motion.segment, 100.0 * (1.0 - here.value / mean), "%", None, spread, quality_of(flags),
                      flags, (), here.geometry)


def _torg_pavlov(records: Records, vertebra: Vertebra, tube: Tube) -> Iterator[Measurement]:
    canal = records.get(("canal_ap_diameter", vertebra.level))
    if vertebra.level.region is not Region.CERVICAL or vertebra.level <= Level.C2:
        return
    if canal is None or canal.value is None or vertebra.body_ap_mm is None or vertebra.surfaces is None:
        return
    value = canal.value / vertebra.body_ap_mm
    spread = value * float(np.hypot(_relative(canal), (canal.uncertainty or 0.0) / vertebra.body_ap_mm))
    flags = _combined(canal)
    rules = fitting(CUTOFFS, "torg_pavlov_ratio", vertebra.level, tube)
    if any(rule.is_near(value, spread) for rule in rules):
        flags = (*flags, NEAR_CUTOFF)
    yield Measurement("torg_pavlov_ratio", vertebra.level, value, "1", None, spread, quality_of(flags), flags,
                      tuple(rule.grade(value) for rule in rules), canal.geometry)


def _profile_table(spine: Spine, tubes: list[Profile]) -> Iterator[Table]:
    """The curves every millimeter."""
    if not tubes:
        return
    s = np.arange(0.0, spine.centerline.length, 1.0)
    columns = {"arc_length_mm": s}
    for profile in tubes:
        for quantity, unit in QUANTITIES:
            columns[f"{profile.name}_{quantity}_{unit}"] = np.interp(s, profile.tube.s, getattr(profile, quantity))
    marks = {str(m.segment): m.canal_s for m in spine.segments if m.canal_s is not None}
    marks |= {str(v.level): v.canal_s for v in spine.vertebrae if v.canal_s is not None}
    yield Table("canal_profile", "Canal profile", columns, dict(sorted(marks.items(), key=lambda item: item[1])),
                spine.centerline.position(s))


FAMILY = Family("canal", "Spinal canal and cord", tuple(_definitions()), compute, DEFAULTS,
                order=10, chapter="Canal", window_HU=SOFT_HU)
