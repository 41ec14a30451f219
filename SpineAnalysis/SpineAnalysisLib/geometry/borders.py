"""Closed borders of something bright in a picture, near where they are expected.

The border is a radius along each of ``RAYS`` rays from the middle.  Of all closed curves it is the one of least cost,
by dynamic programming (Amini et al., IEEE Trans Pattern Anal Mach Intell 1990;12:855-867): low where the picture gets
darker to the outside, high beyond what is dark, higher the farther from the expected radius, and for every bend.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .outlines import RAYS, UNIT_CIRCLE, moments

FloatArray = NDArray[np.floating]
Picture = Callable[[FloatArray], FloatArray]
"""(..., 2) places, mm, to values there, 1 being as bright as the inside is where nothing else is in it."""

SHARES = np.arange(0.45, 1.5, 0.02)
"""Radii that are tried, of the expected ones."""
EXPECTED = 0.93
"""Of the expected radii, where the border is: 0.90 on average in nineteen slices with outlines from thick slices beside
them, 1 with ideal ones."""
ROUNDS = 3
LATER = 0.7
"""From the second round on, a border found is expected, by so much more firmly."""
EDGE_PER_MM = 0.12
"""Falling by so much of the inside's signal per mm is an edge."""
RISING = 0.5
"""How much a rise to what is bright outside tells of an edge, against a fall: fat behind crowded roots."""
HALF_STEP_MM = 0.35
DARK = 0.35
"""What is darker than this, between the middle and a place, is no part of the inside."""
BARRIER_PER_MM = 1.5
BEND = 0.12
"""Cost of a bend by one step of ``SHARES`` between two rays."""
MOST_STEPS = 3
ALONG_EDGE_MM = np.arange(-0.9, 0.91, 0.15)
"""Around the path, where the middle of its edge is looked for."""
FAINT_PER_MM = 0.05
"""What falls less is no edge to move to."""
HARMONICS = 8
SEEN = 0.5
"""A ray sees the border where the edge's cost is less than this."""


@dataclass(frozen=True, eq=False)
class Border:
    """:param outline: (RAYS, 2) mm, counter-clockwise; :param seen: share of it where there is an edge."""

    outline: FloatArray
    seen: float

    def wider(self, by_mm: float) -> FloatArray:
        """(RAYS, 2) the outline moved outward."""
        along = np.roll(self.outline, -1, axis=0) - np.roll(self.outline, 1, axis=0)
        outward = np.column_stack([along[:, 1], -along[:, 0]])
        return np.asarray(self.outline + by_mm * outward / np.linalg.norm(outward, axis=1, keepdims=True))


def bright_border(picture: Picture, expected: FloatArray, spread_mm: tuple[float, float]) -> Border:
    """The border of what is bright.

    :param expected: (RAYS, 2) a rough outline around it.
    :param spread_mm: standard deviation of the expected border along the first and the second axis.
    """
    _, middle, spread = moments(expected)
    outline = middle + 2.0 * UNIT_CIRCLE @ np.linalg.cholesky(spread).T  # its details are those of other slices
    away = np.hypot(*(UNIT_CIRCLE * np.asarray(spread_mm)).T)[:, None]
    wanted = EXPECTED
    for _ in range(ROUNDS):
        middle = moments(outline)[1]
        usual = _radii(outline - middle)[:, None]
        radii = usual * SHARES
        edge = _edge_cost(picture, middle, radii)
        barrier = barrier_cost(picture(_points(middle, radii)), radii)
        cost = edge + barrier + 0.5 * np.square((radii - wanted * usual) / away)
        chosen = closed_path(cost, BEND)
        outline = middle + _smooth(usual[:, 0] * SHARES[chosen])[:, None] * UNIT_CIRCLE
        if wanted == EXPECTED:
            wanted, away = 1.0, LATER * away
    outline = _centered(picture, outline)
    return Border(outline, float((edge[np.arange(RAYS), chosen] < SEEN).mean()))


