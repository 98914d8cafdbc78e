// How wide strokes are, and the same strokes with another width. The arithmetic of mnist_lightning/ink/width.py.

import {
  blank, blur, countAbove, dilate, distanceTransform, map, pad, peakOf, roundEven, threshold, toByte,
} from "./cv.js";

const FLOOR = 0.2; // share of the strongest ink; ink is not evened above this share, or dirt would become strokes
const THINNEST = 3; // half the width that thinning leaves a stroke, pixels
const REACH = 6; // of the neighbourhood in which the width of a stroke is looked for then
export const FAINT = 25; // of 255; ink below it is a rim, or noise

/** Ink multiplied so that `peak` becomes 255. */
export function stretched(ink, peak) {
  const factor = 255 / Math.max(peak, 1);
  return map(ink, (value) => Math.min(Math.floor(value * factor + 0.5), 255));
}

/** Mean width of the strokes in ink, pixels: the distance to the edge runs evenly from 0 to a half of it. */
export function measureStrokeWidth(ink) {
  const mask = threshold(ink, 127);
  const pixels = countAbove(mask, 0);
  if (!pixels) return 0;
  const distance = distanceTransform(pad(mask, 1), 3); // ink that touches the edge of the picture ends there
  let sum = 0;
  for (let at = 0; at < distance.data.length; at++) sum += distance.data[at];
  return 4 * (sum / pixels - 0.5);
}

/** Ink whose strokes are all about 255: each pixel divided by the strongest ink within `reach` pixels. */
export function evenInk(ink, reach) {
  const peak = blur(dilate(ink, reach), reach).data;
  const lowest = toByte(Math.max(FLOOR * peakOf(ink), 1));
  return map(ink, (value, at) => toByte((255 * value) / Math.max(peak[at], lowest)));
}

/** Whether one level, half of the strongest ink, tells strokes from paper as well as each neighbourhood's own. */
export function isEven(ink, reach) {
  const strong = countAbove(ink, 127);
  if (countAbove(ink, FAINT) <= 1.35 * strong) return true; // little ink is faint at all
  return strong > 0.85 * countAbove(evenInk(ink, reach), 127);
}

/** Ink with each edge of its strokes moved outwards by `grow` pixels, in a margin; all 0 if nothing is left. */
export function redraw(ink, grow) {
  const mask = pad(threshold(ink, 127), 8 + roundEven(Math.abs(grow)));
  const inside = distanceTransform(mask, 5).data;
  const outside = distanceTransform(map(mask, (value) => 255 - value), 5).data;
  const half = grow < 0 ? dilate({ ...mask, data: inside }, REACH).data : null;
  const out = blank(mask.width, mask.height);
  const { fround } = Math; // each step is rounded as NumPy rounds it
  const by = fround(grow);
  for (let at = 0; at < out.data.length; at++) {
    let signed = mask.data[at] ? fround(inside[at] - 0.5) : fround(0.5 - outside[at]);
    // What is thin already is not thinned away.
    if (half) signed = fround(signed + Math.max(0, fround(Math.min(fround(THINNEST - fround(half[at] - 0.5)), 0) - by)));
    out.data[at] = Math.floor(Math.min(Math.max(fround(fround(fround(signed + by) + 0.5) * 255), 0), 255));
  }
  return out;
}
