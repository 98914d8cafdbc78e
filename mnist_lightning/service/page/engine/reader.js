// Strokes or a picture -> the number that is on it: cut apart, prepared and read.
//
// What mnist_lightning/inference/reader.py is in Python: the same cuts, the same order, the same limits.

import { roundEven } from "../ink/cv.js";
import { extractInk } from "../ink/extract.js";
import { segmentInkRows, segmentStrokeRows } from "../ink/segment.js";
import { argmax, softmax } from "./network.js";
import { InkPart, StrokePart } from "./parts.js";
import { probabilities } from "./second_look.js";

const CERTAIN = 0.9; // a digit as likely as this is neither looked at again nor cut
const SURER = 0.8; // the least that each digit must be after it was cut or joined
const LEAST = 0.35; // the probability of its likeliest class below which something is not a digit
const BROAD = 1.6; // widest digit, share of its height
const GAIN = 0.1; // by which two digits, one above the other, must be likelier than one of both
const NEAR = 0.35; // widest gap between two parts of a digit, share of the height of both
const WIDE = 0.7; // ink is cut if it is wider than this share of its height
const HIGH = 0.5; // lowest digit that is cut off a part, share of its height
const OVERLAP = 0.3; // most that cut digits may lean over one another, share of the narrower one's width
const ROUNDS = 6; // of joining and cutting

/** Reads sheets that change a little at a time: a digit that is as it was is not read again. */
export class Reader {
  /** `network` has logits(image), saliency(image) and featureMaps(); `sure` is a probability, 0 to 1. */
  constructor(network, { classNames, temperature, sure }) {
    Object.assign(this, { network, classNames, temperature, sure });
    this.least = Math.min(LEAST, sure);
    this.known = new Map(); // by the key of a part: what was read in it
    this.asked = new Set();
  }

  /** {digits, rows, milliseconds} of {strokes} or {pixels: {data (RGBA), width, height, scale}}. */
  async read(source) {
    const began = performance.now();
    const rows = await this.rows(source);
    return {
      digits: rows.flat(),
      rows: rows.map((row) => row.length).filter(Boolean),
      milliseconds: performance.now() - began,
    };
  }

  /** For each digit {saliency (or null), layers}. */
  async explain(source, wantsSaliency) {
    const explained = [];
    for (const { image } of (await this.rows(source)).flat()) {
      const pixels = toInput(image);
      const saliency = wantsSaliency ? await this.network.saliency(pixels) : null;
      await this.network.logits(pixels);
      explained.push({ saliency, layers: this.network.featureMaps() });
    }
    return explained;
  }

  /** The digits of a source, row by row. */
  async rows({ strokes, pixels }) {
    if (strokes) {
      const numbers = new Map(strokes.map((stroke, number) => [stroke, number]));
      return this.settled(segmentStrokeRows(strokes).map((row) => row.map((group) => (
        new StrokePart(group.map((stroke) => [numbers.get(stroke), stroke]))))));
    }
    const { ink, left, top, scale } = extractInk(pixels);
    if (!ink.data.some((value) => value > 0)) return [];
    const parts = segmentInkRows(ink).map((row) => row.map((digit) => new InkPart(digit)));
    const rows = await this.settled(parts, new InkPart(ink));
    const placed = (value, side) => roundEven((side % 2 ? top : left) + value * scale) / pixels.scale;
    return rows.map((row) => row.map((digit) => ({ ...digit, box: digit.box.map(placed) })));
  }

  async settled(given, whole = null) {
    this.asked = new Set();
    await this.lookAt(given.flat());
    let rows = [];
    for (const row of given) rows.push(await this.settle(row));
    rows = await this.stacked(rows);
    if (whole && rows.flat().length > 1) rows = await this.asOne(rows, whole);
    const found = rows.map((row) => row.map(({ key }) => this.known.get(key)));
    this.known = new Map([...this.asked].map((key) => [key, this.known.get(key)]));
    return found;
  }

  /** Join and cut the parts of a row as long as its least likely digits become likelier. */
  async settle(parts) {
    for (let round = 0; round < ROUNDS; round++) {
      const ways = await this.ways(parts);
      await this.lookAt(ways.flatMap(({ made }) => made));
      let [best, most] = [null, 0];
      for (const way of ways) {
        const before = this.leastOf(parts.slice(way.start, way.past));
        const after = this.leastOf(way.made);
        const least = before >= this.least ? SURER : this.sure;
        if (after >= least && isSurer(after, before) && after - before > most) {
          [best, most] = [way, after - before];
        }
      }
      if (!best) return parts;
      parts = [...parts.slice(0, best.start), ...best.made, ...parts.slice(best.past)];
    }
    return parts;
  }

