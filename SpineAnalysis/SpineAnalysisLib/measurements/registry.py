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

from ..progress import Progress
from ..spine import Spine
from .cutoffs import Cutoff
from .record import Measurement, Table


@dataclass(frozen=True)
class Definition:
    """What a measurement is.

    :param key: stable name: column, JSON key, DICOM tracking name.
    :param title: what people read.
    :param unit: UCUM.
    :param definition: how it is measured, one or two sentences.
    :param source: the publication of definition or formula, if it is not this project's own.
    :param codes: coding scheme -> (code, meaning).
    :param decimals: digits that people are shown.
    :param draw: whether its geometry is worth a markup of its own in the scene.
    :param words: what the values of a categorical measurement are called.
    """

    key: str
    title: str
    unit: str
    definition: str
    source: str = ""
    codes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    decimals: int = 1
    draw: bool = False
    words: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FamilyResult:
    measurements: tuple[Measurement, ...]
    tables: tuple[Table, ...] = ()


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
