"""The report says what the records say, and nothing else."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from report_phantom import FAMILY, Cells, drawn, inside, one_family, pictures_of, section_svg, synthetic_analysis

from SpineAnalysisLib.analysis import analyze
from SpineAnalysisLib.labeling.naming import Naming, Source
from SpineAnalysisLib.measurements import registry
from SpineAnalysisLib.measurements.record import Grade, Quality, Severity
from SpineAnalysisLib.measurements.registry import definitions, families
from SpineAnalysisLib.phantoms.presets import preset
from SpineAnalysisLib.reading.image import read_image
from SpineAnalysisLib.reading.segmentation import read_segmentation
from SpineAnalysisLib.report import views
from SpineAnalysisLib.report.cards import MOST_OPEN, cards_of
from SpineAnalysisLib.report.curvatures import is_curve
from SpineAnalysisLib.report.html import render_report, write_report
from SpineAnalysisLib.report.tables import References
from SpineAnalysisLib.schemes import understand


@pytest.fixture(autouse=True, scope="module")
def _one_family():
    with one_family():
        yield


@pytest.fixture
def _without_3d(monkeypatch):
    """Faster."""
    monkeypatch.setattr(views, "render", lambda *_: None)


@pytest.fixture(scope="module")
def analysis():
    return synthetic_analysis()


@pytest.fixture(scope="module")
def page(analysis):
    return render_report(analysis)


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


@pytest.mark.usefixtures("_without_3d")
def test_provisional_levels_are_told_by_their_places(analysis):
    spine = replace(analysis.spine, provisional=True)
    naming = Naming(spine.labels, Source.SEGMENTATION, provisional=True)
    page = render_report(replace(analysis, spine=spine, naming=naming))
    lowest, above = str(spine.vertebrae[-1].level), str(spine.vertebrae[-2].level)
    assert f'<th scope="row"><a href="#level-s1">{lowest} (1 from below)</a></th>' in page
    assert f'<th scope="row"><a href="#level-l5-s1">{above}-{lowest} (2-1 from below)</a></th>' in page
    assert "provisional; counted from below: " in page
    assert "(1 from below)" not in render_report(analysis)


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


@pytest.mark.usefixtures("_without_3d")
def test_what_holds_for_all_values_is_said_once(analysis):
    flagged = [replace(m, quality=Quality.LIMITED, flags=("coarse_voxels", *m.flags)) for m in analysis.measurements]
    text = " ".join("".join(Cells(render_report(replace(analysis, measurements=tuple(flagged)))).visible).split())
    assert "All values: limited quality; the voxels are large for this structure." in text
    assert "†" not in text


def test_needs_nothing_from_outside(page):
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in re.sub(r'"data:[^"]*"', "", page)
    for tag, name, value in Cells(page).attributes:
        if name in ("src", "href", "srcset", "data", "action"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    for svg in pictures_of(page):
        assert not re.search(r"""(?:href|src)=["'](?!#|data:)|url\((?!#)""", svg)


def test_every_picture_has_words(page):
    texts = [value for tag, name, value in Cells(page).attributes if (tag, name) == ("img", "alt")]
    assert len(texts) == len(pictures_of(page)) >= 3
    assert all(len(text) > 40 for text in texts)


@pytest.mark.usefixtures("_without_3d")
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


def test_worst_level_comes_first_and_normal_ones_open_on_a_click(analysis):
    first, others, _ = cards_of(analysis, References())
    assert [card.level for card in first] == ["L4-L5"]
    assert {number.cell.key for number in first[0].graded} == {"canal_area"}
    assert [card.level for card in others] == ["L1", "L1-L2", "L2", "L2-L3", "L3", "L3-L4", "L4", "L5", "L5-S1", "S1"]
    calm = replace(analysis, measurements=tuple(replace(m, grades=()) for m in analysis.measurements))
    assert [card.level for card in cards_of(calm, References())[0]] == ["L4-L5"]


