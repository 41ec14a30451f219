"""Anatomies bent, stretched, broken, slipped and operated on: one source becomes many."""

from dataclasses import dataclass

import numpy as np
import tissues as T
from numpy.typing import NDArray
from sacral import with_sacral_discs
from scipy import ndimage
from source import Source
from waists import with_waists

from SpineAnalysisLib.segmentation.network.classes import RIM_MM

FloatArray = NDArray[np.floating]
Random = np.random.Generator

COARSE_MM = 4
SHAPE = (104, 352, 272)
"""Of a deformed volume: slices, rows, columns, mm."""
TABLE_STEP = 0.25
DEPTH_MM = 34.0
"""Of a body, roughly."""
WAIST_IN_FRONT = 0.35
"""Share of what a waist takes from the sides that it takes from the front."""
WORN = 0.3
"""Share of spines with low discs all along, and with lips."""
MUSCLES = (32, 33, 64, 65, T.MUSCLE)
"""Of the back, and the psoas."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A deformed anatomy.

    :param tissue: (I, J, K) uint8, 1 mm.
    :param over: (I, J, K) uint8 of metal, cement, cages and lesions; ``None`` where there are none.
    :param fused: numbers of the discs that have turned to bone.
    """

    tissue: NDArray[np.uint8]
    over: NDArray[np.uint8] | None
    fused: tuple[int, ...]
    name: str


def patient_of(source: Source, random: Random, off_spine: bool = False) -> Patient:
    """One random patient."""
    center = _center(source, random, off_spine)
    small = _smallness(source, random, center)
    where = _coarse_points(random, center, small)
    along, down, forward = _spine_coordinates(source, where)
    fine = [_upsampled(c) for c in np.moveaxis(where, -1, 0)]
    along_fine, forward_fine = _upsampled(along), _upsampled(forward)
    down_fine = [_upsampled(c) for c in np.moveaxis(down, -1, 0)]
    plan = _plan(source, random)
    index = (along_fine - plan.start) / TABLE_STEP
    index = np.clip(index, 0, len(plan.move_front) - 1).astype(np.int32)
    share = np.clip(forward_fine, -0.5, 1.5)
    move = plan.move_back[index] * (1 - share) + plan.move_front[index] * share
    shift = [plan.sideways[index], np.zeros((), np.float32), plan.backward[index]]
    places = []
    wider = plan.waist[index] * np.clip(forward_fine * 4.0, 0.0, 1.0)
    for axis in range(3):
        at = fine[axis] + move * down_fine[axis] + shift[axis]
        if axis == 0:
            at += wider * (at - _middle_of(source, fine[1]))
        elif axis == 2:
            at -= WAIST_IN_FRONT * wider * share * DEPTH_MM
        places.append(np.rint(at).astype(np.int32))
    inside = np.ones(SHAPE, bool)
    for axis in range(3):
        inside &= (places[axis] >= 0) & (places[axis] < source.tissue.shape[axis])
        np.clip(places[axis], 0, source.tissue.shape[axis] - 1, out=places[axis])
    _, rows, columns = source.tissue.shape
    flat = (places[0] * rows + places[1]) * columns + places[2]
    tissue = source.tissue.ravel()[flat]
    tissue[~inside] = T.AIR
    _paint(source, random, tissue, flat, places, small)
    if random.random() < 0.5:
        tissue = tissue[::-1]
    tissue = np.ascontiguousarray(tissue)
    with_sacral_discs(tissue, random)
    with_waists(tissue, random)
    over = _operated(tissue, random) if random.random() < 0.3 else None
    return Patient(tissue, over, plan.fused, source.name)


def _middle_of(source: Source, row: FloatArray) -> FloatArray:
    """The canal's middle from side to side at rows of the source."""
    rows = np.flatnonzero(np.isfinite(source.axis[:, 0]))
    filled = np.interp(np.arange(len(source.axis)), rows, source.axis[rows, 0]).astype(np.float32)
    return filled[np.clip(row, 0, len(filled) - 1).astype(np.int32)]


