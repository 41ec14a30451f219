"""What vertebrae look like, level by level: likelihoods of what was measured of each.

Each kind of evidence has a file of its own (``bodies``, ``discs``, ``canals``, ``processes``) with what it measures,
its usual course from head to foot and where that is from.  All of it is weak: people differ more than neighbors do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level
from .priors import NAMES, STATES

FloatArray = NDArray[np.floating]

ALIKE = 0.5
"""Correlation of what is odd in the vertebrae of one person, by assumption: many of them tell little more than a few
do, so each counts by the design effect of such samples (Kish, Survey Sampling, 1965)."""
ODD = 0.05
"""Share of vertebrae, or of outlines, that are otherwise altogether, by assumption."""

_USUAL = [level for level in Level if not level.is_variant]
# The place whose shape a state has: the last lumbar vertebra looks like an L5, whatever its number.
_SHAPED_LIKE = {"T13": Level.T12, "L1 shifted": Level.L1, "L2 shifted": Level.L1, "L3 shifted": Level.L2,
                "L4 shifted": Level.L3, "L5 above L6": Level.L4, "L6": Level.L5, "L4 on sacrum": Level.L5}
_PLACES = np.array([_USUAL.index(_SHAPED_LIKE.get(name, state.level))
                    for name, state in zip(NAMES, STATES, strict=True)])


@dataclass(frozen=True, eq=False)
class Trait:
    """One thing that is measured of vertebrae.

    :param usual: means of some levels; those between are interpolated, those beyond are not told.
    :param spread: of one level's in people, as of their labels; of lengths as a share of the mean.
    :param between: smallest and largest value that a wrong outline may have.
    :param grows: whether it is a length in mm that is the larger the larger the body is.
    """

    name: str
    usual: Mapping[Level, float]
    spread: float
    between: tuple[float, float]
    grows: bool = False
    means: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        known = sorted(self.usual)
        means = np.interp(_PLACES, [_USUAL.index(v) for v in known], [self.usual[v] for v in known],
                          left=np.nan, right=np.nan)
        object.__setattr__(self, "means", means)

    def likelihood(self, values: FloatArray, errors: FloatArray, sizes: FloatArray) -> FloatArray:
        """(S, N, L) logarithm of how well what was measured fits each state, against what is no vertebra and may look
        like anything; zero where nothing was measured.

        :param values: (N,) NaN where not seen; :param errors: (N,) standard deviations of measuring.
        :param sizes: (S,) of the body, in that of the tables.
        """
        means = self.means * (sizes[:, None, None] if self.grows else np.ones((len(sizes), 1, 1)))
        spread = np.hypot(self.spread * (means if self.grows else 1.0), errors[:, None])
        z = (values[:, None] - means) / spread
        fits = np.exp(-0.5 * z**2) / (spread * np.sqrt(2.0 * np.pi))
        against_any = fits * (self.between[1] - self.between[0])
        out = np.log(np.where(np.isfinite(fits), (1.0 - ODD) * against_any + ODD, 1.0))
        seen = np.isfinite(values)
        return np.asarray(np.where(seen[:, None], out, 0.0) / (1.0 + (max(seen.sum(), 1) - 1.0) * ALIKE))


@dataclass(frozen=True)
class Seen:
    """What was measured, and how exactly (one standard deviation)."""

    value: float
    error: float = 0.0


def likelihood(found: Sequence[Mapping[str, Seen]], traits: Sequence[Trait], sizes: FloatArray) -> FloatArray:
    """(S, N, L) of all traits of some vertebrae; ``found`` is by the traits' names."""
    out = np.zeros((len(sizes), len(found), len(STATES)))
    for trait in traits:
        seen = [each.get(trait.name, Seen(np.nan)) for each in found]
        values, errors = (np.array([getattr(s, name) for s in seen], float) for name in ("value", "error"))
        if np.isfinite(values).any():
            out += trait.likelihood(values, errors, sizes)
    return out
