"""How probable each Pfirrmann grade is, from the nucleus's signal and the disc's height.

Signal, the nucleus's median, which neither its dark cleft nor bright fissures change, as T2 times are measured clear of
them and Pfirrmann does not count the cleft.  The T2 time per grade is published (I 210, II 129, III 84, IV 51 ms, each
with its standard deviation: 479 lumbar discs, poster 58d54bf2 of the European Congress of Radiology; Marinelli et al.,
AJNR 2010;31:1278-1282, found 108 ms for II and 53 ms for IV).  The signal equation of a spin echo makes of it a ratio
to fluid, at the median TR and TE of the 210 T2 scans of SPIDER.  Signal does not tell V from IV (Salamat et al.,
SpringerPlus 2016;5:829), height does.

Height: relative to what level and subject let expect.  A disc that has lost a fifth looks narrow; the mean of every
grade is where as many discs are narrow as SPIDER's radiologist found in that grade.

Prior: how frequent the grades are among SPIDER's 1520 lumbar discs (van der Graaf et al., Sci Data 2024;11:264).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Segment

FloatArray = NDArray[np.floating]

GRADES = {1: "I", 2: "II", 3: "III", 4: "IV", 5: "V"}
COUNTS = np.array([286.0, 341.0, 418.0, 291.0, 184.0])
"""Discs of each grade in SPIDER."""

T2_MS = np.array([210.1, 129.0, 84.1, 51.2, 51.2])
T2_SPREAD_MS = np.array([32.2, 18.6, 10.3, 9.3, 9.3])
TR_MS, TE_MS = 3643.0, 120.0
FLUID_T1_MS, FLUID_T2_MS = 4300.0, 2000.0
"""Of cerebrospinal fluid: T1 as Rooney et al., Magn Reson Med 2007;57:308-318; T2 is so long that it hardly matters."""
DISC_T1_MS, DISC_WATER = 1200.0, 0.80
"""Of the nucleus: T1 as Chiu et al., Spine 2001;26:E437-E444; share of water as Antoniou et al., J Clin Invest
1996;98:996-1003."""
SEQUENCE_SPREAD = 0.2
"""Relative standard deviation of the ratio from scan to scan: TE from 92 to 120 ms (80 % of SPIDER's) is 0.17 for
grade III, and TR adds to it."""

HEIGHT = np.array([1.0, 1.0, 0.87, 0.75, 0.45])
HEIGHT_SPREAD = 0.15
"""Mean height of each grade's discs relative to the expected one.  7, 6, 33, 64 and 99 % of SPIDER's discs of grades
I to V are narrow; with this spread so many lie below 0.8."""

LOWEST_SPREAD, LOWEST = 0.21, frozenset({Level.L5, Level.L6})
"""The same for the lumbosacral disc, whose height differs most between people: on 14 exams with bright discs throughout
0.21, and 0.05 to 0.13 above."""
LOW_ANYWAY = 0.05
"""Share of discs that are low without wear: rudimentary ones above a transitional vertebra, which 4 to 30 % of people
have (Konin and Walz, AJNR 2010;31:1778-1786), and those whose outline is wrong (2 of 125 on 25 exams)."""

EXPECTED_INDEX: Mapping[Level, float] = {Level.T12: 0.23, Level.T13: 0.23, Level.L1: 0.25, Level.L2: 0.28,
                                         Level.L3: 0.31, Level.L4: 0.33, Level.L5: 0.30, Level.L6: 0.30}
"""Disc height index of young adults by the vertebra above: heights after Frobin et al., Clin Biomech 1997;12(Suppl 1),
depths after Panjabi et al., Spine 1992;17:299-306."""
FEWEST, OWN_PERCENTILE = 4, 75.0
"""From so many discs on, what is expected is scaled to the subject, by the taller discs: worn ones tell nothing."""


def signal_ratios() -> FloatArray:
    """(5,) typical ratio of the nucleus's signal to that of free fluid, by grade."""
    def signal(t1: float, t2: FloatArray | float) -> FloatArray:
        return np.asarray((1.0 - np.exp(-TR_MS / t1)) * np.exp(-TE_MS / np.asarray(t2)))
    return DISC_WATER * signal(DISC_T1_MS, T2_MS) / signal(FLUID_T1_MS, FLUID_T2_MS)


def signal_spreads() -> FloatArray:
    """(5,) relative standard deviations of these ratios among discs and scans."""
    return np.hypot(TE_MS * T2_SPREAD_MS / T2_MS**2, SEQUENCE_SPREAD)


def expected_heights(indices: Mapping[Segment, float]) -> dict[Segment, float]:
    """Disc height indices as shares of what level and subject let expect; only of the discs that Pfirrmann graded."""
    shares = {segment: index / EXPECTED_INDEX[segment.upper] for segment, index in indices.items()
              if segment.upper in EXPECTED_INDEX}
    own = float(np.percentile(list(shares.values()), OWN_PERCENTILE)) if len(shares) >= FEWEST else 1.0
    return {segment: share / own for segment, share in shares.items()}


def height_spread(segment: Segment) -> float:
    """One standard deviation of a disc's height among discs of one grade, as a share of the expected one."""
    return LOWEST_SPREAD if segment.upper in LOWEST else HEIGHT_SPREAD


def grade_probabilities(ratio: float, ratio_spread: float, height: float, spread: float = HEIGHT_SPREAD) -> FloatArray:
    """(5,) probabilities of the grades I to V.

    :param ratio: of the nucleus's median signal to free fluid; :param ratio_spread: its own standard deviation.
    :param height: of the disc as a share of the expected one; :param spread: as of :func:`height_spread`.
    """
    spreads = np.hypot(signal_spreads(), ratio_spread / max(ratio, 1e-3))
    signal = _normal(np.log(max(ratio, 1e-3)), np.log(signal_ratios()), spreads)
    tall = _normal(height, HEIGHT, np.full(5, spread)) / np.sqrt(2.0 * np.pi)
    tall[:4] = (1.0 - LOW_ANYWAY) * tall[:4] + LOW_ANYWAY * (height < 1.0)  # then, any height up to the usual one alike
    weights = COUNTS * signal * tall
    return np.asarray(weights / weights.sum())


def _normal(value: float, mean: FloatArray, spread: FloatArray) -> FloatArray:
    score = (value - mean) / spread
    score = np.sign(score) * np.minimum(np.abs(score), 6.0)  # beyond, all grades are equally surprising
    return np.exp(-0.5 * score**2) / spread
