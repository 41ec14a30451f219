"""Exact answers about signal: what the definitions give for the tissues of a phantom's T2 image, without noise,
texture, partial volume or the coil's unevenness.
"""

import numpy as np

from .image import signal_of
from .model import Chain, Joint
from .solids import disc_solids
from .truth import Truth

_NUCLEUS_SHARE = 0.5  # of width, depth and height in which the nucleus is measured
_SAMPLES = 61


def nucleus_signal(joint: Joint) -> float:
    """Mean T2 signal of the central half of a disc."""
    annulus, nucleus = disc_solids(joint)
    across = [(joint.upper.spec.width * (1 - joint.upper.spec.taper) + joint.lower.spec.width) / 4,
              (joint.upper.spec.depth + joint.lower.spec.depth) / 4, joint.height / 2]
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, _SAMPLES) * _NUCLEUS_SHARE * half for half in across], indexing="ij")
    within = np.hypot(x / across[0], y / across[1]) <= _NUCLEUS_SHARE
    inside = nucleus.distance(x[within], y[within], z[within]) < 0
    outer, inner = (signal_of(solid.layers[0][1], "T2") for solid in (annulus, nucleus))
    return outer + (inner - outer) * float(inside.mean())


def signal_truths(chain: Chain) -> list[Truth]:
    fluid, marrow = signal_of("csf", "T2"), signal_of("marrow", "T2")
    signals = {joint.segment: nucleus_signal(joint) for joint in chain.joints}
    best = max(signals.values(), default=1.0)
    return [truth for segment, signal in signals.items() for truth in (
        Truth("disc_signal_ratio", segment, signal / fluid, "1"),
        Truth("disc_desiccation", segment, 1 - (signal / marrow) / (best / marrow), "1"))]
