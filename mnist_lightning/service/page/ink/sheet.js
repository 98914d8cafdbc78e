// The sheet of paper in a photograph that also shows what it lies on. The arithmetic of mnist_lightning/ink/sheet.py.

import { blank, connectedComponents, countAbove, greyOf, map, roundEven, shrink, softened, threshold } from "./cv.js";
import { median } from "./numbers.js";
import { line } from "./raster.js";

const SIDE = 96; // longest side of the picture that the sheet is looked for in, pixels
const SHARE = [0.1, 0.95]; // of the picture that a sheet covers, at least and at most
const RECTANGLE = 0.85; // share of the smallest rectangle around it that a sheet fills
const EVEN = 0.6; // share of a sheet that is paper
const APART = 25; // least difference in grey level between a sheet and what it lies on
const INSET = 0.03; // share of a sheet's sides that is left out, with its soft edge and its shadow

/** A photograph with the colour of the sheet over what the sheet lies on; as it is if no whole sheet is visible. */
export function onlySheet(planes) {
  const [{ width, height }] = planes;
  const scale = Math.min(1, SIDE / Math.max(height, width));
  const size = [width, height].map((side) => Math.max(1, roundEven(side * scale)));
  const grey = softened(greyOf(planes.map((plane) => shrink(plane, ...size))));
  const bright = threshold(grey, otsu(grey));
  for (const mask of [bright, map(bright, (value) => 255 - value)]) {
    const corners = rectangle(mask, grey);
    if (!corners) continue;
    const whole = corners.map((corner) => corner.map((at) => roundEven((at + 0.5) / scale - 0.5)));
    const inside = convexPolygon(whole, width, height);
    return planes.map((plane) => {
      const paper = Math.trunc(median(plane.data.filter((_, at) => inside[at])));
      return map(plane, (value, at) => (inside[at] ? value : paper));
    });
  }
  return planes;
}

/** The threshold of Otsu: what is above and what is not differ most. As `cv2.THRESH_OTSU`. */
function otsu({ data }) {
  const counts = new Float64Array(256);
  for (const value of data) counts[value]++;
  const share = 1 / data.length;
  const mean = counts.reduce((sum, count, level) => sum + level * count, 0) * share;
  let [below, belowMean, best, level] = [0, 0, 0, 0];
  for (let at = 0; at < 256; at++) {
    const own = counts[at] * share;
    belowMean *= below;
    below += own;
    const above = 1 - below;
    if (Math.min(below, above) < 2 ** -23) continue;
    belowMean = (belowMean + at * own) / below;
    const apart = below * above * (belowMean - (mean - below * belowMean) / above) ** 2;
    if (apart > best) [best, level] = [apart, at];
  }
  return level;
}

/** Corners of the largest piece of a mask, a little inside it, if it is a sheet; else null. */
function rectangle(mask, grey) {
  const { labels, boxes } = connectedComponents(mask);
  let [outline, area, found] = [null, -1, 0];
  for (let label = 1; label < boxes.length; label++) {
    const [left, top, right, bottom] = boxes[label];
    if ((right - left - 1) * (bottom - top - 1) < area) continue; // its outline encloses less
    const traced = traceOutline(labels, mask, label, boxes[label]);
    const enclosed = areaOf(traced);
    if (enclosed >= area) [outline, area, found] = [traced, enclosed, label]; // of equal ones the last, as OpenCV has it
  }
  if (!outline) return null;
  const [left, top, right, bottom] = boxes[found];
  const sides = [left <= 0, top <= 0, right >= mask.width, bottom >= mask.height].filter(Boolean).length;
  const { centre, axes, size } = smallestRectangle(hullOf(outline));
  const share = area / mask.data.length;
  if (sides > 1 || share < SHARE[0] || share > SHARE[1] || area < RECTANGLE * size[0] * size[1]) return null;
  const filled = filledPiece(labels, mask, found);
  const where = (data, isWanted) => data.filter((_, at) => isWanted(at));
  const paper = where(grey.data, (at) => filled[at] && mask.data[at]);
  if (paper.length < EVEN * countAbove({ data: filled }, 0)) return null;
  if (Math.abs(median(paper) - median(where(grey.data, (at) => !filled[at]))) < APART) return null;
  const inset = 2 * Math.max(1.5, INSET * Math.min(...size));
  const half = size.map((side) => Math.max(side - inset, 1) / 2);
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map((signs) => [0, 1].map((axis) => (
    centre[axis] + signs[0] * half[0] * axes[0][axis] + signs[1] * half[1] * axes[1][axis])));
}

