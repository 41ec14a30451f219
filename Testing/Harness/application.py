"""``slicer.app``, its managers, and scripted modules in it."""

import importlib.util
import sys
import tempfile
from types import SimpleNamespace

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from SpineAnalysisLib import headless

from . import pythonqt
from .pythonqt import stand_in
from .views import qSlicerLayoutManager


@stand_in
class qSlicerApplication(QtCore.QObject):
    """Those parts of the application that modules use; tests run in its testing mode, without message boxes."""

    startupCompleted = Signal()
    aboutToQuit = Signal()

    def __init__(self):
        super().__init__()
        self._modules = qSlicerModuleManager()
        self._layouts = qSlicerLayoutManager()
        self._window = qSlicerMainWindow(self._modules)
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-stand-in-")
        self.testing = True

    def processEvents(self, *_):
        pythonqt.application().processEvents()

    def moduleManager(self):
        return self._modules

    def layoutManager(self):
        return self._layouts

    def applicationLogic(self):
        return headless._started.application_logic

    def testingEnabled(self):
        return self.testing

    def clipboard(self):
        return pythonqt.application().clipboard()

    def topLevelWidgets(self):
        return [self._window]

    def startupEnvironment(self):
        return QtCore.QProcessEnvironment.systemEnvironment()

    def setOverrideCursor(self, cursor):
        pythonqt.application().setOverrideCursor(QtGui.QCursor(cursor))

    def restoreOverrideCursor(self):
        pythonqt.application().restoreOverrideCursor()

    def palette(self):
        return pythonqt.application().palette()

    def resumeRender(self):
        pass

    pauseRender = resumeRender
    applicationName = Property(str, lambda self: "Slicer")
    temporaryPath = Property(str, lambda self: self._folder.name)


@stand_in
class qSlicerModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)

    def __init__(self):
        super().__init__()
        self._found = {}

    def module(self, name):
        return self._found.get(name)

    def modulesNames(self):
        return list(self._found)


@stand_in
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Remembers what was selected; a module of this project is entered."""

    def __init__(self, modules):
        super().__init__()
        self._modules, self.selected = modules, ""

    def selectModule(self, name):
        before = self._modules.module(self.selected)
        if before is not None and name != self.selected:
            before.widgetRepresentation().exit()
        self.selected = name
        after = self._modules.module(name)
        if after is not None:
            after.widgetRepresentation().enter()


@stand_in
class qSlicerMainWindow(QtWidgets.QMainWindow):
    def __init__(self, modules):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar(modules)
        self.statusBar()

    def moduleSelector(self):
        return self._selector


@stand_in
class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """The frame around a module's widget, which is entered and left."""

    def __init__(self, module):
        super().__init__()
        self._module, self._entered, self._python = module, False, None
        QtWidgets.QVBoxLayout(self).setContentsMargins(2, 2, 2, 2)

    def self(self):
        return self._python

    def module(self):
        return self._module

    def reload(self):
        """A new Python side, made from the module's source as it is now."""
        entered = self._entered
        self._entered = False
        source = sys.modules[self._module.name]
        self._python = getattr(source, f"{self._module.name}Widget")(pythonqt.wrap(self))
        setattr(slicer.modules, f"{self._module.name}Widget", self._python)
        self._python.setup()
        if entered:
            self.enter()
        return True

    def enter(self):
        self._entered = True
        self._python.enter()

    def exit(self):
        self._entered = False
        self._python.exit()

    isEntered = Property(bool, lambda self: self._entered)
    moduleName = Property(str, lambda self: self._module.name)


class qSlicerScriptedLoadableModule:
    """One scripted module, loaded from its file."""

    def __init__(self, path):
        self.path, self.name = str(path), path.stem
        self.title, self.categories, self.dependencies, self.contributors = "", [], [], []
        self.helpText = self.acknowledgementText = ""
        self.icon = None
        self._widget = None
        spec = importlib.util.spec_from_file_location(self.name, path)
        self.source = sys.modules.get(self.name)
        if self.source is None:
            self.source = sys.modules[self.name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self.source)
        self.python = getattr(self.source, self.name)(self)

    def widgetRepresentation(self):
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.reload()
        return pythonqt.wrap(self._widget)

    def logic(self):
        return None


def load_module(path):
    """Register a scripted module with the application, as if found on a module path."""
    module = qSlicerScriptedLoadableModule(path)
    slicer.app._it._modules._found[module.name] = module
    setattr(slicer.modules, module.name.lower(), module)
    return module


def start():
    """Make ``slicer.app`` and the classes around it, once."""
    pythonqt.application().setStyle("Fusion")
    scene = headless.start()
    if isinstance(getattr(slicer, "app", None), pythonqt.Proxy):
        return
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = pythonqt.proxy_class("qSlicerScriptedLoadableModuleWidget")
    slicer.app = pythonqt.wrap(qSlicerApplication())
    slicer.app._it._layouts.setMRMLScene(scene)
    if not isinstance(slicer.modules, SimpleNamespace):
        raise TypeError("this is a stand-in for an application, not for use in one")