  /** What may stand in place of some parts of a row: two joined, or one cut. [{start, past, made}] */
  async ways(parts) {
    const ways = [];
    for (let at = 0; at + 1 < parts.length; at++) {
      const pair = [parts[at], parts[at + 1]];
      // Strokes lie together or do not; ink breaks, and both parts of a digit may look like one.
      if (gap(...pair) >= NEAR || (pair[0].strokes && this.leastOf(pair) >= CERTAIN)) continue;
      const joined = pair[0].joined(pair[1]);
      if (breadth(joined) <= BROAD && joined.isInOneGo()) ways.push({ start: at, past: at + 2, made: [joined] });
    }
    for (let at = 0; at < parts.length; at++) {
      const part = parts[at];
      if (this.leastOf([part]) >= CERTAIN || !(part.strokes || breadth(part) > WIDE)) continue;
      const made = await this.cut(part);
      if (made.length > 1) ways.push({ start: at, past: at + 1, made });
    }
    return ways;
  }

  /** The likeliest digits that a part can be cut into; itself if there are none. */
  async cut(part) {
    const pieces = part.pieces();
    const runs = new Map();
    for (let start = 0; start < pieces.length; start++) {
      let run = null;
      for (let past = start + 1; past <= pieces.length; past++) {
        run = run ? run.joined(pieces[past - 1]) : pieces[start];
        if (breadth(run) > BROAD || past - start === pieces.length) break;
        if (run.box[3] - run.box[1] >= HIGH * (part.box[3] - part.box[1])) runs.set(`${start} ${past}`, run);
      }
    }
    await this.lookAt([...runs.values()]);
    const best = [{ score: 0, digits: [] }]; // log-probability of the digits up to a piece
    for (let past = 1; past <= pieces.length; past++) {
      for (let start = 0; start < past; start++) {
        const run = runs.get(`${start} ${past}`);
        const before = best[start];
        if (!run || !before || (before.digits.length && overlap(before.digits.at(-1), run) > OVERLAP)) continue;
        const score = before.score + Math.log(Math.max(this.leastOf([run]), 1e-6));
        if (!best[past] || score > best[past].score) best[past] = { score, digits: [...before.digits, run] };
      }
    }
    return best[pieces.length]?.digits ?? [part];
  }

  /** Two rows of one part each may be one digit, such as an 8 of two circles. */
  async stacked(rows) {
    if (rows.length !== 2 || rows.some((row) => row.length !== 1)) return rows;
    const [[upper], [lower]] = rows;
    if (lower.box[1] - upper.box[3] > NEAR * (lower.box[3] - upper.box[1])) return rows;
    const joined = upper.joined(lower);
    await this.lookAt([joined]);
    const isSurer = this.leastOf([joined]) >= Math.max(this.sure, this.leastOf([upper, lower]) - GAIN);
    return isSurer ? [[joined]] : rows;
  }

  /** All ink of a picture as one digit, if it is surer so: a digit whose ink is broken. */
  async asOne(rows, whole) {
    if (breadth(whole) > BROAD) return rows;
    await this.lookAt([whole]);
    const [asOne, asMany] = [this.leastOf([whole]), this.leastOf(rows.flat())];
    return asOne >= this.sure && isSurer(asOne, asMany) ? [[whole]] : rows;
  }

  /** The confidence of the least likely digit among parts that were looked at; half of it if it is too broad. */
  leastOf(parts) {
    return Math.min(...parts.map((part) => this.known.get(part.key).confidence * (breadth(part) > BROAD ? 0.5 : 1)));
  }

  /** Read parts that are not known yet. */
  async lookAt(parts) {
    for (const part of parts) {
      this.asked.add(part.key);
      if (!this.known.has(part.key)) this.known.set(part.key, await this.digit(part));
    }
  }

  async digit(part) {
    const image = part.image();
    const read = async (each) => softmax(await this.network.logits(toInput(each)), this.temperature);
    const found = await probabilities(read, image, CERTAIN);
    const best = argmax(found);
    return {
      digit: this.classNames[best], confidence: found[best], probabilities: found,
      sure: found[best] >= this.sure, box: part.box, image,
    };
  }
}

/** From grey levels 0 to 255 to what a network takes. */
export const toInput = (image) => Float32Array.from(image, (value) => value / 255);

/** Whether one way to see some ink leaves less than half of the doubt that another leaves. */
const isSurer = (after, before) => 1 - after < (1 - before) / 2;

/** Horizontal distance between two parts, as a share of the height of both. */
function gap({ box: left }, { box: right }) {
  const height = Math.max(left[3], right[3]) - Math.min(left[1], right[1]);
  return (Math.max(left[0], right[0]) - Math.min(left[2], right[2])) / Math.max(height, 1e-6);
}

/** How far two parts lean over one another, as a share of the narrower one's width. */
function overlap({ box: left }, { box: right }) {
  const narrower = Math.min(left[2] - left[0], right[2] - right[0]);
  return (left[2] - right[0]) / Math.max(narrower, 1e-6);
}

const breadth = ({ box: [left, top, right, bottom] }) => (right - left) / Math.max(bottom - top, 1e-6);
