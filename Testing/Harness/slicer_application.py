"""The stand-in for Slicer's application layer: what a scripted module needs to be imported, opened and used.

``slicer-core`` brings the scene, the logics and ``slicer.util``; here are Qt as PythonQt offers it (``pythonqt``), the
ctk and qMRML widgets (``widgets``), typed parameter nodes (``parameters``), the application and its managers
(``application``), the views (``views``), and the base classes of scripted modules (``scripted``).
"""

import slicer

from . import application, loader, parameters, pythonqt, scripted, widgets


def install():
    """Make the imports at the top of a module file work, and an application with a scene be there."""
    qt = pythonqt.module("qt")
    qt.QUiLoader = loader.QUiLoader
    pythonqt.module("ctk")
    for name in widgets.node_classes():
        setattr(slicer, name, pythonqt.proxy_class(name))
    for name, members in scripted.modules().items():
        scripted.install_module(name, members)
    scripted.install_module("parameterNodeWrapper", {
        member.__name__: member for member in (parameters.parameterNodeWrapper, parameters.Choice)})
    application.start()
