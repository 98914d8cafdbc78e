// Ruled lines, outlines of cells, underlines, slivers and specks: not writing. The arithmetic of ink/clutter.py.

import { blank, boundingBox, connectedComponents, countAbove, crop, dilate, map, paste, roundEven, threshold } from "./cv.js";
import { runs } from "./numbers.js";
import { evenInk, measureStrokeWidth } from "./width.js";

const INK = 64; // of 255; ink above it makes up a line or a piece
const LINE = 25; // of 255; ink above it makes up a ruled line, which may be pale
const PALE = 160; // of 255; a line with less ink than this is paler than the strokes that cross it
const COVERED = 0.85; // share of a picture's width that a ruled line covers at least
const SLOPE = 0.08; // steepest ruled line, height over width
const SLOPES = 33; // slopes that are tried, at most
const LONGER = 0.25; // share of its length by which a line that does not reach the rim is longer than the digit at each end
const THICKEST = 0.08; // of a ruled line, share of the picture's height
const STRIP = 0.12; // share of a side: what lies nearer to the rim, all of it, and touches it is a sliver
const SPECK = 0.03; // share of the ink of the largest piece below which another may be a speck
const MINOR = 0.45; // shares of the tallest piece's height: smaller,
const FAR = 0.3; // and farther away, is no writing

/** Ink without what is no writing; as it is where nothing would be left. */
export function removeClutter(ink) {
  if (Math.min(ink.width, ink.height) < 8) return ink;
  const lineless = removeRules(ink);
  const kept = removeInnerRules(lineless, lineless !== ink);
  const pieces = new Pieces(kept);
  if (!pieces.boxes.length) return ink;
  const box = pieces.outlined();
  if (box[2] - box[0] === ink.width && box[3] - box[1] === ink.height) return pieces.removeDirt(kept);
  const inner = removeRules(crop(kept, box));
  const result = blank(ink.width, ink.height);
  paste(result, new Pieces(inner).removeDirt(inner), box[0], box[1]);
  return result;
}

/** Ink without the lines of a sheet that has a margin of the paper's colour; `isRuled`: lines to the rim were found. */
function removeInnerRules(ink, isRuled) {
  const box = boundingBox(threshold(ink, LINE));
  if (!box) return ink;
  const [wide, high] = [box[2] - box[0], box[3] - box[1]];
  if (Math.min(wide, high) < 8 || (wide === ink.width && high === ink.height)) return ink;
  const inner = crop(ink, box);
  let [tried, crossed] = [0, 0];
  for (let x = 0; x < wide; x += Math.max(1, Math.floor(wide / 40)), tried++) {
    let [lines, before] = [0, false];
    for (let at = x; at < inner.data.length; at += wide) {
      const isInk = inner.data[at] > LINE;
      if (isInk && !before) lines++;
      before = isInk;
    }
    if (lines >= 3) crossed++;
  }
  let kept;
  if (crossed / tried < 0.6) { // on ruled paper most columns cross three lines
    const [upright, areRules] = isRuled ? withoutUprightRules(inner) : [inner, false];
    kept = areRules ? upright : withoutLongLine(inner);
  } else {
    const [level, areRules] = withoutLevelRules(inner);
    if (!areRules) return ink; // upright ones alone may be a row of ones
    const [both, areRulesToo] = withoutUprightRules(level);
    kept = areRulesToo ? withoutSquares(inner, both) : level;
  }
  const result = blank(ink.width, ink.height);
  paste(result, kept, box[0], box[1]);
  return result;
}

/** Ink without a level line that is much longer, to both sides, than what else there is: no bar of a digit is. */
function withoutLongLine(ink) {
  const { width, height, data } = ink;
  let [most, first, last] = [0, width, -1];
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width, (y + 1) * width);
    const covered = countAbove({ data: row }, INK);
    most = Math.max(most, covered);
    if (!covered || covered > 0.5 * width) continue;
    first = Math.min(first, row.findIndex((value) => value > INK));
    last = Math.max(last, row.findLastIndex((value) => value > INK));
  }
  const isLonger = most >= COVERED * width && last >= 0 && first >= LONGER * width && last < width - LONGER * width;
  return isLonger ? withoutLevelRules(ink)[0] : ink;
}

/** The connected pieces of ink. */
class Pieces {
  constructor(ink) {
    this.width = ink.width;
    this.height = ink.height;
    this.mask = threshold(evenInk(ink, 2), INK); // evened, or a pale digit would be in pieces
    const { labels, boxes, areas } = connectedComponents(this.mask);
    this.labels = labels;
    this.boxes = boxes.slice(1);
    this.area = areas.slice(1);
    this.size = this.boxes.map(([left, top, right, bottom]) => Math.max(right - left, bottom - top));
  }

