"""What the embedded network tells apart."""

from enum import IntEnum


class Class(IntEnum):
    """A channel of the network's answer.

    A vertebral body is ``MARROW`` and ``RIM``: the rim is its cortex and endplates, about ``RIM_MM`` thick, so that
    bodies can be had with it (as CT is segmented) or without (as MR is traced), and bodies that touch come apart.
    ``CANAL`` is the dural sac without the cord; ``ARCH`` holds the pedicles and all processes; ``SACRUM`` all of it.
    """

    BACKGROUND = 0
    MARROW = 1
    RIM = 2
    ARCH = 3
    DISC = 4
    CANAL = 5
    CORD = 6
    SACRUM = 7


BODY = (Class.MARROW, Class.RIM)
RIM_MM = 1.5
