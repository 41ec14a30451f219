"""How likely detections are as a chain of levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..anatomy import Level
from . import atlas, dens, lowest, traits
from .appearance import TRAITS
from .detections import Detection
from .inference import Chain
from .landmarks import Landmark, likelihood
from .priors import (
    LEVEL_INDEX,
    ON_SACRUM,
    REST,
    STATES,
    betweenness,
    level_pitch,
    one_step,
    pedicle_distance,
    presence,
    region_index,
)

FloatArray = NDArray[np.floating]

SIZES = np.linspace(0.79, 1.21, 7)
"""Body sizes, relative to the tables' adults."""
SIZE_SPREAD = 0.09
MISSED = 0.02
"""Chance that a vertebra in the middle of others was not found."""
NAME_RIGHT = 0.8
"""Chance that a segmentation's own name is right; errors are mostly shifts, so names are not trusted one by one."""
MOST_MISSED, MOST_SPURIOUS = 3, 2
"""In a row."""
_SPREAD, _NOISE_MM, _TAILS = 0.10, 2.0, 4.0  # of lengths: share, of detectors, degrees of freedom
_LEAST_REGION = 0.002  # no detector is surer of a region
_SURE, _UNSURE = 20.0, 3.0  # of a region's share, whose density is n x^(n - 1): 95 % on average, and 75 %
_SACRUM_UNTOLD = 0.01  # how often a sacrum is detected as a vertebra like others
_NO_PEDICLES = 0.05  # share of vertebrae whose pedicles were not found, where others' were
_STRAY_MM, _STRAY_PEDICLES_MM = 60.0, 60.0  # spurious ones lie, and spread pedicles, anywhere in so much
_STRAY_NO_PEDICLES = 0.5
_SACRUM_IN_LEVELS = 3.0  # a sacrum is about as long: images end beside it three times as often as beside one vertebra


@dataclass(frozen=True)
class Rules:
    """What holds for sure.

    :param absent: names of states (``priors``) that this spine does not have.
    :param use_ribs: whether the border of chest and loins, which is where the ribs end, tells levels.
    :param anchors: index of the detection, top to bottom -> its level.
    :param room_above_mm, room_below_mm: image beyond the first and the last detection; ``None`` where unknown.
    :param landmarks: what lies beside known vertebrae in most people.
    """

    absent: frozenset[str] = frozenset()
    use_ribs: bool = True
    anchors: tuple[tuple[int, Level], ...] = ()
    room_above_mm: float | None = None
    room_below_mm: float | None = None
    landmarks: tuple[Landmark, ...] = ()


def chain_of(detections: Sequence[Detection], rules: Rules) -> Chain:
    """The model of these detections, from head to foot."""
    prior = -0.5 * ((SIZES - 1.0) / SIZE_SPREAD) ** 2
    prior -= np.log(np.exp(prior).sum())
    steps = one_step(rules.absent)
    with np.errstate(divide="ignore"):
        begin = np.log(presence(steps) / presence(steps).sum())
    use_pedicles = any(d.pedicles_RAS is not None for d in detections)
    real = _regions(detections, rules.use_ribs) + _allowed(detections, rules.anchors) + _names(detections)
    real += likelihood(detections, rules.landmarks) + _looks(detections)
    real = real + np.log([d.confidence for d in detections])[:, None] + (_pedicles(detections) if use_pedicles else 0.0)
    real = real + traits.likelihood([d.traits for d in detections], TRAITS, SIZES)
    spurious = _spurious(detections, use_pedicles)
    spurious[[index for index, _ in rules.anchors]] = -np.inf
    arcs, likely = _steps(detections, steps)
    return Chain(prior, np.broadcast_to(real, (len(SIZES), *real.shape[-2:])), spurious,
                 begin + _beyond(rules.room_above_mm, above=True), _last(rules.room_below_mm), arcs, likely,
                 LEVEL_INDEX)


