"""Faces of a bone finer than its voxels: the low surface that best separates inner from outer voxel centers.

A plane with a hollow has six parameters and passes between hundreds of centers, so its tilt is known far better than
from the heights of the voxels' stairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from .frames import Frame, Plane, unit

FloatArray = NDArray[np.floating]

WIDTHS = (0.3, 0.15)
"""How many voxels from the surface a center may be labeled either way: from an easy start to the final one."""
WRONG = 0.1
"""Where labels are as sharp as voxels can be: chance of one that has nothing to do with the surface."""
BAND_MM, BAND_VOXELS = 1.5, 2.0
"""Only centers this near to the surface count, so that a pit or a spur pulls no harder than a small step does."""
BEYOND = 1.2
"""A face is believed up to here, in shares of the half width over which it was fitted."""
SPREAD = 2.0
"""Voxel centers are not labeled independently: standard deviations are this many times the model's own."""
WALKS, TURNS = 24, 50
"""How many walks, of how many steps, find the middle of the terms that label all centers alike."""
EVEN = 2.4
"""Squared ratio of what holds nine tenths of an even distribution, as of what labels leave open, to its deviation."""
ROOM, FAR = 0.9, 1e3
"""Centers farther from the surface than this, in voxels, do not bound it; and a step longer than any."""
SCALE_MM = 1.0
"""Residuals of a first fit beyond some of these are outliers."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a bone: its height along one axis of a frame, over the two others.

    :param axis: of the frame, which the height is along.
    :param center: (2,) and :param half: (2,) mm, the place on the two other axes that was fitted.
    :param terms: (6,) mm, of 1, u, v, u^2, u v, v^2, with u and v the places in shares of ``half`` from the center.
    :param covariance: (6, 6) of the terms, mm2.
    :param sharp: whether the labels are as sharp there as voxels can be.
    """

    frame: Frame
    axis: int
    center: FloatArray
    half: FloatArray
    terms: FloatArray
    covariance: FloatArray
    sharp: bool = False

    def _basis(self, across: FloatArray) -> FloatArray:
        return basis((np.asarray(across, float) - self.center) / self.half)

    def height(self, across: FloatArray) -> FloatArray:
        """(...) along the axis, mm, at (..., 2) places on the other axes, mm."""
        return self._basis(across) @ self.terms

    def within(self, across: FloatArray) -> FloatArray:
        """A (2,) place, or the nearest one along either axis that is not far beyond where the face was fitted."""
        return np.clip(across, self.center - BEYOND * self.half, self.center + BEYOND * self.half)

    def deviation(self, across: FloatArray) -> float:
        """One standard deviation of the height at (2,) a place, mm."""
        row = self._basis(across)
        return float(np.sqrt(row @ self.covariance @ row))

    @property
    def tilt_deviation(self) -> FloatArray:
        """(2,) standard deviations of the tilts along the other axes, radians."""
        return np.sqrt(np.diag(self.covariance)[1:3]) / self.half

    def point(self, across: FloatArray) -> FloatArray:
        """(..., 3) RAS of the surface at (..., 2) places."""
        return self.frame.to_ras(np.insert(np.asarray(across, float), self.axis, self.height(across), axis=-1))

    def plane(self, center: FloatArray, half: FloatArray) -> Plane:
        """The plane of the rim, moved to the mean height of the surface within it; normal along the axis.

        :param center: (2,) of the rim on the other axes, mm; :param half: (2,) mm.
        """
        ends = center + np.array([[half[0], 0], [-half[0], 0], [0, half[1]], [0, -half[1]]])
        heights = self.height(ends)
        slopes = np.array([heights[0] - heights[1], heights[2] - heights[3]]) / (2 * half)
        normal = np.insert(-slopes, self.axis, 1.0) @ self.frame.axes
        middle = (float(self.height(center)) + float(heights.mean())) / 2.0
        return Plane(self.frame.to_ras(np.insert(center, self.axis, middle)), unit(normal))


