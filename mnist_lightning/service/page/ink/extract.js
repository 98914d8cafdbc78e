// Picture -> ink: whatever is drawn, bright on exact 0. The arithmetic of mnist_lightning/ink/extract.py.

import {
  blank, connectedComponents, countAbove, dilate, enlarge, greyOf, map, peakOf, roundEven, shrink, threshold,
} from "./cv.js";
import { removeClutter, removeRules } from "./clutter.js";
import { areSolid, colourDistance, cropPlanes, edges, insideBands, insideFrame } from "./frame.js";
import { median, percentile } from "./numbers.js";
import { onlySheet } from "./sheet.js";
import { FAINT, stretched } from "./width.js";

const THUMBNAIL = 40; // longest side of a picture too small to be a photograph, pixels
const DRAWING_SIDE = 320; // side of the square whose area larger drawings are shrunk to, pixels
const PHOTO_SIDE = 256; // the same of photographs
const PAPER_SIDE = 96; // and of the picture that their paper is estimated in
const MIN_CONTRAST = 20; // of ink in a photograph, of 255; below it a sheet counts as empty
const MIN_SPECK = 0.03; // share of the largest piece of ink below which another is dirt
const SHEET = 0.2; // share of a drawing that stands out from its background where that may be a sheet
const CONTRAST = 40; // of 255; a sheet is written on if more than
const CONTENT = 0.005; // this share of it is as far from its paper

/** Ink of {data (RGBA), width, height}: {ink, left, top: its place there, scale: pixels there for one of the ink}. */
export function extractInk(pixels) {
  const whole = onGround(pixels);
  const small = shrinkPlanes(whole, DRAWING_SIDE);
  let box = insideFrame(small);
  let inner = cropPlanes(small, box);
  const distance = colourDistance(inner, inner.map(rimMedian));
  const peak = peakOf(distance);
  let ink;
  if (!isClean(distance, peak)) { // for its grain and its light, or for the lines on the paper
    const lineless = removeRules(stretched(distance, peak));
    if (isClean(lineless, 255)) ink = drawnInk(lineless, 255);
    else {
      const part = insideBands(inner);
      inner = cropPlanes(inner, part);
      box = part.map((each, side) => each + box[side % 2]);
      ink = photoInk(onlySheet(inner));
    }
  } else if (peak < 8) ink = blank(distance.width, distance.height); // a flat sheet
  else ink = drawnInk(...onSheet(inner, distance, peak));
  const shrunk = pixels.width / small[0].width;
  return {
    ink, left: roundEven(box[0] * shrunk), top: roundEven(box[1] * shrunk),
    scale: (shrunk * inner[0].width) / ink.width,
  };
}

/** The distance to the background, and its peak, on the sheet that is most of what stands out from it, if one is. */
function onSheet(planes, distance, peak) {
  if (countAbove(distance, peak / 2) < SHEET * distance.data.length) return [distance, peak];
  const sheet = onlySheet(planes);
  const paper = sheet.map(rimMedian);
  const rim = planes.map(rimMedian);
  if (Math.max(...paper.map((each, at) => Math.abs(each - rim[at]))) <= CONTRAST) return [distance, peak]; // none
  const away = colourDistance(sheet, paper);
  const drawn = threshold(away, CONTRAST);
  if (countAbove(drawn, 0) <= CONTENT * drawn.data.length || areSolid(drawn)) return [distance, peak];
  return [away, peakOf(away)];
}

/** Ink of a clean drawing, from how far each of its pixels is from the background, `peak` at most. */
function drawnInk(distance, peak) {
  const strong = peak < 250 ? stretched(distance, peak) : distance;
  const near = dilate(threshold(strong, FAINT));
  const ink = removeClutter(map(strong, (value, at) => value & near.data[at]));
  const left = peakOf(ink);
  return left > 0 && left < 250 ? stretched(ink, left) : ink;
}

