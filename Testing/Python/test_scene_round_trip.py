"""A scene that was saved and loaded brings back parameters and results.  Runs in Slicer and in plain Python."""

import tempfile
import unittest
from pathlib import Path

import slicer

try:
    import slicer.ScriptedLoadableModule
except ImportError:  # outside Slicer's application
    from Harness import slicer_application

    slicer_application.install()

from SpineAnalysis import SpineAnalysisLogic
from SpineAnalysisLib import headless
from SpineAnalysisLib.mrml.results import find_result


class SceneRoundTrip(unittest.TestCase):
    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        logic = SpineAnalysisLogic()
        _scan, segmentation = logic.loadSample(scan=False)
        known = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Known vertebrae")
        identifier = segmentation.GetSegmentation().GetSegmentIdBySegmentName("L4 vertebra")
        known.AddControlPoint(segmentation.GetSegmentCenterRAS(identifier), "L5")  # whatever the segmentation says
        analysis = logic.analyze(None, segmentation, anchorsNode=known)
        self.named = [str(v.level) for v in analysis.spine.vertebrae]
        parameters = logic.getParameterNode()
        parameters.anchors, parameters.numbering = known, "sacrum"
        parameters.inputSegmentation, parameters.scheme, parameters.limits = segmentation, "verse", "{}"
        self.segments = segmentation.GetSegmentation().GetNumberOfSegments()
        self.name = f"Spine analysis: {segmentation.GetName()}"

    def test_parameters_and_results_come_back(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            headless.write_mrb(slicer.mrmlScene, Path(folder) / "scene.mrb")
            slicer.mrmlScene.Clear()
            headless.read_mrb(slicer.mrmlScene, Path(folder) / "scene.mrb")
        parameters = SpineAnalysisLogic().getParameterNode()
        assert (parameters.scheme, parameters.limits, parameters.numbering) == ("verse", "{}", "sacrum")
        assert parameters.inputSegmentation.GetSegmentation().GetNumberOfSegments() == self.segments
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        assert hierarchy.GetItemByName(self.name) != hierarchy.GetInvalidItemID()
        result = find_result(slicer.mrmlScene, self.name, "segmentation")
        assert result.GetSegmentation().GetNthSegment(0).GetName() == f"{self.named[0]} vertebra"
        assert find_result(slicer.mrmlScene, self.name, "centerline").GetNumberOfControlPoints() > 10
        assert "L5" in self.named
        again = SpineAnalysisLogic().analyze(None, parameters.inputSegmentation, anchorsNode=parameters.anchors)
        assert [str(v.level) for v in again.spine.vertebrae] == self.named


if __name__ == "__main__":
    unittest.main()