@pytest.mark.usefixtures("_without_3d")
def test_many_abnormal_levels_are_capped(analysis):
    grave = Grade("stenosis", "< 300 mm2", "Somebody 2000", Severity.SEVERE)
    bad = [replace(m, grades=(grave,)) if m.key == "canal_area" else m for m in analysis.measurements]
    page = render_report(replace(analysis, measurements=tuple(bad)))
    assert re.findall(r'<article class="card" id="level-([^"]*)"', page) == [
        "l1-l2", "l2-l3", "l3-l4", "l4-l5", "l5-s1", "l1"]
    assert page.count('<article class="card"') == MOST_OPEN
    assert page.count('<details class="level"') == 5


def _check_planes(analysis):
    """No value without a plane and a picture: in the card of its level, or among the curves."""
    opened, others, _ = cards_of(analysis, References())
    cells = 0
    for card in (*opened, *others):
        letters = {plate.letter: plate for plate in (*card.leading, *card.further)}
        for number in (*card.graded, *card.numbers):
            if number.cell.value is not None:
                cells += 1
                assert number.plates, (card.level, number.name)
                assert set(number.plates) <= set(letters)
    assert cells == sum(m.value is not None and not is_curve(m) for m in analysis.measurements)


def test_every_number_has_a_picture_of_its_plane(analysis):
    _check_planes(analysis)


@pytest.mark.usefixtures("_without_3d")
def test_report_of_a_measured_phantom(monkeypatch):
    """The whole way, with the families as they are."""
    monkeypatch.setattr(registry, "families", families)
    monkeypatch.setattr(registry, "definitions", definitions)
    phantom = preset("stenotic_lumbar")
    grid = phantom.grid(2.0)
    measured = analyze(phantom.image(grid), phantom.labels(grid), contrast="T2")
    page = render_report(measured)
    text = " ".join(" ".join(Cells(page).visible).split())
    assert "L4-L5: severe central stenosis" in text
    assert re.findall(r'<article class="card" id="level-([^"]*)"', page)[0] == "l4-l5"
    values = [m for m in measured.measurements if m.value is not None]
    assert len(values) > 250
    _check_planes(measured)
    assert len(page) < 3e6
    assert '<p class="said">severe central stenosis' in page
    edited, _, _ = cards_of(replace(measured, findings=("Narrow at L4-L5, in my words.",)), References())
    assert not any(card.said for card in edited)
    assert all(definition.title in text for definition in definitions().values()
               if any(m.key == definition.key and m.value is not None for m in measured.measurements))
    size, pixels, paths = drawn(section_svg(measured))
    within = inside(paths["canal_area"], pixels.shape, size)
    assert pixels[within].mean() > 1.5 * pixels[~within].mean()


@pytest.mark.usefixtures("_without_3d")
def test_report_of_a_real_scan(real_data, monkeypatch):
    """A steep sacrum, a cut vertebra, a derived canal."""
    monkeypatch.setattr(registry, "families", families)
    monkeypatch.setattr(registry, "definitions", definitions)
    folder = real_data("lumbar_ct_totalsegmentator")
    read = read_segmentation(folder / "totalseg_labels.nii.gz")
    labeled = understand(read.volume, "auto", read.names, None, None)
    measured = analyze(read_image([folder / "ct.nii.gz"]).volume, labeled.labels, contrast="CT")
    page = render_report(measured)
    _check_planes(measured)
    assert "180 to 420 HU" in page
    assert len(page) < 2e6
    titles = re.findall(r'<b>[A-Z]</b> ([^<]*)<', page[page.index('id="level-s1"'):])
    assert "Spinal canal and cord: axial-oblique" in titles or "Spinal canal and cord: axial" in titles
    assert not any("canal and cord: coronal" in title for title in titles)


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
        capture_output=True, encoding="utf-8", timeout=120, check=True)
    assert "wide= blank=0 squeezed=0" in done.stdout, re.sub("base64,[^\"]*", "", done.stdout)[-600:]
