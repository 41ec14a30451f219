"""Vertebrae and discs told apart, and everything of the spine as one label map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...anatomy import Kind, Level, Structure
from ...errors import InputError
from ...schemes import own_value
from ...schemes.provisional import chain_up, note_on
from ...schemes.tables import disc_below
from ..hints import Hint
from ..network.classes import BODY, Class
from . import guided
from .arches import arches_of
from .bodies import Pieces, pieces_between
from .boundaries import borders
from .column import COLUMN, column_of
from .field import CERTAIN, LEAST_BODY_MM3, NO_SPINE, Field, Mask, beside_canal, one_spine
from .tube import cleaned_tube

_BETWEEN = (Class.DISC, Class.CANAL, Class.CORD)
"""Without any of these, what looks like a body is none."""
SACRUM_MM3 = 4000.0
"""Less of it may be anything."""
LARGE_SACRUM_MM3 = 30_000.0
"""So much of it is no mistake; whole ones have five times as much."""
SACRUM_NEAR_MM = 30.0
"""The sacrum begins this near below the lowest body."""
LUMBAR_MM3 = 12_000.0
"""From here on a body is no cervical one."""
_MOST_SACRAL = 2
"""Bodies of the sacrum that may look like vertebrae."""
_WINGS, _REMNANT = 0.6, 0.25
"""Sacrum beside a body, in volumes of the body, and disc below it, in volumes of the one above, from which on and up to
which the body is the sacrum's.  In 55 anatomies of the training, wings had 0.72 volumes of the first sacral body or
more; beside the last lumbar one lay less than 0.5 in nine of ten, 0.99 at most.  Of discs on the sacrum 95 % had 0.29
of the one above or more; the thickest remnant that is drawn there has 0.2."""
ROOM_MM = 25.0
"""Of scan below a body, in which a disc would show."""
CRUMB = 0.02
"""Share of the column below which a part of it that stands apart is none: it would bend the column toward itself."""
_GUESSED, _GUESSED_DISC = 0.75, 0.4
"""Mean probability of the uppermost body, and disc below it, in volumes of the next disc, below both of which it is a
guess: a network that has seen no spine end expects one more.  Where the spine does end, in eleven scans of phantoms,
they were 0.69 and 0.28 at most; on 35 real scans, which cut the uppermost body as a rule, 0.78 and 0.51 at least."""
UNSURE = 0.6
"""Mean probability of a body below which it is doubtful."""
KIND_OF_CLASS = {Class.MARROW: Kind.BODY, Class.RIM: Kind.BODY, Class.ARCH: Kind.ARCH, Class.DISC: Kind.DISC,
                 Class.CANAL: Kind.CANAL, Class.CORD: Kind.CORD, Class.SACRUM: Kind.VERTEBRA}


@dataclass(frozen=True, eq=False)
class Separated:
    """:param labels: (I, J, K) this project's own label values on the field's grid.

    :param field: the probabilities after cleaning, so that both agree.
    :param levels: of the bodies, from head to foot; :param sacrum: whether they are counted up from it.
    :param confidence: mean probability of each body, 0..1.
    """

    labels: NDArray[np.uint16]
    field: Field
    levels: tuple[Level, ...]
    sacrum: bool
    confidence: tuple[float, ...]
    notes: tuple[str, ...]


def separate(field: Field, hints: Sequence[Hint] = (), scan_end_mm: float = -np.inf) -> Separated:
    """Tell vertebrae, discs and arches apart, and name them provisionally.

    :param hints: what people have pointed at.
    :param scan_end_mm: how far toward the feet the scan reaches, in the field's millimeters.
    :raises InputError: where there is no vertebra, or a hint fits nothing.
    """
    field = guided.added(field, hints)
    classes = field.classes()
    spine = one_spine(beside_canal(classes, field.spacing), field.spacing)
    if not spine.any():
        raise InputError(NO_SPINE)
    spine &= ~_below_sacrum(field, classes)
    bones_and_discs = spine & np.isin(classes, COLUMN)
    spine &= ~bones_and_discs | one_spine(bones_and_discs, field.spacing, CRUMB)
    field, lower = field.without((classes > 0) & ~spine).cropped(spine)
    scan_end_mm -= float(lower[1] * field.spacing[1])
    classes = field.classes()
    column = column_of(field, classes)
    if column is None or not np.isin(classes, _BETWEEN).any():
        raise InputError(NO_SPINE)
    places = guided.corrected_borders(borders(column.disc), column, field, hints)
    pieces = guided.removed(_without_guess(pieces_between(column, places, field), field), field, hints)
    if np.count_nonzero(pieces.bodies) * field.spacing.prod() < LEAST_BODY_MM3:
        raise InputError(NO_SPINE)
    field = field.with_class((pieces.bodies > 0) & (classes == Class.DISC), Class.MARROW)
    beside = _beside_sacrum(field, classes, pieces)
    sacrum, notes = (classes == Class.SACRUM, ()) if beside else _sacrum(field, classes, pieces)
    field = cleaned_tube(field, classes, pieces.bodies > 0)
    classes = field.classes()
    arches = arches_of(field, classes == Class.ARCH, pieces, column.curve)
    if not sacrum.any() and _is_first_sacral(pieces, field, scan_end_mm):
        beside = 1
        notes = (*notes, "the lowest vertebra was taken for the sacrum's first, as no disc lies below it")
    for _ in range(beside):
        sacral = (pieces.bodies == pieces.count) | (pieces.discs == pieces.count + 1) | (arches == pieces.count)
        arches[arches == pieces.count] = 0
        field = field.with_class(sacral, Class.SACRUM)
        classes[sacral] = Class.SACRUM
        sacrum |= sacral
        pieces = guided.without_body(pieces, pieces.count)
    levels = tuple(chain_up(pieces.count, Level.L5)[::-1])
    labels = _drawn(classes, pieces, arches, sacrum, levels)
    field = field.without((classes > 0) & (labels == 0))
    confidence = _confidence(field, pieces)
    known = bool(sacrum.any())
    why = "upward from the sacrum" if known else "on the assumption that the lowest one in view is L5"
    return Separated(labels, field, levels, known, confidence,
                     (note_on(levels, why), *notes, *_doubtful(levels, confidence)))


def _without_guess(pieces: Pieces, field: Field) -> Pieces:
    """Without an uppermost body that is hardly seen, nor a disc below it."""
    if pieces.count < 3 or _confidence(field, pieces)[0] >= _GUESSED:
        return pieces
    below, next_one = (np.count_nonzero(pieces.discs == number) for number in (2, 3))
    return guided.without_body(pieces, 1) if below < _GUESSED_DISC * next_one else pieces


def _below_sacrum(field: Field, classes: NDArray[np.uint8]) -> Mask:
    """What looks like bodies or discs below the middle of a large sacrum: pieces of it, of the pelvis, or hips."""
    numbered, count = ndimage.label(classes == Class.SACRUM)
    sizes = np.bincount(numbered.ravel())[1:] * field.spacing.prod()
    if count == 0 or sizes.max() < LARGE_SACRUM_MM3:
        return np.zeros(classes.shape, bool)
    middle = ndimage.center_of_mass(numbered == sizes.argmax() + 1)[1]
    numbered, count = ndimage.label(np.isin(classes, COLUMN))
    centers = ndimage.center_of_mass(numbered > 0, numbered, range(1, count + 1))
    return np.isin(numbered, [n for n, center in enumerate(centers, 1) if center[1] > middle])


def _beside_sacrum(field: Field, classes: NDArray[np.uint8], pieces: Pieces) -> int:
    """How many of the lowest bodies are the sacrum's: those have its wings beside them, and no real disc below.

    The wings of the sacrum begin at the height of its first body.  Where the scan ends in it, that body looks much like
    one more vertebra to a network that sees a slice at a time; the slices at the sides know better.
    """
    sacrum = field.places(np.argwhere(classes == Class.SACRUM))
    if len(sacrum) * field.spacing.prod() < SACRUM_MM3:
        return 0
    for count in range(min(_MOST_SACRAL, pieces.count - 1)):
        number = pieces.count - count
        down = pieces.centers[number - 1] - pieces.centers[number - 2]
        body = field.places(np.argwhere(pieces.bodies == number)) @ down
        top, end = np.quantile(body, (0.05, 0.95))
        wings = np.count_nonzero((sacrum @ down > top) & (sacrum @ down < end)) / len(body)
        discs = [np.count_nonzero(pieces.discs == n) for n in (number + 1, number)]
        if wings < _WINGS or discs[0] > _REMNANT * discs[1]:
            return count
    return min(_MOST_SACRAL, pieces.count - 1)


def _sacrum(field: Field, classes: NDArray[np.uint8], pieces: Pieces) -> tuple[Mask, tuple[str, ...]]:
    """The sacrum, where there is enough of it in the right place, and a note where there is not."""
    mask = classes == Class.SACRUM
    numbered, count = ndimage.label(mask)
    if count == 0:
        return mask, ()
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    main = numbered == sizes.argmax()
    kept = mask & np.isin(numbered, np.flatnonzero(sizes >= 0.1 * sizes.max()))
    if np.count_nonzero(main) * field.spacing.prod() < SACRUM_MM3:
        return np.zeros_like(mask), ()
    lowest = pieces.bodies == pieces.count
    below = field.places(np.argwhere(main)).mean(axis=0)[1] > pieces.centers[-1][1]
    gap = ndimage.distance_transform_edt(~lowest, field.spacing)[main].min()
    if not below:
        return np.zeros_like(mask), ("what looked like a sacrum above the lowest vertebra was left out",)
    if gap > SACRUM_NEAR_MM:
        return np.zeros_like(mask), ("a sacrum was seen, but not next to the lowest vertebra: a vertebra between them "
                                     "may have been missed",)
    return kept, ()


def _is_first_sacral(pieces: Pieces, field: Field, scan_end_mm: float) -> bool:
    """Whether the lowest body is the sacrum's: as large as lumbar ones, without a disc below, where one would show."""
    if pieces.count < 3 or (pieces.discs == pieces.count + 1).any():
        return False
    lowest = pieces.bodies == pieces.count
    end = (np.flatnonzero(lowest.any(axis=(0, 2)))[-1] + 1) * field.spacing[1]
    large = np.count_nonzero(lowest) * field.spacing.prod() > LUMBAR_MM3
    return bool(large and scan_end_mm - end > ROOM_MM)


