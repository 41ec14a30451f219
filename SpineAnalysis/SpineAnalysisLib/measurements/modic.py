"""Modic changes: the marrow next to the endplates against the marrow in the middle of the bodies, on T1 and T2."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ..anatomy import VERTEBRA_KINDS, Level
from ..geometry.faces import Rim
from ..geometry.frames import Frame
from ..progress import Progress, step
from ..spine import MotionSegment, Spine, Vertebra
from .bone import sagittal, spine_flags
from .disc_space import DiscSpace, FloatArray, disc_spaces, rim_plane
from .evenness import EvenScan, even
from .flags import NEAR_CUTOFF, quality_of
from .record import Geometry, Grade, Measurement, Severity
from .registry import Definition, Family, FamilyResult

MODIC = "Modic et al., Radiology 1988;166:193-199 and 168:177-186"
BAND_MM = (2.0, 8.0)
"""How far from the endplate marrow is looked at: cortex and the scanner's shift of fat lie nearer."""
FOOTPRINT, WAIST = 0.8, 0.94
"""Shares of the endplate's half width and depth: of what is looked at, and of how far a body reaches under its rims."""
MIDDLE_SHARE = 0.22
"""The middle of a body, unchanged marrow, lies within this share of its height from its center; the vein is behind."""
CELL_MM = 1.5
SMOOTH_CELLS = 3
"""Signal is averaged over this many cells each way (4.5 mm), so that texture is no change."""
LEAST_CHANGE, DEVIATIONS = 0.2, 3.0
"""A cell is changed that differs by this share of unchanged marrow's signal, and by so many of its deviations."""
LEAST_SHARE, DOUBTFUL = 0.10, 0.04
"""Of the band next to an endplate that must be changed to be called so; within the second of it, it may be none."""

TYPES = {0: "none", 1: "I", 2: "II", 3: "III"}
_SEVERITY = {0: Severity.NORMAL, 1: Severity.MODERATE, 2: Severity.MILD, 3: Severity.MILD}
_MEANING = {0: "no change", 1: "edema-like", 2: "fatty", 3: "sclerotic"}

DEFINITIONS = (
    Definition("modic_type", "Modic type", "1", "Marrow 2 to 8 mm from the two endplates against that in the middle of "
               "the bodies, both scans evened out: I is darker on T1 and brighter on T2, II brighter on T1 and not "
               "darker on T2, III darker on both, over at least a tenth of the band at an endplate.", MODIC, decimals=0,
               words=TYPES),
)


