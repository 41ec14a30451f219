"""What families of bone share: views, flags and graded records."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Segment, Side
from ..geometry.frames import Frame
from ..spine import Spine
from .bone_cutoffs import CUTOFFS
from .canal import COARSE_MM, THICK_MM
from .cutoffs import fitting
from .flags import LEVEL_PROVISIONAL, NEAR_CUTOFF, quality_of
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]


def sagittal(frame: Frame, origin: FloatArray) -> Frame:
    """The plane of A and S, seen from the right."""
    return Frame(origin, frame.anterior, frame.superior, frame.right)


def coronal(frame: Frame, origin: FloatArray) -> Frame:
    """The plane of R and S."""
    return Frame(origin, frame.right, frame.superior, -frame.anterior)


def spine_flags(spine: Spine) -> tuple[str, ...]:
    """Flags that hold for every measurement of bone in a spine."""
    spacing = np.linalg.norm(spine.resolution, axis=0)
    raised = {LEVEL_PROVISIONAL: spine.provisional, "thick_slices": float(spacing.max()) > THICK_MM,
              "coarse_voxels": float(spacing.min()) > COARSE_MM}
    return tuple(flag for flag, on in raised.items() if on)


def graded(key: str, level: Level | Segment | None, value: float, unit: str, uncertainty: float,
           flags: tuple[str, ...], geometry: Geometry, settings: Mapping[str, Any], side: Side | None = None,
           apply_cutoffs: bool = True, scan: str | None = None) -> Measurement:
    """A record with every grade that applies to it."""
    rules = fitting(CUTOFFS, key, level, preferred=settings.get(f"{key}_cutoff")) if apply_cutoffs else ()
    if any(rule.is_near(value, uncertainty) for rule in rules):
        flags = (*flags, NEAR_CUTOFF)
    return Measurement(key, level, value, unit, side, uncertainty, quality_of(flags), flags,
                       tuple(rule.grade(value) for rule in rules), geometry, scan)
