"""Scans that never were, and what is to be seen in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tissues as T
from degrade import degraded
from looks import Look, random_look
from numpy.typing import NDArray
from scipy import ndimage

from SpineAnalysisLib.segmentation.network.canonical import NEIGHBORS, normalize
from SpineAnalysisLib.segmentation.network.classes import Class

Random = np.random.Generator
Image = NDArray[np.float32]

CHANNELS = 2 * NEIGHBORS + 1
NOISE_SHAPE = (64, 448, 448)
NOISE_MM = (0.7, 2.0, 6.0)
ON_SPINE = 0.93
"""Share of the samples that show the spine; the others may be from anywhere."""
ACROSS, REACH_MM, NEAR_ROWS_MM = 0.65, 36.0, 20.0
"""Share of those whose slice is drawn evenly from side to side of the spine, so that the sides of bodies, which few
voxels lie in, and the muscles beside them are learned as well as the middle; how far; rows that tell the middle."""
INTERPOLATED, SPREAD = 0.35, (2.2, 4.8)
"""Share of scans whose slices were interpolated from thicker ones, and the width of the triangle that tells what is
mixed in each, in steps: slices of 4 mm, interpolated linearly and sampled every 3 mm, mix what lies within 3.8 steps
(a triangle of the same deviation).  The body's side fades slowly there."""
ENDS_LOW, BELOW_MM = 0.15, (3.0, 75.0)
"""Share of the samples that end within the sacrum, as most lumbar scans do, and how far below its top."""
_CLASS = T.class_table()
SPINE_TISSUES = _CLASS != Class.BACKGROUND


@dataclass(frozen=True, eq=False)
class Member:
    """One patient of the pool, read from disk as it is needed."""

    tissue: NDArray[np.uint8]
    over: NDArray[np.uint8] | None
    fused: tuple[int, ...]
    spine: NDArray[np.int16]
    sacrum_j: int | None

    @staticmethod
    def read(path: Path) -> "Member":
        over = path.with_suffix(".over.npy")
        fused = tuple(np.load(path.with_suffix(".fused.npy")).tolist())
        tissue, spine = np.load(path, mmap_mode="r"), np.load(path.with_suffix(".spine.npy"))
        sacrum = spine[_CLASS[tissue[tuple(spine.T)]] == Class.SACRUM] if len(spine) else spine
        return Member(tissue, np.load(over, mmap_mode="r") if over.exists() else None, fused, spine,
                      int(np.quantile(sacrum[:, 1], 0.02)) if len(sacrum) > 60 else None)


def noise_bank(random: Random) -> list[Image]:
    """Smooth noise of unit deviation and several grain sizes."""
    out = []
    for size in NOISE_MM:
        field = ndimage.gaussian_filter(random.standard_normal(NOISE_SHAPE, np.float32), size, mode="wrap", truncate=3)
        out.append((field / field.std()).astype(np.float32))
    return out


@dataclass(frozen=True, eq=False)
class Cut:
    """Where in a patient a sample is: voxels of its slices, rows and columns (some of them outside)."""

    slices: NDArray[np.int_]
    weights: Image  # (CHANNELS, len(slices))
    center: NDArray[np.int_]  # positions in slices that make the middle one
    rows: NDArray[np.int_]
    columns: NDArray[np.int_]
    pixel_mm: float


def random_cut(random: Random, member: Member, height: int, width: int) -> Cut:
    coarse = random.random() < 0.16
    pixel = random.uniform(1.5, 2.2) if coarse else float(np.clip(np.exp(random.normal(0, 0.13)), 0.7, 1.45))
    step = float(random.choice([3.0, random.uniform(2.7, 5.5)], p=[0.45, 0.55]))
    thick = step if random.random() < 0.4 else random.uniform(0.55, 1.0) * step
    interpolated = random.random() < INTERPOLATED
    if interpolated:
        step = 3.0 if random.random() < 0.6 else step
        thick = random.uniform(*SPREAD) * step
    size = np.array([height, width]) * pixel
    if len(member.spine) and random.random() < ON_SPINE:
        i, j, k = member.spine[random.integers(len(member.spine))] + random.normal(0, (6.0, 0, 0))
        if random.random() < ACROSS:
            near = np.abs(member.spine[:, 1] - j) < NEAR_ROWS_MM
            i = np.median(member.spine[near, 0]) + random.uniform(-REACH_MM, REACH_MM)
        if member.sacrum_j is not None and random.random() < ENDS_LOW:
            j = member.sacrum_j + random.uniform(*BELOW_MM) - size[0] / 2
            i, k = _beside(random, member, member.sacrum_j)
            k += random.uniform(-0.35, 0.35) * size[1]
        else:
            j, k = np.array([j, k]) + random.uniform(-0.35, 0.35, 2) * size
    else:
        i, j, k = random.uniform(0, 1, 3) * member.tissue.shape
    sub = 1.5 if coarse or interpolated else 1.0
    count = max(1, round(thick / sub))
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * thick
    places = i + np.arange(-NEIGHBORS, NEIGHBORS + 1)[:, None] * step + offsets
    slices = np.rint(places.ravel()).astype(int)
    profile = 1.0 - np.abs(offsets) / (thick / 2) if interpolated else np.ones(count)
    weights = np.kron(np.eye(CHANNELS), profile / profile.sum()).astype(np.float32)
    center = NEIGHBORS * count + np.flatnonzero(np.abs(offsets) <= step / 2)
    rows = np.rint(j + (np.arange(height) - height / 2) * pixel).astype(int)
    columns = np.rint(k + (np.arange(width) - width / 2) * pixel).astype(int)
    return Cut(slices, weights, center, rows, columns, pixel)