/** Red, green and blue, each a grey picture; what is transparent lies on a ground that the ink stands out from. */
function onGround({ data, width, height }) {
  const count = width * height;
  const planes = [0, 1, 2].map((channel) => {
    const plane = blank(width, height);
    for (let at = 0; at < count; at++) plane.data[at] = data[4 * at + channel];
    return plane;
  });
  const opaque = [];
  let isWhole = true;
  for (let at = 0; at < count; at++) {
    if (data[4 * at + 3] > 127) opaque.push(at);
    if (data[4 * at + 3] < 255) isWhole = false;
  }
  if (isWhole) return planes;
  const grey = greyOf(planes).data;
  const mean = opaque.reduce((sum, at) => sum + grey[at], 0) / opaque.length;
  let paper = Array(3).fill(opaque.length && mean > 127 ? 0 : 255); // what is transparent is the ground, or the ink
  if (2 * opaque.length > count) {
    const shown = planes.map((plane) => Uint8Array.from(opaque, (at) => plane.data[at]));
    const sheet = shown.map(median);
    const away = shown.map((values, channel) => (
      values.filter((value) => Math.abs(value - Math.trunc(sheet[channel])) > CONTRAST).length));
    if (Math.max(...away) > CONTENT * opaque.length) paper = sheet; // a sheet that is written on: its holes are filled
  }
  return planes.map((plane, channel) => map(plane, (value, at) => {
    const share = Math.fround(data[4 * at + 3] / 255);
    return Math.floor(Math.fround(share * value) + Math.fround(1 - share) * paper[channel] + 0.5);
  }));
}

/** Median of the values along the four edges, as a whole number. */
const rimMedian = (plane) => Math.trunc(median(edges(plane).flat()));

/** Whether a picture is flat but for its ink, judged by the distance of its pixels to the background. */
function isClean(distance, peak) {
  if (Math.max(distance.width, distance.height) <= THUMBNAIL) return true;
  const { length } = distance.data;
  const above = (level) => countAbove(distance, Math.floor(level));
  const near = length - above(Math.max((FAINT / 255) * peak, 8)); // paper has grain, a drawing's background has none
  const flat = length - above(1);
  // Shadows on a saturated sheet leave much of it flat, but also much of it faintly dark.
  const faint = length - near - above(0.3 * peak);
  return flat >= 0.7 * near && faint <= 0.15 * length;
}

/** Ink of a photograph or scan. */
function photoInk(image) {
  const grey = medianOfNine(greyOf(shrinkPlanes(image, PHOTO_SIDE)));
  const paper = paperOf(grey);
  const signed = map(paper, (value, at) => value - grey.data[at]);
  const isDark = peakContrast(signed.data) >= peakContrast(signed.data.map((value) => -value));
  // Both ink and chalk change a share of the light that falls on the sheet: in a shadow it is less of it.
  const contrast = map(signed, (value, at) => (isDark ? value : -value) * Math.fround(255 / Math.max(paper.data[at], 32)));
  const peak = peakContrast(contrast.data);
  const noise = 1.48 * Math.fround(median(contrast.data.map(Math.abs)));
  if (peak < Math.max(MIN_CONTRAST, 6 * noise)) return blank(grey.width, grey.height);
  const strong = Math.fround(0.5 * peak);
  const core = Math.fround(median(contrast.data.filter((value) => value > strong)));
  const [least, half, factor] = [0.25 * core, 0.5 * core, 255 / (0.5 * core)].map(Math.fround);
  const mask = digitMask(map(contrast, (value) => (value > least ? 1 : 0), Uint8Array), (at) => contrast.data[at] > half);
  return map(contrast, (value, at) => (
    mask[at] ? Math.min(Math.max(Math.fround(Math.fround(value - least) * factor), 0), 255) : 0), Uint8Array);
}

/** Contrast of the strongest 0.3 % of the pixels, which the smallest digit worth reading fills. */
const peakContrast = (values) => percentile(values, 99.7);

