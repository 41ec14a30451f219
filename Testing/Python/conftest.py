"""Fixtures for all tests."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from panel_scene import Opened

REPOSITORY = Path(__file__).resolve().parents[2]

try:
    importlib.import_module("PySide6.QtWidgets")
except ImportError as error:  # a bare Linux has none of the libraries that Qt draws with
    _no_qt = str(error)
    _words = ("PySide6", "slicer_application", "panel_scene")
    collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py")
                      if any(word in path.read_text(encoding="utf-8") for word in _words)]
else:
    _no_qt = ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if _no_qt:
        terminalreporter.write_line(f"Qt cannot be loaded ({_no_qt}): tests of the panel and the module were left out.")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Paths of real scans, which are not part of this repository; skips the test where they are absent."""
    folder = Path(os.environ.get("SPINE_ANALYSIS_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(relative: str) -> Path:
        path = folder / relative
        if not path.exists():
            pytest.skip(f"no real scan at {path}: set SPINE_ANALYSIS_DATA to the folder that holds them")
        return path

    return find


@pytest.fixture(scope="module")
def opened() -> "Opened":
    """The panel, opened once for a file's tests."""
    panel_scene = importlib.import_module("panel_scene")  # needs Qt, which other tests do without
    return panel_scene.Opened()


@pytest.fixture
def fresh(opened: "Opened") -> Iterator["Opened"]:
    """The panel at its first step, on an empty scene."""
    opened.clear()
    opened.panel.turn_to(0)
    yield opened
    assert importlib.import_module("Harness.pythonqt").errors == []
