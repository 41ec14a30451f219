"""Faces of bones on voxels whose surface is known exactly."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from SpineAnalysisLib.geometry.frames import Frame
from SpineAnalysisLib.geometry.surfaces import Face, fit_face

FRAME = Frame(np.zeros(3), *np.eye(3))
ENDS = np.array([[0.0, -9.0], [0.0, 9.0]])
TURNS = ((6.0, 9.0, 4.0), (-9.0, 12.0, 8.0), (14.0, 3.0, -7.0))


def back_wall(turn: tuple[float, float, float], crumbs: int = 0, wavering: float = 0.0, finest: float | None = 0.15
              ) -> Face:
    """The face of bone in front of y = 0, 6 mm wide and 20 mm high, on a 1 mm grid that is turned against it.

    :param crumbs: so many voxels within a millimeter behind its upper quarter are labeled as bone, too.
    :param wavering: standard deviation, mm, of where an outline was drawn around it.
    """
    grid = np.stack(np.meshgrid(*[np.arange(-20.0, 21.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    centers = grid @ Rotation.from_euler("xyz", turn, degrees=True).as_matrix().T
    centers = centers[(np.abs(centers) < (3.0, 6.0, 10.0)).all(axis=1)]
    random = np.random.default_rng(3)
    inside = centers[:, 1] > wavering * random.normal(size=len(centers))
    behind = np.flatnonzero((centers[:, 1] < -0.5) & (centers[:, 1] > -1.0) & (centers[:, 2] > 5.0))
    inside[random.choice(behind, crumbs, replace=False)] = True
    face = fit_face(FRAME, 1, rough(centers[inside]), centers, inside, 1.0, 0.0, 0.002, 0.03, finest)
    assert face is not None
    return face


def rough(bone: NDArray) -> NDArray:
    """The hindmost voxel of every cell of 2 mm."""
    cells: dict[tuple[int, int], NDArray] = {}
    for point in bone[np.argsort(-bone[:, 1])]:
        cells[int(point[0] // 2), int(point[2] // 2)] = point
    return np.array(list(cells.values()))


@pytest.mark.parametrize("turn", TURNS)
def test_crumbs_behind_a_wall_do_not_tilt_it(turn: tuple[float, float, float]) -> None:
    face = back_wall(turn, crumbs=6)
    assert face.sharp
    assert np.abs(face.height(ENDS)).max() < 0.12
    plain = back_wall(turn, crumbs=6, finest=None)
    assert np.abs(plain.height(ENDS)).max() > np.abs(face.height(ENDS)).max()


def test_a_wavering_outline_is_no_crumb() -> None:
    """Nothing of it is left out, so that its last step changes nothing."""
    face, plain = (back_wall(TURNS[0], wavering=0.7, finest=finest) for finest in (0.15, None))
    assert not face.sharp
    np.testing.assert_array_equal(face.terms, plain.terms)
    assert np.abs(face.height(ENDS)).max() < 0.35


@pytest.mark.parametrize("turn", TURNS)
def test_truth_is_within_what_is_stated(turn: tuple[float, float, float]) -> None:
    face = back_wall(turn)
    for place, height in zip(ENDS, face.height(ENDS), strict=True):
        assert abs(height) < 2.0 * face.deviation(place)
