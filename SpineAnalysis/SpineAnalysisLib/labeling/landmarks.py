"""What lies beside known vertebrae in most people: the cord's end and the top of the pelvis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..anatomy import Kind, Level
from ..volume import LabelMap
from .detections import Detection
from .evidence import room_beyond
from .priors import STATES

FloatArray = NDArray[np.floating]

_USUAL = [level for level in Level if not level.is_variant]
_PLACE = {level: _USUAL.index(level) if level in _USUAL else _USUAL.index(Level(level - 1)) + 0.5 for level in Level}
# Level to which each belongs, vertebrae below that level's center, and the spread of both, of one vertebra to the next.
_CONUS = (Level.L1, 0.25, 0.5)
"""The lower third of L1 in 504 and in 650 people, from the middle of T12 to the upper third of L3 (Saifuddin et al.,
Spine 1998, 23:1452; Joo et al., J Korean Neurosurg Soc 2001, 30:451), which is three of these spreads."""
_CORD_END = 0.6
"""Spread, in vertebrae, of where segmentations end the cord: by assumption; the built-in engine's ends on three MR
scans of one subject lie 0.25, 0.55 and 0.8 vertebrae below the same one's center."""
_CREST = (Level.L4, 0.5, 0.45)
"""Between the lower third of L4 and the upper third of L5 in 80 % of 296 (radiographs, North Cyprus), at L4 or L4-L5 in
87 % of 75 (Chakraverty et al., J Anat 2007, 210:232); women's is half a vertebra lower than men's."""
_UNTRUE = 0.05
"""How often a landmark is not what it seems, which keeps one from overruling everything else."""
_BELOW_CORD_MM = 30.0
"""Of canal below the cord's end, from which on it is the conus and not the label's end."""
_ABOVE_CREST_MM = 15.0
"""Of image above the pelvis, from which on its top is not cut."""
_FAR = 1.5
"""Vertebrae beyond the chain's ends from which on a landmark tells nothing."""


@dataclass(frozen=True, eq=False)
class Landmark:
    """:param at_RAS: (3,); :param level, below, spread: where most people have it, in vertebrae."""

    name: str
    at_RAS: FloatArray
    level: Level
    below: float
    spread: float


def landmarks(labels: LabelMap) -> tuple[Landmark, ...]:
    """What a label map shows of them."""
    level, below, spread = _CONUS
    found = [("conus", _conus(labels), (level, below, float(np.hypot(spread, _CORD_END)))),
             ("pelvis", _crest(labels), _CREST)]
    return tuple(Landmark(name, at, *usual) for name, at, usual in found if at is not None)


def shown_beyond(labels: LabelMap, top_RAS: FloatArray, bottom_RAS: FloatArray) -> tuple[float, float]:
    """How far the spine could be seen above and below two points, mm: up to the image's ends, or to those of a labeled
    canal, for images often go on in blank borders.
    """
    room = room_beyond(labels, top_RAS, bottom_RAS)
    canal = _ends(labels, labels.values((Kind.CANAL, Kind.DURAL_SAC)))
    if canal is None:
        return room
    return (min(room[0], max(float(canal[1][2] - top_RAS[2]), 0.0)),
            min(room[1], max(float(bottom_RAS[2] - canal[0][2]), 0.0)))


def _ends(labels: LabelMap, values: Sequence[int]) -> tuple[FloatArray, FloatArray] | None:
    """(3,) middle of the lowest and of the highest millimeters of some labels together."""
    windows = ndimage.find_objects(labels.array)
    points = [labels.to_ras(np.argwhere(labels.array[windows[v - 1]] == v) + [s.start for s in windows[v - 1]])
              for v in values if v <= len(windows) and windows[v - 1] is not None]
    if not points:
        return None
    together = np.concatenate(points)
    heights, thick = together[:, 2], 2.0 * float(labels.spacing.max())
    return (together[heights <= heights.min() + thick].mean(axis=0),
            together[heights >= heights.max() - thick].mean(axis=0))


def _conus(labels: LabelMap) -> FloatArray | None:
    """The cord's lower end where the canal goes on."""
    cord, canal = (_ends(labels, labels.values(kinds)) for kinds in (Kind.CORD, (Kind.CANAL, Kind.DURAL_SAC)))
    if cord is None or canal is None or canal[0][2] > cord[0][2] - _BELOW_CORD_MM:
        return None
    return cord[0]


def _crest(labels: LabelMap) -> FloatArray | None:
    """The top of the hip bones, both where both are in view."""
    tops = [ends[1] for value in labels.values(Kind.HIP) if (ends := _ends(labels, [value])) is not None]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T
    highest = float(labels.to_ras(corners)[:, 2].max())
    if not tops or max(top[2] for top in tops) > highest - _ABOVE_CREST_MM:
        return None
    return np.asarray(np.mean(tops, axis=0))


def likelihood(detections: Sequence[Detection], found: Sequence[Landmark]) -> FloatArray:
    """(N, L) logarithm of how well landmarks fit if the detection that is nearest to each is a state's level."""
    out = np.zeros((len(detections), len(STATES)))
    heights = np.array([d.center_RAS[2] for d in detections], float)
    for landmark in found:
        nearest = int(np.abs(heights - landmark.at_RAS[2]).argmin())
        steps = np.diff(heights)[max(nearest - 1, 0):nearest + 1]
        below = float((heights[nearest] - landmark.at_RAS[2]) / np.abs(steps).mean())
        if abs(below) > _FAR:
            continue
        usual = _PLACE[landmark.level] + landmark.below
        z = (np.array([_PLACE[state.level] for state in STATES]) + below - usual) / landmark.spread
        density = np.exp(-(z**2) / 2.0) / (landmark.spread * np.sqrt(2.0 * np.pi))
        out[nearest] += np.log((1.0 - _UNTRUE) * density + _UNTRUE / len(Level))
    return out