def _regions(detections: Sequence[Detection], use_ribs: bool) -> FloatArray:
    """(N, L)."""
    out = np.zeros((len(detections), len(STATES)))
    for i, detection in enumerate(detections):
        if detection.region_probabilities is not None:
            out[i] = _look(np.array(detection.region_probabilities, float), use_ribs)
        if detection.could_be is None and detection.named is None:
            out[i, Level.S1 - 1] += np.log(_SACRUM_UNTOLD)
    return out


def _look(given: FloatArray, use_ribs: bool) -> FloatArray:
    """(L,) logarithm of the density of what a detector says of the regions, where a state is what it sees.

    The share of a state's own region, against the one that it may be mistaken for, is a measurement: next to one for
    most vertebrae, anywhere for those that are built like something between two regions.  Shares as such would be as
    sure of a border one vertebra off as the detector is, and detectors are surer than they are right (Guo et al., ICML
    2017, 1321).
    """
    share = given / given.sum() + _LEAST_REGION
    share, looks, between = share / share.sum(), region_index(), betweenness()
    if not use_ribs:
        return np.asarray(np.log(np.where(looks == 0, share[0], share[1:].mean())))
    other = np.where(looks == 1, max(share[0], share[2]), share[1])
    own = share[looks] / (share[looks] + other)
    sure, unsure = (n * own ** (n - 1.0) for n in (_SURE, _UNSURE))
    return np.asarray(np.log((share[looks] + other) * ((1.0 - between) * sure + between * unsure)))


def _allowed(detections: Sequence[Detection], anchors: Sequence[tuple[int, Level]]) -> FloatArray:
    """(N, L) zero or minus infinity."""
    out = np.zeros((len(detections), len(STATES)))
    known = [(i, d.could_be) for i, d in enumerate(detections) if d.could_be is not None]
    for i, could_be in [*known, *((index, frozenset({level})) for index, level in anchors)]:
        out[i, [j for j, state in enumerate(STATES) if state.level not in could_be]] = -np.inf
    for i, level in anchors:
        out[i, level - 1 == LEVEL_INDEX] = 0.0  # people overrule shapes
    sacra = {i for i, d in enumerate(detections) if d.could_be == frozenset({Level.S1})} - {i for i, _ in anchors}
    out[[i for i in range(len(detections)) if i not in sacra], REST] = -np.inf
    return out


def _names(detections: Sequence[Detection]) -> FloatArray:
    """(N, L) of the names that came with a segmentation."""
    out = np.zeros((len(detections), len(STATES)))
    for i, detection in enumerate(detections):
        if detection.named is not None:
            out[i] = np.log((1.0 - NAME_RIGHT) / (len(Level) - 1))
            out[i, detection.named - 1 == LEVEL_INDEX] = np.log(NAME_RIGHT)
    return out


def _looks(detections: Sequence[Detection]) -> FloatArray:
    """(N, L) of what is seen of the highest and of the lowest body."""
    out = np.zeros((len(detections), len(STATES)))
    for i, detection in enumerate(detections):
        if detection.looks is not None:
            out[i] += lowest.likelihood(detection.looks)
        if detection.tall is not None:
            out[i] += dens.likelihood(detection.tall.ratio)
        if detection.ring is not None:
            out[i] += atlas.likelihood(detection.ring)
    return out


def _pedicles(detections: Sequence[Detection]) -> FloatArray:
    """(S, N, L)."""
    width = np.array([d.pedicle_distance for d in detections])
    found = np.log(1.0 - _NO_PEDICLES) + _density(width[None, :, None], SIZES[:, None, None] * pedicle_distance())
    return np.where(np.isfinite(width)[None, :, None], found, np.log(_NO_PEDICLES))


