"""Discs: height, wedge and volume, from the facing endplates."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..geometry.frames import unit
from ..progress import Progress, step
from ..spine import Spine
from .alignment import sagittal_angle
from .bone import graded, sagittal, spine_flags
from .disc_space import DiscSpace, disc_label, disc_spaces
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import HEIGHT, PARTS, SOFT_HU, VOLUME, Coding, Definition, Family, FamilyResult

PLACES = ("anterior", "middle", "posterior")
VOLUME_SHARE = 0.1
"""Standard uncertainty of where a disc's outline runs, in voxels, the same way all around."""
ARM_MM = 25.0


def _definitions() -> Iterator[Definition]:
    for place in PLACES:
        where = "center, hollows included" if place == "middle" else f"{place} rims"
        yield Definition(f"disc_height_{place}", f"Disc height, {place}", "mm", "Distance between the facing endplates "
                         f"at their {where}, along the disc plane's normal.",
                         coding=Coding(HEIGHT, part=PARTS[place]), draw=True)
    yield Definition("disc_height_index", "Disc height index", "1", "Mean of the three disc heights over the mean AP "
                     "depth of the facing endplates.", "Frobin et al., Clin Biomech 1997;12(Suppl 1):S1-S63",
                     decimals=2)
    yield Definition("disc_wedge_angle", "Disc angle", "deg", "Sagittal angle between the facing endplates; lordosis "
                     "is positive.", draw=True)
    yield Definition("disc_volume", "Disc volume", "mm3", "Volume of the disc's label.", coding=VOLUME, decimals=0)


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure every disc space in view."""
    step(progress, 0.1, "Measuring discs")
    common = spine_flags(spine)
    records: list[Measurement] = []
    for motion, space in disc_spaces(spine):
        flags = common + (motion.flags if space is None else space.flags)
        if space is None:
            flags = (*flags, "rims_not_known")
            records.append(Measurement("disc_height_middle", motion.segment, None, "mm", None, None,
                                       quality_of(flags), flags))
            continue
        records += _heights(space, flags, parameters)
        records.append(_wedge(space, flags, parameters))
        records += _volume(spine, space, flags, parameters)
    step(progress, 1.0, "Discs measured")
    return FamilyResult(tuple(records))


def _line(space: DiscSpace, sign: int) -> Geometry:
    ends = space.ends(np.array([0.0, sign * space.half[1]])) if sign else np.stack(
        [space.above.middle, space.below.middle])
    return Geometry("line", ends, sagittal(space.frame, space.frame.origin))


def _heights(space: DiscSpace, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Iterator[Measurement]:
    segment = space.motion.segment
    for place, sign, height, spread in zip(PLACES, (1, 0, -1), space.heights, space.deviations, strict=True):
        yield graded(f"disc_height_{place}", segment, float(height), "mm", float(spread), flags, _line(space, sign),
                     settings)
    depth = 2.0 * float(space.half[1])
    index = float(space.heights.mean()) / depth
    walls = np.hypot(np.linalg.norm(space.above.deviations[2:]), np.linalg.norm(space.below.deviations[2:])) / 2.0
    spread = float(np.hypot(space.deviations.mean(), index * walls)) / depth  # the three err together
    yield graded("disc_height_index", segment, index, "1", spread, flags, _line(space, 0), settings)


def _wedge(space: DiscSpace, flags: tuple[str, ...], settings: Mapping[str, Any]) -> Measurement:
    above, below, frame = space.above.plane, space.below.plane, space.frame
    angle = sagittal_angle(above, below, frame.right)
    spread = float(np.degrees(np.hypot(space.above.tilt_deviation[1], space.below.tilt_deviation[1])))
    arms = np.stack([unit(np.cross(plane.normal, frame.right)) for plane in (above, below)])
    points = np.stack([frame.origin + ARM_MM * arms[0], frame.origin, frame.origin + ARM_MM * arms[1]])
    return graded("disc_wedge_angle", space.motion.segment, angle, "deg", spread, flags,
                  Geometry("angle", points, sagittal(frame, frame.origin)), settings)


def _volume(spine: Spine, space: DiscSpace, flags: tuple[str, ...], settings: Mapping[str, Any]
            ) -> Iterator[Measurement]:
    found = disc_label(spine, space.motion, space.frame)
    if found is None:
        return
    mask, derived = found
    value = float(mask.array.sum()) * mask.voxel_volume
    a, b = space.half
    surface = 2.0 * np.pi * float(a * b) + np.pi * float(a + b) * float(space.heights.mean())
    center = Geometry("point", space.frame.origin[None], sagittal(space.frame, space.frame.origin))
    yield graded("disc_volume", space.motion.segment, value, "mm3", VOLUME_SHARE * surface * mask.voxel_volume**(1 / 3),
                 (*flags, "disc_derived") if derived else flags, center, settings)


FAMILY = Family("disc", "Discs", tuple(_definitions()), compute,
                order=20, chapter="Disc", window_HU=SOFT_HU)
