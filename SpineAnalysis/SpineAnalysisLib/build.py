"""From a label map to the spine's model."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from .anatomy import CanalMeaning, Kind, Level, Segment, Structure, segments
from .derive.bodies import anterior_directions, transported
from .derive.canal import NO_ARCH, derive_canal
from .derive.cord_levels import FLAGS, cord_level_vertebrae
from .derive.discs import disc_between
from .derive.tubes import center_curve, front_of, measure_tube, tube_of
from .derive.vertebrae import Bone, Shape, body_shape, bones_of, sacral_shape, split_body
from .errors import InputError
from .geometry.curves import Curve
from .geometry.detail import CLEAR_RATIO, resolution_of
from .geometry.faces import NO_MATCH, mismatch
from .geometry.frames import Frame, Plane, angle_deg, unit
from .progress import Progress, part, silent, step
from .spine import Contrast, MotionSegment, Spine, Tube, Vertebra, interpolate_directions
from .volume import LabelMap, Volume

FloatArray = NDArray[np.floating]

CANAL_KINDS = (Kind.CANAL, Kind.DURAL_SAC, Kind.CORD)
MAX_DISC_MM = 22.0
"""Facing endplates farther apart than this are not neighbors: a vertebra between them is missing."""
MAX_CANAL_AWAY_MM = 60.0
"""No vertebra's center is farther from its canal than this."""
MAX_TURN_DEG = 60.0
"""No vertebra is turned farther than this against its neighbors."""
LEAST_SHARE = 0.25
"""A body of a smaller share of its neighbors' volume is a crumb; a flattened one keeps its width and depth."""


def build_spine(labels: LabelMap, image: Volume | None = None, contrast: Contrast | None = None,
                provisional: bool = False, canal_means: CanalMeaning = "", progress: Progress = silent) -> Spine:
    """Model a labeled spine.

    :param image: the scan; need not share the labels' grid.
    :param canal_means: what a labeled canal's outline follows.
    :raises InputError: when the labels are too few to measure anything.
    :raises Cancelled: by ``progress``.
    """
    step(progress, 0.0, "Finding vertebrae")
    windows = {v: w for v, w in enumerate(find_objects(labels.array), start=1) if w is not None}
    bones = bones_of(labels, windows)
    down = _down(labels, bones, windows)
    step(progress, 0.1, "Following the canal")
    labels, notes = _with_canal(labels, bones, part(progress, 0.1, 0.4))
    filled = tube_of(labels, CANAL_KINDS, down) if labels.values((Kind.CANAL, Kind.DURAL_SAC)) else None
    cord_filled = tube_of(labels, [Kind.CORD], down)
    guide = filled or cord_filled
    centerline = center_curve(guide, down) if guide is not None else None
    if guide is None or centerline is None:
        raise InputError(_no_canal(labels))
    if bones and not _is_near(centerline, bones):
        raise InputError("The labeled spinal canal lies far from all labeled vertebrae; check that they are labels of "
                         "one scan and that the canal's label is right.")
    step(progress, 0.4, "Measuring cross-sections")
    anterior = _first_anterior(bones, centerline)
    rough = measure_tube(guide, centerline, anterior[1])
    step(progress, 0.6, "Fitting vertebrae")
    vertebrae = _vertebrae(bones, centerline, front_of(rough, centerline), anterior[0])
    vertebrae = vertebrae or cord_level_vertebrae(labels, centerline)
    if len(vertebrae) < 2:
        raise InputError("Fewer than two vertebrae could be followed in the segmentation; "
                         "check that it belongs to this scan and covers at least two whole vertebrae.")
    motion = _segments(vertebrae, centerline)
    notes += _not_measured(bones, vertebrae, motion)
    step(progress, 0.8, "Adding what is derived")
    labels = _with_discs(labels, vertebrae, motion)
    directions = interpolate_directions(centerline.arc_length, vertebrae, centerline)
    canal = _named(_turned(rough, centerline, directions), labels, canal_means) if filled is not None else None
    cord = measure_tube(cord_filled, centerline, directions) if cord_filled is not None else None
    step(progress, 1.0, "Spine modeled")
    resolution = resolution_of(labels, image, np.array([v.frame.origin for v in vertebrae]))
    notes += _finer_than_shown(labels, resolution)
    canal, cord = (tube and replace(tube, resolution=resolution) for tube in (canal, cord))
    return Spine(labels, vertebrae, motion, centerline, canal, cord, image, contrast,
                 provisional=provisional, notes=notes)


def _finer_than_shown(labels: LabelMap, resolution: FloatArray) -> tuple[str, ...]:
    """A note where the segmentation's voxels are finer than what the scan shows, whether it was interpolated or not."""
    measured = np.linalg.norm(resolution, axis=0)
    coarsest = int((measured / labels.spacing).argmax())
    if measured[coarsest] < CLEAR_RATIO * labels.spacing[coarsest]:
        return ()
    return (f"The scan shows details of about {measured[coarsest]:.1f} mm where the segmentation's voxels are "
            f"{labels.spacing[coarsest]:.1f} mm; uncertainties allow for it.",)


