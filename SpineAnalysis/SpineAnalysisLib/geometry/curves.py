"""Smooth space curves, parametrized by arc length."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline
from scipy.spatial import cKDTree

from .frames import Plane

FloatArray = NDArray[np.floating]

STIFFNESS = 500.0
"""Smoothing of fitted curves in mm4: waves shorter than about 30 mm are ironed out, the spine's own curves are not."""
PIECE_MM, WIDE_MM = 10.0, 5.8
"""A tube's width is that of the widest of its pieces of this length; it is wide where its points' standard deviation
exceeds this, which leaves three quarters of a wave (see ``principal_curve``)."""

NEARLY_CLOSED = 0.35
"""A tube that holds less than this share of what it does on both sides is nearly closed.  The crumbs left there have no
center worth following: those of a sac in severe stenosis lie at either side, and a curve through them turns back.  What
is open by more counts whole, as the planes of a stenosis that can be measured shall follow it."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve as densely sampled points.

    :param points: (N, 3), N >= 2, at (almost) equal distances.
    """

    points: FloatArray

    @cached_property
    def arc_length(self) -> FloatArray:
        """(N,) mm from the first point."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])

    @property
    def length(self) -> float:
        return float(self.arc_length[-1])

    @cached_property
    def _tangents(self) -> FloatArray:
        raw = np.gradient(self.points, self.arc_length, axis=0)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points)

    def _sample(self, values: FloatArray, s: FloatArray | float) -> FloatArray:
        at = np.asarray(s, float)
        return np.stack([np.interp(at, self.arc_length, values[:, axis]) for axis in range(3)], axis=-1)

    def position(self, s: FloatArray | float) -> FloatArray:
        """(..., 3) points at arc length ``s``, straight on beyond the ends."""
        at = np.asarray(s, float)
        beyond = at - np.clip(at, 0.0, self.length)
        return self._sample(self.points, at) + beyond[..., None] * self.tangent(at)

    def tangent(self, s: FloatArray | float) -> FloatArray:
        """(..., 3) unit directions of growing ``s``."""
        raw = self._sample(self._tangents, s)
        return raw / np.linalg.norm(raw, axis=-1, keepdims=True)

    def project(self, points: FloatArray) -> FloatArray:
        """Arc length of the curve's nearest point to each of (..., 3) points; runs on beyond the ends."""
        points = np.asarray(points, float)
        nearest = self.arc_length[self._tree.query(points)[1]]
        return nearest + np.sum((points - self.position(nearest)) * self.tangent(nearest), axis=-1)

    def intersections(self, plane: Plane) -> FloatArray:
        """Arc lengths at which the curve crosses a plane, ascending."""
        distance = plane.distance(self.points)
        i = np.flatnonzero(np.signbit(distance[:-1]) != np.signbit(distance[1:]))
        share = distance[i] / (distance[i] - distance[i + 1])
        return self.arc_length[i] + share * np.diff(self.arc_length)[i]

    def cut(self, start: float, end: float, step: float = 0.5) -> "Curve":
        """The piece between two arc lengths (which may lie beyond the ends), sampled anew."""
        count = max(2, int(np.ceil((end - start) / step)) + 1)
        return Curve(self.position(np.linspace(start, end, count)))


def fit_curve(points: FloatArray, weights: FloatArray | None = None, stiffness: float | FloatArray = STIFFNESS,
              step: float = 0.5) -> Curve:
    """A smooth curve along ordered points.

    :param points: (N, 3), N >= 2, in the order of the curve; noisy and unevenly spaced is all right.
    :param weights: (N,) relative trust.
    :param stiffness: mm4, see ``STIFFNESS``, the same or (3,) along each axis; 0 interpolates.
    """
    points = np.asarray(points, float)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(chord) > 1e-6])
    points, chord = points[keep], chord[keep]
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, float)[keep]
    count = max(2, int(np.ceil(chord[-1] / step)) + 1)
    at = np.linspace(0.0, chord[-1], count)
    if len(points) < 5:
        dense = np.stack([np.interp(at, chord, points[:, axis]) for axis in range(3)], axis=-1)
    else:
        density = weights * np.gradient(chord)  # so that stiffness means the same whatever the sampling
        stiff = np.broadcast_to(stiffness, 3)
        dense = np.stack([make_smoothing_spline(chord, points[:, axis], w=density, lam=float(stiff[axis]))(at)
                          for axis in range(3)], axis=-1)
    return Curve(dense).cut(0.0, Curve(dense).length, step)


