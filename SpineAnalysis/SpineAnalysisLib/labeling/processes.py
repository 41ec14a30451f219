"""Where spinous processes point, and how high they are."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level
from .sites import Site
from .traits import Seen, Trait

FloatArray = NDArray[np.floating]

FALL = Trait("fall of the spinous process", {
    Level.C2: 11.0, Level.C5: 17.0, Level.C7: 20.0, Level.T1: 27.0, Level.T4: 42.0, Level.T6: 48.0, Level.T8: 46.0,
    Level.T10: 35.0, Level.T12: 20.0, Level.L1: 14.0, Level.L3: 12.0, Level.L5: 17.0}, 18.0, (-60.0, 90.0))
"""Degrees below the plane across the column.  As of the phantoms (``phantoms.spec``), which follow textbooks: level in
the neck, the loins and at both ends of the chest, steepest at T6 to T8; no table of angles could be read, so the spread
is what the embedded engine's rough outlines of arches on 25 MR exams have about them."""
TALL = Trait("height of the spinous process in the body's", {
    Level.C3: 0.6, Level.C7: 0.7, Level.T1: 0.6, Level.T6: 0.5, Level.T10: 0.6, Level.T12: 0.8, Level.L1: 0.9,
    Level.L3: 0.9, Level.L4: 0.8, Level.L5: 0.6}, 0.35, (0.0, 2.5))
"""Across its direction.  Plates in the loins, lowest at L5 (215 people, PMC 8664751; 200, PMC 3337914), rods elsewhere;
the shares are from memory of textbooks, hence the spread."""
TRAITS = (FALL, TALL)

_MIDDLE_MM = 6.0
"""To either side of the body's middle, where a spinous process lies in a column that is hardly turned."""
_LEAST_MM = 8.0
"""Of length behind the canal, from which on a direction is one."""
_FEWEST = 20


def seen(site: Site) -> Iterator[tuple[Trait, Seen]]:
    """Of one vertebra."""
    near = site.canal[np.abs(site.canal[:, 2]) < np.nanmax([site.height / 2.0, site.voxel[2]])]
    if len(near) < _FEWEST:
        return
    middle, back = np.median(near[:, 0]), np.percentile(near[:, 1], 2)
    process = site.arch[(np.abs(site.arch[:, 0] - middle) < max(_MIDDLE_MM, float(site.voxel[0])))
                        & (site.arch[:, 1] < back)][:, 1:]
    length = np.ptp(process[:, 0]) if len(process) >= _FEWEST else 0.0
    if length < _LEAST_MM:
        return
    behind = (process[:, 0].max() - process[:, 0]) / length
    root, tip = (process[part].mean(axis=0) for part in (behind < 1.0 / 3.0, behind > 2.0 / 3.0))
    along = (tip - root) / np.linalg.norm(tip - root)
    voxel = float(site.voxel[2])
    yield FALL, Seen(float(np.degrees(np.arctan2(-along[1], -along[0]))), float(np.degrees(voxel / length)))
    if np.isfinite(site.height):
        inner = process[(behind > 0.3) & (behind < 0.8)]
        if len(inner):
            across = np.ptp(np.percentile(inner @ np.array([-along[1], along[0]]), (5, 95))) + voxel
            yield TALL, Seen(float(across / site.height), site.error(2) / site.height)
