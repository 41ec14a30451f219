"""Muscles beside the spine: cross-section, share of fat and asymmetry at every disc, where they are labeled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind, Side
from ..progress import Progress, step
from ..spine import MotionSegment, Scan, Spine
from ..volume import LabelMap
from .bone import spine_flags
from .evenness import EvenScan, even
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import AREA, SOFT_HU, Coding, Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]
Mask = NDArray[np.bool_]

MUSCLES = {"erector": (Kind.ERECTOR, "Erector spinae"), "psoas": (Kind.ILIOPSOAS, "Psoas")}
SIDES: tuple[Side, ...] = ("right", "left")
PIXEL_MM, REACH_MM = 1.0, 110.0
LEAST_MM2 = 60.0
"""Smaller cross-sections are the muscle's end, not the muscle."""
FAT_HU, MUSCLE_HU = (-190.0, -30.0), (-29.0, 150.0)
AUBREY = "Aubrey et al., Acta Physiol 2014;210:489-497"
OTSU = "Otsu, IEEE Trans Syst Man Cybern 1979;9:62-66"
BOUNDARY_SHARE = 0.15
"""Standard uncertainty of where a label's outline runs, in voxels, the same way all around."""
ALIKE_MM2 = 16.0
"""Values of pixels nearer to each other than about this area are no independent samples."""
BINS = 128
NEAR_MM = 6.0
"""Fat this near to a muscle tells what fat looks like on the scan."""


def _definitions() -> Iterator[Definition]:
    for key, (_, title) in MUSCLES.items():
        yield Definition(f"{key}_area", f"{title} area", "mm2", f"Cross-section of the labeled {title.lower()} in the "
                         "plane of the disc.", coding=Coding(AREA, structure=MUSCLES[key][0]), decimals=0)
        yield Definition(f"{key}_fat_share", f"{title} fat", "%", "Share of fat in that cross-section: on CT pixels "
                         "from -190 to -30 HU among those of fat and muscle (-29 to 150 HU); on MR (T1, else T2, "
                         "evened out) pixels above Otsu's threshold between muscle and the fat around it.",
                         f"{AUBREY}; {OTSU}", decimals=0)
        yield Definition(f"{key}_asymmetry", f"{title} asymmetry", "%", "Right minus left area over their mean; more "
                         "on the right is positive.", decimals=0)


