"""Pelvic parameters and the balance of the whole spine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..anatomy import SIDES, Kind, Level
from ..errors import InputError
from ..geometry.frames import Frame, reject
from ..geometry.spheres import largest_ball
from ..progress import Progress, step
from ..spine import Spine, Vertebra
from ..volume import Volume
from .alignment import endplate, sagittal_angle
from .bone import coronal, graded, sagittal, spine_flags
from .flags import quality_of
from .record import Geometry, Measurement
from .registry import Definition, Family, FamilyResult

FloatArray = NDArray[np.floating]

VERTICAL = np.array([0.0, 0.0, 1.0])
"""The scanner's long axis stands for what is vertical."""
ARM_MM = 30.0
PLACE_MM = 0.5
"""Standard uncertainty of where the middle of an endplate, its corner or a body's center is."""

_LEGAYE = "Legaye et al., Eur Spine J 1998;7:99-103"
_SCHWAB = "Schwab et al., Spine 2012;37:1077-1082"
_VIEW = "seen along the axis between the femoral heads (without them, along S1's R axis)"

DEFINITIONS = (
    Definition("sacral_slope", "Sacral slope", "deg", "Angle between S1's superior endplate and the horizontal, "
               f"{_VIEW}.", _LEGAYE, draw=True),
    Definition("pelvic_tilt", "Pelvic tilt", "deg", "Angle between the vertical and the line from the middle of the "
               f"femoral heads to the middle of S1's superior endplate, {_VIEW}; positive where the endplate lies "
               "behind.", _LEGAYE, draw=True),
    Definition("pelvic_incidence", "Pelvic incidence", "deg", "Sacral slope and pelvic tilt together, which no posture "
               "changes: the angle between that line and the normal of S1's superior endplate.", _LEGAYE, draw=True),
    Definition("pi_ll_mismatch", "PI-LL mismatch", "deg", "Pelvic incidence less lumbar lordosis (L1 to S1).",
               _SCHWAB),
    Definition("sagittal_vertical_axis", "Sagittal vertical axis", "mm", "Horizontal distance from the posterior "
               "corner of S1's superior endplate to the plumb line through the center of C7's body; positive to the "
               "front.", _SCHWAB, draw=True),
    Definition("coronal_balance", "Coronal balance", "mm", "Horizontal distance from the vertical through the middle "
               "of S1's superior endplate to the center of C7's body; positive to the patient's right.", draw=True),
)
_UNITS = {d.key: d.unit for d in DEFINITIONS}


@dataclass(frozen=True, eq=False)
class Pelvis:
    """S1's superior endplate between the hips.

    :param frame: upright, at the endplate's middle; its R axis runs along the hips' axis, horizontally.
    :param hips: (3,) RAS midway between the femoral heads; ``None`` where they are not both known.
    :param slope_deg: of the endplate, and :param slope_spread: its standard deviation.
    :param hips_spread: standard deviation of where the hips are, mm.
    """

    frame: Frame
    hips: FloatArray | None
    slope_deg: float
    slope_spread: float
    hips_spread: float

    @property
    def tilt_deg(self) -> float | None:
        if self.hips is None:
            return None
        _, ahead, up = self.frame.to_frame(self.hips)
        return float(np.degrees(np.arctan2(ahead, -up)))

    @property
    def tilt_spread(self) -> float:
        """Degrees."""
        assert self.hips is not None
        arm = float(np.linalg.norm(self.frame.to_frame(self.hips)[1:]))
        return float(np.degrees(np.hypot(self.hips_spread, PLACE_MM) / arm))


def compute(spine: Spine, parameters: Mapping[str, Any], progress: Progress) -> FamilyResult:
    """Measure the pelvis and how the spine stands over it."""
    step(progress, 0.1, "Measuring pelvis and balance")
    sacrum = spine.vertebra(Level.S1)
    plate = endplate(sacrum, "superior") if sacrum is not None else None
    if sacrum is None or plate is None or sacrum.faces is None or sacrum.faces.superior is None:
        return FamilyResult(())
    heads = femoral_heads(spine, parameters)
    flags = (*spine_flags(spine), *sacrum.flags, "supine", "vertical_from_scanner")
    flags = tuple(flag for flag in flags if flag != "pedicle_height_estimated")
    right = heads[0][1] - heads[0][0] if heads is not None else sacrum.frame.right
    frame = Frame.from_axes(sacrum.faces.superior.middle, VERTICAL, np.cross(VERTICAL, reject(right, VERTICAL)))
    normal = plate[0].normal
    slope = float(np.degrees(np.arctan2(normal @ frame.anterior, normal @ frame.superior)))
    pelvis = Pelvis(frame, None if heads is None else heads[0].mean(axis=0), slope, float(plate[1][1]),
                    0.0 if heads is None else heads[1])
    records = [*_pelvic(spine, pelvis, flags, parameters), *_balance(spine, sacrum, pelvis, flags, parameters)]
    step(progress, 1.0, "Pelvis and balance measured")
    return FamilyResult(tuple(records))


