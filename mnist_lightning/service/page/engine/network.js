// A trained network: built from what mnist_lightning/export/web.py writes.

import { decodeBase91 } from "./base91.js";
import { LAYERS } from "./layers.js";
import { Prepare } from "./prepare.js";

// The path from the empty image to this one, see mnist_lightning/inference/saliency.py.
const STEPS = 16;
const FAINT_STEPS = 32;
const FAINT = 0.03;

/** A tensor of the file: float32, or int8 with one scale for each row. */
function tensor({ type, offset, length, scales }, bytes) {
  if (type === "float32") return new Float32Array(bytes.slice(offset, offset + 4 * length).buffer);
  const whole = new Int8Array(bytes.buffer, bytes.byteOffset + offset, length);
  const factors = tensor(scales, bytes);
  const row = length / factors.length;
  return Float32Array.from(whole, (value, at) => value * factors[Math.floor(at / row)]);
}

/** One network: Prepare, then its layers. */
class Member {
  constructor(size, { prepare, layers }, tensors) {
    this.prepare = new Prepare(size, prepare);
    let shape = this.prepare.shape;
    this.layers = layers.map(({ name, shows, weights = [], ...settings }) => {
      const layer = new LAYERS[name](shape, settings, ...weights.map((index) => (index === null ? null : tensors[index])));
      layer.shows = shows; // the caption of its feature maps, where people look at them
      shape = layer.shape;
      return layer;
    });
  }

  logits(image) {
    // What was just read is often explained next, and its values are still in the layers.
    if (!this.image?.every((value, at) => value === image[at])) {
      this.image = image.slice();
      this.answer = this.layers.reduce((values, layer) => layer.forward(values), this.prepare.forward(image)).slice();
    }
    return this.answer.slice();
  }

  gradient(toLogits) {
    const back = [...this.layers].reverse().reduce((values, layer) => layer.backward(values), toLogits);
    return this.prepare.backward(back);
  }
}

/** What an exported file holds: one network, or several that vote with the same weight. */
export class Network {
  /** `file`: parsed JSON with `imageSize`, `members`, `tensors` and `data` (basE91). */
  constructor(file) {
    const bytes = decodeBase91(file.data);
    const tensors = file.tensors.map((each) => tensor(each, bytes));
    this.members = file.members.map((each) => new Member(file.imageSize, each, tensors));
  }

  /** Logits, Float32Array, of image [size * size], 0 to 1. */
  logits(image) {
    const votes = this.members.map((member) => member.logits(image));
    return votes.length === 1 ? votes[0] : vote(votes);
  }

  /** Feature maps that the last image left in the layers of the first member: [{layer, shape, maps}]. */
  featureMaps() {
    return this.members[0].layers
      .filter((layer) => layer.shows)
      .map((layer) => ({ layer: layer.shows, shape: layer.shape, maps: toBytes(layer.out) }));
  }

  /** What each pixel adds to the logit of the winning class, by integrated gradients. */
  saliency(image) {
    const winner = argmax(this.logits(image));
    const sum = new Float32Array(image.length);
    const ends = pathEnds();
    for (let step = 1; step < ends.length; step++) {
      const [start, end] = [ends[step - 1], ends[step]];
      if (end === start) continue;
      const gradient = this.gradient(image.map((value) => (value * (start + end)) / 2), winner);
      for (let at = 0; at < sum.length; at++) sum[at] += (end - start) * gradient[at];
    }
    return sum.map((value, at) => value * image[at]);
  }

  /** Derivative of one logit by each pixel. */
  gradient(image, winner) {
    const logits = this.members.map((member) => member.logits(image));
    if (logits.length === 1) return this.members[0].gradient(unit(logits[0].length, winner));
    const chances = logits.map((each) => softmax(each));
    const total = chances.reduce((sum, each) => sum + each[winner], 0);
    const back = new Float32Array(image.length);
    this.members.forEach((member, index) => {
      const share = chances[index][winner] / total;
      const toLogits = chances[index].map((chance, at) => share * ((at === winner ? 1 : 0) - chance));
      member.gradient(Float32Array.from(toLogits)).forEach((value, at) => { back[at] += value; });
    });
    return back;
  }
}

/** Logits whose softmax is the mean of the members' probabilities. */
function vote(votes) {
  const chances = votes.map((each) => softmax(each));
  return votes[0].map((_, at) => Math.log(chances.reduce((sum, each) => sum + each[at], 0) / votes.length));
}

/** Where the steps of the path end, from 0 to 1: equal steps of the way, and equal steps of a faint image's contrast. */
function pathEnds() {
  const even = Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS);
  const faint = Array.from({ length: FAINT_STEPS + 1 }, (_, step) => {
    const share = step / FAINT_STEPS;
    return (FAINT * share) / Math.sqrt(1 + FAINT ** 2 - share ** 2);
  });
  return [...even, ...faint].sort((a, b) => a - b);
}

function unit(length, at) {
  const vector = new Float32Array(length);
  vector[at] = 1;
  return vector;
}

/** Index of the largest value, the first of several. */
export function argmax(values) {
  let best = 0;
  for (let at = 1; at < values.length; at++) if (values[at] > values[best]) best = at;
  return best;
}

/** Probabilities of logits at a temperature. */
export function softmax(logits, temperature = 1) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp((value - largest) / temperature));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

/** Feature maps for the eye: 0 stays 0, the strongest of the layer becomes 255, values below 0 count by their size. */
export function toBytes(values) {
  let strongest = 1e-9;
  for (let at = 0; at < values.length; at++) strongest = Math.max(strongest, Math.abs(values[at]));
  const bytes = new Uint8Array(values.length); // a loop: Uint8Array.from takes many times as long
  for (let at = 0; at < bytes.length; at++) bytes[at] = Math.round((Math.abs(values[at]) / strongest) * 255);
  return bytes;
}
