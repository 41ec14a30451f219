"""Draws the icon of extension and module: a lumbar spine from the side, its canal, and one narrowed level.

Usage: python Utilities/draw_icon.py
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = [REPOSITORY / "Resources/SpineAnalysis.png", REPOSITORY / "SpineAnalysis/Resources/Icons/SpineAnalysis.png"]
PIXELS = 128
NIGHT, DUSK, BONE, SHADE, DISC, CANAL, ALERT = (
    "#0d2438", "#1d4d6e", "#f7ecd3", "#cdb98f", "#7fb4cf", "#35d0ba", "#ff5a4e")

# Front to back is left to right; the canvas is 100 wide and 100 high.
BODIES = 4
NARROWED = 2  # the disc below this body


def spine_course(t: NDArray | float) -> NDArray:
    """(..., 2) center of the vertebral column at 0 (top) .. 1 (sacrum): a lordosis."""
    t = np.asarray(t, float)
    return np.stack([42 - 7.5 * np.sin(np.pi * (1.15 * t - 0.1)), 91 - 79 * t], axis=-1)


def axes_at(t: float) -> tuple[NDArray, NDArray, NDArray]:
    """Center, unit vector to the back and unit vector to the head."""
    down = spine_course(t + 1e-3) - spine_course(t - 1e-3)
    head = -down / np.linalg.norm(down)
    return spine_course(t), np.array([head[1], -head[0]]), head


def smooth(points: NDArray) -> Outline:
    """A closed outline through the midpoints of a polygon's sides, its corners rounded off."""
    points = np.asarray(points, float)
    middle = (points + np.roll(points, -1, axis=0)) / 2
    vertices, codes = [middle[-1]], [Outline.MOVETO]
    for corner, end in zip(points, middle, strict=True):
        vertices += [corner, end]
        codes += [Outline.CURVE3, Outline.CURVE3]
    return Outline(np.array(vertices), codes)


def place(t: float, outline: Sequence[tuple[float, float]]) -> NDArray:
    """Points given as (to the back, to the head) around the column's center at ``t``."""
    center, back, head = axes_at(t)
    local = np.asarray(outline, float)
    return center + local[:, :1] * back + local[:, 1:] * head


def body(t: float, half_width: float, half_height: float) -> Outline:
    """A vertebral body: waisted sides, full corners."""
    w, h = half_width, half_height
    corner = [(0.62 * w, h), (w, h), (w, 0.55 * h), (0.82 * w, 0), (w, -0.55 * h), (w, -h), (0.62 * w, -h)]
    mirrored = [(-x, y) for x, y in reversed(corner)]
    return smooth(place(t, [*corner, *mirrored]))


def spinous_process(t: float, near: float, size: float) -> Outline:
    """A process that points back and a little down."""
    outline = [(0, 0.34), (0.9, 0.36), (2.0, 0.2), (2.15, -0.42), (1.6, -0.6), (0.8, -0.3), (0, -0.34)]
    return smooth(place(t, [(near + size * x, size * y) for x, y in outline]))


def fill(ax: Axes, outline: Outline, color: str, edge: str | None = None, order: int = 1) -> None:
    ax.add_patch(PathPatch(outline, facecolor=color, edgecolor=edge or "none", linewidth=0.9, zorder=order))


def tile(ax: Axes) -> None:
    """A rounded tile that grows lighter to the top."""
    frame = FancyBboxPatch((7, 7), 86, 86, boxstyle="round,pad=6,rounding_size=19", facecolor="none", edgecolor="none")
    ax.add_patch(frame)
    colors = mpl.colors.LinearSegmentedColormap.from_list("tile", [NIGHT, DUSK])
    ax.imshow(np.linspace(0, 1, 256)[:, None], cmap=colors, extent=(0, 100, 0, 100), origin="lower", aspect="auto",
              interpolation="bicubic", clip_path=frame, clip_on=True)


def canal(ax: Axes) -> None:
    """The canal behind the bodies, pinched where the disc bulges."""
    front, back = [], []
    for t in np.linspace(-0.04, 1.03, 300):
        center, toward_back, _ = axes_at(t)
        pinch = 5.5 * np.exp(-(((t - disc_position(NARROWED)) / 0.045) ** 2))
        front.append(center + (14.5 + 2.5 * t + pinch) * toward_back)
        back.append(center + (23.5 + 1.5 * t) * toward_back)
    ax.fill(*np.array(front + back[::-1]).T, color=CANAL, zorder=2, linewidth=0)


def body_position(index: int) -> float:
    return 0.075 + 0.228 * index


def disc_position(index: int) -> float:
    return body_position(index) + 0.114


def draw(ax: Axes) -> None:
    tile(ax)
    canal(ax)
    for index in range(BODIES):
        grown = 1 + 0.05 * index
        fill(ax, spinous_process(body_position(index) + 0.05, 26.5, 10.5), BONE, SHADE, 3)
        narrowed = index == NARROWED
        front, back = -12.5 * grown, (19.5 if narrowed else 13) * grown
        disc = [(front, 4), (back, 4), (back, -4), (front, -4)]
        fill(ax, smooth(place(disc_position(index), disc)), ALERT if narrowed else DISC, None, 4)
        fill(ax, body(body_position(index), 14.2 * grown, 7.0), BONE, SHADE, 5)
    sacrum = [(-15, 2), (-8, 5), (16, 3), (19, -3), (31, -13), (25, -17), (6, -9), (-13, -4)]
    fill(ax, smooth(place(0.98, sacrum)), BONE, SHADE, 5)


def main() -> None:
    figure = Figure(figsize=(1, 1), dpi=PIXELS)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 100), ylim=(0, 100))
    ax.axis("off")
    draw(ax)
    for target in TARGETS:
        figure.savefig(target, transparent=True, metadata={"Software": None})
        print(f"{target.relative_to(REPOSITORY)}: {PIXELS} x {PIXELS} pixels")


if __name__ == "__main__":
    main()
