"""Signal of the discs on T2: desiccation and Pfirrmann grade."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..anatomy import Segment
from ..geometry.frames import Frame
from ..progress import Progress, step
from ..spine import Spine, Vertebra
from .bone import sagittal, spine_flags
from .csf import FreeFluid
from .disc_space import DiscSpace, FloatArray, disc_spaces, hollow
from .evenness import EvenScan, even
from .flags import NEAR_CUTOFF, quality_of
from .pfirrmann import FEWEST, GRADES, expected_heights, grade_probabilities, height_spread, signal_ratios
from .record import Geometry, Grade, Measurement, Severity
from .registry import SOFT_HU, Definition, Family, FamilyResult

PFIRRMANN = "Pfirrmann et al., Spine 2001;26:1873-1878"
NUCLEUS_SHARE = 0.5
"""The nucleus is looked for in the central half of the disc's width, depth and height."""
MARROW_MM, MARROW_FORWARD = (9.0, 6.0, 5.0), 0.18
"""Half axes of the marrow that is looked at, along R, A and S, and how far in front of the body's center it lies, in
shares of the body's depth: the vein is behind, and endplates, where marrow changes, are far."""
STEP_MM = 1.0
ALIKE_MM = 6.0
"""Texture is alike over about this distance, so values nearer to each other are no independent samples."""
REFERENCE_SPREAD = 0.03
"""Relative standard deviation that the estimate of the coil's sensitivity leaves between places (phantoms)."""
CORRECTED_SHARE = 0.35
"""The same between a disc and the fluid beside it, in shares of the correction (phantoms)."""
CORE_SHARE = 0.7
"""Of the nucleus, where what is beside it is not mixed in: the difference tells how much is."""
OPEN_RATIO = 2.0
"""A grade that is not so many times as probable as the next is called uncertain."""

_SEVERITIES = (Severity.NORMAL, Severity.NORMAL, Severity.MILD, Severity.MODERATE, Severity.SEVERE)
_LABELS = ("no degeneration", "slight degeneration", "degenerated", "clearly degenerated", "collapsed")

DEFINITIONS = (
    Definition("disc_signal_ratio", "Disc signal", "1", "On T2, the coil's unevenness taken out: mean signal of the "
               "nucleus (the central half of the disc) over that of the subject's own free CSF around its level.",
               "Luoma et al., Spine 2001;26:680-686", decimals=2),
    Definition("disc_desiccation", "Desiccation", "1", "On T2: 1 - q / best q, where q is the nucleus's signal over "
               "that of the marrow in the middle of the two adjacent bodies, and the best q is that of the subject's "
               "best disc in view. 0 is the best disc, 1 is no signal at all.", decimals=2),
    Definition("pfirrmann_grade", "Pfirrmann grade", "1", "On T2, lumbar discs: the most probable grade, from the "
               "nucleus's median signal and from the disc's height relative to what level and subject let expect; with "
               "the probability of every grade.", PFIRRMANN, decimals=0, words=GRADES),
)


@dataclass(frozen=True, eq=False)
class Nucleus:
    """Signal of one disc.

    :param typical: its median, which neither a cleft nor a fissure changes.
    :param spread: standard deviation of the mean, partial volume included; :param marrow: mean signal of the adjacent
        bodies, NaN without one.
    """

    space: DiscSpace
    signal: float
    typical: float
    spread: float
    marrow: float

    @property
    def segment(self) -> Segment:
        return self.space.motion.segment

    @property
    def quotient(self) -> float:
        return self.signal / self.marrow


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure the discs' signal, on scans that are known (or guessed) to be T2."""
    scan = spine.scan("T2")
    if scan is None:
        step(progress, 1.0, "No T2 scan: signal of discs not measured")
        return FamilyResult(())
    step(progress, 0.1, "Evening the scan out")
    evened = even(scan, spine)
    step(progress, 0.5, "Measuring the discs' signal")
    spaces = [space for _, space in disc_spaces(spine) if space is not None]
    nuclei = [found for space in spaces if (found := _nucleus(evened, space)) is not None]
    fluid = FreeFluid.of(spine, evened)
    records: list[Measurement] = []
    common = spine_flags(spine) + evened.flags
    if fluid is not None:
        ratios = list(_ratios(spine, nuclei, fluid, common))
        records += [*ratios, *_grades(spaces, ratios, [n.typical / max(n.signal, 1e-9) for n in nuclei])]
    else:
        flags = (*common, "no_free_csf")
        records += [Measurement("disc_signal_ratio", nucleus.segment, None, "1", None, None, quality_of(flags), flags,
                                (), _drawn(nucleus), scan.name) for nucleus in nuclei]
    records += _desiccation(nuclei, fluid, common, scan.name)
    step(progress, 1.0, "Signal of discs measured")
    return FamilyResult(tuple(records))


