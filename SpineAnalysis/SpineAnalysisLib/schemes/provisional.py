"""Levels for vertebrae that a label map tells apart at most by number: names that hold until somebody knows better."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import Kind, Level, Structure, successors
from ..errors import InputError
from ..volume import Volume
from .census import Region, region_of
from .judge import Reading
from .tables import disc_below, own_value

_CRUMB = 0.1  # of the largest piece; smaller pieces are not vertebrae
_FUSED = 1.6  # height of a piece, in spacings, from which on it is two bodies
_SPLIT = 0.4  # distance of two pieces, in spacings, up to which they are one body in two

_PLACEABLE = (Kind.BODY, Kind.VERTEBRA, Kind.DISC)  # kinds whose pieces get a level


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected part of a label. :param first: lower corner of its window, IJK."""

    mask: NDArray[np.bool_]
    first: tuple[int, ...]
    region: Region

    @property
    def window(self) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(self.first, self.mask.shape, strict=True))


def chain_up(count: int, lowest: Level) -> list[Level]:
    """So many levels, bottom to top, the numeric variants left out unless the lowest is one.

    :raises InputError: where there are more vertebrae than levels.
    """
    levels = [level for level in sorted(Level, reverse=True)
              if level is lowest or (level < lowest and not level.is_variant)]
    if count > len(levels):
        raise InputError(f"The segmentation holds {count} vertebrae, more than there are from {lowest} up; "
                         "pass --scheme NAME.")
    return levels[:count]


def note_on(levels: Iterable[Level], why: str) -> str:
    """What to tell people about provisional levels."""
    named = sorted(levels)
    return f"levels are provisional: the vertebrae are named {named[0]} to {named[-1]} {why}"


def levels_of_numbers(reading: Reading, lowest: Level | None) -> tuple[dict[int, Structure], tuple[str, ...]]:
    """Levels for values that number vertebrae along the spine, from the lowest up.

    :param reading: by the scheme of instance numbers.
    :param lowest: level of the lowest vertebra; ``None`` takes it for L5.
    :return: value -> structure, and notes.
    :raises InputError: where the numbers do not follow the spine.
    """
    numbers = [v for v, s in reading.structures.items() if s.kind is Kind.VERTEBRA]
    heights = [reading.census.region(v).center_RAS[2] for v in numbers]
    by_height = [numbers[index] for index in np.argsort(heights)]
    if by_height not in (sorted(numbers), sorted(numbers, reverse=True)):
        raise InputError("The numbers of the vertebrae do not follow the spine: correct the label map.")
    level_of = dict(zip(by_height, chain_up(len(by_height), lowest or Level.L5), strict=True))
    out: dict[int, Structure] = {}
    for value, structure in reading.structures.items():
        level = level_of.get(value % 100)  # discs are at 100 more than their vertebra, endplates at 200 more
        if structure.kind is Kind.DISC and level is not None and level < Level.S1:
            out[value] = disc_below(level)
        elif structure.kind is not Kind.DISC and level is not None:
            out[value] = Structure(structure.kind, level)
    return out, (note_on(level_of.values(), _why(lowest, False)),)


def _why(lowest: Level | None, sacrum: bool) -> str:
    if lowest is not None:
        return f"with {lowest} as the lowest, as asked for"
    return "upward from the sacrum" if sacrum else "on the assumption that the lowest one in view is L5"


def pieces_with_levels(reading: Reading, lowest: Level | None) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """A label map in own values in which every vertebra and disc of a class label is told apart.

    :param reading: with labels for all bodies or vertebrae, or all discs, at once.
    :param lowest: level of the lowest vertebra; ``None`` counts up from the sacrum or else takes it for L5.
    :return: (I, J, K) own values, and notes.
    :raises InputError: where the bodies touch one another, so that they cannot be told apart.
    """
    volume = reading.census.volume
    sacrum = _sacrum_height(reading)
    bone = Kind.BODY if _values(reading, Kind.BODY) else Kind.VERTEBRA
    bodies = _bodies(pieces_of(volume, _values(reading, bone)), bone)
    bottom = lowest or (Level.L5 if sacrum is None or sacrum < bodies[-1].region.center_RAS[2] else None)
    if bottom is None:
        raise InputError("The sacrum lies above the lowest vertebra: correct the label map.")
    levels = chain_up(len(bodies), bottom)[::-1]
    out = np.zeros(volume.shape, np.uint16)
    for value, structure in reading.structures.items():
        if structure.level is not None or structure.kind not in _PLACEABLE:
            out[reading.census.window(value)][reading.census.mask(value)] = own_value(structure)
    for level, body in zip(levels, bodies, strict=True):
        out[body.window][body.mask] = own_value(Structure(bone, level))
    for disc in pieces_of(volume, _values(reading, Kind.DISC)):
        level = _level_above(disc, levels, bodies)
        if level is not None:
            out[disc.window][disc.mask] = own_value(disc_below(level))
    return out, (note_on(levels, _why(lowest, sacrum is not None)),)


def _values(reading: Reading, kind: Kind) -> list[int]:
    return [v for v, s in reading.structures.items() if s.kind is kind and s.level is None]


def _sacrum_height(reading: Reading) -> float | None:
    heights = [r.center_RAS[2] for s, r in reading.regions({Kind.VERTEBRA}) if s.level is Level.S1]
    return float(np.mean(heights)) if heights else None


def pieces_of(volume: Volume, values: list[int]) -> list[Piece]:
    """The connected parts of these values together, head to foot, without crumbs."""
    if not values:
        return []
    numbered, _ = ndimage.label(np.isin(volume.array, values))
    found = []
    for number, window in enumerate(ndimage.find_objects(numbered), start=1):
        mask, first = numbered[window] == number, tuple(s.start for s in window)
        found.append(Piece(mask, first, region_of(mask, first, volume)))
    least = _CRUMB * max(piece.region.voxels for piece in found)
    return sorted((p for p in found if p.region.voxels >= least), key=lambda p: -p.region.center_RAS[2])


def _bodies(pieces: list[Piece], kind: Kind) -> list[Piece]:
    """The pieces, if each can be one vertebra.

    :raises InputError: where they cannot.
    """
    centers = np.array([piece.region.center_RAS for piece in pieces])
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1) if len(pieces) > 1 else np.zeros(0)
    spacing = float(np.median(steps)) if steps.size else 0.0
    tallest = max((float(p.region.extent_mm[2]) for p in pieces), default=0.0)
    bare = kind is Kind.BODY  # arches reach over to the next vertebra, so that only bare bodies show it by their height
    if not steps.size or (bare and tallest > _FUSED * spacing) or steps.min() < _SPLIT * spacing:
        raise InputError("The vertebrae touch one another under a single label, so that they cannot be told apart: "
                         "pass a segmentation that gives each vertebra its own label.")
    return pieces


def _level_above(disc: Piece, levels: list[Level], bodies: list[Piece]) -> Level | None:
    """The vertebra above a disc, which may be one that is out of view."""
    above = [level for level, body in zip(levels, bodies, strict=True)
             if body.region.center_RAS[2] > disc.region.center_RAS[2]]
    if above:
        return above[-1] if above[-1] < Level.S1 else None
    out_of_view = [level for level in Level if levels[0] in successors(level)[:1]]
    return out_of_view[0] if out_of_view and out_of_view[0] > Level.C1 else None
