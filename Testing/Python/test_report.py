"""The report: what it says equals the records, and what it draws lies where it was measured."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from SpineAnalysisLib.analysis import Analysis
from SpineAnalysisLib.anatomy import Kind, Level, Structure, segments
from SpineAnalysisLib.geometry.curves import Curve
from SpineAnalysisLib.geometry.frames import Frame, Plane
from SpineAnalysisLib.measurements import registry
from SpineAnalysisLib.measurements.record import Geometry, Grade, Measurement, Quality, Severity, Table
from SpineAnalysisLib.measurements.registry import Definition, Family, FamilyResult
from SpineAnalysisLib.report import views
from SpineAnalysisLib.report.html import MAX_SECTIONS, chosen_sections, level_severities, render_report, write_report
from SpineAnalysisLib.report.pictures import house_style
from SpineAnalysisLib.report.profile import cutoff_lines
from SpineAnalysisLib.report.reformat import SagittalSurface, sample_image, sample_labels
from SpineAnalysisLib.report.rendering import View, render, surface_of
from SpineAnalysisLib.report.section import FIELD_MM, section_picture
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


@pytest.fixture(autouse=True)
def _one_family(monkeypatch):
    monkeypatch.setattr(registry, "families", lambda: (FAMILY,))
    monkeypatch.setattr(registry, "definitions", lambda: {d.key: d for d in FAMILY.definitions})


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis()


@pytest.fixture(scope="module")
def page(analysis):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "families", lambda: (FAMILY,))
        patch.setattr(registry, "definitions", lambda: {d.key: d for d in FAMILY.definitions})
        return render_report(analysis)


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


def test_tables_hold_the_values_of_the_records(analysis, page):
    cells = {where: " ".join(" ".join(text).split()) for where, text in Cells(page).found.items()}
    assert len(cells) == len(analysis.measurements)
    decimals = {d.key: d.decimals for d in FAMILY.definitions}
    for m in analysis.measurements:
        text = cells[m.key, str(m.level)]
        if m.value is None:
            assert text.startswith("not measured")
        else:
            assert text.startswith(f"{m.value:.{decimals[m.key]}f} ± {m.uncertainty:.{decimals[m.key]}f}")


def test_every_grade_names_its_source(analysis, page):
    cells = {where: "".join(text) for where, text in Cells(page).found.items()}
    references = dict(re.findall(r'<li id="ref-(\d+)">(.*)', page))
    for m in analysis.measurements:
        if m.grade is not None:
            cited = re.findall(r"\[(\d+)\]", cells[m.key, str(m.level)])
            assert m.grade.source in [references[n] for n in cited]
    for source in {g.source for m in analysis.measurements for g in m.grades}:
        assert source in references.values()
    assert "Canal area: stenosis, &lt; 75 mm²" in page


def test_says_what_it_is_and_what_it_doubts(analysis, page):
    text = " ".join(Cells(page).visible)
    assert "Not a medical device" in text
    assert text.index(analysis.doubts[0]) < text.index("L4-L5: canal area 69 mm², absolute")
    assert "L1 to S1 (6 vertebrae)" in text
    assert "parameters.canal.smoothing_mm" in text
    assert "ab" * 32 in text


def test_units_are_printed_not_coded(page):
    text = " ".join(Cells(page).visible)
    assert "mm²" in text
    assert not re.search(r"\bmm[23]\b|\bdeg\b|\[hnsf", text)


def test_footnotes_explain_flags_and_quality(page):
    text = " ".join("".join(Cells(page).visible).split())
    assert "† Limited quality." in text
    assert "The slices are thick." in text
    assert "Not in view." in text


def test_what_holds_for_all_values_is_said_once(analysis):
    flagged = [replace(m, quality=Quality.LIMITED, flags=("coarse_voxels", *m.flags)) for m in analysis.measurements]
    text = " ".join("".join(Cells(render_report(replace(analysis, measurements=tuple(flagged)))).visible).split())
    assert "All values: limited quality; the voxels are large for this structure." in text
    assert "†" not in text


def test_needs_nothing_from_outside(page):
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page
    for tag, name, value in Cells(page).attributes:
        if name in ("src", "href", "srcset", "data", "action"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    for svg in pictures_of(page):
        assert not re.search(r"""(?:href|src)=["'](?!#|data:)""", svg)


def test_every_picture_has_words(page):
    texts = [value for tag, name, value in Cells(page).attributes if (tag, name) == ("img", "alt")]
    assert len(texts) == len(pictures_of(page)) >= 3
    assert all(len(text) > 40 for text in texts)


