"""Where one vertebra ends and the next begins.

The borders are found all at once, by dynamic programming over places along the column: each wants to lie in a disc, and
the distances between neighboring borders want to change little from one vertebra to the next.  So fused vertebrae are
told apart where a disc should be, and a cleft within a body is none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from .column import STEP_MM

FloatArray = NDArray[np.floating]

GAP_MM = (9.0, 52.0)
"""Distances between neighboring discs, from a child's neck to a tall adult's loins."""
_GROWTH, _SPREAD = 0.03, 0.13
"""Logarithm of the ratio of neighboring distances: from C3 to L4 they double in some twenty steps."""
_ODD = 1.5
"""Spreads from which on the cost of an odd ratio grows slowly: fractures and anomalies are possible."""
_DISC_WORTH, _DISC_SHARE = 5.0, 0.22
"""What a border gains from lying in a disc, and the share of disc from which on it gains."""
_UNUSED_DISC = 0.8
"""Cost, per millimeter, of disc that lies within a body."""
_ALONE = 4.0
"""Cost of a single border with more than a vertebra below it."""
_DENS_GAP_MM = 24.0
"""Where vertebrae are lower than this, the first one may be the axis, which with its dens is as tall as two."""
_SEEN = int(4.0 / STEP_MM)
"""A disc that a border lies in shows this near to it."""
_INNER = 0.3
"""Share of a body's height at either end in which its discs may reach."""
_BLUR_MM = 1.5


_SAME_MM = 6.0
"""Borders nearer than this are one."""
_MEANT_MM = 20.0
"""A point that says that two vertebrae are one lies this near to the border between them."""


def corrected(places: FloatArray, between: Sequence[float], within: Sequence[float]) -> FloatArray:
    """Borders as people want them.

    :param places: mm along the column; :param between: where there is a border; :param within: where there is none.
    :raises InputError: where there is no border to take away.
    """
    for wish in within:
        apart = np.abs(places - wish)
        if not apart.size or apart.min() > _MEANT_MM:
            raise InputError("There is nothing to merge near a point; put it between the two parts of the vertebra.")
        places = np.delete(places, apart.argmin())
    for wish in between:
        places = np.append(places[np.abs(places - wish) >= _SAME_MM], wish)
    return np.sort(places)


def borders(disc: FloatArray) -> FloatArray:
    """Places of the borders between vertebrae along the column, mm from its upper end; possibly none.

    :param disc: share of disc at every ``STEP_MM`` of the column.
    """
    gaps = np.arange(int(GAP_MM[0] / STEP_MM), int(GAP_MM[1] / STEP_MM) + 1)
    smooth = ndimage.gaussian_filter1d(disc, _BLUR_MM / STEP_MM, mode="nearest")
    worth = _DISC_WORTH * (smooth - _DISC_SHARE)
    inner = np.concatenate([[0.0], np.cumsum(disc)]) * _UNUSED_DISC * STEP_MM
    change = _change(gaps)
    count = len(disc)
    best = np.full((count, len(gaps) + 1), -np.inf)  # last border here, distance to the one before; none before last
    origin = np.full((count, len(gaps) + 1), -1)
    for here in range(count):
        best[here, -1] = worth[here]
        back = here - gaps
        fits = np.flatnonzero(back >= 0)
        if not fits.size:
            continue
        before = best[back[fits]]  # (n, gaps + 1)
        chain = before[:, :-1] - change[:, fits].T
        chain = np.concatenate([chain, (before[:, -1] - _end_cost(back[fits], gaps[fits], top=True))[:, None]], axis=1)
        came = chain.argmax(axis=1)
        cost = _within(inner, back[fits], here)
        best[here, fits] = chain[np.arange(len(fits)), came] + worth[here] - cost
        origin[here, fits] = came
    found = _traced(best, origin, gaps, _last_costs(count, gaps))
    while found.size and disc[max(int(found[-1]) - _SEEN, 0):int(found[-1]) + _SEEN + 1].max() < _DISC_SHARE:
        found = found[:-1]  # below the last disc, the sacrum's parts are fused
    return found * STEP_MM


def _change(gaps: NDArray[np.integer]) -> FloatArray:
    """(before, after) cost of one distance following another."""
    return _oddity(np.log(gaps[None, :] / gaps[:, None]) - _GROWTH)


def _oddity(ratio: FloatArray) -> FloatArray:
    """Cost of a logarithm of a ratio: quadratic, then linear."""
    spreads = np.abs(ratio) / _SPREAD
    return np.where(spreads < _ODD, 0.5 * spreads**2, _ODD * spreads - 0.5 * _ODD**2)


def _end_cost(length: NDArray[np.integer], gap: NDArray[np.integer], top: bool) -> FloatArray:
    """Cost of what lies beyond the first or last border: it may be cut off, but is no taller than a vertebra."""
    cost = _oddity(np.maximum(np.log(np.maximum(length, 1) / gap) - 0.1, 0.0)) + np.maximum(length / gap - 2.0, 0.0)
    return np.where(gap * STEP_MM < _DENS_GAP_MM, 0.0, cost) if top else cost


def _within(inner: FloatArray, start: NDArray[np.integer], end: int) -> FloatArray:
    """Cost of disc in the middle of a body."""
    margin = np.rint(_INNER * (end - start)).astype(int)
    return np.maximum(inner[end - margin] - inner[start + margin], 0.0)


def _last_costs(count: int, gaps: NDArray[np.integer]) -> FloatArray:
    """(count, gaps + 1) cost of what lies below a last border."""
    rest = count - 1 - np.arange(count)
    tall = np.stack([_end_cost(rest, np.full(count, gap), top=False) for gap in gaps], axis=1)
    alone = np.where(rest * STEP_MM > GAP_MM[1], _ALONE, 0.0)
    return np.concatenate([tall, alone[:, None]], axis=1)


def _traced(best: FloatArray, origin: NDArray[np.integer], gaps: NDArray[np.integer], last: FloatArray) -> FloatArray:
    """The best chain's places, from head to foot."""
    total = best - last
    here, state = (int(i) for i in np.unravel_index(total.argmax(), total.shape))
    if total[here, state] <= 0.0:
        return np.zeros(0)
    found = [here]
    while state < len(gaps):
        here, state = here - int(gaps[state]), int(origin[here, state])
        found.append(here)
    return np.array(found[::-1], float)
