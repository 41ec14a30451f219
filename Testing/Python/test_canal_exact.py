"""The canal's measurements on phantoms against exact answers: every level, every grid, every pose.

The grids' origins are arbitrary, as a scanner's are.  Without that, walls of the phantoms would lie exactly on voxel
centers and planes of symmetry on grid planes, which is tested on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from canal_truth import CANAL, CORD, Comparison, compare, listed
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.analysis import Analysis, analyze
from SpineAnalysisLib.anatomy import Kind, Level
from SpineAnalysisLib.phantoms import Phantom, SpineSpec, preset
from SpineAnalysisLib.volume import LabelMap

ORIGIN = (0.31, 0.17, 0.43)
"""Where the grid begins, in voxels."""
PLACE_MM = 0.5
"""How well the place of a level along the canal is known; it matters only where the canal gets narrower or wider."""


@dataclass(frozen=True)
class Resolution:
    """A grid and what is asked of it: areas in shares, diameters in mm."""

    spacing: tuple[float, float, float]
    axes: str
    area: float
    diameter: float

    def beyond(self, found: list[Comparison], place_mm: float = PLACE_MM, leniency: float = 1.0) -> list[Comparison]:
        return [c for c in found if c.beyond(leniency * self.area, leniency * self.diameter, place_mm)]


FINE = Resolution((1.0, 1.0, 1.0), "RAS", 0.02, 0.3)
SAGITTAL = Resolution((3.3, 0.7, 0.7), "RAS", 0.05, 0.7)
REORDERED_SAGITTAL = Resolution((0.7, 0.7, 3.3), "PSR", 0.05, 0.7)
NAMES = ("normal_lumbar", "stenotic_lumbar", "curved", "slipped", "scoliotic", "cervical")
CASES = [(name, FINE) for name in NAMES] + [(name, SAGITTAL) for name in ("stenotic_lumbar", "slipped", "cervical")]
CASE_IDS = [f"{name}-{'fine' if resolution is FINE else 'sagittal'}" for name, resolution in CASES]

Measured = Callable[[str, Resolution], tuple[Phantom, Analysis]]


def labels_of(phantom: Phantom, resolution: Resolution, rotation: np.ndarray | None = None) -> LabelMap:
    return phantom.labels(phantom.grid(resolution.spacing, resolution.axes, rotation).shifted(ORIGIN))


@pytest.fixture(scope="module")
def measured() -> Measured:
    """A preset and its analysis, each made once."""
    @cache
    def make(name: str, resolution: Resolution) -> tuple[Phantom, Analysis]:
        phantom = preset(name)
        return phantom, analyze(None, labels_of(phantom, resolution))
    return make


def comparisons(measured: Measured, resolution: Resolution, keys: tuple[str, ...]) -> list[Comparison]:
    """Over all presets of a resolution, as far as they have exact answers."""
    out = []
    for name, case in CASES:
        phantom, analysis = measured(name, case)
        present = {truth.key for truth in phantom.truth()} & set(keys)
        if case is resolution and present:
            out += compare(analysis, phantom, present)
    return out


# --- every level

@pytest.mark.parametrize(("name", "resolution"), CASES, ids=CASE_IDS)
def test_canal_at_every_level(measured: Measured, name: str, resolution: Resolution) -> None:
    phantom, analysis = measured(name, resolution)
    found = compare(analysis, phantom)
    assert len(found) == 3 * (2 * len(phantom.spec.levels) - 1)
    # On thick sagittal slices the canal's sides lie between slices: some widths are known to 1 mm only.
    widths = [c for c in found if c.key == "canal_transverse_diameter"] if resolution is SAGITTAL else []
    exact = [c for c in found if c not in widths]
    assert not resolution.beyond(exact), listed(resolution.beyond(exact))
    assert not resolution.beyond(widths, leniency=1.5), listed(widths)


def test_nearly_all_without_allowance_for_the_place(measured: Measured) -> None:
    """The target is all of them: 2 % and 0.3 mm at 1 mm at every level.

    What may miss it lies where the canal narrows by up to 8 % per mm (L5 and C6 beside a stenosis), as mid-pedicle is
    found to 0.1 to 0.4 mm, and at the sacrum, whose pedicles are not looked for but assumed 9 mm below its endplate.
    """
    found = comparisons(measured, FINE, CANAL)
    wrong = FINE.beyond(found, place_mm=0.0)
    assert len(wrong) <= 0.02 * len(found), listed(wrong)


@pytest.mark.parametrize("resolution", [FINE, SAGITTAL], ids=["fine", "sagittal"])
def test_narrowest_places(measured: Measured, resolution: Resolution) -> None:
    """Stenosis itself is measured as well as anything, and its level is found."""
    for name, level in (("stenotic_lumbar", "L4-L5"), ("slipped", "L4-L5"), ("cervical", "C5-C6")):
        phantom, analysis = measured(name, resolution)
        found = [c for c in compare(analysis, phantom) if c.place == level]
        assert not resolution.beyond(found, place_mm=0.0), listed(found)
        ratios = {str(m.level): m.value for m in analysis.measurements if m.key == "canal_area_ratio" and m.value}
        assert min(ratios, key=ratios.__getitem__) == level


def test_walls_on_voxel_centers() -> None:
    """The worst that a grid can do: walls of equal voxels all along the canal, nothing to average over."""
    phantom = preset("cervical")
    found = compare(analyze(None, phantom.labels(phantom.grid(1.0))), phantom)
    assert not FINE.beyond(found, leniency=1.7), listed(FINE.beyond(found, leniency=1.7))
    assert len(FINE.beyond(found)) <= 0.1 * len(found), listed(FINE.beyond(found))


# --- what is computed from it

RATIO_LIMITS = {
    # key: largest error at 1 mm, on thick slices
    "canal_area_ratio": (0.025, 0.05),
    "canal_occupation_ratio": (0.015, 0.08),
    "torg_pavlov_ratio": (0.05, 0.08),
    "maximum_canal_compromise": (2.0, 3.0),
    "maximum_spinal_cord_compression": (5.0, 10.0),
}


@pytest.mark.parametrize("key", RATIO_LIMITS)
def test_ratios(measured: Measured, key: str) -> None:
    for resolution, limit in zip((FINE, SAGITTAL), RATIO_LIMITS[key], strict=True):
        found = comparisons(measured, resolution, (key,))
        wrong = [c for c in found if abs(c.error) > limit]
        assert not wrong, listed(wrong)


CORD_LIMITS = {
    # A cord has a quarter of a canal's voxels.
    "cord_area": (3.5, 7.0),
    "cord_ap_diameter": (0.35, 0.8),
    "cord_transverse_diameter": (0.45, 1.5),
}


@pytest.mark.parametrize("key", CORD_LIMITS)
def test_cord(measured: Measured, key: str) -> None:
    for resolution, limit in zip((FINE, SAGITTAL), CORD_LIMITS[key], strict=True):
        found = comparisons(measured, resolution, (key,))
        wrong = [c for c in found if abs(c.error) > limit + PLACE_MM * c.slope]
        assert not wrong, listed(wrong)
        assert abs(np.mean([c.error for c in found])) < 0.35 * limit  # neither too thick nor too thin


@pytest.mark.parametrize("keys", [CANAL, CORD, tuple(RATIO_LIMITS)], ids=["canal", "cord", "ratios"])
@pytest.mark.parametrize("resolution", [FINE, SAGITTAL], ids=["fine", "sagittal"])
def test_stated_uncertainty_covers_the_error(measured: Measured, resolution: Resolution, keys: tuple[str, ...]) -> None:
    """One standard deviation does in at least 90 % of the records, and is still small enough to be of use."""
    found = comparisons(measured, resolution, keys)
    uncovered = [c for c in found if not c.covered]
    assert len(uncovered) <= 0.1 * len(found), listed(uncovered)
    if keys == CANAL:
        stated = np.array([c.uncertainty / c.exact for c in found])
        assert np.median(stated) < (0.04 if resolution is FINE else 0.08)
        assert stated.max() < (0.15 if resolution is FINE else 0.25)


# --- the same spine in other places

def values(analysis: Analysis) -> dict[tuple[str, str], float]:
    return {(m.key, str(m.level)): m.value for m in analysis.measurements if m.key in CANAL and m.value is not None}


def changes(before: Analysis, after: Analysis) -> np.ndarray:
    """Relative, of the canal's areas and diameters at all levels."""
    old, new = values(before), values(after)
    assert set(old) == set(new)
    return np.array([new[key] / old[key] - 1.0 for key in old])


