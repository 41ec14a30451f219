"""Whether a label map can be what a scheme says it is, from its values and from where and how large they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..anatomy import VERTEBRA_KINDS, Kind, Level, Structure
from .census import Census, Region
from .stature import SPACING_MM, relative_bulk, relative_stature
from .tables import Scheme

_STATURE = (0.5, 1.5)  # of people, from a small child to a giant; a lumbar spine taken for a cervical one is at 2
_POSSIBLE_STATURE = (0.2, 3.0)  # of anything that is measured like people
_ORDER_MM = 3.0  # centers of neighbors may be level by so much, in a spine that lies or leans
_MOST_REVERSED = 0.2  # of the pairs of neighbors
_BODY_DEPTH = 1.6  # greatest depth (along A) of a bare vertebral body, in spacings
_DISC_HEIGHT = 0.65  # least height (along S) of a vertebral body, in spacings
_GREATEST_HEIGHT = 3.5  # of a vertebra with its processes, in spacings
_CORD_GAP_MM = 3.0
_BEYOND_MM = 15.0  # discs may reach beyond the vertebrae in view by so much
_CORD_PIECE = 2.5  # greatest height (along S) of a piece of the cord, in spacings

BODIES_ONLY = "the labels are vertebral bodies without their arches"
ONE_LEVEL = "one level alone does not tell"

# Mean area of axial sections, mm2.
_SECTIONS = {Kind.CORD: (20.0, 150.0), Kind.CANAL: (30.0, 600.0), Kind.DURAL_SAC: (30.0, 600.0),
             Kind.CANAL_CONTENT: (30.0, 600.0)}
_LEAST_BONE_SECTION = 150.0


@dataclass(frozen=True, eq=False)
class Fit:
    """A scheme held against a label map.

    :param impossible: why it cannot be; also refuses a scheme that somebody asks for.
    :param unlikely: why it hardly is; keeps a scheme from being recognized, and is a doubt when somebody asks for it.
    :param strangeness: how far the vertebrae are from the distances and sizes of a typical adult's, as logarithms.
    """

    scheme: Scheme
    impossible: tuple[str, ...] = ()
    unlikely: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    strangeness: float = 0.0

    @property
    def fits(self) -> bool:
        return not self.impossible and not self.unlikely


@dataclass(frozen=True, eq=False)
class Reading:
    """A label map as one scheme reads it."""

    census: Census
    structures: Mapping[int, Structure]

    def regions(self, kinds: Iterable[Kind]) -> list[tuple[Structure, Region]]:
        wanted = set(kinds)
        return [(s, self.census.region(value)) for value, s in self.structures.items() if s.kind in wanted]

    @cached_property
    def pieces(self) -> list[tuple[Level, Region]]:
        """What stands for a level: parts of vertebrae, or pieces of the cord where there is no bone."""
        bone = [(s.level, r) for s, r in self.regions(VERTEBRA_KINDS - {Kind.ENDPLATE}) if s.level is not None]
        return bone or [(s.level, r) for s, r in self.regions({Kind.CORD}) if s.level is not None]

    @cached_property
    def centers(self) -> dict[Level, NDArray[np.floating]]:
        """(3,) center of every level, top to bottom."""
        return {level: np.average([r.center_RAS for other, r in self.pieces if other is level], axis=0,
                                  weights=[r.voxels for other, r in self.pieces if other is level])
                for level in sorted({level for level, _ in self.pieces})}

    @cached_property
    def stature(self) -> float | None:
        return relative_stature(self.centers)

    @cached_property
    def strangeness(self) -> float:
        """0 where distances and sizes of the vertebrae are a typical adult's."""
        volumes = {level: sum(r.volume_mm3 for other, r in self.pieces if other is level) for level in self.centers}
        bulk = relative_bulk(volumes) if self.regions({Kind.VERTEBRA}) else None
        return sum(abs(float(np.log(ratio))) for ratio in (self.stature, bulk) if ratio)

    def relative_extent(self, axis: int) -> float | None:
        """Median extent of the vertebrae (all but the sacrum) along R, A or S, in spacings of this person."""
        sizes = []
        for level in self.centers:
            if level is not Level.S1:
                regions = [r for other, r in self.pieces if other is level]
                size = max(r.upper_RAS[axis] for r in regions) - min(r.lower_RAS[axis] for r in regions)
                sizes.append(size / (SPACING_MM[level] * (self.stature or 1.0)))
        return float(np.median(sizes)) if sizes else None

    @property
    def holds_bodies_only(self) -> bool:
        """Whether what is labeled as vertebrae ends behind at the body's posterior wall."""
        kinds = {s.kind for s in self.structures.values() if s.kind in VERTEBRA_KINDS} - {Kind.ENDPLATE}
        depth = self.relative_extent(1)
        return kinds == {Kind.VERTEBRA} and depth is not None and depth < _BODY_DEPTH


def read(census: Census, scheme: Scheme) -> Reading:
    """The values of the label map that mean structures."""
    return Reading(census, {v: scheme.table[v] for v in census.values if v in scheme.table})