def _centered(picture: Picture, outline: FloatArray) -> FloatArray:
    """The outline in the middle of each edge that it runs along: the path is cheap anywhere on a blurred one."""
    middle = moments(outline)[1]
    radii = _radii(outline - middle)
    steps = radii[:, None] + ALONG_EDGE_MM
    found = radii + edge_offsets(picture(_points(middle, steps)))
    return np.asarray(middle + _smooth(found)[:, None] * UNIT_CIRCLE)


def edge_offsets(values: FloatArray) -> FloatArray:
    """(R,) mm, how far the middle of each edge lies beyond the place that was found for it.

    :param values: (R, M) at ``ALONG_EDGE_MM`` beyond those places.
    """
    fall = -np.diff(values, axis=1).clip(max=0.0)
    between = (ALONG_EDGE_MM[1:] + ALONG_EDGE_MM[:-1]) / 2.0
    weight = fall + FAINT_PER_MM * np.diff(ALONG_EDGE_MM) * np.exp(-np.square(between / HALF_STEP_MM))
    return np.asarray((weight * between).sum(axis=1) / weight.sum(axis=1))


def _points(middle: FloatArray, radii: FloatArray) -> FloatArray:
    """(RAYS, N, 2)."""
    return np.asarray(middle + radii[..., None] * UNIT_CIRCLE[:, None])


def _edge_cost(picture: Picture, middle: FloatArray, radii: FloatArray) -> FloatArray:
    """(RAYS, N) 0 at a strong edge, 1 where there is none."""
    within = picture(_points(middle, radii - HALF_STEP_MM))
    beyond = picture(_points(middle, radii + HALF_STEP_MM))
    fall = (within - beyond) / (2.0 * HALF_STEP_MM)
    return np.asarray(np.exp(-np.where(fall > 0.0, fall, -RISING * fall) / EDGE_PER_MM))


def barrier_cost(values: FloatArray, steps: FloatArray) -> FloatArray:
    """(R, N) how much dark lies between the middle and there.

    :param values: (R, N) of a picture; :param steps: (R, N) mm from the middle outward, where they are.
    """
    smooth = gaussian_filter1d(values, 1.0, axis=1)
    dark = np.clip(1.0 - np.minimum.accumulate(smooth, axis=1) / DARK, 0.0, None)
    return np.asarray(BARRIER_PER_MM * np.cumsum(dark * np.gradient(steps, axis=1), axis=1))


def _radii(outline: FloatArray) -> FloatArray:
    """(RAYS,) of an outline about the origin, along the rays."""
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    order = np.argsort(angle)
    rays = np.arctan2(UNIT_CIRCLE[:, 1], UNIT_CIRCLE[:, 0])
    return np.interp(rays, angle[order], np.linalg.norm(outline, axis=1)[order], period=2.0 * np.pi)


def _smooth(radii: FloatArray) -> FloatArray:
    spectrum = np.fft.rfft(radii)
    spectrum[HARMONICS + 1:] = 0.0
    return np.fft.irfft(spectrum, len(radii))


def closed_path(cost: FloatArray, bend: float) -> NDArray[np.integer]:
    """(R,) the same for rows in a circle: they go around three times, and the middle one is taken, so that it closes.

    :param cost: (R, N); :param bend: cost of a step to the next column.
    """
    rows = len(cost)
    return cheapest_path(np.tile(cost, (3, 1)), bend)[rows:2 * rows]


def cheapest_path(cost: FloatArray, bend: float) -> NDArray[np.integer]:
    """(R,) the column to take in each row, for the least sum of costs and of squared steps between rows.

    :param cost: (R, N); :param bend: cost of a step to the next column.
    """
    rows, columns = cost.shape
    moves = np.arange(-MOST_STEPS, MOST_STEPS + 1)
    best = cost[0]
    came = np.zeros((rows, columns), int)
    for row in range(1, rows):
        around = np.pad(best, MOST_STEPS, constant_values=np.inf)
        tried = np.stack([around[MOST_STEPS + m:MOST_STEPS + m + columns] + bend * m * m for m in moves])
        pick = tried.argmin(axis=0)
        came[row] = np.arange(columns) + moves[pick]
        best = cost[row] + tried[pick, np.arange(columns)]
    path = [int(best.argmin())]
    for row in range(rows - 1, 0, -1):
        path.append(int(came[row, path[-1]]))
    return np.array(path[::-1])
