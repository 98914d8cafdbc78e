// Several digits, side by side and in rows -> one group of strokes or ink each.
//
// The arithmetic of mnist_lightning/ink/segment.py.

import { blank, connectedComponents, roundEven, threshold } from "./cv.js";
import { boundsOf } from "./raster.js";
import { FAINT, measureStrokeWidth } from "./width.js";

// Shares of the height of the two pieces together, or of the narrower one's width.
const SHORT = 0.75; // a digit is about as high as its neighbour; a piece lower than this may be half a digit
const NEAR = 0.14; // widest gap between the halves of a digit
const OVERLAP = 0.3; // digits of the same height may lean over one another by this much of the narrower one
const SPECK = 0.2; // a piece smaller than this share of the tallest, in both directions, is no digit of its own
const TALL = 0.6; // a piece at least as high as this share of the tallest makes a row; others go to one
const BESIDE = 0.3; // share of the lower one's height that two pieces of a row overlap in
const SLANTS = [0, -0.25, 0.25]; // of a cut through touching digits, width over height
const APART = 0.1; // share of the height that cuts are apart at least
const MOST = 64; // pieces looked at, the largest
const GROWING = 2000; // short pieces of which each is compared with all before it, at most

/** Sort strokes into rows of digits: for each row from the top, a list of strokes for each digit, left to right. */
export function segmentStrokeRows(strokes) {
  const drawn = strokes.filter(({ points }) => points.length);
  const boxes = drawn.map(({ points }) => boundsOf([points]));
  return groupRows(boxes).map((row) => row.map((group) => group.map((index) => drawn[index])));
}

/** Cut ink, bright on 0, into rows of pictures of one digit each: copies with all other ink removed. */
export function segmentInkRows(ink) {
  const { count, labels, boxes } = connectedComponents(threshold(ink, FAINT));
  const width = measureStrokeWidth(ink);
  const middles = boxes.slice(1).map(([left, top, right, bottom]) => {
    const [halfX, halfY] = [right - left, bottom - top].map((side) => Math.min(width, side) / 2);
    return [left + halfX, top + halfY, right - halfX, bottom - halfY];
  });
  const pictureOf = Array(count); // of each piece
  const pictures = groupRows(middles).map((row) => row.map((group) => {
    const picture = blank(ink.width, ink.height);
    for (const index of group) pictureOf[index + 1] = picture;
    return picture;
  }));
  for (let at = 0; at < labels.length; at++) {
    if (labels[at]) pictureOf[labels[at]].data[at] = ink.data[at];
    else if (ink.data[at]) { // a faint rim belongs to each digit that it touches
      for (const label of labelsBeside(labels, ink, at)) pictureOf[label].data[at] = ink.data[at];
    }
  }
  return pictures;
}

/** The labels of the pieces that a pixel touches. */
function labelsBeside(labels, { width, height }, at) {
  const x = at % width;
  const y = (at - x) / width;
  const found = [];
  for (let ny = Math.max(y - 1, 0); ny <= Math.min(y + 1, height - 1); ny++) {
    for (let nx = Math.max(x - 1, 0); nx <= Math.min(x + 1, width - 1); nx++) {
      if (labels[ny * width + nx]) found.push(labels[ny * width + nx]);
    }
  }
  return found;
}

/** Cut ink from top to bottom, upright or slanted, where there is least of it: at most `most` pictures, left to right. */
export function cutColumns(ink, most) {
  const { width, height, data } = ink;
  const ways = SLANTS.map((slant) => ({ slant, valleys: valleys(ink, slant, most - 1) }));
  let best = ways[0];
  for (const way of ways) if (meanCost(way.valleys) < meanCost(best.valleys)) best = way;
  const columns = best.valleys.map(({ column }) => column).sort((a, b) => a - b);
  const edges = [-2 * width, ...columns, 3 * width];
  const tilt = tiltOf(best.slant, height);
  const parts = edges.slice(1).map((end, at) => {
    const part = blank(width, height);
    for (let y = 0, place = 0; y < height; y++) {
      for (let x = 0; x < width; x++, place++) {
        if (x - tilt[y] >= edges[at] && x - tilt[y] < end) part.data[place] = data[place];
      }
    }
    return part;
  });
  return parts.filter((part) => part.data.some((value) => value > 0));
}

