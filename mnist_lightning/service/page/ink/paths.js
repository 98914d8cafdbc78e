// Geometry of a pen's path: smoothing and cutting. The arithmetic of mnist_lightning/ink/paths.py.
//
// A path is an array of points [x, y], in any unit, y pointing down.

/**
 * A smooth curve through the points, sampled at most about `spacing` apart: the centripetal Catmull-Rom spline.
 * Where no step is longer than `spacing` the points come back as they are.
 */
export function smoothPath(points, spacing) {
  const steps = points.length - 1;
  const length = [];
  for (let i = 0; i < steps; i++) {
    length.push(Math.hypot(points[i + 1][0] - points[i][0], points[i + 1][1] - points[i][1]));
  }
  if (steps < 1 || length.every((each) => each <= spacing)) return points;
  // Beyond its ends the path goes on as its first and last step did.
  const before = points[0].map((value, axis) => 2 * value - points[1][axis]);
  const after = points[steps].map((value, axis) => 2 * value - points[steps - 1][axis]);
  const padded = [before, ...points, after];
  const knot = [];
  for (let i = 0; i + 1 < padded.length; i++) {
    const chord = Math.hypot(padded[i + 1][0] - padded[i][0], padded[i + 1][1] - padded[i][1]);
    knot.push(Math.sqrt(Math.max(chord, 1e-12)));
  }
  const curve = [];
  for (let i = 0; i < steps; i++) {
    const [k0, k1, k2] = [knot[i], knot[i + 1], knot[i + 2]];
    const tangents = [0, 1].map((axis) => {
      const [p0, p1, p2, p3] = [0, 1, 2, 3].map((offset) => padded[i + offset][axis]);
      const leave = k1 * ((p1 - p0) / k0 - (p2 - p0) / (k0 + k1) + (p2 - p1) / k1);
      const arrive = k1 * ((p2 - p1) / k1 - (p3 - p1) / (k1 + k2) + (p3 - p2) / k2);
      return [leave, arrive];
    });
    const count = Math.max(Math.ceil(length[i] / spacing), 1);
    for (let step = 0; step < count; step++) {
      const t = step / count;
      const [t2, t3] = [t * t, t * t * t];
      curve.push([0, 1].map((axis) => {
        const [leave, arrive] = tangents[axis];
        return (2 * t3 - 3 * t2 + 1) * points[i][axis] + (t3 - 2 * t2 + t) * leave
          + (3 * t2 - 2 * t3) * points[i + 1][axis] + (t3 - t2) * arrive;
      }));
    }
  }
  curve.push(points[steps]);
  return curve;
}

/** The runs of points of `path` that are farther than `reach` from the line from `start` to `end`. */
export function cutPath(path, start, end, reach) {
  const line = [end[0] - start[0], end[1] - start[1]];
  const squared = line[0] ** 2 + line[1] ** 2;
  const runs = [];
  let run = null;
  for (const [x, y] of path) {
    const [dx, dy] = [x - start[0], y - start[1]];
    const along = squared ? Math.min(Math.max((dx * line[0] + dy * line[1]) / squared, 0), 1) : 0;
    if (Math.hypot(dx - along * line[0], dy - along * line[1]) > reach) {
      if (!run) runs.push((run = []));
      run.push([x, y]);
    } else {
      run = null;
    }
  }
  return runs;
}
