"""Canal and cord as one tube along the bodies."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..network.classes import Class
from .field import Field, Mask

_LEAST_PART = 0.1
"""Of the longest part; shorter ones are leaks."""
_GAP_MM = 4.0
_AWAY_MM = 55.0
"""No canal is farther than this from the middle of its bodies."""

_LEAST_ROW = 0.5
"""Of the usual area of bodies in a row; beside a disc, a lip at one side is no middle to measure from."""


def cleaned_tube(field: Field, classes: NDArray[np.uint8], bodies: Mask) -> Field:
    """The field with a canal that is one tube: leaks and islands gone, holes filled, the cord within.

    :param bodies: all bodies; ``False`` everywhere leaves only the tube's own shape to judge by.
    """
    tube = np.isin(classes, (Class.CANAL, Class.CORD))
    if not tube.any():
        return field
    kept = _along_bodies(_long_parts(tube, field), bodies, field)
    field = field.without(tube & ~kept)
    filled = np.zeros_like(kept)
    for j in np.flatnonzero(kept.any(axis=(0, 2))):
        filled[:, j] = ndimage.binary_fill_holes(kept[:, j])
    holes = filled & ~kept
    if holes.any():
        inside = field.values[Class.CORD] > field.values[Class.CANAL]
        field = field.with_class(holes & inside, Class.CORD).with_class(holes & ~inside, Class.CANAL)
    return _one_cord(field, kept & (classes == Class.CORD))


def _long_parts(tube: Mask, field: Field) -> Mask:
    """Parts that are long along the body's axis; nearby ones count together."""
    near = np.maximum(np.round(_GAP_MM / 2.0 / field.spacing), 0).astype(int)
    numbered, count = ndimage.label(ndimage.maximum_filter(tube, size=2 * near + 1))
    if count <= 1:
        return tube
    sizes = np.bincount(numbered[tube], minlength=count + 1)
    sizes[0] = 0
    return tube & np.isin(numbered, np.flatnonzero(sizes >= _LEAST_PART * sizes.max()))


def _along_bodies(tube: Mask, bodies: Mask, field: Field) -> Mask:
    """What lies behind the bodies, at most so far from their middle at the same height."""
    sizes = bodies.sum(axis=(0, 2))
    if not sizes.any():
        return tube
    rows = np.flatnonzero(sizes >= _LEAST_ROW * np.median(sizes[sizes > 0]))
    middles = np.array([np.argwhere(bodies[:, j]).mean(axis=0) for j in rows])
    at = np.arange(tube.shape[1])
    i, k = (np.interp(at, rows, middles[:, axis]) for axis in range(2))
    aside = (np.arange(tube.shape[0])[:, None] - i) * field.spacing[0]
    behind = (np.arange(tube.shape[2])[:, None] - k) * field.spacing[2]
    is_behind = (behind > 0.0) & (behind < _AWAY_MM)
    is_behind[:, (at < rows[0]) | (at > rows[-1])] = True  # the sacrum and what is cut off at the top
    return tube & (np.abs(aside)[:, :, None] < _AWAY_MM / 2.0) & is_behind.T[None]


def _one_cord(field: Field, cord: Mask) -> Field:
    """Cord is one strand; other bits of it are canal."""
    numbered, count = ndimage.label(cord, np.ones((3, 3, 3), bool))
    if count <= 1:
        return field
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    loose = cord & ~np.isin(numbered, np.flatnonzero(sizes >= _LEAST_PART * sizes.max()))
    return field.with_class(loose, Class.CANAL)
