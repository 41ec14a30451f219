"""What a phantom is asked to be: typical sizes of every level, and what differs from them.

The sizes are rounded from the literature and interpolated between the levels of the tables: bodies, pedicles and canal
after Panjabi et al. (Spine 1991, 16:861 and 16:888, cervical and thoracic; Spine 1992, 17:299, lumbar), the canal
brought nearer to the dural sac, which is what segmentations of MR outline; the cord after Frostell et al. (Front Neurol
2016, 7:238); disc heights and angles after Frobin et al. (Clin Biomech 1997, 12 Suppl 1) and Been and Kalichman (Spine
J 2014, 14:87).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Segment, segments
from ..errors import InputError


@dataclass(frozen=True)
class VertebraSpec:
    """One vertebra; lengths in mm.

    :param width: of the endplates; :param depth: of the endplates, front to back at the midline.
    :param height_anterior: between the endplates at the front rim, along the body's S axis.
    :param height_posterior: the same at the back rim; a difference is a wedge.
    :param canal_width: of the canal at mid-pedicle; :param canal_depth: front to back.
    :param cord_width: and :param cord_depth: of the cord, where there is cord.
    :param process_reach: from the midline to the tip of the transverse process.
    :param spinous_length: from the back of the canal to the tip.
    :param spinous_slope: how far the tip falls per mm of length.
    :param concavity: depth of each endplate's hollow at its center.
    :param osteophyte: how far the rims stick out at the front.
    :param waist: share by which the body is narrower at mid-height (sides and front; the back wall is straight).
    :param taper: share of width and depth that is lost from top to bottom (the sacrum).
    :param facet_left: and :param facet_right: how far the superior articular process of that side stands in front of
        its usual place, which narrows the foramen above the vertebra and its lateral recess.
    """

    level: Level
    width: float
    depth: float
    height_anterior: float
    height_posterior: float
    canal_width: float
    canal_depth: float
    cord_width: float
    cord_depth: float
    pedicle_width: float
    pedicle_height: float
    process_reach: float
    spinous_length: float
    spinous_slope: float
    concavity: float = 0.8
    osteophyte: float = 0.0
    waist: float = 0.06
    taper: float = 0.0
    facet_left: float = 0.0
    facet_right: float = 0.0


@dataclass(frozen=True)
class Herniation:
    """Disc behind the line of the rims, half an ellipse or a mushroom as seen from above; lengths in mm.

    :param depth: behind the line of the rims; :param base: width at that line.
    :param offset: of its middle from the midline, to the right.
    :param head: greatest width, where that is not the base.
    :param length: from top to bottom; without, it is as high as the disc.
    :param drop: how far its middle lies below the disc plane.
    """

    depth: float
    base: float
    offset: float = 0.0
    head: float | None = None
    length: float | None = None
    drop: float = 0.0


@dataclass(frozen=True)
class JointSpec:
    """What lies between a vertebra and the one below it.

    :param disc_height: mm, about, at the center; :param lordosis: angle between the facing endplates, degrees.
    :param coronal: degrees; positive tilts the upper vertebra to the right (convexity to the left).
    :param rotation: degrees; positive turns the front of the upper vertebra to the left of the lower one's.
    :param slip: of the upper vertebra on the lower one, mm, positive forward; :param lateral_slip: to the right.
    :param narrowing_depth: share of the canal's front-to-back diameter that is lost at the disc.
    :param narrowing_width: the same of its transverse diameter.
    :param narrowing_length: length of canal that is narrowed, mm; nothing is lost at its ends.
    :param cord_compression: share of the cord's front-to-back diameter that is lost at the disc.
    :param bulge: how far the disc reaches behind the line of the rims, mm, unless the canal is in its way.
    :param bulge_around: the same all around, unless the canal is in its way.
    :param herniation: takes the place of canal; the exact sizes of the canal are not known there.
    :param modic: type (1 to 3) of the change in the marrow next to both endplates, in an image; 0 for none.
    :param degeneration: 1 (bright nucleus) to 5 (black disc).
    """

    disc_height: float
    lordosis: float
    coronal: float = 0.0
    rotation: float = 0.0
    slip: float = 0.0
    lateral_slip: float = 0.0
    narrowing_depth: float = 0.0
    narrowing_width: float = 0.0
    narrowing_length: float = 18.0
    cord_compression: float = 0.0
    bulge: float = 0.0
    bulge_around: float = 0.0
    herniation: Herniation | None = None
    modic: int = 0
    degeneration: int = 2


@dataclass(frozen=True, eq=False)
class SpineSpec:
    """A chain of vertebrae.

    :param joints: one fewer than the vertebrae, top to bottom.
    :param fat: how far fat reaches behind the canal, narrowing to the back between the ligaments, mm; in an image it
        hardly stands out from the fluid.
    :param conus: the vertebra at whose lower border the cord ends, where the chain holds it.
    :param pose: (4, 4) rigid; places the whole spine.  Without it the middle vertebra's body is at the RAS origin
        and the spine is upright, on the average of its vertebrae.
    """

    vertebrae: tuple[VertebraSpec, ...]
    joints: tuple[JointSpec, ...]
    conus: Level = Level.L1
    fat: float = 0.0
    pose: NDArray[np.floating] = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        if len(segments(self.levels)) != len(self.levels) - 1 or len(self.joints) != len(self.levels) - 1:
            raise InputError("A phantom needs an unbroken chain of levels below C1, with one joint between neighbors.")
        rotation = self.pose[:3, :3]
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9) or np.linalg.det(rotation) < 0:
            raise InputError("The pose of a phantom must be rigid: a rotation and a translation.")

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(v.level for v in self.vertebrae)

    @property
    def segments(self) -> list[Segment]:
        return segments(self.levels)

    @staticmethod
    def typical(upper: Level = Level.T12, lower: Level = Level.S1, omit: tuple[Level, ...] = (Level.T13, Level.L6),
                ) -> "SpineSpec":
        """A normal spine from one level to another, without the levels that are left out."""
        levels = [level for level in Level if upper <= level <= lower and level not in omit]
        return SpineSpec(tuple(typical_vertebra(v) for v in levels), tuple(typical_joint(v) for v in levels[:-1]))

    def changed(self, joints: Mapping[Level, Mapping[str, Any]] | None = None,
                vertebrae: Mapping[Level, Mapping[str, Any]] | None = None, **others: Any) -> "SpineSpec":
        """A copy in which some vertebrae and some joints (named by the vertebra above) have other values."""
        unknown = {*(joints or {}), *(vertebrae or {})} - set(self.levels)
        if unknown:
            raise InputError(f"The phantom has no {', '.join(map(str, sorted(unknown)))} to change.")
        return replace(
            self,
            vertebrae=tuple(replace(v, **(vertebrae or {}).get(v.level, {})) for v in self.vertebrae),
            joints=tuple(replace(joint, **(joints or {}).get(level, {}))
                         for joint, level in zip(self.joints, self.levels, strict=False)),
            **others)


_VERTEBRA_COLUMNS = ("width", "depth", "height", "wedge", "canal_width", "canal_depth", "cord_width", "cord_depth",
                     "pedicle_width", "pedicle_height", "process_reach", "spinous_length", "spinous_slope")
_VERTEBRAE: dict[Level, tuple[float, ...]] = {
    #          width depth height wedge canal wd  cord wd    pedicle wh  reach spinous slope
    Level.C2: (17.0, 15.5, 17.0, 0.0, 24.0, 17.0, 12.4, 8.2, 7.0, 8.5, 26.0, 20.0, 0.20),
    Level.C3: (16.5, 15.0, 12.0, 0.0, 23.0, 15.0, 12.6, 8.0, 5.6, 7.2, 25.0, 18.0, 0.25),
    Level.C5: (18.0, 16.0, 12.0, 0.0, 24.0, 14.5, 13.4, 7.8, 5.8, 7.0, 26.0, 21.0, 0.30),
    Level.C7: (21.5, 17.0, 13.0, 0.0, 23.5, 14.5, 12.0, 7.4, 6.6, 7.6, 31.0, 32.0, 0.35),
    Level.T1: (25.0, 18.5, 14.5, -1.5, 20.5, 15.0, 10.8, 7.0, 8.0, 9.5, 35.0, 34.0, 0.50),
    Level.T6: (27.5, 26.0, 18.5, -3.5, 16.5, 15.0, 8.6, 6.4, 4.6, 12.0, 30.0, 34.0, 1.10),
    Level.T9: (31.0, 29.5, 20.0, -3.0, 17.0, 15.0, 8.8, 6.6, 6.0, 13.5, 30.0, 32.0, 0.90),
    Level.T12: (39.5, 32.5, 23.5, -2.0, 21.0, 16.0, 9.6, 7.8, 8.0, 15.5, 26.0, 30.0, 0.40),
    Level.L1: (41.5, 33.5, 25.0, -1.0, 21.5, 16.5, 9.2, 7.6, 8.0, 15.5, 36.0, 32.0, 0.25),
    Level.L3: (45.0, 34.5, 26.5, 1.0, 22.5, 16.0, 8.6, 7.0, 9.5, 14.5, 45.0, 34.0, 0.22),
    Level.L5: (48.5, 34.5, 25.0, 8.0, 24.5, 16.0, 8.0, 6.5, 15.0, 14.0, 46.0, 26.0, 0.30),
    Level.S1: (50.0, 32.0, 28.0, 4.0, 26.0, 14.0, 8.0, 6.0, 16.0, 18.0, 46.0, 13.0, 0.30),
}

_JOINT_COLUMNS = ("disc_height", "lordosis")
_JOINTS: dict[Level, tuple[float, float]] = {
    Level.C2: (5.0, 2.0), Level.C5: (5.2, 3.0), Level.C7: (5.2, 1.0), Level.T1: (4.6, -0.5), Level.T5: (4.6, -0.8),
    Level.T10: (5.8, 0.0), Level.T12: (7.8, 1.5), Level.L1: (8.6, 4.0), Level.L2: (9.8, 6.5), Level.L3: (10.8, 8.5),
    Level.L4: (11.4, 11.5), Level.L5: (10.4, 14.0), Level.L6: (10.0, 14.0),
}


def _interpolated(table: Mapping[Level, tuple[float, ...]], columns: tuple[str, ...], level: Level,
                  ) -> dict[str, float]:
    known = sorted(table)
    return {name: float(np.interp(level, known, [table[v][i] for v in known])) for i, name in enumerate(columns)}


def typical_vertebra(level: Level) -> VertebraSpec:
    """A normal vertebra of this level."""
    if level is Level.C1:
        raise InputError("A phantom has no C1: start it at C2 or below.")
    size = _interpolated(_VERTEBRAE, _VERTEBRA_COLUMNS, level)
    height, wedge = size.pop("height"), np.tan(np.radians(size.pop("wedge")) / 2) * size["depth"]
    return VertebraSpec(level, height_anterior=float(height + wedge), height_posterior=float(height - wedge),
                        concavity=0.4 if level <= Level.C7 else 0.9, taper=0.22 if level is Level.S1 else 0.0, **size)


def typical_joint(upper: Level) -> JointSpec:
    """What normally lies below a vertebra."""
    size = _interpolated(_JOINTS, _JOINT_COLUMNS, upper)
    return JointSpec(size["disc_height"], size["lordosis"])
