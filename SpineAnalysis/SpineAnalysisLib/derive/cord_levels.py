"""Levels from a cord that is labeled by the vertebrae beside it."""

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Kind
from ..geometry.curves import Curve
from ..geometry.frames import Frame, Plane
from ..spine import Vertebra
from ..volume import LabelMap
from .bodies import transported

FloatArray = NDArray[np.floating]

FLAGS = ("vertebra_from_cord_label", "orientation_from_scanner")


def cord_level_vertebrae(labels: LabelMap, centerline: Curve) -> tuple[Vertebra, ...]:
    """Stand-ins for vertebrae at the middle of each piece of a labeled cord.

    Their endplates are where one piece ends and the next begins (the middle of the disc).  Nothing of the bone is
    known, so forward is the scanner's.
    """
    pieces = {}
    for value in labels.values(Kind.CORD):
        level = labels.structures[value].level
        index = np.argwhere(labels.array == value)
        if level is not None and len(index):
            pieces[level] = np.quantile(centerline.project(labels.to_ras(index)), (0.02, 0.98))
    levels = sorted(pieces)
    forward = transported(centerline, np.array([0.0, 1.0, 0.0]))
    out = []
    for i, level in enumerate(levels):
        start, end = pieces[level]
        above = (start + pieces[levels[i - 1]][1]) / 2.0 if i > 0 else None
        below = (end + pieces[levels[i + 1]][0]) / 2.0 if i + 1 < len(levels) else None
        middle = ((above if above is not None else start) + (below if below is not None else end)) / 2.0
        out.append(Vertebra(level, _frame(centerline, forward, middle), _border(centerline, above),
                            _border(centerline, below), centerline.position(middle), float(middle), None, FLAGS))
    return tuple(out)


def _frame(centerline: Curve, forward: FloatArray, s: float) -> Frame:
    nearest = int(np.abs(centerline.arc_length - s).argmin())
    return Frame.from_axes(centerline.position(s), -centerline.tangent(s), forward[nearest])


def _border(centerline: Curve, s: float | None) -> Plane | None:
    return None if s is None else Plane(centerline.position(s), -centerline.tangent(s))
