"""Rewrites the file lists of SpineAnalysis/CMakeLists.txt from what is on disk.

Usage: python Utilities/update_cmake_lists.py
"""

import re
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "SpineAnalysis"
CMAKE_LISTS = MODULE / "CMakeLists.txt"


def files_on_disk() -> dict[str, list[str]]:
    """Files to install, by the name of their list, relative to the module's folder."""
    files = [path.relative_to(MODULE) for path in sorted(MODULE.rglob("*")) if path.is_file()]
    installed = [path for path in files if "__pycache__" not in path.parts
                 and (path.parent == Path() or path.parts[0] in ("Resources", "SpineAnalysisLib"))]
    return {
        "scripts": [path.as_posix() for path in installed if path.suffix == ".py"],
        "resources": [path.as_posix() for path in installed
                      if path.suffix != ".py" and path.name != "CMakeLists.txt"],
    }


def _block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=  # begin {name}\n).*?(?=  # end {name}\n)", re.DOTALL)


def listed_files() -> dict[str, list[str]]:
    """Files that CMakeLists.txt names, by the name of their list."""
    text = CMAKE_LISTS.read_text()
    found = {name: _block(name).search(text) for name in ("scripts", "resources")}
    return {name: match.group().split() if match else [] for name, match in found.items()}


def update() -> None:
    """Rewrite both lists."""
    text = CMAKE_LISTS.read_text()
    for name, paths in files_on_disk().items():
        text = _block(name).sub("".join(f"  {path}\n" for path in paths), text)
    CMAKE_LISTS.write_text(text)


if __name__ == "__main__":
    update()
    print(f"{CMAKE_LISTS.name} lists {sum(map(len, files_on_disk().values()))} files.")