def _center(source: Source, random: Random, off_spine: bool) -> FloatArray:
    """The source's point in the middle of the result."""
    rows = np.flatnonzero(np.isfinite(source.axis[:, 0]))
    first, last = source.plates[0].center[1], source.plates[-1].center[1] + 20
    low, high = max(rows[0], first), min(rows[-1], last)
    j = random.uniform(low, high)
    i, k = source.axis[int(np.clip(j, rows[0], rows[-1]))]
    if off_spine:
        i = random.uniform(30, source.tissue.shape[0] - 30)
    return np.array([i + random.normal(0, 6), j, k - random.uniform(-10, 60)])


def _smallness(source: Source, random: Random, center: FloatArray) -> FloatArray:
    """(3,) how much smaller than its source: upper thoracic vertebrae are shrunk to cervical size now and then."""
    upper = source.sac is not None and center[1] < source.cord_ends_j - 120
    if not upper or random.random() < 0.45:
        return np.ones(3)
    return np.array([random.uniform(0.6, 0.8), random.uniform(0.55, 0.75), random.uniform(0.65, 0.85)])


def _grid() -> FloatArray:
    """(A, B, C, 3) coarse offsets from the middle, mm."""
    axes = [np.arange(-(-n // COARSE_MM) + 1) * COARSE_MM - n / 2 for n in SHAPE]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


def _coarse_points(random: Random, center: FloatArray, small: FloatArray) -> FloatArray:
    """Where each coarse point comes from, but for what follows the spine."""
    grid = _grid()
    turn = np.radians(random.normal(0, (4.0, 11.0, 4.0)))
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(a), np.sin(a)) for a in turn)
    pitch = np.array([[1, 0, 0], [0, cy, -sy], [0, sy, cy]])  # about left-right, the one that scans differ by
    roll = np.array([[cx, -sx, 0], [sx, cx, 0], [0, 0, 1]])
    yaw = np.array([[cz, 0, -sz], [0, 1, 0], [sz, 0, cz]])
    scale = small * np.exp(random.normal(0, 0.07, 3) + random.normal(0, 0.10))
    out = grid @ (pitch @ roll @ yaw @ np.diag(1 / scale)).T
    for size, most in ((24, 4.0), (8, 1.6)):
        shape = [max(2, n * COARSE_MM // (size * 3) + 2) for n in grid.shape[:3]]
        for axis in range(3):
            knots = random.normal(0, most * random.uniform(0.2, 1.0), shape)
            zoom = [n / m for n, m in zip(grid.shape[:3], shape, strict=True)]
            out[..., axis] += ndimage.zoom(knots, zoom, order=3, mode="nearest", grid_mode=True)
    return (out + center).astype(np.float32)


def _spine_coordinates(source: Source, where: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Millimeters along the spine, its direction, and how far forward (0 at the bodies' back, 1 at their front)."""
    positions = _positions(source)
    total = np.zeros(where.shape[:3], np.float32)
    along, down = np.zeros_like(total), np.zeros_like(where)
    for position, plate in zip(positions, source.plates, strict=True):
        height = (where - plate.center.astype(np.float32)) @ plate.down.astype(np.float32)
        weight = 1.0 / (height**2 + 9.0) ** 1.5
        total += weight
        along += weight * (position + height)
        down += weight[..., None] * plate.down.astype(np.float32)
    along /= total
    down /= total[..., None]
    order = np.argsort(positions)
    centers = np.array([p.center for p in source.plates])[order]
    k = np.interp(along, positions[order], centers[:, 2])
    return along, down, ((k - where[..., 2]) / DEPTH_MM + 0.5).astype(np.float32)


def _positions(source: Source) -> FloatArray:
    """Arc length of each plate."""
    centers = np.array([p.center for p in source.plates])
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centers, axis=0), axis=1))])


@dataclass(frozen=True, eq=False)
class Plan:
    """Displacements (to the source) by the distance along the spine, tabulated from ``start`` in ``TABLE_STEP``."""

    start: float
    move_front: FloatArray
    move_back: FloatArray
    sideways: FloatArray
    backward: FloatArray
    waist: FloatArray
    fused: tuple[int, ...]


