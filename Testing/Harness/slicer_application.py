"""The least of Slicer's application layer that lets a scripted module be imported in plain Python.

Module, logic and test classes work; there are no widgets and no Qt, so a widget class can be imported and no more.
"""

import logging
import sys
import types
import typing
import unittest
from pathlib import Path

import slicer
import slicer.util

from SpineAnalysisLib import headless


class Choice:
    """The validator of a text that is one of a few."""

    def __init__(self, choices):
        self.choices = list(choices)


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name):
        return str(Path(self.parent.path).parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    """Only to be derived from."""


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message, *_):
        logging.info(message)


def _property(name, hint, default):
    """One typed field of a parameter node: text as a parameter, a node as a node reference."""
    choice = next((note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Choice)), None)
    if hint is str or choice is not None:
        def write(self, value):
            if choice is not None and value not in choice.choices:
                raise ValueError(f"{name} is one of {choice.choices}, not {value}")
            self.parameterNode.SetParameter(name, value)
        return property(lambda self: self.parameterNode.GetParameter(name) or default, write)
    return property(
        lambda self: self.parameterNode.GetNodeReference(name),
        lambda self, node: self.parameterNode.SetNodeReferenceID(name, None if node is None else node.GetID()))


def parameterNodeWrapper(cls):
    """Typed access to a parameter node, for fields of text and of nodes."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        setattr(cls, name, _property(name, hint, getattr(cls, name, "")))

    def initialize(self, parameterNode):
        self.parameterNode = parameterNode

    cls.__init__ = initialize
    return cls


def install():
    """Make the imports at the top of a module file work, and a scene be there."""
    contents = {
        "ScriptedLoadableModule": (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic,
                                   ScriptedLoadableModuleTest),
        "parameterNodeWrapper": (parameterNodeWrapper, Choice),
    }
    for name, members in contents.items():
        module = types.ModuleType(f"slicer.{name}")
        vars(module).update({member.__name__: member for member in members})
        sys.modules[module.__name__] = module
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = (lambda text: text), (lambda _context, text: text)
    sys.modules[i18n.__name__] = i18n
    headless.start()
