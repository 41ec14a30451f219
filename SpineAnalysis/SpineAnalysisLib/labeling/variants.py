"""Unusual anatomy of a named spine, in sentences: numbers, ribs, transitional and fused vertebrae."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..anatomy import VERTEBRA_KINDS, Level, Region, Side, successors
from ..spine import Spine, Vertebra
from ..volume import LabelMap
from .evidence import levels_with_ribs

FloatArray = NDArray[np.floating]

USUAL_LUMBAR = 5
TALL_MM = 19.0
"""Height of a transverse process from which on it is dysplastic (Castellvi et al., Spine 1984, 9:493)."""
_BESIDE_BODY_MM = 5.0
"""From the body's side to where its transverse process is free of it."""
_SLAB_MM = 3.0
_LEAST_POINTS = 8
_PROCESS_MM3 = 400.0
"""Of bone at each side of the vertebra above, from which on outlines show transverse processes at all: half of one
that is 20 mm long, 8 high and 5 thick."""
_TOUCHING = 1.2
"""Distance of two labels, in diagonals of a voxel, up to which they touch."""
_JOINT_MM2 = 50.0
"""Of touching surface from which on it is a joint or a bridge; single voxels of labels touch anywhere."""
_FUSED_MM = 0.5
"""Between facing endplates, under which there is no disc space."""
_FROM_CORD = "vertebra_from_cord_label"
"""Flag of a vertebra without bone, whose endplates lie where the cord's labels meet."""
_IN_WORDS = {3: "Three", 4: "Four", 6: "Six", 7: "Seven"}


def unusual(spine: Spine) -> tuple[str, ...]:
    """What differs from most people, from head to foot; nothing of provisional names but what does not rest on them."""
    ribs = levels_with_ribs(spine.labels)
    numbers = () if spine.provisional else (*_ribs(spine, ribs), *_number(spine, ribs))
    return (*numbers, *_transitional(spine), *_fused(spine))


def lumbar_type(spine: Spine, ribs: frozenset[Level]) -> int | None:
    """How many vertebrae lie between the lowest with ribs, or by name the lowest thoracic one, and the sacrum.

    ``None`` where one of the two ends is not in view, or one between them is missing.

    :param ribs: levels with ribs; none where they are not labeled.
    """
    levels = [v.level for v in spine.vertebrae]
    last_chest = max(ribs or {v for v in levels if v.region is Region.THORACIC}, default=None)
    if Level.S1 not in levels or last_chest not in levels or (not ribs and last_chest < Level.T11):
        return None
    between = levels[levels.index(last_chest):]
    whole = all(lower in successors(upper) for upper, lower in zip(between, between[1:], strict=False))
    return len(between) - 2 if whole else None


def _number(spine: Spine, ribs: frozenset[Level]) -> Iterable[str]:
    count = lumbar_type(spine, ribs)
    if count is not None and count != USUAL_LUMBAR:
        yield (f"{_IN_WORDS.get(count, str(count))} lumbar-type vertebrae instead of five: other readers may count the "
               "levels differently.")


def _ribs(spine: Spine, ribs: frozenset[Level]) -> Iterable[str]:
    """Where ribs end otherwise than at T12, if the vertebrae around are in view."""
    if not ribs or not {Level.T12, Level.L1} <= {v.level for v in spine.vertebrae}:
        return
    if max(ribs) in (Level.T10, Level.T11):
        yield "No ribs are labeled at T12: they may be absent, short, or not segmented."
    elif max(ribs) is Level.L1:
        yield "Ribs are labeled at L1: lumbar ribs, or a thirteenth thoracic vertebra."


def _transitional(spine: Spine) -> Iterable[str]:
    """What the last vertebra's transverse processes say, where processes are labeled."""
    last = next((v for v in reversed(spine.vertebrae) if v.level is not Level.S1), None)
    if last is None or Level.S1 not in spine.labels.levels or last.level < Level.L4:
        return
    processes = _transverse_processes(spine.labels, last)
    if not processes or not _shows_processes(spine, last):
        return
    sacrum = _points(spine.labels, Level.S1)
    touching = [side for side, points in processes.items()
                if _touching_mm2(points, sacrum, spine.labels.spacing) >= _JOINT_MM2]
    most = _to_sacrum(spine, last)
    tall = {side: height for side, points in processes.items()
            if TALL_MM <= (height := _height(last, points)) <= most}
    if touching:
        sides = "both transverse processes meet" if len(touching) == 2 else \
            f"the {touching[0]} transverse process meets"
        types = "IIb, IIIb or IV" if len(touching) == 2 else "IIa or IIIa"
        yield (f"Suspected lumbosacral transitional vertebra: {sides} the sacrum at {last.level}, as in Castellvi type "
               f"{types}; labels do not tell a joint from a bony bridge.")
    elif tall:
        sizes = " and ".join(f"{height:.0f} mm ({side})" for side, height in sorted(tall.items()))
        yield (f"Suspected lumbosacral transitional vertebra: tall transverse process at {last.level}, {sizes}, as in "
               f"Castellvi type I{'b' if len(tall) == 2 else 'a'} (from 19 mm on).")


