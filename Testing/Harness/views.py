"""The layout manager, and its views drawn off-screen by slicer-core's own displayable managers."""

import slicer
from PySide6 import QtCore
from PySide6.QtCore import Property, Signal

from .pythonqt import stand_in


@stand_in
class qSlicerLayoutManager(QtCore.QObject):
    """Changes layouts by the real layout logic, which makes the nodes of all views."""

    layoutChanged = Signal(int)

    def __init__(self):
        super().__init__()
        self._logic, self._scene, self._slices = None, None, {}

    def setMRMLScene(self, scene):
        self._scene = scene
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        self._node().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _node(self):
        return self._logic.GetLayoutNode()

    def layoutLogic(self):
        return self._logic

    def mrmlScene(self):
        return self._scene

    def setLayout(self, layout):
        if layout != self._node().GetViewArrangement():
            self._node().SetViewArrangement(layout)
            self._make_slice_logics()
            self.layoutChanged.emit(layout)

    def _make_slice_logics(self):
        """As slice widgets do: a logic for each slice view, which makes its composite node."""
        for index in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = self._scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            if node.GetID() not in self._slices:
                logic = self._slices[node.GetID()] = slicer.vtkMRMLSliceLogic()
                logic.SetMRMLScene(self._scene)
                logic.SetSliceNode(node)

    layout = Property(int, lambda self: self._node().GetViewArrangement(), setLayout)