def judge(census: Census, scheme: Scheme) -> Fit:
    """Hold a scheme against a label map."""
    unknown = [v for v in census.values if v not in scheme.table and v not in scheme.ignored]
    if unknown:
        return Fit(scheme, (f"{scheme.title} has no label {_listed(unknown)}",))
    reading = read(census, scheme)
    if not reading.structures:
        return Fit(scheme, (f"none of its labels is a structure of the spine in {scheme.title}",))
    impossible, doubts = _order(reading)
    impossible += tuple(f"{reason} (is its voxel spacing right?)" for reason in _stature(reading, _POSSIBLE_STATURE))
    if impossible:
        return Fit(scheme, impossible)
    bone = bool(reading.regions(VERTEBRA_KINDS))
    unlikely = [*_levels_missing(reading, scheme), *_sections(reading), *_stature(reading, _STATURE)]
    unlikely += [*_bone_shapes(reading), *_classes(reading)] if bone else _cord_shapes(reading)
    return Fit(scheme, (), tuple(unlikely), (*doubts, *_misplaced_discs(reading)), reading.strangeness)


def _listed(values: Iterable[int], most: int = 8) -> str:
    listed = [str(v) for v in values]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _order(reading: Reading) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whether the levels follow one another from head to foot: what is impossible, and what is doubtful."""
    chain = list(reading.centers.items())
    wrong = [(a, b) for (a, center), (b, below) in zip(chain, chain[1:], strict=False)
             if below[2] > center[2] + _ORDER_MM]
    if not wrong:
        return (), ()
    text = "; ".join(f"{b} lies above {a}" for a, b in wrong[:3])
    if len(wrong) > _MOST_REVERSED * (len(chain) - 1):
        return (f"its levels do not follow one another from head to foot ({text})",), ()
    return (), (f"{text}: check the labels",)


def _levels_missing(reading: Reading, scheme: Scheme) -> list[str]:
    """A scheme that tells levels apart should find two."""
    tells = any(s.level not in (None, Level.S1) and s.kind in VERTEBRA_KINDS | {Kind.CORD}
                for s in scheme.table.values())
    if not tells or len(reading.centers) > 1:
        return []
    return [ONE_LEVEL if reading.centers else f"none of the vertebrae of {scheme.title} is labeled"]


def _sections(reading: Reading) -> list[str]:
    """Cord and canal are tubes of a certain width; bone is stouter."""
    out = []
    for kind, (least, greatest) in _SECTIONS.items():
        sections = [r.section_mm2 for _, r in reading.regions({kind})]
        if sections and not least <= np.median(sections) <= greatest:
            out.append(f"the {kind.value} would have cross-sections of {np.median(sections):.0f} mm2")
    bone = [r.section_mm2 for s, r in reading.regions({Kind.VERTEBRA, Kind.BODY})]
    if bone and np.median(bone) < _LEAST_BONE_SECTION:
        out.append("the vertebrae would be as thin as the cord")
    return out


def _stature(reading: Reading, limits: tuple[float, float]) -> list[str]:
    low, high = limits
    if reading.stature is None or low <= reading.stature <= high:
        return []
    return [f"vertebrae {min(reading.centers)} to {max(reading.centers)} would lie {reading.stature:.1f} times as far "
            "apart as they do in adults"]


def _bone_shapes(reading: Reading) -> list[str]:
    """Labels are neither discs, nor regions of the spine, nor bodies where whole vertebrae are claimed."""
    out = []
    height = reading.relative_extent(2)
    if height is not None and len(reading.centers) > 1 and height < _DISC_HEIGHT:
        out.append("the vertebrae would be as flat as discs")
    if height is not None and height > _GREATEST_HEIGHT:
        out.append("one vertebra would be as tall as several")
    if reading.holds_bodies_only:
        out.append(BODIES_ONLY)
    return out


def _classes(reading: Reading) -> list[str]:
    """Where one label is all vertebrae and one is all discs, discs lie at the height of the vertebrae."""
    bone = [r for s, r in reading.regions({Kind.VERTEBRA, Kind.BODY})]
    discs = [r for s, r in reading.regions({Kind.DISC}) if s.level is None]
    if not discs or not bone:
        return []
    low = min(r.lower_RAS[2] for r in bone) - _BEYOND_MM
    high = max(r.upper_RAS[2] for r in bone) + _BEYOND_MM
    beyond = any(r.lower_RAS[2] < low or r.upper_RAS[2] > high for r in discs)
    return ["the discs would not lie between the vertebrae"] if beyond else []


def _cord_shapes(reading: Reading) -> list[str]:
    """Pieces of a labeled cord are as long as a vertebra is high, and touch."""
    out = []
    height = reading.relative_extent(2)
    if height is not None and height > _CORD_PIECE:
        out.append("one piece of the cord would be as long as several vertebrae")
    regions = [r for _, r in sorted(reading.pieces, key=lambda piece: piece[0])]
    gaps = [upper.lower_RAS[2] - lower.upper_RAS[2] for upper, lower in zip(regions, regions[1:], strict=False)]
    if gaps and max(gaps) > _CORD_GAP_MM + float(np.max(reading.census.volume.spacing)):
        out.append("the pieces of the cord would not touch")
    return out


def _misplaced_discs(reading: Reading) -> list[str]:
    """Discs lie between their vertebrae."""
    out = []
    for disc, region in reading.regions({Kind.DISC}):
        heights = {level: center[2] for level, center in reading.centers.items() if level in (disc.level, disc.below)}
        height = region.center_RAS[2]
        above, below = (heights.get(level, height) if level else height for level in (disc.level, disc.below))
        if not below - _ORDER_MM < height < above + _ORDER_MM:
            out.append(f"the {disc} does not lie between its vertebrae: check the labels")
    return out
