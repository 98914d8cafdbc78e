// A second look at an image that the network is not certain of: the same image turned a little either way.
//
// What mnist_lightning/inference/second_look.py is in Python.

import { softmax } from "./network.js";

const TURN = 8; // degrees
const HOPELESS = 0.2; // half a digit, or none: no class is as likely as this, and no other look makes it sure
const TINY = 1.1754943508222875e-38; // instead of a probability of 0

/** Probabilities of an image of grey levels; a second look where the likeliest class is HOPELESS to below `certain`. */
export async function probabilities(read, image, certain) {
  const first = await read(image);
  const most = Math.max(...first);
  if (most >= certain || most < HOPELESS) return first;
  const looks = [first, await read(turned(image, TURN)), await read(turned(image, -TURN))];
  return softmax(first.map((_, at) => (
    looks.reduce((sum, look) => sum + Math.log(Math.max(look[at], TINY)), 0) / looks.length)));
}

/** A square image of grey levels turned about its middle, clockwise. */
export function turned(image, degrees) {
  const side = Math.sqrt(image.length);
  const middle = (side - 1) / 2;
  const [cos, sin] = [Math.cos(degrees * Math.PI / 180), Math.sin(degrees * Math.PI / 180)];
  return image.map((_, at) => {
    const [down, across] = [Math.floor(at / side) - middle, (at % side) - middle];
    const [x, y] = [cos * across + sin * down + middle, cos * down - sin * across + middle];
    let total = 0;
    for (const top of [Math.floor(y), Math.floor(y) + 1]) {
      for (const left of [Math.floor(x), Math.floor(x) + 1]) {
        if (top < 0 || top >= side || left < 0 || left >= side) continue;
        total += image[top * side + left] * ((1 - Math.abs(y - top)) * (1 - Math.abs(x - left)));
      }
    }
    return Math.floor(total + 0.5);
  });
}