def basis(place: FloatArray) -> FloatArray:
    """(..., 6) terms of a quadratic at (..., 2) places."""
    u, v = place[..., 0], place[..., 1]
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)


@dataclass(frozen=True, eq=False)
class Prior:
    """What is known of a face's terms beforehand: (6,) means and (6,) standard deviations, mm."""

    mean: FloatArray
    spread: FloatArray

    @staticmethod
    def hollow(depth: tuple[float, float], spread: float, tilt: float) -> "Prior":
        """Any height, tilts of about none, and hollows (negative: bows) of about these depths along either axis."""
        return Prior(np.array([0, 0, 0, depth[0], 0, depth[1]]), np.array([1e3, tilt, tilt, spread, spread, spread]))


def fit_face(frame: Frame, axis: int, rough: FloatArray, centers: FloatArray, inside: NDArray[np.bool_],
             voxel: float, hollow: float | tuple[float, float], spread: float, tilt: float,
             finest: float | None = None, sharp: bool | None = None) -> Face | None:
    """The surface between inner and outer voxel centers, from rough points of it.

    :param rough: (M, 3) in the frame, of the face, over all of the place to fit.
    :param centers: (N, 3) in the frame, of voxels; :param inside: (N,) whether they are bone.
    :param voxel: extent of the voxels along the axis, mm.
    :param hollow, spread, tilt: how hollow such a face is (along either axis), how much that varies and how much its
        tilt does, a priori, in shares of its half width.
    :param finest: the width of a last step that only sharp labels are worth.
    :param sharp: whether labels are; ``None`` to find out.
    :return: ``None`` for fewer than 12 points, or too few centers.
    """
    if len(rough) < 12:
        return None
    others = [a for a in range(3) if a != axis]
    low, high = rough[:, others].min(axis=0), rough[:, others].max(axis=0)
    center, half = (low + high) / 2.0, np.maximum((high - low) / 2.0, 1.0)
    place = (centers[:, others] - center) / half
    over = np.linalg.norm(place, axis=1) < 1.0
    place, height, labeled = basis(place[over]), centers[over, axis], inside[over]
    if labeled.all() or not labeled.any():
        return None
    outward = 1.0 if np.mean(height[labeled]) < np.mean(height[~labeled]) else -1.0
    size = float(half.mean())
    along = np.broadcast_to(np.asarray(hollow, float), 2) * outward * size
    prior = Prior.hollow((float(along[0]), float(along[1])), spread * size, tilt * size)
    terms = _robust(basis((rough[:, others] - center) / half), rough[:, axis], prior)
    sign = np.where(labeled, outward, -outward)
    band = max(BAND_MM, BAND_VOXELS * voxel)
    covariance: FloatArray = np.zeros((6, 6))
    for width in WIDTHS:
        near = np.abs(height - place @ terms) < band
        if near.sum() < 40 or labeled[near].all() or not labeled[near].any():
            return None
        scale = sign[near] / (width * voxel)
        slopes, fixed = scale[:, None] * place[near], -scale * height[near]
        terms, covariance = _maximize(slopes, fixed, terms, prior)
    sharp = _are_sharp(fixed + slopes @ terms) if sharp is None else sharp
    walk, last = covariance, finest is not None and sharp
    if finest is not None and last:
        slopes, fixed, width = width / finest * slopes, width / finest * fixed, finest
        terms, walk = _maximize(slopes, fixed, terms, prior, WRONG)
    if axis == 2 or last:  # other walls are so short of stairs that nothing is gained
        terms, room = _middle(slopes, fixed, terms, prior, walk, ROOM / width)
        covariance = covariance + EVEN * room
    return Face(frame, axis, center, half, terms, covariance, sharp)


def _robust(rows: FloatArray, heights: FloatArray, prior: Prior) -> FloatArray:
    """Least squares of a surface, reweighted by Tukey's biweight."""
    weights: FloatArray = np.ones(len(rows))
    terms: FloatArray = np.zeros(6)
    precision = 1.0 / prior.spread**2
    for _ in range(15):
        weighted = rows * weights[:, None]
        terms = np.linalg.solve(rows.T @ weighted + np.diag(precision), weighted.T @ heights + precision * prior.mean)
        residual = heights - rows @ terms
        limit = 4.685 * max(SCALE_MM, 1.4826 * float(np.median(np.abs(residual))))
        weights = np.square(np.maximum(1.0 - np.square(residual / limit), 0.0)) + 1e-9
    return terms


