"""Phantoms as MR and CT images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .rasterize import Grid, evaluate, slabs, subsamples
from .solids import Solid
from .surroundings import Surroundings

Contrast = Literal["T1", "T2", "CT"]
Image = NDArray[np.float32]

_SAMPLE_MM = 1.0  # coarser voxels are averaged from samples at most this far apart
_SLAB_VOXELS = 4_000_000


@dataclass(frozen=True)
class Tissue:
    """Signal of a tissue, and by how much of it its texture varies."""

    T1: float
    T2: float
    CT: float
    texture: float = 0.04


_TISSUES = {
    "air": Tissue(4, 4, -1000, 0.0),
    "skin": Tissue(420, 330, 20),
    "fat": Tissue(860, 620, -100, 0.05),
    "muscle": Tissue(330, 145, 55, 0.30),
    "psoas": Tissue(320, 135, 55, 0.12),
    "interspinous": Tissue(560, 330, 10, 0.30),
    "bowel": Tissue(430, 330, 20, 0.30),
    "vessel": Tissue(60, 45, 45, 0.1),
    "ligament": Tissue(110, 60, 60),
    "cortex": Tissue(90, 60, 850, 0.06),
    "marrow": Tissue(510, 350, 190, 0.07),
    "modic1": Tissue(300, 560, 190, 0.07),
    "modic2": Tissue(740, 470, 170, 0.07),
    "modic3": Tissue(190, 130, 420, 0.07),
    "vein": Tissue(330, 520, 110),
    "annulus": Tissue(260, 85, 95, 0.08),
    "nucleus1": Tissue(320, 720, 80, 0.05),
    "nucleus2": Tissue(315, 590, 80, 0.07),
    "nucleus3": Tissue(300, 330, 85, 0.12),
    "nucleus4": Tissue(280, 170, 90, 0.12),
    "nucleus5": Tissue(260, 90, 70, 0.10),
    "dura": Tissue(150, 110, 40),
    "csf": Tissue(160, 950, 8, 0.02),
    "cord": Tissue(360, 430, 38, 0.03),
    "rootlet": Tissue(330, 330, 32),
    "nerve": Tissue(330, 290, 30),
}


def signal_of(tissue: str, contrast: Contrast) -> float:
    """A tissue's signal without texture, noise and the coil's unevenness."""
    return float(getattr(_TISSUES[tissue], contrast))


def render(before: Sequence[Solid], solids: Sequence[Solid], after: Sequence[Solid], surroundings: Surroundings,
           grid: Grid, contrast: Contrast, noise: float, bias: float, seed: int) -> Image:
    """The image on a grid.

    Edges get their share of both sides; voxels of more than a millimeter are averages over their extent.

    :param noise: standard deviation in units of the image, Rician for MR; :param bias: share of signal that is lost
        per 100 mm in front of the canal, as surface coils do (MR).
    """
    counts = [max(1, int(np.ceil(step / _SAMPLE_MM - 1e-6))) for step in grid.spacing]
    offsets = subsamples(counts)
    signal, texture = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    painted = [*before, *solids, *after]
    for rows, part in slabs(grid, _SLAB_VOXELS):
        for offset in offsets:
            a, b = _paint(painted, surroundings, part.shifted(offset), float(np.mean(grid.spacing / counts)), contrast)
            signal[rows] += a / len(offsets)
            texture[rows] += b / len(offsets)
    random = np.random.default_rng(seed)
    signal += texture * _grain(random, grid)
    if contrast == "CT":
        return signal + noise * random.standard_normal(grid.shape, np.float32)
    signal *= _coil(surroundings, grid, bias)
    real = signal + noise * random.standard_normal(grid.shape, np.float32)
    return np.hypot(real, noise * random.standard_normal(grid.shape, np.float32))


def _paint(solids: Sequence[Solid], surroundings: Surroundings, grid: Grid, blur_mm: float, contrast: Contrast,
           ) -> tuple[Image, Image]:
    """Signal and amplitude of texture by painting one tissue over the other."""
    air = _TISSUES["air"]
    signal = np.full(grid.shape, getattr(air, contrast), np.float32)
    texture = np.zeros(grid.shape, np.float32)

    def brush(window: tuple[slice, ...], tissue: str, distance: NDArray[np.floating]) -> None:
        value = getattr(_TISSUES[tissue], contrast)
        share = np.clip(np.broadcast_to(0.5 - distance / blur_mm, signal[window].shape), 0, 1).astype(np.float32)
        signal[window] += share * (value - signal[window])
        texture[window] += share * (_TISSUES[tissue].texture * abs(value) - texture[window])

    everywhere = tuple(slice(n) for n in grid.shape)
    for tissue, distance in surroundings.layers(*grid.coordinates(np.linalg.inv(surroundings.frame.matrix))):
        brush(everywhere, tissue, distance)
    for solid in solids:
        found = evaluate(solid, grid)
        if found is not None:
            for depth, tissue in solid.layers:
                brush(found[0], tissue, found[1] + depth)
    return signal, texture


def _grain(random: np.random.Generator, grid: Grid) -> Image:
    """Smooth noise of standard deviation one, about 1.5 mm fine with coarser clouds."""
    out = np.zeros(grid.shape, np.float32)
    for size in (0.7, 2.5):
        field = gaussian_filter(random.standard_normal(grid.shape, np.float32), size / grid.spacing, truncate=3)
        out += field / field.std()
    return out / np.float32(np.sqrt(2))


def _coil(surroundings: Surroundings, grid: Grid, bias: float) -> Image:
    _, y, _ = grid.coordinates(np.linalg.inv(surroundings.frame.matrix))
    return np.clip(1 - bias * (y - surroundings.y.mean()) / 100, 0.15, 1.6).astype(np.float32)
