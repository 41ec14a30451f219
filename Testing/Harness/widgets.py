"""The ctk and qMRML widgets that the panel uses, on PySide6 and on the real MRML scene."""

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .pythonqt import stand_in

shown: list[str] = []
"""What message boxes said."""


@stand_in
class ctkCollapsibleButton(QtWidgets.QWidget):
    """A header that shows and hides what is below it."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)
    clicked = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._text, self._collapsed, self._hidden = "", False, []
        self._header = self.fontMetrics().height() + 10

    def _set_text(self, text):
        self._text = text
        self.update()

    def _set_collapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._apply()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def _apply(self):
        children = [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]
        if self._collapsed:
            self._hidden = [c for c in children if not c.isHidden()]
        for child in self._hidden:
            child.setVisible(not self._collapsed)
        if not self._collapsed:
            self._hidden = []
        self.updateGeometry()
        self.update()

    def childEvent(self, event):
        if event.type() == QtCore.QEvent.ChildPolished and self._collapsed and event.child().isWidgetType():
            self._hidden.append(event.child())
            event.child().hide()

    def event(self, event):
        if event.type() in (QtCore.QEvent.LayoutRequest, QtCore.QEvent.Polish) and self.layout() is not None:
            margins = self.layout().contentsMargins()
            if margins.top() < self._header:
                self.layout().setContentsMargins(margins.left(), self._header + margins.top(), margins.right(),
                                                 margins.bottom())
        return super().event(event)

    def sizeHint(self):
        return QtCore.QSize(100, self._header) if self._collapsed or self.layout() is None else \
            self.layout().totalSizeHint()

    def minimumSizeHint(self):
        return QtCore.QSize(40, self._header) if self._collapsed or self.layout() is None else \
            self.layout().totalMinimumSize()

    def paintEvent(self, _event):
        painter = QtWidgets.QStylePainter(self)
        button = QtWidgets.QStyleOptionButton()
        button.initFrom(self)
        button.rect = QtCore.QRect(0, 0, self.width(), self._header)
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, button)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (self._header - 10) // 2, 10, 10)
        painter.drawPrimitive(QtWidgets.QStyle.PE_IndicatorArrowRight if self._collapsed
                              else QtWidgets.QStyle.PE_IndicatorArrowDown, arrow)
        painter.setPen(self.palette().color(QtGui.QPalette.ButtonText))
        painter.drawText(QtCore.QRect(24, 0, self.width() - 24, self._header), QtCore.Qt.AlignVCenter, self._text)

    def mousePressEvent(self, event):
        if event.position().y() <= self._header:
            self.click()

    def click(self):
        self._set_collapsed(not self._collapsed)
        self.clicked.emit(not self._collapsed)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    checked = Property(bool, lambda self: not self._collapsed, lambda self, on: self._set_collapsed(not on))


class _WithScene(QtWidgets.QWidget):
    """What is bound to a MRML scene."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._tags = []

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._tags = [] if scene is None else self._observed(scene)
        self.mrmlSceneChanged.emit(scene)

    def _observed(self, _scene):
        return []


@stand_in
class qMRMLWidget(_WithScene):
    pass


def _flag(name):
    return Property(bool, lambda self: self._flags[name], lambda self, on: self._flags.update({name: on}))


