// Strokes -> a grey image for the network. The arithmetic of `draw_digit` in mnist_lightning/ink/raster.py.

import { blank, distanceTransform, pad, roundEven, toByte } from "./cv.js";
import { smoothPath } from "./paths.js";

const STROKE_WIDTH = 2.3; // pixels of the 28x28 field
const BOX = 20; // longest side of the ink there
const FINE = 4; // oversampling of that field
const SPACING = 4; // longest straight piece of a curve, pixels
const SUBPIXELS = 16; // lines are drawn at coordinates in 1/16 pixel

/** Draw one digit, strokes [{points, width}], free of where, how large and with what pen it was drawn. */
export function drawDigit(strokes) {
  const paths = strokes.map(({ points }) => points).filter((points) => points.length);
  if (!paths.length) return blank(1, 1);
  const [left, top, right, bottom] = boundsOf(paths);
  // What is smaller than the pen is a dot; blowing it up would draw the mouse's jitter.
  const longest = Math.max(right - left, bottom - top, ...strokes.map(({ width }) => width));
  const radius = (STROKE_WIDTH * FINE) / 2;
  const margin = roundEven(radius - 0.5);
  const scale = (BOX * FINE - 1 - 2 * margin) / longest;
  const [across, down] = [right - left, bottom - top].map((side) => roundEven(side * scale) + 1 + 2 * margin);
  const paper = blank(across, down, Uint8Array, 255);
  for (const path of paths) {
    const placed = path.map(([x, y]) => [(x - left) * scale + margin, (y - top) * scale + margin]);
    polyline(paper, smoothPath(placed, SPACING).map((point) => point.map((value) => roundEven(value * SUBPIXELS))));
  }
  // The distance to a thin line gives a stroke of any width exactly.
  const distance = distanceTransform(paper, 5);
  const ink = blank(across, down);
  const edge = Math.fround(255 * (radius + 0.5));
  for (let at = 0; at < ink.data.length; at++) ink.data[at] = toByte(Math.fround(edge - 255 * distance.data[at]));
  return pad(ink, 1); // a rim that shows the background
}

/** Left, top, right, bottom of some paths. */
export function boundsOf(paths) {
  const bounds = [Infinity, Infinity, -Infinity, -Infinity];
  for (const path of paths) {
    for (const [x, y] of path) {
      if (x < bounds[0]) bounds[0] = x;
      if (y < bounds[1]) bounds[1] = y;
      if (x > bounds[2]) bounds[2] = x;
      if (y > bounds[3]) bounds[3] = y;
    }
  }
  return bounds;
}

/** `cv2.polylines(paper, [points], False, 0, 1, LINE_8, 4)`: a black line one pixel wide; points in 1/16 pixel. */
export function polyline(paper, points) {
  // OpenCV 5 rounds the ends of such a line to whole pixels, and draws nothing for a single point.
  const whole = points.map((point) => point.map((value) => Math.floor(value / SUBPIXELS + 0.5)));
  for (let at = 1; at < whole.length; at++) line(whole[at - 1], whole[at], (x, y) => put(paper, x, y));
}

/** Call `visit(x, y)` along Bresenham's line, from left to right. */
export function line(from, to, visit) {
  const [[x0, y0], [x1, y1]] = from[0] <= to[0] ? [from, to] : [to, from];
  const dx = x1 - x0;
  const dy = Math.abs(y1 - y0);
  const down = y1 < y0 ? -1 : 1;
  const isSteep = dy > dx;
  const [long, short] = isSteep ? [dy, dx] : [dx, dy];
  let error = long - 2 * short;
  let [x, y] = [x0, y0];
  for (let left = long; left >= 0; left--) {
    visit(x, y);
    const isBoth = error < 0;
    error += (isBoth ? 2 * long : 0) - 2 * short;
    if (isSteep || isBoth) y += down;
    if (!isSteep || isBoth) x += 1;
  }
}

function put({ width, height, data }, x, y) {
  if (x >= 0 && x < width && y >= 0 && y < height) data[y * width + x] = 0;
}
