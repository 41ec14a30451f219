"""The host of a scene outside Slicer: real slicer-core, no display."""

import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from SpineAnalysisLib import headless
from SpineAnalysisLib.errors import InputError

LIBRARY = Path(headless.__file__).parents[1]


def temporary_folders() -> set[str]:
    return {p.name for p in Path(tempfile.gettempdir()).glob("spine-analysis-*")}


def test_fresh_scene_leaves_no_nodes_files_or_names() -> None:
    before = temporary_folders()
    had = hasattr(slicer, "mrmlScene"), getattr(slicer, "mrmlScene", None)
    with headless.fresh_scene() as scene:
        assert slicer.mrmlScene is scene
        slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.int16), name="scan")
        assert scene.GetFirstNodeByName("scan")
    assert (hasattr(slicer, "mrmlScene"), getattr(slicer, "mrmlScene", None)) == had
    assert temporary_folders() == before
    with headless.fresh_scene() as second:
        assert second.GetFirstNodeByName("scan") is None


def test_fresh_scenes_nest() -> None:
    with headless.fresh_scene() as outer:
        with headless.fresh_scene() as inner:
            assert slicer.mrmlScene is inner
            assert slicer.modules.segmentations.logic().GetMRMLScene() is inner
        assert slicer.mrmlScene is outer
        assert slicer.modules.segmentations.logic().GetMRMLScene() is outer


def test_fresh_scene_is_restored_after_an_error() -> None:
    with headless.fresh_scene() as outer:
        with pytest.raises(RuntimeError, match="no"), headless.fresh_scene():
            raise RuntimeError("no")
        assert slicer.mrmlScene is outer


def test_the_scene_of_a_running_slicer_stays_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    users_scene, users_modules = slicer.vtkMRMLScene(), types.SimpleNamespace()
    monkeypatch.setattr(slicer, "app", object(), raising=False)
    monkeypatch.setattr(slicer, "mrmlScene", users_scene, raising=False)
    monkeypatch.setattr(slicer, "modules", users_modules, raising=False)
    monkeypatch.setattr(headless, "_started", None)
    assert headless.start() is users_scene
    with headless.fresh_scene() as scene:
        assert scene is not users_scene
        assert slicer.mrmlScene is users_scene
        assert slicer.modules is users_modules
    assert slicer.mrmlScene is users_scene


def test_segment_functions_of_slicer_util_work() -> None:
    with headless.fresh_scene() as scene:
        reference = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="scan")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        segment = node.GetSegmentation().AddEmptySegment("a")
        mask = np.zeros((4, 5, 6), np.uint8)
        mask[1:3, 2:4, 1:5] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, reference)
        assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, reference), mask)


def test_bundle_is_read_back_into_another_scene(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = tmp_path / "scene.mrb"
    with headless.fresh_scene() as scene:
        slicer.util.addVolumeFromArray(array, np.diag([-1.5, -2, 3, 1]), name="scan")
        headless.write_mrb(scene, path)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]
    with headless.fresh_scene() as scene:
        headless.read_mrb(scene, path)
        node = scene.GetFirstNodeByName("scan")
        assert np.array_equal(slicer.util.arrayFromVolume(node), array)
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), np.diag([-1.5, -2, 3, 1]))


def test_bundle_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with headless.fresh_scene() as scene:
        with pytest.raises(InputError, match="choose another folder"):
            headless.write_mrb(scene, tmp_path / "missing" / "scene.mrb")
        (tmp_path / "text.mrb").write_text("no bundle")
        with pytest.raises(InputError, match="not a Slicer scene bundle"):
            headless.read_mrb(scene, tmp_path / "absent.mrb")


def test_starting_is_quiet_and_idempotent_without_a_display() -> None:
    program = ("import slicer; from SpineAnalysisLib import headless as h; a = h.start(); b = h.start();"
               "assert a is b is slicer.mrmlScene and h.inside_slicer() is False;"
               "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render()")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False,
                         env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"})
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