def _plan(source: Source, random: Random) -> Plan:
    """What becomes of each vertebra and disc."""
    at = _positions(source)
    sizes = np.diff(at)
    is_disc = np.array([i % 2 == 1 for i in range(len(sizes))])
    front, back = np.ones(len(sizes)), np.ones(len(sizes))
    discs = random.uniform(0.85, 1.75) if source.sac is not None else random.uniform(0.8, 1.3)
    front[is_disc] = back[is_disc] = discs
    each = np.exp(random.normal(0, 0.18, len(sizes)))
    front *= np.where(is_disc, each, 1.0)
    back *= np.where(is_disc, each, 1.0)
    worn = random.random() < WORN
    narrow = is_disc & (random.random(len(sizes)) < (0.5 if worn else 0.12))
    lower = random.uniform(0.3, 0.7, len(sizes))
    wedge = np.exp(random.normal(0, 0.13, len(sizes)))
    front *= np.where(is_disc, np.where(narrow, lower, 1.0) * wedge, 1.0)
    back *= np.where(is_disc, np.where(narrow, lower, 1.0) / wedge, 1.0)
    body = np.exp(random.normal(-0.03, 0.05, len(sizes)))
    broken = ~is_disc & (random.random(len(sizes)) < 0.07)
    wedge, crush = random.uniform(0.45, 0.85, len(sizes)), random.uniform(0.6, 1.0, len(sizes))
    front *= np.where(is_disc, 1.0, np.where(broken, wedge, body))
    back *= np.where(is_disc, 1.0, np.where(broken, crush, body))
    tables = []
    start, stop = at[0] - 150.0, at[-1] + 150.0
    out = np.arange(start, stop, TABLE_STEP)
    middle = len(at) // 2
    for factors in (front, back):
        new = np.concatenate([[0.0], np.cumsum(sizes * factors)])
        new += at[middle] - new[middle]
        knots = np.concatenate([[new[0] - 1000], new, [new[-1] + 1000]])
        values = np.concatenate([[at[0] - 1000], at, [at[-1] + 1000]])
        tables.append((ndimage.gaussian_filter1d(np.interp(out, knots, values), 2.0) - out).astype(np.float32))
    sideways, backward = _bends(random, out, at, is_disc)
    waist = _waists(random, out, new, is_disc, worn)
    count = (len(sizes) + 1) // 2
    fused = tuple(n for n in range(count) if random.random() < 0.04)
    return Plan(start, tables[0], tables[1], sideways, backward, waist, fused)


def _waists(random: Random, out: FloatArray, at: FloatArray, is_disc: NDArray, worn: bool) -> FloatArray:
    """How much narrower bodies are in the middle, and how much wider at discs: with age, waists and lips grow.

    :param at: where the plates have come to.
    :return: relative displacement outward, to the source; negative where the result is wider than it.
    """
    usual = random.uniform(0.1 if worn else 0.0, 0.28)
    lip = random.uniform(0.05, 0.18) if worn else random.uniform(0.0, 0.1)
    table = np.zeros_like(out)
    for first, last, disc in zip(at[:-1], at[1:], is_disc, strict=True):
        phase = np.clip((out - first) / max(last - first, 1e-3), 0.0, 1.0)
        table += (-lip if disc else usual) * random.uniform(0.4, 1.3) * np.sin(np.pi * phase) ** 2
    return table.astype(np.float32)


def _bends(random: Random, out: FloatArray, at: FloatArray, is_disc: NDArray) -> tuple[FloatArray, FloatArray]:
    """Scoliosis, more or less lordosis, and slips."""
    sideways, backward = np.zeros_like(out), np.zeros_like(out)
    for table, most in ((sideways, 7.0), (backward, 9.0)):
        for _ in range(2):
            length = random.uniform(160, 400)
            table += random.normal(0, most / 2) * np.sin(2 * np.pi * (out / length + random.random()))
    for index in np.flatnonzero(is_disc):
        if random.random() < 0.06:
            step = 1 / (1 + np.exp(-(out - (at[index] + at[index + 1]) / 2) / 1.5))
            backward += random.uniform(-5, 11) * (step - 0.5)
            sideways += random.normal(0, 1.5) * (step - 0.5)
    return sideways.astype(np.float32), backward.astype(np.float32)


def _upsampled(coarse: FloatArray) -> NDArray[np.float32]:
    out = np.asarray(coarse, np.float32)
    for axis, count in enumerate(SHAPE):
        at = np.arange(count) / COARSE_MM
        base = at.astype(int)
        share = (at - base).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        out = np.take(out, base, axis) * (1 - share) + np.take(out, base + 1, axis) * share
    return out


