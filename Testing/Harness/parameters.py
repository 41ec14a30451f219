"""``slicer.parameterNodeWrapper``: typed fields of a parameter node, and their connections with widgets."""

import types
import typing
import weakref

import slicer
import slicer.util

PROPERTY = "SlicerParameterName"


class Choice:
    """The validator of a value that is one of a few."""

    def __init__(self, choices):
        self.choices = list(choices)

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"{value} is not one of {self.choices}")


_READ = {str: str, int: int, float: float, bool: lambda text: text == "True"}
_ZERO = {str: "", int: 0, float: 0, bool: False}


class _Field:
    """One field: kept as Slicer's serializers keep it, so that scenes are exchanged."""

    def __init__(self, name, hint, default):
        base, *notes = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        self.name, self.kind = name, base
        self.validators = [note for note in notes if hasattr(note, "validate")]
        self.choices = next((note.choices for note in notes if isinstance(note, Choice)), None)
        self.node_types = tuple(t for t in (typing.get_args(base) or (base,)) if t is not types.NoneType
                                and isinstance(t, type) and issubclass(t, slicer.vtkMRMLNode))
        if not self.node_types and base not in _READ:
            raise TypeError(f"{name}: the stand-in has no serializer for {base}")
        self.default = default if default is not None or self.node_types else _ZERO[base]

    def write(self, node, value):
        for validator in self.validators:
            validator.validate(value)
        if self.node_types:
            if value is not None and not isinstance(value, self.node_types):
                raise ValueError(f"{self.name} takes {self.node_types}, not {type(value)}")
            with slicer.util.NodeModify(node):
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, None if value is None else value.GetID())
            return
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise ValueError(f"{self.name} takes {self.kind}, not {type(value)}")
        node.SetParameter(self.name, str(value))

    def read(self, node):
        return node.GetNodeReference(self.name) if self.node_types else _READ[self.kind](node.GetParameter(self.name))

    def is_in(self, node):
        return node.HasParameter(self.name)


# Class of the widget -> how it is read, written and listened to.
_WIDGETS = {
    "QCheckBox": (lambda w: w.checked, lambda w, v: setattr(w, "checked", v), "stateChanged(int)"),
    "QPushButton": (lambda w: w.checked, lambda w, v: setattr(w, "checked", v), "toggled(bool)"),
    "QSlider": (lambda w: w.value, lambda w, v: setattr(w, "value", v), "valueChanged(int)"),
    "QSpinBox": (lambda w: w.value, lambda w, v: setattr(w, "value", v), "valueChanged(int)"),
    "QDoubleSpinBox": (lambda w: w.value, lambda w, v: setattr(w, "value", v), "valueChanged(double)"),
    "QLineEdit": (lambda w: w.text, lambda w, v: setattr(w, "text", v), "textChanged(QString)"),
    "QTextEdit": (lambda w: w.toPlainText(), lambda w, v: w.setPlainText(v), "textChanged()"),
    "QPlainTextEdit": (lambda w: w.plainText, lambda w, v: setattr(w, "plainText", v), "textChanged()"),
    "qMRMLNodeComboBox": (lambda w: w.currentNode(), lambda w, v: w.setCurrentNode(v),
                          "currentNodeChanged(vtkMRMLNode*)"),
}


class _Connector:
    def __init__(self, widget, field):
        self.widget, self.field = widget, field
        name = type(widget).__name__
        if name == "QComboBox":
            if field.choices is None:
                raise RuntimeError("a QComboBox needs the Choice annotation")
            widget.clear()
            widget.addItems([str(choice) for choice in field.choices])
            self._read = lambda w: field.choices[w.currentIndex]
            self._write = lambda w, v: setattr(w, "currentIndex", field.choices.index(v))
            self._signal = "currentIndexChanged(int)"
        elif name in _WIDGETS:
            self._read, self._write, self._signal = _WIDGETS[name]
        else:
            raise RuntimeError(f"Unable to create GUI connector from {field.kind} to {name}")

    def connect(self, function):
        self._function = function
        self.widget.connect(self._signal, function)

    def disconnect(self):
        self.widget.disconnect(self._signal, self._function)

    def read(self):
        return self._read(self.widget)

    def write(self, value):
        self._write(self.widget, value)


class _Wrapper:
    """What every wrapped class gets.

    As in Slicer, values are cached until the node is modified, ``connectGui`` answers nothing that ``disconnectGui``
    would know, and ``connectParametersToGui`` does.
    """

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._guis, self._updating, self._next, self._cached = {}, False, 0, {}
        for field in self.allParameters.values():
            if not field.is_in(parameterNode):
                field.write(parameterNode, field.default)
        self._readAll()
        this = weakref.ref(self)
        parameterNode.AddObserver("ModifiedEvent", lambda *_: this() is not None and this()._readAll())

    def _readAll(self):
        self._cached = {name: field.read(self.parameterNode) for name, field in self.allParameters.items()}

    def getValue(self, name):
        return self._cached[name]

    def setValue(self, name, value):
        with slicer.util.NodeModify(self.parameterNode):
            self.allParameters[name].write(self.parameterNode, value)
            self._cached[name] = self.allParameters[name].read(self.parameterNode)

    def connectGui(self, gui):
        self.connectParametersToGui({w.property(PROPERTY): w for w in vars(gui).values() if w.property(PROPERTY)})

    def connectParametersToGui(self, widgets):
        connectors = {}
        for name in widgets:
            if name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
        for name, widget in widgets.items():
            connectors[name] = connector = _Connector(widget, self.allParameters[name])
            connector.write(self.getValue(name))
            connector.connect(lambda *_, name=name, connector=connector: self._fromGui(name, connector))
        tag = self._next
        self._next += 1
        self._guis[tag] = connectors
        self.AddObserver("ModifiedEvent", lambda *_: self._toGui())
        return tag

    def disconnectGui(self, tag):
        for connector in self._guis.pop(tag, {}).values():
            connector.disconnect()

    def _fromGui(self, name, connector):
        if not self._updating:
            with slicer.util.NodeModify(self):
                self.setValue(name, connector.read())

    def _toGui(self):
        if self._updating:
            return
        self._updating = True
        try:
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, before):
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event, function, priority=0.0):
        return self.parameterNode.AddObserver(event, function, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        return self.parameterNode.Modified()


def parameterNodeWrapper(cls):
    fields = {name: _Field(name, hint, getattr(cls, name, None))
              for name, hint in typing.get_type_hints(cls, include_extras=True).items()}
    for name, value in vars(_Wrapper).items():
        if name == "__init__" or not name.startswith("__"):
            if name != "__init__" and hasattr(cls, name):
                raise ValueError(f"Cannot use reserved name {name!r} in a parameterNodeWrapper")
            setattr(cls, name, value)
    for name, field in fields.items():
        setattr(cls, field.name, property(lambda self, n=name: self.getValue(n),
                                          lambda self, value, n=name: self.setValue(n, value)))
    cls.allParameters = fields
    return cls
