"""Fixtures for all tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


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
