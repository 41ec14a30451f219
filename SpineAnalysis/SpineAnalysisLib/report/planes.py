"""Which planes of a level are worth a picture, and what is drawn into each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Segment, Side
from ..geometry.frames import Frame
from ..measurements import registry
from ..measurements.record import Geometry, Measurement, Severity
from ..measurements.registry import Family
from ..spine import Spine

FloatArray = NDArray[np.floating]

_PARALLEL = 0.7
"""Cosine of the angle up to which two planes show the same view."""
_SAME_PLANE_MM, _SAME_VIEW_MM = 0.75, 12.0
"""Up to here from its plane a line is drawn as in it; and, dashed, as near it."""
_TOGETHER_MM = 4.0
"""Lines of several families are drawn together where their planes are no farther apart."""
_UNITS = {"line": "mm", "angle": "deg"}
"""Of the records whose own geometry is drawn; ratios and shares carry that of what they were made from."""
_STRAIGHT = 0.978
"""Cosine (of 12 degrees) within which a plane is called by the patient's axis."""
_PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True, eq=False)
class Shape:
    """What is drawn of one or, where they share it, several records.

    :param severity: the worst of theirs.
    """

    record: Measurement
    geometry: Geometry
    severity: Severity


@dataclass(frozen=True, eq=False)
class Section:
    """One plane at one level, and what is drawn into it.

    :param family: what it is about.
    :param leading: the record whose plane it is.
    :param inside: outlines and lines in this plane; :param beside: lines in neighboring planes.
    :param told: everything that is measured in it, whether drawn or not.
    :param outlined: whether an outline was measured in it or near it.
    """

    level: Level | Segment | None
    family: Family
    frame: Frame
    leading: Measurement
    inside: tuple[Shape, ...]
    beside: tuple[Shape, ...]
    told: tuple[Measurement, ...]
    outlined: bool

    @property
    def severity(self) -> Severity:
        return max(m.severity for m in self.told)

    @property
    def side(self) -> Side | None:
        """The patient's side, where all that is drawn lies on one."""
        sides = {shape.record.side for shape in (*self.inside, *self.beside)}
        return next(iter(sides)) if len(sides) == 1 else None

    def title(self, spine: Spine) -> str:
        """``Foramina and lateral recesses, left: sagittal-oblique``."""
        side = f", {self.side}" if self.side else ""
        return f"{self.family.title}{side}: {plane_name(self.frame, anatomy_of(spine, self.level))}"


@dataclass(eq=False)
class _Pile:
    """A section in the making."""

    family: Family
    frame: Frame
    shapes: list[Shape] = field(default_factory=list)
    told: list[Measurement] = field(default_factory=list)

    @property
    def outlined(self) -> bool:
        return any(shape.geometry.type == "contour" for shape in self.shapes)

    def takes(self, family: Family, shape: Shape) -> bool:
        """Whether a shape belongs into this picture; a canal outlined on one scan does not into another's."""
        geometry = shape.geometry
        if family is not self.family and (self.outlined or geometry.type == "contour"):
            return False
        scans = {each.record.scan for each in (*self.shapes, shape) if each.record.scan is not None}
        return len(scans) < 2 and self.shows(geometry, _SAME_VIEW_MM if family is self.family else _TOGETHER_MM)

    def shows(self, geometry: Geometry, reach_mm: float = _SAME_VIEW_MM) -> bool:
        """Whether something lies in about this plane."""
        assert geometry.frame is not None
        return abs(float(geometry.frame.superior @ self.frame.superior)) > _PARALLEL and _off(self.frame,
                                                                                              geometry) <= reach_mm


def sections_at(level: Level | Segment | None, measurements: Sequence[Measurement]) -> tuple[Section, ...]:
    """All planes in which something was measured at a level, the worst first, of equals in the families' order."""
    homes = {d.key: family for family in registry.families() for d in family.definitions}
    here = [m for m in measurements if m.level == level and m.value is not None and m.key in homes
            and m.geometry is not None and m.geometry.frame is not None]
    piles: list[_Pile] = []
    for shape, sharing in _shapes(here):
        _put(piles, homes[shape.record.key], shape, sharing)
    drawn = {id(m) for pile in piles for m in pile.told}
    for record in (m for m in here if id(m) not in drawn):
        _tell(piles, homes[record.key], record)
    return tuple(sorted((_section(level, pile, homes) for pile in piles if pile.shapes), key=lambda s: -s.severity))


