"""What the report draws lies where it was measured."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from report_phantom import CENTERLINE, drawn, frame_at, inside, one_family, section_svg, synthetic_analysis

from SpineAnalysisLib.measurements.record import Geometry
from SpineAnalysisLib.report import views
from SpineAnalysisLib.report.html import render_report
from SpineAnalysisLib.report.pictures import spread
from SpineAnalysisLib.report.planes import section_at
from SpineAnalysisLib.report.profile import cutoff_lines
from SpineAnalysisLib.report.reformat import SagittalSurface, sample_image, sample_labels
from SpineAnalysisLib.report.rendering import View, render, surface_of
from SpineAnalysisLib.report.section import FIELD_MM
from SpineAnalysisLib.volume import Volume


@pytest.fixture(autouse=True, scope="module")
def _one_family():
    with one_family():
        yield


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis()


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


def test_diameters_of_other_planes_are_drawn_dashed(analysis):
    area, diameter = (m for m in analysis.measurements if str(m.level) == "L4-L5" and m.geometry is not None)
    up, line = np.array([0.0, 0.0, 4.0]), diameter.geometry.points_RAS
    lifted = Geometry("line", line + up, frame_at(line.mean(axis=0) + up))
    section = section_at(area.level, [area, replace(diameter, geometry=lifted)])
    assert [s.record.key for s in section.inside] == ["canal_area"]
    assert [s.record.key for s in section.beside] == ["canal_ap_diameter"]
    far = Geometry("line", line + 10 * up, frame_at(line.mean(axis=0) + 10 * up))
    assert section_at(area.level, [area, replace(diameter, geometry=far)]).beside == ()


def test_ratios_are_not_drawn_as_if_they_were_lengths(analysis):
    area, diameter = (m for m in analysis.measurements if str(m.level) == "L4-L5" and m.geometry is not None)
    share = replace(diameter, value=17.0, unit="%")
    section = section_at(area.level, [area, share])
    assert [s.record.key for s in section.inside] == ["canal_area"]
    assert section.told == (area, share)


def test_names_that_would_overlap_are_spread():
    assert spread([10.0, 100.0, 99.0], inches_per_mm=0.02) == [10.0, 100.0, pytest.approx(92.0)]


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


def test_without_a_scan_the_labels_are_drawn(monkeypatch):
    monkeypatch.setattr(views, "render", lambda *_: None)
    page = render_report(synthetic_analysis(with_image=False))
    assert "none; measured on the segmentation alone" in page
    assert "Spinal canal: axial section of the segmentation at L4-L5" in page


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
