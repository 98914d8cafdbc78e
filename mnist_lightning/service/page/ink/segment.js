// Several digits side by side -> one group of strokes or ink each, left to right.
//
// The arithmetic of mnist_lightning/ink/segment.py.

import { connectedComponents, dilate, threshold } from "./cv.js";
import { boundsOf } from "./raster.js";
import { FAINT, measureStrokeWidth } from "./width.js";

// Shares of the height of the two pieces together, or of the narrower one's width.
const SHORT = 0.75; // a digit is about as high as its neighbour; a piece lower than this may be half a digit
const NEAR = 0.14; // widest gap between the halves of a digit
const OVERLAP = 0.3; // digits of the same height may lean over one another by this much of the narrower one
const SPECK = 0.2; // a piece smaller than this share of the tallest, in both directions, is no digit of its own
const MOST = 64; // pieces looked at, the largest

/** Sort strokes into digits: a list of strokes for each, left to right. */
export function segmentStrokes(strokes) {
  const drawn = strokes.filter(({ points }) => points.length);
  return groupBoxes(drawn.map(({ points }) => boundsOf([points]))).map((group) => group.map((index) => drawn[index]));
}

/** Cut ink, bright on 0, into pictures of one digit each: copies with all other ink removed. */
export function segmentInk(ink) {
  const { count, labels, boxes } = connectedComponents(threshold(ink, FAINT));
  const width = measureStrokeWidth(ink);
  const middles = boxes.slice(1).map(([left, top, right, bottom]) => {
    const [halfX, halfY] = [right - left, bottom - top].map((side) => Math.min(width, side) / 2);
    return [left + halfX, top + halfY, right - halfX, bottom - halfY];
  });
  return groupBoxes(middles).map((group) => {
    const isOwn = new Uint8Array(count);
    for (const index of group) isOwn[index + 1] = 1;
    const mask = { ...ink, data: Uint8Array.from(labels, (label) => isOwn[label]) };
    const rim = dilate(mask); // with its faint rim, up to where the next digit's begins
    return { ...ink, data: ink.data.map((value, at) => (mask.data[at] || (rim.data[at] && !labels[at]) ? value : 0)) };
  });
}

/** Sort pieces of writing, boxes [left, top, right, bottom], into digits: the indices of each, left to right. */
export function groupBoxes(boxes) {
  if (!boxes.length) return [];
  const size = boxes.map(([left, top, right, bottom]) => Math.max(right - left, bottom - top));
  const tallest = Math.max(...boxes.map((box) => box[3] - box[1]));
  const bySize = boxes.map((_, index) => index).sort((a, b) => size[b] - size[a] || a - b);
  const large = bySize.slice(0, MOST).filter((index) => size[index] >= SPECK * tallest);
  const digits = large.map((index) => ({ pieces: [index], box: [...boxes[index]] }));
  for (const belong of [lieOver, complete]) join(digits, belong);
  const isLarge = new Set(large);
  // Dots and slips of the pen go to the nearest digit.
  const extents = digits.map(({ box }) => box);
  boxes.forEach((box, index) => {
    if (!isLarge.has(index)) digits[nearest(extents, box)].pieces.push(index);
  });
  const middle = ({ box }) => box[0] + box[2];
  return [...digits].sort((a, b) => middle(a) - middle(b)).map(({ pieces }) => pieces.sort((a, b) => a - b));
}

/** Join digits that belong together, the closest in x first. */
function join(digits, belong) {
  for (;;) {
    let [least, pair] = [Infinity, null];
    for (let a = 0; a < digits.length; a++) {
      for (let b = a + 1; b < digits.length; b++) {
        const distance = gap(digits[a].box, digits[b].box);
        if (distance < least && belong(digits[a].box, digits[b].box)) [least, pair] = [distance, [a, b]];
      }
    }
    if (!pair) return;
    const [first, second] = [digits[pair[0]], digits.splice(pair[1], 1)[0]];
    first.pieces.push(...second.pieces);
    for (const side of [0, 1]) first.box[side] = Math.min(first.box[side], second.box[side]);
    for (const side of [2, 3]) first.box[side] = Math.max(first.box[side], second.box[side]);
  }
}

function nearest(extents, box) {
  let best = 0;
  for (let at = 1; at < extents.length; at++) if (gap(extents[at], box) < gap(extents[best], box)) best = at;
  return best;
}

/** Horizontal distance between two boxes; negative where they overlap in x. */
const gap = (a, b) => Math.max(a[0], b[0]) - Math.min(a[2], b[2]);

/** Height of both boxes together, and whether one of them is too low for a digit beside the other. */
function heights(a, b) {
  const height = Math.max(a[3], b[3]) - Math.min(a[1], b[1]);
  return [height, Math.min(a[3] - a[1], b[3] - b[1]) < SHORT * height];
}

/** Whether two pieces share so much of x that they are one digit: a bar and what it crosses. */
function lieOver(a, b) {
  const [height, isShort] = heights(a, b);
  const narrower = Math.min(a[2] - a[0], b[2] - b[0]);
  return -gap(a, b) > (isShort ? 0 : OVERLAP * Math.max(narrower, 0.1 * height));
}

/** Whether a piece too low for a digit stands so close to another that it is part of it. */
function complete(a, b) {
  const [height, isShort] = heights(a, b);
  return isShort && gap(a, b) < NEAR * height;
}
