"""Draws the pictures that the README and the Extensions Index show, from the project's own phantom.

Needs Chromium, without a display.  Run by hand: ``python Utilities/screenshots.py``.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parents[1] / "Resources" / "Screenshots"
WIDTH, HEIGHT = 1100, 1560
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")


def report_picture(folder: Path, target: Path) -> None:
    """The first screens of the demo's report.

    :raises SystemExit: where there is no Chromium.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is needed to take the report's picture; install it and run this again.")
    python = [sys.executable, "-m"]
    subprocess.run([*python, "SpineAnalysisLib.phantoms", "stenotic_lumbar", str(folder)], check=True)
    subprocess.run([*python, "SpineAnalysisLib.cli", "run", "--quiet", str(folder / "image.nii.gz"), "--segmentation",
                    str(folder / "segmentation.nii.gz"), "-o", str(folder / "results")], check=True)
    shot = folder / "shot.png"
    subprocess.run([browser, *FLAGS, f"--user-data-dir={folder / 'browser'}", f"--window-size={WIDTH},{HEIGHT}",
                    f"--screenshot={shot}", (folder / "results" / "report.html").as_uri()], check=True,
                   stderr=subprocess.DEVNULL)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.open(shot).convert("RGB").save(target, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        report_picture(Path(scratch), FOLDER / "report.png")