  /** The box of a rectangle drawn around all else, such as a cell of a form; the whole picture if none is. */
  outlined() {
    const whole = [0, 0, this.width, this.height];
    const [far, near] = [Math.max, Math.min].map((most) => [0, 1, 2, 3].map((side) => most(...this.boxes.map((box) => box[side]))));
    const [allWide, allHigh] = [far[2] - near[0], far[3] - near[1]];
    for (let index = 0; index < this.boxes.length; index++) {
      const [left, top, right, bottom] = this.boxes[index];
      const [wide, high] = [right - left, bottom - top];
      const isHollow = this.area[index] < 0.35 * wide * high && wide > 0.3 * allWide && high > 0.3 * allHigh
        && Math.min(wide, high) >= 8;
      if (!isHollow) continue;
      const isLarge = wide > 0.4 * this.width && high > 0.4 * this.height && Math.min(wide, high) >= 12;
      const lines = this.lines(index);
      const count = lines.filter(Boolean).length;
      if (isLarge && count >= 3) return [left, top, right, bottom]; // a cell that was cut out may lack one
      if (count === 2 && lines[0] !== lines[2]) { // or show one corner only
        const box = lines.map((isLine, side) => (isLine ? this.boxes[index] : whole)[side]);
        if (this.isAroundOthers(index, box)) return box;
      }
    }
    return whole;
  }

  /** Whether there are other pieces than one, and all of them are in a box. */
  isAroundOthers(index, [left, top, right, bottom]) {
    return this.boxes.length > 1 && this.boxes.every((box, at) => (
      at === index || (box[0] >= left && box[1] >= top && box[2] <= right && box[3] <= bottom)));
  }

  /** Whether a piece covers the left, top, right and bottom side of its box. */
  lines(index) {
    const [left, top, right, bottom] = this.boxes[index];
    const [wide, high] = [right - left, bottom - top];
    const reach = Math.max(2, roundEven(0.04 * Math.min(wide, high)));
    const [rows, columns] = [[new Set(), new Set()], [new Set(), new Set()]];
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        if (this.labels[(top + y) * this.width + left + x] !== index + 1) continue;
        if (y < reach) rows[0].add(x);
        if (y >= high - reach) rows[1].add(x);
        if (x < reach) columns[0].add(y);
        if (x >= wide - reach) columns[1].add(y);
      }
    }
    return [0, 1].flatMap((end) => [columns[end].size / high > 0.95, rows[end].size / wide > 0.95]);
  }

  /** Ink without slivers at the rim, specks, underlines, and what is small and far from the writing. */
  removeDirt(ink) {
    const { area, size } = this;
    if (area.length < 2) return ink;
    const keep = this.slivers().map((isSliver) => !isSliver);
    if (!keep.includes(true)) return ink;
    const stroke = Math.max(measureStrokeWidth(this.mask), 1);
    const largest = Math.max(...area.filter((_, at) => keep[at]));
    const tallest = Math.max(...this.boxes.map((box, at) => (keep[at] ? box[3] - box[1] : 0)));
    const speck = area.map((each, at) => each < SPECK * largest || (size[at] <= 1.6 * stroke + 1 && each < 0.15 * largest));
    const minor = size.map((each) => each < MINOR * tallest);
    const main = keep.map((isKept, at) => isKept && !speck[at] && !minor[at]);
    const away = this.distances(keep.map((isKept, at) => isKept && !main[at]), main);
    const bars = this.bars(main, stroke);
    const wanted = keep.map((isKept, at) => isKept
      && !((speck[at] && away[at] > 2.5 * stroke) || (minor[at] && away[at] > FAR * tallest) || bars[at]));
    if (wanted.every(Boolean)) return ink;
    const { labels } = this;
    const isWanted = (label) => label === 0 || wanted[label - 1];
    const gone = dilate(map(ink, (_, at) => (isWanted(labels[at]) ? 0 : 1))); // with its faint rim
    return map(ink, (value, at) => (gone.data[at] && !(labels[at] && isWanted(labels[at])) ? 0 : value));
  }

  /** Which pieces touch the rim of the picture and lie along it. */
  slivers() {
    const { width, height } = this;
    const [x, y] = [width, height].map((side) => Math.max(1, roundEven(STRIP * side)));
    const core = new Uint8Array(this.boxes.length + 1);
    for (let row = y; row < height - y; row++) {
      for (let column = x; column < width - x; column++) core[this.labels[row * width + column]] = 1;
    }
    return this.boxes.map(([left, top, right, bottom], at) => !core[at + 1]
      && (left <= 1 || top <= 1 || right >= width - 1 || bottom >= height - 1));
  }

  /** From the box of each piece in `of` to the nearest box in `main`, pixels; infinite for all others. */
  distances(of, main) {
    const others = this.boxes.filter((_, at) => main[at]);
    return this.boxes.map((box, at) => {
      if (!of[at]) return Infinity;
      let least = Infinity; // the square: roots are for the nearest alone, a halftone has tens of millions of pairs
      for (const other of others) {
        const dx = Math.max(other[0] - box[2], box[0] - other[2], 0);
        const dy = Math.max(other[1] - box[3], box[1] - other[3], 0);
        least = Math.min(least, dx * dx + dy * dy);
      }
      return Math.sqrt(least);
    });
  }

  /** Which pieces are straight lines under or over all the other writing, and about as wide. */
  bars(main, stroke) {
    const boundsWithout = this.mainBounds(main);
    return this.boxes.map(([left, top, right, bottom], index) => {
      const [wide, high] = [right - left, bottom - top];
      if (!(high <= 1.6 * stroke + 1 && wide > 5 * high)) return false;
      const all = boundsWithout(index);
      const covered = Math.min(right, all[2]) - Math.max(left, all[0]);
      const gap = Math.max(all[1] - bottom, top - all[3]);
      return covered > 0.9 * (all[2] - all[0]) && gap > 0.1 * (all[3] - all[1]);
    });
  }

  /** A function from the index of a piece to the bounds of all others in `main`; NaN each where there are none. */
  mainBounds(main) {
    const pieces = this.boxes.map((_, at) => at).filter((at) => main[at]);
    // By side, the two pieces that reach farthest: the second counts where the first is the one left out.
    const farthest = [1, 1, -1, -1].map((sign, side) => {
      let [first, second] = [-1, -1];
      const isFarther = (a, b) => b < 0 || sign * (this.boxes[a][side] - this.boxes[b][side]) < 0;
      for (const at of pieces) {
        if (isFarther(at, first)) [first, second] = [at, first];
        else if (isFarther(at, second)) second = at;
      }
      return [first, second];
    });
    return (index) => farthest.map(([first, second], side) => this.boxes[first === index ? second : first]?.[side] ?? NaN);
  }
}

