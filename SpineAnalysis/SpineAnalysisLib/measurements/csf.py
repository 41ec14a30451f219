"""Signal of the cerebrospinal fluid along the canal."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..geometry.sections import Section
from ..spine import Scan, Spine
from .flags import quality_of
from .profiles import slab
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]

INNER = 0.85
"""Share of the outline's radius that is surely canal."""
CORD_MARGIN = 1.15
RINGS = 12
FREE_PERCENTILE = 90.0


def csf_ratios(spine: Spine) -> Iterator[Measurement]:
    """The ratio at every segment, on T2 images only."""
    scan = spine.scan("T2")
    if spine.canal is None or scan is None:
        return
    cord = spine.cord.sections if spine.cord is not None else (None,) * len(spine.canal.sections)
    signal = np.array([_signal(scan, section, other) if section is not None and section.complete else np.nan
                       for section, other in zip(spine.canal.sections, cord, strict=True)])
    known = signal[np.isfinite(signal)]
    if len(known) < 20:
        return
    free = float(np.percentile(known, FREE_PERCENTILE))
    flags = tuple(flag for flag, on in (("level_provisional", spine.provisional),
                                        ("contrast_guessed", scan.contrast_guessed),
                                        ("no_bias_correction", True)) if on)
    for motion in spine.segments:
        here = signal[slab(spine.canal, motion)]
        if np.isfinite(here).sum() < 3 or motion.canal_s is None or free <= 0:
            continue
        middle = spine.canal.sections[spine.canal.nearest(motion.canal_s)]
        drawn = Geometry("contour", middle.contour_RAS, middle.frame) if middle is not None else None
        yield Measurement("csf_signal_ratio", motion.segment, float(np.nanmean(here)) / free, "1", None,
                          float(np.nanstd(here)) / free, quality_of(flags), flags, (), drawn, scan.name)


def _signal(scan: Scan, section: Section, cord: Section | None) -> float:
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
