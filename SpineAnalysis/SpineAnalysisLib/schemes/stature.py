"""How far apart and how large vertebrae are, as far as it tells one region of the spine from another."""

import numpy as np

from ..anatomy import Level

# Typical distance of the centers of two neighboring vertebral bodies of an adult, mm, by the upper one.
SPACING_MM = {
    Level.C1: 17, Level.C2: 21, Level.C3: 17, Level.C4: 17, Level.C5: 17, Level.C6: 17, Level.C7: 19,
    Level.T1: 20, Level.T2: 21, Level.T3: 21, Level.T4: 21, Level.T5: 22, Level.T6: 22, Level.T7: 23, Level.T8: 24,
    Level.T9: 25, Level.T10: 27, Level.T11: 29, Level.T12: 32, Level.T13: 32,
    Level.L1: 34, Level.L2: 35, Level.L3: 36, Level.L4: 36, Level.L5: 35, Level.L6: 35, Level.S1: 35,
}

# A whole vertebra has about 14 cm3 in the neck and 70 cm3 in the lumbar spine; between, a power of the spacing.
_VOLUME_SCALE, _VOLUME_POWER = 27.5, 2.2


def distance_mm(upper: Level, lower: Level) -> float:
    """Typical distance between two levels along the spine, the variants between them left out."""
    between = [level for level in Level if upper <= level < lower and (level is upper or not level.is_variant)]
    return float(sum(SPACING_MM[level] for level in between))


def relative_stature(centers: dict[Level, np.ndarray]) -> float | None:
    """How large this spine is for the levels that are claimed: 1 for a typical adult.

    Distances to the sacrum count only over a gap, as its center depends on how much of it is labeled.

    :param centers: level -> (3,) center, RAS mm.
    :return: the median over neighbors, ``None`` where there are none.
    """
    chain = sorted(centers)
    ratios = [float(np.linalg.norm(centers[a] - centers[b])) / distance_mm(a, b)
              for a, b in zip(chain, chain[1:], strict=False)
              if b is not Level.S1 or b - a > 2]
    return float(np.median(ratios)) if ratios else None


def relative_bulk(volumes_mm3: dict[Level, float]) -> float | None:
    """How large these whole vertebrae are for the levels that are claimed, as a length: 1 for a typical adult.

    The largest counts, as others may be cut by the edge of the scan.

    :param volumes_mm3: level -> volume.
    :return: ``None`` where there is none but the sacrum.
    """
    ratios = [volume / (_VOLUME_SCALE * SPACING_MM[level] ** _VOLUME_POWER)
              for level, volume in volumes_mm3.items() if level is not Level.S1]
    return max(ratios) ** (1 / 3) if ratios else None
