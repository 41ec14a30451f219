"""Phantoms by name."""

from collections.abc import Callable

from ..anatomy import Level
from ..errors import InputError
from .phantom import Phantom
from .spec import SpineSpec


def _normal_lumbar() -> SpineSpec:
    return SpineSpec.typical(Level.T12, Level.S1)


def _stenotic_lumbar() -> SpineSpec:
    """Stenosis of about 75 mm2 at L4-L5, mild at L3-L4; the two lowest discs worn."""
    return _normal_lumbar().changed(
        joints={Level.L3: {"narrowing_depth": 0.30, "narrowing_width": 0.18, "bulge": 2.5, "degeneration": 3},
                Level.L4: {"narrowing_depth": 0.50, "narrowing_width": 0.495, "bulge": 5.0, "degeneration": 4,
                           "disc_height": 9.0},
                Level.L5: {"narrowing_depth": 0.08, "bulge": 2.0, "degeneration": 4, "disc_height": 8.5}})


def _foraminal() -> SpineSpec:
    """L3-L4 narrow on the left, L4-L5 on the right, where the disc is low too; L2 leans to the right."""
    return _normal_lumbar().changed(
        vertebrae={Level.L4: {"facet_left": 4.0}, Level.L5: {"facet_right": 4.5, "facet_left": 1.0},
                   Level.S1: {"facet_left": 2.0}},
        joints={Level.L2: {"coronal": 5.0}, Level.L4: {"disc_height": 9.0, "degeneration": 4, "bulge": 2.0}})


def _curved() -> SpineSpec:
    """Much lordosis."""
    return _normal_lumbar().changed(joints={level: {"lordosis": angle} for level, angle in
                                            ((Level.L1, 8.0), (Level.L2, 11.0), (Level.L3, 14.0), (Level.L4, 18.0))})


def _scoliotic() -> SpineSpec:
    """A thoracic curve to the right and a lumbar curve to the left, both rotated."""
    tilts = ((Level.T6, -4, 1.5), (Level.T7, -7, 2.5), (Level.T8, -8, 0.0), (Level.T9, -7, -2.5), (Level.T10, -4, -1.5),
             (Level.T12, 5, -2.0), (Level.L1, 7, -3.0), (Level.L2, 8, 0.0), (Level.L3, 6, 3.0), (Level.L4, 4, 2.0))
    return SpineSpec.typical(Level.T4, Level.S1).changed(
        joints={level: {"coronal": coronal, "rotation": rotation} for level, coronal, rotation in tilts})


def _slipped() -> SpineSpec:
    """L4 slid forward on L5 by a quarter, with stenosis."""
    return _normal_lumbar().changed(joints={Level.L4: {
        "slip": 8.0, "narrowing_depth": 0.35, "narrowing_width": 0.25, "bulge": 3.0, "degeneration": 4,
        "disc_height": 7.5}})


def _fractured() -> SpineSpec:
    """L1 wedged by a third, L3 hollow."""
    return _normal_lumbar().changed(vertebrae={Level.L1: {"height_anterior": 16.5, "height_posterior": 25.0},
                                               Level.L3: {"concavity": 4.0}})


def _cervical() -> SpineSpec:
    """C2 to T2 with the cord compressed at C5-C6."""
    narrow = {"narrowing_length": 14.0, "bulge": 3.0, "degeneration": 4}
    return SpineSpec.typical(Level.C2, Level.T2).changed(joints={
        Level.C4: {**narrow, "narrowing_depth": 0.22, "cord_compression": 0.05},
        Level.C5: {**narrow, "narrowing_depth": 0.55, "narrowing_width": 0.15, "cord_compression": 0.32}})


def _whole() -> SpineSpec:
    """C2 to the sacrum."""
    return SpineSpec.typical(Level.C2, Level.S1)


_PRESETS: dict[str, Callable[[], SpineSpec]] = {
    "normal_lumbar": _normal_lumbar, "stenotic_lumbar": _stenotic_lumbar, "foraminal": _foraminal, "curved": _curved,
    "scoliotic": _scoliotic, "slipped": _slipped, "fractured": _fractured, "cervical": _cervical, "whole": _whole,
}


def presets() -> tuple[str, ...]:
    """Names of all phantoms."""
    return tuple(_PRESETS)


def preset(name: str) -> Phantom:
    """The phantom of this name."""
    if name not in _PRESETS:
        raise InputError(f"There is no phantom {name!r}; choose one of {', '.join(_PRESETS)}.")
    return Phantom(_PRESETS[name]())
