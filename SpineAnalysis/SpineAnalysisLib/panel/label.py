"""Step 3: which vertebra is which."""

from typing import TYPE_CHECKING, Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..anatomy import Level
from ..labeling.label import CERTAIN, Numbering
from ..measurements.record import Severity
from ..mrml.memory import LevelName
from .tables import Cell, fill

if TYPE_CHECKING:
    from .panel import Panel

_UNSURE = 0.9
"""Probability of a name below which it is no more than likely."""
_COUNTED = {Numbering.C2: _("C2"), Numbering.SACRUM: _("the sacrum"), Numbering.RIBS: _("the lowest ribs")}


class LabelStep:
    """The levels with their probabilities; one click names a vertebra, and with it all others."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        ui = self._ui
        ui.labelTable.setColumnCount(3)
        for column, mode in enumerate((qt.QHeaderView.ResizeToContents, qt.QHeaderView.ResizeToContents,
                                       qt.QHeaderView.Stretch)):
            ui.labelTable.horizontalHeader().setSectionResizeMode(column, mode)
        ui.labelTable.verticalHeader().setDefaultSectionSize(22)
        for level in Level:
            ui.anchorSelector.addItem(_("{level} (variant)").format(level=level) if level.is_variant else str(level),
                                      str(level))
        ui.numberingSelector.addItem(_("what is likeliest"), "")
        for numbering in Numbering:
            ui.numberingSelector.addItem(_COUNTED[numbering], numbering.value)
        ui.labelTable.connect("currentCellChanged(int,int,int,int)", self._level_chosen)
        ui.labelTable.connect("cellClicked(int,int)", self._level_chosen)  # the current one may be clicked again
        ui.anchorButton.connect("clicked(bool)", self._anchor)
        ui.forgetButton.connect("clicked(bool)", self._forget)
        ui.numberingSelector.connect("currentIndexChanged(int)", self._numbering_chosen)
        ui.labelNextButton.connect("clicked(bool)", lambda: panel.turn_to(panel.MEASURE))

    def update(self) -> None:
        memory, chosen, ui = self._session.memory, self._session.parameters, self._ui
        names = memory.names if memory is not None else ()
        fill(ui.labelTable, [self._row(name) for name in names])
        self.select()
        anchors = self._session.anchors
        anchored = anchors is not None and anchors.GetNumberOfControlPoints() > 0
        ui.anchorButton.enabled = ui.anchorSelector.enabled = bool(names) and not self._panel.busy
        ui.numberingSelector.enabled = bool(names) and not self._panel.busy
        ui.forgetButton.enabled = not self._panel.busy and (anchored or bool(chosen is not None and chosen.numbering))
        ui.labelNextButton.enabled = bool(names)
        if chosen is not None:
            before = ui.numberingSelector.blockSignals(True)
            ui.numberingSelector.currentIndex = max(ui.numberingSelector.findData(chosen.numbering), 0)
            ui.numberingSelector.blockSignals(before)
        ui.labelNote.text = _note(names, anchored)

    def select(self) -> None:
        """Mark the vertebra that the views show."""
        names = self._session.memory.names if self._session.memory is not None else ()
        level = self._session.level
        upper = getattr(level, "upper", level)
        row = next((i for i, name in enumerate(names) if name.level == upper), -1)
        before = self._ui.labelTable.blockSignals(True)
        self._ui.labelTable.setCurrentCell(row, 0)
        self._ui.labelTable.blockSignals(before)
        if row >= 0:
            self._ui.anchorSelector.currentIndex = self._ui.anchorSelector.findData(str(names[row].level))

    def _row(self, name: LevelName) -> list[Cell]:
        sure = name.probability
        doubt = Severity.NORMAL
        if name.provisional or (sure is not None and sure < _UNSURE):
            doubt = Severity.MODERATE
        elif sure is not None and sure < CERTAIN:
            doubt = Severity.MILD
        told = _("provisional") if name.provisional and sure is None else "–" if sure is None else f"{sure:.0%}"
        other = "" if name.other is None else f"{name.other} ({name.other_probability or 0.0:.0%})"
        tip = _("Nothing in view tells where to count from.") if name.provisional else ""
        return [Cell(str(name.level), tip, doubt, str(name.level), bold=True), Cell(told, tip, doubt), Cell(other, tip)]

    def _level_chosen(self, row: int, _column: int) -> None:
        item = self._ui.labelTable.item(row, 0)
        if item is not None:
            self._ui.anchorSelector.currentIndex = self._ui.anchorSelector.findData(item.data(qt.Qt.UserRole))
            self._panel.go_to(Level[item.data(qt.Qt.UserRole)])

    def _anchor(self) -> None:
        """Name the selected vertebra as people say, and run again; an earlier name of the same one is replaced."""
        row = self._ui.labelTable.currentRow()
        analysis = self._session.memory
        if row < 0 or analysis is None:
            slicer.util.showStatusMessage(_("Select a vertebra in the table first."), 3000)
            return
        said = self._ui.anchorSelector.currentData
        at = self._body(analysis.names[row].level)
        if at is None:
            return
        node = self._session.anchors or self._new_anchors()
        for index in reversed(range(node.GetNumberOfControlPoints())):
            point = np.zeros(3)
            node.GetNthControlPointPositionWorld(index, point)
            if np.linalg.norm(point - at) < 1.0 or node.GetNthControlPointLabel(index) == said:
                node.RemoveNthControlPoint(index)
        node.AddControlPointWorld(at.tolist(), said)
        self._session.parameters.anchors = node
        self._panel.run(self._ui.anchorButton, again=True)

    def _body(self, level: Level) -> Any | None:
        """(3,) RAS, the middle of a vertebra's body: of the segment in the scene, or of its label."""
        analysis = self._session.analysis
        vertebra = analysis.spine.vertebra(level) if analysis is not None else None
        if vertebra is not None:
            return vertebra.frame.origin
        walk = self._session.walk
        s = walk.s_of(level) if walk is not None else None
        return None if walk is None or s is None else walk.body(s)

    def _new_anchors(self) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", _("Named vertebrae"))
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(False)
        return node

    def _forget(self) -> None:
        chosen = self._session.parameters
        if self._session.anchors is not None:
            self._session.anchors.RemoveAllControlPoints()
        chosen.numbering = ""
        self._panel.run(self._ui.forgetButton, again=True)

    def _numbering_chosen(self, index: int) -> None:
        if self._session.parameters is not None:
            self._session.parameters.numbering = self._ui.numberingSelector.itemData(index)
            self._panel.run(self._ui.forgetButton, again=True)


def _note(names: tuple[LevelName, ...], anchored: bool) -> str:
    if not names:
        return _("Run the analysis first (in the tab Segment).")
    if anchored:
        return _("Counted from the vertebra that you named.")
    if any(name.provisional for name in names):
        return _("⚠ Nothing in view tells where to count from: select a vertebra that you know, and name it.")
    doubtful = [name for name in names if name.probability is not None and name.probability < _UNSURE]
    if doubtful:
        return _("⚠ {level} and {count} more are in doubt: check the colored ones.").format(
            level=doubtful[0].level, count=len(doubtful) - 1)
    if all(name.probability is None for name in names):
        return _("The names are the segmentation's; the anatomy in view cannot confirm them.")
    return _("The anatomy in view agrees with these names.")
