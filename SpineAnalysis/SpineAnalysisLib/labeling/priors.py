"""What is known of spines before any is seen: sizes of every level, and how often numbers vary.

Sizes are adult means rounded from the literature: heights of bodies, widths of the canal and of the pedicles after
Panjabi et al. (Spine 1991, 16:861 and 16:888; Spine 1992, 17:299) and Zindrick et al. (Spine 1987, 12:160); discs after
Frobin et al. (Clin Biomech 1997, 12 Suppl 1), Fletcher et al. (Eur Spine J 2015, doi 10.1007/s00586-015-3925-y) and,
for the neck, a series of 1000 CTs (PMC11225399).

Variants: Tins and Balain (Insights Imaging 2016, 7:199) found one presacral vertebra more in 4.3 % and one fewer in
3.3 % of 418 whole spines, without transitional ones; Yan et al. (J Orthop Surg Res 2018, 13:124) eleven thoracic
vertebrae in 5.8 % and six lumbar ones in 5.5 % of 293; a Korean series of 1340 (synapse.koreamed.org/articles/1158507)
eleven ribs in 8.0 % and thirteen in 0.4 %.  Populations and definitions differ, hence round numbers.
"""

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region, successors

FloatArray = NDArray[np.floating]

VARIANTS: dict[tuple[Level, Level], float] = {
    (Level.T11, Level.L1): 0.04,
    (Level.T12, Level.T13): 0.01,
    (Level.L4, Level.S1): 0.03,
    (Level.L5, Level.L6): 0.05,
}
"""How often the chain leaves its usual course, of those that come this far."""

# Height of the body and of the disc below it, and the distance between the centers of the pedicles (the canal's width
# and one pedicle's); mm.  C1 stands for its anterior arch and has lateral masses for pedicles; S1 is the first sacral
# body.
_SIZES: dict[Level, tuple[float, float, float]] = {
    Level.C1: (10.0, 3.0, 41.0), Level.C2: (17.0, 4.5, 32.0), Level.C3: (11.6, 4.5, 28.0), Level.C4: (11.4, 4.5, 29.5),
    Level.C5: (11.4, 4.5, 30.0), Level.C6: (11.2, 5.0, 31.0), Level.C7: (12.8, 5.0, 31.0), Level.T1: (14.1, 4.5, 29.5),
    Level.T2: (15.6, 4.0, 26.5), Level.T3: (15.7, 3.5, 24.0), Level.T4: (16.2, 3.5, 22.0), Level.T5: (16.5, 3.5, 21.8),
    Level.T6: (17.4, 4.0, 22.4), Level.T7: (18.2, 4.2, 22.6), Level.T8: (18.7, 4.5, 23.5), Level.T9: (19.3, 5.0, 24.0),
    Level.T10: (20.2, 5.5, 24.8), Level.T11: (21.3, 6.0, 27.5), Level.T12: (22.7, 7.0, 29.5),
    Level.T13: (23.2, 7.5, 30.5), Level.L1: (24.0, 8.0, 32.0), Level.L2: (24.5, 9.5, 32.5),
    Level.L3: (24.5, 10.5, 34.5), Level.L4: (24.5, 11.0, 38.5), Level.L5: (24.5, 10.0, 45.0),
    Level.L6: (24.5, 10.0, 48.0), Level.S1: (28.0, 2.0, 50.0),
}

STATES = (*Level, Level.L5, Level.L4)
"""Levels as the model tells them apart, by index: each level, then an L5 above an L6 and an L4 on the sacrum.

The last vertebra above the sacrum has the shape of an L5 whatever its number, so these two have other sizes.
"""
ABOVE_L6, ON_SACRUM = len(Level), len(Level) + 1
LEVEL_INDEX = np.array([level - 1 for level in STATES])
"""(29,) state -> index of its level."""
_ODD_WIDTHS = {ABOVE_L6: 40.0, ON_SACRUM: 43.0}  # pedicles of the two, between those of L4 and L5


def level_pitch() -> FloatArray:
    """(27,) body and the disc beside it, mm: how far centers lie apart around each level."""
    height, disc = (np.array([_SIZES[v][i] for v in Level]) for i in (0, 1))
    above = np.concatenate([disc[:1], disc[:-1]])
    above[Level.L1 - 1], above[Level.S1 - 1] = disc[Level.T12 - 1], disc[Level.L5 - 1]
    return np.asarray(height + (disc + above) / 2.0)


def pedicle_distance() -> FloatArray:
    """(29,) between the centers of the two pedicles, mm."""
    return np.array([_ODD_WIDTHS.get(i, _SIZES[v][2]) for i, v in enumerate(STATES)])


def region_index() -> NDArray[np.intp]:
    """(29,) column of each state in probabilities of the regions C, T, L; the sacrum counts as lumbar."""
    column = {Region.CERVICAL: 0, Region.THORACIC: 1, Region.LUMBAR: 2, Region.SACRAL: 2}
    return np.array([column[v.region] for v in STATES])


def one_step(banned: frozenset[tuple[Level, Level]] = frozenset()) -> FloatArray:
    """(29, 29) probability that the vertebra below a state is this one."""
    share = {step: 0.0 if step in banned else chance for step, chance in VARIANTS.items()}
    matrix = np.zeros((len(STATES), len(STATES)))
    for upper in Level:
        for lower in successors(upper)[1:]:
            matrix[upper - 1, lower - 1] = share[upper, lower]
        for usual in successors(upper)[:1]:
            matrix[upper - 1, usual - 1] = 1.0 - matrix[upper - 1].sum()
    for above, odd, (upper, lower) in ((Level.L4, ABOVE_L6, (Level.L5, Level.L6)),
                                       (Level.L3, ON_SACRUM, (Level.L4, Level.S1))):
        matrix[above - 1, odd] = share[upper, lower]
        matrix[odd, lower - 1] = 1.0
        matrix[above - 1, upper - 1] = 1.0 - share[upper, lower]
        matrix[upper - 1, lower - 1] = 0.0
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12))


def presence(steps: FloatArray) -> FloatArray:
    """(29,) how many people have each state."""
    first = np.eye(len(STATES))[0]
    share = first
    for _ in Level:
        share = first + share @ steps
    return np.asarray(share)
