"""Step 5: what is kept and handed on."""

import html
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from ..analysis import Analysis
from ..headless import write_mrb
from ..measurements.listing import Listing
from ..mrml.dicom import instances_of
from ..mrml.export import write_node
from ..results import write_table

if TYPE_CHECKING:
    from .panel import Panel

_DOUBTS_SHOWN = 4


class ReportStep:
    """Findings as an editable text, and everything that can be written."""

    def __init__(self, panel: "Panel") -> None:
        self._panel, self._ui, self._session = panel, panel.ui, panel.session
        ui = self._ui
        exports: tuple[tuple[object, Callable[[], None]], ...] = (
            (ui.reportButton, self._write_page), (ui.pdfButton, self._write_pdf), (ui.tableButton, self._write_table),
            (ui.segmentationButton, self._write_segmentation), (ui.sceneButton, self._write_scene),
            (ui.dicomButton, self._write_dicom), (ui.copyButton, self._copy),
            (ui.findingsResetButton, self.reset_findings))
        ui.findingsText.connect("textChanged()", self._edited_text)
        self._buttons = [button for button, _action in exports]
        for button, action in exports:
            button.connect("clicked(bool)", action)  # type: ignore[attr-defined]

    def update(self) -> None:
        memory, ui, chosen = self._session.memory, self._ui, self._session.parameters
        findings = chosen.findings if chosen is not None else ""
        if ui.findingsText.toPlainText() != findings:  # or else the cursor would jump while people type
            before = ui.findingsText.blockSignals(True)
            ui.findingsText.setPlainText(findings)
            ui.findingsText.blockSignals(before)
        for button in self._buttons:
            button.enabled = memory is not None and not self._panel.busy  # type: ignore[attr-defined]
        ui.dicomButton.enabled = ui.dicomButton.enabled and bool(instances_of(self._session.measured))
        ui.deidentifyCheck.enabled = ui.dicomButton.enabled
        if memory is not None:
            ui.findingsResetButton.enabled = findings != "\n".join(memory.findings)
        doubts = memory.doubts if memory is not None else ()
        shown = [f"<i>{html.escape(text)}</i>" for text in doubts[:_DOUBTS_SHOWN]]
        hidden = len(doubts) - _DOUBTS_SHOWN
        shown += [_("<i>... and {count} more, in the report.</i>").format(count=hidden)] if hidden > 0 else []
        ui.doubtsNote.text = "<br>".join(shown)
        ui.doubtsNote.toolTip = "\n".join(doubts)

    def reset_findings(self) -> None:
        """The findings as they were measured, one sentence a line."""
        if self._session.memory is not None:
            self._session.parameters.findings = "\n".join(self._session.memory.findings)

    def _edited_text(self) -> None:
        if self._session.parameters is not None:
            self._session.parameters.findings = self._ui.findingsText.toPlainText()

    def _write_page(self) -> None:
        path = self._asked(_("Write report"), "report.html", _("Web page (*.html)"))
        if path is not None:
            self._written(path, lambda: self._panel.logic.writeReport(self._edited(), path))

    def _write_pdf(self) -> None:
        path = self._asked(_("Write report"), "report.pdf", _("PDF (*.pdf)"))
        if path is not None:
            self._written(path, lambda: self._panel.logic.writeReport(self._edited(), path))

    def _write_table(self) -> None:
        path = self._asked(_("Write measurements"), "measurements.csv", _("Table (*.csv)"))
        if path is not None and self._session.memory is not None:
            records = self._session.memory.measurements
            self._written(path, lambda: write_table(records, path), show=False)

    def _write_segmentation(self) -> None:
        path = self._asked(_("Write segmentation"), "segmentation.seg.nrrd", _("Segmentation (*.seg.nrrd)"))
        node = self._session.node("segmentation")
        if path is not None and node is not None:
            self._written(path, lambda: write_node(node, path), show=False)

    def _write_scene(self) -> None:
        path = self._asked(_("Write scene"), "spine.mrb", _("Scene (*.mrb)"))
        if path is not None:
            self._written(path, lambda: write_mrb(slicer.mrmlScene, path), show=False)

    def _write_dicom(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for DICOM files"))
        if not folder:
            return
        path = _new_folder(Path(folder))
        missing: list[str] = []
        self._written(path, lambda: missing.extend(self._panel.logic.writeDicom(
            self._edited(), self._session.measured, path, self._ui.deidentifyCheck.checked)), show=False)
        if missing:
            self._panel.say("<br>".join(map(html.escape, [_("Written: {path}").format(path=path), *missing])))

    def _copy(self) -> None:
        if self._session.memory is None:
            return
        table = repr(Listing.of(self._session.memory.measurements))
        explained = "\n".join(f"{each.symptom}: {each.sentence}" for each in self._session.explanations())
        texts = (self._session.parameters.findings, explained, table)
        slicer.app.clipboard().setText("\n\n".join(filter(None, texts)) + "\n")
        self._panel.say(_("Findings and table are in the clipboard."))

    def _asked(self, title: str, name: str, kind: str) -> Path | None:
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, kind)
        if not path:
            return None
        suffix = ".seg.nrrd" if name.endswith(".seg.nrrd") else Path(name).suffix
        return Path(path if path.lower().endswith(suffix) else path + suffix)

    def _written(self, path: Path, write: Callable[[], object], show: bool = True) -> None:
        with slicer.util.tryWithErrorDisplay(_("The file could not be written."), waitCursor=True):
            if write() is False:
                raise RuntimeError(_("Slicer could not write {path}.").format(path=path))
        self._panel.say(_("Written: {path}").format(path=html.escape(str(path))))
        if show:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

    def _edited(self) -> Analysis:
        """The analysis with the findings as people have edited them; measured again where only its scene is left."""
        if self._session.analysis is None:
            self._panel.measure_again()
        analysis = self._session.analysis
        if analysis is None:
            raise RuntimeError(_("The analysis could not be made again; choose its scan and its segmentation first."))
        lines = self._session.parameters.findings.splitlines()
        return replace(analysis, findings=tuple(line for line in lines if line.strip()),
                       explanations=self._session.explanations())


def _new_folder(parent: Path) -> Path:
    """A folder that is not there yet, so that nothing is written over."""
    count = 1
    while (path := parent / ("spine-analysis" if count == 1 else f"spine-analysis-{count}")).exists():
        count += 1
    return path