def _spurious(detections: Sequence[Detection], use_pedicles: bool) -> FloatArray:
    """(N,)."""
    regions = np.array([0.0 if d.region_probabilities is None else -np.log(3.0) for d in detections])
    regions -= [0.0 if d.named is None else np.log(len(Level)) for d in detections]
    stray = np.log([(1.0 - d.confidence) / _STRAY_MM for d in detections]) + regions
    if use_pedicles:
        none = np.isnan([d.pedicle_distance for d in detections])
        stray += np.where(none, np.log(_STRAY_NO_PEDICLES), np.log((1.0 - _STRAY_NO_PEDICLES) / _STRAY_PEDICLES_MM))
    return stray


def _density(value: FloatArray, mean: FloatArray) -> FloatArray:
    """Logarithm of Student's density of a length, which forgives an odd one."""
    spread = np.hypot(_SPREAD * mean, _NOISE_MM)
    z = (value - mean) / spread
    norm = gammaln((_TAILS + 1) / 2) - gammaln(_TAILS / 2) - 0.5 * np.log(_TAILS * np.pi)
    return norm - np.log(spread) - (_TAILS + 1) / 2 * np.log1p(z**2 / _TAILS)


def _ways(steps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Every way from one state down to another, sorted: to, from, how many were missed, and its log probability."""
    reach, found = steps, []
    for missed in range(MOST_MISSED + 1):
        a, b = np.nonzero(reach)
        found.append(np.stack([b, a, np.full(len(a), missed), np.log(reach[a, b])]))
        reach = (reach * MISSED) @ steps
    ways = np.concatenate(found, axis=1)
    return tuple(ways[:, np.lexsort(ways[2::-1])])


def _steps(detections: Sequence[Detection], steps: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """(2, A) from and to, and (S, N, K + 1, A) how likely."""
    centers = np.array([d.center_RAS for d in detections], float)
    number, depth = len(centers), MOST_SPURIOUS + 1
    apart = np.full((number, depth), np.nan)
    for back in range(1, depth + 1):
        apart[back:, back - 1] = np.linalg.norm(centers[back:] - centers[:-back], axis=1)
    b, a, missed, chance = _ways(steps)
    start, end = a.astype(int), b.astype(int)
    pitch = level_pitch()[LEVEL_INDEX]
    lengths, which = np.unique((missed + 1.0) * (pitch[start] + pitch[end]) / 2.0, return_inverse=True)
    fits = _density(np.nan_to_num(apart)[None, :, :, None], SIZES[:, None, None, None] * lengths)
    likely = np.where(np.isnan(apart)[None, :, :, None], -np.inf, chance + fits[..., which])
    pairs = np.flatnonzero(np.diff(end * len(STATES) + start, prepend=-1))
    return np.stack([start[pairs], end[pairs]]), np.logaddexp.reduceat(likely, pairs, axis=-1)


def _last(room_mm: float | None) -> FloatArray:
    """(S, L) of the lowest: where the image's end is not known, it may lie anywhere, beside the sacrum as well."""
    if room_mm is not None:
        return _beyond(room_mm, above=False)
    out = np.zeros((len(SIZES), len(STATES)))
    out[:, list(ON_SACRUM)] = np.log(_SACRUM_IN_LEVELS)
    return out


def _beyond(room_mm: float | None, above: bool) -> FloatArray:
    """(S, L) of a chain that ends at a level although the image goes on: vertebrae that are whole in there were missed.
    """
    if room_mm is None:
        return np.zeros((len(SIZES), len(STATES)))
    onward = -1 if above else 1
    heights = np.where([v.is_variant or v is Level.S1 for v in Level], 0.0, level_pitch())[::onward]
    ends = np.cumsum(heights)
    reach = ends - ends[:, None] + heights[:, None] / 2.0  # from each level's center to the far end of each further one
    further = np.triu(np.ones_like(reach, bool), 1) & (heights > 0.0)
    missed = (further & (SIZES[:, None, None] * reach <= room_mm)).sum(axis=2)[:, ::onward]
    return np.asarray(np.log(MISSED) * missed)[:, LEVEL_INDEX]
