"""Analytic spines with exact answers, for the demo and for tests."""

from .phantom import Phantom
from .presets import preset, presets
from .rasterize import Grid
from .spec import JointSpec, SpineSpec, VertebraSpec
from .truth import Truth

__all__ = ["Grid", "JointSpec", "Phantom", "SpineSpec", "Truth", "VertebraSpec", "preset", "presets"]
