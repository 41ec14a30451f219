"""Frames, planes, curves and endplates on shapes that are known exactly."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.geometry.curves import Curve, fit_curve, principal_curve
from SpineAnalysisLib.geometry.endplates import bisector, body_surfaces, facing_surface
from SpineAnalysisLib.geometry.frames import Frame, Plane, angle_deg, reject, unit
from SpineAnalysisLib.geometry.planes import fit_plane
from SpineAnalysisLib.volume import Volume

UP, FRONT = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])


def turned(*degrees: float) -> NDArray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


# --- frames

def test_frame_is_right_handed_and_keeps_its_superior_axis() -> None:
    superior = np.array([0.2, -0.4, 3.0])
    frame = Frame.from_axes(np.array([1.0, 2, 3]), superior, np.array([0.3, 1.0, 0.5]))
    np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(frame.right, frame.anterior), frame.superior, atol=1e-12)
    np.testing.assert_allclose(frame.superior, superior / np.linalg.norm(superior))
    assert frame.anterior @ FRONT > 0.9
    assert frame.right[0] > 0.9  # RAS: x grows to the patient's right


def test_frame_coordinates_there_and_back() -> None:
    frame = Frame.from_axes(np.array([10.0, -20, 30]), np.array([0.1, 0.2, 1.0]), FRONT)
    points = np.random.default_rng(1).normal(size=(4, 5, 3)) * 40
    np.testing.assert_allclose(frame.to_frame(frame.to_ras(points)), points, atol=1e-12)
    homogeneous = np.append(points[0, 0], 1.0)
    np.testing.assert_allclose((frame.matrix @ homogeneous)[:3], frame.to_ras(points[0, 0]))
    np.testing.assert_allclose(frame.to_frame(frame.origin + 3 * frame.anterior), [0, 3, 0], atol=1e-12)
    np.testing.assert_allclose(frame.plane.distance(frame.to_ras(points))[..., None], points[..., 2:], atol=1e-12)
    assert frame.at(np.zeros(3)).anterior is frame.anterior


def test_angles_and_directions() -> None:
    assert angle_deg(UP, FRONT) == pytest.approx(90)
    assert angle_deg(UP, -UP) == pytest.approx(180)
    assert angle_deg(UP, UP + 1e-9 * FRONT) == pytest.approx(0, abs=1e-6)  # where an arc cosine would be lost
    np.testing.assert_allclose(reject(np.array([1.0, 2, 3]), UP), [1, 2, 0])
    with pytest.raises(ValueError, match="needs a length"):
        unit(np.zeros(3))


# --- planes

def rough_plate(rng: np.random.Generator, plane: Frame, spurs: float = 0.0) -> NDArray:
    """400 points of a round plate with noise; a share of them, all in front, are spurs of up to 8 mm."""
    radius, angle = 18 * np.sqrt(rng.uniform(size=400)), rng.uniform(0, 2 * np.pi, 400)
    points = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), 0.3 * rng.normal(size=400)])
    front = np.argsort(-points[:, 1])[:int(spurs * 400)]
    points[front, 2] += rng.uniform(3, 8, len(front))
    return plane.to_ras(points)


@pytest.mark.parametrize("spurs", [0.0, 0.1, 0.2])
def test_plane_is_not_tilted_by_spurs(spurs: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        frame = Frame.from_axes(rng.normal(size=3) * 50, rng.normal(size=3), rng.normal(size=3))
        points = rough_plate(rng, frame, spurs)
        plane = fit_plane(points, frame.superior)
        assert plane is not None
        assert angle_deg(plane.normal, frame.superior) < 0.4 + 8 * spurs
        assert abs(frame.plane.distance(plane.origin)) < 0.1 + spurs
    if spurs == 0.2:  # what least squares would have made of the last
        centered = points - points.mean(axis=0)
        naive = np.linalg.svd(centered, full_matrices=False)[2][2]
        assert min(angle_deg(naive, frame.superior), angle_deg(-naive, frame.superior)) > 6


def test_plane_points_where_it_is_told_and_needs_enough_points() -> None:
    points = np.random.default_rng(2).uniform(-10, 10, (50, 3)) * [1, 1, 0]
    for toward in (UP, -UP):
        plane = fit_plane(points, toward)
        assert plane is not None
        np.testing.assert_allclose(plane.normal, toward, atol=1e-9)
    assert fit_plane(points[:11], UP) is None


# --- curves

RADIUS = 80.0


def arc(angles: NDArray) -> NDArray:
    """Points of a circle in the sagittal plane, from head to foot."""
    return np.stack([np.zeros_like(angles), RADIUS * (np.cos(angles) - 1), -RADIUS * np.sin(angles)], axis=-1)


def test_curve_arc_length_tangent_and_extension() -> None:
    curve = Curve(arc(np.linspace(0, 1.5, 241)))
    assert curve.length == pytest.approx(1.5 * RADIUS, rel=1e-4)
    s = np.array([20.0, 60.0, 100.0])
    np.testing.assert_allclose(curve.position(s), arc(s / RADIUS), atol=0.01)
    np.testing.assert_allclose(curve.tangent(s), np.stack([0 * s, -np.sin(s / RADIUS), -np.cos(s / RADIUS)], -1),
                               atol=0.005)
    ahead = curve.position(curve.length + 10.0)
    np.testing.assert_allclose(ahead, curve.points[-1] + 10 * curve.tangent(curve.length), atol=1e-9)
    np.testing.assert_allclose(curve.position(-5.0), curve.points[0] - 5 * curve.tangent(0.0), atol=1e-9)


def test_curve_projection_beside_and_beyond_it() -> None:
    curve = Curve(arc(np.linspace(0, 1.5, 241)))
    s = np.linspace(5, 110, 30)
    outward = np.stack([0 * s, np.cos(s / RADIUS), -np.sin(s / RADIUS)], axis=-1)
    for aside in (-20.0, 20.0):
        np.testing.assert_allclose(curve.project(curve.position(s) + aside * outward), s, atol=0.1)
    np.testing.assert_allclose(curve.project(curve.position(np.array([-12.0, curve.length + 12.0]))),
                               [-12.0, curve.length + 12.0], atol=1e-6)


def test_curve_crosses_a_plane_twice_once_or_never() -> None:
    curve = Curve(arc(np.linspace(-1, 1, 401)))
    twice = curve.intersections(Plane(np.array([0.0, -10, 0]), FRONT))
    expected = RADIUS * np.arccos(1 - 10 / RADIUS)
    np.testing.assert_allclose(twice - RADIUS, [-expected, expected], atol=0.01)
    np.testing.assert_allclose(curve.intersections(Plane(np.zeros(3), UP)), [RADIUS], atol=0.01)
    assert len(curve.intersections(Plane(np.array([0.0, 1, 0]), FRONT))) == 0


def test_piece_of_a_curve() -> None:
    curve = Curve(arc(np.linspace(0, 1.5, 241)))
    piece = curve.cut(30.0, 50.0)
    assert piece.length == pytest.approx(20.0, abs=0.01)
    np.testing.assert_allclose(piece.points[[0, -1]], curve.position(np.array([30.0, 50.0])))
    longer = curve.cut(-4.0, curve.length + 4.0)
    assert longer.length == pytest.approx(curve.length + 8.0, abs=0.01)


def test_fitted_curve_ignores_noise_and_spacing() -> None:
    rng = np.random.default_rng(3)
    angles = np.sort(rng.uniform(0, 1.5, 150))
    curve = fit_curve(arc(angles) + 0.4 * rng.normal(size=(150, 3)))
    middle = curve.position(np.linspace(8, curve.length - 8, 50))
    distance = np.hypot(middle[:, 0], np.hypot(middle[:, 1] + RADIUS, middle[:, 2]) - RADIUS)
    assert np.sqrt(np.mean(distance**2)) < 0.2
    gaps = np.linalg.norm(np.diff(curve.points, axis=0), axis=1)
    np.testing.assert_allclose(gaps, gaps.mean(), rtol=0.02)


def test_fitted_curve_through_few_and_repeated_points() -> None:
    straight = fit_curve(np.array([[0.0, 0, 0], [0, 0, -5], [0, 0, -5], [0, 0, -12]]))
    assert straight.length == pytest.approx(12)
    np.testing.assert_allclose(straight.position(7.0), [0, 0, -7])


def bent_tube(step: float, cut: NDArray) -> NDArray:
    """Points that fill an elliptic tube (22 mm x 15 mm) about the arc, its ends cut along a direction.

    :param cut: (3,) normal of both cuts.
    """
    line = np.arange(-100.0, 100.0, step) + 0.13
    grid = np.stack(np.meshgrid(line[np.abs(line) < 14], line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    across, along = np.hypot(grid[:, 1] + RADIUS, grid[:, 2]) - RADIUS, np.arctan2(-grid[:, 2], grid[:, 1] + RADIUS)
    inside = (grid[:, 0] / 11) ** 2 + (across / 7.5) ** 2 < 1
    ends = arc(np.array([-0.4, 0.7]))
    return grid[inside & (along > -1.0) & (along < 1.3) & ((grid - ends[0]) @ cut < 0) & ((grid - ends[1]) @ cut > 0)]


@pytest.mark.parametrize("cut", [UP, unit(np.array([0.0, 0.6, 1.0])), unit(np.array([0.5, 0.0, 1.0]))],
                         ids=["axial", "oblique", "sideways"])
def test_principal_curve_of_a_bent_tube(cut: NDArray) -> None:
    points = bent_tube(1.0, cut)
    curve = principal_curve(points, -UP)
    clear = np.linspace(16.0, curve.length - 16.0, 60)  # of the ends, where sections are not whole
    inner = curve.position(clear)
    distance = np.hypot(inner[:, 0], np.hypot(inner[:, 1] + RADIUS, inner[:, 2]) - RADIUS)
    assert distance.max() < 0.55
    assert np.median(distance) < 0.25
    angle = np.arctan2(-inner[:, 2], inner[:, 1] + RADIUS)
    exact = np.stack([0 * angle, -np.sin(angle), -np.cos(angle)], axis=-1)
    tilts = [angle_deg(a, b) for a, b in zip(curve.tangent(clear), exact, strict=True)]
    assert np.median(tilts) < 1.5
    assert max(tilts) < 7.0  # next to an end that is cut 30 degrees askew
    assert np.ptp(curve.project(points)) - curve.length < 12  # it reaches nearly to the tube's ends
    np.testing.assert_array_equal(curve.points, principal_curve(points, -UP).points)


def test_principal_curve_of_a_wide_tube_does_not_swing() -> None:
    """A sacral canal: 34 mm wide, 12 mm deep, bent backward, with a root's sleeve on one side."""
    place = np.stack(np.meshgrid(*[np.arange(-60.0, 61.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    radius = np.hypot(place[:, 1] + 50.0, place[:, 2]) - 50.0  # an arc of 50 mm in the sagittal plane
    angle = np.arctan2(-place[:, 2], place[:, 1] + 50.0)
    within = np.hypot(place[:, 0] / 17.0, radius / 6.0) < 1.0
    sleeve = (np.abs(place[:, 2] - 5.0) < 4.0) & (np.abs(radius) < 4.0) & (place[:, 0] > 0.0) & (place[:, 0] < 30.0)
    curve = principal_curve(place[(within | sleeve) & (np.abs(angle) < 1.1)], -UP)
    inner = curve.position(np.linspace(6.0, curve.length - 6.0, 60))
    assert np.abs(inner[:, 0]).max() < 2.5
    assert np.abs(np.hypot(inner[:, 1] + 50.0, inner[:, 2]) - 50.0).max() < 1.0


def test_principal_curve_of_a_tube_that_opens_into_the_skull() -> None:
    """A canal of 500 mm whose upper end flares into a cistern of 50 mm: nothing of it may come back as a wave."""
    place = np.stack(np.meshgrid(np.arange(-26.0, 27.0), np.arange(-26.0, 27.0), np.arange(-250.0, 251.0, 2.0),
                                 indexing="ij"), axis=-1).reshape(-1, 3)
    flare = np.maximum(place[:, 2] - 220.0, 0.0) * 0.6  # mm, half as much to the sides as to the front
    within = np.hypot(place[:, 0] / (12.0 + flare / 2.0), (place[:, 1] - flare / 2.0) / (7.0 + flare)) < 1.0
    curve = principal_curve(place[within], -UP, 2.0)
    assert 480.0 < curve.length < 560.0
    inner = curve.position(curve.project(np.array([[0.0, 0.0, z] for z in np.arange(-240.0, 180.0, 5.0)])))
    assert np.hypot(inner[:, 0], inner[:, 1]).max() < 1.0


def test_principal_curve_of_a_tube_that_is_nearly_closed() -> None:
    """A sac of which two discs leave a thread, on one side and then on the other, as in severe stenosis."""
    place = np.stack(np.meshgrid(*[np.arange(-12.0, 13.0)] * 2, np.arange(-80.0, 81.0), indexing="ij"),
                     axis=-1).reshape(-1, 3)
    side = np.select([np.abs(place[:, 2] - 8.0) < 6.0, np.abs(place[:, 2] + 8.0) < 6.0], [8.0, -8.0], 0.0)
    radius = np.where(side == 0.0, 8.0, 2.0)
    curve = principal_curve(place[np.hypot(place[:, 0] - side, place[:, 1]) < radius], -UP)
    assert np.abs(curve.points[:, 0]).max() < 6.5, "passes between the threads instead of through both"
    assert (curve.tangent(np.arange(curve.length)) @ -UP).min() > 0.35, "stays within 70 degrees of the tube"


# --- endplates

def tilted_body(top: Plane, bottom: Plane, spacing: float, rotation: NDArray, spur: float = 0.0) -> Volume:
    """An elliptic cylinder (44 mm x 32 mm) between two planes, on a turned grid; a spur on the upper front rim."""
    count = int(64 / spacing)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing
    matrix[:3, 3] = -matrix[:3, :3] @ np.full(3, (count - 1) / 2) + 0.21
    grid = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), axis=-1)
    points = grid @ matrix[:3, :3].T + matrix[:3, 3]
    footprint = (points[..., 0] / 22) ** 2 + (points[..., 1] / 16) ** 2
    body = (footprint < 1) & (top.distance(points) < 0) & (bottom.distance(points) > 0)
    rim = (footprint > 0.75) & (footprint < 1.2) & (points[..., 1] > 8)
    body |= rim & (np.abs(top.distance(points)) < spur)
    return Volume(body, matrix)


@pytest.mark.parametrize("spur", [0.0, 6.0])
@pytest.mark.parametrize(("spacing", "euler"), [(1.0, (0, 0, 0)), (1.0, (12, -8, 20)), (1.5, (5, 9, -14))])
def test_endplates_of_a_wedged_body(spacing: float, euler: tuple[float, float, float], spur: float) -> None:
    top = Plane(np.array([0.0, 0, 12.0]), turned(7, 3, 0) @ UP)
    bottom = Plane(np.array([0.0, 0, -11.0]), turned(-5, 0, 0) @ UP)
    body = tilted_body(top, bottom, spacing, turned(*euler), spur)
    surfaces = body_surfaces(body, Frame.from_axes(np.array([1.0, -1, 0.5]), turned(3, -4, 0) @ UP, FRONT))
    assert surfaces is not None
    for found, exact in ((surfaces.superior, top), (surfaces.inferior, bottom)):
        assert found is not None
        assert angle_deg(found.normal, exact.normal) < 1.0
        assert abs(exact.distance(found.origin)) < 0.35
    assert surfaces.depth == pytest.approx(32, abs=1.0)
    middle = bisector(surfaces.superior, surfaces.inferior, FRONT)
    assert angle_deg(middle, unit(top.normal + bottom.normal)) < 0.8
    np.testing.assert_array_equal(bisector(None, None, FRONT), FRONT)
    np.testing.assert_allclose(bisector(top, None, FRONT), top.normal)


def test_endplate_out_of_view_is_not_fitted() -> None:
    top, bottom = Plane(np.array([0.0, 0, 12]), UP), Plane(np.array([0.0, 0, -11]), UP)
    whole = tilted_body(top, bottom, 1.0, np.eye(3))
    cut = whole.crop((0, 0, 0), (64, 64, int(whole.to_ijk(np.array([0.0, 0, 6]))[2])))
    surfaces = body_surfaces(cut, Frame.from_axes(np.zeros(3), UP, FRONT))
    assert surfaces is not None
    assert surfaces.superior is None
    assert surfaces.inferior is not None
    beside = Frame.from_axes(np.array([200.0, 0, 0]), UP, FRONT)
    assert body_surfaces(whole, beside) is None


def test_surface_that_faces_a_disc() -> None:
    lower = Plane(np.array([0.0, 0, -4.0]), turned(14, -5, 0) @ UP)
    below = tilted_body(lower, Plane(np.array([0.0, 0, -26.0]), UP), 1.0, turned(4, 3, 0))
    points = facing_surface(Plane(np.array([0.0, 0, 9.0]), UP), below, radius_mm=12.0)
    assert len(points) > 100
    assert np.sqrt(np.mean(lower.distance(points) ** 2)) < 0.4
    plane = fit_plane(points, UP)
    assert plane is not None
    assert angle_deg(plane.normal, lower.normal) < 1.0
    assert len(facing_surface(Plane(np.array([0.0, 0, 90.0]), UP), below, radius_mm=12.0)) == 0  # out of reach
