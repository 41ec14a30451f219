"""What a real Slicer's widget and application classes offer to Python."""

import json
from functools import cache
from pathlib import Path

_CLASSES = json.loads((Path(__file__).parent / "slicer_api.json").read_text())["classes"]

ALIASES = {"name": "objectName"}
"""Names that PythonQt has for others."""


class NotInSlicer(AttributeError):
    """Something that a real Slicer does not have, so that nothing may use it here either."""


def known(class_name: str) -> bool:
    return class_name in _CLASSES


def module_of(class_name: str) -> str:
    """``qt``, ``ctk`` or ``slicer``."""
    return _CLASSES[class_name]["module"]


def base_of(class_name: str) -> str | None:
    """The class whose names this one has as well."""
    return _CLASSES[class_name].get("plus")


def has_instance(class_name: str) -> bool:
    """Whether the API was read from an object of the class, so that it tells properties from methods."""
    return not _CLASSES[class_name].get("no_default_constructor", False)


def classes() -> list[str]:
    return list(_CLASSES)


@cache
def _names(class_name: str) -> dict[str, str]:
    """Every name that a class offers -> property, read-only, signal, slot or attribute."""
    entry = _CLASSES[class_name]
    names = dict(_names(entry["plus"])) if "plus" in entry else {}
    names |= dict.fromkeys(entry.get("attributes", "").split(), "attribute")
    names |= {signature.partition("(")[0]: "slot" for signature in entry.get("slots", "").split()}
    names |= {signature.partition("(")[0]: "signal" for signature in entry.get("signals", "").split()}
    return names | {name: "read-only" if "read-only" in kind else "property"
                    for name, kind in entry.get("properties", {}).items()}


def kind_of(class_name: str, name: str) -> str:
    """What a name is.

    :raises NotInSlicer: for a name that the class has not.
    """
    name = ALIASES.get(name, name)
    if name not in _names(class_name):
        raise NotInSlicer(f"{class_name} has no {name} in Slicer")
    return _names(class_name)[name]


@cache
def signals(class_name: str) -> frozenset[str]:
    """Signatures of all signals."""
    entry = _CLASSES[class_name]
    inherited = signals(entry["plus"]) if "plus" in entry else frozenset()
    return inherited | frozenset(entry.get("signals", "").split())


def check_signal(class_name: str, signature: str) -> None:
    """:raises NotInSlicer: for a signal that the class has not; of classes read without an instance, by name."""
    found = signals(class_name)
    name = signature.partition("(")[0]
    if signature not in found and (found or kind_of(class_name, name) != "attribute"):
        raise NotInSlicer(f"{class_name} has no signal {signature} in Slicer; it has {', '.join(sorted(found))}")