/** Pictures with at most the area of a square of this side. */
function shrinkPlanes(planes, side) {
  const [{ width, height }] = planes;
  const factor = side / Math.sqrt(height * width);
  if (factor >= 1) return planes;
  const size = [width, height].map((each) => Math.max(1, roundEven(each * factor)));
  return planes.map((plane) => shrink(plane, ...size));
}

/** `cv2.medianBlur(picture, 3)` */
function medianOfNine({ width, height, data }) {
  const out = blank(width, height);
  const near = new Uint8Array(9);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      for (let dy = -1, n = 0; dy <= 1; dy++) {
        const row = Math.min(Math.max(y + dy, 0), height - 1) * width;
        for (let dx = -1; dx <= 1; dx++, n++) near[n] = data[row + Math.min(Math.max(x + dx, 0), width - 1)];
      }
      out.data[at] = near.sort()[4];
    }
  }
  return out;
}

/** The sheet without its ink, float32: the median of a wide neighbourhood. */
function paperOf(grey) {
  const small = map(shrinkPlanes([grey], PAPER_SIDE)[0], (value) => value, Float32Array);
  // The median follows the edges of shadows but flattens the hump of a lamp; with the light's trend taken out it is
  // the other way round. Whichever leaves less on the sheet is right.
  const papers = [small.data.map(() => 0), trendOf(small)].map((trend) => {
    const rest = wideMedian(map(small, (value, at) => value - trend[at]));
    return rest.map((value, at) => value + trend[at]);
  });
  const left = papers.map((paper) => (
    paper.reduce((sum, value, at) => sum + Math.min(Math.abs(small.data[at] - value), 30), 0)));
  const paper = { ...small, data: papers[left[1] < left[0] ? 1 : 0] };
  return map(enlarge(paper, grey.width, grey.height), (value) => Math.min(Math.max(value, 0), 255));
}

/** Median over half the side, rounded to whole grey levels. */
function wideMedian(small) {
  const { width, height, data } = small;
  const reach = Math.min(Math.max(1, Math.max(width, height) >> 2), 127); // as far as OpenCV's median reaches
  const offset = 128 - Math.fround(median(data)); // into the middle of 8 bits
  const [padX, padY] = [Math.min(reach, width - 1), Math.min(reach, height - 1)];
  const wide = blank(width + 2 * padX, height + 2 * padY);
  // Beyond the rim the light goes on as it came: mirrored and turned over.
  const lines = mirrored(width, padX);
  const across = blank(wide.width, height, Float32Array);
  for (let y = 0, at = 0; y < height; y++) {
    for (const [edge, inner] of lines) across.data[at++] = turned(data, y * width + edge, y * width + inner, edge === inner);
  }
  let at = 0;
  for (const [edge, inner] of mirrored(height, padY)) {
    for (let x = 0; x < wide.width; x++, at++) {
      const value = turned(across.data, edge * wide.width + x, inner * wide.width + x, edge === inner);
      wide.data[at] = Math.min(Math.max(value + offset, 0), 255);
    }
  }
  const blurred = medianOfSquares(wide, reach);
  const out = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out[y * width + x] = blurred.data[(y + padY) * wide.width + x + padX] - offset;
  }
  return out;
}

/** For each place of a padded line: the place itself twice, or [the edge, the place that is mirrored at it]. */
function mirrored(size, pad) {
  return Array.from({ length: size + 2 * pad }, (_, at) => {
    const place = at - pad;
    if (place < 0) return [0, -place];
    return place < size ? [place, place] : [size - 1, 2 * (size - 1) - place];
  });
}

const turned = (data, edge, inner, isInside) => (isInside ? data[edge] : 2 * data[edge] - data[inner]);