def _paint(source: Source, random: Random, out: NDArray[np.uint8], flat: NDArray, places: list[NDArray],
           small: FloatArray) -> None:
    """Draw rims, nuclei, dural sac, cord and the mixture around."""
    depth = source.depth.ravel()[flat]
    rim = int(random.uniform(0.8, 1.35) * RIM_MM * 10 / small.mean())
    thin = max(rim - 3, 8)
    out[(out >= T.MARROW) & (out < T.MARROW + 30) & (depth < rim)] = T.BODY_RIM
    out[(out >= T.ARCH) & (out < T.ARCH + 30) & (depth < thin)] = T.ARCH_RIM
    out[(out == T.SACRUM) & (depth < thin)] = T.SACRUM_RIM
    if source.sac is None or source.outside is None:
        _mix(random, out)
        return
    nucleus = (out >= T.ANNULUS) & (out < T.NUCLEUS) & (depth > int(random.uniform(40, 85)))
    out[nucleus] += T.NUCLEUS - T.ANNULUS
    out[(depth > 0) & (depth < 12) & (out > T.SACRUM) & (out < T.EPIDURAL)] = T.BONE_RIM
    _draw_sac(source, random, out, flat, places, small)
    empty = out == T.AIR
    outside = source.outside.ravel()[flat]
    fat = random.uniform(4, 40)
    out[empty & (outside < fat + 2)] = T.SKIN
    out[empty & (outside < fat)] = T.SUBCUTANEOUS
    _mix(random, out)


def _draw_sac(source: Source, random: Random, out: NDArray[np.uint8], flat: NDArray, places: list[NDArray],
              small: FloatArray) -> None:
    """Dural sac, cord and roots within the bony canal."""
    assert source.sac is not None
    canal = np.flatnonzero(out == T.EPIDURAL)
    share = source.sac.ravel()[flat.ravel()[canal]]
    canal = canal[share > random.uniform(15, 60) * small[0] ** 3]
    at_i, at_j, at_k = (p.ravel()[canal] for p in places)
    end = source.cord_ends_j + random.normal(5, 22)
    taper = np.sqrt(np.clip((end - at_j) / random.uniform(18.0, 45.0), 0, 1))
    middle_behind = random.uniform(-1.5, 2.0) + random.uniform(0.0, 4.0) * (1 - taper)  # the end lies at the back
    half_width = random.uniform(3.6, 6.2) / small[0]
    half_depth = half_width * random.uniform(0.65, 0.95) * small[0] / small[2]
    middle = source.axis[at_j]
    behind = at_k - middle[:, 1]
    off = np.hypot((at_i - middle[:, 0]) / half_width, (behind - middle_behind) / half_depth)
    value = np.full(len(canal), T.CSF, np.uint8)
    noise = _noise(random, out.shape, 2).ravel()[canal]
    value[(at_j > end - 25) & (behind > random.uniform(-2, 3)) & (noise > random.uniform(0, 1.5))] = T.ROOTS
    value[off < taper] = T.CORD
    out.ravel()[canal] = value


def _mix(random: Random, out: NDArray[np.uint8]) -> None:
    """Names for what has none: by smooth noise."""
    share = random.uniform(0.2, 0.8)
    mixed = _noise(random, out.shape, 4) * share + _noise(random, out.shape, 9) * (1 - share)
    bins = np.clip(mixed * 3.0 + 3, 0, 5).astype(np.uint8)
    free, near = out == T.CLUSTERS[0], out == T.NEAR[0]
    out[free] += bins[free]
    out[near] += np.clip(bins, 1, 4)[near] - 1
    if random.random() < 0.5:  # fat within muscles
        lean = np.isin(out, MUSCLES) & (_noise(random, out.shape, 3) > random.uniform(0.9, 2.2))
        out[lean] = T.NEAR[1]


