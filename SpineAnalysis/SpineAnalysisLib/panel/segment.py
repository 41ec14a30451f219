"""Step 2: what is what in the scan."""

import html
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from ..mrml.packages import install_engine
from ..schemes import SCHEMES
from ..segmentation.hints import HintKind
from ..segmentation.protocol import Engine
from ..segmentation.registry import DEFAULT, engines
from .session import ENGINE, SEGMENTATION

if TYPE_CHECKING:
    from .panel import Panel

AUTO = "auto"
_KINDS = {HintKind.ADD: _("A vertebra is here"), HintKind.SPLIT: _("Two vertebrae: cut here"),
          HintKind.MERGE: _("One vertebra: join here"), HintKind.REMOVE: _("No vertebra here"),
          HintKind.REGION: _("The spine passes here")}

class SegmentStep:
    """An engine segments the scan, steered by points, or a segmentation is there already."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        self._watched: tuple[Any, list[int]] = (None, [])
        ui = self._ui
        ui.schemeSelector.addItem(_("recognize it"), AUTO)
        for scheme in SCHEMES.values():
            ui.schemeSelector.addItem(scheme.title, scheme.name)
        for engine in engines().values():
            ui.engineSelector.addItem(engine.title if engine.installed else _("{name} (not installed)").format(
                name=engine.title), engine.name)
        for kind in HintKind:
            ui.pointKindSelector.addItem(_KINDS.get(kind, kind.value), kind.value)
        ui.engineRadio.connect("toggled(bool)", self._source_chosen)
        ui.engineSelector.connect("currentIndexChanged(int)", self._engine_chosen)
        ui.schemeSelector.connect("currentIndexChanged(int)", self._scheme_chosen)
        ui.installButton.connect("clicked(bool)", self._install)
        ui.pointPlaceButton.connect("clicked(bool)", self._place)
        ui.pointClearButton.connect("clicked(bool)", self._clear)
        ui.editButton.connect("clicked(bool)", self._edit)
        ui.runButton.connect("clicked(bool)", lambda: panel.run(ui.runButton))

    def update(self) -> None:
        chosen, ui = self._session.parameters, self._ui
        self._watch(self._session.hints)
        if chosen is None:
            return
        by_engine = chosen.source == ENGINE
        for radio, on in ((ui.engineRadio, by_engine), (ui.existingRadio, not by_engine)):
            before = radio.blockSignals(True)
            radio.checked = on
            radio.blockSignals(before)
        _select(ui.engineSelector, self._engine().name)
        _select(ui.schemeSelector, chosen.scheme)
        engine = self._engine()
        ui.engineSelector.enabled = by_engine
        ui.engineNote.visible = by_engine
        ui.engineNote.text = _described(engine)
        ui.installButton.visible = by_engine and not engine.installed
        ui.pointsSection.visible = by_engine and engine.takes_hints
        segmentation = self._session.segmentation
        ui.segmentationSelector.enabled = not by_engine
        ui.schemeSelector.enabled = not by_engine and segmentation is not None \
            and segmentation.IsA("vtkMRMLLabelMapVolumeNode")
        ui.editButton.enabled = segmentation is not None and segmentation.IsA("vtkMRMLSegmentationNode")
        self._ready(engine, by_engine, segmentation)
        ui.pointNote.text = self._point_note()

    def _ready(self, engine: Engine, by_engine: bool, segmentation: Any | None) -> None:
        missing = ""
        if by_engine and self._session.volume is None:
            missing = _("Choose a scan first.")
        elif by_engine and not engine.installed:
            missing = _("Install {name} first, or choose another program.").format(name=engine.title)
        elif not by_engine and segmentation is None:
            missing = _("Choose a segmentation first.")
        ui = self._ui
        if not self._panel.busy:
            ui.runButton.text = _("Segment, label and measure") if by_engine else _("Label and measure")
            ui.runButton.enabled = not missing
        ui.runButton.toolTip = missing or _("Do the whole analysis; it runs beside the scene and can be canceled at "
                                            "any moment.")

    def _engine(self) -> Engine:
        known = engines()
        return known.get(self._session.parameters.engine) or known[DEFAULT]

    def _source_chosen(self, by_engine: bool) -> None:
        if self._session.parameters is not None:
            self._session.parameters.source = ENGINE if by_engine else SEGMENTATION

    def _engine_chosen(self, index: int) -> None:
        if self._session.parameters is not None:
            self._session.parameters.engine = self._ui.engineSelector.itemData(index)

    def _scheme_chosen(self, index: int) -> None:
        if self._session.parameters is not None:
            self._session.parameters.scheme = self._ui.schemeSelector.itemData(index)

    def _install(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The program could not be installed.")):
            engine = self._engine()
            install_engine(engine.name)
            index = self._ui.engineSelector.findData(engine.name)
            if engine.installed and index >= 0:
                self._ui.engineSelector.setItemText(index, engine.title)
        self._panel.update()

    # ---- points

    def _place(self) -> None:
        """Let people click points of the chosen meaning into the views."""
        node = self._session.hints
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Help for the segmentation"))
            node.CreateDefaultDisplayNodes()
            self._session.parameters.hints = node
        node.SetControlPointLabelFormat(f"{self._ui.pointKindSelector.currentData}-%d")
        markups = slicer.modules.markups.logic()
        markups.SetActiveListID(node)
        markups.StartPlaceMode(True)

    def _watch(self, node: Any | None) -> None:
        """Count points as they are placed and removed."""
        before, tags = self._watched
        if node is before:
            return
        for tag in tags:
            before.RemoveObserver(tag)
        self._watched = (node, [] if node is None else [
            node.AddObserver(event, lambda *_: self._panel.update_soon())
            for event in (node.PointPositionDefinedEvent, node.PointRemovedEvent)])

    def _clear(self) -> None:
        if self._session.hints is not None:
            self._session.hints.RemoveAllControlPoints()
        self._panel.update()

    def _point_note(self) -> str:
        node = self._session.hints
        count = node.GetNumberOfDefinedControlPoints() if node is not None else 0
        return _("{count} points placed; run again to use them.").format(count=count) if count else \
            _("Place points where the segmentation errs, then run again.")

    def _edit(self) -> None:
        """Open the segmentation in the Segment Editor."""
        segmentation, volume = self._session.segmentation, self._session.volume
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(segmentation)
        if volume is not None:
            editor.setSourceVolumeNode(volume)


def _select(box: Any, data: str) -> None:
    before = box.blockSignals(True)
    box.currentIndex = max(box.findData(data), 0)
    box.blockSignals(before)


def _described(engine: Engine) -> str:
    """What an engine is, in three lines."""
    link = f'<a href="{html.escape(engine.url)}">{html.escape(engine.title)}</a>' if engine.url else engine.title
    lines = [_("{name}: {scans}. License: {license}.").format(name=link, scans=html.escape(engine.scans),
                                                              license=html.escape(engine.license))]
    lines += [_("Needs {hardware}.").format(hardware=html.escape(engine.hardware))] if engine.hardware else []
    lines += [html.escape(engine.terms)] if engine.terms else []
    return "<br>".join(lines)
