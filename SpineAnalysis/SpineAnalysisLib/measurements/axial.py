"""The dural sac on axial T2 slices, at the discs that they cover: sharper than a sagittal scan shows it.

Where the canal runs and how wide it about is comes from the segmentation, its place in the slices from the registration
of the visit's scans; the border itself is found in each slice, in the slice's own pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..geometry.borders import bright_border
from ..geometry.frames import Frame, Plane
from ..geometry.outlines import moments
from ..geometry.sections import Section
from ..spine import MotionSegment, Scan, Spine
from ..volume import Volume
from .profiles import SLAB_MARGIN_MM
from .slices import ScanSlice, slice_normal

FloatArray = NDArray[np.floating]

SLICE_DEG = 30.0
"""A slice that leans no more against the canal's cross-section is measured as it is, shortened by the cosine.  Beyond,
planes across the canal are cut through the outlines of several slices."""
STEEPEST_DEG = 50.0
PIXEL_MM = 1.2
"""Slices with larger pixels show the sac no better than the segmented scan."""
FLUID_PERCENTILE, INNER = 90.0, np.linspace(0.05, 0.75, 12)
"""The fluid's signal is this percentile of what lies in the inner part of the expected sac, in all slices together."""
EXPECTED_MM, ACROSS_VOXELS = 1.5, 0.5
"""Standard deviation of where the segmentation lets expect the border: at least, and in voxels of a coarse axis."""
LEAST_COVERED, WELL_COVERED = 0.5, 0.9
"""Shares of the canal beside a disc from which on it is measured, and seen in full."""
LEAST_SEEN = 0.6
"""An outline of which a smaller share is an edge is a guess."""
SIZES = (0.25, 1.6)
"""Of the sac's area, by what the segmentation lets expect: others are something else."""

EDGE_MM = 0.4
"""Standard uncertainty of where the border runs, the same way all around (docs/ACCURACY.md)."""
LET_EXPECT = ((1.0, 0.0), (1.0, 1.0), (1.0, -1.0), (0.9, 0.0), (1.1, 0.0))
"""Sizes, and shifts to the front in mm, of what is expected; how much the borders found differ is added to the
uncertainty."""
END_MM = 0.7
"""Of the ends of a diameter, each on its own."""
DURA_MM = 0.32
"""The border that is seen is that of the fluid; the sac is as much wider all around (Reina et al., Rev Esp Anestesiol
Reanim 1999;46:344-349: 240 places of one sac)."""
ALONE_SHARE = 0.25
"""Of the step to the only neighboring slice: how much narrower it may be beside the last slice."""
CUT_STEP_MM = 1.0


@dataclass(frozen=True, eq=False)
class Outlined:
    """The sac in one plane.

    :param s: where the plane crosses the canal, mm of arc length; :param section: in the plane.
    :param tangent: (3,) along the canal there; :param seen: share of the outline that is an edge.
    :param wavering_mm: how much the border depends on what is expected, the same way all around.
    :param expected: area that the segmentation lets expect, mm2.
    """

    s: float
    section: Section
    tangent: FloatArray
    seen: float
    wavering_mm: float
    expected: float

    @property
    def cosine(self) -> float:
        return abs(float(self.section.frame.superior @ self.tangent))

    @property
    def straight(self) -> bool:
        return self.cosine >= np.cos(np.radians(SLICE_DEG))

    @property
    def area(self) -> float:
        """Across the canal, mm2."""
        return self.section.area * self.cosine

    @property
    def ap_diameter(self) -> float:
        return self._across(self.section.ap_line)

    @property
    def transverse_diameter(self) -> float:
        return self._across(self.section.transverse_line)

    def _across(self, line: FloatArray) -> float:
        """Length of a line as seen along the canal."""
        along = line[1] - line[0]
        return float(np.sqrt(along @ along - (along @ self.tangent)**2))

    @property
    def plausible(self) -> bool:
        return self.seen >= LEAST_SEEN and SIZES[0] <= self.area / self.expected <= SIZES[1]