def _nucleus(scan: EvenScan, space: DiscSpace) -> Nucleus | None:
    """``None`` where the scan does not show the disc."""
    height = float(space.heights[1])
    half = NUCLEUS_SHARE * np.array([*space.half, max(height / 2.0, 0.5)])
    middle = space.frame.to_ras(np.array([0.0, 0.0, (hollow(space.above) - hollow(space.below)) / 2.0]))
    points = _filled(space.frame.at(middle), half)
    values = scan.values(points)
    if np.isnan(values).mean() > 0.02:
        return None
    place = space.frame.at(middle).to_frame(points) / half
    core = np.maximum(np.linalg.norm(place[:, :2], axis=1), np.abs(place[:, 2])) < CORE_SHARE
    mixed = float(np.nanmean(values[core]) - np.nanmean(values))
    values = values[np.isfinite(values)]
    independent = max(8.0 * float(half.prod()) / ALIKE_MM**3, 1.0)
    marrow = [found for found in (_marrow(scan, v) for v in (space.upper, space.lower)) if np.isfinite(found)]
    spread = float(np.hypot(values.std() / np.sqrt(independent), mixed))
    return Nucleus(space, float(values.mean()), float(np.median(values)), spread,
                   float(np.mean(marrow)) if marrow else float("nan"))


def _marrow(scan: EvenScan, vertebra: Vertebra) -> float:
    """Median signal in the middle of a body; NaN where it is not seen."""
    depth = vertebra.body_ap_mm or 0.0
    frame = vertebra.frame.at(vertebra.frame.to_ras(np.array([0.0, MARROW_FORWARD * depth, 0.0])))
    values = scan.values(_filled(frame, np.array(MARROW_MM)))
    return float(np.median(values)) if np.isfinite(values).all() else float("nan")


def _filled(frame: Frame, half: FloatArray) -> FloatArray:
    """(N, 3) RAS of points that fill an elliptic cylinder evenly; at least five layers."""
    lines = [np.linspace(-h, h, max(2 * int(h / STEP_MM) + 1, 5)) for h in half]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    return frame.to_ras(grid[np.linalg.norm(grid[:, :2] / half[:2], axis=1) <= 1.0])


def _drawn(nucleus: Nucleus) -> Geometry:
    """The nucleus's outline in the sagittal plane."""
    frame = sagittal(nucleus.space.frame, nucleus.space.frame.origin)
    half = NUCLEUS_SHARE * np.array([nucleus.space.half[1], nucleus.space.heights[1] / 2.0])
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half
    return Geometry("contour", frame.to_ras(np.column_stack([corners, np.zeros(4)])), frame)


def _ratios(spine: Spine, nuclei: list[Nucleus], fluid: FreeFluid, common: tuple[str, ...]) -> Iterator[Measurement]:
    derived = ("canal_derived",) if spine.canal is not None and spine.canal.derived else ()
    for nucleus in nuclei:
        flags = common + nucleus.space.motion.flags + derived
        free = fluid.near(spine, nucleus.space.motion.canal_s)
        ratio = nucleus.signal / free
        spread = ratio * float(np.linalg.norm([nucleus.spread / max(nucleus.signal, 1e-9), fluid.spread,
                                               REFERENCE_SPREAD, 1.0 - free / fluid.signal,
                                               CORRECTED_SHARE * _corrected(spine, nucleus, fluid)]))
        yield Measurement("disc_signal_ratio", nucleus.segment, ratio, "1", None, spread, quality_of(flags), flags, (),
                          _drawn(nucleus), fluid.scan.scan.name)


