"""Signal of the cerebrospinal fluid along the canal."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.sections import Section
from ..spine import Spine
from .evenness import EvenScan, even
from .flags import LEVEL_PROVISIONAL, quality_of
from .profiles import slab
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]

INNER = 0.85
"""Share of the outline's radius that is surely canal."""
CORD_MARGIN = 1.15
RINGS = 12
FREE_PERCENTILE, FEWEST_SECTIONS = 90.0, 20
NEAR_MM, LEAST_NEAR = 40.0, 0.9
"""Around a disc, the free fluid is looked for over about a level up and down; there, it is dimmer than the brightest by
no more than what is left of the coil's unevenness, or else it is crowded."""
AGAIN = 0.1
"""How much the ratio differs, one standard deviation, when a subject is scanned and segmented anew: fluid flows, and an
outline lets in more or less of what is beside it (docs/REPEATABILITY.md)."""


def csf_ratios(spine: Spine) -> Iterator[Measurement]:
    """The ratio at every segment, on T2 images only."""
    scan = spine.scan("T2")
    fluid = FreeFluid.of(spine, even(scan, spine)) if scan is not None else None
    if spine.canal is None or scan is None or fluid is None:
        return
    flags = (*((LEVEL_PROVISIONAL,) if spine.provisional else ()), *fluid.scan.flags)
    for motion in spine.segments:
        here = fluid.along[slab(spine.canal, motion)]
        if np.isfinite(here).sum() < 3 or motion.canal_s is None:
            continue
        middle = spine.canal.sections[spine.canal.nearest(motion.canal_s)]
        drawn = Geometry("contour", middle.contour_RAS, middle.frame) if middle is not None else None
        spread = float(np.hypot(np.nanstd(here) / fluid.signal, AGAIN))
        yield Measurement("csf_signal_ratio", motion.segment, float(np.nanmean(here)) / fluid.signal, "1", None,
                          spread, quality_of(flags), flags, (), drawn, scan.name)


@dataclass(frozen=True, eq=False)
class FreeFluid:
    """The subject's own cerebrospinal fluid, where it is least disturbed.

    :param along: (N,) signal of the canal's sections, NaN where unknown; :param signal: of the free fluid.
    :param spread: relative standard deviation of the sections that are about as bright.
    """

    scan: EvenScan
    along: FloatArray
    signal: float
    spread: float

    @staticmethod
    def of(spine: Spine, scan: EvenScan) -> "FreeFluid | None":
        """``None`` where too little of the canal is seen."""
        if spine.canal is None:
            return None
        cord = spine.cord.sections if spine.cord is not None else (None,) * len(spine.canal.sections)
        along = np.array([_signal(scan, section, other) if section is not None and section.complete else np.nan
                          for section, other in zip(spine.canal.sections, cord, strict=True)])
        known = along[np.isfinite(along)]
        if len(known) < FEWEST_SECTIONS:
            return None
        free = float(np.percentile(known, FREE_PERCENTILE))
        bright = known[known >= np.percentile(known, 2 * FREE_PERCENTILE - 100.0)]
        return FreeFluid(scan, along, free, float(bright.std()) / free) if free > 0 else None

    def near(self, spine: Spine, s: float | None) -> float:
        """Signal of the free fluid around an arc length of the canal: what the coil's unevenness leaves is the same."""
        if spine.canal is None or s is None:
            return self.signal
        around = self.along[np.abs(spine.canal.s - s) <= NEAR_MM]
        if np.isfinite(around).sum() < FEWEST_SECTIONS:
            return self.signal
        return float(np.clip(np.nanpercentile(around, FREE_PERCENTILE), LEAST_NEAR * self.signal, self.signal))


def _signal(scan: EvenScan, section: Section, cord: Section | None) -> float:
    """Median of the brighter half of a section without cord; NaN where the image does not reach."""
    radii = INNER * np.sqrt((np.arange(RINGS) + 0.5) / RINGS)
    place = radii[:, None, None] * section.outline[None]
    points = section.frame.to_ras(np.concatenate([place, np.zeros((*place.shape[:2], 1))], axis=-1)).reshape(-1, 3)
    if cord is not None:
        offset = cord.frame.to_frame(points)[:, :2]
        angle = np.arctan2(cord.outline[:, 1], cord.outline[:, 0])
        order = np.argsort(angle)
        reach = np.interp(np.arctan2(offset[:, 1], offset[:, 0]), angle[order],
                          np.linalg.norm(cord.outline, axis=1)[order], period=2 * np.pi)
        points = points[np.linalg.norm(offset, axis=1) > CORD_MARGIN * reach]
    values = scan.values(points)
    values = values[np.isfinite(values)]
    return float(np.median(values[values >= np.median(values)])) if len(values) > 20 else float("nan")
