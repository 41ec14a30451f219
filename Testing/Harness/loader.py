"""``qt.QUiLoader`` for .ui files with ctk and qMRML widgets."""

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools

from . import pythonqt


class _Loader(QtUiTools.QUiLoader):
    def createWidget(self, class_name, parent=None, name=""):
        if class_name in pythonqt._STAND_INS:
            widget = pythonqt.side_class(class_name)(parent)
            widget.setObjectName(name)
            return widget
        return super().createWidget(class_name, parent, name)


class QUiLoader:
    """Loads a file, and makes the connections that it names."""

    def load(self, file):
        text = bytes(file._it.readAll().data())
        root = ElementTree.fromstring(text)
        connections = [tuple(c.find(part).text for part in ("sender", "signal", "receiver", "slot"))
                       for c in root.iter("connection")]
        for found in root.findall("connections"):
            root.remove(found)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = _Loader().load(buffer)
        named = {w.objectName(): w for w in [widget, *widget.findChildren(QtCore.QObject)]}
        for sender, signal, receiver, slot in connections:
            pythonqt.wrap(named[sender]).connect(
                signal, getattr(pythonqt.wrap(named[receiver]), slot.partition("(")[0]))
        return pythonqt.wrap(widget)
