"""Slicer module: from a scan and its segmentation to a labeled, measured spine in the scene."""

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import slicer
import slicer.util
from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from SpineAnalysisLib.analysis import Analysis
    from SpineAnalysisLib.progress import Progress

UNKNOWN = "auto"
DEFAULT_ENGINE = "builtin"
SAMPLE_NAME = "SpinePhantom"
HOMEPAGE = "https://github.com/SlicerSpineAnalysis/SlicerSpineAnalysis"


class SpineAnalysis(ScriptedLoadableModule):
    """What Slicer shows of the module before anybody opens it."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Spine Analysis")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = ["Segmentations", "Markups", "SubjectHierarchy"]
        parent.contributors = ["SlicerSpineAnalysis developers"]
        parent.helpText = _(
            "Names every vertebra and disc of a segmented spine, measures the spinal canal perpendicular to its course "
            "and grades what it finds by published thresholds. Not a medical device. "
            '<a href="{homepage}">Documentation</a>').format(homepage=f"{HOMEPAGE}#readme")
        parent.acknowledgementText = _("Licensed under Apache-2.0.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer a phantom in the Sample Data module; it is computed, not downloaded."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=_("Spine"), sampleName=SAMPLE_NAME, uris="", fileNames="", nodeNames=SAMPLE_NAME,
        customDownloader=lambda _source: SpineAnalysisLogic().loadSample())


@parameterNodeWrapper
class SpineAnalysisParameterNode:
    """What the user chose; kept in the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    # Slicer's wrapper knows a choice of node types by typing.Union alone.
    inputSegmentation: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    scheme: str = UNKNOWN
    contrast: Annotated[str, Choice([UNKNOWN, "T1", "T2", "STIR", "CT"])] = UNKNOWN


class SpineAnalysisWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        self.analysis: Analysis | None = None
        self._parameterNode: Any = None
        self._guiTag: int | None = None
        super().__init__(parent)  # sets the panel up where there is no parent, hence last

    def setup(self) -> None:
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/SpineAnalysis.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = SpineAnalysisLogic()
        self.ui.schemeSelector.addItems(self.logic.schemes())
        self.ui.schemeSelector.connect("currentTextChanged(QString)", self.onSchemeChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEnd)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEnd)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.reportButton.connect("clicked(bool)", self.onWriteReport)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()

    def exit(self) -> None:
        self.setParameterNode(None)

    def onReload(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "SpineAnalysisLib"]:
            del sys.modules[name]
        super().onReload()

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self.setParameterNode(None)
        self.showAnalysis(None)

    def onSceneEnd(self, _caller: Any, _event: Any) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Use the scene's parameter node; choose the first scan and segmentation where nothing is chosen."""
        parameters = self.logic.getParameterNode()
        for field, className in (("inputVolume", "vtkMRMLScalarVolumeNode"),
                                 ("inputSegmentation", "vtkMRMLSegmentationNode")):
            if getattr(parameters, field) is None:
                nodes = slicer.util.getNodesByClass(className)  # label maps are scalar volumes as well
                setattr(parameters, field, next((n for n in nodes if n.GetClassName() == className), None))
        self.setParameterNode(parameters)

    def setParameterNode(self, parameters: Any | None) -> None:
        """Bind the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.updatePanel)
        self._parameterNode = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters, "ModifiedEvent", self.updatePanel)
            self.updatePanel()

    def updatePanel(self, _caller: Any = None, _event: Any = None) -> None:
        """What is not bound to the parameter node: the schemes, which the library names, and the buttons."""
        chosen = self._parameterNode
        segmentation = chosen.inputSegmentation if chosen is not None else None
        scan = chosen.inputVolume if chosen is not None else None
        if chosen is not None:
            self.ui.schemeSelector.currentText = chosen.scheme
        self.ui.schemeSelector.enabled = segmentation is not None and segmentation.IsA("vtkMRMLLabelMapVolumeNode")
        self.ui.applyButton.enabled = segmentation is not None or scan is not None
        self.ui.applyButton.toolTip = (_("Label and measure the spine.") if segmentation is not None else
                                       _("Segment, label and measure the spine.") if scan is not None else
                                       _("Choose a scan or a segmentation first."))
        self.ui.reportButton.enabled = self.analysis is not None

    def onSchemeChanged(self, name: str) -> None:
        if self._parameterNode is not None:
            self._parameterNode.scheme = name

    def onApply(self) -> None:
        from SpineAnalysisLib.errors import Cancelled
        from SpineAnalysisLib.mrml.packages import install_engine

        chosen = self._parameterNode
        with slicer.util.tryWithErrorDisplay(_("The spine could not be analyzed.")):
            try:
                if chosen.inputSegmentation is None:
                    install_engine(DEFAULT_ENGINE)
                with progressDialog(_("Spine analysis")) as progress:
                    self.showAnalysis(self.logic.analyze(chosen.inputVolume, chosen.inputSegmentation, chosen.scheme,
                                                         chosen.contrast, progress=progress))
            except Cancelled:
                slicer.util.showStatusMessage(_("Spine analysis canceled."), 3000)

    def showAnalysis(self, analysis: "Analysis | None") -> None:
        """List findings and doubts of an analysis, or nothing."""
        self.analysis = analysis
        self.ui.findingsText.html = "" if analysis is None else findingsAsHtml(analysis)
        self.updatePanel()

    def onWriteReport(self) -> None:
        import qt

        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Write report"), "report.html",
                                              _("Web page (*.html)"))
        if not path or self.analysis is None:
            return
        from SpineAnalysisLib.mrml.packages import install_requirements

        with slicer.util.tryWithErrorDisplay(_("The report could not be written."), waitCursor=True):
            install_requirements(self.resourcePath("requirements.txt"))
            self.logic.writeReport(self.analysis, Path(path))
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(path))


@contextmanager
def progressDialog(title: str) -> Iterator[Callable[[float, str], bool]]:
    """A progress that users see and can cancel."""
    dialog = slicer.util.createProgressDialog(windowTitle=title, labelText="", autoClose=False)

    def progress(fraction: float, message: str) -> bool:
        dialog.labelText = message
        dialog.value = round(100 * fraction)
        slicer.app.processEvents()
        return not dialog.wasCanceled

    try:
        yield progress
    finally:
        dialog.close()


def findingsAsHtml(analysis: "Analysis") -> str:
    """Findings as a list, then doubts in italics."""
    findings = analysis.findings or (_("Nothing abnormal was measured."),)
    items = "".join(f"<li>{html.escape(text)}</li>" for text in findings)
    doubts = "".join(f"<p><i>{html.escape(text)}</i></p>" for text in analysis.doubts)
    return f"<ul>{items}</ul>{doubts}"


class SpineAnalysisLogic(ScriptedLoadableModuleLogic):
    """Analyses on nodes of the scene, with and without the panel."""

    def getParameterNode(self) -> Any:
        return SpineAnalysisParameterNode(super().getParameterNode())

    def schemes(self) -> list[str]:
        """What the label values of a label map may mean."""
        from SpineAnalysisLib.schemes import SCHEMES

        return [UNKNOWN, *SCHEMES]

    def engines(self) -> list[str]:
        """What can segment a scan."""
        from SpineAnalysisLib.segmentation.registry import engines

        return list(engines())

    def analyze(self, volumeNode: Any | None, segmentationNode: Any | None = None, scheme: str = UNKNOWN,
                contrast: str = UNKNOWN, engine: str = DEFAULT_ENGINE, hintsNode: Any | None = None,
                progress: "Progress | None" = None) -> "Analysis":
        """Label and measure a spine, and add the results to the scene.

        Parent transforms count.  Results of an earlier analysis of the same scan are replaced.

        :param volumeNode: the scan; ``None`` measures the geometry alone.
        :param segmentationNode: segmentation or label map volume.
        :param scheme: of a label map, one of :meth:`schemes`.
        :param contrast: T1, T2, STIR, CT or auto.
        :param engine: what segments where there is no segmentation, one of :meth:`engines`; it must be installed.
        :param hintsNode: point list that helps the built-in engine; each point's label begins with what it means: add,
            split, merge, remove or region.
        :param progress: ``progress(fraction, message)``; ``False`` from it cancels.
        :raises SpineAnalysisLib.errors.InputError: for what cannot be analyzed.
        :raises SpineAnalysisLib.errors.Cancelled: by ``progress``; the scene is then as before.
        """
        from SpineAnalysisLib.analysis import analyze
        from SpineAnalysisLib.mrml.inputs import structures_of
        from SpineAnalysisLib.mrml.show import show
        from SpineAnalysisLib.mrml.volumes import volume_from_node
        from SpineAnalysisLib.progress import part, silent
        from SpineAnalysisLib.reading.segmentation import share_inside

        progress = progress or silent
        known: Any = None if contrast == UNKNOWN else contrast
        image = volume_from_node(volumeNode) if volumeNode is not None else None
        segmented, made = structures_of(image, segmentationNode, scheme, known, engine, hintsNode,
                                        part(progress, 0.0, 0.4))
        if image is not None:
            share_inside(image, segmented.labels)
        analysis = analyze(image, segmented.labels, contrast=known,
                           levels_known=segmented.levels_known, canal_means=segmented.canal_means,
                           notes=segmented.notes, provenance={"engine": made}, progress=part(progress, 0.4, 0.8))
        named: Any = volumeNode or segmentationNode
        name = _("Spine analysis: {node}").format(node=named.GetName())
        show(analysis, slicer.mrmlScene, image_node=volumeNode, name=name, replace=True,
             progress=part(progress, 0.8, 1.0))
        return analysis

    def writeReport(self, analysis: "Analysis", path: Path) -> None:
        """Write all findings, tables and pictures as one web page."""
        from SpineAnalysisLib.report.html import write_report

        write_report(analysis, path)

    def loadSample(self, scan: bool = True) -> tuple[Any | None, Any]:
        """Compute a lumbar spine with stenosis at L4-L5.

        :param scan: whether it gets a T2-weighted scan, which takes some seconds.
        :return: its scan and its segmentation, in the scene.
        """
        from SpineAnalysisLib import phantoms
        from SpineAnalysisLib.mrml.results import one_operation
        from SpineAnalysisLib.mrml.segmentations import add_segmentation
        from SpineAnalysisLib.mrml.volumes import add_volume

        phantom = phantoms.preset("stenotic_lumbar")
        grid = phantom.grid(1.0)
        with one_operation(slicer.mrmlScene, SAMPLE_NAME, replace=True) as folder:
            volume = add_volume(folder, replace(phantom.image(grid), name=SAMPLE_NAME), "T2") if scan else None
            return volume, add_segmentation(folder, phantom.labels(grid), volume)


class SpineAnalysisTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload & Test, CTest) and in plain Python; downloads nothing."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        self.logic = SpineAnalysisLogic()
        _scan, self.segmentation = self.logic.loadSample(scan=False)

    def runTest(self) -> None:
        for test in (self.test_stenosis_is_found_wherever_it_lies, self.test_cancel_leaves_the_scene_alone,
                     self.test_missing_segmentation):
            self.setUp()
            test()

    def test_stenosis_is_found_wherever_it_lies(self) -> None:
        name = f"Spine analysis: {self.segmentation.GetName()}"
        before = self.logic.analyze(None, self.segmentation)
        self.assertLess(canalAreas(before)["L4-L5"], 100)
        self.assertIn("L4-L5", before.findings[0])
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        self.assertNotEqual(hierarchy.GetItemByName(name), hierarchy.GetInvalidItemID())
        nodes = slicer.mrmlScene.GetNumberOfNodes()

        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        turned = slicer.util.arrayFromTransformMatrix(transform)
        turned[:3] = [[0, -1, 0, 30], [1, 0, 0, 0], [0, 0, 1, -7]]
        slicer.util.updateTransformMatrixFromArray(transform, turned)
        self.segmentation.SetAndObserveTransformNodeID(transform.GetID())
        after = self.logic.analyze(None, self.segmentation)
        for level, area in canalAreas(before).items():
            self.assertAlmostEqual(canalAreas(after)[level], area, delta=0.01 * area)
        x, y, z = before.spine.vertebrae[0].frame.origin
        for found, expected in zip(after.spine.vertebrae[0].frame.origin, (30 - y, x, z - 7), strict=True):
            self.assertAlmostEqual(found, expected, delta=0.1)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes + 1, "the second analysis replaces the first")

    def test_cancel_leaves_the_scene_alone(self) -> None:
        from SpineAnalysisLib.errors import Cancelled

        nodes = slicer.mrmlScene.GetNumberOfNodes()
        for moment in (0.1, 0.9):
            with self.assertRaises(Cancelled):
                self.logic.analyze(None, self.segmentation,
                                   progress=lambda fraction, _message: fraction < moment)  # noqa: B023
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    def test_missing_segmentation(self) -> None:
        from SpineAnalysisLib.errors import InputError

        with self.assertRaisesRegex(InputError, "segment"):
            self.logic.analyze(None, None)


def canalAreas(analysis: "Analysis") -> dict[str, float]:
    """Level -> canal area, mm2."""
    return {str(m.level): m.value for m in analysis.measurements if m.key == "canal_area" and m.value is not None}
