"""What scanners, patients and implants do to an image."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Random = np.random.Generator
Image = NDArray[np.float32]


AXIAL, BLOCK, BLOCK_MM = 0.18, 0.4, (18.0, 90.0)
"""Share of axial scans, share of those that are blocks of a few slices, and how much of the spine blocks show."""


def degraded(random: Random, image: Image, metal: Image | None, is_ct: bool, pixel_mm: float,
             ) -> tuple[Image, NDArray[np.bool_]]:
    """The image as it might have been taken.

    :param image: (C, H, W) ideal slices; :param metal: (C, H, W) share of metal.
    :return: the image, and (H, W) where the field of view is; the image is blank (its lowest value) elsewhere.
    """
    if metal is not None:
        image = _with_metal(random, image, metal, is_ct)
    axial = random.random() < AXIAL
    if axial:
        image = _thick_rows(random, image, pixel_mm)
    blur = random.uniform(0.3, 0.8) if random.random() < 0.75 else random.uniform(0.8, 1.9)
    stretch = np.exp(random.normal(0, 0.2))
    image = ndimage.gaussian_filter(image, (0, blur * stretch, blur / stretch), truncate=2.5)
    image = _ct_noise(random, image) if is_ct else _mr_defects(random, image)
    return _framed(random, image, -1024.0 if is_ct else 0.0, round(random.uniform(*BLOCK_MM) / pixel_mm) if (
        axial and random.random() < BLOCK) else None)


def _thick_rows(random: Random, image: Image, pixel_mm: float) -> Image:
    """Axial slices of 2-5 mm, seen from the side."""
    count = image.shape[1]
    step = random.uniform(1.8, 5.5) / pixel_mm
    if step < 1.2:
        return image
    thick = step * random.uniform(0.7, 1.0)
    at = np.arange(random.uniform(0, step), count, step)
    rows = np.arange(count)
    down = np.clip(thick / 2 + 0.5 - np.abs(rows - at[:, None]), 0, 1)
    down /= down.sum(axis=1, keepdims=True)
    up = np.clip(1 - np.abs(rows[:, None] - at) / step, 0, 1)
    up /= np.maximum(up.sum(axis=1, keepdims=True), 1e-6)
    return np.einsum("ab,cbw->caw", (up @ down).astype(np.float32), image, optimize=True)


def _ct_noise(random: Random, image: Image) -> Image:
    grain = ndimage.gaussian_filter(random.standard_normal(image.shape, np.float32),
                                    (0, random.uniform(0.3, 0.9), random.uniform(0.3, 0.9)), truncate=2)
    grain /= max(float(grain.std()), 1e-6)
    return image + grain * np.float32(random.exponential(16) + 3)


def _mr_defects(random: Random, image: Image) -> Image:
    """Coil falloff, saturation bands, ghosts and noise."""
    _, height, width = image.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    fall = random.uniform(-0.2, 1.3)
    field = np.exp(0.5 * fall * x - random.uniform(0, 0.5) * (y - random.uniform(-0.5, 0.5)) ** 2)
    coarse = random.normal(0, random.uniform(0.02, 0.22), (4, 4)).astype(np.float32)
    smooth = ndimage.zoom(coarse, (height / 4, width / 4), order=2, mode="nearest", grid_mode=True)
    field = (field * np.exp(smooth)).astype(np.float32)
    if random.random() < 0.25:  # saturation band, before the spine as a rule
        edge = random.uniform(-0.9, 0.1)
        field = field * (1 - random.uniform(0.5, 0.95) / (1 + np.exp((x - edge - random.normal(0, 0.1) * y) * 40)))
    image = image * field
    if random.random() < 0.2:
        shift, share = int(random.integers(8, 60)), random.uniform(0.03, 0.15)
        axis = 1 + int(random.random() < 0.4)
        image = image + share * np.roll(image, shift, axis)
    if random.random() < 0.3:
        gains = np.exp(random.normal(0, 0.08, (len(image), 1, 1)))
        image = image * gains.astype(np.float32)
    level = np.float32(np.percentile(image[:, ::4, ::4], 90) * random.choice([0.01, 0.02, 0.04, 0.08, 0.12]) *
                       random.uniform(0.5, 1.3))
    noise = random.standard_normal((2, *image.shape), np.float32) * level
    return np.hypot(image + noise[0], noise[1])


def _with_metal(random: Random, image: Image, metal: Image, is_ct: bool) -> Image:
    """Signal voids with bright borders in MR, streaks in CT."""
    spread = ndimage.gaussian_filter(metal, (0.5, *random.uniform(1.0, 4.0, 2)))
    peak = max(float(spread.max()), 1e-3)
    if is_ct:
        weight = np.sqrt(spread.max(axis=2, keepdims=True) / peak)
        streak = ndimage.gaussian_filter(random.standard_normal(image.shape, np.float32), (0, 0.8, 12))
        streak /= max(float(streak.std()), 1e-6)
        return image + weight * streak * np.float32(random.uniform(20, 220))
    void = np.clip((spread / peak - 0.12) * 6, 0, 1)
    border = np.clip(1 - np.abs(spread / peak - 0.1) / 0.06, 0, 1)
    bright = np.float32(np.percentile(image, 95) * random.uniform(0.0, 1.5))
    return image * (1 - void) + border * bright


def _framed(random: Random, image: Image, blank: float, block: int | None) -> tuple[Image, NDArray[np.bool_]]:
    """A field of view that may end within the picture, and neighbors that may be missing.

    :param block: rows that an axial block shows, ``None`` where the scan is none.
    """
    _, height, width = image.shape
    shown = np.ones((height, width), bool)
    if block is not None and block < height:
        first = int(random.integers(0, height - block))
        shown[:first] = shown[first + block:] = False
    elif random.random() < 0.15:
        for axis, size in ((0, height), (1, width)):
            ends = np.array([0, size])
            if random.random() < 0.6:
                ends[0] = random.integers(0, size // 2)
            if random.random() < 0.6:
                ends[1] = random.integers(max(size // 2, ends[0] + 16), size + 1)
            outside = np.ones(size, bool)
            outside[ends[0]:ends[1]] = False
            shown[(slice(None),) * axis + (outside,)] = False
    lost = 0
    if random.random() < 0.2:
        lost = int(random.integers(1, image.shape[0] // 2 + 1))
    out = np.where(shown, np.maximum(image, blank), np.float32(blank))
    if lost:
        if random.random() < 0.5:
            out[:lost] = blank
        else:
            out[-lost:] = blank
    return out.astype(np.float32), shown
