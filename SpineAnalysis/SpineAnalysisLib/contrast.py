"""Guessing an image's contrast from the image, where nothing tells it."""

import numpy as np

from .reading.contrast import is_hounsfield
from .spine import Contrast, Scan, Spine

BRIGHT_CSF = 1.6
DARK_CSF = 0.8


def guess_contrast(spine: Spine, scan: Scan) -> Contrast | None:
    """CT by its air, T2 or T1 by the canal's signal against the marrow's; ``None`` where neither is clear.

    STIR is not told from T2 (both show bright fluid), so it is never guessed.
    """
    if spine.canal is None:
        return None
    array = scan.volume.array
    if is_hounsfield(array):
        return "CT"
    canal = [x.frame.origin for x in spine.canal.sections if x is not None and x.complete]
    marrow = [v.frame.origin for v in spine.vertebrae if v.surfaces is not None]
    if len(canal) < 10 or len(marrow) < 2:
        return None
    bright = float(np.nanpercentile(scan.values(np.array(canal)), 75))
    bone = float(np.nanmedian(scan.values(np.array(marrow))))
    if not np.isfinite(bright + bone) or bone <= 0:
        return None
    return "T2" if bright > BRIGHT_CSF * bone else "T1" if bright < DARK_CSF * bone else None

