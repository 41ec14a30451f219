"""Getting an engine without changing what is there."""

from importlib.metadata import distributions

from .protocol import Engine


def constraints() -> str:
    """Lines for pip that keep every package that is installed as it is.

    An engine that cannot live with them is refused by pip instead of breaking other programs, such as Slicer.
    """
    present = {dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"]}
    return "".join(f"{name}=={version}\n" for name, version in sorted(present.items(), key=lambda item: item[0].lower())
                   if "/" not in version and " " not in version)


def question(engine: Engine) -> str:
    """What people are asked before an engine is installed."""
    return " ".join((f"{engine.title} needs additional Python packages ({', '.join(engine.requirements)}).",
                     f"License: {engine.license}.", engine.terms, f"Hardware: {engine.hardware}.")).replace("  ", " ")
