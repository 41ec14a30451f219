"""The host of a MRML scene outside Slicer's application.

``slicer-core`` brings Slicer's own libraries into plain Python, but nobody who makes a scene, its module logics and the
names ``slicer.mrmlScene`` and ``slicer.modules`` that ``slicer.util`` relies on.  This module does, and nothing else
needs to know where it runs.  Inside Slicer's application those names stay untouched.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk

from .errors import InputError

# Slicer's name of a module -> the class of its logic.
_LOGICS = {
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
}


class Host:
    """One scene with the logics that serve it.

    :ivar scene: the ``vtkMRMLScene``.
    :ivar application_logic: the ``vtkSlicerApplicationLogic``.
    :ivar logics: module name -> logic.
    """

    def __init__(self) -> None:
        render_without_display()
        self._temporary = tempfile.TemporaryDirectory(prefix="spine-analysis-")
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        self.application_logic.SetTemporaryPath(self._temporary.name)
        self.application_logic.SetSliceLogics(vtk.vtkCollection())
        self.application_logic.SetViewLogics(vtk.vtkCollection())
        self.logics: dict[str, Any] = {"Colors": self.application_logic.GetColorLogic()}
        self.logics["Colors"].SetMRMLScene(self.scene)
        self.logics["Colors"].AddDefaultColorNodes()
        for name, class_name in _LOGICS.items():
            self._register(name, getattr(slicer, class_name)()).SetMRMLScene(self.scene)
        # On a scene, this logic looks for the terminology files of an installed Slicer; its functions need neither.
        self._register("Terminologies", slicer.vtkSlicerTerminologiesModuleLogic())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._connect_file_cache()

    def _register(self, name: str, logic: Any) -> Any:
        logic.SetMRMLApplicationLogic(self.application_logic)
        self.application_logic.SetModuleLogic(name, logic)
        self.logics[name] = logic
        return logic

    def _connect_file_cache(self) -> None:
        """Reading a bundle unpacks it into the folder of a cache manager."""
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.SetMRMLApplicationLogic(self.application_logic)
        self._remote_io.SetMRMLScene(self.scene)
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(self._temporary.name)
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLApplicationLogic(self.application_logic)
        self._data_io.SetMRMLScene(self.scene)
        self._data_io.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self._remote_io.AddDataIOToScene()

    def modules(self) -> SimpleNamespace:
        """What ``slicer.modules`` has to offer: ``modules().segmentations.logic()``."""
        return SimpleNamespace(**{name.lower(): SimpleNamespace(logic=lambda logic=logic: logic)
                                  for name, logic in self.logics.items()})

    def close(self) -> None:
        """Remove all nodes and files."""
        for index in range(self.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            # Or else every segment is first erased from the label map that it shares with all others, which takes long.
            segmentation = self.scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode").GetSegmentation()
            segmentation.RemoveRepresentation(segmentation.GetSourceRepresentationName())
        self.scene.Clear(1)
        self._remote_io.RemoveDataIOFromScene()
        self._temporary.cleanup()


_started: Host | None = None


def inside_slicer() -> bool:
    """Whether Slicer's application owns the scene."""
    return _started is None and hasattr(slicer, "app")


def start() -> Any:
    """Make ``slicer.mrmlScene`` and ``slicer.modules`` usable for the rest of the process.

    Further calls return the same scene; inside Slicer, the application's scene comes back and nothing changes.

    :return: the ``vtkMRMLScene``.
    """
    global _started
    if _started is None and not inside_slicer():
        _started = Host()
        slicer.mrmlScene, slicer.modules = _started.scene, _started.modules()
    return slicer.mrmlScene


@contextmanager
def fresh_scene() -> Iterator[Any]:
    """A scene of its own for the length of a ``with``; its nodes and files are gone afterwards.

    Outside Slicer it is ``slicer.mrmlScene`` meanwhile, and the scene before is restored.  Inside Slicer, the user's
    scene stays ``slicer.mrmlScene``.
    """
    host = Host()
    names = () if inside_slicer() else ("mrmlScene", "modules")
    before = {name: getattr(slicer, name) for name in names if hasattr(slicer, name)}
    if names:
        slicer.mrmlScene, slicer.modules = host.scene, host.modules()
    try:
        yield host.scene
    finally:
        for name in names:
            if name in before:
                setattr(slicer, name, before[name])
            else:
                delattr(slicer, name)
        host.close()


def write_mrb(scene: Any, path: Path | str) -> None:
    """Write a scene as a bundle that Slicer opens.  The file appears only when it is whole.

    :param path: ends in ``.mrb``.
    :raises InputError: where it cannot be written.
    """
    target = Path(path)
    with folder_beside(target) as folder:
        bundle = folder / target.name  # Slicer takes the names inside the bundle from the file's name
        if not scene.WriteToMRB(str(bundle), None):
            raise InputError(f"{target} could not be written: is the disk full?")
        bundle.replace(target)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the disk of a file that is about to be written.

    :raises InputError: where there is no such folder, or it cannot be written to.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=".spine-analysis-", dir=target.parent)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}): choose another folder.") from error
    with folder as name:
        yield Path(name)


def read_mrb(scene: Any, path: Path | str) -> None:
    """Add the nodes of a bundle to a scene of this module.

    :raises InputError: where it is no bundle.
    """
    if not Path(path).is_file() or not scene.ReadFromMRB(str(path), False):
        raise InputError(f"{path} is not a Slicer scene bundle: give an .mrb file.")


def render_without_display() -> None:
    """Let VTK draw off-screen at once, where on Linux it would first complain that there is no X server."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