def _down(labels: LabelMap, bones: list[Bone], windows: dict[int, tuple[slice, ...]]) -> FloatArray:
    """From head to foot, by the order of the levels."""
    places = {bone.level: bone.points().mean(axis=0) for bone in bones}
    if len(places) < 2:
        places = {s.level: labels.to_ras(np.array([(w.start + w.stop) / 2.0 for w in windows[v]]))
                  for v, s in labels.structures.items()
                  if v in windows and s.level is not None and s.kind in (Kind.CORD, Kind.BODY, Kind.VERTEBRA)}
    if len(places) < 2:
        raise InputError("There is only one vertebra here; at least two are needed to know the spine's direction and "
                         "levels, so choose a longer scan or segmentation." if places else
                         "The segmentation holds no vertebra; pass one with at least two labeled vertebrae.")
    return unit(places[max(places)] - places[min(places)])


def _with_canal(labels: LabelMap, bones: list[Bone], progress: Progress) -> tuple[LabelMap, tuple[str, ...]]:
    if labels.values((Kind.CANAL, Kind.DURAL_SAC)) or not bones:
        return labels, ()
    mask, flags = derive_canal(labels, progress)
    if mask is None:
        return labels, ()
    open_arches = [flag.removeprefix(f"{NO_ARCH}_") for flag in flags if flag.startswith(NO_ARCH)]
    notes = (f"No closed arch was found at {', '.join(open_arches)}: the canal is uncertain there.",) \
        if open_arches else ()
    without_content = {v: s for v, s in labels.structures.items() if s.kind is not Kind.CANAL_CONTENT}
    labels = replace(labels, structures=without_content)  # the canal takes its place
    return labels.adding([(Structure(Kind.CANAL), (0, 0, 0), mask)]), notes


def _is_near(centerline: Curve, bones: list[Bone]) -> bool:
    """Whether a canal passes at least one vertebra closely enough to be its own."""
    centers = np.array([bone.points().mean(axis=0) for bone in bones])
    nearest = np.clip(centerline.project(centers), 0.0, centerline.length)
    return bool(np.linalg.norm(centerline.position(nearest) - centers, axis=1).min() < MAX_CANAL_AWAY_MM)


def _no_canal(labels: LabelMap) -> str:
    if labels.values((Kind.CANAL, Kind.DURAL_SAC, Kind.CORD)):
        return "The labeled spinal canal is too short to follow; at least a centimeter of it is needed."
    return ("The segmentation holds no spinal canal and no vertebral arches to derive it from; "
            "pass one that labels the canal, or whole vertebrae instead of bodies.")


def _named(canal: Tube, labels: LabelMap, told: CanalMeaning) -> Tube:
    """The canal with what is known of its origin."""
    derived = labels.is_derived(labels.values(Kind.CANAL))
    labeled: CanalMeaning = told if labels.values(Kind.CANAL) else "dural sac"
    return replace(canal, derived=derived, meaning="bony canal" if derived else labeled)


def _first_anterior(bones: list[Bone], centerline: Curve) -> tuple[FloatArray, FloatArray]:
    """Forward at each bone, and (N, 3) along the centerline."""
    if not bones:
        carried = transported(centerline, np.array([0.0, 1.0, 0.0]))
        return np.zeros((0, 3)), carried
    points = [_body_or_all(bone) for bone in bones]
    at_bones = anterior_directions(points, centerline)
    at = centerline.project(np.array([p.mean(axis=0) for p in points]))
    order = np.argsort(at)
    along = np.stack([np.interp(centerline.arc_length, at[order], at_bones[order, axis]) for axis in range(3)], axis=-1)
    return at_bones, along


def _body_or_all(bone: Bone) -> FloatArray:
    return bone.points() if bone.body is None else bone.volume.to_ras(np.argwhere(bone.body.array))


def _vertebrae(bones: list[Bone], centerline: Curve, front: FloatArray, anterior: FloatArray) -> tuple[Vertebra, ...]:
    found = [body_shape(split_body(bone, centerline, front, forward), centerline)
             for bone, forward in zip(bones, anterior, strict=True) if bone.level is not Level.S1]
    bodies = [shape for shape in found if shape is not None]
    whole = [x for i, x in enumerate(bodies) if not _is_crumb(x, _neighbors(bodies, i))]
    shapes = [x for i, x in enumerate(whole) if _agrees(x, _neighbors(whole, i))]
    if shapes and shapes[-1] is whole[-1]:  # without the last one, what faces the body above may be part of it
        sacra = [sacral_shape(bone, shapes[-1], centerline) for bone in bones if bone.level is Level.S1]
        shapes += [x for x in sacra if x is not None and _agrees(x, shapes[-2:])]
    return tuple(Vertebra(x.level, x.frame, x.superior, x.inferior, x.pedicle_RAS,
                          _crossing(centerline, Plane(x.pedicle_RAS, x.frame.superior)), x.surfaces, x.flags, x.faces,
                          x.pedicles)
                 for x in shapes)


