"""Waists cut out of bodies.

Between their endplates, bodies are narrower than their discs, by a third in worn spines, and what fills the gap is fat
with a vessel in it.  In slices at the side it looks much like marrow between two discs.
"""

import numpy as np
import tissues as T
from numpy.typing import NDArray
from scipy import ndimage

from SpineAnalysisLib.segmentation.network.classes import RIM_MM

Random = np.random.Generator

MOST = (0.0, 0.34)
"""Share of a body's width that the waist takes, at the patient's usual body."""
EACH = (0.5, 1.25)
BACK = 0.15
"""Share of a body's depth, from its back, where the pedicles leave it: there is no waist."""
MIDDLE = 0.5
"""Share of a body's width that tells where its endplates are."""
FAT, VESSELS = 0.6, 0.6
"""Share of patients in whom it is fat for sure that fills the gap, and with vessels to be seen."""
_VESSEL_TISSUE = 30
_LEAST_VOXELS = 3000


def with_waists(tissue: NDArray[np.uint8], random: Random) -> None:
    """Narrow the bodies of a patient between their endplates, in place."""
    usual = random.uniform(*MOST)
    rim = max(random.uniform(0.8, 1.35) * RIM_MM, 1.0)
    fill = T.EPIDURAL if random.random() < FAT else int(random.choice(T.NEAR))
    vessels = random.random() < VESSELS
    windows = ndimage.find_objects(np.where((tissue >= T.MARROW) & (tissue < T.ARCH), tissue, 0))
    for value, window in enumerate(windows, start=1):
        if window is None:
            continue
        grown = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in window)
        part = tissue[grown]
        body = _with_rim(part == value, part)
        share = usual * random.uniform(*EACH)
        if np.count_nonzero(body) > _LEAST_VOXELS:
            _cut(part, body, share, rim, fill, vessels)


def _with_rim(marrow: NDArray[np.bool_], part: NDArray[np.uint8]) -> NDArray[np.bool_]:
    near = ndimage.binary_dilation(marrow, iterations=2)
    return marrow | near & ((part == T.BODY_RIM) | (part == T.VEIN))


def _cut(part: NDArray[np.uint8], body: NDArray[np.bool_], share: float, rim: float, fill: int,
         vessels: bool) -> None:
    count_i = body.shape[0]
    first, last = body.argmax(axis=0), count_i - 1 - body[::-1].argmax(axis=0)  # (J, K)
    filled = body.any(axis=0)
    half, middle = (last - first + 1) / 2.0, (last + first) / 2.0
    height, ends = _heights(body)
    back = np.flatnonzero(ends)
    forward = (back[-1] - np.arange(body.shape[2])) / max(np.ptp(back), 1)
    narrow = share * np.clip(1 - np.abs(height / 0.92) ** 2.5, 0, None) * np.clip((forward - BACK) * 4, 0, 1)
    off = np.abs(np.arange(count_i)[:, None, None] - middle) - half * (1 - narrow)
    cut = body & filled & (narrow > 0)
    gone = cut & (off > 0)
    part[cut & (off <= 0) & (off > -rim) & (half * narrow > 0.7)] = T.BODY_RIM
    part[gone] = fill
    if vessels:
        part[gone & (off > 1.0) & (np.abs(height) < 0.1)] = _VESSEL_TISSUE


def _heights(body: NDArray[np.bool_]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """(J, K) -1 at the upper endplate to 1 at the lower one, and (K,) where there are endplates."""
    where = np.flatnonzero(body.any(axis=(1, 2)))
    quarter = int((1 - MIDDLE) / 2 * len(where))
    core = body[where[quarter]:where[-1 - quarter] + 1].sum(axis=0) > 0.4 * (len(where) - 2 * quarter)
    ends = core.any(axis=0)
    columns = np.arange(body.shape[2])
    top, low = core.argmax(axis=0), core.shape[0] - 1 - core[::-1].argmax(axis=0)
    top, low = (np.interp(columns, columns[ends], ndimage.gaussian_filter1d(x[ends].astype(float), 2.0)) for x in
                (top, low))
    rows = np.arange(body.shape[1])[:, None]
    return 2 * (rows - (top + low) / 2) / np.maximum(low - top, 1), ends
