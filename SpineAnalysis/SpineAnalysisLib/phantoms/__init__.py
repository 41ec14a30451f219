"""Analytic spines with exact answers, for the demo and for tests."""

from .phantom import Phantom
from .presets import preset, presets
from .rasterize import Grid
from .spec import Herniation, JointSpec, SpineSpec, VertebraSpec
from .truth import Truth

__all__ = ["Grid", "Herniation", "JointSpec", "Phantom", "SpineSpec", "Truth", "VertebraSpec", "preset", "presets"]