def _corrected(spine: Spine, nucleus: Nucleus, fluid: FreeFluid) -> float:
    """By how much the signals of a disc and of the canal beside it were corrected against each other, a logarithm."""
    s = nucleus.space.motion.canal_s
    if s is None:
        return 0.0
    ends = fluid.scan.log_gain(np.stack([nucleus.space.frame.origin, spine.centerline.position(s)]))
    return abs(float(np.diff(ends)[0]))


def _grades(spaces: list[DiscSpace], ratios: list[Measurement], typical: list[float]) -> Iterator[Measurement]:
    """:param typical: of every ratio, the nucleus's median over its mean."""
    indices = {space.motion.segment: float(space.heights.mean() / (2.0 * space.half[1])) for space in spaces}
    heights = expected_heights(indices)
    unlike = _unlike_t2(ratios)
    for record, share in zip(ratios, typical, strict=True):
        assert isinstance(record.level, Segment) and record.value is not None and record.uncertainty is not None
        if record.level not in heights:
            continue
        if unlike:
            flags = (*record.flags, "signal_unlike_t2")
            yield Measurement("pfirrmann_grade", record.level, None, "1", None, None, quality_of(flags), flags, (),
                              record.geometry, record.scan)
            continue
        chances = grade_probabilities(share * record.value, share * record.uncertainty, heights[record.level],
                                      height_spread(record.level))
        best = int(chances.argmax())
        spread = float(np.sqrt(chances @ np.square(np.arange(5) - best)))
        near = chances[best] < OPEN_RATIO * np.sort(chances)[-2]
        flags = (*record.flags, NEAR_CUTOFF) if near else record.flags
        grade = Grade(_LABELS[best], f"grade {GRADES[best + 1]}", PFIRRMANN, _SEVERITIES[best])
        yield Measurement("pfirrmann_grade", record.level, best + 1.0, "1", None, spread, record.quality, flags,
                          (grade,), record.geometry, record.scan, GRADES[best + 1],
                          dict(zip(GRADES.values(), map(float, chances), strict=True)))


def _unlike_t2(ratios: list[Measurement]) -> bool:
    """Whether a contrast was guessed wrong, as discs are bright throughout that a spin echo would show worn or not.

    Of 218 subjects of SPIDER, 10 have no disc but such of grade I.
    """
    known = [m.value for m in ratios if m.value is not None and "contrast_guessed" in m.flags]
    return len(known) >= FEWEST and float(np.median(known)) > signal_ratios()[0]


def _desiccation(nuclei: list[Nucleus], fluid: FreeFluid | None, common: tuple[str, ...], scan: str
                 ) -> Iterator[Measurement]:
    known = [nucleus for nucleus in nuclei if np.isfinite(nucleus.marrow) and nucleus.marrow > 0]
    if len(known) < 2:
        return
    best = max(known, key=lambda nucleus: nucleus.quotient)
    worn = fluid is not None and best.signal / fluid.signal < float(np.sqrt(signal_ratios()[1] * signal_ratios()[2]))
    for nucleus in known:
        flags = common + nucleus.space.motion.flags + (("best_disc_worn",) if worn else ())
        share = nucleus.quotient / best.quotient
        spread = share * float(np.linalg.norm([nucleus.spread / nucleus.signal, best.spread / best.signal,
                                               REFERENCE_SPREAD]))
        yield Measurement("disc_desiccation", nucleus.segment, 1.0 - share, "1", None, spread, quality_of(flags),
                          flags, (), _drawn(nucleus), scan)


FAMILY = Family("disc_signal", "Signal of the discs", DEFINITIONS, compute,
                order=21, chapter="Disc", window_HU=SOFT_HU)