const AROUND = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]]; // clockwise on the screen

/** The pixels [x, y] along the outer border of a piece, in order. */
function traceOutline(labels, { width, height }, label, [left, top, right]) {
  let start = left;
  while (labels[top * width + start] !== label && start < right) start++;
  const isOwn = (x, y) => x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === label;
  const outline = [];
  let [x, y, from, first] = [start, top, 4, -1];
  for (;;) {
    let way = -1;
    for (let turn = 1; turn <= 8 && way < 0; turn++) {
      const next = (from + turn) % 8;
      if (isOwn(x + AROUND[next][0], y + AROUND[next][1])) way = next;
    }
    if (way < 0) return [[x, y]]; // one pixel
    if (x === start && y === top && way === first) return outline;
    if (first < 0) first = way;
    outline.push([x, y]);
    [x, y, from] = [x + AROUND[way][0], y + AROUND[way][1], (way + 4) % 8];
  }
}

/** What a closed polygon encloses. */
function areaOf(points) {
  const twice = points.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = points[(at + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}

/** The corners of the convex hull of points. */
function hullOf(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const isTurning = ([a, b], c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0;
  const chain = (list) => {
    const kept = [];
    for (const point of list) {
      while (kept.length > 1 && !isTurning(kept.slice(-2), point)) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
}

/** The smallest rectangle around a hull, which has a side of the hull in one of its own: {centre, axes, size}. */
function smallestRectangle(hull) {
  let best = null;
  hull.forEach((point, at) => {
    const next = hull[(at + 1) % hull.length];
    const length = Math.hypot(next[0] - point[0], next[1] - point[1]) || 1;
    const along = [(next[0] - point[0]) / length, (next[1] - point[1]) / length];
    const axes = [along, [-along[1], along[0]]];
    const spans = axes.map((axis) => {
      const places = hull.map(([x, y]) => x * axis[0] + y * axis[1]);
      return [Math.min(...places), Math.max(...places)];
    });
    const size = spans.map(([low, high]) => high - low);
    if (best && size[0] * size[1] >= best.size[0] * best.size[1]) return;
    const middles = spans.map(([low, high]) => (low + high) / 2);
    const centre = [0, 1].map((side) => middles[0] * axes[0][side] + middles[1] * axes[1][side]);
    best = { centre, axes, size };
  });
  return best;
}

/** 1 for each pixel of a piece and of its holes: all that cannot be reached from outside. */
function filledPiece(labels, { width, height }, label) {
  const wide = width + 2; // with a rim that is outside
  const isOutside = new Uint8Array(wide * (height + 2));
  const stack = [0];
  isOutside[0] = 1;
  while (stack.length) {
    const at = stack.pop();
    const [x, y] = [at % wide, Math.floor(at / wide)];
    for (const [nx, ny] of [[x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]]) {
      const next = ny * wide + nx;
      if (nx < 0 || ny < 0 || nx >= wide || ny >= height + 2 || isOutside[next]) continue;
      const isInPicture = nx > 0 && ny > 0 && nx <= width && ny <= height;
      if (isInPicture && labels[(ny - 1) * width + nx - 1] === label) continue;
      isOutside[next] = 1;
      stack.push(next);
    }
  }
  return Uint8Array.from(labels, (_, at) => 1 - isOutside[(Math.floor(at / width) + 1) * wide + (at % width) + 1]);
}

/** 1 for each pixel of a picture that lies in a convex polygon or on its rim, as `cv2.fillConvexPoly`. */
function convexPolygon(corners, width, height) {
  const inside = new Uint8Array(width * height);
  const spans = new Map(); // first and last pixel of each row
  corners.forEach((corner, at) => line(corner, corners[(at + 1) % corners.length], (x, y) => {
    const span = spans.get(y);
    if (!span) spans.set(y, [x, x]);
    else if (x < span[0]) span[0] = x;
    else if (x > span[1]) span[1] = x;
  }));
  for (const [y, [first, last]] of spans) {
    if (y < 0 || y >= height || last < 0 || first >= width) continue;
    inside.fill(1, y * width + Math.max(first, 0), y * width + Math.min(last, width - 1) + 1);
  }
  return inside;
}
