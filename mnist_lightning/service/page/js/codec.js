// A drawing as a short text for a link, and back.
//
// The bytes: a version, then for each stroke its width in quarters of a unit, the number of its points, and each
// point as the difference to the one before in half units; numbers as variable-length integers, then base64url.

import { PEN_WIDTH, SHEET } from "./drawing.js";

const VERSION = 1;
const MOST_POINTS = 20000; // a longer drawing makes no usable link
const MARGIN = 4; // how far outside of the sheet a point may lie, in sheets

/** From strokes to text; null if there are too many points for a link. */
export function encodeStrokes(strokes) {
  if (strokes.reduce((sum, { points }) => sum + points.length, 0) > MOST_POINTS) return null;
  const bytes = [VERSION];
  for (const { points, width } of strokes) {
    putNumber(bytes, Math.round(width * 4));
    putNumber(bytes, points.length);
    let [lastX, lastY] = [0, 0];
    for (const point of points) {
      const [x, y] = point.map((value) => Math.round(value * 2));
      putNumber(bytes, zigzag(x - lastX));
      putNumber(bytes, zigzag(y - lastY));
      [lastX, lastY] = [x, y];
    }
  }
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** From text to strokes [{points, width}]; null if the text holds no drawing. */
export function decodeStrokes(text) {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return readStrokes(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
  } catch {
    return null;
  }
}

function readStrokes(bytes) {
  const source = { bytes, at: 1 };
  if (bytes[0] !== VERSION) return null;
  const strokes = [];
  let total = 0;
  while (source.at < bytes.length) {
    const width = getNumber(source) / 4;
    const count = getNumber(source);
    total += count;
    if (!(width >= PEN_WIDTH.thinnest && width <= PEN_WIDTH.thickest) || count < 1 || total > MOST_POINTS) return null;
    let [x, y] = [0, 0];
    const points = [];
    for (let index = 0; index < count; index++) {
      x += unzigzag(getNumber(source));
      y += unzigzag(getNumber(source));
      if (Math.abs(x) > 2 * MARGIN * SHEET.width || Math.abs(y) > 2 * MARGIN * SHEET.height) return null;
      points.push([x / 2, y / 2]);
    }
    strokes.push({ points, width });
  }
  return strokes.length ? strokes : null;
}

const zigzag = (value) => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value) => (value % 2 ? -(value + 1) / 2 : value / 2);

function putNumber(bytes, value) {
  while (value > 127) {
    bytes.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  bytes.push(value);
}

function getNumber(source) {
  let value = 0;
  for (let factor = 1; factor < 2 ** 35; factor *= 128) {
    if (source.at >= source.bytes.length) throw new RangeError("The text ends within a number.");
    const byte = source.bytes[source.at++];
    value += (byte % 128) * factor;
    if (byte < 128) return value;
  }
  throw new RangeError("A number is too long.");
}