def femoral_heads(spine: Spine, parameters: Mapping[str, Any]) -> tuple[FloatArray, float] | None:
    """(2, 3) RAS centers of the left and the right femoral head, and their standard deviation in mm.

    :param parameters: ``femoral_heads_RAS`` has the points that people gave; labels are not looked at then.
    :raises InputError: for points that are not two.
    """
    given = parameters.get("femoral_heads_RAS")
    if given is not None:
        points = np.asarray(given, float)
        if points.shape != (2, 3) or not np.isfinite(points).all():
            raise InputError("The centers of the femoral heads must be two points of three RAS coordinates in mm.")
        return points[np.argsort(points[:, 0])], PLACE_MM
    labels = spine.labels
    balls = []
    for side, _ in SIDES:
        values = [v for v in labels.values(Kind.FEMUR) if labels.structures[v].side == side]
        balls.append(largest_ball(Volume(labels.mask(values), labels.ijk_to_ras)) if values else None)
    left, right = balls
    if left is None or right is None:
        return None
    return np.stack([left.center, right.center]), max(left.deviation, right.deviation)


def _missing(key: str, level: Level | None, flags: tuple[str, ...]) -> Measurement:
    return Measurement(key, level, None, _UNITS[key], None, None, quality_of(flags), flags)


def _pelvic(spine: Spine, pelvis: Pelvis, flags: tuple[str, ...], settings: Mapping[str, Any]
            ) -> Iterator[Measurement]:
    frame = pelvis.frame
    view = sagittal(frame, frame.origin)
    slope = np.radians(pelvis.slope_deg)
    along = np.cos(slope) * frame.anterior - np.sin(slope) * frame.superior
    normal = np.sin(slope) * frame.anterior + np.cos(slope) * frame.superior

    def angle(first: FloatArray, second: FloatArray) -> Geometry:
        return Geometry("angle", frame.origin + np.stack([first, np.zeros(3), second]), view)

    yield graded("sacral_slope", Level.S1, pelvis.slope_deg, "deg", pelvis.slope_spread, flags,
                 angle(ARM_MM * along, ARM_MM * frame.anterior), settings)
    tilt = pelvis.tilt_deg
    if tilt is None or pelvis.hips is None:
        yield _missing("pelvic_incidence", Level.S1, (*flags, "femoral_heads_not_in_view"))
        return
    down = reject(pelvis.hips - frame.origin, frame.right)
    yield graded("pelvic_tilt", Level.S1, tilt, "deg", pelvis.tilt_spread, flags,
                 angle(down, -np.linalg.norm(down) * frame.superior), settings)
    incidence, spread = pelvis.slope_deg + tilt, float(np.hypot(pelvis.slope_spread, pelvis.tilt_spread))
    posture = ("supine", "vertical_from_scanner")
    yield graded("pelvic_incidence", Level.S1, incidence, "deg", spread,
                 (*(flag for flag in flags if flag not in posture), "supine"), angle(down, -ARM_MM * normal), settings)
    upper, lower = (spine.vertebra(level) for level in (Level.L1, Level.S1))
    top = endplate(upper, "superior") if upper is not None else None
    bottom = endplate(lower, "superior") if lower is not None else None
    if top is None or bottom is None:
        yield _missing("pi_ll_mismatch", None, (*flags, "lordosis_not_in_view"))
        return
    lordosis = sagittal_angle(top[0], bottom[0], frame.right)
    spread = float(np.linalg.norm([pelvis.tilt_spread, top[1][1]]))  # the sacral slope is in both, and cancels
    yield graded("pi_ll_mismatch", None, incidence - lordosis, "deg", spread, flags, angle(down, -ARM_MM * normal),
                 settings)


def _balance(spine: Spine, sacrum: Vertebra, pelvis: Pelvis, flags: tuple[str, ...], settings: Mapping[str, Any]
             ) -> Iterator[Measurement]:
    c7 = spine.vertebra(Level.C7)
    assert sacrum.faces is not None and sacrum.faces.superior is not None
    if c7 is None:
        yield _missing("sagittal_vertical_axis", None, (*flags, "c7_not_in_view"))
        return
    frame, spread = pelvis.frame, float(np.hypot(PLACE_MM, PLACE_MM))
    for key, start, axis, view in (
            ("sagittal_vertical_axis", sacrum.faces.superior.corner(-1), frame.anterior, sagittal(frame, frame.origin)),
            ("coronal_balance", frame.origin, frame.right, coronal(frame, frame.origin))):
        value = float((c7.frame.origin - start) @ axis)
        yield graded(key, None, value, "mm", spread, flags, Geometry("line", np.stack([start, start + value * axis]),
                                                                     view.at(start)), settings)


FAMILY = Family("pelvis", "Pelvis and balance", DEFINITIONS, compute,
                {f"{key}_cutoff": f"srs_schwab_2012_{key}" for key in
                 ("pelvic_tilt", "pi_ll_mismatch", "sagittal_vertical_axis")}, order=60, chapter="Align")
