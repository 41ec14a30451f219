"""Scans that never were, and what is to be seen in them; made on the device that the network is trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tissues as T
import torch
from degrade import degraded, normal, quantile
from looks import Look, random_look
from numpy.typing import NDArray
from torch import Tensor

from SpineAnalysisLib.segmentation.network.canonical import CEILING, CT_RANGE, NEIGHBORS, PERCENTILES
from SpineAnalysisLib.segmentation.network.classes import Class

Random = np.random.Generator

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


@dataclass(frozen=True, eq=False)
class Member:
    """One patient of the pool: on a GPU as a whole, else read from disk as it is needed."""

    tissue: Tensor
    over: Tensor | None
    fused: tuple[int, ...]
    spine: NDArray[np.int16]
    sacrum_j: int | None

    @staticmethod
    def read(path: Path, device: torch.device) -> "Member":
        over = path.with_suffix(".over.npy")
        fused = tuple(np.load(path.with_suffix(".fused.npy")).tolist())
        tissue, spine = np.load(path, mmap_mode="c"), np.load(path.with_suffix(".spine.npy"))
        sacrum = spine[_CLASS[tissue[tuple(spine.T)]] == Class.SACRUM] if len(spine) else spine
        return Member(torch.from_numpy(tissue).to(device),
                      torch.from_numpy(np.load(over, mmap_mode="c")).to(device) if over.exists() else None, fused,
                      spine, int(np.quantile(sacrum[:, 1], 0.02)) if len(sacrum) > 60 else None)


@dataclass(frozen=True, eq=False)
class Bank:
    """Noise: smooth fields of unit deviation and several grain sizes, and what more is drawn from."""

    fields: tuple[Tensor, ...]
    noise: torch.Generator

    @staticmethod
    def seeded(seed: int, device: torch.device) -> "Bank":
        noise = torch.Generator(device).manual_seed(seed)
        square = sum(torch.fft.fftfreq(n, device=device).reshape([-1 if a == axis else 1 for a in range(3)]) ** 2
                     for axis, n in enumerate(NOISE_SHAPE))
        fields = []
        for size in NOISE_MM:
            waves = torch.fft.fftn(torch.randn(NOISE_SHAPE, generator=noise, device=device))
            field = torch.fft.ifftn(waves * torch.exp(-2 * (torch.pi * size) ** 2 * square)).real
            fields.append(field / field.std())
        return Bank(tuple(fields), noise)


@dataclass(frozen=True, eq=False)
class Cut:
    """Where in a patient a sample is: voxels of its slices, rows and columns (some of them outside).

    :param weights: (CHANNELS, S) what each slice is mixed of; :param center: places in ``slices`` of the middle one's.
    """

    slices: NDArray[np.int_]
    weights: NDArray[np.float32]
    center: NDArray[np.int_]
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
    slices, back = np.unique(np.rint(places.ravel()).astype(int), return_inverse=True)
    profile = 1.0 - np.abs(offsets) / (thick / 2) if interpolated else np.ones(count)
    weights = np.kron(np.eye(CHANNELS), profile / profile.sum()) @ np.eye(len(slices))[back]  # neighbors share slices
    center = back[NEIGHBORS * count + np.flatnonzero(np.abs(offsets) <= step / 2)]
    rows = np.rint(j + (np.arange(height) - height / 2) * pixel).astype(int)
    columns = np.rint(k + (np.arange(width) - width / 2) * pixel).astype(int)
    return Cut(slices, weights.astype(np.float32), center, rows, columns, pixel)


def _beside(random: Random, member: Member, row: float) -> tuple[float, float]:
    """Slice and column of a place of the spine at about a row."""
    near = member.spine[np.abs(member.spine[:, 1] - row) < NEAR_ROWS_MM]
    i, _, k = near[random.integers(len(near))] + random.normal(0, (6.0, 0, 0))
    return i, k


def _take(volume: Tensor, cut: Cut) -> Tensor:
    """(S, H, W) int64; zero outside."""
    wanted = (cut.slices, cut.rows, cut.columns)
    low = [min(max(int(at.min()), 0), n - 1) for at, n in zip(wanted, volume.shape, strict=True)]
    high = [min(max(int(at.max()) + 1, 1), n) for at, n in zip(wanted, volume.shape, strict=True)]
    out = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    for axis, at in enumerate(wanted):
        index = np.clip(at, low[axis], high[axis] - 1) - low[axis]
        out = out.index_select(axis, torch.from_numpy(index).to(out.device))
    for axis, (at, count) in enumerate(zip(wanted, volume.shape, strict=True)):
        missing = (at < 0) | (at >= count)
        if missing.any():
            out.index_fill_(axis, torch.from_numpy(np.flatnonzero(missing)).to(out.device), T.AIR)
    return out.long()


def _texture(random: Random, bank: Bank, cut: Cut) -> Tensor:
    """(S, H, W) noise of about unit deviation."""
    share = random.dirichlet((1.0, 1.2, 0.8)) ** 0.5
    height, width = len(cut.rows), len(cut.columns)
    slices = (cut.slices + random.integers(0, NOISE_SHAPE[0])) % NOISE_SHAPE[0]
    out: Tensor | None = None
    for part, field in zip(share, bank.fields, strict=True):
        row, column = random.integers(0, NOISE_SHAPE[1] - height), random.integers(0, NOISE_SHAPE[2] - width)
        window = field[:, row:row + height, column:column + width]
        grain = window.index_select(0, torch.from_numpy(slices).to(field.device)) * part
        out = grain if out is None else out.add_(grain)
    assert out is not None
    return out


def sample(random: Random, member: Member, bank: Bank, height: int, width: int) -> tuple[Tensor, Tensor]:
    """One training sample.

    :return: (CHANNELS, H, W) normalized image; (K, H, W) share of each class in the middle slice.
    """
    cut = random_cut(random, member, height, width)
    look = random_look(random)
    tissue = _take(member.tissue, cut)
    image, metal = _imaged(random, look, member, cut, tissue, bank)
    device = image.device
    target = torch.from_numpy(_CLASS).to(device)[tissue[torch.from_numpy(cut.center).to(device)]]
    share = torch.stack([(target == c).float().mean(dim=0) for c in Class])
    image, shown = degraded(random, bank.noise, image, metal, look.is_ct, cut.pixel_mm)
    share[:, ~shown] = 0
    share[Class.BACKGROUND, ~shown] = 1
    values = normalized(image, look.is_ct)
    if random.random() < 0.8:
        values = (values * np.exp(random.normal(0, 0.2))) ** np.exp(random.normal(0, 0.15))
    return values.clamp(0, CEILING), share.half()


def normalized(image: Tensor, is_ct: bool) -> Tensor:
    """As a scan is normalized in use (``canonical.normalize``)."""
    values = image.clamp(*CT_RANGE) if is_ct else image
    shown = values[values > values.min()]
    if shown.numel() == 0:
        return torch.zeros_like(values)
    low, high = (quantile(shown, percent / 100) for percent in PERCENTILES)
    return ((values - low) / (high - low).clamp(min=1e-6)).clamp(0.0, CEILING)


def _imaged(random: Random, look: Look, member: Member, cut: Cut, tissue: Tensor, bank: Bank,
            ) -> tuple[Tensor, Tensor | None]:
    signal = look.signal.copy()
    for number in member.fused:
        mix = random.uniform(0.6, 1.0)
        for disc in (T.ANNULUS + number, T.NUCLEUS + number):
            signal[disc] += mix * (signal[T.MARROW + number] - signal[disc])
    device = tissue.device
    weights = torch.from_numpy(cut.weights).to(device)
    image = torch.from_numpy(signal).to(device)[tissue]
    image += torch.from_numpy(look.texture).to(device)[tissue] * _texture(random, bank, cut)
    metal = None
    if member.over is not None:
        over = _take(member.over, cut)
        grainy = torch.from_numpy(look.over).to(device)[over] * (1 + 0.1 * normal(bank.noise, image))
        image = torch.where(over > 0, grainy, image)
        is_metal = (over == T.METAL) | (over == T.CAGE)
        metal = torch.tensordot(weights, is_metal.float(), 1) if bool(is_metal.any()) else None
    return torch.tensordot(weights, image, 1), metal


def samples(folder: Path, seed: int, height: int, width: int, device: torch.device, reload_every: int = 400,
            ) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples without end from the patients that lie in a folder."""
    random = np.random.default_rng(seed)
    bank = Bank.seeded(seed, device)
    count = 0
    pool: list[Path] = []
    cache: dict[Path, Member] = {}
    while True:
        if count % reload_every == 0:
            pool = sorted(p for p in folder.glob("*.npy") if p.name.count(".") == 1)
        path = pool[random.integers(len(pool))]
        if path not in cache:
            cache[path] = Member.read(path, device)
        yield sample(random, cache[path], bank, height, width)
        count += 1
