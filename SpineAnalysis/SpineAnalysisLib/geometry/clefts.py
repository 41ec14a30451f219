"""Bright clefts between two dark walls in a picture, near where they are expected.

Either wall is a place along every column of the picture.  Of all curves it is the one of least cost, by dynamic
programming: low where the picture gets darker into the wall, high beyond what is dark, higher the farther from where
the wall is expected, and for every bend.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .borders import ALONG_EDGE_MM, EDGE_PER_MM, HALF_STEP_MM, SEEN, barrier_cost, cheapest_path, edge_offsets

FloatArray = NDArray[np.floating]
Picture = Callable[[FloatArray], FloatArray]
"""(..., 2) places, mm, to values there."""

STEP_MM = 0.1
REACH_MM = 5.0
"""A wall is looked for so far to either side of where it is expected."""
BEND = 0.02
"""Cost of a bend by one step between two columns."""
INNER = np.linspace(0.2, 0.8, 9)
BRIGHT_PERCENTILE = 75.0
"""The cleft's own signal is this percentile of what lies well between the walls that are expected."""
SMOOTH_COLUMNS = 1.0


@dataclass(frozen=True, eq=False)
class Cleft:
    """:param across: (N,) mm, the columns; :param behind, ahead: (N,) mm along the second axis, where the walls are.
    :param seen: (N,) whether both walls are edges; :param filled: (N,) signal between them, 1 as bright as it gets.
    """

    across: FloatArray
    behind: FloatArray
    ahead: FloatArray
    seen: NDArray[np.bool_]
    filled: FloatArray

    @property
    def widths(self) -> FloatArray:
        """(N,) mm."""
        return self.ahead - self.behind


def bright_cleft(picture: Picture, across: FloatArray, behind: FloatArray, ahead: FloatArray,
                 spread_mm: tuple[float, float]) -> Cleft:
    """The walls of what is bright.

    :param across: (N,) mm along the first axis, evenly spaced.
    :param behind, ahead: (N,) mm along the second axis, where the walls are expected; behind is less.
    :param spread_mm: standard deviations of the expected walls.
    """
    between = behind[:, None] + INNER * (ahead - behind)[:, None]
    bright = float(np.percentile(picture(_places(across, between)), BRIGHT_PERCENTILE))
    middle = (behind + ahead) / 2.0

    def relative(places: FloatArray) -> FloatArray:
        return picture(places) / max(bright, 1e-6)

    found = [_wall(relative, across, middle, wall, sense, spread)
             for wall, sense, spread in ((behind, -1.0, spread_mm[0]), (ahead, 1.0, spread_mm[1]))]
    (first, first_seen), (last, last_seen) = found
    filled = relative(_places(across, first[:, None] + INNER * (last - first)[:, None])).mean(axis=1)
    return Cleft(across, first, last, first_seen & last_seen & (last > first), filled)


def _places(across: FloatArray, along: FloatArray) -> FloatArray:
    """(N, M, 2)."""
    return np.stack(np.broadcast_arrays(across[:, None], along), axis=-1)


def _wall(picture: Picture, across: FloatArray, middle: FloatArray, expected: FloatArray, sense: float,
          spread: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(N,) where a wall is, and whether there is an edge.

    :param sense: 1 for the wall ahead, -1 for the one behind.
    """
    away = np.arange(-REACH_MM, REACH_MM + STEP_MM / 2.0, STEP_MM)
    outward = (expected - middle)[:, None] * sense + away
    along = middle[:, None] + sense * outward
    within, beyond = (picture(_places(across, along + side * sense * HALF_STEP_MM)) for side in (-1.0, 1.0))
    edge = np.exp(-np.maximum(within - beyond, 0.0) / (2.0 * HALF_STEP_MM * EDGE_PER_MM))
    steps = np.maximum(outward, 0.0)
    barrier = barrier_cost(picture(_places(across, middle[:, None] + sense * steps)), steps)
    cost = edge + barrier + 0.5 * np.square(away / spread) + np.where(outward < 0.0, 1.0, 0.0)
    chosen = cheapest_path(cost, BEND)
    row = np.arange(len(across))
    place = _centered(picture, across, along[row, chosen], sense)
    return place, edge[row, chosen] < SEEN


def _centered(picture: Picture, across: FloatArray, place: FloatArray, sense: float) -> FloatArray:
    """The places in the middle of each edge, and smooth."""
    along = place[:, None] + sense * ALONG_EDGE_MM
    found = place + sense * edge_offsets(picture(_places(across, along)))
    return gaussian_filter1d(found, SMOOTH_COLUMNS, mode="nearest")
