"""Detections of spines with known levels, for tests of the labeling."""

from collections.abc import Sequence

import numpy as np

from SpineAnalysisLib.anatomy import Level
from SpineAnalysisLib.labeling.detections import Detection
from SpineAnalysisLib.labeling.priors import level_pitch, pedicle_distance, region_index


def levels_between(upper: Level, lower: Level, *omit: Level, variants: Sequence[Level] = ()) -> list[Level]:
    """A chain of levels; the numeric variants only where asked for."""
    return [v for v in Level if upper <= v <= lower and v not in omit and (not v.is_variant or v in variants)]


def chain(levels: Sequence[Level], size: float = 1.0, noise_mm: float = 0.0, regions: bool = True,
          sure: float = 0.97) -> list[Detection]:
    """A curved spine of these levels, top to bottom, as a detector would see it."""
    random = np.random.default_rng(20)
    pitches, widths = size * level_pitch(), size * pedicle_distance()
    along, found = 0.0, []
    for i, level in enumerate(levels):
        along += (pitches[level - 1] + pitches[levels[i - 1] - 1]) / 2.0 if i else 0.0
        center = np.array([6.0 * np.sin(along / 200.0), 10.0 * np.sin(along / 150.0), 100.0 - along])
        center += random.normal(0.0, noise_mm, 3)
        half = np.array([widths[level - 1] / 2.0, 0.0, 0.0])
        back = np.array([0.0, -20.0, 2.0])
        share = np.full(3, (1.0 - sure) / 2.0)
        share[region_index()[level - 1]] = sure
        pedicles = np.stack([center + back - half, center + back + half])
        could_be = frozenset({Level.S1}) if level is Level.S1 else None
        found.append(Detection(center, share if regions else None, pedicles, could_be))
    return found