def _neighbors(shapes: list[Shape], i: int) -> list[Shape]:
    """Up to two above and two below."""
    return shapes[max(i - 2, 0):i] + shapes[i + 1:i + 3]


def _is_crumb(shape: Shape, neighbors: list[Shape]) -> bool:
    """Whether it is no vertebra but a crumb of a label beside them."""
    return bool(neighbors) and shape.volume < LEAST_SHARE * float(np.median([other.volume for other in neighbors]))


def _agrees(shape: Shape, neighbors: list[Shape]) -> bool:
    """Whether a vertebra faces and stands the way its neighbors do; one whose body is out of view does not."""
    if not neighbors:
        return True
    axes = np.sum([other.frame.axes for other in neighbors], axis=0)[1:]
    return max(angle_deg(own, theirs) for own, theirs in zip(shape.frame.axes[1:], axes, strict=True)) < MAX_TURN_DEG


def _crossing(centerline: Curve, plane: Plane) -> float | None:
    """Where the centerline passes a plane, nearest to the plane's own origin."""
    found = centerline.intersections(plane)
    if len(found) == 0:
        return None
    return float(found[np.linalg.norm(centerline.position(found) - plane.origin, axis=-1).argmin()])


def _not_measured(bones: list[Bone], vertebrae: tuple[Vertebra, ...], motion: tuple[MotionSegment, ...]
                  ) -> tuple[str, ...]:
    """What is labeled, or lies between what is labeled, and could not be followed."""
    found = {v.level for v in vertebrae}
    lost = [str(bone.level) for bone in bones if bone.level not in found]
    open_discs = {str(s) for s in segments(list(found))} - {str(m.segment) for m in motion}
    out = []
    if lost:
        out.append(f"{', '.join(lost)} could not be measured: too little of the body is in view or labeled.")
    if open_discs:
        out.append(f"{', '.join(sorted(open_discs))} could not be measured: the endplates there were not both found.")
    by_level = {v.level: v for v in vertebrae}
    odd = [str(m.segment) for m in motion
           if NO_MATCH in mismatch(by_level[m.segment.upper].inferior_rim, by_level[m.segment.lower].superior_rim)]
    if odd:
        out.append(f"The facing endplates at {', '.join(odd)} do not fit each other: the outline of a body or of the "
                   "sacrum is wrong there, so slip and bulging are not told; correct it or look.")
    return tuple(out)


def _segments(vertebrae: tuple[Vertebra, ...], centerline: Curve) -> tuple[MotionSegment, ...]:
    by_level = {v.level: v for v in vertebrae}
    found = []
    for segment in segments(list(by_level)):
        made = _segment(segment, by_level[segment.upper], by_level[segment.lower], centerline)
        if made is not None:
            found.append(made)
    return tuple(found)


def _segment(segment: Segment, upper: Vertebra, lower: Vertebra, centerline: Curve) -> MotionSegment | None:
    """The disc between two vertebrae, ``None`` where they are no neighbors after all."""
    above, below = upper.inferior_endplate, lower.superior_endplate
    if above is None or below is None:
        return None
    normal = unit(above.normal + below.normal)
    height = float((above.origin - below.origin) @ normal)
    if height > MAX_DISC_MM:
        return None
    middle = (above.origin + below.origin) / 2.0
    disc = Frame.from_axes(middle, normal, upper.frame.anterior + lower.frame.anterior)
    flags = tuple(flag for flag in FLAGS if flag in upper.flags) or (("endplates_touch",) if height < 0.5 else ())
    return MotionSegment(segment, disc, max(height, 0.0), _crossing(centerline, disc.plane), flags)


def _with_discs(labels: LabelMap, vertebrae: tuple[Vertebra, ...], motion: tuple[MotionSegment, ...]) -> LabelMap:
    """The labels with a derived disc wherever there is none."""
    known = {labels.structures[v].level for v in labels.values(Kind.DISC)}
    by_level = {v.level: v for v in vertebrae}
    parts = []
    for item in motion:
        upper, lower = by_level[item.segment.upper], by_level[item.segment.lower]
        if item.segment.upper in known or upper.inferior_endplate is None or lower.superior_endplate is None:
            continue
        found = disc_between(labels, item.disc, (upper.inferior_endplate, upper.surfaces),
                             (lower.superior_endplate, lower.surfaces))
        if found is not None and found[1].any():
            parts.append((Structure(Kind.DISC, item.segment.upper, below=item.segment.lower), found[0], found[1]))
    return labels.adding(parts) if parts else labels


def _turned(tube: Tube, centerline: Curve, directions: FloatArray) -> Tube:
    """The same sections with the A axes of the vertebrae."""
    nearest = np.abs(centerline.arc_length[:, None] - tube.s).argmin(axis=0)
    turned = tuple(None if x is None else x.turned(directions[i])
                   for i, x in zip(nearest, tube.sections, strict=True))
    return replace(tube, sections=turned)
