"""Slicer module: from a scan and its segmentation to a labeled, measured spine in the scene."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Union

import qt
import slicer
import slicer.util
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
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
# Slicer's own sample scans: each address ends with the SHA-256 of the file.
SCANS_URL = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
SCANS = (("SpineCTAbdomen", "Panoramix-cropped", "Panoramix-cropped.nrrd",
          "146af87511520c500a3706b7b2bfb545f40d5d04dd180be3a7a2c6940e447433"),
         ("SpineCTChest", "CTChest", "CT-chest.nrrd",
          "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"))
HOMEPAGE = "https://github.com/SlicerSpineAnalysis/SlicerSpineAnalysis"
TUTORIAL = f"{HOMEPAGE}#tutorial-in-slicer"
NAME_PROPERTY = "SlicerParameterName"


class SpineAnalysis(ScriptedLoadableModule):
    """What Slicer shows of the module before anybody opens it."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Spine Analysis")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = ["Segmentations", "Markups", "SubjectHierarchy"]
        parent.contributors = ["SlicerSpineAnalysis developers"]
        parent.helpText = _(
            "Segments and names every vertebra and disc of a spine, measures canal, discs, bones and alignment in "
            "their own planes, and grades what it finds by published thresholds. Not a medical device. "
            '<a href="{tutorial}">Tutorial</a>').format(tutorial=TUTORIAL)
        parent.acknowledgementText = _("Licensed under Apache-2.0.")
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer in the Sample Data module a phantom, which is computed, and Slicer's own CT scans that show a spine."""
    import SampleData

    category, register = _("Spine"), SampleData.SampleDataLogic.registerCustomSampleDataSource
    register(category=category, sampleName=SAMPLE_NAME, uris="", fileNames="", nodeNames=SAMPLE_NAME,
             customDownloader=lambda _source: SpineAnalysisLogic().loadSample())
    for name, node, fileName, checksum in SCANS:
        register(category=category, sampleName=name, uris=f"{SCANS_URL}{checksum}", fileNames=fileName, nodeNames=node,
                 checksums=f"SHA256:{checksum}")


