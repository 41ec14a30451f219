"""Curves of a spine in the coronal plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.frames import Frame, Plane
from ..spine import Vertebra

FloatArray = NDArray[np.floating]

LEAST_DEG = 5.0
"""Curves flatter than this are not told from noise."""
LEAST_VERTEBRAE = 3
ALIKE_DEG = 0.8
"""Of end vertebrae whose angles differ by less, as those of parallel endplates, the farthest from the apex count."""


@dataclass(frozen=True, eq=False)
class CoronalCurve:
    """One coronal curve.

    :param vertebrae: from the upper to the lower end vertebra.
    :param frame: its R and S axes span the coronal plane.
    :param apex: the vertebra farthest from the line between the end vertebrae's centers.
    :param foot_RAS: (3,) the point of that line beside it.
    :param deviation: mm; positive to the right.
    """

    vertebrae: Sequence[Vertebra]
    frame: Frame
    angle_deg: float
    apex: Vertebra
    foot_RAS: FloatArray
    deviation: float


def coronal_frame(vertebrae: Sequence[Vertebra]) -> Frame:
    """The spine's own frame: the mean of its vertebrae's."""
    axes = np.sum([v.frame.axes for v in vertebrae], axis=0)
    return Frame.from_axes(np.mean([v.frame.origin for v in vertebrae], axis=0), axes[2], axes[1])


def coronal_tilt(plane: Plane, frame: Frame) -> float:
    """Degrees by which an endplate's normal leans to the right."""
    return float(np.degrees(np.arctan2(plane.normal @ frame.right, plane.normal @ frame.superior)))


def coronal_curves(vertebrae: Sequence[Vertebra]) -> list[CoronalCurve]:
    """All curves, from head to foot: the greatest first found, then those above and below it, which bend back."""
    if len(vertebrae) < LEAST_VERTEBRAE:
        return []
    frame = coronal_frame(vertebrae)
    tops = np.array([_tilt(v.superior_endplate, frame) for v in vertebrae])
    bottoms = np.array([_tilt(v.inferior_endplate, frame) for v in vertebrae])
    ends = _ends(tops, bottoms, 0, len(vertebrae), 0.0)
    return [_curve(vertebrae[i:j + 1], frame, float(tops[i] - bottoms[j])) for i, j in sorted(ends)]


def _tilt(plane: Plane | None, frame: Frame) -> float:
    return float("nan") if plane is None else coronal_tilt(plane, frame)


def _ends(tops: FloatArray, bottoms: FloatArray, start: int, stop: int, sense: float) -> list[tuple[int, int]]:
    """First and last vertebra of every curve within a stretch.

    :param sense: 1 or -1: only curves that bend this way; 0: either.
    """
    found = [(abs(tops[i] - bottoms[j]), i, j) for i in range(start, stop) for j in range(i + LEAST_VERTEBRAE - 1, stop)
             if abs(tops[i] - bottoms[j]) >= LEAST_DEG and (tops[i] - bottoms[j]) * sense >= 0.0]
    if not found:
        return []
    alike = [(j - i, angle, i, j) for angle, i, j in found if angle > max(found)[0] - ALIKE_DEG]
    *_, i, j = max(alike)
    back = -float(np.sign(tops[i] - bottoms[j]))
    return [*_ends(tops, bottoms, start, i + 1, back), (i, j), *_ends(tops, bottoms, j, stop, back)]


def _curve(vertebrae: Sequence[Vertebra], frame: Frame, bend_deg: float) -> CoronalCurve:
    """A curve whose upper end leans by some degrees more to the right than its lower end."""
    place = frame.to_frame(np.array([v.frame.origin for v in vertebrae]))
    share = (place[:, 2] - place[0, 2]) / (place[-1, 2] - place[0, 2])
    feet = place[0] + share[:, None] * (place[-1] - place[0])
    aside = place[:, 0] - feet[:, 0]
    apex = int(np.argmax(-np.sign(bend_deg) * aside))
    return CoronalCurve(vertebrae, frame, abs(bend_deg), vertebrae[apex], frame.to_ras(feet[apex]), float(aside[apex]))
