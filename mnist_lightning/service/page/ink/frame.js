// Where a picture's frame ends: bands of colour along its sides. The arithmetic of mnist_lightning/ink/frame.py.
//
// A coloured picture is a list of three grey ones of the same size.

import { blank, connectedComponents, countAbove, crop, dilate, map, roundEven, threshold } from "./cv.js";
import { median } from "./numbers.js";

const TOLERANCE = 40; // colours (of 255) closer than this are one colour
const FAINT_TOLERANCE = 16; // the same where a side of the picture is flat: a pale frame
const SOME = 0.5; // lines inside have at least this share of the most pixels of a line that have another colour
const STRAIGHT = 0.8; // the same of the inner rectangle's edges
const FULL = 0.6; // the same of all its pixels
const ALL = 0.95; // share of what does not have the frame's colour that must lie inside
const CONTENT = 0.005; // share of the pixels inside that what is drawn there covers, at least
const HOLES = 0.08; // share of the pixels inside that the holes of a digit of thick bars cover, at least
const HOLE = 0.01; // share of the pixels inside that the hole of a digit covers, at least
const SHORT = 2.5; // longer than wide by this, something is no hole but a stroke
const ROUND = 0.15; // share of a hole's shorter side over which its corners may be round
const SHARP = 0.4; // share of the tolerance that most pixels just outside the inner rectangle keep to
const FLAT = 4; // most that colours in a band differ
const OTHER = 0.25; // share of the line after a band that has another colour
const RINGING = 8; // last lines of a band that JPEG may have disturbed
const NESTED = 4; // frames in frames that are looked for
const SOFT = 2; // lines over which the edge of a frame may be blurred
const MIN_SIDE = 8; // of what is left, pixels

/** The part of a picture that no frame covers: [left, top, right, bottom]. */
export function insideFrame(planes) {
  let box = [0, 0, planes[0].width, planes[0].height];
  for (let nested = 0; nested < NESTED; nested++) {
    const found = inner(cropPlanes(planes, box));
    if (!found) break;
    box = [box[0] + found[0], box[1] + found[1], box[0] + found[2], box[1] + found[3]];
  }
  return box;
}

/** The part of a photograph that no band along a side covers, even one of the paper's colour. */
export function insideBands(planes) {
  let box = [0, 0, planes[0].width, planes[0].height];
  for (let nested = 0; nested < NESTED; nested++) {
    const before = box;
    box = [box[0], box[1] + band(planes, box, 1, 1), box[2], box[3]];
    box = [box[0], box[1], box[2], box[3] - band(planes, box, 1, -1)];
    box = [box[0] + band(planes, box, 0, 1), box[1], box[2], box[3]];
    box = [box[0], box[1], box[2] - band(planes, box, 0, -1), box[3]];
    if (box.every((each, at) => each === before[at])) break;
  }
  return box;
}

/** How many rows (axis 1) or columns (0), from the first (1) or the last (-1), are flat and followed by another colour. */
function band(planes, box, axis, direction) {
  const [size, length] = [box[2 + axis] - box[axis], box[3 - axis] - box[1 - axis]];
  const line = ({ width, data }, at) => {
    const place = direction > 0 ? box[axis] + at : box[2 + axis] - 1 - at;
    const [start, step] = axis ? [place * width + box[0], 1] : [box[1] * width + place, width];
    return Array.from({ length }, (_, along) => data[start + along * step]);
  };
  if (size < 2 * MIN_SIDE) return 0;
  const colour = planes.map((plane) => line(plane, 0).sort((a, b) => a - b)[length >> 1]);
  let uneven = Infinity;
  for (let at = 0; at < Math.floor(size / 3); at++) {
    const away = new Uint8Array(length);
    planes.forEach((plane, channel) => line(plane, at).forEach((value, along) => {
      away[along] = Math.max(away[along], Math.abs(value - colour[channel]));
    }));
    if (away.some((each) => each > FLAT)) uneven = Math.min(uneven, at);
    if (uneven === 0) return 0;
    if (shareAbove(away.map((each) => (each > FAINT_TOLERANCE ? 1 : 0))) > OTHER) return uneven < at - RINGING ? 0 : at;
  }
  return 0;
}

export const cropPlanes = (planes, box) => planes.map((plane) => crop(plane, box));

