// Ink of one digit -> 28x28, prepared the way MNIST was. The arithmetic of mnist_lightning/ink/normalise.py.

import { blank, boundingBox, crop, enlarge, paste, peakOf, roundEven, shrink, threshold } from "./cv.js";
import { FAINT, evenInk, isEven, measureStrokeWidth, redraw, stretched } from "./width.js";

const SIZE = 28; // side of the field that the network sees, pixels
const BOX = 20; // longest side of the ink in it
const CENTRE = 14; // the pixel on which the centre of mass comes to lie
const STROKE_WIDTHS = [2.0, 3.5]; // thinnest and thickest stroke, pixels of the field
const MNIST_WIDTHS = [1.3, 4.9]; // what has MNIST's size already may have these
const FINE = 4; // oversampling where stroke width is measured and changed
const REACH = 4; // of a pixel's neighbourhood there
const LARGEST = 4 * BOX * FINE; // larger ink is shrunk to this longest side first

/** From ink, bright on exact 0, to 28x28. */
export function normaliseInk(ink) {
  const box = boundingBox(threshold(ink, FAINT));
  if (!box) return blank(SIZE, SIZE);
  const [left, top, right, bottom] = box;
  const around = [Math.max(left - 1, 0), Math.max(top - 1, 0), Math.min(right + 1, ink.width), Math.min(bottom + 1, ink.height)];
  return centre(fit(crop(ink, box)) ?? crop(ink, around));
}

/** Lay ink on a 28x28 field by its centre of mass, shifted by whole pixels. */
function centre(ink) {
  const field = blank(SIZE, SIZE);
  let [mass, right, down] = [0, 0, 0];
  for (let y = 0, at = 0; y < ink.height; y++) {
    for (let x = 0; x < ink.width; x++, at++) {
      mass += ink.data[at];
      right += ink.data[at] * x;
      down += ink.data[at] * y;
    }
  }
  if (!mass) return field;
  const left = Math.min(Math.max(CENTRE - roundEven(right / mass), 0), SIZE - ink.width);
  const top = Math.min(Math.max(CENTRE - roundEven(down / mass), 0), SIZE - ink.height);
  paste(field, ink, left, top);
  return field;
}

/** Shrink, or blow up, tightly cropped ink so that its longest side is 20; null if nothing is to do. */
function fit(ink) {
  const isFitted = longest(ink) === BOX;
  let fine = ink;
  if (longest(ink) > LARGEST) {
    fine = resize(fine, LARGEST);
    fine = stretched(fine, peakOf(fine));
    if (!isEven(fine, REACH)) fine = evenInk(fine, REACH);
  }
  fine = resize(fine, BOX * FINE);
  fine = stretched(fine, peakOf(fine));
  const wasEven = isEven(fine, REACH);
  const evened = wasEven ? fine : evenInk(fine, REACH);
  const width = measureStrokeWidth(evened) / FINE;
  const [thinnest, thickest] = isFitted ? MNIST_WIDTHS : STROKE_WIDTHS;
  if (wasEven && thinnest <= width && width <= thickest) return isFitted ? null : resize(ink, BOX);
  return withWidth(evened, width, Math.min(Math.max(width, STROKE_WIDTHS[0]), STROKE_WIDTHS[1]));
}

const longest = ({ width, height }) => Math.max(width, height);

function resize(ink, to) {
  const scale = to / longest(ink);
  if (scale === 1) return ink;
  const [width, height] = [ink.width, ink.height].map((side) => Math.max(1, roundEven(side * scale)));
  return scale < 1 ? shrink(ink, width, height) : enlarge(ink, width, height);
}

/** Redraw ink, oversampled in its box, with strokes of another width; the result fits the box again. */
function withWidth(fine, width, wanted) {
  const scale = Math.max(BOX - wanted, 1) / Math.max(BOX - width, 1);
  const redrawn = redraw(fine, (FINE * (wanted / scale - width)) / 2);
  const box = boundingBox(redrawn);
  return resize(box ? crop(redrawn, box) : fine, BOX); // thinned to nothing: better too thick
}
