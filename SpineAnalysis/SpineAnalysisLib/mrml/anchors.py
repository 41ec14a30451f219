"""Vertebrae that people know, as points in the scene: they belong to people, so no analysis removes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..anatomy import Level
from ..errors import InputError
from ..labeling.label import Anchor
from .results import ANALYSIS_ATTRIBUTE, ROLE_ATTRIBUTE, ResultFolder

ANCHORS_ROLE = "anchors"
"""Role of the node that holds them, so that it is found again after a scene was saved and loaded."""


def add_anchors(folder: ResultFolder, anchors: Sequence[Anchor]) -> Any:
    """A point list with one point for each known vertebra, filed with the results but not one of them."""
    node = folder.add("vtkMRMLMarkupsFiducialNode", "Known vertebrae", ANCHORS_ROLE)
    node.RemoveAttribute(ANALYSIS_ATTRIBUTE)
    for anchor in anchors:
        node.AddControlPoint([float(x) for x in anchor.at_RAS], str(anchor.level))
    return node


def anchors_from_node(node: Any | None) -> tuple[Anchor, ...]:
    """The known vertebrae of a point list whose points are labeled with levels; parent transforms count.

    Points that are not placed yet are left out.

    :raises InputError: for a label that is no level.
    """
    if node is None:
        return ()
    found = []
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) != node.PositionDefined:
            continue
        label, at_RAS = node.GetNthControlPointLabel(index).strip(), [0.0, 0.0, 0.0]
        if label.upper() not in Level.__members__:
            raise InputError(f"The point {label or 'without a label'} of {node.GetName()} names no vertebra: label it "
                             "with a level, such as L5.")
        node.GetNthControlPointPositionWorld(index, at_RAS)
        found.append(Anchor(Level[label.upper()], np.array(at_RAS)))
    return tuple(found)


def find_anchors(scene: Any) -> Any | None:
    """The first point list of known vertebrae in a scene."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return next((n for n in nodes if n.GetAttribute(ROLE_ATTRIBUTE) == ANCHORS_ROLE), None)