def reordered(labels: LabelMap) -> LabelMap:
    """The same voxels along k, i, j, two of the axes running backward."""
    i, j, k = labels.shape
    old_from_new = np.array([[0.0, -1, 0, i - 1], [0, 0, 1, 0], [-1, 0, 0, k - 1], [0, 0, 0, 1]])
    array = np.ascontiguousarray(labels.array.transpose(2, 0, 1)[::-1, ::-1])
    assert array.shape == (k, i, j)
    return replace(labels, array=array, ijk_to_ras=labels.ijk_to_ras @ old_from_new)


def test_order_of_the_axes(measured: Measured) -> None:
    phantom, analysis = measured("cervical", SAGITTAL)
    labels = labels_of(phantom, SAGITTAL)
    other = reordered(labels)
    assert labels.array[3, 50, 60] == other.array[labels.shape[2] - 61, labels.shape[0] - 4, 50]
    np.testing.assert_allclose(other.to_ras(np.array([labels.shape[2] - 61, labels.shape[0] - 4, 50])),
                               labels.to_ras(np.array([3, 50, 60])))
    assert np.abs(changes(analysis, analyze(None, other))).max() < 0.01


def test_parent_transform(measured: Measured) -> None:
    phantom, analysis = measured("cervical", FINE)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [25, -40, 70], degrees=True).as_matrix()
    matrix[:3, 3] = (120.0, -80.0, 300.0)
    moved = analyze(None, labels_of(phantom, FINE).transformed(matrix))
    assert np.abs(changes(analysis, moved)).max() < 0.01
    outline, before = (a.measurement("canal_area", "C5-C6").geometry.points_RAS for a in (moved, analysis))
    assert np.linalg.norm(outline.mean(axis=0) - (matrix[:3, :3] @ before.mean(axis=0) + matrix[:3, 3])) < 0.5