@dataclass(frozen=True, eq=False)
class Cut:
    """One muscle in one plane.

    :param mask: (U, V) of the plane's grid; :param points_RAS: (U, V, 3) of that grid.
    :param spread: one standard deviation of the area, mm2.
    """

    mask: Mask
    points_RAS: FloatArray
    area: float
    spread: float
    whole: bool


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure labeled muscles in the planes of all discs."""
    labeled = [name for name, (kind, _) in MUSCLES.items() if spine.labels.values(kind)]
    if not labeled:
        return FamilyResult(())
    step(progress, 0.1, "Measuring muscles")
    common = spine_flags(spine)
    records: list[Measurement] = []
    for name in labeled:
        cuts = {(motion.segment, side): found for motion in spine.segments for side in SIDES
                if (found := _cut(spine.labels, motion, MUSCLES[name][0], side)) is not None}
        fat = _Fat.of(spine, list(cuts.values()))
        for motion in spine.segments:
            both = {side: cuts[motion.segment, side] for side in SIDES if (motion.segment, side) in cuts}
            flags = common + motion.flags
            for side, cut in both.items():
                records += _at(name, motion, side, cut, fat, flags)
            if len(both) == 2:
                records.append(_asymmetry(name, motion, both["right"], both["left"], flags))
    step(progress, 1.0, "Muscles measured")
    return FamilyResult(tuple(records))


def _cut(labels: LabelMap, motion: MotionSegment, kind: Kind, side: Side) -> Cut | None:
    """``None`` where the muscle is not, or only just, there."""
    values = [v for v in labels.values(kind) if labels.structures[v].side == side]
    line = np.arange(-REACH_MM, REACH_MM + PIXEL_MM / 2, PIXEL_MM)
    right, front = np.meshgrid(line, line, indexing="ij")
    points = motion.disc.to_ras(np.stack([right, front, np.zeros_like(right)], axis=-1))
    index = np.rint(labels.to_ijk(points)).astype(int)
    last = np.array(labels.shape) - 1
    inside: Mask = np.asarray(np.all((index >= 0) & (index <= last), axis=-1))
    found = labels.array[tuple(np.moveaxis(np.clip(index, 0, last), -1, 0))]
    mask: Mask = np.asarray(np.isin(found, values) & inside)
    area = float(mask.sum()) * PIXEL_MM**2
    if area < LEAST_MM2:
        return None
    edge = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    steps = np.stack([motion.disc.right, motion.disc.anterior]) @ labels.ijk_to_ras[:3, :3]
    voxel = float(np.sqrt(np.square(steps).sum() / 2.0))
    bordering = ((index <= 0) | (index >= last)).any(axis=-1) & mask
    return Cut(mask, points, area, BOUNDARY_SHARE * voxel * float(edge.sum()) * PIXEL_MM, not bool(bordering.any()))


@dataclass(frozen=True, eq=False)
class _Fat:
    """What is fat on a scan: :param limit: the signal from which on a pixel is fat; ``None`` on CT."""

    scan: Scan | EvenScan
    name: str
    limit: float | None
    flags: tuple[str, ...]

    @staticmethod
    def of(spine: Spine, cuts: list[Cut]) -> "_Fat | None":
        """``None`` without a scan that tells fat from muscle."""
        ct, mr = spine.scan("CT"), spine.scan("T1") or spine.scan("T2")
        if ct is not None:
            return _Fat(ct, ct.name, None, ("contrast_guessed",) if ct.contrast_guessed else ())
        if mr is None or not cuts:
            return None
        evened = even(mr, spine)
        values = np.concatenate([evened.values(cut.points_RAS[_grown(cut.mask)]) for cut in cuts])
        values = values[np.isfinite(values)]
        return _Fat(evened, mr.name, _otsu(values), evened.flags) if len(values) > 10 * BINS else None

    def share(self, cut: Cut) -> tuple[float, float] | None:
        """Percentage of fat and one standard deviation; ``None`` where the scan does not show the muscle."""
        values = self.scan.values(cut.points_RAS[cut.mask])
        if np.isnan(values).mean() > 0.02:
            return None
        if self.limit is None:
            fat = (values >= FAT_HU[0]) & (values <= FAT_HU[1])
            known = fat | ((values >= MUSCLE_HU[0]) & (values <= MUSCLE_HU[1]))
        else:
            fat, known = values >= self.limit, np.isfinite(values)
        if known.mean() < 0.5:
            return None
        share = float(fat.sum() / known.sum())
        independent = max(cut.area / ALIKE_MM2, 1.0)
        border = cut.spread / cut.area  # what the outline may take in or leave out is mostly fat
        return 100.0 * share, 100.0 * float(np.hypot(np.sqrt(max(share * (1 - share), 0.01) / independent), border))


def _grown(mask: Mask) -> Mask:
    """A mask with what lies within a few millimeters of it."""
    reach = int(NEAR_MM / PIXEL_MM)
    out = mask.copy()
    for _ in range(reach):
        out |= np.roll(out, 1, 0) | np.roll(out, -1, 0) | np.roll(out, 1, 1) | np.roll(out, -1, 1)
    return out


def _otsu(values: FloatArray) -> float:
    """The threshold that parts values into two classes that are each as alike as can be."""
    low, high = np.percentile(values, [0.5, 99.5])
    counts, edges = np.histogram(np.clip(values, low, high), BINS)
    middles = (edges[1:] + edges[:-1]) / 2.0
    below, total = np.cumsum(counts), float(counts.sum())
    sums = np.cumsum(counts * middles)
    above = total - below
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    return float(edges[1 + int((below * above * (means[0] - means[1])**2).argmax())])


def _outline(cut: Cut, motion: MotionSegment) -> Geometry:
    """The cross-section's outline as seen from its middle, ray by ray."""
    place = motion.disc.to_frame(cut.points_RAS[cut.mask])[:, :2]
    middle = place.mean(axis=0)
    angle = np.arctan2(*(place - middle).T[::-1])
    sector = np.floor((angle + np.pi) / (2 * np.pi) * 60).astype(int) % 60
    reach = np.linalg.norm(place - middle, axis=1)
    far = np.array([place[sector == i][reach[sector == i].argmax()] for i in range(60) if (sector == i).any()])
    return Geometry("contour", motion.disc.to_ras(np.column_stack([far, np.zeros(len(far))])), motion.disc)


def _at(name: str, motion: MotionSegment, side: Side, cut: Cut, fat: _Fat | None, flags: tuple[str, ...]
        ) -> Iterator[Measurement]:
    drawn = _outline(cut, motion)
    flags = flags if cut.whole else (*flags, "muscle_cut")
    yield Measurement(f"{name}_area", motion.segment, cut.area, "mm2", side, cut.spread, quality_of(flags), flags, (),
                      drawn)
    found = fat.share(cut) if fat is not None else None
    if fat is not None and found is not None:
        flags = (*flags, *fat.flags, "muscle_label_without_fat")
        yield Measurement(f"{name}_fat_share", motion.segment, found[0], "%", side, found[1], quality_of(flags), flags,
                          (), drawn, fat.name)


def _asymmetry(name: str, motion: MotionSegment, right: Cut, left: Cut, flags: tuple[str, ...]) -> Measurement:
    mean = (right.area + left.area) / 2.0
    value = 100.0 * (right.area - left.area) / mean
    spread = 100.0 * right.area * left.area / mean**2 * float(np.hypot(right.spread / right.area,
                                                                      left.spread / left.area))
    flags = flags if right.whole and left.whole else (*flags, "muscle_cut")
    return Measurement(f"{name}_asymmetry", motion.segment, value, "%", None, spread, quality_of(flags), flags, (),
                       _outline(right if value > 0 else left, motion))


FAMILY = Family("muscle", "Muscles beside the spine", tuple(_definitions()), compute,
                order=60, chapter="Muscle", window_HU=SOFT_HU)
