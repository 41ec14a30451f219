"""Occupancy, outlines and cross-sections on tubes that are known exactly."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.geometry.curves import Curve
from SpineAnalysisLib.geometry.frames import Frame
from SpineAnalysisLib.geometry.occupancy import Occupancy, occupancy
from SpineAnalysisLib.geometry.outlines import RAYS, UNIT_CIRCLE, moments, separating_outline
from SpineAnalysisLib.geometry.sections import Section, sections
from SpineAnalysisLib.volume import Volume

UP, FRONT = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
Shape = Callable[[NDArray, NDArray], NDArray]
"""Distance-like function of two coordinates, negative inside."""


def ellipse(half_width: float, half_depth: float) -> Shape:
    return lambda u, v: np.hypot(u / half_width, v / half_depth) - 1.0


def trefoil(u: NDArray, v: NDArray) -> NDArray:
    """A three-cornered canal, as between worn facet joints."""
    return np.hypot(u, v) - trefoil_radius(np.arctan2(v, u))


def trefoil_radius(angle: NDArray) -> NDArray:
    return 9.0 * (1.0 + 0.16 * np.cos(3 * (angle + np.pi / 2)))


TREFOIL_AREA = np.pi * 81.0 * (1.0 + 0.16**2 / 2.0)


def tube(shape: Shape, spacing: tuple[float, float, float], axes: NDArray, rotation: NDArray | None = None,
         length: float = 40.0) -> Volume:
    """Voxels whose centers lie within a straight tube.

    :param axes: (3, 3) rows: the tube's R and A, and the direction from foot to head.
    :param rotation: (3, 3) columns, the grid's axes.
    """
    counts = [int((length if i == 2 or rotation is not None else 40.0) / step) for i, step in enumerate(spacing)]
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if rotation is None else rotation) * spacing
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(counts) - 1) / 2) + (0.13, 0.29, 0.41)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in counts], indexing="ij"), axis=-1)
    place = (grid @ matrix[:3, :3].T + matrix[:3, 3]) @ axes.T
    return Volume(shape(place[..., 0], place[..., 1]) < 0, matrix)


def measured(mask: Volume, axes: NDArray, reach: float = 10.0) -> list[Section | None]:
    """Sections in the tube's middle, every half millimeter."""
    line = Curve(np.linspace(reach, -reach, 41)[:, None] * axes[2])
    frames = [Frame.from_axes(point, axes[2], axes[1]) for point in line.points]
    return sections(occupancy(mask, axes[2]), line, line.arc_length, frames)


def random_axes(rng: np.random.Generator, tilt_deg: float) -> NDArray:
    """A tube's axes turned by up to about an angle against the grid's."""
    return Rotation.from_rotvec(np.radians(tilt_deg) * rng.uniform(-1, 1, 3)).as_matrix()


# --- cross-sections

@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.6, 1.0), (1.4, 1.4, 1.4)])
@pytest.mark.parametrize(("width", "depth"), [(24.0, 16.0), (20.0, 8.0), (12.0, 7.0)])
def test_elliptic_tube(spacing: tuple[float, float, float], width: float, depth: float) -> None:
    rng = np.random.default_rng(5)
    voxel = max(spacing)
    for _ in range(4):
        axes = random_axes(rng, 25)
        found = measured(tube(ellipse(width / 2, depth / 2), spacing, axes), axes)
        whole = [s for s in found if s is not None and s.complete]
        assert len(whole) == len(found)
        areas = np.array([s.area for s in whole]) / (np.pi / 4 * width * depth)
        assert areas.mean() == pytest.approx(1.0, abs=0.02 + 0.03 * (voxel - 1.0))
        assert areas.std() < 0.04 * voxel * 12 / width
        ap = np.mean([np.linalg.norm(np.diff(s.ap_line, axis=0)) for s in whole])
        across = np.mean([np.linalg.norm(np.diff(s.transverse_line, axis=0)) for s in whole])
        assert ap == pytest.approx(depth, abs=0.25 * voxel)
        assert across == pytest.approx(width, abs=0.3 * voxel)
        centers = np.array([s.frame.origin @ axes[:2].T for s in whole])
        assert np.abs(centers).max() < 0.35 * voxel