@parameterNodeWrapper
class SpineAnalysisParameterNode:
    """One analysis: what the user chose, and where its results are; kept in the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    # Slicer's wrapper knows a choice of node types by typing.Union alone.
    inputSegmentation: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    anchors: vtkMRMLMarkupsFiducialNode  # vertebrae that people have named
    hints: vtkMRMLMarkupsFiducialNode  # points that steer the engine
    source: Annotated[str, Choice(["engine", "segmentation"])] = "engine"
    engine: str = DEFAULT_ENGINE
    scheme: str = UNKNOWN
    numbering: str = ""  # where to count levels from
    symptom: str = ""  # a painful dermatome and its side
    skipped: str = ""  # families that are not measured
    limits: str = ""  # own limits in place of published ones, JSON
    findings: str = ""  # as edited
    resultName: str = ""  # of the results' folder
    level: str = ""  # that the views show
    spineViews: bool = True


class SpineAnalysisWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life in Slicer; what it shows and does is in ``SpineAnalysisLib.panel``."""

    def __init__(self, parent: Any = None) -> None:
        self._parameterNode: Any = None
        self._guiTag: int | None = None
        super().__init__(parent)  # sets the panel up where there is no parent, hence last

    def setup(self) -> None:
        super().setup()
        from SpineAnalysisLib.panel.panel import Panel

        widget = slicer.util.loadUI(self.resourcePath("UI/SpineAnalysis.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        # First of all, or else the selector would choose another module's parameter node.
        self.ui.parameterSelector.addAttribute("vtkMRMLScriptedModuleNode", "ModuleName", self.moduleName)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = SpineAnalysisLogic()
        self.panel = Panel(self.ui, self.logic, TUTORIAL)
        scene = slicer.mrmlScene
        for event, method in ((scene.StartCloseEvent, self.onSceneStartClose), (scene.EndCloseEvent, self.onSceneEnd),
                              (scene.EndImportEvent, self.onSceneImported), (scene.NodeAddedEvent, self.onSceneChanged),
                              (scene.NodeRemovedEvent, self.onSceneChanged),
                              (scene.EndBatchProcessEvent, self.onSceneChanged)):
            self.addObserver(scene, event, method)
        self.ui.parameterSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onAnalysisChosen)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        self.panel.cancel()
        self.panel.leave()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        self.panel.leave()

    def onReload(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "SpineAnalysisLib"]:
            del sys.modules[name]
        super().onReload()

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        self.setParameterNode(None)
        self.panel.close_scene()

    def onSceneEnd(self, _caller: Any, _event: Any) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneImported(self, caller: Any, event: Any) -> None:
        """Let an analysis that nobody has touched make way for those that were loaded."""
        if self.parent.isEntered:
            nodes = self.logic.getAllParameterNodes()
            untouched = [node for node in nodes if self.logic.isUntouched(node)]
            if len(untouched) < len(nodes):
                for node in untouched:
                    slicer.mrmlScene.RemoveNode(node)
        self.onSceneEnd(caller, event)

    def onSceneChanged(self, _caller: Any, _event: Any) -> None:
        if self._parameterNode is None or slicer.mrmlScene.IsBatchProcessing():
            return
        if self._parameterNode.parameterNode.GetScene() is None:  # it was removed, undone, or the last one deleted
            self.setParameterNode(None)
            if self.parent.isEntered and not slicer.mrmlScene.IsClosing():
                qt.QTimer.singleShot(0, self.initializeParameterNode)
        elif self.parent.isEntered:  # otherwise once it is: a scene that is loaded elsewhere has not to wait for it
            self.panel.update_soon()

    def onAnalysisChosen(self, node: Any | None) -> None:
        """Another parameter node was chosen, made or removed."""
        if node is not None and not slicer.mrmlScene.IsClosing():
            self.setParameterNode(self.logic.wrapped(node))

    def initializeParameterNode(self) -> None:
        """Use the chosen parameter node, or the scene's first; start with what the scene holds."""
        chosen = self.ui.parameterSelector.currentNode()
        self.setParameterNode(self.logic.wrapped(chosen) if chosen is not None else self.logic.getParameterNode())

    def setParameterNode(self, parameters: Any | None) -> None:
        """Bind the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            if parameters is not None and parameters.parameterNode is self._parameterNode.parameterNode:
                self.panel.update()
                return
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, "ModifiedEvent", self.onParametersChanged)
        self._parameterNode = parameters
        if parameters is not None:
            self.logic.prefill(parameters)
            # Slicer's connectGui does not tell what disconnectGui needs to know.
            bound = {w.property(NAME_PROPERTY): w for w in vars(self.ui).values() if w.property(NAME_PROPERTY)}
            self._guiTag = parameters.connectParametersToGui(bound)
            self.addObserver(parameters, "ModifiedEvent", self.onParametersChanged)
            self.ui.parameterSelector.setCurrentNode(parameters.parameterNode)
        self.panel.bind(parameters)

    def onParametersChanged(self, _caller: Any, _event: Any) -> None:
        self.panel.update_soon()


class SpineAnalysisLogic(ScriptedLoadableModuleLogic):
    """Analyses on nodes of the scene, with and without the panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.isSingletonParameterNode = False  # several analyses live side by side

    def getParameterNode(self) -> Any:
        """The first analysis of the scene; a new one where there is none."""
        return self.wrapped(super().getParameterNode())

    def wrapped(self, node: Any) -> Any:
        """A parameter node of this module with typed fields."""
        node.SetAttribute("ModuleName", self.moduleName)
        return SpineAnalysisParameterNode(node)

    def createParameterNode(self) -> Any:
        node = super().createParameterNode()
        node.SetName(slicer.mrmlScene.GenerateUniqueName(_("Spine analysis")))
        return node

    def isUntouched(self, node: Any) -> bool:
        """Whether a parameter node holds no choice of scan or segmentation and no result."""
        parameters = self.wrapped(node)
        return parameters.inputVolume is None and parameters.inputSegmentation is None and not parameters.resultName

    def prefill(self, parameters: Any) -> None:
        """Choose the first scan, segmentation and known vertebrae of the scene for an analysis that has none yet."""
        from SpineAnalysisLib.mrml.scans import choose_first

        if self.isUntouched(parameters.parameterNode):
            choose_first(parameters)

    def schemes(self) -> list[str]:
        """What the label values of a label map may mean."""
        from SpineAnalysisLib.schemes import SCHEMES

        return [UNKNOWN, *SCHEMES]

    def engines(self) -> list[str]:
        """What can segment a scan."""
        from SpineAnalysisLib.segmentation.registry import engines

        return list(engines())

    def analyze(self, volumeNode: Any | None, segmentationNode: Any | None = None, engine: str = DEFAULT_ENGINE,
                scheme: str = UNKNOWN, contrast: str = UNKNOWN, hintsNode: Any | None = None,
                anchorsNode: Any | None = None, countFrom: str = "", symptom: str = "",
                progress: "Progress | None" = None) -> "Analysis":
        """Segment where needed, label and measure a spine, and add the results to the scene.

        Parent transforms count.  Results of an earlier analysis of the same scan are replaced.

        :param volumeNode: the scan; ``None`` measures the geometry alone.
        :param segmentationNode: segmentation or label map volume; ``None`` lets the engine segment the scan.
        :param engine: what segments where there is no segmentation, one of :meth:`engines`; it must be installed.
        :param scheme: of a label map, one of :meth:`schemes`.
        :param contrast: T1, T2, STIR, CT or auto.
        :param hintsNode: point list that helps the built-in engine; each point's label begins with what it means: add,
            split, merge, remove or region.
        :param anchorsNode: point list of vertebrae that people know, each point labeled with its level, such as L5;
            they name the others.
        :param countFrom: where to count levels from: C2, sacrum or ribs.
        :param symptom: a painful dermatome and its side, such as "L5 left"; ``explanations`` of the analysis then list
            the places that could explain it.
        :param progress: ``progress(fraction, message)``; ``False`` from it cancels.
        :raises SpineAnalysisLib.errors.InputError: for what cannot be analyzed.
        :raises SpineAnalysisLib.errors.Cancelled: by ``progress``; the scene is then as before.
        """
        from SpineAnalysisLib.labeling.label import Numbering
        from SpineAnalysisLib.mrml.anchors import anchors_from_node
        from SpineAnalysisLib.mrml.hints import hints_from_node
        from SpineAnalysisLib.mrml.runs import Choices, finish, request, work
        from SpineAnalysisLib.progress import part, silent, step

        progress = progress or silent
        step(progress, 0.0, "Reading the scene")
        choices = Choices(scheme=scheme, contrast=contrast, engine=engine,
                          anchors=anchors_from_node(anchorsNode), numbering=Numbering(countFrom) if countFrom else None,
                          hints=hints_from_node(hintsNode) if hintsNode is not None else (), symptom=symptom)
        outcome = work(request(volumeNode, segmentationNode, choices), part(progress, 0.05, 0.8))
        source: Any = volumeNode or segmentationNode
        name = _("Spine analysis: {node}").format(node=source.GetName())
        finish(outcome, slicer.mrmlScene, name, volumeNode, anchorsNode, part(progress, 0.8, 1.0),
               edited=segmentationNode)
        return outcome.analysis

    def writeReport(self, analysis: "Analysis", path: "Path | str") -> None:
        """Write all findings, tables and pictures as one file.

        :param path: ends in ``.html``, or in ``.pdf``, which needs Chromium, Chrome or Edge.
        :raises SpineAnalysisLib.errors.InputError: where the user does not want the packages that the report needs.
        """
        from SpineAnalysisLib.mrml.packages import install_requirements
        from SpineAnalysisLib.report.html import write_report
        from SpineAnalysisLib.report.pdf import print_pdf

        install_requirements(str(Path(__file__).parent / "Resources" / "requirements.txt"))
        path = Path(path)
        if path.suffix.lower() != ".pdf":
            write_report(analysis, path)
            return
        with TemporaryDirectory() as folder:
            write_report(analysis, Path(folder) / "report.html")
            # The browser is no part of Slicer, and cannot run on Slicer's libraries.
            print_pdf(Path(folder) / "report.html", path, slicer.util.startupEnvironment())

    def writeDicom(self, analysis: "Analysis", volumeNode: Any, folder: "Path | str",
                   deidentified: bool = False) -> tuple[str, ...]:
        """Write segmentation, structured report, PDF and pictures as DICOM of the scan's patient and study.

        :param volumeNode: the scan, loaded from Slicer's DICOM database.
        :param folder: made if need be.
        :param deidentified: leave the patient's identity out.
        :return: sentences about what could not be written.
        :raises SpineAnalysisLib.errors.InputError: for a scan from elsewhere, or one that was moved.
        """
        from SpineAnalysisLib.mrml.dicom import source_of
        from SpineAnalysisLib.report.dicom.write import write_dicom

        source = source_of(volumeNode)
        with TemporaryDirectory() as scratch:
            page, made = Path(scratch) / "report.html", Path(scratch) / "dicom"
            self.writeReport(analysis, page)
            missing = write_dicom(analysis, source.deidentified() if deidentified else source, page, made,
                                  environment=slicer.util.startupEnvironment())
            shutil.copytree(made, folder, dirs_exist_ok=True)  # all of it or nothing
        return missing

    def loadSample(self, scan: bool = True) -> tuple[Any | None, Any]:
        """Compute a lumbar spine with stenosis at L4-L5.

        :param scan: whether it gets a T2-weighted scan, which takes some seconds.
        :return: its scan and its segmentation, in the scene.
        """
        from SpineAnalysisLib.mrml.sample import add_sample

        return add_sample(slicer.mrmlScene, SAMPLE_NAME, scan)


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