@dataclass(frozen=True, eq=False)
class Band:
    """Changes next to one endplate.

    :param kinds: (U, V, W) type of each cell along R, A and away from the endplate, 0 where it is unchanged.
    :param known: (U, V, W) whether it lies in the body, not in its outermost slice, and both scans show it.
    :param points_RAS: (U, V, W, 3) the cells.
    """

    rim: Rim
    frame: Frame
    kinds: NDArray[np.int_]
    known: NDArray[np.bool_]
    points_RAS: FloatArray

    @cached_property
    def shares(self) -> FloatArray:
        """(4,) share of the band that is of each type."""
        return np.array([float((self.kinds[self.known] == kind).mean()) for kind in TYPES])


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Look next to every pair of facing endplates, where both scans are there."""
    scans = [spine.scan("T1"), spine.scan("T2")]
    if scans[0] is None and scans[1] is None:
        return FamilyResult(())
    step(progress, 0.1, "Looking for changes of the marrow")
    common = spine_flags(spine)
    if scans[0] is None or scans[1] is None:
        missing = "modic_needs_t1" if scans[0] is None else "modic_needs_t2"
        return FamilyResult(tuple(_null(motion, (*common, *motion.flags, missing)) for motion in spine.segments))
    t1, t2 = even(scans[0], spine), even(scans[1], spine)
    common += tuple(dict.fromkeys(t1.flags + t2.flags))
    reference = _Reference.of(spine, (t1, t2))
    records = []
    for motion, space in disc_spaces(spine):
        flags = common + motion.flags
        bands = [] if space is None or reference is None else list(_bands(spine, space, (t1, t2), reference))
        records.append(_record(motion, bands, flags, f"{t1.scan.name}, {t2.scan.name}") if bands else
                       _null(motion, (*flags, "partial_view")))
    step(progress, 1.0, "Marrow looked at")
    return FamilyResult(tuple(records))


def _null(motion: MotionSegment, flags: tuple[str, ...]) -> Measurement:
    return Measurement("modic_type", motion.segment, None, "1", None, None, quality_of(flags), flags)


@dataclass(frozen=True, eq=False)
class _Reference:
    """Unchanged marrow: :param signal: (2,) on T1 and T2; :param spread: (2,) relative deviation of smoothed cells."""

    signal: FloatArray
    spread: FloatArray

    @staticmethod
    def of(spine: Spine, scans: tuple[EvenScan, EvenScan]) -> "_Reference | None":
        """From the middles of all bodies; ``None`` where none is seen."""
        cells = [found for v in spine.vertebrae if (found := _middle(v, scans)) is not None]
        if not cells:
            return None
        own = np.concatenate([np.asarray(c) for c in cells], axis=1)
        signal = np.nanmedian(own, axis=1)
        spread = 1.4826 * np.nanmedian(np.abs(own - signal[:, None]), axis=1) / signal
        return _Reference(signal, spread) if (signal > 0).all() else None


def _middle(vertebra: Vertebra, scans: tuple[EvenScan, EvenScan]) -> FloatArray | None:
    """(2, N) smoothed signals of the middle of a body."""
    faces = vertebra.faces
    if faces is None or faces.superior is None or faces.inferior is None:
        return None
    top, bottom = faces.superior, faces.inferior
    frame = vertebra.frame.at((top.middle + bottom.middle) / 2.0)
    height = float((top.middle - bottom.middle) @ frame.superior)
    half = np.array([0.6 * top.half[0], 0.6 * top.half[1], MIDDLE_SHARE * height])
    lines = [np.arange(-h, h + CELL_MM / 2, CELL_MM) for h in half]
    place = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    signals = np.stack([_smoothed(scan.values(frame.to_ras(place))) for scan in scans])
    front = place[..., 1] > -0.2 * top.half[1]
    return np.asarray(signals[:, front & np.isfinite(signals).all(axis=0)])


def _smoothed(values: FloatArray) -> FloatArray:
    """Means over cells; NaN where the scan ends."""
    return np.asarray(uniform_filter(values, SMOOTH_CELLS, mode="nearest"))


def _bands(spine: Spine, space: DiscSpace, scans: tuple[EvenScan, EvenScan], reference: _Reference) -> Iterator[Band]:
    for rim, sign, level in ((space.above, 1.0, space.upper.level), (space.below, -1.0, space.lower.level)):
        plane = rim_plane(rim)
        frame = Frame.from_axes(plane.origin, plane.normal, space.frame.anterior)
        half = np.minimum(FOOTPRINT * rim.half, np.maximum(WAIST * rim.half - _voxels(scans, frame), CELL_MM))
        lines = [*(np.arange(-h, h + CELL_MM / 2, CELL_MM) for h in half),
                 np.arange(BAND_MM[0], BAND_MM[1] + CELL_MM / 2, CELL_MM)]
        u, v, away = np.meshgrid(*lines, indexing="ij")
        radius = np.hypot(u / half[0], v / half[1])
        out = np.hypot(u / rim.half[0], v / rim.half[1])
        hollow = abs(float(plane.distance(rim.middle))) * np.clip(1.0 - out**2, 0.0, 1.0)
        points = frame.to_ras(np.stack([u, v, sign * (away + hollow)], axis=-1))
        signals = np.stack([_smoothed(scan.values(points)) for scan in scans])
        known = np.isfinite(signals).all(axis=0) & (radius <= 1.0)
        beside = float(np.linalg.norm(frame.right @ spine.labels.ijk_to_ras[:3, :3])) * frame.right
        known &= np.all([_labeled(spine, level, points + way * beside) for way in (-1.0, 1.0)], axis=0)
        if known.mean() > 0.4:
            yield Band(rim, frame, _kinds(signals, reference), known, points)


def _labeled(spine: Spine, level: Level, points_RAS: FloatArray) -> NDArray[np.bool_]:
    """Whether (..., 3) points lie in the vertebra: a rim that is not known well lets nothing else in."""
    labels = spine.labels
    index = np.rint(labels.to_ijk(points_RAS)).astype(int)
    within = np.all((index >= 0) & (index < labels.shape), axis=-1)
    found = labels.array[tuple(np.moveaxis(np.where(within[..., None], index, 0), -1, 0))]
    return np.asarray(within & np.isin(found, labels.values(VERTEBRA_KINDS, level)))


def _voxels(scans: tuple[EvenScan, EvenScan], frame: Frame) -> FloatArray:
    """(2,) mm along R and A, of the coarser scan's voxels: nearer to a wall, they hold what is beyond."""
    axes = np.stack([frame.right, frame.anterior])
    return np.max([np.linalg.norm(axes @ scan.scan.volume.ijk_to_ras[:3, :3], axis=1) for scan in scans], axis=0)


def _kinds(signals: FloatArray, reference: _Reference) -> NDArray[np.int_]:
    """The type of each cell by its change on T1 and T2."""
    change = signals / reference.signal[:, None, None, None] - 1.0
    limit = np.maximum(LEAST_CHANGE, DEVIATIONS * reference.spread)[:, None, None, None]
    dark, bright = change < -limit, change > limit
    return np.select([dark[0] & bright[1], bright[0] & ~dark[1], dark[0] & dark[1]], [1, 2, 3], 0)


def _record(motion: MotionSegment, bands: list[Band], flags: tuple[str, ...], scan: str) -> Measurement:
    worst = max(bands, key=lambda band: float(band.shares[1:].max()))
    kind = 1 + int(worst.shares[1:].argmax())
    share = float(worst.shares[kind])
    if abs(share - LEAST_SHARE) < DOUBTFUL:
        flags = (*flags, NEAR_CUTOFF)
    kind = kind if share >= LEAST_SHARE else 0
    grade = Grade(_MEANING[kind], f"{share:.0%} of the band at an endplate", MODIC, _SEVERITY[kind])
    return Measurement("modic_type", motion.segment, float(kind), "1", None, None, quality_of(flags), flags, (grade,),
                       _drawn(worst, kind), scan, TYPES[kind])


def _drawn(band: Band, kind: int) -> Geometry:
    """The band, or what is changed in it, along the endplate, in the sagittal plane that shows most of it."""
    shown = (band.kinds == kind) & band.known if kind else band.known
    slices = shown.sum(axis=(1, 2)) if kind else np.arange(len(shown)) == len(shown) // 2
    at = int(np.argmax(slices))
    columns = np.flatnonzero(shown[at].any(axis=1))
    lines = band.points_RAS[at, columns[0]:columns[-1] + 1]
    frame = sagittal(band.frame, lines.reshape(-1, 3).mean(axis=0))
    return Geometry("contour", np.concatenate([lines[:, 0], lines[::-1, -1]]), frame)


FAMILY = Family("modic", "Modic changes", DEFINITIONS, compute, order=23, chapter="Bone")
