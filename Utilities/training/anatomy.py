"""Whole-body masks as anatomies: bodies, arches, discs and canal split and smoothed."""

import hashlib
import json
from pathlib import Path

import numpy as np
import tissues as T
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image
from source import Plate, Source

from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.build import build_spine
from SpineAnalysisLib.derive.tubes import front_of
from SpineAnalysisLib.derive.vertebrae import bones_of, split_body
from SpineAnalysisLib.reading.image import read_file
from SpineAnalysisLib.schemes import understand
from SpineAnalysisLib.segmentation.network.canonical import anatomical_axes
from SpineAnalysisLib.spine import Spine
from SpineAnalysisLib.volume import Volume, bounding_box

PAD_MM = 45
"""Added on every side: skin, fat and air."""
CONTENT = 27
"""The masks' own cord, which goes on to the sacrum and is narrower than the dural sac."""
CANAL = 119
SMOOTH_MM = 1.3
NEAR_MM = 9.0
"""What is unnamed and this near to the spine's bone is ligament, fat and roots."""
BONES = ("rib", "hip", "femur", "scapula", "clavicula", "humerus", "sternum", "skull")


def source_of_masks(folder: Path, subject: str) -> Source:
    """One subject of ``whole_body_masks_totalsegmentator``."""
    names = {int(k): v for k, v in json.loads((folder / "labels.json").read_text()).items()}
    raw = read_file(folder / f"{subject}_labels.nii.gz", "The mask")
    volume = Volume(raw.array, raw.ijk_to_ras, subject)
    spine = build_spine(understand(volume, names=names).labels)
    parts = volume.with_array(_parts(volume, spine))
    fine = _smoothed(parts)
    ras_to_ijk = fine.ras_to_ijk
    tissue = fine.array
    bones = [value for value, name in names.items() if name.startswith(BONES)]
    sac, axis = _canal(tissue)
    depth = _depth(tissue, bones)
    tissue[(tissue == CONTENT) | (tissue == CANAL)] = T.EPIDURAL
    outside = _fill(tissue)
    return Source(subject, tissue, depth, sac, outside, axis, _plates(spine, ras_to_ijk),
                  _row_of(spine, Level.L1, ras_to_ijk))


def digest(folder: Path, subject: str) -> str:
    return hashlib.sha256((folder / f"{subject}_labels.nii.gz").read_bytes()).hexdigest()


def _parts(volume: Volume, spine: Spine) -> NDArray[np.uint8]:
    """The masks with every vertebra split and numbered from the top, discs and canal added."""
    out = np.asarray(volume.array, np.uint8).copy()
    out[out == 25] = T.SACRUM
    levels = [level for level in spine.labels.levels if level is not Level.S1]
    assert spine.canal is not None
    front = front_of(spine.canal, spine.centerline)
    windows = {v: w for v, w in enumerate(ndimage.find_objects(spine.labels.array), 1) if w is not None}
    whole = {bone.level: bone for bone in bones_of(spine.labels, windows)}
    forward = {v.level: v.frame.anterior for v in spine.vertebrae}
    for number, level in enumerate(levels):
        bone = spine.labels.mask(spine.labels.values(Kind.VERTEBRA, level))
        out[bone] = T.ARCH + number
        nearest = min(forward, key=lambda known: abs(known - level))
        body = split_body(whole[level], spine.centerline, front, forward[nearest]).body
        assert body is not None
        clean = ndimage.binary_opening(body.array, iterations=2) & body.array
        lower = np.rint(spine.labels.to_ijk(body.to_ras(np.zeros(3)))).astype(int)
        window = tuple(slice(a, a + n) for a, n in zip(lower, clean.shape, strict=True))
        out[window][clean] = T.MARROW + number
        disc = spine.labels.mask(spine.labels.values(Kind.DISC, level))
        out[disc] = T.ANNULUS + number
    canal = spine.labels.mask(spine.labels.values(Kind.CANAL))
    out[canal & (out != CONTENT)] = CANAL
    return out


def _smoothed(parts: Volume) -> Volume:
    """The parts on a canonical grid of 1 mm, each with a smooth surface."""
    order, flips = anatomical_axes(parts)
    array = parts.array.transpose(order)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    spacing = parts.spacing[list(order)]
    pad = np.ceil(PAD_MM / spacing).astype(int)
    shape = np.ceil((np.array(array.shape) + 2 * pad) * spacing).astype(int)
    best, total = np.zeros(shape, np.float16), np.zeros(shape, np.float16)
    out = np.zeros(shape, np.uint8)
    for value, window in enumerate(ndimage.find_objects(array), 1):
        if window is not None:
            _add(value, array, window, pad, spacing, (best, total, out))
    out[total < 0.5] = 0
    matrix = parts.ijk_to_ras[:3, list(order)].copy()
    origin = parts.ijk_to_ras[:3, 3].copy()
    for axis, flip in enumerate(flips):
        if flip:
            origin += matrix[:, axis] * (array.shape[axis] - 1)
            matrix[:, axis] *= -1
    full = np.eye(4)
    full[:3, :3] = matrix / spacing
    full[:3, 3] = origin - matrix @ pad
    return Volume(out, full, parts.name)


