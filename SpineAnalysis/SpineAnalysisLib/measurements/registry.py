"""Families of measurements, found by looking into this package.

A family is one module with a ``FAMILY``.  It declares what it measures; tables, markups, reports and documentation
are generated from that.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..anatomy import Kind
from ..progress import Progress
from ..spine import Spine
from .cutoffs import Cutoff
from .record import Measurement, Table

Coded = tuple[str, str, str]
"""Coding scheme, value and meaning."""


@dataclass(frozen=True)
class Coding:
    """Standard codes of a measurement, where there are codes that say all of it.

    :param quantity: what is measured; :param derivation: how it was made of many values; :param method: of measuring.
    :param structure: what it is about, beside the vertebra or disc of its level; :param part: which part of that.
    """

    quantity: Coded
    derivation: Coded | None = None
    method: Coded | None = None
    structure: Kind | None = None
    part: Coded | None = None


# From DICOM PS3.16: context groups 2, 7464, 7470, 7471, 7472 and 7474, as pydicom lists them.
AREA: Coded = ("SCT", "42798000", "Area")
HEIGHT: Coded = ("DCM", "121207", "Height")
VOLUME = Coding(("SCT", "118565006", "Volume"), method=("DCM", "126030", "Sum of segmented voxel method for volume"))
PARTS: Mapping[str, Coded] = {"anterior": ("SCT", "255549009", "Anterior"), "middle": ("SCT", "26216008", "Central"),
                              "posterior": ("SCT", "255551008", "Posterior")}


_PEOPLE = ("Cobb", "Modic", "Pfirrmann", "Torg-Pavlov")


@dataclass(frozen=True)
class Definition:
    """What a measurement is.

    :param key: stable name: column, JSON key, DICOM tracking name.
    :param title: what people read.
    :param unit: UCUM.
    :param definition: how it is measured, one or two sentences.
    :param source: the publication of definition or formula, if it is not this project's own.
    :param coding: standard codes for it; without, DICOM results use the key as a code of this project's own.
    :param decimals: digits that people are shown.
    :param draw: whether its geometry is worth a markup of its own in the scene.
    :param words: what the values of a categorical measurement are called.
    """

    key: str
    title: str
    unit: str
    definition: str
    source: str = ""
    coding: Coding | None = None
    decimals: int = 1
    draw: bool = False
    words: Mapping[int, str] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """The title within a sentence: names of people and abbreviations keep their capital."""
        named = self.title.startswith(_PEOPLE) or self.title[:2].isupper()
        return self.title if named else self.title[:1].lower() + self.title[1:]


@dataclass(frozen=True)
class FamilyResult:
    """:param notes: sentences about what could not be used."""

    measurements: tuple[Measurement, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


BONE_HU, SOFT_HU = (-180.0, 420.0), (-150.0, 250.0)
"""What is black and what is white on pictures of CT: wide enough for bone and canal; for muscles, discs and the sac."""


@dataclass(frozen=True)
class Family:
    """:param compute: ``(spine, parameters, progress)`` to results; ``parameters`` override ``defaults``.

    :param chapter: one short word for an overview, which several families may share.
    :param window_HU: how CT is shown in its pictures.
    """

    name: str
    title: str
    definitions: tuple[Definition, ...]
    compute: Callable[[Spine, Mapping[str, Any], Progress], FamilyResult]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    order: int = 100
    chapter: str = ""
    window_HU: tuple[float, float] = BONE_HU


@cache
def families() -> tuple[Family, ...]:
    """All families, in their order of presentation."""
    package = importlib.import_module(__package__)
    modules = (importlib.import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    found = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return tuple(sorted(found, key=lambda family: (family.order, family.name)))


@cache
def cutoffs() -> dict[str, Cutoff]:
    """Every published cut-off by name, from the modules of this package that have ``CUTOFFS``."""
    package = importlib.import_module(__package__)
    modules = [importlib.import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return {c.name: c for module in modules if module.__name__.endswith("_cutoffs") for c in module.CUTOFFS}


@cache
def definitions() -> dict[str, Definition]:
    """Every measurement's definition by key."""
    return {d.key: d for family in families() for d in family.definitions}