/** How far each pixel is from a colour, in the channel where it is farthest. */
export function colourDistance(planes, colour) {
  const out = blank(planes[0].width, planes[0].height);
  planes.forEach(({ data }, channel) => {
    for (let at = 0; at < data.length; at++) {
      const away = Math.abs(data[at] - colour[channel]);
      if (away > out.data[at]) out.data[at] = away;
    }
  });
  return out;
}

/** The four edges of a picture, each a list of values: top, bottom, left, right. */
export function edges({ width, height, data }) {
  const row = (y) => Array.from(data.subarray(y * width, (y + 1) * width));
  const column = (x) => Array.from({ length: height }, (_, y) => data[y * width + x]);
  return [row(0), row(height - 1), column(0), column(width - 1)];
}

/** Inside of the outermost frame; null if there is none. */
function inner(planes) {
  if (Math.min(planes[0].width, planes[0].height) < MIN_SIDE) return null;
  const rims = planes.map(edges);
  const found = [];
  for (let side = 0; side < 4; side++) {
    const channels = rims.map((each) => each[side]);
    const middle = channels.map((values) => [...values].sort((a, b) => a - b)[values.length >> 1]);
    const away = ({ colour }) => Math.max(...middle.map((value, at) => Math.abs(value - colour[at])));
    if (!found.every((each) => away(each) > FAINT_TOLERANCE)) continue;
    const isFlat = channels.every((values, at) => values.every((value) => Math.abs(value - middle[at]) <= FAINT_TOLERANCE));
    found.push({ colour: middle, isFlat, distance: colourDistance(planes, middle) });
  }
  for (const tolerance of [TOLERANCE, FAINT_TOLERANCE]) {
    // A pale frame counts if it is flat: else it may be the light on the paper.
    const counted = found.filter(({ isFlat }) => isFlat || tolerance === TOLERANCE);
    const apart = counted.map(({ distance }) => threshold(distance, tolerance));
    for (let size = 1; size <= apart.length; size++) {
      for (const chosen of combinations(apart.map((_, at) => at), size)) {
        const mask = smallest(chosen.map((at) => apart[at]));
        const box = filledBox(mask);
        if (!box || !hasContent(planes, mask, box)) continue;
        if (endsSharply(smallest(chosen.map((at) => counted[at].distance)), box, SHARP * tolerance)) return box;
      }
    }
  }
  return null;
}

/** All ways to choose some of a list, in its order. */
function combinations(list, size, from = 0) {
  if (!size) return [[]];
  const found = [];
  for (let at = from; at <= list.length - size; at++) {
    for (const rest of combinations(list, size - 1, at + 1)) found.push([list[at], ...rest]);
  }
  return found;
}

function smallest([first, ...others]) {
  const out = { ...first, data: first.data.slice() };
  for (const { data } of others) for (let at = 0; at < data.length; at++) out.data[at] = Math.min(out.data[at], data[at]);
  return out;
}

const shareAbove = (values) => values.reduce((count, value) => count + (value ? 1 : 0), 0) / values.length;

/** The box of the pixels above 0 if they fill it with straight edges and leave some of the picture; else null. */
function filledBox(mask) {
  const { width, height, data } = mask;
  const [lines, columns] = [new Float64Array(height), new Float64Array(width)];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      lines[y] += data[at];
      columns[x] += data[at];
    }
  }
  const [rows, ranks] = [fullLines(lines, width), fullLines(columns, height)];
  if (!rows || !ranks) return null;
  let [left, top, right, bottom] = [ranks[0], rows[0], ranks[1], rows[1]];
  const atEdge = [left === 0, top === 0, right === width, bottom === height];
  const whole = crop(mask, [left, top, right, bottom]);
  if (atEdge.every(Boolean) || !isFilled(whole)) return null;
  let part;
  let filled;
  for (let round = 0; ; round++) { // past the lines in which the frame's edge is blurred
    if (round > SOFT || right - left < MIN_SIDE || bottom - top < MIN_SIDE) return null;
    part = crop(mask, [left, top, right, bottom]);
    const [above, below, before, behind] = edges(part);
    filled = [before, above, behind, below].map(shareAbove);
    const soft = filled.map((share, side) => (!atEdge[side] && share < STRAIGHT ? 1 : 0));
    if (!soft.includes(1)) break;
    [left, top, right, bottom] = [left + soft[0], top + soft[1], right - soft[2], bottom - soft[3]];
  }
  const touching = atEdge.filter(Boolean).length;
  if (Math.min(...filled) < 0.5 || (touching === 3 && isCutClose(part, atEdge))) return null;
  const [w, h] = [part.width, part.height];
  const corners = [[0, 0], [w - 3, 0], [0, h - 3], [w - 3, h - 3]]; // a thick 8 is nearly a rectangle, too
  const filledCorners = corners.map(([x, y]) => countAbove(crop(part, [x, y, x + 3, y + 3]), 0));
  if (Math.min(...filledCorners) < 6 || countAbove(part, 0) < ALL * countAbove(mask, 0)) return null;
  return [left, top, right, bottom];
}

