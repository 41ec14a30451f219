"""The scans of a visit, each brought to where the labels are, or refused."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from ..anatomy import Kind
from ..contrast import guess_contrast
from ..errors import InputError
from ..progress import Progress, silent, step
from ..spine import Contrast, LocalMotion, Scan, Spine, Vertebra, VisitScan, scan_name
from ..volume import LabelMap, Volume
from .rigid import Fit, displacement, fit, of_points, shifted
from .similarity import MIN_POINTS, Moving, Sample, coarsened

FloatArray = NDArray[np.floating]

MOST_SCANS = 32
AROUND_MM = 10.0
"""So far around the labels, scans have to agree: discs, ligaments and fat next to bone tell more than bone alone."""
_THINNED_MM = 1.5
_POINTS, _FEW_POINTS = 6_000, 2_500
_FEW_ROUNDS = 3
_LOCAL_SHOWN = 0.6
"""A vertebra is registered by itself where the scan shows this share of its surroundings (sagittal scans leave out the
ends of transverse processes)."""

LEAST_LOCAL = 0.5
"""A vertebra whose fit agrees less than this share of the usual lies where one of the scans shows little but noise."""

# The limits lie between what one subject's scans of three days, three contrasts and three scanners reached (at least
# 1.4, at most 1.1 mm) and what 25 other people's scans did when they were taken for that subject's.  Single blocks of
# slices reached at least 0.059 within 1.6 mm.
UNIQUE = 1.25
"""The best fit must agree better by this factor than one a vertebra away, or it could as well be that."""
MOST_RESIDUAL_MM = 2.0
"""Neighboring vertebrae that disagree by more about where the scan lies are not those of the reference."""
LEAST_AGREEMENT, MOST_MOVED_MM = 0.04, 5.0
"""A scan that shows no two vertebrae to be compared has to agree by so much, so near to where its frame puts it."""
AS_IS_MM = 1.5
"""A scan in the scanner's frame is used as it is where the best fit is not farther off than this (across its slices:
half a slice), which is about what chemical shift and the fit's own error make."""


Segmenter = Callable[[Volume, Contrast | None], LabelMap | None]
"""A scan's labels, or ``None`` where it cannot be segmented."""


@dataclass(frozen=True, eq=False)
class _Reference:
    """What every scan is compared with."""

    spine: Spine
    scan: Volume
    points: FloatArray
    pitch: FloatArray
    """(3,) from one vertebra to the next below, on average."""

    @cached_property
    def samples(self) -> tuple[tuple[Vertebra, Sample], ...]:
        """Every vertebra with the points that lie nearest to it."""
        centers = np.array([v.frame.origin for v in self.spine.vertebrae])
        nearest = np.square(self.points[:, None] - centers).sum(axis=-1).argmin(axis=-1)
        return tuple((v, Sample.of(self.scan, self.points[nearest == i], _POINTS))
                     for i, v in enumerate(self.spine.vertebrae))

    @staticmethod
    def of(spine: Spine, image: Volume) -> "_Reference":
        centers = np.array([v.frame.origin for v in spine.vertebrae])
        scan = coarsened(image, _THINNED_MM)
        return _Reference(spine, scan, _points_near(scan, spine.labels), np.diff(centers, axis=0).mean(axis=0))


def align(spine: Spine, scans: Sequence[VisitScan], frame: str = "", segment: Segmenter | None = None,
          progress: Progress = silent) -> Spine:
    """The spine with all scans of its visit.

    A scan in the scanner's frame of the reference (or of a scan that was aligned before) is used as it is where a
    registration finds nothing better nearby; another is registered rigidly, then once more at every vertebra.

    :param frame: of the scan that was segmented.
    :param segment: labels a scan that is not found where it lies, so that its vertebrae tell where to begin.
    :raises InputError: for a scan that does not fit, or came twice.
    :raises Cancelled: by ``progress``.
    """
    if not scans:
        return spine
    if spine.image is None:
        raise InputError("Further scans need the scan that was segmented; pass that one as the image.")
    if len(scans) > MOST_SCANS:
        raise InputError(f"There are {len(scans)} further scans, more than a visit has; pass at most {MOST_SCANS}.")
    _refuse_twins([spine.image, *(scan.volume for scan in scans)])
    reference = _Reference.of(spine, spine.image)
    known: list[tuple[str, FloatArray]] = [(frame, np.eye(4))]
    aligned: dict[int, Scan] = {}
    notes: list[str] = []
    # What is found of the scans with labels, and of the largest, is where to begin with the others.
    order = sorted(range(len(scans)), key=lambda i: (scans[i].labels is None, -_extent(scans[i].volume), i))
    for count, index in enumerate(order):
        step(progress, count / len(order), "Bringing scans together")
        scan = scans[index]
        try:
            aligned[index], motion = _with_help(reference, scan, known, segment)
        except InputError as error:
            if not scan.optional:
                raise
            notes.append(f"A scan was left out: {error}")
            continue
        known.append((scan.frame, motion))
    step(progress, 1.0, "Scans brought together")
    return replace(spine, further=tuple(_named(spine, [aligned[i] for i in sorted(aligned)])),
                   notes=(*spine.notes, *notes))


