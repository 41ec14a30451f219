"""What scanners, patients and implants do to an image; on whatever device the image is.

Numbers that shape an image are drawn by NumPy, noise by PyTorch where it is needed.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

Random = np.random.Generator

AXIAL, BLOCK, BLOCK_MM = 0.18, 0.4, (18.0, 90.0)
"""Share of axial scans, share of those that are blocks of a few slices, and how much of the spine blocks show."""


def degraded(random: Random, noise: torch.Generator, image: Tensor, metal: Tensor | None, is_ct: bool, pixel_mm: float,
             ) -> tuple[Tensor, Tensor]:
    """The image as it might have been taken.

    :param image: (C, H, W) ideal slices; :param metal: (C, H, W) share of metal.
    :return: the image, and (H, W) where the field of view is; the image is blank (its lowest value) elsewhere.
    """
    if metal is not None:
        image = _with_metal(random, noise, image, metal, is_ct)
    axial = random.random() < AXIAL
    if axial:
        image = _thick_rows(random, image, pixel_mm)
    blur = random.uniform(0.3, 0.8) if random.random() < 0.75 else random.uniform(0.8, 1.9)
    stretch = np.exp(random.normal(0, 0.2))
    image = blurred(image, blur * stretch, blur / stretch)
    image = _ct_noise(random, noise, image) if is_ct else _mr_defects(random, noise, image)
    return _framed(random, image, -1024.0 if is_ct else 0.0, round(random.uniform(*BLOCK_MM) / pixel_mm) if (
        axial and random.random() < BLOCK) else None)


def blurred(image: Tensor, rows: float, columns: float) -> Tensor:
    """(C, H, W) blurred by a Gaussian of these standard deviations, in pixels."""
    return _mixing(image.shape[1], rows, image.device) @ image @ _mixing(image.shape[2], columns, image.device).T


def _mixing(count: int, size: float, device: torch.device) -> Tensor:
    """(count, count) what each pixel of a line is mixed of."""
    at = torch.arange(count, device=device)
    weight = torch.exp(-0.5 * ((at - at[:, None]) / size) ** 2)
    return weight / weight.sum(dim=1, keepdim=True)


def quantile(values: Tensor, share: float) -> Tensor:
    """The value that lies nearest to it."""
    return values.flatten().kthvalue(1 + round(share * (values.numel() - 1))).values


def normal(noise: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=noise, device=like.device)


def _thick_rows(random: Random, image: Tensor, pixel_mm: float) -> Tensor:
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
    return torch.from_numpy((up @ down).astype(np.float32)).to(image.device) @ image


def _ct_noise(random: Random, noise: torch.Generator, image: Tensor) -> Tensor:
    grain = blurred(normal(noise, image), random.uniform(0.3, 0.9), random.uniform(0.3, 0.9))
    return image + grain / grain.std() * (random.exponential(16) + 3)


def _mr_defects(random: Random, noise: torch.Generator, image: Tensor) -> Tensor:
    """Coil falloff, saturation bands, ghosts and noise."""
    _, height, width = image.shape
    y = torch.linspace(-1, 1, height, device=image.device)[:, None]
    x = torch.linspace(-1, 1, width, device=image.device)[None, :]
    fall = random.uniform(-0.2, 1.3)
    field = 0.5 * fall * x - random.uniform(0, 0.5) * (y - random.uniform(-0.5, 0.5)) ** 2
    coarse = torch.from_numpy(random.normal(0, random.uniform(0.02, 0.22), (1, 1, 4, 4)).astype(np.float32))
    field = field + interpolate(coarse.to(image.device), (height, width), mode="bicubic", align_corners=False)[0, 0]
    image = image * torch.exp(field)
    if random.random() < 0.25:  # saturation band, before the spine as a rule
        edge = random.uniform(-0.9, 0.1)
        image = image * (1 - random.uniform(0.5, 0.95) * torch.sigmoid((edge - x + random.normal(0, 0.1) * y) * 40))
    if random.random() < 0.2:
        shift, share = int(random.integers(8, 60)), random.uniform(0.03, 0.15)
        image = image + share * torch.roll(image, shift, 1 + int(random.random() < 0.4))
    if random.random() < 0.3:
        gains = np.exp(random.normal(0, 0.08, (len(image), 1, 1))).astype(np.float32)
        image = image * torch.from_numpy(gains).to(image.device)
    level = quantile(image[:, ::4, ::4], 0.9) * random.choice([0.01, 0.02, 0.04, 0.08, 0.12]) * random.uniform(0.5, 1.3)
    return torch.hypot(image + normal(noise, image) * level, normal(noise, image) * level)


def _with_metal(random: Random, noise: torch.Generator, image: Tensor, metal: Tensor, is_ct: bool) -> Tensor:
    """Signal voids with bright borders in MR, streaks in CT."""
    spread = blurred(metal, *random.uniform(1.0, 4.0, 2))
    spread = 0.8 * spread + 0.1 * (torch.roll(spread, 1, 0) + torch.roll(spread, -1, 0))  # into the next slices
    peak = torch.clamp(spread.max(), min=1e-3)
    if is_ct:
        weight = torch.sqrt(spread.amax(dim=2, keepdim=True) / peak)
        streak = blurred(normal(noise, image), 0.8, 12)
        return image + weight * streak / streak.std() * random.uniform(20, 220)
    void = torch.clamp((spread / peak - 0.12) * 6, 0, 1)
    border = torch.clamp(1 - torch.abs(spread / peak - 0.1) / 0.06, 0, 1)
    return image * (1 - void) + border * quantile(image[:, ::4, ::4], 0.95) * random.uniform(0.0, 1.5)


def _framed(random: Random, image: Tensor, blank: float, block: int | None) -> tuple[Tensor, Tensor]:
    """A field of view that may end within the picture, and neighbors that may be missing.

    :param block: rows that an axial block shows, ``None`` where the scan is none.
    """
    count, height, width = image.shape
    shown = torch.ones((height, width), dtype=torch.bool, device=image.device)
    if block is not None and block < height:
        first = int(random.integers(0, height - block))
        shown[:first] = shown[first + block:] = False
    elif random.random() < 0.15:
        for axis, size in ((0, height), (1, width)):
            low, high = 0, size
            if random.random() < 0.6:
                low = int(random.integers(0, size // 2))
            if random.random() < 0.6:
                high = int(random.integers(max(size // 2, low + 16), size + 1))
            inside = shown.narrow(axis, low, high - low).clone()
            shown.zero_()
            shown.narrow(axis, low, high - low).copy_(inside)
    out = torch.where(shown, torch.clamp(image, min=blank), blank)
    if random.random() < 0.2:
        lost = int(random.integers(1, count // 2 + 1))
        out[slice(lost) if random.random() < 0.5 else slice(-lost, None)] = blank
    return out, shown
