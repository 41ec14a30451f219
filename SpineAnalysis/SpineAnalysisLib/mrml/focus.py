"""Looking at one measurement of an analysis: its plane in the views, its geometry alone in the scene."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..geometry.frames import Frame
from ..measurements.record import Measurement
from ..measurements.registry import definitions
from .markups import KEY_ATTRIBUTE, LEVEL_ATTRIBUTE, SIDE_ATTRIBUTE, Drawn, add_measurement, drawn
from .results import ROLE_ATTRIBUTE, ResultFolder, nodes_of, remove_node

_ROLE = "focus"
_AXIAL = 0.7
"""Cosine between a plane's normal and the canal's direction, from which on the plane is a cross-section of it."""


def is_cross_section(plane: Frame, along: Frame) -> bool:
    """Whether a measurement's plane lies across the canal, and so belongs into the axial view."""
    return abs(float(np.dot(plane.superior, along.superior))) > _AXIAL


def show_only(scene: Any, name: str, record: Measurement | None) -> None:
    """Show the geometry of one record and hide all other measurements; ``None`` hides all.

    What has no markup of its own (most normal values) gets one for as long as it is looked at.
    """
    clear(scene, name)
    wanted = None if record is None else _identity(record)
    found = False
    for node in _measurement_nodes(scene, name):
        mine = wanted is not None and _identity_of(node) == wanted
        found = found or mine
        _set_visible(node, mine)
    if record is not None and not found and record.geometry is not None and record.key in definitions():
        folder = ResultFolder.existing(scene, name)
        if folder is not None:
            node = add_measurement(folder, Drawn(record, record.geometry, True), definitions()[record.key], folder.item)
            node.SetAttribute(ROLE_ATTRIBUTE, _ROLE)
            node.SetSaveWithScene(False)
            node.GetDisplayNode().SetSaveWithScene(False)


def show_default(scene: Any, name: str, measurements: Sequence[Measurement]) -> None:
    """Show what an analysis shows by itself: clearly abnormal measurements."""
    clear(scene, name)
    visible = {_identity(what.record) for what in drawn(measurements, definitions()) if what.visible}
    for node in _measurement_nodes(scene, name):
        _set_visible(node, _identity_of(node) in visible)


def clear(scene: Any, name: str) -> None:
    """Remove what was drawn only to be looked at."""
    for node in _nodes(scene, name, _ROLE):
        remove_node(scene, node)


def _identity(record: Measurement) -> tuple[str, str, str]:
    return record.key, "" if record.level is None else str(record.level), record.side or ""


def _identity_of(node: Any) -> tuple[str, ...]:
    return tuple(node.GetAttribute(name) or "" for name in (KEY_ATTRIBUTE, LEVEL_ATTRIBUTE, SIDE_ATTRIBUTE))


def _measurement_nodes(scene: Any, name: str) -> list[Any]:
    return _nodes(scene, name, "measurement")


def _nodes(scene: Any, name: str, role: str) -> list[Any]:
    return [node for node in nodes_of(scene, name, "vtkMRMLMarkupsNode") if node.GetAttribute(ROLE_ATTRIBUTE) == role]


def _set_visible(node: Any, visible: bool) -> None:
    display = node.GetDisplayNode()
    if display is not None and bool(display.GetVisibility()) != visible:
        display.SetVisibility(visible)
