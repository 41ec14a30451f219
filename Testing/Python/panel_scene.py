"""A small spine in the stand-in's scene, and the panel on it."""

import types
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import slicer

from Harness import application, pythonqt, slicer_application
from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.mrml.results import one_operation
from SpineAnalysisLib.mrml.segmentations import add_segmentation
from SpineAnalysisLib.mrml.volumes import add_volume
from SpineAnalysisLib.phantoms.phantom import Phantom
from SpineAnalysisLib.phantoms.spec import SpineSpec
from SpineAnalysisLib.volume import LabelMap, Volume

MODULE = Path(__file__).resolve().parents[2] / "SpineAnalysis" / "SpineAnalysis.py"


@cache
def phantom() -> tuple[Volume, LabelMap]:
    """L4 to the sacrum, the canal narrowed at L4-L5; a scan and its segmentation."""
    spine = Phantom(SpineSpec.typical(Level.L4, Level.S1).changed(
        joints={Level.L4: {"narrowing_depth": 0.50, "narrowing_width": 0.495, "bulge": 5.0}}))
    grid = spine.grid(2.0, margin=5.0)
    return replace(spine.image(grid), name="T2 sagittal"), spine.labels(grid)


def add_phantom(name: str = "T2 sagittal") -> tuple[Any, Any]:
    """Its scan and its segmentation as nodes that belong to no analysis."""
    image, labels = phantom()
    with one_operation(slicer.mrmlScene, name) as folder:
        volume = add_volume(folder, replace(image, name=name), "T2")
        segmentation = add_segmentation(folder, labels, volume, surfaces=False)
    segmentation.SetName(f"{name} segmentation")
    return volume, segmentation


class Opened:
    """The module as a user has it before them."""

    def __init__(self) -> None:
        slicer_application.install()
        found = slicer.app.moduleManager().module("SpineAnalysis")
        self.module = found or application.load_module(MODULE)
        slicer.util.selectModule("SpineAnalysis")
        self.settle()

    @property
    def widget(self) -> Any:
        """The module's Python widget, which a reload replaces."""
        return self.module.widgetRepresentation().self()

    @property
    def ui(self) -> types.SimpleNamespace:
        return self.widget.ui

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def session(self) -> Any:
        return self.panel.session

    @property
    def parameters(self) -> Any:
        return self.widget._parameterNode

    def settle(self) -> None:
        """Let the application handle what is due."""
        for _ in range(3):
            slicer.app.processEvents()

    def clear(self) -> None:
        slicer.mrmlScene.Clear()
        pythonqt.errors.clear()
        self.settle()

    def choose(self, volume: Any, segmentation: Any) -> None:
        """Choose nodes in the widgets, as a user does."""
        self.ui.volumeSelector.setCurrentNode(volume)
        self.ui.existingRadio.click()
        self.ui.segmentationSelector.setCurrentNode(segmentation)
        self.settle()

    def click(self, button: Any) -> None:
        assert button.enabled, f"{button.objectName} cannot be clicked"
        button.click()
        self.settle()

    def run(self) -> None:
        """From a fresh scene to a filled table."""
        self.clear()
        self.choose(*add_phantom())
        self.click(self.ui.runButton)

    def texts(self, table: Any) -> list[list[str]]:
        """What a table shows."""
        return [[table.item(row, column).text() if table.item(row, column) is not None else ""
                 for column in range(table.columnCount)] for row in range(table.rowCount)]
