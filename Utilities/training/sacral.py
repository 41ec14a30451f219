"""What is left of the discs within the sacrum.

Masks and phantoms hold the sacrum in one piece. Scans show a disc or its scar between its first two bodies, often one
below, and a field of view that ends there shows a first sacral body that looks much like one more vertebra. What tells
it apart is the shape: smaller downward, and the remnant much smaller than a disc.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tissues as T
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.floating]
Random = np.random.Generator

LEAST_VOXELS = 4000
"""Of the sacrum, mm3; less is a piece at the border."""
HEIGHT, SHRINKS = (0.78, 1.0), 0.85
"""Height of the first sacral body in depths of the disc above, and of each body in heights of the one above it."""
TURN_DEG = (2.0, 12.0)
"""By which each body is turned forward to the one above."""
LEAST_DEPTH_MM = 7.0
SHOWN = (0.85, 0.55)
"""Share of sacra with something to be seen between the first and second body, and between the second and third."""
THICK_MM = ((0.0, 6.0), (0.0, 3.0))
"""Of what is left, without its plates; half a millimeter is none: a scar."""
PLATE_MM = (0.6, 1.6)


@dataclass(frozen=True, eq=False)
class Remnant:
    """:param center: (3,) voxels; :param axes: (3, 3) rows: to the right, forward, downward; :param half: mm."""

    center: FloatArray
    axes: FloatArray
    half: FloatArray


def with_sacral_discs(tissue: NDArray[np.uint8], random: Random) -> None:
    """Paint remnants of discs into the sacrum of a patient, in place; nothing where no disc lies on the sacrum."""
    sacrum = (tissue == T.SACRUM) | (tissue == T.SACRUM_RIM)
    window = ndimage.find_objects(sacrum.astype(np.uint8))
    if not window or np.count_nonzero(sacrum) < LEAST_VOXELS:
        return
    bone = np.argwhere(sacrum[window[0]]) + [s.start for s in window[0]]
    disc = _lowest_disc(tissue, bone)
    if disc is None:
        return
    plate = random.uniform(*PLATE_MM)
    for number, remnant in enumerate(_remnants(bone, disc, random)):
        thick = random.uniform(*THICK_MM[number])
        if random.random() < SHOWN[number]:
            _paint(tissue, bone, remnant, thick, plate, T.SACRAL_DISC + number)


def _lowest_disc(tissue: NDArray[np.uint8], bone: NDArray[np.int_]) -> FloatArray | None:
    """(N, 3) voxels of the disc on the sacrum."""
    top = int(np.quantile(bone[:, 1], 0.02))
    first = max(top - 25, 0)
    part = tissue[:, first:top + 45]
    is_disc = (part >= T.ANNULUS) & (part < T.SACRAL_DISC)
    numbers = np.where(part >= T.NUCLEUS, part - (T.NUCLEUS - T.ANNULUS), part)
    found = np.unique(numbers[is_disc])
    if not len(found):
        return None
    disc = np.argwhere(is_disc & (numbers == found[-1])) + np.array([0, first, 0])
    middle = np.median(disc, axis=0)
    near = bone[np.linalg.norm(bone - middle, axis=1) < 25]
    enough = len(disc) > 1500 and len(near) > 500 and near[:, 1].mean() > middle[1]
    return disc.astype(float) if enough else None


def _remnants(bone: NDArray[np.int_], disc: FloatArray, random: Random) -> Iterator[Remnant]:
    """Where the sacrum's first two discs were: down its bodies from the disc above it."""
    center = disc.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(disc.T))
    down = vectors[:, 0] * np.sign(vectors[1, 0])
    right = np.array([1.0, 0, 0]) - down[0] * down
    right /= np.linalg.norm(right)
    forward = np.cross(right, down)
    forward *= -np.sign(forward[2])
    depth = float(np.ptp(np.quantile((disc - center) @ forward, (0.02, 0.98))))
    width = float(np.ptp(np.quantile((disc - center) @ right, (0.02, 0.98))))
    place = center + down * float(np.quantile((disc - center) @ down, 0.9))
    height = depth * random.uniform(*HEIGHT)
    for _ in SHOWN:
        place = place + height * down
        run = _front_run(bone, place, right, forward, down)
        if run is None or run[1] - run[0] < LEAST_DEPTH_MM:
            return
        place = place + forward * (run[0] + run[1]) / 2
        share = random.uniform(0.35, 0.5, 2)
        width = min(width, 1.6 * (run[1] - run[0])) * random.uniform(0.85, 1.0)
        half = np.array([width, run[1] - run[0]]) * share
        yield Remnant(place, np.stack([right, forward, down]), half)
        turn = np.radians(random.uniform(*TURN_DEG))
        down, forward = np.cos(turn) * down + np.sin(turn) * forward, np.cos(turn) * forward - np.sin(turn) * down
        height *= SHRINKS


def _front_run(bone: NDArray[np.int_], place: FloatArray, right: FloatArray, forward: FloatArray, down: FloatArray,
               ) -> tuple[float, float] | None:
    """From where to where along ``forward`` the body before the sacral canal reaches."""
    offsets = bone - place
    near = (np.abs(offsets @ down) < 1.5) & (np.abs(offsets @ right) < 5)
    along = (offsets @ forward)[near]
    along = along[np.abs(along) < 40]
    if len(along) < 30:
        return None
    low = int(np.floor(along.min()))
    filled = np.bincount(np.floor(along).astype(int) - low) >= 8
    numbered, _ = ndimage.label(filled)
    runs = [(float(low + r.start), float(low + r.stop)) for (r,) in ndimage.find_objects(numbered)]
    long = [run for run in runs if run[1] - run[0] >= LEAST_DEPTH_MM]
    return max(long) if long else None


def _paint(tissue: NDArray[np.uint8], bone: NDArray[np.int_], remnant: Remnant, thick: float, plate: float,
           value: int) -> None:
    offsets = bone - remnant.center
    right, forward, down = remnant.axes @ offsets.T
    off = (right / remnant.half[0]) ** 2 + (forward / remnant.half[1]) ** 2
    flat = thick / 2 * np.sqrt(np.clip(1 - 0.7 * off, 0.0, 1.0))
    rim = bone[(off < 1) & (np.abs(down) < flat + plate)]
    tissue[tuple(rim.T)] = T.SACRUM_RIM
    if thick > 1.0:
        inner = bone[(off < 0.9) & (np.abs(down) < flat)]
        tissue[tuple(inner.T)] = value
