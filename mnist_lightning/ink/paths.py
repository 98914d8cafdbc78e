"""Geometry of a pen's path: smoothing and cutting polylines. Points are float64 [n, 2], any unit."""

from __future__ import annotations

import numpy as np


def smooth_path(points: np.ndarray, spacing: float, start: int = 0, end: int | None = None) -> np.ndarray:
    """A smooth curve through the points, sampled at most about `spacing` apart.

    A fast mouse reports few points; straight lines between them would show as corners. The curve is the
    centripetal Catmull-Rom spline, which passes through every point and never loops (Yuksel, Schaefer and
    Keyser, "Parameterization and applications of Catmull-Rom curves", 2011). It is local: a step bends only
    with the points before and after it. Where points already lie close together they come back as they are.

    Args:
        points: [n, 2], in drawing order.
        spacing: longest step wanted in the result, above 0.
        start: index of the point to start from.
        end: index of the point to stop at; the last one if None.

    Returns:
        [m, 2], from points[start] to points[end], both included.
    """
    last = len(points) - 1 if end is None else end
    inside = points[start : last + 1]
    length = np.hypot(*np.diff(inside, axis=0).T)
    if length.size == 0 or length.max() <= spacing:
        return inside
    # Beyond its ends the path continues like its first and last step.
    before = points[start - 1] if start > 0 else 2 * points[0] - points[1]
    after = points[last + 1] if last + 1 < len(points) else 2 * points[last] - points[last - 1]
    padded = np.concatenate([before[None], inside, after[None]])
    step = np.diff(padded, axis=0)
    knot = np.maximum(np.hypot(*step.T)[:, None], 1e-12) ** 0.5  # centripetal: the square root of the chord
    speed = step / knot
    across = (padded[2:] - padded[:-2]) / (knot[:-1] + knot[1:])
    inner = knot[1:-1]
    leave = inner * (speed[:-2] - across[:-1] + speed[1:-1])  # tangent where each step starts
    arrive = inner * (speed[1:-1] - across[1:] + speed[2:])  # and where it ends
    count = np.maximum(np.ceil(length / spacing), 1).astype(int)
    which = np.repeat(np.arange(len(count)), count)
    first = np.repeat(np.cumsum(count) - count, count)
    t = ((np.arange(len(which)) - first) / count[which])[:, None]
    begin, finish, m0, m1 = inside[which], inside[which + 1], leave[which], arrive[which]
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * begin
        + (t**3 - 2 * t**2 + t) * m0
        + (3 * t**2 - 2 * t**3) * finish
        + (t**3 - t**2) * m1
    )
    return np.concatenate([curve, inside[-1:]])


def cut_path(path: np.ndarray, start: np.ndarray, end: np.ndarray, reach: float) -> list[np.ndarray]:
    """The runs of points of `path` that are farther than `reach` from the line from `start` to `end`.

    Args:
        path: [n, 2], with steps short compared with `reach`.
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
