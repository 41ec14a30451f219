"""Qt with PythonQt's manners, on PySide6.

Properties are plain attributes, signals connect by signature, enums belong to classes, and a name that Slicer's class
does not have is refused.  Everything that comes out of Qt is wrapped, everything that goes in is unwrapped.
"""

import inspect
import os
import sys
import traceback
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import SIGNAL, QObject

from . import api

errors: list[BaseException] = []
"""Exceptions in slots, which PythonQt prints and Qt survives; tests look here."""

_QT = (QtWidgets, QtGui, QtCore)
_STAND_INS: dict[str, type] = {}
_PROXIES: dict[str, type] = {}
_FIRST_OF = {"getSaveFileName", "getOpenFileName"}  # PySide6 returns the chosen filter as well


def application() -> QtWidgets.QApplication:
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])


def stand_in(cls: type) -> type:
    """Class decorator: a PySide6 class that stands in for a ctk or qMRML class of the same name."""
    _STAND_INS[cls.__name__] = cls
    return cls


def side_class(name: str) -> type:
    """The PySide6 class behind a class of Slicer's.

    :raises NotInSlicer: where Slicer has no such class; :raises NotImplementedError: where only the stand-in has not.
    """
    if not api.known(name):
        raise api.NotInSlicer(f"Slicer's API, as kept here, has no {name}: see Utilities/excerpt_slicer_api.py")
    found = _STAND_INS.get(name) or next((getattr(m, name) for m in _QT if hasattr(m, name)), None)
    if found is None:
        raise NotImplementedError(f"there is no stand-in for {name} yet")
    return found


class _ProxyType(type):
    """Enum values and static methods as attributes of the class."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        api.kind_of(cls.__name__, name)
        return _wrapped_member(cls.__name__, side_class(cls.__name__), name)


class Proxy(metaclass=_ProxyType):
    """One object of Qt's."""

    def __init__(self, *arguments):
        self._adopt(side_class(type(self).__name__)(*map(unwrap, arguments)))

    def _adopt(self, it):
        object.__setattr__(self, "_it", it)
        object.__setattr__(self, "_slots", [])
        if isinstance(it, QObject):
            it._proxy = self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        cls = type(self).__name__
        kind = api.kind_of(cls, name)
        name = api.ALIASES.get(name, name)
        if kind in ("property", "read-only") or _is_property(self._it, name):
            return wrap(_read(self._it, name))
        if kind == "signal" or isinstance(getattr(type(self._it), name, None), QtCore.Signal):
            return BoundSignal(self, name)
        if name == "connect":
            return self._connect
        if name == "disconnect":
            return self._disconnect
        if name == "className":
            return lambda: self._it.metaObject().className() if isinstance(self._it, QObject) else cls
        return _wrapped_member(cls, self._it, name)

    def __setattr__(self, name, value):
        kind = api.kind_of(type(self).__name__, name)
        if kind != "property" and not _is_property(self._it, name):
            raise AttributeError(f"{type(self).__name__}.{name} is no property that can be set in Slicer, but {kind}")
        if not self._it.setProperty(api.ALIASES.get(name, name), unwrap(value)):
            raise NotImplementedError(f"the stand-in for {type(self).__name__} lacks the property {name}")

    def _connect(self, signature, function):
        api.check_signal(type(self).__name__, signature)
        slot = _as_slot(function)
        self._slots.append((signature, function, slot))
        if _is_python(type(self._it), signature):
            return getattr(self._it, signature.partition("(")[0]).connect(slot) is not None
        if self._it.metaObject().indexOfSignal(signature) < 0:
            raise NotImplementedError(f"the stand-in for {type(self).__name__} lacks the signal {signature}")
        return bool(QObject.connect(self._it, SIGNAL(signature), slot))

    def _disconnect(self, signature, function):
        match = next((entry for entry in self._slots if entry[:2] == (signature, function)), None)
        if match is None:
            return False
        self._slots.remove(match)
        if _is_python(type(self._it), signature):
            return getattr(self._it, signature.partition("(")[0]).disconnect(match[2])
        return QObject.disconnect(self._it, SIGNAL(signature), match[2])

    def __eq__(self, other):
        return isinstance(other, Proxy) and (self._it is other._it or self._it == other._it)

    def __hash__(self):
        return hash(id(self._it))

    def __or__(self, other):
        return wrap(self._it | unwrap(other))

    def __bool__(self):
        return True

    def __repr__(self):
        return f"<{type(self).__name__}>"


