"""Pictures of all families on a phantom: the right plane, side, scale and place."""

from urllib.parse import unquote

import numpy as np
import pytest
from report_phantom import drawn

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.anatomy import Level, Segment
from SpineAnalysisLib.geometry.frames import Frame
from SpineAnalysisLib.measurements.record import Severity
from SpineAnalysisLib.measurements.registry import definitions
from SpineAnalysisLib.phantoms import Phantom, SpineSpec
from SpineAnalysisLib.report.curvatures import curvature_pictures, is_curve
from SpineAnalysisLib.report.pictures import PAPER
from SpineAnalysisLib.report.planes import anatomy_of, plane_name, sections_at
from SpineAnalysisLib.report.section import letters, section_pictures
from SpineAnalysisLib.report.sketch import Sketch, Word

L3_L4 = Segment(Level.L3, Level.L4)


@pytest.fixture(scope="module")
def analysis():
    """Three lumbar vertebrae, bent to a side; the left foramen at L3-L4 is narrow, the right one is not."""
    spec = SpineSpec.typical(Level.L3, Level.L5).changed(
        vertebrae={Level.L4: {"facet_left": 4.0}},
        joints={level: {"coronal": 7.0} for level in (Level.L3, Level.L4)})
    phantom = Phantom(spec)
    grid = phantom.grid(1.4)
    return analyze(phantom.image(grid), phantom.labels(grid, split=True), contrast="T2")


@pytest.fixture(scope="module")
def sections(analysis):
    return {section.title(analysis.spine): section for section in sections_at(L3_L4, analysis.measurements)}


def lines(analysis, section):
    """Pixels as displayed, points of every named line in pixels, and pixels per mm."""
    made = section_pictures(analysis.spine, section, definitions())[0]
    size, pixels, paths = drawn(unquote(made.picture.uri))
    return pixels, paths, size


def test_planes_of_a_disc(sections):
    assert {"Spinal canal and cord: axial", "Foramina and lateral recesses: axial", "Discs: sagittal",
            "Bulging and herniation: axial", "Signal of the discs: sagittal"} <= set(sections)
    sides = [title for title in sections if title.startswith("Foramina and lateral recesses, ")]
    assert sorted(title.split(":")[0][-5:].strip(", ") for title in sides) == ["left", "right"]


def test_foramina_are_on_their_sides(analysis, sections):
    found = {section.side: section for title, section in sections.items() if title.startswith("Foramina") and
             section.side}
    center = analysis.spine.vertebra(Level.L4).frame
    for side, sign in (("left", -1), ("right", 1)):
        section = found[side]
        assert sign * center.to_frame(section.frame.origin)[0] > 8.0
        assert {m.side for m in section.told if m.key != "foramen_asymmetry"} == {side}
        pixels, paths, size = lines(analysis, section)
        height = next(m for m in section.told if m.key == "foramen_height")
        seen = np.linalg.norm(np.diff(paths["foramen_height"], axis=0)) * 72.0 / size[0]
        assert seen == pytest.approx(height.value, abs=0.1)
        middle = paths["foramen_area"].mean(axis=0).astype(int)
        assert pixels[middle[1] - 3:middle[1] + 3, middle[0] - 3:middle[0] + 3].mean() > 1.5 * np.median(pixels)
    areas = {side: next(m.value for m in section.told if m.key == "foramen_area") for side, section in found.items()}
    assert areas["left"] < areas["right"] - 20.0


def test_front_is_on_the_left_and_heights_are_to_scale(analysis, sections):
    section = sections["Discs: sagittal"]
    _, paths, size = lines(analysis, section)
    places = [paths[f"disc_height_{where}"] for where in ("anterior", "middle", "posterior")]
    columns = [place[:, 0].mean() for place in places]
    assert columns == sorted(columns)
    for place, where in zip(places, ("anterior", "middle", "posterior"), strict=True):
        record = analysis.measurement(f"disc_height_{where}", "L3-L4")
        assert np.linalg.norm(np.diff(place, axis=0)) * 72.0 / size[0] == pytest.approx(record.value, abs=0.5)


def test_what_is_not_drawn_is_told_with_a_plane_of_its_direction(sections):
    told = {m.key for m in sections["Discs: sagittal"].told}
    assert {"disc_height_index", "disc_volume", "segmental_angle", "vertebra_slip"} <= told


def test_curves_are_drawn_along_their_endplates(analysis):
    curves = [m for m in analysis.measurements if is_curve(m)]
    assert [m.key for m in curves] == ["cobb_angle"]
    (made,) = curvature_pictures(analysis.spine, analysis.measurements, definitions())
    svg = unquote(made.picture.uri)
    first, last = (np.array([[float(n) for n in p.split(",")] for p in part.split("'")[0].split()])
                   for part in svg.split("class='cobb_angle' points='")[1:])
    slopes = [np.degrees(np.arctan2(*(end - start)[::-1])) for start, end in (first, last)]
    assert abs((slopes[0] - slopes[1] + 90.0) % 180.0 - 90.0) == pytest.approx(curves[0].value, abs=0.7)
    assert first[:, 1].mean() < last[:, 1].mean()
    assert "the patient's right on the left" in made.picture.alt


@pytest.mark.parametrize(("direction", "expected"), [
    ((1, 0, 0), ("R", "L")), ((0, -1, 0), ("P", "A")), ((0, 0.9, 0.43), ("AS", "PI")), ((0.1, 0.2, -0.97), ("I", "S"))])
def test_letters_of_directions(direction, expected):
    assert letters(np.array(direction, float)) == expected


def test_planes_are_called_by_the_anatomy(analysis):
    """The sacrum's own axial plane is nearer to the scanner's coronal one."""
    tilted = Frame.from_axes(np.zeros(3), np.array([0.0, 0.8, 0.6]), np.array([0.0, 0.6, -0.8]))
    assert plane_name(tilted) == "coronal-oblique"
    assert plane_name(tilted, tilted) == "axial"
    side = Frame(tilted.origin, tilted.anterior, tilted.superior, tilted.right)
    assert plane_name(side, tilted) == "sagittal"
    disc = anatomy_of(analysis.spine, L3_L4)
    assert plane_name(disc, disc) == "axial"
    assert anatomy_of(analysis.spine, None) is None


def test_words_keep_apart():
    sketch = Sketch(np.zeros((200, 200), np.uint8), 50.0, True)
    for place in ((25.0, 25.0), (25.5, 25.0), (25.0, 24.0), (49.0, 1.0)):
        sketch.label("12.3 mm", [np.array(place)])
    boxes = [word.box for word in sketch.words]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert right <= 200
        assert top >= 0
        assert bottom <= 200
        for x, t, r, b in boxes[:i]:
            assert min(right, r) <= max(left, x) or min(bottom, b) <= max(top, t)


def test_hostile_words_stay_words():
    sketch = Sketch(np.zeros((20, 20), np.uint8), 5.0, True)
    sketch.words.append(Word("<script>'\"&", 5.0, 5.0, 9.0, False, Severity.MILD))
    sketch.line(np.zeros((2, 2)), PAPER, name="a' onload='x")
    made = sketch.picture("alt", 20.0)
    assert "<script" not in unquote(made.uri)
    assert "onload='" not in unquote(made.uri)
    assert not set('"<>#') & set(made.uri)
    assert made.pixels().shape[2] == 3