def _beside(random: Random, member: Member, row: float) -> tuple[float, float]:
    """Slice and column of a place of the spine at about a row."""
    near = member.spine[np.abs(member.spine[:, 1] - row) < NEAR_ROWS_MM]
    i, _, k = near[random.integers(len(near))] + random.normal(0, (6.0, 0, 0))
    return i, k


def _take(volume: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """(S, H, W); zero outside."""
    index = [np.clip(a, 0, n - 1) for a, n in zip((cut.slices, cut.rows, cut.columns), volume.shape, strict=True)]
    unique, back = np.unique(index[0], return_inverse=True)
    low, high = index[2].min(), index[2].max() + 1
    out = np.stack([volume[i, index[1].min():index[1].max() + 1, low:high] for i in unique])
    out = out[:, index[1] - index[1].min()][:, :, index[2] - low][back]
    for axis, (wanted, count) in enumerate(zip((cut.slices, cut.rows, cut.columns), volume.shape, strict=True)):
        missing = (wanted < 0) | (wanted >= count)
        if missing.any():
            out[(slice(None),) * axis + (missing,)] = T.AIR
    return out


def _texture(random: Random, bank: list[Image], cut: Cut) -> Image:
    """(S, H, W) noise of about unit deviation, the same wherever a cut repeats a slice."""
    share = (random.dirichlet((1.0, 1.2, 0.8)) ** 0.5).astype(np.float32)
    unique, back = np.unique(cut.slices, return_inverse=True)
    height, width = len(cut.rows), len(cut.columns)
    first = random.integers(0, NOISE_SHAPE[0])
    field = np.zeros((len(unique), height, width), np.float32)
    for part, noise in zip(share, bank, strict=True):
        row, column = random.integers(0, NOISE_SHAPE[1] - height), random.integers(0, NOISE_SHAPE[2] - width)
        for n, i in enumerate(unique):
            field[n] += part * noise[(i + first) % NOISE_SHAPE[0], row:row + height, column:column + width]
    return field[back] if len(unique) < len(cut.slices) else field


def sample(random: Random, member: Member, bank: list[Image], height: int, width: int,
           ) -> tuple[Image, NDArray[np.float16]]:
    """One training sample.

    :return: (CHANNELS, H, W) normalized image; (K, H, W) share of each class in the middle slice.
    """
    cut = random_cut(random, member, height, width)
    look = random_look(random)
    tissue = _take(member.tissue, cut)
    image, metal = _imaged(random, look, member, cut, tissue, bank)
    target = _CLASS[tissue[cut.center]]
    share = np.stack([(target == c).mean(axis=0) for c in Class]).astype(np.float16)
    image, shown = degraded(random, image, metal, look.is_ct, cut.pixel_mm)
    share[:, ~shown] = 0
    share[Class.BACKGROUND, ~shown] = 1
    values = normalize(image, look.is_ct)
    if random.random() < 0.8:
        values = np.clip(values * np.exp(random.normal(0, 0.2)), 0, None) ** np.exp(random.normal(0, 0.15))
    return np.clip(values, 0, 1.25).astype(np.float32), share


def _imaged(random: Random, look: Look, member: Member, cut: Cut, tissue: NDArray[np.uint8],
            bank: list[Image]) -> tuple[Image, Image | None]:
    signal = look.signal.copy()
    for number in member.fused:
        mix = random.uniform(0.6, 1.0)
        for disc in (T.ANNULUS + number, T.NUCLEUS + number):
            signal[disc] += mix * (signal[T.MARROW + number] - signal[disc])
    image = signal[tissue]
    image += look.texture[tissue] * _texture(random, bank, cut)
    metal = None
    if member.over is not None:
        over = _take(member.over, cut)
        if over.any():
            covered = over > 0
            image[covered] = look.over[over[covered]] * (1 + 0.1 * random.standard_normal(np.count_nonzero(covered)))
            metal = (over == T.METAL) | (over == T.CAGE)
            metal = np.tensordot(cut.weights, metal.astype(np.float32), 1) if metal.any() else None
    return np.tensordot(cut.weights, image, 1), metal


def samples(folder: Path, seed: int, height: int, width: int, reload_every: int = 400,
            ) -> Iterator[tuple[Image, NDArray[np.float16]]]:
    """Samples without end from the patients that lie in a folder."""
    random = np.random.default_rng(seed)
    bank = noise_bank(random)
    count = 0
    pool: list[Path] = []
    cache: dict[Path, Member] = {}
    while True:
        if count % reload_every == 0:
            pool = sorted(p for p in folder.glob("*.npy") if p.name.count(".") == 1)
        path = pool[random.integers(len(pool))]
        if path not in cache:
            cache[path] = Member.read(path)
        yield sample(random, cache[path], bank, height, width)
        count += 1
