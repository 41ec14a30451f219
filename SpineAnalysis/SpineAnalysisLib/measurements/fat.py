"""Fat in the foramina on T1: where a nerve root is pressed, it is lost."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Segment, Side
from ..geometry.foramina import Opening
from ..spine import Scan, Spine
from .flags import quality_of
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]

STEP_MM = 0.5
FAT_PERCENTILE = 90.0
"""Of all foramina's signal: what is fat."""
LEAST_CONTRAST = 1.5
"""Fat is at least this many times as bright as the canal's contents on T1."""
LEAST_SAMPLES = 20
CORE = 0.5
"""Share of the canal's radius that is surely its contents."""
REFERENCE_SHARE = 0.25
"""Relative standard uncertainty of the signals of fat and contents, when a subject is scanned and segmented anew
(docs/REPEATABILITY.md)."""

Place = tuple[Segment, Side, Opening, tuple[str, ...]]


def fat_ratios(spine: Spine, places: Sequence[Place]) -> Iterator[Measurement]:
    """A record for every foramen where there is a scan; with a value where one of them is T1.

    A sample's share of fat runs from 0 at the signal of the canal's contents to 1 at that of fat.
    """
    if not spine.scans or not places:
        return
    scan = spine.scan("T1")
    if scan is None:
        for segment, side, _, flags in places:
            yield _record(segment, side, None, None, (*flags, "needs_t1"))
        return
    signals = [_seen(scan, _inside(opening)) for _, _, opening, _ in places]
    known = np.concatenate(signals)
    dark = _content(spine, scan)
    fat = float(np.percentile(known, FAT_PERCENTILE)) if len(known) else 0.0
    common = (*(("contrast_guessed",) if scan.contrast_guessed else ()), "no_bias_correction")
    for (segment, side, opening, flags), values in zip(places, signals, strict=True):
        if len(values) < LEAST_SAMPLES or dark is None or fat < LEAST_CONTRAST * dark:
            yield _record(segment, side, None, None, (*flags, *common, "fat_not_told"))
            continue
        shares = np.clip((values - dark) / (fat - dark), 0.0, 1.0)
        independent = max(opening.area / scan.blur_mm(opening.frame.superior)**2, 2.0)
        spread = float(np.hypot(shares.std() / np.sqrt(independent), REFERENCE_SHARE * shares.mean()))
        yield replace(_record(segment, side, float(shares.mean()), spread, (*flags, *common)), scan=scan.name,
                      geometry=Geometry("contour", opening.contour_RAS, opening.frame))


def _record(segment: Segment, side: Side, value: float | None, spread: float | None,
            flags: tuple[str, ...]) -> Measurement:
    return Measurement("foramen_fat_ratio", segment, value, "1", side, spread, quality_of(flags), flags)


def _inside(opening: Opening) -> FloatArray:
    """(N, 3) RAS within an opening, about every ``STEP_MM``."""
    rows = [np.stack(np.broadcast_arrays(np.arange(behind + STEP_MM / 2, ahead, STEP_MM), height), axis=-1)
            for height, behind, ahead in zip(opening.heights[::2], opening.behind[::2], opening.ahead[::2],
                                             strict=True)]
    return opening.points(np.concatenate(rows))


def _content(spine: Spine, scan: Scan) -> float | None:
    """Median signal of the canal's middle; ``None`` where no canal is known."""
    sections = spine.canal.sections[::4] if spine.canal is not None else ()
    cores = [x.frame.origin + CORE * (x.contour_RAS[::6] - x.frame.origin) for x in sections
             if x is not None and x.complete]
    values = _seen(scan, np.concatenate(cores)) if cores else np.zeros(0)
    return float(np.median(values)) if len(values) >= LEAST_SAMPLES else None


def _seen(scan: Scan, points: FloatArray) -> FloatArray:
    """The signal at those of (N, 3) points that a scan shows."""
    values = scan.values(points)
    return np.asarray(values[np.isfinite(values)])
