"""Density of trabecular bone on CT."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry.faces import Rim
from ..geometry.frames import Frame
from ..spine import Spine, Vertebra
from .bone import graded, sagittal
from .flags import quality_of
from .record import Geometry, Measurement

FloatArray = NDArray[np.floating]

SHARES = np.array([0.55, 0.45, 0.5])
"""Half axes of the ellipsoid along R, A and S in shares of the body's half size."""
FORWARD = 0.18
"""How far in front of the body's center its own lies, in shares of the body's half depth: the vein is behind."""
DENSE_HU, DENSE_SHARE = 600.0, 0.05
"""Where more than this share is denser than trabecular bone can be, there is cement or metal."""
TRABECULAR_MM = 4.0
"""Values nearer to each other than this are alike."""


def density(spine: Spine, vertebra: Vertebra, rims: tuple[Rim, Rim], flags: tuple[str, ...],
            settings: Mapping[str, Any]) -> Iterator[Measurement]:
    """The record of one vertebra, where a CT shows it."""
    top, bottom = rims
    frame = vertebra.frame.at((top.middle + bottom.middle) / 2.0)
    width, depth = (top.half + bottom.half) / 2.0
    height = float((top.middle - bottom.middle) @ frame.superior) / 2.0
    half = SHARES * [width, depth, height]
    ellipsoid = frame.at(frame.to_ras(np.array([0.0, FORWARD * depth, 0.0])))
    points = ellipsoid.to_ras(_filled(half))
    scan = spine.scan("CT", at=points)
    if scan is None:
        return
    values = scan.values(points)
    if np.isnan(values).mean() > 0.02:
        return
    values = values[np.isfinite(values)]
    flags = (*flags, "contrast_phase_unknown", *(("contrast_guessed",) if scan.contrast_guessed else ()))
    drawn = Geometry("contour", _outline(ellipsoid, half), sagittal(frame, ellipsoid.origin))
    if (values > DENSE_HU).mean() > DENSE_SHARE:
        flags = (*flags, "dense_material")
        yield Measurement("trabecular_density", vertebra.level, None, "[hnsf'U]", None, None, quality_of(flags), flags,
                          (), drawn, scan.name)
        return
    independent = max(4.0 / 3.0 * np.pi * float(half.prod()) / TRABECULAR_MM**3, 1.0)
    yield graded("trabecular_density", vertebra.level, float(values.mean()), "[hnsf'U]",
                 float(values.std() / np.sqrt(independent)), flags, drawn, settings, scan=scan.name)


def _filled(half: FloatArray) -> FloatArray:
    """(N, 3) points that fill an ellipsoid evenly, about a millimeter apart."""
    lines = [np.linspace(-h, h, max(2 * int(h) + 1, 5)) for h in half]
    grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[np.linalg.norm(grid / half, axis=1) <= 1.0]


def _outline(frame: Frame, half: FloatArray) -> FloatArray:
    """(N, 3) RAS of an ellipsoid's outline in the sagittal plane."""
    angle = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    return frame.to_ras(np.column_stack([np.zeros(48), half[1] * np.cos(angle), half[2] * np.sin(angle)]))