def _noise(random: Random, shape: tuple[int, ...], size: int) -> NDArray[np.float32]:
    """Smooth noise of about unit deviation, cheaply: few values repeated smoothly."""
    coarse = random.standard_normal([n // size + 3 for n in shape]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, 0.7)
    coarse /= coarse.std()
    out = coarse
    for axis, count in enumerate(shape):
        at = np.arange(count) / size
        base = at.astype(int)
        part = (at - base).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        out = np.take(out, base, axis) * (1 - part) + np.take(out, base + 1, axis) * part
    return out


def _operated(tissue: NDArray[np.uint8], random: Random) -> NDArray[np.uint8] | None:
    """Screws and rods, cages, cement and lesions over what there is."""
    bodies = [n for n in range(T.MOST) if np.count_nonzero(tissue[::4, ::4, ::4] == T.MARROW + n) > 40]
    if not bodies:
        return None
    over = np.zeros(tissue.shape, np.uint8)
    kind = random.choice(["screws", "cement", "lesion", "cage", "endplates"], p=[0.35, 0.15, 0.2, 0.1, 0.2])
    first = int(random.integers(0, len(bodies)))
    for number in bodies[first:first + int(random.integers(1, 4))]:
        voxels = np.argwhere(tissue == T.MARROW + number)
        center = voxels.mean(axis=0)
        if kind == "screws":
            _screws(over, random, center, float(np.cbrt(len(voxels) / 25000.0)))
        elif kind == "endplates":
            _beside_disc(over, random, tissue, number)
        elif kind == "cage":
            disc = np.argwhere((tissue == T.ANNULUS + number) | (tissue == T.NUCLEUS + number))
            if len(disc):
                middle, size = disc.mean(axis=0), random.uniform(5, 10)
                near = disc[np.abs(disc - middle)[:, [0, 2]].max(axis=1) < size]
                over[tuple(near.T)] = T.CAGE
        else:
            _blob(over, random, voxels, T.CEMENT if kind == "cement" else T.LESION)
    return over


def _beside_disc(over: NDArray[np.uint8], random: Random, tissue: NDArray[np.uint8], number: int) -> None:
    """What wear does to the marrow on both sides of a disc."""
    disc = np.argwhere((tissue == T.ANNULUS + number) | (tissue == T.NUCLEUS + number))
    if not len(disc):
        return
    low, high = np.maximum(disc.min(axis=0) - 12, 0), disc.max(axis=0) + 13
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part = tissue[window]
    is_disc = (part == T.ANNULUS + number) | (part == T.NUCLEUS + number)
    away = ndimage.distance_transform_edt(~is_disc) + random.normal(0, 1.0) + _noise(random, part.shape, 6)
    marrow = (part == T.MARROW + number) | (part == T.MARROW + number + 1) | (part == T.SACRUM)
    over[window][marrow & (away < random.uniform(3.0, 10.0))] = T.LESION


def _blob(over: NDArray[np.uint8], random: Random, voxels: NDArray, value: int) -> None:
    middle = voxels[random.integers(len(voxels))]
    size = random.uniform(4, 12, 3)
    inside = (((voxels - middle) / size) ** 2).sum(axis=1) + random.normal(0, 0.15, len(voxels)) < 1
    over[tuple(voxels[inside].T)] = value


def _screws(over: NDArray[np.uint8], random: Random, center: FloatArray, size: float) -> None:
    """Two rods through the pedicles, and what joins them behind.

    :param size: of the vertebra relative to a lumbar one.
    """
    for side in (-1, 1):
        tip = center + size * np.array([side * random.uniform(4, 10), random.normal(0, 1.5), random.uniform(-12, 0)])
        head = center + size * np.array([side * random.uniform(15, 20), random.uniform(-6, 0), random.uniform(38, 46)])
        for share in np.linspace(0, 1, 90):
            _ball(over, tip + share * (head - tip), 1.0 + 1.6 * size)
        for share in np.linspace(-1, 1, 70):
            _ball(over, head + np.array([0, share * 22 * size, 0]), 1.2 + 1.6 * size)


def _ball(over: NDArray[np.uint8], center: FloatArray, radius: float) -> None:
    low = np.maximum(np.floor(center - radius).astype(int), 0)
    high = np.minimum(np.ceil(center + radius).astype(int) + 1, over.shape)
    if (high <= low).any():
        return
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offsets = np.ogrid[window]
    over[window][sum((o - c) ** 2 for o, c in zip(offsets, center, strict=True)) < radius**2] = T.METAL