/** Whether pixels just outside a box are nearly of the frame's colour: in the soft edge of a shadow they are not. */
function endsSharply(distance, [left, top, right, bottom], most) {
  const { width, height, data } = distance;
  const row = (y) => data.subarray(y * width + left, y * width + right);
  const column = (x) => Array.from({ length: bottom - top }, (_, y) => data[(top + y) * width + x]);
  return (left === 0 || median(column(Math.max(left - SOFT - 1, 0))) <= most)
    && (top === 0 || median(row(Math.max(top - SOFT - 1, 0))) <= most)
    && (right === width || median(column(Math.min(right + SOFT, width - 1))) <= most)
    && (bottom === height || median(row(Math.min(bottom + SOFT, height - 1))) <= most);
}

/** From the first to past the last line of `length` pixels that has many of those above 0; null if none has any. */
function fullLines(sums, length) {
  const means = sums.map((sum) => roundEven(sum / length));
  const most = means.reduce((best, mean) => Math.max(best, mean), 0);
  const isFull = (mean) => mean > SOME * most;
  return most ? [means.findIndex(isFull), means.findLastIndex(isFull) + 1] : null;
}

/** Whether most pixels of a mask are above 0; or one piece goes all around and there are others in its holes. */
function isFilled(mask) {
  const { width, height, data } = mask;
  const count = countAbove(mask, 0);
  if (count >= FULL * data.length) return true;
  if (Math.min(width, height) < MIN_SIDE) return false;
  const part = crop(mask, [SOFT, SOFT, width - SOFT, height - SOFT]); // its edges are looked at first, which is quick
  if (Math.min(...edges(part).map(shareAbove)) < STRAIGHT) return false;
  const { boxes, areas } = connectedComponents(mask);
  const most = Math.max(...areas.slice(1));
  const [left, top, right, bottom] = boxes[areas.indexOf(most, 1)];
  return right - left === width && bottom - top === height && count - most > CONTENT * data.length;
}

/** Whether a frame on one side may be the bar of a digit, which then reaches the opposite side too. */
function isCutClose(part, atEdge) {
  const [above, below, before, behind] = edges(part);
  return Math.min(...[behind, below, before, above][atEdge.indexOf(false)]) === 0;
}

/** Whether something is drawn inside, and not only its ground: a bar of ink is filled, too, and so is a square 8. */
function hasContent(planes, mask, [left, top, right, bottom]) {
  const box = [left + 1, top + 1, right - 1, bottom - 1];
  const inset = cropPlanes(planes, box);
  const drawn = threshold(colourDistance(inset, inset.map(({ data }) => Math.trunc(median(data)))), TOLERANCE);
  const least = CONTENT * drawn.data.length;
  if (countAbove(drawn, 0) <= least) return false;
  const holes = map(crop(mask, box), (value) => 255 - value);
  if (countAbove(holes, 0) < HOLES * holes.data.length) return true;
  const near = dilate(holes, SOFT).data;
  return countAbove(map(drawn, (value, at) => (near[at] ? 0 : value)), 0) > least || !areSolid(holes);
}

/** Whether what has the frame's colour inside is the holes of a digit of thick bars; strokes are long or bent. */
export function areSolid(holes) {
  const { boxes, areas } = connectedComponents(holes);
  const large = boxes.filter((_, at) => at > 0 && areas[at] > HOLE * holes.data.length);
  return large.length > 0 && large.every(([left, top, right, bottom]) => {
    const [shorter, longer] = [right - left, bottom - top].sort((a, b) => a - b);
    const inset = Math.max(1, roundEven(ROUND * shorter));
    if (longer > SHORT * shorter) return false;
    if (shorter <= 2 * inset) return true;
    const core = crop(holes, [left + inset, top + inset, right - inset, bottom - inset]);
    return countAbove(core, 0) === core.data.length;
  });
}
