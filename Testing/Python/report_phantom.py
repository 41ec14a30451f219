"""A small analysis made by hand, and what tests read from its report."""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from SpineAnalysisLib.analysis import Analysis
from SpineAnalysisLib.anatomy import Kind, Level, Structure, segments
from SpineAnalysisLib.geometry.curves import Curve
from SpineAnalysisLib.geometry.frames import Frame, Plane
from SpineAnalysisLib.measurements import registry
from SpineAnalysisLib.measurements.record import Geometry, Grade, Measurement, Quality, Severity, Table
from SpineAnalysisLib.measurements.registry import Definition, Family, FamilyResult
from SpineAnalysisLib.report.cards import ranked
from SpineAnalysisLib.report.planes import section_at
from SpineAnalysisLib.report.section import section_pictures
from SpineAnalysisLib.spine import MotionSegment, Spine, Vertebra
from SpineAnalysisLib.volume import LabelMap, Volume

LEVELS = [Level.L1, Level.L2, Level.L3, Level.L4, Level.L5, Level.S1]
PITCH = 36.0
HEIGHT, WIDTH, DEPTH = 240, 110, 130
STENOSIS_Z = HEIGHT - 30.0 - 3.5 * PITCH  # at L4-L5


def canal_center(z):
    """(..., 3) a canal that bows forward and, mildly, sideways."""
    bow = np.sin(np.asarray(z) / HEIGHT * np.pi)
    return np.stack([8.0 * bow, -18.0 + 10.0 * bow, np.asarray(z, float)], axis=-1)


def canal_axes(z):
    """Half widths along R and A, narrowed at L4-L5."""
    narrowing = 1.0 - 0.5 * np.exp(-(((np.asarray(z) - STENOSIS_Z) / 7.0) ** 2))
    return 11.0 * narrowing, 8.0 * narrowing


CENTERLINE = Curve(canal_center(np.arange(HEIGHT - 1.0, 0.0, -1.0)))


def body_center(level):
    z = HEIGHT - 30.0 - PITCH * LEVELS.index(level)
    return canal_center(z) + np.array([0.0, 27.0, 0.0])


def frame_at(point):
    return Frame.from_axes(point, np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]))


def synthetic_spine(with_image=True):
    matrix = np.eye(4)
    matrix[:3, 3] = (-WIDTH / 2, -75.0, 0.0)
    shape = (WIDTH, DEPTH, HEIGHT)
    x, y, z = (axis + shift for axis, shift in zip(np.indices(shape, dtype=np.float32), matrix[:3, 3], strict=True))
    center = canal_center(z)
    wide, deep = canal_axes(z)
    ring = ((x - center[..., 0]) / (wide + 5)) ** 2 + ((y - center[..., 1]) / (deep + 5)) ** 2 < 1
    canal = ((x - center[..., 0]) / wide) ** 2 + ((y - center[..., 1]) / deep) ** 2 < 1
    array = np.zeros(shape, np.int16)
    structures = {1: Structure(Kind.CANAL)}
    for index, level in enumerate(LEVELS):
        c = body_center(level)
        near = np.abs(z - c[2]) < PITCH / 2 - 5
        column = ((x - c[0]) / 24) ** 2 + ((y - c[1]) / 17) ** 2 < 1
        array[column & near] = 10 + index
        array[ring & (np.abs(z - c[2]) < 12)] = 10 + index
        structures[10 + index] = Structure(Kind.VERTEBRA, level)
        if level is not Level.S1:
            disc = ((x - c[0]) / 24) ** 2 + ((y - c[1]) / 17) ** 2 < 1
            array[disc & (np.abs(z - c[2] + PITCH / 2) < 4)] = 30 + index
            structures[30 + index] = Structure(Kind.DISC, level, below=LEVELS[index + 1])
    array[canal] = 1
    signal = np.full(shape, 150.0, np.float32)
    signal[(array >= 10) & (array < 30)] = 260.0
    signal[array >= 30] = 420.0
    signal[array == 1] = 900.0
    labels = LabelMap(array, matrix, "labels", structures)
    vertebrae = tuple(_vertebra(level) for level in LEVELS)
    chain = tuple(_segment(s) for s in segments(LEVELS))
    image = Volume(signal, matrix, "scan") if with_image else None
    return Spine(labels, vertebrae, chain, CENTERLINE, None, None, image, "T2" if with_image else None)


def _segment(segment):
    middle = (body_center(segment.upper) + body_center(segment.lower)) / 2
    return MotionSegment(segment, frame_at(middle), 8.0, float(CENTERLINE.project(middle)))


def _vertebra(level):
    center = body_center(level)
    half = np.array([0.0, 0.0, PITCH / 2 - 5])
    up = np.array([0.0, 0.0, 1.0])
    return Vertebra(level, frame_at(center), Plane(center + half, up), Plane(center - half, up), center,
                    float(CENTERLINE.project(center)))


AREA = Definition("canal_area", "Canal area", "mm2", "Area of the section perpendicular to the centerline, in mm2.",
                  "Definition 2001", decimals=0, draw=True)