def _shows_processes(spine: Spine, last: Vertebra) -> bool:
    """Whether the outlines are good enough to judge transverse processes by: those of the vertebra above are there on
    both sides, and no taller than such ones are.
    """
    place = spine.vertebrae.index(last)
    above = _transverse_processes(spine.labels, spine.vertebrae[place - 1]) if place else {}
    return len(above) == 2 and all(len(points) * spine.labels.voxel_volume >= _PROCESS_MM3
                                   and _height(spine.vertebrae[place - 1], points) < TALL_MM
                                   for points in above.values())


def _to_sacrum(spine: Spine, last: Vertebra) -> float:
    """Height from the last vertebra's upper endplate to the sacrum, mm: no process that is free of it is as tall."""
    sacrum = spine.vertebra(Level.S1)
    top, bottom = last.superior_endplate, sacrum.superior_endplate if sacrum is not None else None
    return float("inf") if top is None or bottom is None else float(np.linalg.norm(top.origin - bottom.origin))


def _points(labels: LabelMap, level: Level) -> FloatArray:
    """(N, 3) all labeled bone of a vertebra, RAS mm."""
    windows = ndimage.find_objects(labels.array)
    found = [labels.to_ras(np.argwhere(labels.array[windows[v - 1]] == v) + [s.start for s in windows[v - 1]])
             for v in labels.values(VERTEBRA_KINDS, level) if v <= len(windows) and windows[v - 1] is not None]
    return np.concatenate([np.zeros((0, 3)), *found])


def _transverse_processes(labels: LabelMap, vertebra: Vertebra) -> dict[Side, FloatArray]:
    """(N, 3) bone at the sides of the body, behind its middle, of each side."""
    points = _points(labels, vertebra.level)
    x, y = ((points - vertebra.frame.origin) @ axis for axis in (vertebra.frame.right, vertebra.frame.anterior))
    out: dict[Side, FloatArray] = {}
    sides: tuple[tuple[Side, float], ...] = (("left", -1.0), ("right", 1.0))
    for side, sign in sides:
        front = (sign * x > 0) & (y > 0)
        if np.count_nonzero(front) >= _LEAST_POINTS:
            beside = np.percentile(sign * x[front], 98) + _BESIDE_BODY_MM
            out[side] = points[(sign * x > beside) & (y < 0)]
    return out


def _touching_mm2(points: FloatArray, others: FloatArray, spacing: FloatArray) -> float:
    """How much of the surface of some labeled points lies at others."""
    if not len(points) or not len(others):
        return 0.0
    near = cKDTree(others).query(points)[0] <= _TOUCHING * float(np.linalg.norm(spacing))
    surface = np.unique(np.round(points[near] / float(spacing.max()))[:, :2], axis=0)  # seen from above
    return float(len(surface) * spacing.max() ** 2)


def _height(vertebra: Vertebra, points: FloatArray) -> float:
    """The greatest height of a transverse process, in slabs from root to tip, mm; 0 where there is too little."""
    outward, up = ((points - vertebra.frame.origin) @ axis for axis in (vertebra.frame.right, vertebra.frame.superior))
    slabs = np.floor(np.abs(outward) / _SLAB_MM).astype(int)
    heights = [np.ptp(np.percentile(up[slabs == slab], (2, 98))) for slab in np.unique(slabs)
               if np.count_nonzero(slabs == slab) >= _LEAST_POINTS]
    return float(max(heights, default=0.0))


def _fused(spine: Spine) -> Iterable[str]:
    bony = {v.level for v in spine.vertebrae if _FROM_CORD not in v.flags}
    fused = [str(m.segment) for m in spine.segments if m.height_mm < _FUSED_MM and m.segment.upper in bony]
    if fused:
        yield f"No disc space at {', '.join(fused)}: fused vertebrae, or a disc that is gone."
