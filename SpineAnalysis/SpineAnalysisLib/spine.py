"""The labeled spine as a model: vertebrae, motion segments, canal and cord, with their geometry."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .anatomy import Level, Segment
from .geometry.curves import Curve
from .geometry.frames import Frame, Plane
from .volume import LabelMap, Volume

Contrast = Literal["T1", "T2", "STIR", "CT"]


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra.

    :param frame: the vertebral frame, its origin at the body's center.
    :param superior_endplate: ``None`` where it is not in view; the normals point to the head.
    :param pedicle_RAS: a point at mid-pedicle height.
    """

    level: Level
    frame: Frame
    superior_endplate: Plane | None
    inferior_endplate: Plane | None
    pedicle_RAS: NDArray[np.floating]
    body_ap_mm: float | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MotionSegment:
    """Two neighboring vertebrae and the disc between them.

    :param disc: the disc plane; :param height_mm: between the facing endplates at its center.
    """

    segment: Segment
    disc: Frame
    height_mm: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Spine:
    """:param labels: everything that is labeled, derived structures included.

    :param image: the scan, on any grid; ``None`` for a segmentation alone.
    :param contrast: of the image, where it is known.
    """

    labels: LabelMap
    vertebrae: tuple[Vertebra, ...]
    segments: tuple[MotionSegment, ...]
    centerline: Curve | None
    image: Volume | None = None
    contrast: Contrast | None = None
    flags: tuple[str, ...] = ()
