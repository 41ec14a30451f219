"""Getting an engine without changing what is there."""

from importlib.metadata import PackageNotFoundError, distribution, distributions
from importlib.util import find_spec

from .protocol import Engine

_BUILT_IN = ("vtk", "SimpleITK")  # which engines ask for as well


def built_in() -> list[str]:
    """Packages that are there without pip's knowledge, as Slicer brings its own: pip would install them once more."""
    return [name for name in _BUILT_IN if find_spec(name) is not None and not _known(name)]


def _known(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def constraints() -> str:
    """Lines for pip that keep every package that is installed as it is.

    An engine that cannot live with them is refused by pip instead of breaking other programs, such as Slicer.
    """
    present = {dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"]}
    kept = [f"{name}=={version}\n" for name, version in sorted(present.items(), key=lambda item: item[0].lower())
            if "/" not in version and " " not in version]
    return "".join(kept + [f"{name}<0\n" for name in built_in()])  # no version will do


def question(engine: Engine) -> str:
    """What people are asked before an engine is installed."""
    return " ".join((f"{engine.title} needs additional Python packages ({', '.join(engine.requirements)}).",
                     f"License: {engine.license}.", engine.terms, f"Hardware: {engine.hardware}.")).replace("  ", " ")
