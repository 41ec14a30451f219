"""Engines, found by looking into this package: an engine is one module with an ``ENGINE``."""

import importlib
import pkgutil
from functools import cache

from ..errors import InputError
from ..spine import Contrast
from ..volume import LabelMap, Volume
from .protocol import Engine

DEFAULT = "builtin"


@cache
def engines() -> dict[str, Engine]:
    """All engines by name, in their order of presentation."""
    package = importlib.import_module(__package__)
    modules = (importlib.import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)
               if not m.ispkg)
    found = [module.ENGINE for module in modules if hasattr(module, "ENGINE")]
    return {engine.name: engine for engine in sorted(found, key=lambda engine: (engine.order, engine.name))}


def engine_named(name: str) -> Engine:
    """:raises InputError: for a name that no engine has."""
    if name not in engines():
        raise InputError(f"There is no engine {name}; the known ones are {', '.join(engines())}.")
    return engines()[name]


def labels_of(volume: Volume, contrast: Contrast | None) -> LabelMap | None:
    """What the default engine sees in a scan; ``None`` where it finds no spine or cannot run."""
    try:
        return engine_named(DEFAULT).segment(volume, contrast).labeled.labels
    except InputError:
        return None
