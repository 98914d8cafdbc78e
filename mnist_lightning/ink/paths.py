"""Geometry of a pen's path: smoothing and cutting polylines. Points are float64 [n, 2], any unit."""

from __future__ import annotations

import numpy as np


def smooth_path(points: np.ndarray, spacing: float) -> np.ndarray:
    """A smooth curve through the points, sampled at most `spacing` apart.

    A fast mouse reports few points; straight lines between them would show as corners. The curve is the
    centripetal Catmull-Rom spline, which passes through every point and never loops (Yuksel, Schaefer and
    Keyser, "Parameterization and applications of Catmull-Rom curves", 2011). Where points already lie close
    together they come back as they are.

    Args:
        points: [n, 2], in drawing order.
        spacing: longest step wanted in the result, above 0.

    Returns:
        [m, 2], starting and ending where `points` do; repeated points are dropped.
    """
    if len(points) > 1:
        moved = np.any(np.diff(points, axis=0) != 0, axis=1)
        points = points[np.concatenate([[True], moved])]
    if len(points) < 3 and spacing > 0:
        return _subdivided(points, spacing)
    length = np.hypot(*np.diff(points, axis=0).T)
    if length.max() <= spacing:
        return points
    # Beyond both ends the path goes on as its last step came in.
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    step = np.diff(padded, axis=0)
    knot = np.hypot(*step.T)[:, None] ** 0.5  # centripetal: the square root of the chord
    speed = step / knot
    across = (padded[2:] - padded[:-2]) / (knot[:-1] + knot[1:])
    inner = knot[1:-1]
    leave = inner * (speed[:-2] - across[:-1] + speed[1:-1])  # tangent where each step starts
    arrive = inner * (speed[1:-1] - across[1:] + speed[2:])  # and where it ends
    count = np.ceil(length / spacing).astype(int)
    which = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    t = ((np.arange(len(which)) - first) / count[which])[:, None]
    start, end, m0, m1 = points[which], points[which + 1], leave[which], arrive[which]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * m0
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * m1
    )
    return np.concatenate([curve, points[-1:]])


def cut_path(path: np.ndarray, start: np.ndarray, end: np.ndarray, reach: float) -> list[np.ndarray]:
    """The runs of points of `path` that are farther than `reach` from the line from `start` to `end`.

    Args:
        path: [n, 2], with steps short against `reach`.
        start: [2], where the eraser was.
        end: [2], where it is now.
        reach: above 0.

    Returns:
        Arrays [k, 2], k >= 1, in order; none if everything is cut, `path` itself if nothing is.
    """
    line = end - start
    squared = float(line @ line)
    along = np.clip((path - start) @ line / squared, 0, 1) if squared else np.zeros(len(path))
    away = np.hypot(*(path - start - along[:, None] * line).T) > reach
    edges = np.flatnonzero(np.diff(away)) + 1
    return [run for run, kept in zip(np.split(path, edges), np.split(away, edges), strict=True) if kept[0]]


def _subdivided(points: np.ndarray, spacing: float) -> np.ndarray:
    """A dot as it is; a straight line in steps of at most `spacing`."""
    if len(points) < 2:
        return points
    count = int(np.ceil(np.hypot(*(points[1] - points[0])) / spacing))
    return points[0] + np.linspace(0, 1, count + 1)[:, None] * (points[1] - points[0])
