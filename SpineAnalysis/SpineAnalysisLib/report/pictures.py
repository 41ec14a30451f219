"""Figures as self-contained vector pictures, and the few colors that all of them share."""

import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..measurements.record import Severity
from ..measurements.registry import BONE_HU
from ..spine import Contrast

Pixels = NDArray[np.uint8]

INK = "#1f2933"
MUTED = "#66727f"
HAIRLINE = "#d5dbe1"
PAPER = "#ffffff"

_LINE_IN = 0.16
"""Names closer than this would overlap."""

@dataclass(frozen=True)
class Tone:
    """The colors of one severity: of a chip on paper, and of a line or mark on a picture."""

    background: str
    text: str
    mark: str


TONES = {
    Severity.NORMAL: Tone("#eef2f5", "#44505c", "#2fb3c4"),
    Severity.MILD: Tone("#fdf1c7", "#5f4700", "#e0b400"),
    Severity.MODERATE: Tone("#fde0c5", "#713200", "#f08a24"),
    Severity.SEVERE: Tone("#f9d3d3", "#7a1018", "#e5484d"),
}

_STYLE = {
    "svg.fonttype": "path", "svg.hashsalt": "spine-analysis", "svg.image_inline": True,
    "font.family": "DejaVu Sans", "font.size": 8.0, "text.color": INK, "axes.edgecolor": HAIRLINE,
    "axes.labelcolor": INK, "axes.labelsize": 8.0, "axes.titlesize": 8.5, "axes.spines.top": False,
    "axes.spines.right": False, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "xtick.labelsize": 7.5, "ytick.labelsize": 8.0, "legend.fontsize": 7.5,
    "legend.frameon": False, "figure.facecolor": PAPER, "image.composite_image": False,
}

_ESCAPED = {ord(character): f"%{ord(character):02X}" for character in '%#<>"&\n'}
_NEEDLESS = re.compile(r"(?<![\d.])([1-9]\d*\.\d\d)\d+")
"""Decimals of a point's place that nobody sees; factors below one keep theirs."""
_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")
_QUALITY = 86
_RASTER_DPI = 192.0  # twice that of a page on a screen
_PIXELATED = b'style="image-rendering:crisp-edges;image-rendering:pixelated"'
"""Written by matplotlib to pictures that it does not resample itself; browsers enlarge more smoothly without."""


@dataclass(frozen=True)
class Picture:
    """:param uri: ``data:`` address; :param alt: what it shows, for those who cannot see it.

    :param pixels: (rows, columns, 3) RGB, finer than on the page, for other formats than the page's.
    :param orientation: the patient's sides at the picture's right and lower edge (as "P", "I"); empty where mixed.
    """

    uri: str
    alt: str
    width_px: int
    height_px: int
    pixels: Callable[[], Pixels] = field(repr=False, compare=False)
    orientation: tuple[str, str] = ("", "")


@contextmanager
def house_style() -> Iterator[None]:
    """The look of every figure drawn inside, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def picture(figure: Figure, alt: str, orientation: tuple[str, str] = ("", "")) -> Picture:
    """The figure as SVG that is the same byte for byte whenever it is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = _NEEDLESS.sub(r"\1", buffer.getvalue().replace(_PIXELATED, b"").decode("utf-8"))
    svg = _PNG.sub(_as_jpeg, svg)
    width, height = figure.get_size_inches() * 96.0
    return Picture(svg_uri(svg), alt, round(width), round(height), lambda: _pixels(figure), orientation)


def svg_uri(svg: str) -> str:
    """The picture as a ``data:`` address that any attribute of a page can hold."""
    return "data:image/svg+xml," + svg.encode("ascii", "xmlcharrefreplace").decode("ascii").translate(_ESCAPED)


def jpeg(pixels: Pixels) -> bytes:
    """(H, W) gray or (H, W, 3) RGB values, top row first, as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _as_jpeg(png: re.Match[str]) -> str:
    """An embedded picture, opaque as all of them are, in a tenth of the bytes."""
    with Image.open(io.BytesIO(base64.b64decode(png[1]))) as image:
        pixels = np.asarray(image.convert("RGB"))
    gray = bool((pixels == pixels[..., :1]).all())
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels[..., 0].copy() if gray else pixels)).decode("ascii")


def _pixels(figure: Figure) -> Pixels:
    with house_style():
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(_RASTER_DPI)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def bare_axes(figure: Figure, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes that fill the figure, in millimeters, without ticks or frame."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    return axes


def show_scan(axes: Axes, values: NDArray[np.floating], contrast: Contrast | None) -> None:
    """A picture of the scan that fills the axes; black outside the scan.

    :param values: (H, W) lower row first, NaN outside.
    """
    axes.imshow(grays(values, contrast, BONE_HU), extent=(*axes.get_xlim(), *axes.get_ylim()), origin="lower",
                cmap="gray", vmin=0, vmax=255, interpolation="none")


def grays(values: NDArray[np.floating], contrast: Contrast | None, window_HU: tuple[float, float]) -> Pixels:
    """Intensities (NaN outside the scan) as 0..255.

    :param window_HU: what is black and what is white on CT; on MR that follows from the values.
    """
    low, high = window_HU if contrast == "CT" else _display_window(values[np.isfinite(values)])
    return np.round(255.0 * np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0.0, 1.0)).astype(np.uint8)


def _display_window(values: NDArray[np.floating]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (1.0, 99.3))
    return float(low), float(max(high, low + 1e-6))


def outline(color: str, width: float = 1.8) -> list[patheffects.AbstractPathEffect]:
    """The outline that keeps text and lines of this color legible on any background."""
    return [patheffects.withStroke(linewidth=width, foreground=INK if color == PAPER else PAPER)]


def scale_bar(axes: Axes, length_mm: float, color: str) -> None:
    """A bar of known length in the lower right corner, with its length."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inset = 0.04 * min(abs(right - left), top - bottom)
    sense = 1.0 if right > left else -1.0
    end, y = right - sense * inset, bottom + inset
    start = end - sense * length_mm
    effects = outline(color)
    axes.plot([start, end], [y, y], color=color, linewidth=2.0, solid_capstyle="butt", path_effects=effects)
    axes.text((start + end) / 2.0, y + 0.4 * inset, f"{length_mm:g} mm", color=color, ha="center", va="bottom",
              fontsize=7, path_effects=effects)


def level_tag(axes: Axes, x: float, y: float, text: str, severity: Severity, *, align: str = "center",
              ink: str = INK) -> None:
    """A level's name in this ink; in its severity's colors where it is not normal."""
    tone = TONES[severity]
    tag = {"boxstyle": "round,pad=0.2", "facecolor": tone.background, "edgecolor": tone.mark, "linewidth": 0.8}
    normal = severity is Severity.NORMAL
    axes.text(x, y, text, color=ink if normal else tone.text, ha=align, va="center", fontsize=8, fontweight="bold",
              path_effects=outline(ink) if normal else [], bbox=None if normal else tag)


def spread(heights: Sequence[float], inches_per_mm: float) -> list[float]:
    """Heights for names that would overlap, lowered, from the top, to below the one above.

    :param heights: mm, in any order; the result is in the same order.
    """
    out = list(heights)
    above = np.inf
    for index in sorted(range(len(out)), key=lambda i: -heights[i]):
        out[index] = above = min(heights[index], above - _LINE_IN / inches_per_mm)
    return out