def _drawn(classes: NDArray[np.uint8], pieces: Pieces, arches: NDArray[np.uint8], sacrum: Mask,
           levels: Sequence[Level]) -> NDArray[np.uint16]:
    """Everything in this project's own values."""
    out = np.zeros(classes.shape, np.uint16)
    out[classes == Class.CANAL] = own_value(Structure(Kind.CANAL))
    out[classes == Class.CORD] = own_value(Structure(Kind.CORD))
    out[sacrum] = own_value(Structure(Kind.VERTEBRA, Level.S1))
    body = np.array([0, *(own_value(Structure(Kind.BODY, level)) for level in levels)], np.uint16)
    arch = np.array([0, *(own_value(Structure(Kind.ARCH, level)) for level in levels)], np.uint16)
    above = chain_up(len(levels) + 1, levels[-1])[-1] if levels[0] > Level.C2 else None
    disc = np.array([0, *(own_value(disc_below(level)) if level is not None else 0 for level in (above, *levels))],
                    np.uint16)
    for numbers, values in ((arches, arch), (pieces.bodies, body), (pieces.discs, disc)):
        there = numbers > 0
        out[there] = values[numbers[there]]
    return out


def _confidence(field: Field, pieces: Pieces) -> tuple[float, ...]:
    sums = field.values[list(BODY)].astype(np.uint16).sum(axis=0)
    means = ndimage.mean(sums, pieces.bodies, range(1, pieces.count + 1))
    return tuple(round(float(min(mean / CERTAIN, 1.0)), 3) for mean in np.atleast_1d(means))


def _doubtful(levels: Sequence[Level], confidence: Sequence[float]) -> tuple[str, ...]:
    found = [f"{level} ({share:.0%})" for level, share in zip(levels, confidence, strict=True) if share < UNSURE]
    return (f"the built-in engine is unsure of {', '.join(found)}: look at the segmentation there",) if found else ()
