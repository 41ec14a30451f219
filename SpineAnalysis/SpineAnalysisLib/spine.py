"""The labeled spine as a model: vertebrae, motion segments, canal and cord."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .anatomy import CanalMeaning, Level, Segment, Side
from .geometry.curves import Curve
from .geometry.endplates import Surfaces
from .geometry.faces import Faces, Rim
from .geometry.frames import Frame, Plane
from .geometry.sections import Section
from .volume import LabelMap, Volume

FloatArray = NDArray[np.floating]
Contrast = Literal["T1", "T2", "STIR", "CT"]
Alignment = Literal["reference", "same frame", "registered"]
"""How a scan came to lie where the labels are: they were made on it, the scanner's frame is theirs, or it was moved."""

Chances = Mapping[Level, Mapping[Level, float]]
"""Named level -> probability of every level that it is in truth; nothing known of a level that is not in it."""

SHOWN = 0.9
"""A scan shows a place where at least this share of the place's points lies inside it."""


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra.

    :param frame: the vertebral frame, its origin at the body's center.
    :param superior_endplate, inferior_endplate: normals to the head; ``None`` where not in view.
    :param pedicle_RAS: (3,) a point of the body at mid-pedicle height.
    :param canal_s: where the centerline passes that height, mm of arc length.
    :param surfaces: the body's upper and lower surface, where they were followed.
    :param faces: the body's faces and rims, finer than the voxels; ``None`` where no body is labeled.
    :param pedicles: (3,) RAS middle of each pedicle, where it is thinnest; none where no arch is labeled.
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
    pedicles: Mapping[Side, FloatArray] = field(default_factory=dict)

    @property
    def superior_rim(self) -> Rim | None:
        return None if self.faces is None else self.faces.superior

    @property
    def inferior_rim(self) -> Rim | None:
        return None if self.faces is None else self.faces.inferior

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
    :param resolution: (3, 3) columns, RAS steps between what it was labeled on: the labels' voxels, or longer ones
        where the scan is coarser or its slices were interpolated.
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
class LocalMotion:
    """How a scan is moved so that it fits at one place; vertebrae move against one another between scans.

    :param center_RAS: (3,) of the place, where the labels are.
    :param ras_to_ras: (4, 4) rigid, from where the scan lies to where the labels are.
    """

    center_RAS: FloatArray
    ras_to_ras: FloatArray


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan of a visit, lying where the labels are.

    :param name: tells it from the other scans, as in "T2 axial"; says nothing of patient or file.
    :param contrast_guessed: whether the contrast was guessed from the image.
    :param residual_mm: of a registered scan, how far neighboring vertebrae disagree about where it lies; of one in the
        same frame, how far off the best fit lies.
    :param motions: of a registered scan, how to move it further at each vertebra.
    """

    volume: Volume
    name: str
    contrast: Contrast | None = None
    contrast_guessed: bool = False
    alignment: Alignment = "reference"
    residual_mm: float | None = None
    motions: tuple[LocalMotion, ...] = ()

    def values(self, points_RAS: FloatArray) -> FloatArray:
        """Intensities at points (..., 3), linear between the voxels; NaN outside."""
        points = np.asarray(points_RAS, float).reshape(-1, 3)
        if self.motions:
            centers = np.array([motion.center_RAS for motion in self.motions])
            nearest = np.square(points[:, None] - centers).sum(axis=-1).argmin(axis=-1)
            back = np.linalg.inv(np.array([motion.ras_to_ras for motion in self.motions]))[nearest]
            points = np.einsum("nij,nj->ni", back[:, :3, :3], points) + back[:, :3, 3]
        values = map_coordinates(self.volume.array, self.volume.to_ijk(points).T, np.float32, order=1, mode="constant",
                                 cval=np.nan, prefilter=False)
        return np.asarray(values).reshape(np.shape(points_RAS)[:-1])

    def near(self, point_RAS: FloatArray) -> "Scan":
        """The scan as it lies at a point: intensities around there are those of ``volume``."""
        if not self.motions:
            return self
        nearest = min(self.motions, key=lambda m: float(np.linalg.norm(m.center_RAS - point_RAS)))
        return replace(self, volume=self.volume.transformed(nearest.ras_to_ras), motions=())

    def shows(self, points_RAS: FloatArray) -> float:
        """Share of points (N, 3) that lie between the centers of the outermost voxels (of a single slice: in it)."""
        ijk = self.volume.to_ijk(points_RAS)
        last = np.array(self.volume.shape) - 1.0
        margin = np.where(last == 0.0, 0.5, 1e-6)
        return float(((ijk >= -margin) & (ijk <= last + margin)).all(axis=-1).mean())

    def blur_mm(self, normal: FloatArray) -> float:
        """How coarsely the scan shows a plane: root mean square extent of its voxels in the plane."""
        steps = self.volume.ijk_to_ras[:3, :3]
        along = np.asarray(normal, float) @ steps
        return float(np.sqrt((np.square(steps).sum() - np.square(along).sum()) / 2.0))


@dataclass(frozen=True, eq=False)
class VisitScan:
    """One more scan of a visit, as it was read, wherever it lies.

    :param frame: identifies the scanner's coordinate system; empty where the file does not tell.
    :param labels: a segmentation of this scan, where there is one: its levels tell where to begin.
    :param optional: whether it may be left out (with a note) where it does not fit, as it was not asked for by name.
    """

    volume: Volume
    contrast: Contrast | None = None
    frame: str = ""
    labels: LabelMap | None = None
    optional: bool = False


@dataclass(frozen=True, eq=False)
class Spine:
    """The whole.

    :param labels: everything that is labeled, derived structures included.
    :param vertebrae, segments: from head to foot.
    :param centerline: of the canal (or of the cord, without one), from head to foot.
    :param image: the scan that was segmented, on any grid; ``None`` for a segmentation alone.
    :param contrast: of the image, where it is known.
    :param contrast_guessed: whether it was guessed from the image.
    :param further: the visit's other scans.
    :param provisional: whether the levels' names are uncertain.
    :param chances: of the levels' names; ``None`` where they were given, and not worked out.
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
    further: tuple[Scan, ...] = ()
    chances: Chances | None = None

    def __repr__(self) -> str:
        scans = ", ".join(scan.name for scan in self.scans) or "no scan"
        return f"<Spine {self.vertebrae[0].level} to {self.vertebrae[-1].level} on {scans}>"

    @cached_property
    def scans(self) -> tuple[Scan, ...]:
        """All scans, the one that was segmented first."""
        if self.image is None:
            return self.further
        named = Scan(self.image, scan_name(self.image, self.contrast), self.contrast, self.contrast_guessed)
        return (named, *self.further)

    def scan(self, contrast: Contrast | Iterable[Contrast], at: FloatArray | None = None,
             plane_normal: FloatArray | None = None) -> Scan | None:
        """The scan to read a signal from.

        :param contrast: one, or several that will do.
        :param at: (N, 3) RAS of the place; only scans that show it count, and the scan comes as it lies there.
        :param plane_normal: (3,) of the plane to look at; without, the sagittal plane.
        :return: of those that show most of the spine (or the place), the sharpest in that plane, of equals the first;
            one that had to be registered only where no other shows as much.
        """
        wanted = {contrast} if isinstance(contrast, str) else set(contrast)
        found = [scan for scan in self.scans if scan.contrast in wanted]
        normal = plane_normal if plane_normal is not None else self._right
        if at is not None:
            place = np.atleast_2d(at)
            here = [scan.near(place.mean(axis=0)) for scan in found]
            return min((scan for scan in here if scan.shows(place) >= SHOWN),
                       key=lambda scan: (scan.alignment == "registered", scan.blur_mm(normal)), default=None)
        centers = np.array([v.frame.origin for v in self.vertebrae])
        return min(found, key=lambda scan: (-round(10 * scan.shows(centers)), scan.alignment == "registered",
                                            scan.blur_mm(normal)), default=None)

    @property
    def resolution(self) -> FloatArray:
        """(3, 3) columns, RAS steps between what the labels were drawn on, as of its tubes."""
        tube = self.canal or self.cord
        return tube.resolution if tube is not None else self.labels.ijk_to_ras[:3, :3]

    @cached_property
    def _right(self) -> FloatArray:
        mean = np.sum([v.frame.right for v in self.vertebrae], axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    @property
    def canal_meaning(self) -> CanalMeaning:
        """What the canal's outline follows."""
        return self.canal.meaning if self.canal is not None else ""

    def vertebra(self, level: Level) -> Vertebra | None:
        return next((v for v in self.vertebrae if v.level == level), None)

    def anterior(self, s: FloatArray | float) -> FloatArray:
        """(..., 3) the A direction along the centerline, between the vertebrae's own A axes."""
        return interpolate_directions(np.asarray(s, float), self.vertebrae, self.centerline)


_SLICE_DIRECTIONS = ("sagittal", "coronal", "axial")


def scan_name(volume: Volume, contrast: Contrast | None) -> str:
    """Contrast and the direction of the slices, where slices are clearly thicker than their pixels."""
    order = np.argsort(volume.spacing)
    thick = volume.spacing[order[2]] > 1.5 * volume.spacing[order[1]]
    normal = np.abs(np.cross(*volume.ijk_to_ras[:3, order[:2]].T))
    return " ".join([contrast or "scan", *([_SLICE_DIRECTIONS[int(normal.argmax())]] if thick else [])])


def interpolate_directions(s: FloatArray, vertebrae: tuple[Vertebra, ...], centerline: Curve) -> FloatArray:
    """(..., 3) vertebral A axes interpolated at arc lengths of a centerline."""
    at = centerline.project(np.array([v.frame.origin for v in vertebrae]))
    axes = np.array([v.frame.anterior for v in vertebrae])
    order = np.argsort(at)
    mixed = np.stack([np.interp(s, at[order], axes[order, axis]) for axis in range(3)], axis=-1)
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