def _refuse_twins(volumes: Sequence[Volume]) -> None:
    for i, first in enumerate(volumes):
        for second in volumes[i + 1:]:
            if first.same_grid(second) and np.array_equal(first.array, second.array):
                raise InputError("The same scan was passed twice; pass each scan of the visit once.")


def _extent(volume: Volume) -> float:
    return volume.voxel_volume * float(np.prod(volume.shape))


def _points_near(scan: Volume, labels: LabelMap) -> FloatArray:
    """(N, 3) the voxels of a scan near what is labeled of the spine."""
    kinds = [kind for kind in Kind if kind.is_bone] + [Kind.DISC, Kind.CANAL, Kind.DURAL_SAC]
    away = distance_transform_edt(~labels.mask(labels.values(kinds)), sampling=labels.spacing)
    points = scan.to_ras(np.moveaxis(np.indices(scan.shape), 0, -1).reshape(-1, 3))
    near = map_coordinates((away <= AROUND_MM).astype(np.float32), labels.to_ijk(points).T, order=0, mode="constant")
    return points[near > 0.5]


def _with_help(reference: _Reference, scan: VisitScan, known: Sequence[tuple[str, FloatArray]],
               segment: Segmenter | None) -> tuple[Scan, FloatArray]:
    """As it lies or by its own labels; where neither tells, by labels that are made for it."""
    try:
        return _aligned(reference, scan, known)
    except InputError:
        if segment is None or scan.labels is not None:
            raise
        labels = segment(scan.volume, scan.contrast)
        if labels is None:
            raise
    return _aligned(reference, replace(scan, labels=labels), known)


def _aligned(reference: _Reference, scan: VisitScan, known: Sequence[tuple[str, FloatArray]]
             ) -> tuple[Scan, FloatArray]:
    """The scan in its place, and its motion as a whole."""
    title = f"The {scan_name(scan.volume, scan.contrast)} scan"
    moving = Moving.of(scan.volume, _THINNED_MM)
    starts = [motion for frame, motion in known if frame and frame == scan.frame] or \
             [*_by_labels(reference.spine, scan), *(motion for _, motion in known)]
    chosen = _best(reference, moving, starts)
    if chosen is None:
        raise InputError(f"{title} could not be brought to the segmented one: where it lies it shows no part of that "
                         "spine, or another spine; leave it out, or pass a segmentation of it too.")
    sample, start, best = chosen
    local = _local(reference, moving, best.motion)
    residual = _disagreement(local)
    if residual is not None and residual > MOST_RESIDUAL_MM:
        raise InputError(f"{title} does not fit the segmented one: neighboring vertebrae disagree by {residual:.1f} mm "
                         "about where it lies; check that both show the same patient, and leave it out if not.")
    off = displacement(best.motion, start, sample.points_RAS[::50])
    moved = float(np.linalg.norm(off, axis=1).mean())
    in_frame = any(start is motion for _, motion in known)
    if residual is None and (not in_frame or best.agreement < LEAST_AGREEMENT or moved > MOST_MOVED_MM):
        raise InputError(f"{title} shows too little of the segmented spine, or another one, to tell where it lies; "
                         "leave it out, or pass a segmentation of it too.")
    unmoved = any(start is motion for _, motion in known[:1])
    if unmoved and _small(off, scan.volume, reference.scan):
        return Scan(scan.volume, "", scan.contrast, alignment="same frame",
                    residual_mm=moved), start
    motions = tuple(LocalMotion(v.frame.origin, found.motion @ np.linalg.inv(best.motion))
                    for v, found in _agreeing(local))
    return Scan(scan.volume.transformed(best.motion), "", scan.contrast, alignment="registered", residual_mm=residual,
                motions=motions), best.motion


