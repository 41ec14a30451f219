"""Draws the pictures that the README and the Extensions Index show, from the project's own phantom.

The panel is drawn by the tests' stand-in for Slicer's application, with the views as slicer-core draws them.  The
report needs Chromium.  Run by hand, without a display: ``python Utilities/screenshots.py [panel|report]``.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "Resources" / "Screenshots"
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


def panel_pictures(target: Path) -> None:
    """Every step of the panel after a run, and the whole window in light and dark."""
    sys.path[:0] = [str(REPOSITORY / "Testing"), str(REPOSITORY / "SpineAnalysis")]
    import slicer

    from Harness import workspace

    frame, widget = workspace.open_panel(REPOSITORY / "SpineAnalysis" / "SpineAnalysis.py")
    ui, panel = widget.ui, widget.panel
    slicer.mrmlScene.Clear()
    workspace.settle()
    scan, segmentation = widget.logic.loadSample()
    scan.SetName("T2 sagittal")
    ui.volumeSelector.setCurrentNode(scan)
    workspace.settle()
    panel.turn_to(panel.SCAN)
    workspace.panel_picture(frame, target / "panel_1_scan.png")
    panel.turn_to(panel.SEGMENT)
    widget._parameterNode.source = "engine"
    workspace.panel_picture(frame, target / "panel_2_segment.png")
    ui.existingRadio.click()
    ui.segmentationSelector.setCurrentNode(segmentation)
    workspace.settle()
    ui.runButton.click()
    panel.turn_to(panel.LABEL)
    workspace.panel_picture(frame, target / "panel_3_label.png")
    panel.turn_to(panel.MEASURE)
    rows = [ui.overviewTable.item(row, 0).text() for row in range(ui.overviewTable.rowCount)]
    ui.overviewTable.setCurrentCell(rows.index("L4-L5"), 1)
    workspace.panel_picture(frame, target / "panel_4_measure.png")
    ui.symptomRootSelector.currentIndex = ui.symptomRootSelector.findData("L5")
    workspace.settle()
    workspace.workspace_picture(frame, target / "panel.png")
    panel.turn_to(panel.REPORT)
    workspace.panel_picture(frame, target / "panel_5_report.png")
    workspace.use_dark_theme()
    for label in (ui.helpLabel, ui.symptomNote):  # links take their color when they are read
        text, label.text = label.text, ""
        label.text = text
    panel.turn_to(panel.MEASURE)
    workspace.panel_picture(frame, target / "panel_dark.png", height=560)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["panel", "report"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    if "panel" in wanted:
        panel_pictures(FOLDER)
    if "report" in wanted:
        with tempfile.TemporaryDirectory() as scratch:
            report_picture(Path(scratch), FOLDER / "report.png")