def principal_curve(points: FloatArray, direction: FloatArray, bin_mm: float = 1.0, iterations: int = 4) -> Curve:
    """The center curve of an elongated cloud of points.

    Points are assigned to the nearest place of the curve and the curve is moved to their means, until it rests; so
    its cross-sections are perpendicular to it however it bends.  Of a wide tube that would not come to rest: with a
    variance v of the points across, a wave of wave number k comes back v k^2 times as high, and smoothed
    1 / (1 + STIFFNESS k^4) of that, which is more than before where v exceeds 2 sqrt(STIFFNESS), as in a sacral canal
    of 30 mm.  Hence, the wider the tube, the less nearness counts along its width, and the stiffer the curve is there.

    :param points: (N, 3), evenly filling the structure.
    :param direction: (3,) in which the curve shall run; the structure follows it roughly monotonically.
    """
    along = points @ np.asarray(direction, float)
    curve = fit_curve(_bin_means(points, along, 3.0 * bin_mm)[0])
    for _ in range(iterations):
        s = curve.project(points)  # anew: where a curve begins moves with every fit
        axes, width = _widest(points - curve.position(s), s)
        turned = points @ axes.T
        counted = min(1.0, (WIDE_MM / width)**8)
        s = _nearest(turned, Curve(curve.points @ axes.T), np.array([1.0, 1.0, counted]))
        centers, counts, runs = _bin_means(turned, s, bin_mm)
        whole = np.concatenate([np.arange(len(counts))[run][_whole_bins(counts[run])] for run in runs])
        stiffness = np.array([STIFFNESS, STIFFNESS, max(STIFFNESS, width**4)])
        fitted = fit_curve(centers[whole], _trust(counts[whole]), stiffness)
        ends = fitted.project(centers[[0, -1]])
        fitted = fitted.cut(min(ends[0], 0.0), max(ends[1], fitted.length))
        curve = Curve(fitted.points @ axes)
    return curve


def _widest(away: FloatArray, s: FloatArray) -> tuple[FloatArray, float]:
    """(3, 3) axes in rows, the last along a tube's width, and the standard deviation along it where it is widest.

    :param away: (N, 3) from the curve to points; :param s: (N,) their arc lengths.
    """
    axes = np.linalg.eigh(away.T @ away)[1].T
    piece = np.unique(np.floor(s / PIECE_MM), return_inverse=True)[1].ravel()
    return axes, float(np.sqrt((np.bincount(piece, (away @ axes[2])**2) / np.bincount(piece)).max()))


def _nearest(points: FloatArray, curve: Curve, scale: FloatArray) -> FloatArray:
    """(N,) arc lengths of the curve's points that are nearest to points, with (3,) distances scaled."""
    seen = Curve(curve.points * scale)
    s = seen.project(points * scale)
    return np.interp(s, seen.arc_length, curve.arc_length) + (s - np.clip(s, 0.0, seen.length))


def _whole_bins(counts: FloatArray, look: int = 8, share: float = 0.85) -> slice:
    """All bins but those at either end that hold only part of a cross-section (the end is cut obliquely)."""
    def cut(ordered: FloatArray) -> int:
        limit = max(len(ordered) // 2 - 2, 0)
        return next((i for i in range(limit) if ordered[i] >= share * np.median(ordered[i:i + look])), limit)
    return slice(cut(counts), len(counts) - cut(counts[::-1]))


def _trust(counts: FloatArray) -> FloatArray:
    """(N,) how much bins count: all the same, but for those in which a tube is nearly closed between wider parts."""
    rising, falling = np.maximum.accumulate(counts), np.maximum.accumulate(counts[::-1])[::-1]
    around = np.minimum(np.minimum(rising, falling), np.median(counts))
    return np.minimum(counts / (NEARLY_CLOSED * around), 1.0)**2


def _bin_means(points: FloatArray, along: FloatArray, width: float) -> tuple[FloatArray, FloatArray, list[slice]]:
    """Means and counts of points in bins of a coordinate, empty bins left out, and the runs of bins between those."""
    index = np.floor((along - along.min()) / width).astype(int)
    counts = np.bincount(index)
    sums = np.stack([np.bincount(index, weights=points[:, axis]) for axis in range(3)], axis=-1)
    filled = np.flatnonzero(counts)
    edges = [0, *np.flatnonzero(np.diff(filled) > 1) + 1, len(filled)]
    runs = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    return sums[filled] / counts[filled, None], counts[filled].astype(float), runs
