// How a drawing looks: ink, what decided, and boxes round digits, on a 2D canvas whose unit is that of the sheet.

import { smoothPath } from "../ink/paths.js";

const STEP = 3; // longest straight piece of a curve, units

/** Draw strokes, [{points, width}], in one colour. */
export function paintStrokes(context, strokes, colour) {
  context.strokeStyle = colour;
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const { points, width } of strokes) {
    const curve = smoothPath(points, STEP);
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(...curve[0]);
    for (const point of curve) context.lineTo(...point); // a line of no length is a dot
    context.stroke();
  }
}

/** Where a picture lies on the sheet: as large as fits, in the middle. {scale, left, top}. */
export function placePicture({ width, height }, sheet) {
  const scale = Math.min(sheet.width / width, sheet.height / height);
  return { scale, left: (sheet.width - width * scale) / 2, top: (sheet.height - height * scale) / 2 };
}

/** Colour the ink of a digit by what each of its 28x28 pixels says; `box` is that of the pen's path, in units. */
export function paintSaliency(context, { image, saliency, box, pen }, colours) {
  const inner = boundsOf(image);
  if (!inner) return;
  const [left, top, right, bottom] = inner;
  const heat = document.createElement("canvas");
  heat.width = right - left;
  heat.height = bottom - top;
  const pixels = new ImageData(heat.width, heat.height);
  const soft = smoothed(saliency);
  let strongest = 1e-9;
  for (const value of soft) strongest = Math.max(strongest, Math.abs(value));
  for (let y = top, at = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, at += 4) {
      pixels.data.set(heatColour(soft[y * 28 + x] / strongest, colours), at);
    }
  }
  heat.getContext("2d").putImageData(pixels, 0, 0);
  context.save();
  context.globalCompositeOperation = "source-atop"; // only where there is ink
  context.imageSmoothingEnabled = true;
  context.drawImage(heat, box[0] - pen / 2, box[1] - pen / 2, box[2] - box[0] + pen, box[3] - box[1] + pen);
  context.restore();
}

/** The colour of a pixel, [red, green, blue, 255]: `share` from -1, against the digit, to 1, for it. */
export function heatColour(share, { speaksFor, against, neither }) {
  const strength = Math.min(2 * Math.abs(share), 1); // half of the strongest is full colour already
  const hue = share < 0 ? against : speaksFor;
  return [...neither.map((value, at) => Math.round(strength * hue[at] + (1 - strength) * value)), 255];
}

/** Left, top, right, bottom of the pixels above 0 of a 28x28 image; null if there are none. */
function boundsOf(image) {
  const bounds = [28, 28, 0, 0];
  for (let at = 0; at < 784; at++) {
    if (!image[at]) continue;
    const [x, y] = [at % 28, Math.floor(at / 28)];
    bounds[0] = Math.min(bounds[0], x);
    bounds[1] = Math.min(bounds[1], y);
    bounds[2] = Math.max(bounds[2], x + 1);
    bounds[3] = Math.max(bounds[3], y + 1);
  }
  return bounds[2] ? bounds : null;
}

/** Strokes are wider or thinner on the sheet than in the image: a pixel speaks for what lies around it. */
function smoothed(values) {
  const kernel = [1, 2, 1];
  return Float32Array.from(values, (_, at) => {
    const [x, y] = [at % 28, Math.floor(at / 28)];
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const inside = x + dx >= 0 && x + dx < 28 && y + dy >= 0 && y + dy < 28;
        if (inside) sum += kernel[dx + 1] * kernel[dy + 1] * values[at + 28 * dy + dx];
      }
    }
    return sum / 16;
  });
}

/** Draw a square grey image, values 0 to 255, into a canvas of `side` x `side` pixels. */
export function paintGrey(canvas, image, side = 28) {
  canvas.width = side;
  canvas.height = side;
  const pixels = new ImageData(side, side);
  for (let at = 0; at < side * side; at++) {
    const value = image[at];
    pixels.data.set([value, value, value, 255], 4 * at);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** A colour of the style sheet as [red, green, blue]. */
export function colourOf(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

/** A colour of the style sheet as it stands there. */
export const colourText = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
