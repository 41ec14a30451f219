"""The tissues that anatomies are painted with, one byte each, and the class that each is trained as."""

import numpy as np
from numpy.typing import NDArray

from SpineAnalysisLib.segmentation.network.classes import Class

AIR = 0
CLUSTERS = range(1, 7)
"""What the masks leave unnamed within the body: a random mixture."""
NEAR = range(7, 11)
"""The same close to the spine: fat, ligaments, roots."""
SACRUM = 26
ORGANS = range(27, 118)
"""As the whole-body masks number them (27, their cord, excepted)."""
EPIDURAL, CSF, CORD, ROOTS, DURA, SKIN, SUBCUTANEOUS, VEIN, MUSCLE = range(118, 127)
MARROW, ARCH = 130, 160  # + number of the vertebra from the top, below 30
ANNULUS, NUCLEUS = 190, 215  # + number of the vertebra above, below 25
SACRAL_DISC = 245
"""What is left of the discs within the sacrum; another one for the next below."""
BODY_RIM, ARCH_RIM, SACRUM_RIM, BONE_RIM = 250, 251, 252, 253
COUNT = 256

MOST = 25
"""Vertebrae of one anatomy."""

METAL, CEMENT, CAGE, LESION = 1, 2, 3, 4
"""What may lie over a tissue: seen, not labeled."""


def class_table() -> NDArray[np.uint8]:
    """(COUNT,) tissue -> class."""
    table = np.full(COUNT, Class.BACKGROUND, np.uint8)
    table[[SACRUM, SACRUM_RIM, SACRAL_DISC, SACRAL_DISC + 1]] = Class.SACRUM
    table[[CSF, ROOTS, DURA]] = Class.CANAL
    table[CORD] = Class.CORD
    table[MARROW:MARROW + 30] = Class.MARROW
    table[VEIN] = Class.MARROW
    table[BODY_RIM] = Class.RIM
    table[ARCH:ARCH + 30] = Class.ARCH
    table[ARCH_RIM] = Class.ARCH
    table[ANNULUS:SACRAL_DISC] = Class.DISC
    return table


SPINE = class_table() != Class.BACKGROUND
"""(COUNT,) whether a tissue is the spine's."""