@dataclass(frozen=True, eq=False)
class Reading:
    """The sac at one disc, on one scan.

    :param planes: outlined there, from head to foot; :param slices: all of the scan's, from head to foot.
    :param covered: share of the canal beside the disc; :param cut: whether the planes lie between the slices.
    """

    motion: MotionSegment
    scan: Scan
    planes: tuple[Outlined, ...]
    slices: tuple[Outlined, ...]
    covered: float
    cut: bool = False

    @property
    def narrowest(self) -> Outlined:
        """The plane of the smallest area, in which the diameters are taken too."""
        return min(self.planes, key=lambda plane: plane.area)

    def uncertainty(self, quantity: str) -> float:
        """One standard deviation: of the outline, and of what lies between the slices and within one."""
        plane = self.narrowest
        drawn = plane.section.perimeter * float(np.hypot(EDGE_MM, plane.wavering_mm)) if quantity == "area" else \
            float(np.sqrt(2.0) * np.hypot(END_MM, plane.wavering_mm))
        return float(np.hypot(drawn, self._between(plane, quantity)))

    def _between(self, plane: Outlined, quantity: str) -> float:
        """By how much a narrow place looks wider, as it lies between slices, which are thick and lean."""
        at = int(np.argmin([abs(other.s - plane.s) for other in self.slices]))
        near = [self.slices[i] for i in (at - 1, at + 1) if 0 <= i < len(self.slices)]
        steps = [float(getattr(other, quantity) - getattr(plane, quantity)) for other in near]
        if len(near) < 2:
            return ALONE_SHARE * abs(steps[0]) if steps else 0.0
        bend, tilt = sum(steps), (steps[1] - steps[0]) / 2.0
        if bend <= 0.0:
            return 0.0
        apart = (near[1].s - near[0].s) / 2.0
        lean = plane.ap_diameter / 2.0 * float(np.tan(np.arccos(plane.cosine)))
        blurred = (float(self.scan.volume.spacing.max())**2 / 12.0 + lean**2 / 4.0) / 2.0
        return min(tilt**2 / (2.0 * bend), bend / 8.0) + bend / apart**2 * blurred

    @cached_property
    def flags(self) -> tuple[str, ...]:
        raised = {"contrast_guessed": self.scan.contrast_guessed, "partial_view": self.covered < WELL_COVERED,
                  "plane_between_slices": self.cut}
        return tuple(flag for flag, on in raised.items() if on)


def axial_readings(spine: Spine) -> tuple[list[Reading], tuple[str, ...]]:
    """The sac at every disc that an axial T2 scan covers, and sentences about scans that were of no use."""
    found: list[Reading] = []
    other: list[str] = []
    nowhere: list[str] = []
    unclear: list[str] = []
    for scan in spine.further:
        if spine.canal is None or not is_axial(scan.volume, spine):
            continue
        if scan.contrast != "T2":
            other.append(scan.name)
            continue
        slices = outlined_slices(spine, scan)
        here = [reading for motion in spine.segments
                if (reading := _at_disc(spine, scan, slices, motion)) is not None]
        clear = [reading for reading in here if all(plane.plausible for plane in reading.planes)]
        found += clear
        unclear += [f"{reading.motion.segment} on {scan.name}" for reading in here if reading not in clear]
        nowhere += [] if here else [scan.name]
    told = ((other, "The canal was not outlined on {}, as only T2 shows the dural sac's border well."),
            (nowhere, "No disc is covered well enough to measure the canal on {}."),
            (unclear, "The dural sac does not stand out from what is around it at {}; the canal there is that of the "
                      "segmentation."))
    return found, tuple(text.format(", ".join(names)) for names, text in told if names)


def is_axial(volume: Volume, spine: Spine) -> bool:
    """Whether it is of slices across the canal, with fine pixels."""
    slow = int(np.argmax(volume.spacing))
    fine = np.delete(volume.spacing, slow)
    if fine.max() > PIXEL_MM or volume.spacing[slow] < 1.5 * fine.max():
        return False
    center = volume.to_ras((np.array(volume.shape) - 1) / 2.0)
    along = spine.centerline.tangent(float(np.clip(spine.centerline.project(center), 0.0, spine.centerline.length)))
    return abs(float(along @ slice_normal(volume, slow))) > np.cos(np.radians(STEEPEST_DEG))


@dataclass(frozen=True, eq=False)
class _Slice(ScanSlice):
    """One slice where it crosses the canal.

    :param expected: (RAYS, 2) what the segmentation says, in the slice's plane.
    """

    s: float
    expected: FloatArray

    def inner(self) -> FloatArray:
        """Values well inside of what is expected."""
        middle = moments(self.expected)[1]
        return self.values(middle + INNER[:, None, None] * (self.expected - middle)).ravel()


def outlined_slices(spine: Spine, scan: Scan) -> list[Outlined]:
    """The sac in every slice of a scan that crosses the segmented canal near a disc, from head to foot."""
    slices = sorted(_slices(spine, scan), key=lambda each: each.s)
    near = [(m.canal_s, m.height_mm / 2.0 + SLAB_MARGIN_MM + 1.5 * float(scan.volume.spacing.max()))
            for m in spine.segments if m.canal_s is not None]
    slices = [each for each in slices if any(abs(each.s - middle) < reach for middle, reach in near)]
    if not slices:
        return []
    fluid = float(np.percentile(np.concatenate([each.inner() for each in slices]), FLUID_PERCENTILE))
    if fluid <= 0.0:
        return []
    return [_outlined(spine, scan, each, fluid) for each in slices]


def _slices(spine: Spine, scan: Scan) -> Iterator[_Slice]:
    slow = int(np.argmax(scan.volume.spacing))
    for fixed in range(scan.volume.shape[slow]):
        found = _slice_at(spine, scan.volume, slow, fixed)
        if found is not None and scan.motions:  # vertebrae may have moved since
            found = _slice_at(spine, scan.near(found.frame.origin).volume, slow, fixed)
        if found is not None and found.shows(found.expected):
            yield found


