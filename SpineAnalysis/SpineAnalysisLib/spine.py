"""The labeled spine as a model: vertebrae, motion segments, canal and cord."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .anatomy import CanalMeaning, Level, Segment
from .geometry.curves import Curve
from .geometry.endplates import Surfaces
from .geometry.faces import Faces
from .geometry.frames import Frame, Plane
from .geometry.sections import Section
from .volume import LabelMap, Volume

FloatArray = NDArray[np.floating]
Contrast = Literal["T1", "T2", "STIR", "CT"]


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra.

    :param frame: the vertebral frame, its origin at the body's center.
    :param superior_endplate, inferior_endplate: normals to the head; ``None`` where not in view.
    :param pedicle_RAS: (3,) a point of the body at mid-pedicle height.
    :param canal_s: where the centerline passes that height, mm of arc length.
    :param surfaces: the body's upper and lower surface, where they were followed.
    :param faces: the body's faces and rims, finer than the voxels; ``None`` where no body is labeled.
    """

    level: Level
    frame: Frame
    superior_endplate: Plane | None
    inferior_endplate: Plane | None
    pedicle_RAS: FloatArray
    canal_s: float | None
    surfaces: Surfaces | None = None
    flags: tuple[str, ...] = ()
    faces: Faces | None = None

    @property
    def body_ap_mm(self) -> float | None:
        """AP extent of the body at mid-height."""
        depth = self.surfaces.depth if self.surfaces is not None else float("nan")
        return depth if np.isfinite(depth) else None


@dataclass(frozen=True, eq=False)
class MotionSegment:
    """Two neighboring vertebrae and the disc between them.

    :param disc: the disc plane (R and A), in the middle between the facing endplates.
    :param height_mm: between the facing endplates at their centers.
    :param canal_s: where the centerline passes the disc plane, mm of arc length.
    """

    segment: Segment
    disc: Frame
    height_mm: float
    canal_s: float | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tube:
    """Canal or cord, in cross-sections along the spine's centerline.

    :param meaning: what its outline follows, where that is known; of no meaning for the cord.
    :param s: (N,) arc lengths of the sections.
    :param sections: N; ``None`` where there is nothing.
    :param resolution: (3, 3) columns, RAS steps between the voxels it was labeled on.
    """

    s: FloatArray
    sections: tuple[Section | None, ...]
    resolution: FloatArray
    meaning: CanalMeaning = ""
    derived: bool = False

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        return np.array([section is not None and section.complete for section in self.sections])

    def _values(self, value_of: "dict[int, float]") -> FloatArray:
        return np.array([value_of.get(i, np.nan) for i in range(len(self.s))])

    @cached_property
    def area(self) -> FloatArray:
        """(N,) mm2, NaN where the section is missing or incomplete."""
        return self._values({i: x.area for i, x in enumerate(self.sections) if x is not None and x.complete})

    @cached_property
    def ap_diameter(self) -> FloatArray:
        """(N,) mm."""
        return self._values({i: float(np.linalg.norm(np.diff(x.ap_line, axis=0)))
                             for i, x in enumerate(self.sections) if x is not None and x.complete})

    @cached_property
    def transverse_diameter(self) -> FloatArray:
        """(N,) mm."""
        return self._values({i: float(np.linalg.norm(np.diff(x.transverse_line, axis=0)))
                             for i, x in enumerate(self.sections) if x is not None and x.complete})

    def nearest(self, s: float) -> int:
        """Index of the section nearest to an arc length."""
        return int(np.abs(self.s - s).argmin())


@dataclass(frozen=True, eq=False)
class Spine:
    """The whole.

    :param labels: everything that is labeled, derived structures included.
    :param vertebrae, segments: from head to foot.
    :param centerline: of the canal (or of the cord, without one), from head to foot.
    :param image: the scan, on any grid; ``None`` for a segmentation alone.
    :param contrast: of the image, where it is known.
    :param contrast_guessed: whether it was guessed from the image.
    :param provisional: whether the levels' names are uncertain.
    """

    labels: LabelMap
    vertebrae: tuple[Vertebra, ...]
    segments: tuple[MotionSegment, ...]
    centerline: Curve
    canal: Tube | None
    cord: Tube | None
    image: Volume | None = None
    contrast: Contrast | None = None
    contrast_guessed: bool = False
    provisional: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def canal_meaning(self) -> CanalMeaning:
        """What the canal's outline follows."""
        return self.canal.meaning if self.canal is not None else ""

    def vertebra(self, level: Level) -> Vertebra | None:
        return next((v for v in self.vertebrae if v.level == level), None)

    def anterior(self, s: FloatArray | float) -> FloatArray:
        """(..., 3) the A direction along the centerline, between the vertebrae's own A axes."""
        return interpolate_directions(np.asarray(s, float), self.vertebrae, self.centerline)


def interpolate_directions(s: FloatArray, vertebrae: tuple[Vertebra, ...], centerline: Curve) -> FloatArray:
    """(..., 3) vertebral A axes interpolated at arc lengths of a centerline."""
    at = centerline.project(np.array([v.frame.origin for v in vertebrae]))
    axes = np.array([v.frame.anterior for v in vertebrae])
    order = np.argsort(at)
    mixed = np.stack([np.interp(s, at[order], axes[order, axis]) for axis in range(3)], axis=-1)
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