@pytest.mark.parametrize("rotation", [np.eye(3), Rotation.from_euler("xyz", [31, -22, 40], degrees=True).as_matrix()],
                         ids=["straight", "oblique"])
def test_three_cornered_tube(rotation: NDArray) -> None:
    """A shape that is no ellipse: its area, and where each of its corners is."""
    axes = random_axes(np.random.default_rng(8), 12)
    whole = [s for s in measured(tube(trefoil, (1.0, 1.0, 1.0), axes, rotation), axes) if s is not None and s.complete]
    assert len(whole) > 30
    areas = np.array([s.area for s in whole])
    np.testing.assert_allclose(areas.mean(), TREFOIL_AREA, rtol=0.02)
    for section in whole[::10]:
        place = (section.contour_RAS @ axes.T)[:, :2]
        off = np.hypot(*place.T) - trefoil_radius(np.arctan2(place[:, 1], place[:, 0]))
        assert np.abs(off).max() < 0.8
        assert np.sqrt(np.mean(off**2)) < 0.35
        assert section.perimeter == pytest.approx(np.linalg.norm(np.diff(
            trefoil_radius(ANGLES)[:, None] * np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), axis=0), axis=1).sum(),
            rel=0.04)


ANGLES = np.linspace(0.0, 2 * np.pi, 721)


def test_section_meets_nothing_or_is_cut() -> None:
    mask = tube(ellipse(11, 8), (1.0, 1.0, 1.0), np.eye(3), length=30.0)
    ends = Curve(np.linspace(30.0, -30.0, 121)[:, None] * UP)
    frames = [Frame.from_axes(point, UP, FRONT) for point in ends.points]
    found = sections(occupancy(mask, UP), ends, ends.arc_length, frames)
    height = ends.points[:, 2]
    for z, section in zip(height, found, strict=True):
        if abs(z) > 17:
            assert section is None
        elif abs(z) < 12:
            assert section is not None
            assert section.complete
    assert any(s is not None and not s.complete for s in found)
    aside = mask.crop((0, 0, 0), (25, 40, 30))  # the volume's border runs through the tube
    cut = measured(aside, np.eye(3), reach=5.0)
    assert not any(s is not None and s.complete for s in cut)


def test_turned_section_is_the_same_outline() -> None:
    section = measured(tube(ellipse(12, 8), (1.0, 1.0, 1.0), np.eye(3)), np.eye(3))[20]
    assert section is not None
    turned = section.turned(np.array([1.0, 1.0, 0.3]))
    np.testing.assert_allclose(turned.contour_RAS, section.contour_RAS, atol=1e-9)
    assert turned.area == section.area
    np.testing.assert_allclose(turned.frame.anterior, np.array([1, 1, 0]) / np.sqrt(2), atol=1e-9)
    ends = turned.ap_line
    np.testing.assert_allclose(np.cross(ends[1] - ends[0], [1, 1, 0]), 0, atol=1e-9)
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(2 / np.hypot(1 / 12, 1 / 8) * np.sqrt(2), rel=0.03)


# --- outlines

def test_moments_of_a_known_polygon() -> None:
    area, center, spread = moments(np.array([[1.0, 2], [7, 2], [7, 4], [1, 4]]))
    assert area == pytest.approx(12)
    np.testing.assert_allclose(center, [4, 3])
    np.testing.assert_allclose(spread, np.diag([3.0, 1 / 3]), atol=1e-12)  # a uniform rectangle: side squared by 12


