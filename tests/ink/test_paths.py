import numpy as np
import pytest

from mnist_lightning.ink.paths import cut_path, smooth_path


def circle(count: int, radius: float = 100) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_a_curve_from_few_points_is_round_and_passes_through_them() -> None:
    points = circle(13)  # a fast mouse: one point every 30 degrees
    path = smooth_path(points, spacing=2)
    radius = np.hypot(*path[26:-26].T)  # all but the two ends, where the curve has only one neighbour
    assert radius == pytest.approx(100, abs=0.3)  # straight lines would dip to 96.6
    assert np.hypot(*np.diff(path, axis=0).T).max() < 2.2
    nearest = np.hypot(*(path[:, None] - points[None]).transpose(2, 0, 1)).min(axis=0)
    assert nearest.max() < 1e-9


def test_dense_points_come_back_as_they_are() -> None:
    points = np.array([[0, 0], [1, 0], [1, 1]], dtype=float)
    assert np.array_equal(smooth_path(points, spacing=2), points)


@pytest.mark.parametrize("count", [1, 2])
def test_a_dot_stays_a_dot_and_two_points_a_straight_line(count: int) -> None:
    points = np.array([[0, 0], [30, 40]], dtype=float)[:count]
    path = smooth_path(points, spacing=5)
    assert len(path) == [1, 11][count - 1]
    assert np.allclose(path[:, 1] * 3, path[:, 0] * 4)
    assert np.array_equal(path[-1], points[-1])


def test_repeated_points_do_no_harm() -> None:
    path = smooth_path(np.repeat(circle(13), 2, axis=0), spacing=2)
    assert np.isfinite(path).all()
    assert np.hypot(*path.T).min() > 96


def test_parts_of_a_curve_drawn_one_by_one_are_the_curve() -> None:
    points = circle(9)
    parts = [smooth_path(points, 3, start=i, end=i + 1)[:-1] for i in range(8)]
    whole = smooth_path(points, 3)
    assert np.allclose(np.concatenate([*parts, points[-1:]]), whole)


def test_cutting_keeps_the_runs_out_of_reach() -> None:
    path = np.stack([np.arange(11.0), np.zeros(11)], axis=1)
    runs = cut_path(path, np.array([5.0, -9.0]), np.array([5.0, 9.0]), reach=1.5)
    assert [run[:, 0].tolist() for run in runs] == [[0, 1, 2, 3], [7, 8, 9, 10]]
    assert cut_path(path, np.array([0.0, 0.0]), np.array([10.0, 0.0]), reach=1) == []
    (same,) = cut_path(path, np.array([5.0, 5.0]), np.array([5.0, 5.0]), reach=4)
    assert np.array_equal(same, path)
