"""Where a wall that is only partly seen runs: radii about an axis, (N, rays), N places 1 step apart.

What rays see is not always the canal's wall: they leave through foramina and between laminae, and run down clefts
between processes.  There the wall is closed as a film would close it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve

FloatArray = NDArray[np.floating]
Seen = NDArray[np.bool_]

STEP_MM = 1.0
WINDOW_MM = 30.0
"""At least one pedicle lies within this stretch of the spine."""
LOWER_SHARE = 25.0
"""Percentile of the distances within the window that tells the canal's own width from what is seen through gaps."""
SLACK_SHARE, SLACK_MM = 0.15, 1.5
"""A wall may be this much farther than the width around it."""
SCALES_MM = (16.0, 8.0, 4.0, 2.0, 1.0)
"""The width around a gap is that of the nearest of these neighborhoods that holds walls."""
MOST_RAYS = 3.0
"""These neighborhoods do not reach farther around the axis than this many rays."""
BALL = 0.45
"""Radius, as a share of the canal's, of the ball that must fit where the canal reaches."""
EXCESS_MM = 0.75
"""By how much a wall may lie behind what the ball and the pedicles say."""
CLOSED_POWER, CLOSED_SCALE_MM = 20, 10.0
"""Places count for what lies beside them by this power of the share of wall that is seen there."""
LEAST_FILM = 0.85
"""A film over a large gap keeps this share of the width around it."""
CHUNK = 64


def close_gaps(distance: FloatArray, content: FloatArray, most: float) -> tuple[FloatArray, Seen]:
    """The wall everywhere, and where it is seen.

    :param distance: to the first wall that each ray meets.
    :param content: how far what is known to lie in the canal reaches.
    :param most: the distance of rays that meet none.
    """
    seen = (distance < most) & _plausible(distance, _usual(distance))
    seen &= _plausible(distance, _continued(distance, seen))
    around = _continued(distance, seen)
    film = _blurred(_film(distance, around, seen), STEP_MM, 1.0)
    limit = np.minimum(_rolled(film), _between_pedicles(film, seen)) + EXCESS_MM
    wall = np.minimum(distance, limit)
    return np.maximum(np.minimum(_film(wall, around, seen), limit), content), seen


def _plausible(distance: FloatArray, width: FloatArray) -> Seen:
    return distance <= width * (1 + SLACK_SHARE) + SLACK_MM


def _usual(distance: FloatArray) -> FloatArray:
    """A low percentile of what neighbors along the spine see in the same direction."""
    wrapped = np.pad(distance, ((0, 0), (1, 1)), mode="wrap")
    return percentile_filter(wrapped, LOWER_SHARE, (round(WINDOW_MM / STEP_MM), 3), mode="nearest")[:, 1:-1]


def _continued(distance: FloatArray, seen: Seen) -> FloatArray:
    """Distances smoothed over what is seen, and continued over what is not from ever wider neighborhoods."""
    out = np.full(distance.shape, float(np.median(distance[seen])) if seen.any() else 0.0)
    values, weights = np.where(seen, distance, 0.0), seen.astype(float)
    for scale in SCALES_MM:
        total, weight = (_blurred(part, scale, min(scale, MOST_RAYS)) for part in (values, weights))
        trust = weight / (weight + 0.05)
        out = trust * total / np.maximum(weight, 1e-9) + (1 - trust) * out
    return out


def _film(distance: FloatArray, around: FloatArray, seen: Seen) -> FloatArray:
    """Gaps closed as a soap film would: ligaments, too, run straight from edge to edge.

    About an axis, mean curvature vanishes where ``r_ss + r_tt / r**2 = 1 / r`` (``s`` along it, ``t`` the angle, for
    small slopes); the walls that are seen hold the film.
    """
    if seen.all() or not seen.any():
        return distance
    rows, rays = distance.shape
    row, ray = np.nonzero(~seen)
    number = np.full(distance.shape, -1)
    number[row, ray] = np.arange(len(row))
    radius = around[row, ray]
    pull_s, pull_t = np.full(len(row), STEP_MM**-2), (radius * 2 * np.pi / rays) ** -2
    right_side, diagonal = -1.0 / radius, np.zeros(len(row))
    links: list[tuple[NDArray, NDArray, FloatArray]] = []
    for ahead, aside, pull in ((-1, 0, pull_s), (1, 0, pull_s), (0, -1, pull_t), (0, 1, pull_t)):
        inside = (row + ahead >= 0) & (row + ahead < rows)
        to = np.clip(row + ahead, 0, rows - 1), (ray + aside) % rays
        diagonal += np.where(inside, pull, 0.0)
        right_side += np.where(inside & seen[to], pull * distance[to], 0.0)
        free = inside & ~seen[to]
        links.append((np.flatnonzero(free), number[to][free], -pull[free]))
    own = np.arange(len(row))
    i, j, values = (np.concatenate(part) for part in zip(*links, (own, own, diagonal), strict=True))
    solution = spsolve(csc_array((values, (i, j)), shape=(len(row), len(row))), right_side)
    out = distance.copy()
    out[row, ray] = np.clip(solution, LEAST_FILM * radius, radius)
    return out


def _rolled(radii: FloatArray) -> FloatArray:
    """Where a ball reaches that rolls inside each section, so that clefts between processes and joints stay out."""
    return np.concatenate([_rolled_part(part) for part in np.array_split(radii, len(radii) // CHUNK + 1)])


def _rolled_part(radii: FloatArray) -> FloatArray:
    # The ball's center comes as far along a ray as every point of the wall is at least the ball's radius away.
    angles = np.arange(radii.shape[1]) * (2 * np.pi / radii.shape[1])
    cos, sin = np.cos(angles[:, None] - angles), np.sin(angles[:, None] - angles)
    ball = BALL * np.sqrt(np.mean(radii**2, axis=1))[:, None, None]
    wall = radii[:, None, :]
    under = ball**2 - (wall * sin) ** 2
    stop = np.where((under > 0) & (cos > 0), wall * cos - np.sqrt(np.maximum(under, 0.0)), np.inf)
    center = np.maximum(stop.min(axis=2), 0.0)[:, None, :]
    under = ball**2 - (center * sin) ** 2
    reach = np.where(under > 0, center * cos + np.sqrt(np.maximum(under, 0.0)), 0.0)
    return np.minimum(reach.max(axis=2), radii)


def _between_pedicles(radii: FloatArray, seen: Seen) -> FloatArray:
    """The radii where the wall is most complete, at the pedicles, continued between them.

    Toward a gap bone recedes, and what it leaves is filled by ligament, fat and joints rather than by the canal.
    """
    weight = np.broadcast_to(seen.mean(axis=1, keepdims=True) ** CLOSED_POWER + 1e-9, radii.shape)
    return _blurred(weight * radii, CLOSED_SCALE_MM, 1.0) / _blurred(weight, CLOSED_SCALE_MM, 1.0)


def _blurred(values: FloatArray, scale_mm: float, rays: float) -> FloatArray:
    along = gaussian_filter1d(values, scale_mm / STEP_MM, axis=0, mode="nearest")
    return gaussian_filter1d(along, rays, axis=1, mode="wrap")