AP = Definition("canal_ap_diameter", "Canal AP diameter", "mm", "Extent of the section along A.", decimals=1, draw=True)
DEPTH_LEFT = Definition("lateral_recess_depth", "Recess depth", "mm", "Depth of the recess.", decimals=1)
FAMILY = Family("canal", "Spinal canal", (AREA, AP, DEPTH_LEFT), lambda *_: FamilyResult(()))


@contextmanager
def one_family() -> Iterator[None]:
    """The registry as if this family were the only one."""
    with pytest.MonkeyPatch.context() as patch:
        registry.definitions()  # or else those of this family alone would be cached for the tests to come
        patch.setattr(registry, "families", lambda: (FAMILY,))
        patch.setattr(registry, "definitions", lambda: {d.key: d for d in FAMILY.definitions})
        yield


def records_at(level, z):
    wide, deep = canal_axes(z)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    center = canal_center(z)
    frame = frame_at(center)
    outline = frame.to_ras(np.stack([wide * np.cos(turn), deep * np.sin(turn), 0 * turn], axis=-1))
    line = center + np.array([[0, -deep, 0], [0, deep, 0]])
    area = float(np.pi * wide * deep)
    grades = tuple(Grade("stenosis" if area < limit else "normal", f"< {limit} mm2", source,
                         severity if area < limit else Severity.NORMAL)
                   for limit, source, severity in ((100, "Bolender 1985", Severity.MODERATE),
                                                   (75, "Schoenstroem 1985", Severity.SEVERE)))
    return [Measurement("canal_area", level, area, "mm2", uncertainty=5.4, grades=grades,
                        geometry=Geometry("contour", outline, frame)),
            Measurement("canal_ap_diameter", level, float(2 * deep), "mm", uncertainty=0.4, quality=Quality.LIMITED,
                        flags=("thick_slices",), geometry=Geometry("line", line, frame)),
            Measurement("lateral_recess_depth", level, None, "mm", side="left", flags=("not_in_view",))]


def synthetic_analysis(with_image=True):
    spine = synthetic_spine(with_image)
    measurements = [m for s in spine.segments for m in records_at(s.segment, float(s.disc.origin[2]))]
    measurements += [m for v in spine.vertebrae for m in records_at(v.level, float(v.frame.origin[2]))[:2]]
    z = spine.centerline.points[:, 2]
    wide, deep = canal_axes(z)
    marks = {str(v.level): float(spine.centerline.project(v.frame.origin)) for v in spine.vertebrae}
    marks |= {str(s.segment): float(spine.centerline.project(s.disc.origin)) for s in spine.segments}
    table = Table("canal_profile", "Canal profile", {
        "arc_length_mm": spine.centerline.arc_length, "canal_area_mm2": np.pi * wide * deep,
        "canal_ap_diameter_mm": 2 * deep, "canal_transverse_diameter_mm": 2 * wide}, marks)
    return Analysis(spine, tuple(measurements), (table,),
                    findings=("L4-L5: canal area 69 mm2, absolute stenosis.",),
                    doubts=("Levels are provisional: the sacrum is not in view.",),
                    provenance={"version": "0.1.0", "parameters": {"canal": {"smoothing_mm": 1.5}}, "inputs": [
                        {"role": "image", "sha256": "ab" * 32}]})


class Cells(HTMLParser):
    """Visible text, and the text of every table cell that carries a record."""

    def __init__(self, text):
        super().__init__()
        self.found, self.visible, self.attributes, self._skip, self._cell = {}, [], [], 0, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *a) for a in attrs]
        here = dict(attrs)
        self._skip += tag == "style"
        if tag == "td":
            self._cell = (here.get("data-key"), here.get("data-level"))

    def handle_endtag(self, tag):
        self._skip -= tag == "style"
        if tag == "td":
            self._cell = None

    def handle_data(self, data):
        if self._skip:
            return
        self.visible.append(data)
        if self._cell and self._cell[0]:
            self.found.setdefault(self._cell, []).append(data)


def pictures_of(page):
    return [unquote(data) for data in re.findall(r"data:image/svg\+xml,([^\"]+)", page)]


def drawn(svg):
    """Size of the picture in its own units, its pixels as displayed, and the points of every named line."""
    size = [float(n) for n in re.search(r"viewBox='0 0 (\d+) (\d+)'", svg).groups()]
    paths = {name: np.array([[float(n) for n in point.split(",")] for point in points.split()])
             for name, points in re.findall(r"<polyline class='(\w+)' points='([^']+)'", svg)}
    return size, embedded_pixels(svg), paths


def embedded_pixels(svg):
    """Gray values of the first embedded picture, top row first as displayed."""
    image = pytest.importorskip("PIL.Image")
    data = re.search(r"data:image/jpeg;base64,([\w+/=]+)", svg)[1]
    return np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)


def inside(points, shape, size):
    """(H, W) which pixels of a picture lie inside a closed path in its units."""
    from matplotlib.path import Path as Outline

    rows, columns = np.indices(shape)
    centers = np.stack([(columns + 0.5) / shape[1] * size[0], (rows + 0.5) / shape[0] * size[1]], axis=-1)
    return Outline(points).contains_points(centers.reshape(-1, 2)).reshape(shape)


def section_svg(analysis):
    section = section_at(ranked(analysis.measurements)[0], analysis.measurements)
    made = section_pictures(analysis.spine, section, registry.definitions())[0]
    return unquote(made.picture.uri.partition(",")[2])