def _slice_at(spine: Spine, volume: Volume, slow: int, fixed: int) -> _Slice | None:
    assert spine.canal is not None
    middle = (np.array(volume.shape) - 1) / 2.0
    middle[slow] = fixed
    plane = Plane(volume.to_ras(middle), slice_normal(volume, slow))
    crossing = spine.centerline.intersections(plane)
    if not len(crossing):
        return None
    s = float(crossing[np.linalg.norm(spine.centerline.position(crossing) - plane.origin, axis=1).argmin()])
    known, tangent = spine.canal.sections[spine.canal.nearest(s)], spine.centerline.tangent(s)
    lean = float(tangent @ plane.normal)
    if known is None or not known.complete or abs(lean) < np.cos(np.radians(STEEPEST_DEG)):
        return None
    frame = Frame.from_axes(spine.centerline.position(s), plane.normal, spine.anterior(s))
    along = (plane.distance(known.contour_RAS) / -lean)[:, None] * tangent
    expected = frame.to_frame(known.contour_RAS + along)[:, :2]
    return _Slice(volume, slow, fixed, frame, s, expected)


def _outlined(spine: Spine, scan: Scan, each: _Slice, fluid: float) -> Outlined:
    assert spine.canal is not None
    steps = np.abs(np.stack([each.frame.right, each.frame.anterior]) @ spine.canal.resolution).max(axis=1)
    right, front = np.hypot(np.maximum(EXPECTED_MM, ACROSS_VOXELS * steps), scan.residual_mm or 0.0)
    usual, middle, _ = moments(each.expected)
    found = [bright_border(lambda places: each.values(places) / fluid,
                           middle + size * (each.expected - middle) + np.array([0.0, shift]),
                           (float(right), float(front))) for size, shift in LET_EXPECT]
    section = _section(each.frame, found[0].wider(DURA_MM))
    tangent = spine.centerline.tangent(each.s)
    wavering = float(np.std([moments(border.outline)[0] for border in found])) / section.perimeter
    return Outlined(each.s, section, tangent, found[0].seen, wavering,
                    usual * abs(float(tangent @ each.frame.superior)))


def _section(frame: Frame, outline: FloatArray) -> Section:
    area, middle, _ = moments(outline)
    return Section(frame.at(frame.to_ras(np.append(middle, 0.0))), outline - middle, area)


def _at_disc(spine: Spine, scan: Scan, slices: Sequence[Outlined], motion: MotionSegment) -> Reading | None:
    """``None`` where the scan does not cover the disc."""
    middle = motion.canal_s
    if middle is None or not slices:
        return None
    half = motion.height_mm / 2.0 + SLAB_MARGIN_MM
    samples = np.linspace(middle - half, middle + half, max(int(2.0 * half / CUT_STEP_MM), 2) + 1)
    straight = [plane for plane in slices if plane.straight and abs(plane.s - middle) <= half]
    reach = [float(scan.volume.spacing.max()) / 2.0 / plane.cosine for plane in straight]
    away = np.abs(samples[:, None] - np.array([plane.s for plane in straight]))
    covered = float((away <= np.array(reach)).any(axis=1).mean())
    if covered >= LEAST_COVERED:
        return Reading(motion, scan, tuple(straight), tuple(slices), covered)
    cut = [plane for s in samples if (plane := _cut(spine, slices, float(s))) is not None]
    covered = len(cut) / len(samples)
    return Reading(motion, scan, tuple(cut), tuple(slices), covered, True) if covered >= LEAST_COVERED else None


def _cut(spine: Spine, slices: Sequence[Outlined], s: float) -> Outlined | None:
    """The plane across the canal, cut through the surface between the slices' outlines; ``None`` where they end."""
    if len(slices) < 2:
        return None
    tangent = spine.centerline.tangent(s)
    frame = Frame.from_axes(spine.centerline.position(s), -tangent, spine.anterior(s))
    outlines = np.array([plane.section.contour_RAS for plane in slices])
    height = frame.plane.distance(outlines)
    crossing = np.signbit(height[:-1]) != np.signbit(height[1:])
    if not crossing.any(axis=0).all():
        return None
    first, ray = crossing.argmax(axis=0), np.arange(outlines.shape[1])
    share = height[first, ray] / (height[first, ray] - height[first + 1, ray])
    points = outlines[first, ray] + share[:, None] * (outlines[first + 1, ray] - outlines[first, ray])
    flat = frame.to_frame(points)[:, :2]
    used = slices[int(first.min()):int(first.max()) + 2]
    return replace(slices[int(first[0])], s=s, section=_section(frame, flat), tangent=tangent,
                   seen=float(np.mean([plane.seen for plane in used])),
                   wavering_mm=float(np.mean([plane.wavering_mm for plane in used])),
                   expected=float(np.mean([plane.expected for plane in used])))
