// A digit that is still to be read: some strokes, or some ink of a picture. It can be joined to another, and cut.
//
// What mnist_lightning/inference/parts.py is in Python.

import { blank, boundingBox, crop, pad } from "../ink/cv.js";
import { normaliseInk } from "../ink/normalise.js";
import { boundsOf, drawDigit } from "../ink/raster.js";
import { cutColumns } from "../ink/segment.js";

const MOST_PIECES = 12; // that a part is cut into

/** Strokes of a sheet; `numbered` are pairs of a stroke's number on the sheet, in drawing order, and the stroke. */
export class StrokePart {
  constructor(numbered) {
    this.numbered = [...numbered].sort((a, b) => a[0] - b[0]);
    this.strokes = this.numbered.map(([, stroke]) => stroke);
    this.key = this.strokes.map(({ id, points }) => `${id}:${points.length}`).join(" ");
    this.box = boundsOf(this.strokes.map(({ points }) => points));
  }

  /** 28x28, as the network takes it. */
  image() {
    return normaliseInk(drawDigit(this.strokes)).data;
  }

  joined(other) {
    return new StrokePart([...this.numbered, ...other.numbered]);
  }

  /** Whether it was drawn without anything else in between. */
  isInOneGo() {
    return this.numbered.at(-1)[0] - this.numbered[0][0] === this.strokes.length - 1;
  }

  /** What it may be cut into, from left to right: its strokes. */
  pieces() {
    if (this.strokes.length > MOST_PIECES) return [this];
    const placed = this.numbered.map((each) => {
      const { points } = each[1];
      return { each, middle: points.reduce((sum, [x]) => sum + x, 0) / points.length };
    });
    return placed.sort((a, b) => a.middle - b.middle).map(({ each }) => new StrokePart([each]));
  }
}

const asText = new TextDecoder("latin1");

/** Ink of a picture whose upper left corner is at `left`, `top`. */
export class InkPart {
  constructor(ink, left = 0, top = 0) {
    const [x, y, right, bottom] = boundingBox(ink) ?? [0, 0, ink.width, ink.height];
    this.strokes = null;
    this.ink = crop(ink, [x, y, right, bottom]);
    this.box = [left + x, top + y, left + right, top + bottom];
    this.key = `${this.box} ${asText.decode(this.ink.data)}`;
  }

  image() {
    return normaliseInk(pad(this.ink, 1)).data;
  }

  joined(other) {
    const [left, top] = [0, 1].map((side) => Math.min(this.box[side], other.box[side]));
    const [right, bottom] = [2, 3].map((side) => Math.max(this.box[side], other.box[side]));
    const both = blank(right - left, bottom - top);
    for (const { ink, box } of [this, other]) {
      for (let y = 0, from = 0; y < ink.height; y++) {
        for (let x = 0; x < ink.width; x++, from++) {
          const to = (box[1] - top + y) * both.width + box[0] - left + x;
          both.data[to] = Math.max(both.data[to], ink.data[from]);
        }
      }
    }
    return new InkPart(both, left, top);
  }

  isInOneGo() {
    return true;
  }

  pieces() {
    return cutColumns(this.ink, MOST_PIECES).map((piece) => new InkPart(piece, this.box[0], this.box[1]));
  }
}