const tiltOf = (slant, height) => Array.from({ length: height }, (_, y) => roundEven(slant * (y - height / 2)));

/** Ink that the three best cuts go through, on average. */
function meanCost(found) {
  const least = found.slice(0, 3);
  return least.length ? least.reduce((sum, { cost }) => sum + cost, 0) / least.length : Infinity;
}

/** Columns where a cut goes through less ink than beside, [{cost, column}], least first. */
function valleys({ width, height, data }, slant, most) {
  const tilt = tiltOf(slant, height);
  const cost = new Float64Array(width);
  for (let column = 0; column < width; column++) {
    for (let y = 0; y < height; y++) {
      const x = column + tilt[y];
      if (x >= 0 && x < width) cost[column] += data[y * width + x];
    }
    cost[column] /= 255;
  }
  const reach = Math.max(1, roundEven(APART * height));
  const found = [];
  for (let column = reach; column < width - reach; column++) {
    const isLeast = cost[column] === Math.min(...cost.subarray(column - reach, column + reach + 1));
    if (isLeast && cost[column] < cost[column - 1]) found.push({ cost: cost[column], column });
  }
  return found.sort((a, b) => a.cost - b.cost || a.column - b.column).slice(0, most);
}

/** Sort pieces of writing into rows from the top, and those of each into digits: their indices. */
function groupRows(boxes) {
  return splitRows(boxes).map((row) => groupBoxes(row.map((at) => boxes[at])).map((group) => group.map((at) => row[at])));
}

/**
 * Tall pieces are in one row if they stand beside each other; a short one goes to the row that is nearest so far, or,
 * where there are thousands, to that of the nearest tall one.
 */
function splitRows(boxes) {
  if (!boxes.length) return [];
  const height = boxes.map((box) => box[3] - box[1]);
  const byHeight = boxes.map((_, index) => index).sort((a, b) => height[b] - height[a] || a - b).slice(0, MOST);
  const tall = byHeight.filter((index) => height[index] >= TALL * Math.max(...height));
  const isLinked = (a, b) => {
    const beside = Math.min(boxes[a][3], boxes[b][3]) - Math.max(boxes[a][1], boxes[b][1]);
    return beside >= BESIDE * Math.min(height[a], height[b]);
  };
  const names = tall.map((_, at) => at);
  for (let isChanged = true; isChanged;) {
    isChanged = false;
    const lowest = tall.map((a) => Math.min(...tall.map((b, at) => (isLinked(a, b) ? names[at] : Infinity))));
    lowest.forEach((name, at) => {
      if (name !== names[at]) isChanged = true;
      names[at] = name;
    });
  }
  const kinds = [...new Set(names)].sort((a, b) => a - b);
  const rows = kinds.map((name) => tall.filter((_, at) => names[at] === name));
  const isTall = new Set(tall);
  const compared = boxes.length - tall.length <= GROWING ? rows : rows.map((members) => [...members]);
  boxes.forEach((box, index) => {
    if (isTall.has(index)) return;
    const away = compared.map((members) => Math.min(...members.map((member) => awayFrom(boxes[member], box))));
    rows[away.indexOf(Math.min(...away))].push(index);
  });
  const middle = (members) => members.reduce((sum, at) => sum + boxes[at][1] + boxes[at][3], 0) / members.length;
  return rows.sort((a, b) => middle(a) - middle(b)).map((members) => members.sort((a, b) => a - b));
}

/** Distance between two boxes; negative where they overlap. */
function awayFrom(a, b) {
  const dx = Math.max(a[0], b[0]) - Math.min(a[2], b[2]);
  const dy = Math.max(a[1], b[1]) - Math.min(a[3], b[3]);
  return dx > 0 && dy > 0 ? Math.hypot(dx, dy) : Math.max(dx, dy);
}

/** Sort pieces of writing, boxes [left, top, right, bottom], into digits: the indices of each, left to right. */
function groupBoxes(boxes) {
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