@pytest.mark.parametrize("shape", [ellipse(11, 6), trefoil], ids=["ellipse", "trefoil"])
def test_outline_between_voxel_centers(shape: Shape) -> None:
    """From a circle as a first guess.  Corners are rounded a little, as ovals are thought more likely than they."""
    exact = np.pi * 66 if shape is not trefoil else TREFOIL_AREA
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(12):
        centers = rng.uniform(-16, 16, (3000, 2))
        inside = shape(*centers.T) < 0
        rough = 8.5 * UNIT_CIRCLE + rng.uniform(-0.4, 0.4, 2)
        outline = separating_outline(rough, centers, inside, 1.0)
        errors.append(moments(outline)[0] / exact - 1.0)
        assert outline.shape == (RAYS, 2)
        assert np.abs(shape(*outline.T)).max() < (0.12 if shape is not trefoil else 0.8)
    assert np.abs(errors).max() < 0.02


def test_outline_stays_where_nothing_tells_better() -> None:
    rough = 8.0 * UNIT_CIRCLE
    centers = np.random.default_rng(1).uniform(-9, 9, (200, 2))
    assert separating_outline(rough, centers, np.ones(200, bool), 1.0) is rough
    assert separating_outline(rough, centers[:10], np.arange(10) < 5, 1.0) is rough


# --- occupancy

def test_occupancy_keeps_nearly_isotropic_voxels() -> None:
    mask = tube(ellipse(11, 8), (1.0, 1.0, 1.5), np.eye(3))
    filled = occupancy(mask, UP)
    assert filled.is_as_labeled
    assert filled.array.sum() == mask.array.sum()
    assert filled.resolution_mm == pytest.approx(1.5)
    assert filled.resolution_along(UP) == pytest.approx(1.5)
    bone = mask.to_ras(np.argwhere(mask.array).mean(axis=0))
    np.testing.assert_allclose(filled.to_ras(np.argwhere(filled.array > 0.5).mean(axis=0)), bone, atol=1e-9)


@pytest.mark.parametrize("thick", [2.4, 3.3, 4.4])
@pytest.mark.parametrize("axis", [0, 2], ids=["sagittal", "axial"])
def test_thick_slices_are_restored(axis: int, thick: float) -> None:
    spacing = [0.7, 0.7, 0.7]
    spacing[axis] = thick
    axes = random_axes(np.random.default_rng(6), 8)
    mask = tube(ellipse(12, 7.5), (spacing[0], spacing[1], spacing[2]), axes, length=50.0)
    filled = occupancy(mask, axes[2])
    assert not filled.is_as_labeled
    assert filled.spacing.max() < 1.8 * filled.spacing.min()
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in filled.shape], indexing="ij"), axis=-1)
    place = filled.to_ras(grid) @ axes.T
    middle = np.abs(place[..., 2]) < 12.0
    exact = ellipse(12, 7.5)(place[..., 0], place[..., 1]) < 0
    ours = filled.array > 0.5
    overlap = 2 * (exact & ours & middle).sum() / ((exact & middle).sum() + (ours & middle).sum())
    assert overlap > 0.95
    volume = filled.array[middle].sum() * filled.voxel_volume
    assert volume == pytest.approx((exact & middle).sum() * filled.voxel_volume, rel=0.03)


def test_thick_slices_keep_a_tubes_area() -> None:
    axes = random_axes(np.random.default_rng(9), 8)
    whole = [s for s in measured(tube(ellipse(11, 7.5), (3.3, 0.7, 0.7), axes, length=50.0), axes)
             if s is not None and s.complete]
    assert len(whole) > 30
    assert np.mean([s.area for s in whole]) == pytest.approx(np.pi * 82.5, rel=0.03)


def test_occupancy_of_an_empty_mask() -> None:
    with pytest.raises(ValueError, match="empty"):
        occupancy(Volume(np.zeros((5, 5, 5), bool), np.eye(4)), UP)


def test_occupancy_is_a_volume_on_the_masks_place() -> None:
    mask = np.zeros((30, 30, 60), bool)
    mask[12:20, 13:18, 5:55] = True
    filled = occupancy(Volume(mask, np.diag([1.0, 1, 1, 1]), "canal"), UP)
    assert isinstance(filled, Occupancy)
    assert filled.name == "canal"
    assert np.all(np.array(filled.shape) < 62)
    np.testing.assert_allclose(filled.to_ras(np.argwhere(filled.array).min(axis=0)), [12, 13, 5])
