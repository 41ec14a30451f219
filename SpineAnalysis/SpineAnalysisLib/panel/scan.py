"""Step 1: which scans, and what they show."""

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.results import ANALYSIS_ATTRIBUTE
from ..mrml.scans import CONTRAST_ATTRIBUTE, ScanSummary, summary
from .session import FURTHER_ROLE
from .tables import Cell, fill

if TYPE_CHECKING:
    from .panel import Panel

_CONTRASTS = ("T2", "T1", "STIR", "CT")
_PICTURE = 48
_SCAN, _KIND, _USE = range(3)


class ScanStep:
    """Lists all scans of the scene; one is segmented, others may be read as well."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        self._summaries: dict[str, tuple[Any, ScanSummary]] = {}
        table = self._ui.scanTable
        header = table.horizontalHeader()
        header.setSectionResizeMode(_SCAN, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(_KIND, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_USE, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().setDefaultSectionSize(_PICTURE + 6)
        table.iconSize = qt.QSize(_PICTURE, _PICTURE)
        table.connect("itemChanged(QTableWidgetItem*)", self._used)
        table.connect("cellDoubleClicked(int,int)", self._show)
        self._ui.sampleButton.connect("clicked(bool)", self._load_sample)
        self._ui.scanNextButton.connect("clicked(bool)", lambda: panel.turn_to(panel.SEGMENT))

    def update(self) -> None:
        volumes = _scans()
        known = self._session.parameters is not None
        self._ui.sampleButton.visible = not volumes
        self._ui.scanTable.visible = bool(volumes)
        self._ui.scanNextButton.enabled = known and (self._session.volume is not None
                                                     or self._session.segmentation is not None)
        if known:
            self._fill(volumes)
            self._ui.scanNote.text = self._note(self._session.volume)

    def _fill(self, volumes: list[Any]) -> None:
        main, further = self._session.volume, self._session.further()
        names = [Cell(f"{node.GetName()}\n{self._summary(node).role}",
                      "\n".join([node.GetName(), *self._summary(node).warnings]), data=node.GetID())
                 for node in volumes]
        fill(self._ui.scanTable, [[name, Cell(""), Cell("")] for name in names])
        before = self._ui.scanTable.blockSignals(True)
        for index, node in enumerate(volumes):
            self._ui.scanTable.item(index, _SCAN).setIcon(_icon(self._summary(node)))
            self._ui.scanTable.setCellWidget(index, _KIND, self._kind_box(node))
            use = self._ui.scanTable.item(index, _USE)
            use.setFlags(qt.Qt.ItemIsEnabled if node is main else qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
            use.setCheckState(qt.Qt.Checked if node is main or node in further else qt.Qt.Unchecked)
            use.setToolTip(_("This one is segmented.") if node is main else
                           _("Check it if it belongs to the same visit and shows the same spine."))
        self._ui.scanTable.blockSignals(before)

    def _kind_box(self, node: Any) -> Any:
        box = qt.QComboBox()
        said = node.GetAttribute(CONTRAST_ATTRIBUTE) or ""
        guessed = self._summary(node).contrast
        box.addItem(_("{kind} (guessed)").format(kind=guessed) if guessed and not said else _("automatic"))
        box.addItems(list(_CONTRASTS))
        box.currentIndex = _CONTRASTS.index(said) + 1 if said in _CONTRASTS else 0
        box.toolTip = _("Contrast of this scan; automatic goes by its name and its values.")
        identifier = node.GetID()
        box.connect("currentIndexChanged(int)", lambda index: self._kind_chosen(identifier, index))
        return box

    def _kind_chosen(self, identifier: str, index: int) -> None:
        node = slicer.mrmlScene.GetNodeByID(identifier)
        if node is not None and index == 0:
            node.RemoveAttribute(CONTRAST_ATTRIBUTE)
        elif node is not None:
            node.SetAttribute(CONTRAST_ATTRIBUTE, _CONTRASTS[index - 1])
        self._summaries.pop(identifier, None)
        self._panel.update_soon()

    def _summary(self, node: Any) -> ScanSummary:
        """What a scan shows; looked at again only when its voxels or its name have changed."""
        image = node.GetImageData()
        state = (node.GetName(), image.GetMTime() if image is not None else 0, node.GetAttribute(CONTRAST_ATTRIBUTE))
        known = self._summaries.get(node.GetID())
        if known is None or known[0] != state:
            known = self._summaries[node.GetID()] = (state, summary(node, _PICTURE))
        return known[1]

    def _note(self, node: Any | None) -> str:
        if node is None:
            return "" if _scans() else _("Load a scan first: drag files into the window, or take the sample.")
        return "<br>".join(f"⚠ {text}" for text in self._summary(node).warnings)

    def _used(self, item: Any) -> None:
        if item.column() != _USE:
            return
        parameter = self._session.parameters.parameterNode
        chosen = [self._ui.scanTable.item(row, _SCAN).data(qt.Qt.UserRole)
                  for row in range(self._ui.scanTable.rowCount)
                  if self._ui.scanTable.item(row, _USE).checkState() == qt.Qt.Checked]
        main = self._session.volume
        with slicer.util.NodeModify(parameter):
            parameter.RemoveNodeReferenceIDs(FURTHER_ROLE)
            for identifier in chosen:
                if main is None or identifier != main.GetID():
                    parameter.AddNodeReferenceID(FURTHER_ROLE, identifier)

    def _show(self, row: int, _column: int) -> None:
        """Show a scan in all slice views."""
        identifier = self._ui.scanTable.item(row, _SCAN).data(qt.Qt.UserRole)
        slicer.util.setSliceViewerLayers(background=identifier, fit=slicer.app.layoutManager() is not None)

    def _load_sample(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The sample could not be computed."), waitCursor=True):
            scan, segmentation = self._panel.logic.loadSample()
            self._session.parameters.inputVolume = scan
            self._session.parameters.inputSegmentation = segmentation
            self._session.parameters.source = "segmentation"


def _scans() -> list[Any]:
    """Volumes with one value per voxel that are no label maps and no results of an analysis that added its own."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [n for n in nodes if n.GetClassName() == "vtkMRMLScalarVolumeNode" and not n.GetHideFromEditors()
            and (not n.GetAttribute(ANALYSIS_ATTRIBUTE) or n.GetAttribute("SpineAnalysis.role") == "image")]


def _icon(found: ScanSummary) -> Any:
    """The picture in the middle of a square."""
    height, width = found.picture.shape
    image = qt.QImage(_PICTURE, _PICTURE, qt.QImage.Format_RGB32)
    image.fill(0)
    top, left = (_PICTURE - height) // 2, (_PICTURE - width) // 2
    grays = [qt.QColor(gray, gray, gray) for gray in range(256)]
    for row, values in enumerate(found.picture.tolist()):
        for column, gray in enumerate(values):
            image.setPixelColor(left + column, top + row, grays[gray])
    return qt.QIcon(qt.QPixmap.fromImage(image))
