"""What people point at, as changes to the network's answer and to the borders of vertebrae."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...volume import Volume
from ..hints import Hint, HintKind, points_of
from ..network.classes import BODY, Class
from .bodies import Pieces
from .boundaries import corrected
from .column import Column
from .field import CERTAIN, Field

FloatArray = NDArray[np.floating]

ASIDE_MM = 55.0
"""A region that people give by points along the spine reaches this far from them to the side and front to back."""
BEYOND_MM = 30.0
"""And this far beyond the outermost of them."""
_ADDED_MM = np.array([26.0, 15.0, 20.0])
"""Half axes, canonical, of where an added body may be: a large lumbar one."""
_FAINT = 0.15
"""Probability from which on the network's answer counts where people say that there is a vertebra."""
_LEAST_ADDED_MM3 = 800.0
_NEAR_MM = 12.0


def region(hints: Sequence[Hint], grid: Volume) -> NDArray[np.bool_] | None:
    """(I, J, K) where the spine may be, or ``None`` where people did not say."""
    points = points_of(hints, HintKind.REGION)
    if not len(points):
        return None
    places = grid.to_ijk(points) * grid.spacing
    places = places[np.argsort(places[:, 1])]
    rows = np.arange(grid.shape[1]) * grid.spacing[1]
    i, k = (np.interp(rows, places[:, 1], places[:, axis]) for axis in (0, 2))
    near_i = np.abs(np.arange(grid.shape[0])[:, None] * grid.spacing[0] - i) < ASIDE_MM
    near_k = np.abs(np.arange(grid.shape[2])[:, None] * grid.spacing[2] - k) < ASIDE_MM
    tall = np.ones(len(rows), bool) if len(places) == 1 else \
        (rows > places[0, 1] - BEYOND_MM) & (rows < places[-1, 1] + BEYOND_MM)
    return (near_i & tall)[:, :, None] & near_k.T[None]


def added(field: Field, hints: Sequence[Hint]) -> Field:
    """The field with bodies where people see them and the network was not sure.

    :raises InputError: where nothing there looks like a body at all.
    """
    allowed = region(hints, field.grid)
    if allowed is not None:
        field = field.without(~allowed)
    for place in field.places_of(points_of(hints, HintKind.ADD)):
        where = np.stack(np.meshgrid(*[np.arange(n) for n in field.values.shape[1:]], indexing="ij"), axis=-1)
        offset = (where * field.spacing - place) / _ADDED_MM
        inside = (offset**2).sum(axis=-1) < 1.0
        body = field.values[list(BODY)].astype(np.uint16).sum(axis=0)
        others = field.values[[Class.ARCH, Class.DISC, Class.CANAL, Class.CORD, Class.SACRUM]].max(axis=0)
        seen = inside & (body > np.maximum(_FAINT * CERTAIN, 0.5 * others))
        seen = ndimage.binary_fill_holes(_nearest_part(seen, place, field))
        if np.count_nonzero(seen) * field.spacing.prod() < _LEAST_ADDED_MM3:
            raise InputError("Nothing like a vertebra is seen where one was added; put the point into the middle of "
                             "its body, or draw it in the Segment Editor.")
        field = field.with_class(seen & (body < CERTAIN // 2), Class.MARROW)
    return field


def _nearest_part(mask: NDArray[np.bool_], place: FloatArray, field: Field) -> NDArray[np.bool_]:
    numbered, count = ndimage.label(mask)
    if count <= 1:
        return mask
    indices = np.argwhere(mask)
    nearest = indices[np.linalg.norm(field.places(indices) - place, axis=1).argmin()]
    return numbered == numbered[tuple(nearest)]


def corrected_borders(places: FloatArray, column: Column, field: Field, hints: Sequence[Hint]) -> FloatArray:
    """Borders between vertebrae along the column, mm, as people want them.

    :raises InputError: for a point far from the spine.
    """
    def along(kind: HintKind) -> list[float]:
        points = field.places_of(points_of(hints, kind))
        s = column.curve.project(points)
        away = np.linalg.norm(points - column.curve.position(s), axis=1)
        if (away > ASIDE_MM).any() or (s < -BEYOND_MM).any() or (s > column.curve.length + BEYOND_MM).any():
            raise InputError(f"A point ({kind.value}) lies far from the spine; put it into or between the bodies.")
        return [float(x) for x in np.clip(s, 0.0, column.curve.length)]

    return corrected(places, along(HintKind.SPLIT), along(HintKind.MERGE))


def removed(pieces: Pieces, field: Field, hints: Sequence[Hint]) -> Pieces:
    """The pieces without those that people pointed at.

    :raises InputError: for a point where there is none.
    """
    for place in field.places_of(points_of(hints, HintKind.REMOVE)):
        numbers = pieces.bodies + np.where(pieces.discs > 0, pieces.discs + np.uint8(pieces.count), 0)
        indices = np.argwhere(numbers > 0)
        apart = np.linalg.norm(field.places(indices) - place, axis=1)
        if not len(indices) or apart.min() > _NEAR_MM:
            raise InputError("There is no vertebra or disc where one was to be removed; put the point into it.")
        number = int(numbers[tuple(indices[apart.argmin()])])
        pieces = without_body(pieces, number) if number <= pieces.count else \
            replace(pieces, discs=np.where(pieces.discs == number - pieces.count, 0, pieces.discs).astype(np.uint8))
    return pieces


def without_body(pieces: Pieces, number: int) -> Pieces:
    """Without one body and, of the two discs beside it, the one toward its end of the spine."""
    bodies, discs = pieces.bodies.copy(), pieces.discs.copy()
    bodies[bodies == number] = 0
    bodies[bodies > number] -= 1
    lower_end = number > pieces.count / 2
    discs[discs == (number + 1 if lower_end else number)] = 0
    discs[discs > number] -= 1
    return Pieces(bodies, discs, pieces.count - 1, np.delete(pieces.centers, number - 1, axis=0))