def test_hostile_text_is_only_text(analysis):
    evil = '<img src=x onerror="alert(1)">'
    grade = Grade(evil, evil, evil, Severity.MILD)
    hostile = replace(analysis, findings=(evil,), doubts=(evil,), provenance={evil: [{evil: evil}]},
                      measurements=(replace(analysis.measurements[0], grades=(grade,), flags=(evil,)),))
    page = render_report(hostile, title=f"{evil}</title><script>alert(1)</script>")
    assert "<script" not in page
    assert not any(tag == "img" and name in ("src", "onerror") and not value.startswith("data:")
                   for tag, name, value in Cells(page).attributes)
    assert page.count("&lt;img src=x") >= 8


def test_same_analysis_same_bytes(analysis, page, tmp_path):
    write_report(analysis, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == page.encode()


def test_worst_level_comes_first_and_normal_ones_are_left_out(analysis):
    chosen = chosen_sections(analysis.measurements, level_severities(analysis.measurements))
    assert [str(s.level) for s in chosen] == ["L4-L5"]
    assert {m.key for m in chosen[0].inside} == {"canal_area", "canal_ap_diameter"}
    calm = [replace(m, grades=()) for m in analysis.measurements]
    assert [str(s.level) for s in chosen_sections(calm, level_severities(calm))] == ["L4-L5"]


def test_many_abnormal_levels_are_capped(analysis):
    grave = Grade("stenosis", "< 300 mm2", "Somebody 2000", Severity.SEVERE)
    bad = [replace(m, grades=(grave,)) if m.key == "canal_area" else m for m in analysis.measurements]
    chosen = chosen_sections(bad, level_severities(bad))
    assert len(chosen) == 11
    assert [str(s.level) for s in chosen[:6]] == ["L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1", "L1"]
    page = render_report(replace(analysis, measurements=tuple(bad)))
    assert page.count('class="card"') == MAX_SECTIONS
    assert "5 more abnormal levels are in the tables" in page


def pictures_of(page):
    return [base64.b64decode(data).decode() for data in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", page)]


def drawn(svg):
    """Size of the picture in its own units, its pixels as displayed, and the points of every named path."""
    size = [float(n) for n in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()]
    pixels = embedded_pixels(svg)
    paths = {}
    for name, path in re.findall(r'<g id="(canal_\w+)">\s*<path d="([^"]+)"', svg):
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
        paths[name] = np.array(numbers).reshape(-1, 2)
    return size, pixels, paths


def embedded_pixels(svg):
    """Gray values of the first embedded picture, top row first as displayed."""
    image = pytest.importorskip("PIL.Image")
    tag = re.search(r"<image[^>]*>", svg)[0]
    data = re.search(r"data:image/png;base64,\s*([\w+/=\s]+)", tag)[1]
    pixels = np.asarray(image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)
    upside_down = float(re.search(r'transform="matrix\(([^)]*)\)', tag)[1].split()[3]) < 0
    return pixels[::-1] if upside_down else pixels


def inside(points, shape, size):
    """(H, W) which pixels of a picture lie inside a closed path in its units."""
    from matplotlib.path import Path as Outline

    rows, columns = np.indices(shape)
    centers = np.stack([(columns + 0.5) / shape[1] * size[0], (rows + 0.5) / shape[0] * size[1]], axis=-1)
    return Outline(points).contains_points(centers.reshape(-1, 2)).reshape(shape)


def section_svg(analysis):
    section = chosen_sections(analysis.measurements, level_severities(analysis.measurements))[0]
    with house_style():
        made = section_picture(analysis.spine, section, registry.definitions())
    return base64.b64decode(made.uri.partition(",")[2]).decode()


def test_contour_lies_on_the_canal_of_the_scan(analysis):
    size, pixels, paths = drawn(section_svg(analysis))
    within = inside(paths["canal_area"], pixels.shape, size)
    bright = pixels > 200
    agreement = 2 * (within & bright).sum() / (within.sum() + bright.sum())
    assert agreement > 0.9, agreement


def test_diameter_is_drawn_to_scale_through_the_middle(analysis):
    size, _, paths = drawn(section_svg(analysis))
    record = next(m for m in analysis.measurements if m.key == "canal_ap_diameter" and str(m.level) == "L4-L5")
    line, contour = paths["canal_ap_diameter"], paths["canal_area"]
    assert np.ptp(line[:, 1]) * FIELD_MM / size[1] == pytest.approx(record.value, abs=0.1)
    assert line[:, 0] == pytest.approx(contour[:, 0].mean(), abs=0.5)


def test_section_is_seen_from_below(analysis):
    """The patient's right is on the viewer's left, the front is up."""
    spine = analysis.spine
    x, y, _ = np.moveaxis(spine.labels.to_ras(np.moveaxis(np.indices(spine.labels.shape), 0, -1)), -1, 0)
    marked = replace(spine, image=spine.image.with_array(np.where((x > 15) & (y > 0), 1000.0, 0.0)))
    _, pixels, _ = drawn(section_svg(replace(analysis, spine=marked)))
    half_y, half_x = pixels.shape[0] // 2, pixels.shape[1] // 2
    assert pixels[:half_y, :half_x].mean() > 60
    assert pixels[half_y:, :].mean() < 5
    assert pixels[:, half_x:].mean() < 20


def test_sagittal_surface_follows_a_canal_that_bows_sideways(analysis):
    surface = SagittalSurface.of(analysis.spine)
    points = CENTERLINE.points[30:-30]
    assert np.abs(surface.offset(points)).max() < 1.0
    assert np.abs(points[:, 0] - points[:, 0].mean()).max() > 3.0
    seen = surface.to_picture(points)
    values = sample_image(analysis.spine.image, surface.to_ras(seen[:, 0], seen[:, 1]))
    assert values == pytest.approx(np.full(len(values), 900.0))


def test_sagittal_names_lie_beside_their_bodies(analysis):
    surface = SagittalSurface.of(analysis.spine)
    for vertebra in analysis.spine.vertebrae:
        height, front = np.mgrid[-8:8:5j, -8:8:5j] + surface.to_picture(vertebra.frame.origin)[::-1, None, None]
        sampled = sample_labels(analysis.spine.labels, surface.to_ras(front, height))
        assert {analysis.spine.labels.structures[v].level for v in np.unique(sampled)} == {vertebra.level}


def test_profile_draws_the_limits_where_they_were_applied(analysis):
    table = analysis.tables[0]
    lines = cutoff_lines(table, analysis.measurements)
    assert {(line.column, line.limit) for line in lines} == {("canal_area_mm2", 100.0)}
    assert lines[0].start < table.marks["L1"] < table.marks["S1"] < lines[0].end


def test_without_a_scan_the_labels_are_drawn():
    page = render_report(synthetic_analysis(with_image=False))
    assert "none; measured on the segmentation alone" in page
    assert "Cross-section of the segmentation at L4-L5" in page


def test_without_graphics_the_report_is_still_written(analysis, monkeypatch):
    monkeypatch.setattr(views, "render", lambda *_: None)
    assert "could not draw the three-dimensional view" in render_report(analysis)


@pytest.mark.skipif(sys.platform != "linux", reason="how drivers are found differs")
def test_no_driver_neither_crashes_nor_prints(tmp_path):
    """VTK warns, and its last resort crashes, where no OpenGL driver is installed."""
    (tmp_path / "none.json").write_text("{}")
    code = ("import numpy as np\n"
            "from SpineAnalysisLib.report.rendering import View, render, surface_of\n"
            "from SpineAnalysisLib.volume import Volume\n"
            "cube = [surface_of(Volume(np.ones((5, 5, 5), bool), np.eye(4)), (1, 0, 0))]\n"
            "view = View.around(cube, np.array([0.0, -1, 0]), np.array([0.0, 0, 1]), 2.0)\n"
            "print(render(cube, view) is None)")
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env={
        **environment, "PYTHONPATH": os.pathsep.join(sys.path),
        "__EGL_VENDOR_LIBRARY_FILENAMES": str(tmp_path / "none.json")})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in ("True", "False")  # False where another driver is found


def test_rendering_shows_the_colors_in_their_places():
    size = 24
    x, _, _ = np.indices((size, size, size))
    blocks = [surface_of(Volume(half, np.eye(4)), color)
              for half, color in ((x < size // 2, (1.0, 0.1, 0.1)), (x >= size // 2, (0.1, 0.1, 1.0)))]
    from_behind = View.around(blocks, np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]), 3.0)
    pixels = render(blocks, from_behind)
    if pixels is None:
        pytest.skip("this computer cannot render")
    middle = pixels[pixels.shape[0] // 2].astype(int)
    left, right = middle[len(middle) // 4], middle[3 * len(middle) // 4]
    assert left[0] > left[2] + 50  # the patient's left is on the left when seen from behind
    assert right[2] > right[0] + 50
    assert (pixels[0] == 255).all()


LAYOUT = """<script>
const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') || e.matches('.scroll'))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.tagName);
const blank = [...document.images].filter(i => !i.naturalWidth).length;
const squeezed = [...document.images].filter(
  i => Math.abs(i.clientWidth / i.clientHeight - i.naturalWidth / i.naturalHeight) > 0.02).length;
document.body.innerHTML = 'wide=' + wide.join() + ' blank=' + blank + ' squeezed=' + squeezed;
</script>"""


@pytest.mark.parametrize("width", [1100, 520])
def test_layout_fits_the_window(page, tmp_path, width):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", LAYOUT + "</body>"), encoding="utf-8")
    done = subprocess.run([
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True)
    assert "wide= blank=0 squeezed=0" in done.stdout, re.sub("base64,[^\"]*", "", done.stdout)[-600:]
