"""Point lists of a scene as help for the built-in engine."""

from typing import Any

import numpy as np
import slicer

from ..segmentation.hints import Hint, hints_from_labels


def hints_from_node(node: Any) -> tuple[Hint, ...]:
    """The points that are placed, where parent transforms put them, by what their labels begin with.

    :param node: ``vtkMRMLMarkupsFiducialNode``; its labels begin with add, split, merge, remove or region.
    :raises InputError: for a label that says something else.
    """
    points = slicer.util.arrayFromMarkupsControlPoints(node, world=True)
    placed = [n for n in range(node.GetNumberOfControlPoints())
              if node.GetNthControlPointPositionStatus(n) == node.PositionDefined]
    return hints_from_labels([(node.GetNthControlPointLabel(n), np.array(points[n])) for n in placed])
