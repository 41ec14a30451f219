"""Versions of what computed a result."""

import platform
from importlib.metadata import PackageNotFoundError, version

from . import __version__

_PACKAGES = ("numpy", "scipy", "SimpleITK", "vtk", "slicer-core")


def versions() -> dict[str, str]:
    """Name -> version of this package, Python and the libraries that compute; nothing is imported to find out."""
    found = {"spine-analysis": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # inside Slicer some come without their metadata
            continue
    return found