/** Ink without the straight lines that cross the whole picture, level or upright. */
export function removeRules(ink) {
  const { width, height, data } = ink;
  const isInk = (x, y) => data[y * width + x] > LINE;
  const someRow = (x) => Array.from({ length: height }, (_, y) => y).some((y) => isInk(x, y));
  const someColumn = (y) => Array.from({ length: width }, (_, x) => x).some((x) => isInk(x, y));
  const isCrossed = someColumn(0) && someColumn(height - 1);
  const [level, areRules] = someRow(0) && someRow(width - 1) ? withoutLevelRules(ink) : [ink, false];
  const [both, areRulesToo] = isCrossed ? withoutUprightRules(level) : [level, false];
  if (both === ink) return ink;
  // A digit that fills the picture may have bars as long; what is left of it then reaches the rim.
  const [left, top, right, bottom] = boundingBox(threshold(both, INK)) ?? [0, 0, 0, 0];
  const isLevel = areRules || (right > left && left >= 1 && right < width);
  const isUpright = areRulesToo || (bottom > top && top >= 1 && bottom < height);
  if (isLevel && isUpright) return level === ink || both === level ? both : withoutSquares(ink, both);
  if (isLevel) return level;
  return isUpright && isCrossed ? withoutUprightRules(ink)[0] : ink;
}

/** `kept`, ink without level and then upright lines, less what upright ones made the level ones leave. */
function withoutSquares(ink, kept) {
  const other = withoutLevelRules(withoutUprightRules(ink)[0])[0].data;
  return map(kept, (value, at) => Math.min(value, other[at]));
}

function withoutUprightRules(ink) {
  const lying = transposed(ink);
  const [kept, areRules] = withoutLevelRules(lying);
  return [kept === lying ? ink : transposed(kept), areRules];
}

function transposed({ width, height, data }) {
  const out = blank(height, width, data.constructor);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out.data[x * height + y] = data[y * width + x];
  return out;
}

