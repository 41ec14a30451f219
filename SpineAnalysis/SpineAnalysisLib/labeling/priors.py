"""What is known of spines before any is seen: sizes of every level, and how often numbers and ribs vary.

Sizes are adult means, rounded.  Read in the publications' abstracts or tables: canal widths of the chest (jkns.or.kr
6682: T1 to T12 of Korean adults), widths of chest pedicles at T1, T4 and T12 (Kaur et al., J Clin Orthop Trauma 2016,
7:101), canal and pedicle of L5 (Cook and Baker, Int J Spine Surg 2021, 15:1072), canal of L1 and L5 (Gujarat, dry bones
of 63 people), canal and pedicles of C3 to C7 (Parihar et al., J Neurosci Rural Pract; Alsaleh et al., Int J Spine Surg
2021, 15:413), chest discs (Fletcher et al., Eur Spine J 2015, doi 10.1007/s00586-015-3925-y).  What lies between those
levels, and heights of bodies, follow the courses that Panjabi et al. (Spine 1991, 16:861 and 16:888; 1992, 17:299) and
Zindrick et al. (Spine 1987, 12:160) describe; their tables themselves could not be read for this.  Body sizes and a
wide spread (``model``) take up what is off by some percent.

How often numbers vary, by counting ribs: of 293 people 4.1 % have eleven thoracic vertebrae and five lumbar ones, 1.7 %
eleven and six, 3.8 % twelve and six (Yan et al., J Orthop Surg Res 2018, 13:124).  Counting from the neck, 4.3 % and
3.3 % of 418 have one presacral vertebra more and fewer (Tins and Balain, Insights Imaging 2016, 7:199).  Short or no
twelfth ribs: 12.6 % of 551 (Skeletal Radiol 2025, doi 10.1007/s00256-025-04952-z), of which one in eight is assumed to
be taken for none; eleven ribs: 8.0 % of 1340 (synapse.koreamed.org/articles/1158507).  Lumbar ribs: 1.5 % of the 551
and 5.8 % of 226, and eleven of the latter's thirteen have 25 presacral vertebrae (Nakajima et al., Insights Imaging
2014, 5:77); by ribs, half of them count as thirteen thoracic ones here.  Cervical ribs: 0.9 % of 1165 (Surg Radiol Anat
2022, doi 10.1007/s00276-022-03028-0).

Joints of the chest above and of the loins below one vertebra: 29 % at T12, 16 % at T11, 0.5 % at L1 (Singer et al.,
Surg Radiol Anat 1988, 10:291); that often T12 and T11 are taken to look like something between two regions.

Populations and definitions differ, hence round numbers.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level, Region, successors

FloatArray = NDArray[np.floating]

# Height of the body and of the disc below it, and the distance between the centers of the pedicles (the canal's width
# and one pedicle's); mm.  C1 stands for its anterior arch and has lateral masses for pedicles; S1 is the first sacral
# body.
_SIZES: dict[Level, tuple[float, float, float]] = {
    Level.C1: (10.0, 3.0, 41.0), Level.C2: (17.0, 4.5, 32.0), Level.C3: (11.6, 4.5, 28.0), Level.C4: (11.4, 4.5, 29.5),
    Level.C5: (11.4, 4.5, 30.0), Level.C6: (11.2, 5.0, 31.0), Level.C7: (12.8, 5.0, 31.0), Level.T1: (14.1, 4.5, 30.5),
    Level.T2: (15.6, 4.0, 26.5), Level.T3: (15.7, 3.5, 24.0), Level.T4: (16.2, 3.5, 22.0), Level.T5: (16.5, 3.5, 21.8),
    Level.T6: (17.4, 4.0, 22.4), Level.T7: (18.2, 4.2, 22.6), Level.T8: (18.7, 4.5, 23.5), Level.T9: (19.3, 5.0, 24.0),
    Level.T10: (20.2, 5.5, 24.8), Level.T11: (21.3, 6.0, 27.5), Level.T12: (22.7, 7.0, 30.5),
    Level.T13: (23.2, 7.5, 30.5), Level.L1: (24.0, 8.0, 31.0), Level.L2: (24.5, 9.5, 31.5),
    Level.L3: (24.5, 10.5, 34.0), Level.L4: (24.5, 11.0, 38.5), Level.L5: (24.5, 10.0, 45.0),
    Level.L6: (24.5, 10.0, 48.0), Level.S1: (28.0, 2.0, 50.0),
}


class State(NamedTuple):
    """A level as the model tells it apart.

    :param looks: the region that its ribs, or their absence, make it look like.
    :param width: between its pedicles, mm.
    :param between: how often it is built like something between two regions.
    """

    level: Level
    looks: Region
    width: float
    between: float = 1.0


_MISREAD, _STUMP, _NONE = 0.1, 0.9, 0.5
"""How often a vertebra is taken for something between two regions, by assumption: a usual one; one with a rib where
most have none, for such ribs are mostly stumps; one without a rib, which may look like the next region all through."""
_BETWEEN = {Level.T11: 0.15, Level.T12: 0.3, Level.S1: 1.0}

# Levels that are not as usual: ribs are where most people have none, or the other way round; and shapes go by the place
# above the sacrum, whatever the number: the last vertebra has that of an L5, and those of a spine with six lumbar ones
# that of the level above them (shifted).
_ODD: dict[str, State] = {
    "C7 with ribs": State(Level.C7, Region.THORACIC, 31.0, _STUMP),
    "T1 without ribs": State(Level.T1, Region.CERVICAL, 30.5, _NONE),
    "T12 without ribs": State(Level.T12, Region.LUMBAR, 30.5, _NONE),
    "L1 with ribs": State(Level.L1, Region.THORACIC, 30.5, _STUMP),
    "L1 below T11": State(Level.L1, Region.LUMBAR, 30.5), "L1 shifted": State(Level.L1, Region.LUMBAR, 30.5),
    "L2 shifted": State(Level.L2, Region.LUMBAR, 31.0, _MISREAD),
    "L3 shifted": State(Level.L3, Region.LUMBAR, 32.0, _MISREAD),
    "L4 shifted": State(Level.L4, Region.LUMBAR, 35.0, _MISREAD),
    "L5 above L6": State(Level.L5, Region.LUMBAR, 39.0, _MISREAD),
    "L4 on sacrum": State(Level.L4, Region.LUMBAR, 43.0, _MISREAD),
    "rest of S1": State(Level.S1, Region.LUMBAR, 50.0),
}
_STATES = {level.name: State(level, Region.LUMBAR if level is Level.S1 else level.region, _SIZES[level][2],
                             _BETWEEN.get(level, _MISREAD)) for level in Level} | _ODD
STATES = tuple(_STATES.values())
NAMES = tuple(_STATES)
LEVEL_INDEX = np.array([state.level - 1 for state in STATES])
"""State -> index of its level."""

# How often a spine goes on otherwise than with the usual next level, of those that come this far.
_OTHERWISE: dict[str, dict[str, float]] = {
    "C6": {"C7 with ribs": 0.01}, "C7": {"T1 without ribs": 0.01},
    "T11": {"T12 without ribs": 0.015, "L1 below T11": 0.05},
    "T12": {"L1 with ribs": 0.015, "T13": 0.02, "L1 shifted": 0.06},
    "L1 with ribs": {"L2 shifted": 1.0}, "L1 below T11": {"L2 shifted": 0.3}, "L1 shifted": {"L2 shifted": 1.0},
    "L2 shifted": {"L3 shifted": 1.0}, "L3 shifted": {"L4 shifted": 1.0}, "L4 shifted": {"L5 above L6": 0.8},
    "L3": {"L4 on sacrum": 0.03}, "L4 on sacrum": {"S1": 1.0}, "L5 above L6": {"L6": 1.0},
    "S1": {"rest of S1": 0.1},
}
REST = NAMES.index("rest of S1")
"""What segmentations call the sacrum though they have told its first body apart, by assumption in one of ten."""
VARIANTS: dict[tuple[Level, Level], str] = {
    (Level.T11, Level.L1): "L1 below T11", (Level.T12, Level.T13): "T13", (Level.L4, Level.S1): "L4 on sacrum",
    (Level.L5, Level.L6): "L5 above L6"}
"""Steps between levels that most people do not have, and the state that only spines with that step have."""
MISLEADING = frozenset(name for name, state in _ODD.items() if state.looks is not state.level.region)
"""States whose ribs, or their absence, tell the wrong region."""
ON_SACRUM = frozenset(NAMES.index(name) for name in ("L5", "L6", "L4 on sacrum", "S1"))
"""States below which only the sacrum is left."""


def level_pitch() -> FloatArray:
    """(27,) body and the disc beside it, mm: how far centers lie apart around each level."""
    height, disc = (np.array([_SIZES[v][i] for v in Level]) for i in (0, 1))
    above = np.concatenate([disc[:1], disc[:-1]])
    above[Level.L1 - 1], above[Level.S1 - 1] = disc[Level.T12 - 1], disc[Level.L5 - 1]
    return np.asarray(height + (disc + above) / 2.0)


def body_and_disc() -> dict[Level, float]:
    """Height of the disc below each level in that of the bodies above and below it."""
    usual = [level for level in Level if level >= Level.C2 and not level.is_variant]
    return {upper: 2.0 * _SIZES[upper][1] / (_SIZES[upper][0] + _SIZES[lower][0])
            for upper, lower in zip(usual, usual[1:], strict=False)}


def pedicle_distance() -> FloatArray:
    """Of every state, between the centers of the two pedicles, mm."""
    return np.array([state.width for state in STATES])


def betweenness() -> FloatArray:
    """Of every state, how often it is built like something between two regions."""
    return np.array([state.between for state in STATES])


def region_index() -> NDArray[np.intp]:
    """Of every state, its column in probabilities of the regions C, T, L."""
    return np.array([(Region.CERVICAL, Region.THORACIC, Region.LUMBAR).index(state.looks) for state in STATES])


def one_step(absent: Collection[str] = ()) -> FloatArray:
    """(states, states) probability that the vertebra below a state is this one.

    :param absent: names of states that this spine does not have.
    """
    matrix = np.zeros((len(NAMES), len(NAMES)))
    for row, (name, state) in enumerate(_STATES.items()):
        others = {below: chance for below, chance in _OTHERWISE.get(name, {}).items() if below not in absent}
        for below, chance in others.items():
            matrix[row, NAMES.index(below)] = chance
        for usual in successors(state.level)[:1]:
            matrix[row, usual - 1] += 1.0 - sum(others.values())
    return matrix


def presence(steps: FloatArray) -> FloatArray:
    """Of every state, how many people have it."""
    first = np.eye(len(STATES))[0]
    share = first
    for _ in Level:
        share = first + share @ steps
    return np.asarray(share)


def normal(value: float, mean: float, spread: float) -> float:
    """The normal density."""
    return float(np.exp(-0.5 * ((value - mean) / spread) ** 2) / (spread * np.sqrt(2.0 * np.pi)))


def mixed(value: float, parts: Iterable[tuple[float, tuple[float, float]]], odd: float, between: float) -> float:
    """Density of a mixture of normal ones, of which some are otherwise altogether.

    :param parts: share, mean and spread of each.
    :param odd: share of values that lie anywhere within so much (``between``).
    """
    return (1.0 - odd) * sum(share * normal(value, *usual) for share, usual in parts) + odd / between