def _by_labels(spine: Spine, scan: VisitScan) -> Iterator[FloatArray]:
    """Starts from the centers of vertebrae in both segmentations, by name and one off."""
    if scan.labels is None:
        return
    here, there = _centers(spine.labels), _centers(scan.labels)
    for off in (0, 1, -1):
        pairs = [(there[level + off], here[level]) for level in here if level + off in there]
        if len(pairs) > 1:
            source, target = (np.array(points) for points in zip(*pairs, strict=True))
            yield of_points(source, target)


def _centers(labels: LabelMap) -> dict[int, FloatArray]:
    """Level -> center of its body, or of all its bone."""
    found: dict[int, FloatArray] = {}
    for level in labels.levels:
        values = labels.values(Kind.BODY, level) or labels.values([k for k in Kind if k.is_bone], level)
        places = np.argwhere(labels.mask(values))
        if len(places):
            found[int(level)] = labels.to_ras(places.mean(axis=0))
    return found


def _best(reference: _Reference, moving: Moving, starts: Sequence[FloatArray]
          ) -> tuple[Sample, FloatArray, Fit] | None:
    """Of all starts the best fit, with the points that the scan shows there, if no place a vertebra away rivals it."""
    found = []
    for start in starts:
        _, inside = moving.at(reference.points, start)
        if inside.sum() >= MIN_POINTS:
            points = reference.points[inside]
            rough = fit(Sample.of(reference.scan, points, _FEW_POINTS), moving, start, _FEW_ROUNDS)
            found.append((rough.agreement * len(points), points, start, rough))  # few points agree easily
    if not found:
        return None
    _, points, start, rough = max(found, key=lambda each: each[0])
    sample = Sample.of(reference.scan, points, _POINTS)
    best = fit(sample, moving, rough.motion)
    rivals = [fit(sample, moving, shifted(sign * reference.pitch) @ best.motion, _FEW_ROUNDS).agreement
              for sign in (1.0, -1.0)]
    return (sample, start, best) if best.agreement > UNIQUE * max(0.0, *rivals) else None


def _local(reference: _Reference, moving: Moving, motion: FloatArray) -> list[tuple[Vertebra, Fit]]:
    """A fit of its own for every vertebra that both scans show well."""
    found = []
    for vertebra, sample in reference.samples:
        _, inside = moving.at(sample.points_RAS, motion)
        if len(inside) >= MIN_POINTS and inside.mean() >= _LOCAL_SHOWN:
            found.append((vertebra, fit(sample, moving, motion)))
    usual = float(np.median([each.agreement for _, each in found])) if found else 0.0
    return [(vertebra, each) for vertebra, each in found if each.agreement >= LEAST_LOCAL * usual]


def _disagreement(local: Sequence[tuple[Vertebra, Fit]]) -> float | None:
    """How far neighbors' fits differ half way between them, mm, in the middle of all pairs."""
    off = _between(local)
    return float(np.median(off)) if off else None


def _between(local: Sequence[tuple[Vertebra, Fit]]) -> list[float]:
    """The same for each pair of neighbors."""
    return [float(np.linalg.norm(displacement(
        a.motion, b.motion, (upper.frame.origin + lower.frame.origin)[None] / 2.0)))
        for (upper, a), (lower, b) in zip(local, local[1:], strict=False)]


def _agreeing(local: Sequence[tuple[Vertebra, Fit]]) -> list[tuple[Vertebra, Fit]]:
    """Without those that none of their neighbors agrees with, as may be at the border of a scan."""
    off = _between(local)
    return [each for i, each in enumerate(local) if min(off[max(i - 1, 0):i + 1], default=0.0) <= MOST_RESIDUAL_MM]


def _small(off: FloatArray, *volumes: Volume) -> bool:
    """Whether a shift is within what slices can tell."""
    for volume in volumes:
        directions = volume.ijk_to_ras[:3, :3] / volume.spacing
        limits = np.maximum(volume.spacing / 2.0, AS_IS_MM)
        if np.linalg.norm(off @ directions / limits, axis=1).mean() <= 1.0:
            return True
    return False


def _named(spine: Spine, scans: Sequence[Scan]) -> Iterator[Scan]:
    """With contrasts guessed where they are not known, and names that differ."""
    taken = [spine.scans[0].name]
    for scan in scans:
        guessed = guess_contrast(spine, scan) if scan.contrast is None else None
        contrast = scan.contrast or guessed
        name = scan_name(scan.volume, contrast)
        taken.append(name)
        count = taken.count(name)
        yield replace(scan, contrast=contrast, contrast_guessed=guessed is not None,
                      name=name if count == 1 else f"{name} {count}")
