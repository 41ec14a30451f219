"""Whether the highest vertebra is the atlas: a ring that has but an arch where others have a body."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .bodies import DEPTH
from .priors import NAMES, mixed
from .traits import Seen

FloatArray = NDArray[np.floating]

# Depth of the bone in front of the canal in that of the vertebra below it: mean and spread.
_ARCH, _BODY = (0.45, 0.12), (0.95, 0.10)
"""The atlas is 42 mm deep from front to back, its ring inside 28.5 (100 bones, IJAR 2016, 4:1981), which leaves about
7 mm for either arch; bodies of C2 are about 15 mm deep (``bodies``).  Other neighbors differ by some percent."""
_MISDRAWN, _ANY = 0.05, 2.0
"""Share of outlines that tell nothing, and up to which such shares may be, by assumption."""
_TELLING = float(np.log(10.0))
"""Evidence of the atlas against any other, from which on it is a reference."""


def ring(highest: Mapping[str, Seen], below: Mapping[str, Seen]) -> float | None:
    """How deep the highest vertebra is in front of its canal, in the next one's depth; ``None`` where not seen."""
    depths = [traits.get(DEPTH.name) for traits in (highest, below)]
    return None if depths[0] is None or depths[1] is None else depths[0].value / depths[1].value


def likelihood(share: float) -> FloatArray:
    """(L,) logarithm of how well such a share fits each state."""
    atlas, other = (mixed(share, ((1.0, usual),), _MISDRAWN, _ANY) for usual in (_ARCH, _BODY))
    return np.log([atlas if name == "C1" else other for name in NAMES])


def telling(share: float) -> bool:
    """Whether it is the atlas more likely than not by far."""
    fits = likelihood(share)
    return bool(fits[NAMES.index("C1")] - fits[NAMES.index("C2")] > _TELLING)
