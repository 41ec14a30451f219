"""The page on paper, printed by a browser that is installed; nothing is fetched."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge", "chrome")
# Where Windows and macOS keep them, which put no program on the search path.
_INSTALLED = (*(f"/Applications/{name}.app/Contents/MacOS/{name}"
                for name in ("Google Chrome", "Microsoft Edge", "Chromium")),
              *(rf"%{folder}%\{path}" for folder in ("ProgramFiles", "ProgramFiles(x86)", "LocalAppData")
                for path in (r"Google\Chrome\Application\chrome.exe", r"Microsoft\Edge\Application\msedge.exe")))
_TIME_LIMIT_S = 120
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--no-pdf-header-footer")


def browser() -> str | None:
    """A program of the Chromium family that can print."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or next((path for path in map(os.path.expandvars, _INSTALLED) if Path(path).is_file()), None)


def print_pdf(page: Path, pdf: Path, environment: Mapping[str, str] | None = None) -> None:
    """Print an HTML file.

    :param environment: of the browser; ``None`` is this process's own.
    :raises InputError: where there is no browser, or it fails.
    """
    program = browser()
    if program is None:
        raise InputError("A PDF needs Chromium, Chrome or Edge, and none was found; install one, or print the report "
                         "from any browser.")
    with tempfile.TemporaryDirectory(prefix="spine-analysis-") as profile:
        command = [program, *_OPTIONS, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", page.resolve().as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=_TIME_LIMIT_S, check=True,
                           env=None if environment is None else dict(environment))
        except (subprocess.SubprocessError, OSError):
            pdf.unlink(missing_ok=True)
    if not pdf.is_file():
        raise InputError("The browser could not print the report; print it from a browser by hand.")