@stand_in
class qMRMLNodeComboBox(_WithScene):
    """A choice of nodes that follows the scene: new nodes appear, removed and renamed ones are seen."""

    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setSizePolicy(QtWidgets.QSizePolicy.MinimumExpanding, QtWidgets.QSizePolicy.Fixed)
        self._types, self._hidden_types, self._attributes = [], [], []
        self._none, self._base, self._current, self._node_tags = False, "", "", {}
        self._flags = {"addEnabled": True, "removeEnabled": True, "renameEnabled": False, "showHidden": False,
                       "editEnabled": False, "showChildNodeTypes": True, "selectNodeUponCreation": True}
        self._box.currentIndexChanged.connect(self._chosen)

    def _observed(self, scene):
        self._fill()
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent,
                  scene.EndBatchProcessEvent)
        return [scene.AddObserver(event, lambda *_: self._fill()) for event in events]

    def addAttribute(self, node_type, name, value=None):
        self._attributes.append((node_type, name, value))
        self._fill()

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, index):
        return self._nodes()[index]

    def currentNode(self):
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node if isinstance(node, str) else "" if node is None else node.GetID())

    def setCurrentNodeID(self, identifier):
        known = [n.GetID() for n in self._nodes()]
        self._set(identifier if identifier in known else "" if self._none or not known else self._current)

    def setCurrentNodeIndex(self, index):
        self._set(self._nodes()[index].GetID() if 0 <= index < self.nodeCount() else "")

    def addNode(self, *_):
        name = self._scene.GenerateUniqueName(self._base or "Node")
        node = self._scene.CreateNodeByClass(self._types[0])
        node.UnRegister(None)
        node.SetName(name)
        for node_type, attribute, value in self._attributes:
            if node.IsA(node_type) and value is not None:
                node.SetAttribute(attribute, value)
        node = self._scene.AddNode(node)
        self._fill()
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self):
        self._scene.RemoveNode(self.currentNode())

    def _nodes(self):
        if self._scene is None or not self._types:
            return []
        nodes = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        return [node for node in nodes if self._shows(node)]

    def _shows(self, node):
        if not any(node.IsA(t) if self._flags["showChildNodeTypes"] else node.GetClassName() == t
                   for t in self._types) or any(node.IsA(t) for t in self._hidden_types):
            return False
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        return all(node.GetAttribute(name) == value if value is not None else node.GetAttribute(name) is not None
                   for node_type, name, value in self._attributes if node.IsA(node_type))

    def _fill(self):
        if self._scene is None or self._scene.IsBatchProcessing():
            return
        nodes = self._nodes()
        for node in nodes:
            if node.GetID() not in self._node_tags:
                self._node_tags[node.GetID()] = node.AddObserver("ModifiedEvent", lambda *_: self._rename())
        self._box.blockSignals(True)
        self._box.clear()
        for node in ([None] if self._none else []) + nodes:
            self._box.addItem("None" if node is None else node.GetName(), "" if node is None else node.GetID())
        self._box.blockSignals(False)
        ids = [node.GetID() for node in nodes]
        wanted = self._current if self._current in ids else "" if self._none or not ids else ids[0]
        self._set(wanted)

    def _rename(self):
        for index in range(self._box.count()):
            node = self._scene.GetNodeByID(self._box.itemData(index)) if self._box.itemData(index) else None
            if node is not None and node.GetName() != self._box.itemText(index):
                self._box.setItemText(index, node.GetName())

    def _set(self, identifier):
        self._box.blockSignals(True)
        self._box.setCurrentIndex(self._box.findData(identifier))
        self._box.blockSignals(False)
        if identifier != self._current:
            self._current = identifier
            self.currentNodeChanged.emit(self.currentNode())

    def _chosen(self, index):
        if self._box.itemData(index) is not None:
            self._set(self._box.itemData(index))

    def _set_none(self, enabled):
        self._none = enabled
        self._fill()

    def _set_types(self, types):
        self._types = list(types)
        self._fill()

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    hideChildNodeTypes = Property("QStringList", lambda self: self._hidden_types,
                                  lambda self, types: setattr(self, "_hidden_types", list(types)))
    noneEnabled = Property(bool, lambda self: self._none, _set_none)
    baseName = Property(str, lambda self: self._base, lambda self, name: setattr(self, "_base", name))
    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)
    addEnabled, removeEnabled = _flag("addEnabled"), _flag("removeEnabled")
    renameEnabled, editEnabled = _flag("renameEnabled"), _flag("editEnabled")
    showHidden, showChildNodeTypes = _flag("showHidden"), _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")


@stand_in
class ctkMessageBox(QtWidgets.QMessageBox):
    """Never opened: what it says is kept in ``shown``, as nobody is here to click."""

    def exec(self):
        shown.append(self.text())
        return QtWidgets.QMessageBox.Ok

    exec_ = exec


def node_classes():
    """Names of the qMRML stand-ins, which live in ``slicer``."""
    return [cls.__name__ for cls in (qMRMLWidget, qMRMLNodeComboBox)]