def _add(value: int, array: NDArray, window: tuple[slice, ...], pad: NDArray, spacing: NDArray,
         arrays: tuple[NDArray, NDArray, NDArray]) -> None:
    best, total, out = arrays
    low = np.array([max(w.start - 3, 0) for w in window])
    high = np.array([min(w.stop + 3, n) for w, n in zip(window, array.shape, strict=True)])
    mask = (array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == value).astype(np.float32)
    score = ndimage.gaussian_filter(mask, SMOOTH_MM / spacing * 0.75)
    first = np.ceil((low + pad) * spacing).astype(int)
    last = np.minimum(np.floor((high - 1 + pad) * spacing).astype(int) + 1, out.shape)
    for axis in range(3):
        at = np.arange(first[axis], last[axis]) / spacing[axis] - pad[axis] - low[axis]
        base = np.clip(np.floor(at).astype(int), 0, score.shape[axis] - 2)
        share = (at - base).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        score = np.take(score, base, axis) * (1 - share) + np.take(score, base + 1, axis) * share
    place = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    total[place] += score.astype(np.float16)
    better = score > best[place]
    best[place][better] = score[better]
    out[place][better] = value


def _canal(tissue: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray]:
    """How far inside the dural sac, between the masks' cord (narrowest) and the bony canal; and its middle."""
    inner, outer = tissue == CONTENT, (tissue == CANAL) | (tissue == CONTENT)
    box = bounding_box(outer, 8)
    assert box is not None
    place = tuple(slice(max(a, 0), b) for a, b in zip(*box, strict=True))
    near, wide = inner[place], outer[place]
    # 0 on the canal's wall, 1 on the content's surface and inside it
    from_wall = ndimage.distance_transform_edt(wide)
    to_content = ndimage.distance_transform_edt(~near)
    share = np.where(near, 1.0, from_wall / np.maximum(from_wall + to_content, 1e-3)) * wide
    sac = np.zeros(tissue.shape, np.int8)
    sac[place] = np.clip(ndimage.gaussian_filter(share, 0.8) * 100, 0, 100).astype(np.int8)
    axis = np.full((tissue.shape[1], 2), np.nan)
    for j in np.flatnonzero(near.any(axis=(0, 2))):
        axis[j + place[1].start] = np.argwhere(near[:, j]).mean(axis=0) + np.array([place[0].start, place[2].start])
    known = np.isfinite(axis[:, 0])
    rows = np.arange(len(axis))
    for column in range(2):
        filled = np.interp(rows, rows[known], axis[known, column])
        axis[:, column] = np.where(known, ndimage.gaussian_filter1d(filled, 6.0), np.nan)
    return sac, axis


def _depth(tissue: NDArray[np.uint8], bones: list[int]) -> NDArray[np.uint8]:
    """Depth below the surface of bone and (counted with the bodies, so from outside only) of discs."""
    vertebra = (tissue >= T.MARROW) & (tissue < T.ANNULUS)
    disc = tissue >= T.ANNULUS
    out = np.zeros(tissue.shape, np.uint8)
    for mask, wanted in ((vertebra | (tissue == T.SACRUM) | np.isin(tissue, bones), None), (disc | (
            (tissue >= T.MARROW) & (tissue < T.ARCH)), disc)):
        box = bounding_box(mask, 2)
        assert box is not None
        place = tuple(slice(max(a, 0), b) for a, b in zip(*box, strict=True))
        smooth = ndimage.distance_transform_edt(mask[place]) - 0.5
        value = np.clip(smooth * 10, 0, 255).astype(np.uint8)
        chosen = mask[place] if wanted is None else wanted[place]
        out[place][chosen] = value[chosen]
    return out


def _fill(tissue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Name what the masks leave out within the body; how far outside of all masks the rest is, mm."""
    bone = (tissue >= T.MARROW) | (tissue == T.SACRUM)
    half = np.s_[::2, ::2, ::2]
    near = ndimage.distance_transform_edt(~bone[half]) * 2 < NEAR_MM
    body = tissue[half] > 0
    hull = np.stack([convex_hull_image(body[:, j]) if body[:, j].any() else body[:, j]
                     for j in range(body.shape[1])], axis=1)
    hull = ndimage.gaussian_filter(hull.astype(np.float32), 4.0) > 0.5
    outside = np.minimum(ndimage.distance_transform_edt(~hull) * 2, 255).astype(np.uint8)
    size = np.s_[:tissue.shape[0], :tissue.shape[1], :tissue.shape[2]]
    outside, near = (_doubled(a)[size] for a in (outside, near))
    free = tissue == 0
    tissue[free & near] = T.NEAR[0]
    tissue[free & ~near & (outside == 0)] = T.CLUSTERS[0]
    return outside


def _doubled(array: NDArray) -> NDArray:
    for axis in range(3):
        array = np.repeat(array, 2, axis)
    return array


def _plates(spine: Spine, ras_to_ijk: NDArray) -> tuple[Plate, ...]:
    out = []
    for vertebra in spine.vertebrae:
        planes = (vertebra.superior_endplate, vertebra.inferior_endplate)
        if planes[0] is None or (planes[1] is None and vertebra.level is not Level.S1):
            continue
        for plane in planes:
            if plane is not None:
                down = -(ras_to_ijk[:3, :3] @ plane.normal)
                out.append(Plate(ras_to_ijk[:3, :3] @ plane.origin + ras_to_ijk[:3, 3], down / np.linalg.norm(down)))
    return tuple(out)


def _row_of(spine: Spine, level: Level, ras_to_ijk: NDArray) -> float:
    place = {v.level: v.frame.origin for v in spine.vertebrae}[level]
    return float((ras_to_ijk[:3, :3] @ place + ras_to_ijk[:3, 3])[1])
