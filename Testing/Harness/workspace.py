"""The panel with the views beside it, as one picture."""

from pathlib import Path

import slicer
from PIL import Image, ImageDraw
from PySide6 import QtGui

from . import application, pythonqt, rendering, slicer_application

PANEL_WIDTH = 390
_BAR = 20
_COLORS = {"S": "#EDD54C", "A": "#F34A33", "1": "#7F8FD0", "P": "#9A9A9A"}


def open_panel(path: Path):
    """The module at a path, opened; its frame, its Python widget."""
    slicer_application.install()
    module = slicer.app.moduleManager().module(path.stem) or application.load_module(path)
    slicer.util.selectModule(path.stem)
    return module.widgetRepresentation(), module.widgetRepresentation().self()


def settle() -> None:
    for _ in range(4):
        slicer.app.processEvents()


def panel_picture(frame, target: Path, height: int = 640) -> None:
    """The panel alone."""
    frame._it.resize(PANEL_WIDTH, height)
    frame._it.show()
    settle()
    frame._it.grab().save(str(target))


def workspace_picture(frame, target: Path, size: tuple[int, int] = (1280, 720)) -> None:
    """The panel on the left, the spine layout's four views on the right."""
    width, height = size[0] - PANEL_WIDTH, size[1]
    left, top = width * 45 // 100, height * 55 // 100
    right = width - left
    space = right * 42 // 100
    places = (("S", (0, 0), (left, height), lambda s: rendering.slice_picture("SpineSagittal", s)),
              ("A", (left, 0), (right, top), lambda s: rendering.slice_picture("SpineAxial", s)),
              ("1", (left, top), (space, height - top), lambda s: rendering.space_picture("1", s)),
              ("P", (left + space, top), (right - space, height - top),
               lambda s: rendering.plot_picture("SpinePlot", s)))
    out = Image.new("RGB", size, "#202020")
    draw = ImageDraw.Draw(out)
    for label, (x, y), (w, h), view in places:
        x += PANEL_WIDTH
        draw.rectangle((x, y, x + w - 2, y + _BAR), fill=_COLORS[label])
        draw.text((x + 6, y + 4), label, fill="black")
        out.paste(Image.fromarray(view((w - 2, h - _BAR - 2))), (x, y + _BAR))
    panel_picture(frame, target, height)
    out.paste(Image.open(target).convert("RGB"), (0, 0))
    out.save(target, optimize=True)


def use_dark_theme() -> None:
    """The colors of Slicer's dark style."""
    palette = QtGui.QPalette()
    dark, darker, light = QtGui.QColor(53, 53, 53), QtGui.QColor(35, 35, 35), QtGui.QColor(230, 230, 230)
    for role, color in ((palette.ColorRole.Window, dark), (palette.ColorRole.Base, darker),
                        (palette.ColorRole.AlternateBase, dark), (palette.ColorRole.Button, dark),
                        (palette.ColorRole.WindowText, light), (palette.ColorRole.Text, light),
                        (palette.ColorRole.ButtonText, light), (palette.ColorRole.ToolTipText, light),
                        (palette.ColorRole.Link, QtGui.QColor(90, 160, 240)),
                        (palette.ColorRole.PlaceholderText, QtGui.QColor(150, 150, 150)),
                        (palette.ColorRole.Highlight, QtGui.QColor(42, 110, 180)),
                        (palette.ColorRole.HighlightedText, light)):
        palette.setColor(role, color)
    for role in (palette.ColorRole.WindowText, palette.ColorRole.Text, palette.ColorRole.ButtonText):
        palette.setColor(palette.ColorGroup.Disabled, role, QtGui.QColor(120, 120, 120))
    pythonqt.application().setPalette(palette)
