"""Slices with lines and words on them, written as small vector pictures; hundreds of them fit into one page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..measurements.record import Severity
from .pictures import INK, MUTED, PAPER, TONES, Picture, Pixels, bare_axes, house_style, jpeg, svg_uri

FloatArray = NDArray[np.floating]

_LETTER_PX, _WORD_PX, _SMALL_PX = 15.0, 12.5, 10.5
_GLYPH = 0.6
"""Width of a letter over its height, about; to keep words apart."""
_RASTER = 3.0
"""How much finer than on the page a picture is kept on its own."""
_INSET_PX = 4.0
_DENSE_PX = 3.0
_BARS_MM, _BAR_SHARE = (5.0, 10.0, 20.0, 50.0, 100.0), 0.33
"""Lengths of scale bars, and the most of a picture's width that one takes."""
_FONT = "DejaVu Sans, Verdana, Arial, sans-serif"


@dataclass(frozen=True, eq=False)
class Stroke:
    """:param points: (N, 2) pixels; :param name: whose geometry it is."""

    points: FloatArray
    color: str
    dashed: bool = False
    name: str = ""
    width: float = 1.6


@dataclass(frozen=True)
class Word:
    """:param x: and :param y: its middle, pixels; :param severity: in whose colors it is set, ``None`` for the ink."""

    text: str
    x: float
    y: float
    size: float
    bold: bool = False
    severity: Severity | None = None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, pixels."""
        half = self.size * _GLYPH * len(self.text) / 2.0
        return self.x - half, self.y - 0.62 * self.size, self.x + half, self.y + 0.62 * self.size


@dataclass(eq=False)
class Sketch:
    """A picture in the making.  Places are mm from its lower left corner, to the right and up.

    :param image: (H, W) gray or (H, W, 3) values 0..255, top row first, that fill it; :param width_mm: their width.
    :param dark: whether words are light on a dark ground.
    """

    image: Pixels
    width_mm: float
    dark: bool
    strokes: list[Stroke] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def scale(self) -> float:
        """Pixels per mm."""
        return self.image.shape[1] / self.width_mm

    def to_px(self, points_mm: FloatArray) -> FloatArray:
        """(..., 2) pixels from the upper left corner."""
        points = np.asarray(points_mm, float) * self.scale
        return np.stack([points[..., 0], self.image.shape[0] - points[..., 1]], axis=-1)

    def line(self, points_mm: FloatArray, color: str, *, closed: bool = False, dashed: bool = False, name: str = "",
             width: float = 1.6) -> None:
        """A line through (N, 2) places."""
        points = self.to_px(points_mm)
        self.strokes.append(Stroke(np.vstack([points, points[:1]]) if closed else points, color, dashed, name, width))

    def label(self, text: str, places_mm: Sequence[FloatArray], severity: Severity | None = None,
              small: bool = False) -> None:
        """Words beside the first of (2,) places where they do not lie on others."""
        size = _SMALL_PX if small else _WORD_PX
        half = size * _GLYPH * len(text) / 2.0
        places = [self.to_px(place) for place in places_mm]
        shifts = [(half + 5, 0.0), (-half - 5, 0.0), (0.0, size), (0.0, -size), (half + 4, size), (-half - 4, size),
                  (half + 4, -size), (-half - 4, -size), (0.0, 2.2 * size), (0.0, -2.2 * size)]
        tried = [Word(text, float(x + dx), float(y + dy), size, not small, severity)
                 for x, y in places for dx, dy in shifts]
        lines = np.vstack([_dense(stroke.points) for stroke in self.strokes] or [np.zeros((0, 2))])
        self.words.append(min(tried, key=lambda word: self._crowded(word, lines)))

    def _crowded(self, word: Word, lines: FloatArray) -> float:
        """Area of a word that lies on others or outside; then, by far less, how much of it lies on lines."""
        left, top, right, bottom = word.box
        width, height = self.size
        out = max(_INSET_PX - left, 0) + max(right - width + _INSET_PX, 0) + max(_INSET_PX - top, 0) + max(
            bottom - height + _INSET_PX, 0)
        on = sum(max(min(right, r) - max(left, x), 0) * max(min(bottom, b) - max(top, t), 0)
                 for x, t, r, b in (other.box for other in self.words))
        crossed = ((lines > (left, top)) & (lines < (right, bottom))).all(axis=1).sum()
        return 50.0 * out + 10.0 * on + 0.5 * float(crossed)

    def orient(self, right: tuple[str, str], up: tuple[str, str]) -> None:
        """The patient's sides at the edges.

        :param right: at the left and at the right edge; :param up: at the lower and at the upper edge.
        """
        width, height = self.size
        for text, x, y in ((right[0], 11.0 + 4.0 * (len(right[0]) - 1), height / 2.0),
                           (right[1], width - 11.0 - 4.0 * (len(right[1]) - 1), height / 2.0),
                           (up[0], width / 2.0, height - 11.0), (up[1], width / 2.0, 11.0)):
            self.words.append(Word(text, x, y, _LETTER_PX, True))

    def scale_bar(self) -> None:
        """A bar of a round length in the lower right corner, with its length."""
        width, height = self.size
        length_mm = max((mm for mm in _BARS_MM if mm * self.scale < _BAR_SHARE * width), default=_BARS_MM[0])
        long = length_mm * self.scale
        y, end = height - 8.0, width - 8.0
        self.strokes.append(Stroke(np.array([[end - long, y], [end, y]]), PAPER if self.dark else INK, width=2.6))
        text = f"{length_mm:g} mm"
        self.words.append(Word(text, end - max(long, _SMALL_PX * _GLYPH * len(text)) / 2.0, y - 9.0, _SMALL_PX))

    def picture(self, alt: str, shown_px: float, orientation: tuple[str, str] = ("", "")) -> Picture:
        """:param shown_px: how wide it is on the page."""
        width, height = self.size
        return Picture(svg_uri(self._svg()), alt, round(shown_px), round(shown_px * height / width), self._raster,
                       orientation)

    def _svg(self) -> str:
        width, height = self.size
        data = base64.b64encode(jpeg(self.image)).decode("ascii")
        parts = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' font-family='{_FONT}' "
                 f"text-anchor='middle' fill='none' stroke-linejoin='round'>",
                 f"<image width='{width}' height='{height}' href='data:image/jpeg;base64,{data}'/>"]
        for stroke in self.strokes:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in stroke.points)
            dash = " stroke-dasharray='5 3'" if stroke.dashed else ""
            name = f" class='{escape(stroke.name)}'" if stroke.name else ""
            parts.append(f"<polyline points='{points}' stroke='{_halo(stroke.color, self.dark)}' stroke-opacity='.6' "
                         f"stroke-width='{stroke.width + 1.4:.1f}'/><polyline{name} points='{points}' "
                         f"stroke='{stroke.color}' stroke-width='{stroke.width}'{dash}/>")
        for word in self.words:
            color, weight = _ink(word, self.dark), " font-weight='bold'" if word.bold else ""
            parts.append(f"<text x='{word.x:.1f}' y='{word.y + 0.36 * word.size:.1f}' font-size='{word.size}'{weight} "
                         f"fill='{color}' paint-order='stroke' stroke='{_halo(color, self.dark)}' stroke-width='2.6'>"
                         f"{escape(word.text)}</text>")
        return "".join([*parts, "</svg>"])

    def _raster(self) -> Pixels:
        """(rows, columns, 3) RGB."""
        width, height = self.size
        with house_style():
            figure = Figure(figsize=(width / 72.0, height / 72.0), dpi=72.0 * _RASTER)
            canvas = FigureCanvasAgg(figure)
            axes = bare_axes(figure, 0.0, width, height, 0.0)
            axes.imshow(self.image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0),
                        interpolation="bilinear")
            for stroke in self.strokes:
                axes.plot(*stroke.points.T, color=stroke.color, linewidth=stroke.width,
                          linestyle=(0, (3, 2)) if stroke.dashed else "-",
                          path_effects=[patheffects.withStroke(linewidth=stroke.width + 1.4, alpha=0.6,
                                                               foreground=_halo(stroke.color, self.dark))])
            for word in self.words:
                color = _ink(word, self.dark)
                axes.text(word.x, word.y, word.text, fontsize=word.size, ha="center", va="center", color=color,
                          fontweight="bold" if word.bold else "normal",
                          path_effects=[patheffects.withStroke(linewidth=2.6, foreground=_halo(color, self.dark))])
            canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _ink(word: Word, dark: bool) -> str:
    if word.severity:
        return TONES[word.severity].background if dark else TONES[word.severity].text
    return PAPER if dark else INK


def _halo(color: str, dark: bool) -> str:
    """What surrounds a color so that it is seen on any ground."""
    return PAPER if color in (INK, MUTED, *(tone.text for tone in TONES.values())) or not dark else "#000000"


def _dense(points: FloatArray) -> FloatArray:
    """(M, 2) points every few pixels of a line."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0.0, along[-1] + 1e-9, _DENSE_PX)
    return np.column_stack([np.interp(at, along, points[:, 0]), np.interp(at, along, points[:, 1])])