def section_at(level: Level | Segment | None, measurements: Sequence[Measurement]) -> Section | None:
    """The plane of what is worst at a level."""
    return next(iter(sections_at(level, measurements)), None)


def anatomy_of(spine: Spine, level: Level | Segment | None) -> Frame | None:
    """The frame of a vertebra or a disc, by which planes there are called: the sacrum's own axial plane is steep."""
    if isinstance(level, Segment):
        return next((motion.disc for motion in spine.segments if motion.segment == level), None)
    vertebra = None if level is None else spine.vertebra(level)
    return None if vertebra is None else vertebra.frame


def plane_name(frame: Frame, anatomy: Frame | None = None) -> str:
    """``axial``, or ``axial-oblique`` where the plane leans.

    :param anatomy: by whose axes it is called; without, by the scanner's.
    """
    normal = np.abs(frame.superior if anatomy is None else anatomy.axes @ frame.superior)
    axis = int(normal.argmax())
    return _PLANES[axis] if normal[axis] > _STRAIGHT else f"{_PLANES[axis]}-oblique"


def _shapes(records: Sequence[Measurement]) -> Iterator[tuple[Shape, list[Measurement]]]:
    """What can be drawn and is worth it, each with all records that share it."""
    definitions = registry.definitions()
    groups: list[list[Measurement]] = []
    for record in records:
        group = next((g for g in groups if _same(g[0].geometry, record.geometry)), None)
        if group is None:
            groups.append([record])
        else:
            group.append(record)
    for group in groups:
        geometry = group[0].geometry
        assert geometry is not None
        wanted = _UNITS.get(geometry.type)
        own = [m for m in group if m.unit == wanted]
        severity = max(m.severity for m in group)
        if geometry.type == "contour":
            yield Shape(group[0], geometry, severity), group
        elif own and (severity or any(definitions[m.key].draw for m in own)):
            yield Shape(own[0], geometry, severity), group


def _same(a: Geometry | None, b: Geometry | None) -> bool:
    return a is not None and b is not None and (a.type, a.points_RAS.shape) == (b.type, b.points_RAS.shape) \
        and bool(np.allclose(a.points_RAS, b.points_RAS, atol=1e-6))


def _put(piles: list[_Pile], family: Family, shape: Shape, sharing: list[Measurement]) -> None:
    pile = next((p for p in piles if p.takes(family, shape)), None)
    if pile is None:
        assert shape.geometry.frame is not None
        piles.append(pile := _Pile(family, shape.geometry.frame))
    pile.shapes.append(shape)
    pile.told += sharing


def _tell(piles: list[_Pile], family: Family, record: Measurement) -> None:
    """A value that is not drawn belongs to a picture of about its plane; a line without one gets its own."""
    geometry = record.geometry
    assert geometry is not None
    mine = [p for p in piles if p.family is family and p.shows(geometry)]
    pile = next(iter([*mine, *(p for p in piles if p.shows(geometry))]), None)
    if pile is not None:
        pile.told.append(record)
    elif geometry.type in _UNITS:
        _put(piles, family, Shape(record, geometry, record.severity), [record])


def _section(level: Level | Segment | None, pile: _Pile, homes: Mapping[str, Family]) -> Section:
    """The plane is that of the worst outline or line; of equals, of the first outline."""
    ranked = sorted(pile.shapes, key=lambda shape: (-shape.severity, shape.geometry.type != "contour"))
    frame = ranked[0].geometry.frame
    assert frame is not None
    inside = tuple(s for s in pile.shapes if _off(frame, s.geometry) <= _SAME_PLANE_MM)
    beside = tuple(s for s in pile.shapes if _SAME_PLANE_MM < _off(frame, s.geometry) <= _SAME_VIEW_MM
                   and s.geometry.type != "contour")
    leading = ranked[0].record
    return Section(level, homes[leading.key], frame, leading, inside, beside, tuple(pile.told), pile.outlined)


def _off(frame: Frame, geometry: Geometry) -> float:
    """How far a shape, or the plane that it was measured in, lies from a plane, mm."""
    assert geometry.frame is not None
    return float(min(np.abs(frame.plane.distance(geometry.points_RAS)).max(),
                     abs(frame.plane.distance(geometry.frame.origin))))