/** `cv2.medianBlur(picture, 2 * reach + 1)`: a histogram that slides along each row. */
function medianOfSquares({ width, height, data }, reach) {
  const out = blank(width, height);
  const half = ((2 * reach + 1) ** 2 + 1) / 2;
  const hold = (value, size) => Math.min(Math.max(value, 0), size - 1);
  const counts = new Int32Array(256);
  const column = (y, x, change) => {
    for (let dy = -reach; dy <= reach; dy++) counts[data[hold(y + dy, height) * width + hold(x, width)]] += change;
  };
  for (let y = 0; y < height; y++) {
    counts.fill(0);
    for (let x = -reach; x < reach; x++) column(y, x, 1);
    for (let x = 0; x < width; x++) {
      column(y, x + reach, 1);
      let level = -1;
      for (let seen = 0; seen < half;) seen += counts[++level];
      out.data[y * width + x] = level;
      column(y, x - reach, -1);
    }
  }
  return out;
}

/** The quadratic surface through most of the pixels: the fall-off of light and lens. */
function trendOf({ width, height, data }) {
  const axis = (size) => Float64Array.from({ length: size }, (_, at) => (size > 1 ? -1 + (2 * at) / (size - 1) : -1));
  const [xs, ys] = [axis(width), axis(height)];
  const terms = (at) => {
    const [x, y] = [xs[at % width], ys[Math.floor(at / width)]];
    return [1, x, y, x * x, x * y, y * y];
  };
  const weight = new Float64Array(data.length).fill(1);
  let surface = new Float64Array(data.length);
  for (let round = 0; round < 4; round++) { // least squares, reweighted until the ink counts for little
    const rows = Array.from({ length: 6 }, () => new Float64Array(7));
    for (let at = 0; at < data.length; at++) {
      const term = terms(at);
      for (let i = 0; i < 6; i++) {
        for (let j = 0; j < 6; j++) rows[i][j] += weight[at] * term[i] * term[j];
        rows[i][6] += weight[at] * term[i] * data[at];
      }
    }
    const factors = solve(rows);
    surface = surface.map((_, at) => terms(at).reduce((sum, term, i) => sum + term * factors[i], 0));
    const errors = surface.map((value, at) => Math.abs(data[at] - value));
    const scale = 1.48 * median(errors) + 1;
    errors.forEach((error, at) => { weight[at] = 1 / (1 + (error / scale) ** 2); });
  }
  return Float32Array.from(surface);
}

/** Solve linear equations, each row with its right side at the end; 0 for what they leave open. */
function solve(rows) {
  const count = rows.length;
  for (let pivot = 0; pivot < count; pivot++) {
    let best = pivot;
    for (let row = pivot; row < count; row++) if (Math.abs(rows[row][pivot]) > Math.abs(rows[best][pivot])) best = row;
    [rows[pivot], rows[best]] = [rows[best], rows[pivot]];
    if (Math.abs(rows[pivot][pivot]) < 1e-9) continue;
    for (let row = 0; row < count; row++) {
      if (row === pivot) continue;
      const factor = rows[row][pivot] / rows[pivot][pivot];
      for (let at = pivot; at <= count; at++) rows[row][at] -= factor * rows[pivot][at];
    }
  }
  return rows.map((row, at) => (Math.abs(row[at]) < 1e-9 ? 0 : row[count] / row[at]));
}

/** Pieces of weak ink that hold strong ink and are no dirt, and not what juts in at the rim: 0 or 1 for each pixel. */
function digitMask(weak, isStrong) {
  const { count, labels, boxes } = connectedComponents(weak);
  const area = new Float64Array(count);
  for (let at = 0; at < labels.length; at++) if (isStrong(at)) area[labels[at]]++;
  area[0] = 0;
  const largest = Math.max(...area);
  const keep = Array.from(area, (each) => each > MIN_SPECK * largest);
  const inside = boxes.map((box) => box && box[0] > 0 && box[1] > 0 && box[2] < weak.width && box[3] < weak.height);
  const total = (chosen) => area.reduce((sum, each, at) => sum + (chosen(at) ? each : 0), 0);
  if (2 * total((at) => keep[at] && inside[at]) >= total((at) => keep[at])) {
    for (let at = 0; at < count; at++) keep[at] &&= Boolean(inside[at]);
  }
  return labels.map((label) => (keep[label] ? 1 : 0));
}
