"""Which part of a vertebra is its body, and which way is forward."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from ..geometry.curves import Curve
from ..geometry.frames import reject, unit

FloatArray = NDArray[np.floating]

BINS = 72
CLEAR_MM = 5.0
"""Bone this near to the canal's center says nothing about where the body is."""


def transported(curve: Curve, start: FloatArray) -> FloatArray:
    """(N, 3) a direction carried along a curve without turning about it, one for each of the curve's points."""
    tangents = curve.tangent(curve.arc_length)
    out = np.empty_like(tangents)
    out[0] = unit(reject(start, tangents[0]))
    for i in range(1, len(out)):
        out[i] = unit(reject(out[i - 1], tangents[i]))
    return out


def anterior_directions(bones: Sequence[FloatArray], centerline: Curve) -> FloatArray:
    """Which way each vertebra's body lies from the canal.

    The body is the one large solid side of the ring of bone; neighbors vote together.

    :param bones: for each vertebra, head to foot, (N, 3) RAS points that fill it evenly.
    :param centerline: of the canal, head to foot.
    :return: (V, 3) unit.
    """
    tangents = centerline.tangent(centerline.arc_length)
    reference = transported(centerline, np.eye(3)[int(np.argmin(np.abs(tangents[0])))])
    votes = np.zeros((len(bones), BINS))
    bases = []
    for row, points in enumerate(bones):
        s = float(centerline.project(points.mean(axis=0)))
        first = reference[int(np.abs(centerline.arc_length - s).argmin())]
        down = centerline.tangent(s)
        bases.append((first, np.cross(down, first)))
        offset = points - centerline.position(centerline.project(points))
        x, y = offset @ bases[-1][0], offset @ bases[-1][1]
        far = np.hypot(x, y) > CLEAR_MM
        sector = (np.arctan2(y[far], x[far]) / (2 * np.pi) * BINS).astype(int) % BINS
        votes[row] = np.bincount(sector, minlength=BINS) / max(len(points), 1)
    spread = np.fft.rfft(np.exp(-0.5 * (((np.arange(BINS) + BINS // 2) % BINS - BINS // 2) / (BINS / 12.0)) ** 2))
    votes = np.fft.irfft(np.fft.rfft(votes, axis=1) * spread, BINS, axis=1)
    padded = np.pad(votes, ((1, 1), (0, 0)), mode="edge")
    votes = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    best = votes.argmax(axis=1)
    before, at, after = (votes[np.arange(len(best)), (best + n) % BINS] for n in (-1, 0, 1))
    between = 0.5 * (before - after) / np.minimum(before - 2 * at + after, -1e-12)
    angles = (best + 0.5 + between) * 2 * np.pi / BINS
    return np.array([np.cos(a) * u + np.sin(a) * v for a, (u, v) in zip(angles, bases, strict=True)])


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The biggest connected part."""
    parts, count = label(mask)
    if count <= 1:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))