/** Ink without the lines that go from its left rim to its right one, nearly level; whether they are the paper's. */
function withoutLevelRules(ink) {
  const { width, height, data } = ink;
  let [covered, shift] = coveredRows(ink, INK);
  if (Math.max(...covered) < COVERED) [covered, shift] = coveredRows(ink, LINE);
  let kept = ink;
  const levels = [];
  for (let [first, past] of runs(Array.from(covered, (share) => share >= COVERED))) {
    const line = Array.from(shift, (each, x) => {
      let most = 0;
      for (let y = first + each; y < past + each; y++) most = Math.max(most, data[within(y, height) * width + x]);
      return most;
    });
    const level = line.sort((a, b) => a - b)[width >> 2]; // beside the strokes, which may cover half of it
    while (first > 0 && covered[first - 1] > 0.5) first--; // with its soft edges
    while (past < covered.length && covered[past] > 0.5) past++;
    if (past - first > Math.max(3, THICKEST * height)) continue;
    if (kept === ink) kept = { ...ink, data: data.slice() };
    levels.push(level);
    erase(kept, ink, Array.from(shift, (each) => first + each), past - first, level);
  }
  // Digits have three bars at most, and those are as dark as the rest.
  return [kept, levels.length >= 4 || (levels.length > 2 && Math.max(...levels) < PALE)];
}

/** Share of each row that has ink above `least`, under the slope at which it is most; and the slope, rows [w]. */
function coveredRows({ width, height, data }, least) {
  const steps = Math.min(roundEven(SLOPE * width), SLOPES >> 1);
  let covered = new Float64Array(1);
  let shift = new Int32Array(width);
  const tried = Array.from({ length: 2 * steps + 1 }, (_, at) => at - steps);
  tried.sort((a, b) => Math.abs(a) - Math.abs(b) || a - b);
  for (const step of tried) { // the slope under which a line covers most of a row
    const drop = Int32Array.from({ length: width }, (_, x) => (
      roundEven((step / Math.max(steps, 1)) * SLOPE * (x - width / 2))));
    const lowest = Math.max(...drop);
    for (let x = 0; x < width; x++) drop[x] -= lowest;
    const span = -Math.min(...drop);
    const share = new Float64Array(height + span);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) if (data[at] > least) share[y - drop[x]] += 1;
    }
    for (let y = 0; y < share.length; y++) share[y] /= width;
    if (Math.max(...share) > Math.max(...covered) + 0.02) [covered, shift] = [share, drop];
    if (Math.max(...covered) > 0.98) break; // no other slope can be better by as much as is asked for
  }
  return [covered, shift];
}

const within = (at, length) => Math.min(Math.max(at, 0), length - 1);

/** Take a line out of `kept`, in place: `thick` pixels from row tops[x] on in each column x of `ink`; it has `level` of ink. */
function erase(kept, ink, tops, thick, level) {
  const { width, height, data } = ink;
  const row = (offset) => tops.map((top, x) => {
    const y = top + offset;
    return y >= 0 && y < height ? data[y * width + x] : 0;
  });
  const [above, below] = [row(-1), row(thick)];
  const straight = above.map((value, x) => value > INK && below[x] > INK);
  const reach = Math.max(2, thick);
  const arcs = arcBetween(above, row(-1 - reach), below);
  arcBetween(below, row(thick + reach), above).forEach((isArc, x) => { arcs[x] ||= isArc; });
  const [wideAbove, wideBelow] = [above, below].map((side) => wider(side.map((value) => value > INK)));
  const wideStraight = wider(wider(straight));
  const crossing = arcs.map((isArc, x) => isArc || straight[x] || (wideAbove[x] && wideBelow[x] && !wideStraight[x]));
  const band = Array.from({ length: thick + 2 }, (_, at) => row(at - 1));
  for (let depth = -1; depth <= thick; depth++) {
    const values = band[depth + 1];
    const isRim = depth < 0 || depth >= thick; // its faint rim
    for (let x = 0; x < width; x++) {
      const y = tops[x] + depth;
      if (y < 0 || y >= height) continue;
      const isDarker = level < PALE && values[x] > Math.min(1.3 * level + 20, 254);
      const stays = isRim ? values[x] > INK : crossing[x] || isDarker;
      kept.data[y * width + x] = stays ? values[x] : 0;
    }
  }
}

/** Where a bow that a line covers must have run: between two ends that come closer towards the line. */
function arcBetween(near, far, behind) {
  const found = near.map(() => false);
  const ends = runs(near.map((value) => value > INK));
  for (let at = 0; at + 1 < ends.length; at++) {
    const [start, end] = [ends[at][1], ends[at + 1][0]];
    const middle = (start + end) >> 1;
    const left = far.slice(0, middle).findLastIndex((value) => value > INK);
    const right = far.slice(middle).findIndex((value) => value > INK);
    if (left < 0 || right < 0 || behind.slice(start, end).some((value) => value > INK)) continue;
    const isFree = far.slice(left + 1, middle).every((value) => value <= INK);
    if (end - start <= 0.75 * (middle + right - left - 1) && isFree) found.fill(true, start, end);
  }
  return found;
}

const wider = (where) => where.map((isOn, at) => Boolean(isOn || where[at - 1] || where[at + 1]));
