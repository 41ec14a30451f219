"""Levels for vertebrae that a label map tells apart at most by number: names that hold until somebody knows better."""

from collections.abc import Iterable, Mapping
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
_FUSED = 1.7  # height of a piece, in those of the others, from which on it is two bodies
_SPLIT = 0.4  # distance of two pieces, in those of the others, up to which they are one body in two
_LEAST_PART = 0.2  # of a piece that the plane of a disc cuts in two
_ROOM_MM = 20.0  # of image below a vertebra in which a disc would show

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
    bone = Kind.BODY if _values(reading, Kind.BODY) else Kind.VERTEBRA
    discs = pieces_of(volume, _values(reading, Kind.DISC))
    bodies = _bodies(pieces_of(volume, _values(reading, bone)), discs, bone, volume)
    labeled_sacrum = any(s == Structure(Kind.VERTEBRA, Level.S1) for s in reading.structures.values())
    is_sacrum = not labeled_sacrum and _is_sacrum(bodies[-1], discs, volume)
    levels = chain_up(len(bodies), lowest or (Level.S1 if is_sacrum else Level.L5))[::-1]
    out = np.zeros(volume.shape, np.uint16)
    for value, structure in reading.structures.items():
        if structure.level is not None or structure.kind not in _PLACEABLE:
            out[reading.census.window(value)][reading.census.mask(value)] = own_value(structure)
    for level, body in zip(levels, bodies, strict=True):
        out[body.window][body.mask] = own_value(Structure(bone, level))
    centers = {level: body.region.center_RAS for level, body in zip(levels, bodies, strict=True)}
    write_discs(out, discs, centers)
    return out, (note_on(levels, _why(lowest, labeled_sacrum or is_sacrum)),)


def write_discs(labels: NDArray[np.uint16], discs: Iterable[Piece], centers: Mapping[Level, NDArray]) -> None:
    """Write every disc's own value into a label map, by the vertebra above it.

    :param centers: level -> (3,) center, RAS mm.
    """
    for disc in discs:
        level = _level_above(disc, centers)
        if level is not None:
            labels[disc.window][disc.mask] = own_value(disc_below(level))


def _values(reading: Reading, kind: Kind) -> list[int]:
    return [v for v, s in reading.structures.items() if s.kind is kind and s.level is None]


def _is_sacrum(lowest: Piece, discs: list[Piece], volume: Volume) -> bool:
    """Whether the lowest body is the sacrum's first: it has no disc below, where one would be in view."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1).T
    room = lowest.region.lower_RAS[2] - volume.to_ras(corners)[:, 2].min()
    below = any(disc.region.center_RAS[2] < lowest.region.center_RAS[2] for disc in discs)
    return bool(discs) and not below and room >= _ROOM_MM


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


def _bodies(pieces: list[Piece], discs: list[Piece], kind: Kind, volume: Volume) -> list[Piece]:
    """One piece for each vertebra; bodies that have grown together are cut where a disc lies between them.

    :raises InputError: where they cannot be told apart.
    """
    bare = kind is Kind.BODY  # arches reach over to the next vertebra, so that only bare bodies are as tall as they are
    if bare:
        pieces = sorted((part for piece in pieces for part in _cut(piece, discs, volume)),
                        key=lambda part: -part.region.center_RAS[2])
    heights = [piece.region.extent_mm[2] for piece in pieces]
    steps = np.linalg.norm(np.diff([piece.region.center_RAS for piece in pieces], axis=0), axis=1)
    usual = max(np.median(heights), steps.min(initial=np.inf)) if steps.size else 0.0  # most may be cut by the edge
    # The sacrum's may be all of its segments; elsewhere, a disc would have shown that it is two.
    fused = bare and max(heights[:-1] if discs else heights, default=0.0) > _FUSED * usual
    if fused or not steps.size or steps.min() < _SPLIT * np.median(steps):
        raise InputError("The vertebrae touch one another under a single label, so that they cannot be told apart: "
                         "pass a segmentation that gives each vertebra its own label.")
    return pieces


def _cut(piece: Piece, discs: list[Piece], volume: Volume) -> list[Piece]:
    """The parts of a piece between the planes of the discs that lie at its height."""
    points_IJK = np.argwhere(piece.mask)
    points_RAS = volume.to_ras(points_IJK + np.asarray(piece.first, float))
    below = np.zeros(len(points_IJK), int)
    for disc in discs:
        if piece.region.lower_RAS[2] < disc.region.center_RAS[2] < piece.region.upper_RAS[2]:
            beneath = (points_RAS - disc.region.center_RAS) @ _normal(disc, volume) < 0
            below += beneath if _LEAST_PART < beneath.mean() < 1 - _LEAST_PART else 0
    parts = []
    for number in np.unique(below):
        mask = np.zeros_like(piece.mask)
        mask[tuple(points_IJK[below == number].T)] = True
        parts.append(Piece(mask, piece.first, region_of(mask, piece.first, volume)))
    return parts


def _normal(disc: Piece, volume: Volume) -> NDArray[np.floating]:
    """(3,) the direction in which a disc is thinnest, toward the head."""
    points_RAS = volume.to_ras(np.argwhere(disc.mask).astype(float))
    normal: NDArray[np.floating] = np.linalg.svd(np.cov(points_RAS.T))[0][:, -1]
    return normal if normal[2] > 0 else -normal


def _level_above(disc: Piece, centers: Mapping[Level, NDArray]) -> Level | None:
    """The vertebra above a disc, which may be the one that is just out of view."""
    above = [level for level, center in centers.items() if center[2] > disc.region.center_RAS[2]]
    if not above:
        above = [level for level in Level if level is not Level.C1 and min(centers) in successors(level)[:1]]
    lowest = max(above, default=Level.S1)
    return lowest if lowest < Level.S1 else None
