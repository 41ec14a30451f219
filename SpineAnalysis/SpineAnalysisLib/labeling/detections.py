"""Vertebrae that were found in a scan and have no name yet, in the order of the spine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level
from ..errors import InputError
from .dens import Tall
from .lowest import Looks
from .traits import Seen

FloatArray = NDArray[np.floating]

MIN_DISTANCE_MM, MAX_DISTANCE_MM = 8.0, 70.0
"""Between neighboring vertebrae of anybody, also where one was missed."""
_SIDE_BY_SIDE_MM = 35.0
MAX_TILT_DEG = 65.0
_APART, _HARDLY = 5.0, 0.5
"""Distance in usual ones beyond which detections are another group, and the confidence below which that is no spine."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One vertebra as a detector, a segmentation or a click gives it.

    :param center_RAS: (3,) center of the body.
    :param region_probabilities: (3,) cervical, thoracic, lumbar; ``None`` where nothing tells.
    :param pedicles_RAS: (2, 3) centers of the left and the right pedicle.
    :param could_be: levels that its shape allows, such as S1 for a sacrum; ``None`` allows all.
    :param named: what the segmentation calls it, which may be wrong.
    :param confidence: probability that it is a vertebra of its own at all, below 1.
    :param looks: of the lowest body, where they are seen.
    :param tall: how tall the highest body is, where that is seen.
    :param ring: how deep the highest vertebra is in front of its canal, in the next one's depth, where that is seen.
    :param traits: what else was measured of it, by name (``appearance``).
    """

    center_RAS: FloatArray
    region_probabilities: FloatArray | None = None
    pedicles_RAS: FloatArray | None = None
    could_be: frozenset[Level] | None = None
    named: Level | None = None
    confidence: float = 0.99
    looks: Looks | None = None
    tall: Tall | None = None
    ring: float | None = None
    traits: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def pedicle_distance(self) -> float:
        """mm; NaN without pedicles."""
        return float("nan") if self.pedicles_RAS is None else float(np.linalg.norm(np.diff(self.pedicles_RAS, axis=0)))


def from_head_to_foot(detections: Sequence[Detection]) -> list[int]:
    """Indices in the order of the spine, following its curve.

    :raises InputError: for what cannot be one person's spine in patient space.
    """
    if len(detections) < 2:
        raise InputError(f"{'Only one vertebra' if detections else 'No vertebra'} was found; at least two are needed "
                         "to tell levels: use a scan that shows more of the spine.")
    centers = np.array([d.center_RAS for d in detections], float)
    if centers.shape != (len(detections), 3) or not np.isfinite(centers).all():
        raise InputError("The centers of the vertebrae must be finite RAS positions; check the file that they "
                         "come from.")
    order = _along(centers)
    _check_distances(centers[order])
    _check_frame([detections[i] for i in order])
    return order


def far_away(detections: Sequence[Detection], order: Sequence[int]) -> frozenset[int]:
    """Indices of detections that are no part of the spine: groups apart from the largest that are hardly vertebrae.

    :param order: from head to foot.
    """
    centers = np.array([detections[i].center_RAS for i in order], float)
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    groups = np.split(np.array(order), np.flatnonzero(steps > _APART * np.median(steps)) + 1)
    largest = max(groups, key=len)
    return frozenset(int(i) for group in groups if group is not largest
                     and np.mean([detections[i].confidence for i in group]) < _HARDLY for i in group)


def _along(centers: FloatArray) -> list[int]:
    """Along the longest direction, then neighbors swapped while that makes the way shorter."""
    offsets = centers - centers.mean(axis=0)
    axis = np.linalg.svd(offsets, full_matrices=False)[2][0]
    if axis[2] > 0:
        axis = -axis
    if axis[2] > -np.cos(np.radians(MAX_TILT_DEG)):
        raise InputError("The vertebrae do not follow the patient's long axis: check that their positions are RAS "
                         "millimeters of the scan.")
    order = [int(i) for i in np.argsort(offsets @ axis)]
    for i in range(1, len(order) - 2):
        a, b, c, d = centers[order[i - 1:i + 3]]
        if np.linalg.norm(c - a) + np.linalg.norm(d - b) < np.linalg.norm(b - a) + np.linalg.norm(d - c):
            order[i], order[i + 1] = order[i + 1], order[i]
    return order


def _check_distances(centers: FloatArray) -> None:
    steps = np.diff(centers, axis=0)
    beside = np.linalg.norm(steps[:, :2], axis=1)
    if np.count_nonzero(beside > np.maximum(_SIDE_BY_SIDE_MM, np.abs(steps[:, 2]))) > max(1, len(steps) // 3):
        raise InputError("The vertebrae lie side by side, as of two spines: pass one person's spine at a time.")
    typical = float(np.median(np.linalg.norm(steps, axis=1)))
    if not MIN_DISTANCE_MM <= typical <= MAX_DISTANCE_MM:
        raise InputError(f"Neighboring vertebrae lie {typical:.1f} mm apart, which no spine's do: check that the "
                         "positions are millimeters, not voxels.")


def _check_frame(detections: Sequence[Detection]) -> None:
    """Whether pedicles lie behind the bodies, left ones on the left, and the neck above the loins.

    :raises InputError: where they do not.
    """
    pedicles = [(d.center_RAS, d.pedicles_RAS) for d in detections if d.pedicles_RAS is not None]
    if len(pedicles) >= 2:
        behind = float(np.median([np.mean(pair, axis=0)[1] - center[1] for center, pair in pedicles]))
        right = float(np.median([pair[1, 0] - pair[0, 0] for _, pair in pedicles]))
        if behind > 0 and right < 0:
            raise InputError("The pedicles lie in front of the bodies and on the wrong sides, as LPS positions do: "
                             "turn them into RAS first.")
        if behind > 0 or right < 0:
            raise InputError("The pedicles lie in front of the bodies or on the wrong sides: the scan is mirrored or "
                             "upside down; correct its orientation.")
    if len(detections) > 2 and detections[0].could_be == frozenset({Level.S1}):
        raise InputError("The sacrum lies above the other vertebrae: the scan is upside down; correct its orientation.")
    told = [d.region_probabilities for d in detections if d.region_probabilities is not None]
    if len(told) >= 3:
        down = np.array([np.dot(p, (0, 1, 2)) for p in told])
        if np.ptp(down) > 0.5 and np.corrcoef(np.arange(len(down)), down)[0, 1] < -0.5:
            raise InputError("The neck's end of the spine points to the feet: the scan is upside down; correct its "
                             "orientation.")
