// Strokes or a picture -> digits: cut apart, prepared and read. What inference/reader.py is in Python.

import { boundingBox } from "../ink/cv.js";
import { extractInk } from "../ink/extract.js";
import { normaliseInk } from "../ink/normalise.js";
import { boundsOf, drawDigit } from "../ink/raster.js";
import { segmentInk, segmentStrokes } from "../ink/segment.js";
import { argmax, softmax } from "./network.js";

const MOST_KNOWN = 64; // digits that are remembered

/** Reads sheets that change a little at a time: a digit that is as it was is not read again. */
export class Reader {
  /** `network` has logits(image), saliency(image) and featureMaps(); `sure` is a probability, 0 to 1. */
  constructor(network, { classNames, temperature, sure }) {
    Object.assign(this, { network, classNames, temperature, sure });
    this.known = new Map();
    this.picture = null; // the digits of the last one
  }

  /** {digits, milliseconds} of a source: {strokes} or {pixels: {data (RGBA), width, height, scale}}. */
  async read(source) {
    const began = performance.now();
    const digits = [];
    for (const piece of this.pieces(source)) digits.push(await this.digit(piece));
    return {
      digits: digits.map(({ logits, ...digit }) => digit),
      milliseconds: performance.now() - began,
    };
  }

  /** For each digit {saliency (or null), layers}. */
  async explain(source, wantsSaliency) {
    const explained = [];
    for (const piece of this.pieces(source)) {
      const { image } = await this.digit(piece);
      const pixels = toInput(image);
      const saliency = wantsSaliency ? await this.network.saliency(pixels) : null;
      await this.network.logits(pixels);
      explained.push({ saliency, layers: this.network.featureMaps() });
    }
    return explained;
  }

  /** What is to be read, digit by digit: {key, box, prepare()}. */
  pieces({ strokes, pixels }) {
    if (strokes) {
      return segmentStrokes(strokes).map((group) => ({
        key: group.map(({ id, points }) => `${id}:${points.length}`).join(" "),
        box: boundsOf(group.map(({ points }) => points)),
        prepare: () => normaliseInk(drawDigit(group)).data,
      }));
    }
    const { ink, left, top, scale } = extractInk(pixels);
    return segmentInk(ink).map((digit) => {
      const [x0, y0, x1, y1] = boundingBox(digit) ?? [0, 0, 0, 0];
      return {
        key: null,
        box: [x0 * scale + left, y0 * scale + top, x1 * scale + left, y1 * scale + top].map((side) => side / pixels.scale),
        prepare: () => normaliseInk(digit).data,
      };
    });
  }

  async digit({ key, box, prepare }) {
    const known = key === null ? undefined : this.known.get(key);
    if (known) {
      this.known.delete(key);
      this.known.set(key, known); // the last used is forgotten last
      return known;
    }
    const image = prepare();
    const logits = await this.network.logits(toInput(image));
    const probabilities = softmax(logits, this.temperature);
    const best = argmax(probabilities);
    const digit = {
      digit: this.classNames[best], confidence: probabilities[best], probabilities,
      sure: probabilities[best] >= this.sure, box, image, logits,
    };
    if (key !== null) this.known.set(key, digit);
    if (this.known.size > MOST_KNOWN) this.known.delete(this.known.keys().next().value);
    return digit;
  }
}

/** From grey levels 0 to 255 to what a network takes. */
export const toInput = (image) => Float32Array.from(image, (value) => value / 255);
