"""What labeled vertebrae look like, by all kinds of evidence that every vertebra gives."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..anatomy import Level
from ..volume import LabelMap
from . import bodies, canals, discs, processes
from .sites import sites
from .traits import Seen, Trait

FloatArray = NDArray[np.floating]

TRAITS: tuple[Trait, ...] = (*bodies.TRAITS, *canals.TRAITS, *discs.TRAITS, *processes.TRAITS)
_OF_ONE = (bodies.seen, canals.seen, processes.seen)


def appearance(labels: LabelMap, places: Sequence[tuple[Level, int, FloatArray]]) -> list[Mapping[str, Seen]]:
    """What was measured of each vertebra, by the traits' names; nothing of what is cut or not told apart.

    :param places: level, label value and (3,) RAS center of each, from head to foot, the sacrum left out.
    """
    found = sites(labels, places)
    out: list[Mapping[str, Seen]] = [{} for _ in found]
    for i, site in enumerate(found):
        if site is None:
            continue
        below = found[i + 1] if i + 1 < len(found) else None
        each = [pair for kind in _OF_ONE for pair in kind(site)] + \
               ([] if below is None else list(discs.seen(site, below)))
        out[i] = {trait.name: seen for trait, seen in each if np.isfinite((seen.value, seen.error)).all()}
    return out