def _are_sharp(margins: FloatArray) -> bool:
    """Whether labels are more probable by a surface that is known this well than by one known half as well.

    Outlines drawn by hand or by a network waver by more than that; what would be left out of them is no crumb.
    """
    return bool(np.logaddexp(0.0, -margins).sum() < np.logaddexp(0.0, -margins / 2.0).sum())


def _maximize(slopes: FloatArray, fixed: FloatArray, terms: FloatArray, prior: Prior, wrong: float = 0.0
              ) -> tuple[FloatArray, FloatArray]:
    """The most probable terms of a logistic model, and their covariance.

    :param wrong: chance of a label that tells nothing: crumbs of a part that stands right beside stop pulling.
    """
    precision = 1.0 / prior.spread**2
    hessian: FloatArray = np.diag(precision)
    for _ in range(15):
        fits = expit(fixed + slopes @ terms)
        told = (1.0 - 2.0 * wrong) * fits
        miss = (1.0 - fits) * told / (told + wrong)
        gradient = slopes.T @ miss - precision * (terms - prior.mean)
        hessian = (slopes * (miss * fits)[:, None]).T @ slopes + np.diag(precision)
        move = np.linalg.solve(hessian, gradient)
        terms = terms + move * min(1.0, 0.5 / max(float(np.abs(move).max()), 1e-9))
        if np.abs(move).max() < 1e-4:
            break
    return terms, SPREAD**2 * np.linalg.inv(hessian)


def _middle(slopes: FloatArray, fixed: FloatArray, terms: FloatArray, prior: Prior,
            covariance: FloatArray, farthest: float) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of all terms that label the centers as the most probable ones do.

    Where a face lies along the voxels' planes, their few stairs leave much room, and the most probable terms lie at its
    edge: they run through the middles of the stairs.  The room is sampled by walks in random directions, each step
    anywhere between the walls that it meets ("hit and run", Smith, Oper Res 1984;32:1296-1308), weighed by the prior.
    """
    margin = fixed + slopes @ terms
    bounds = (margin > 0.0) & (margin < farthest)
    slopes, fixed = slopes[bounds], fixed[bounds]
    if len(fixed) < len(terms):
        return terms, np.zeros_like(covariance)
    random = np.random.default_rng(0)
    shape = np.linalg.cholesky(covariance)
    precision = 1.0 / prior.spread**2
    walks = np.repeat(terms[:, None], WALKS, axis=1)
    seen: list[FloatArray] = []
    for turn in range(TURNS):
        ways = shape @ random.standard_normal(walks.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = -(fixed[:, None] + slopes @ walks) / (gain := slopes @ ways)
        low, high = np.where(gain > 0, ends, -FAR).max(axis=0), np.where(gain < 0, ends, FAR).min(axis=0)
        spread = 1.0 / np.sqrt(precision @ ways**2)
        mean = -(precision @ (ways * (walks - prior.mean[:, None]))) * spread**2
        walks = walks + ways * _between(low, high, mean, spread, random.random(WALKS))
        if turn >= TURNS // 4:
            seen.append(walks)
    places = np.concatenate(seen, axis=1)
    return places.mean(axis=1), np.cov(places)


def _between(low: FloatArray, high: FloatArray, mean: FloatArray, spread: FloatArray, share: FloatArray) -> FloatArray:
    """Quantiles of normal distributions that are cut off at both ends; even ones where the ends are close."""
    below, above = ndtr((low - mean) / spread), ndtr((high - mean) / spread)
    normal = mean + spread * ndtri(np.clip(below + share * (above - below), 1e-300, 1.0 - 1e-16))
    return np.clip(np.where(above - below < 1e-9, low + share * (high - low), normal), low, high)