class BoundSignal:
    """``widget.clicked``, which connects, disconnects and is emitted by calling it."""

    def __init__(self, owner, name):
        self._owner, self._name = owner, name

    def _signature(self):
        own = [s for s in api.signals(type(self._owner).__name__) if s.partition("(")[0] == self._name]
        return min(own, key=len) if own else f"{self._name}()"

    def connect(self, function):
        return self._owner._connect(self._signature(), function)

    def disconnect(self, function):
        return self._owner._disconnect(self._signature(), function)

    def __call__(self, *arguments):
        getattr(self._owner._it, self._name).emit(*map(unwrap, arguments))

    emit = __call__


def _is_python(cls, signature):
    """Whether a signal is one that a stand-in declares, whose signature Qt does not know."""
    return any(signature.partition("(")[0] in vars(c) for c in cls.__mro__ if c.__module__.startswith("Harness"))


def _as_slot(function):
    """As PythonQt calls it: with as many arguments as it takes; an exception is printed and goes no further."""
    most = _arity(function)

    def slot(*arguments):
        try:
            function(*[wrap(a) for a in arguments[:most]])
        except BaseException as error:
            errors.append(error)
            traceback.print_exc()
    return slot


def _arity(function):
    if isinstance(function, types.FunctionType | types.MethodType):
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
        if inspect.Parameter.VAR_POSITIONAL not in kinds:
            return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                       for kind in kinds)
    return None


def _is_property(it, name):
    """Of classes that were read without an instance, Slicer's API does not tell properties from other names."""
    cls = next(c.__name__ for c in type(it).__mro__ if api.known(c.__name__))
    return not api.has_instance(cls) and isinstance(it, QObject) and it.metaObject().indexOfProperty(name) >= 0


def _read(it, name):
    if it.metaObject().indexOfProperty(name) < 0 and name not in it.dynamicPropertyNames():
        raise NotImplementedError(f"the stand-in for {type(it).__name__} lacks the property {name}")
    return it.property(name)


def _wrapped_member(class_name, holder, name):
    member = getattr(holder, f"{name}_" if name in ("raise", "print", "exec") else name, None)
    if member is None:
        raise NotImplementedError(f"the stand-in for {class_name} lacks {name}")
    if not callable(member) or isinstance(member, type):
        return member  # an enum value, or the enum
    if name == "setTextAlignment":  # Qt 5 takes a number
        return lambda number: member(QtCore.Qt.AlignmentFlag(number))
    if name in _FIRST_OF:
        return lambda *arguments: member(*map(unwrap, arguments))[0]
    return lambda *arguments: wrap(member(*map(unwrap, arguments)))


def proxy_class(name):
    """The class that Python sees."""
    if name not in _PROXIES:
        side_class(name)
        base = api.base_of(name)
        _PROXIES[name] = _ProxyType(name, (proxy_class(base) if base else Proxy,), {})
    return _PROXIES[name]


def wrap(value):
    """What PythonQt would hand to Python."""
    if isinstance(value, list | tuple):
        return tuple(map(wrap, value))
    if not isinstance(value, QtCore.QObject | QtCore.QSize | QtCore.QPoint | QtCore.QRect | QtCore.QUrl | QtGui.QColor
                      | QtGui.QBrush | QtGui.QFont | QtGui.QIcon | QtGui.QImage | QtGui.QPixmap | QtGui.QKeySequence
                      | QtWidgets.QTableWidgetItem | QtWidgets.QListWidgetItem | QtWidgets.QSizePolicy
                      | QtWidgets.QLayout | QtWidgets.QLayoutItem):
        return value
    known = getattr(value, "_proxy", None)
    if known is not None:
        return known
    name = next((c.__name__ for c in type(value).__mro__ if api.known(c.__name__)), None)
    if name is None:
        return value
    proxy = object.__new__(proxy_class(name))
    proxy._adopt(value)
    return proxy


def unwrap(value):
    """What Qt takes."""
    if isinstance(value, Proxy):
        return value._it
    if isinstance(value, _ProxyType):
        return side_class(value.__name__)
    if isinstance(value, types.FunctionType | types.MethodType):
        return _as_slot(value)
    return [unwrap(v) for v in value] if isinstance(value, list | tuple) else value


def module(name: str) -> types.ModuleType:
    """``qt`` or ``ctk``."""
    found = types.ModuleType(name)

    def attribute(what):
        if what.startswith("__"):
            raise AttributeError(what)
        if not api.known(what) or api.module_of(what) != name:
            raise api.NotInSlicer(f"Slicer's {name}, as kept here, has no {what}")
        return proxy_class(what)

    found.__getattr__ = attribute
    if name == "qt":
        found.Qt = QtCore.Qt
    sys.modules[name] = found
    return found