def test_oblique_grid(measured: Measured) -> None:
    """Other voxels, so other partial volumes: each value is as exact as before, and the noise is below 1 %."""
    phantom, analysis = measured("stenotic_lumbar", FINE)
    turn = Rotation.from_euler("xyz", [8, -12, 15], degrees=True).as_matrix()
    oblique = analyze(None, labels_of(phantom, FINE, turn))
    found = compare(oblique, phantom)
    assert not FINE.beyond(found), listed(FINE.beyond(found))
    change = changes(analysis, oblique)
    assert np.sqrt(np.mean(change**2)) < 0.01
    assert abs(change.mean()) < 0.004
    assert np.abs(change).max() < 0.03


def test_pose_of_the_patient(measured: Measured) -> None:
    """A patient who lies askew, on slices whose axes come in another order."""
    upright = preset("stenotic_lumbar")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [-7, 9, 12], degrees=True).as_matrix()
    pose[:3, 3] = (-30.0, 45.0, 800.0)
    askew = Phantom(replace(upright.spec, pose=pose))
    found = compare(analyze(None, labels_of(askew, REORDERED_SAGITTAL)), askew)
    assert not REORDERED_SAGITTAL.beyond(found), listed(REORDERED_SAGITTAL.beyond(found))


def test_same_input_same_output(measured: Measured) -> None:
    phantom, first = measured("cervical", SAGITTAL)
    second = analyze(None, labels_of(phantom, SAGITTAL))
    assert [m.as_dict() for m in first.measurements] == [m.as_dict() for m in second.measurements]
    assert (first.findings, first.doubts) == (second.findings, second.doubts)
    for one, other in zip(first.tables, second.tables, strict=True):
        assert one.marks == other.marks
        for name, column in one.columns.items():
            np.testing.assert_array_equal(column, other.columns[name])


def test_a_broken_outline_beside_the_pedicles_is_refused() -> None:
    """Discs narrow a canal, pedicles do not: one that all but closes there was not labeled in full."""
    phantom = Phantom(SpineSpec.typical(Level.L3, Level.L4))
    labels = phantom.labels(phantom.grid(1.0), cord=False)
    body = phantom.chain.bodies[1]
    middle = phantom.canal.points[np.abs(body.frame.to_frame(phantom.canal.points)[:, 2] - body.pedicle_z).argmin()]
    place = labels.to_ras(np.indices(labels.shape).reshape(3, -1).T).reshape(*labels.shape, 3) - middle
    across = np.linalg.norm(place - (place @ body.frame.superior)[..., None] * body.frame.superior, axis=-1)
    broken = labels.mask(labels.values(Kind.CANAL)) & (np.abs(place @ body.frame.superior) < 4.0) & (across > 0.9)
    for array, known in ((labels.array, True), (np.where(broken, 0, labels.array), False)):
        record = analyze(None, replace(labels, array=array), only=["canal"]).measurement("canal_area", "L4")
        assert record is not None
        assert (record.value is not None, "canal_outline_lost" in record.flags) == (known, not known)


def test_an_outline_that_breaks_up_is_told(measured: Measured) -> None:
    """Gone beside one disc but for a thread, and cut off below another: only the first may be a stenosis."""
    phantom, whole = measured("normal_lumbar", FINE)
    labels = labels_of(phantom, FINE)
    canal = labels.mask(labels.values([Kind.CANAL, Kind.DURAL_SAC, Kind.CORD]))
    place = labels.to_ras(np.argwhere(canal).astype(float))
    disc = {str(m.segment): m.disc.to_frame(place) for m in whole.spine.segments}
    gone = (np.abs(disc["L3-L4"][:, 2]) < 3.0) & (np.abs(disc["L3-L4"][:, 0]) > 1.0) | (disc["L5-S1"][:, 2] < 0.0)
    array = labels.array.copy()
    array[tuple(np.argwhere(canal)[gone].T)] = 0
    records = {str(m.level): m for m in analyze(None, replace(labels, array=array), only=["canal"]).measurements
               if m.key == "canal_area"}
    assert "outline_breaks_up" in records["L3-L4"].flags
    assert "partial_view" in records["L5-S1"].flags
    assert not {"outline_breaks_up", "partial_view"} & {*records["L2-L3"].flags, *records["L4-L5"].flags}
