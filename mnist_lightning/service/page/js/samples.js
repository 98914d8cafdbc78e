// Drawings to try the page with, made for it.

import { PEN_WIDTH, SHEET } from "./drawing.js";

// One figure each, 0 to 9: paths of a pen in a box of 100 by 140.
const FIGURES = [
  [[[55, 4], [30, 14], [12, 45], [8, 80], [16, 115], [40, 136], [66, 130], [86, 100], [90, 62], [80, 24], [55, 4]]],
  [[[60, 4], [57, 40], [54, 80], [52, 110], [50, 138]]],
  [[[14, 36], [22, 14], [44, 4], [68, 10], [80, 32], [74, 58], [52, 88], [28, 116], [12, 134], [40, 132], [64, 133],
    [92, 131]]],
  [[[16, 18], [38, 4], [64, 8], [78, 28], [70, 52], [42, 66], [70, 74], [86, 98], [76, 126], [46, 137], [14, 126]]],
  [[[60, 4], [44, 34], [26, 66], [10, 92], [40, 92], [66, 91], [94, 90]], [[68, 50], [67, 80], [66, 110], [65, 138]]],
  [[[24, 8], [22, 34], [18, 62], [42, 54], [68, 60], [84, 84], [80, 112], [58, 134], [30, 136], [10, 124]], [[24, 8],
    [50, 6], [82, 5]]],
  [[[68, 4], [42, 26], [22, 58], [12, 94], [22, 126], [48, 138], [74, 126], [82, 100], [66, 80], [42, 80], [20, 98]]],
  [[[10, 8], [40, 6], [64, 6], [88, 5], [74, 36], [60, 70], [48, 104], [40, 138]]],
  [[[78, 20], [54, 4], [28, 12], [22, 36], [44, 58], [70, 76], [84, 104], [70, 132], [42, 137], [18, 122], [18, 96],
    [40, 72], [66, 50], [80, 32], [78, 20]]],
  [[[80, 28], [58, 6], [30, 14], [18, 40], [28, 64], [54, 68], [76, 50], [82, 24], [80, 60], [76, 100], [70, 138]]],
];

const SCRIBBLE = [[[10, 70], [30, 20], [44, 120], [58, 20], [72, 120], [90, 30], [20, 60], [96, 110], [12, 110]]];
const PITCH = 1.1; // from one figure to the next, in widths of a figure

/** Names of the samples, for their buttons. */
export const SAMPLES = ["3", "42", "2026", "a scribble"];

/** Strokes [{points, width}] of a sample, in the middle of the sheet. */
export function sample(name) {
  const figures = /^[0-9]+$/.test(name) ? [...name].map((figure) => FIGURES[figure]) : [SCRIBBLE];
  const scale = Math.min(3, (SHEET.width - 40) / (100 * PITCH * figures.length));
  const left = (SHEET.width - scale * 100 * (PITCH * (figures.length - 1) + 1)) / 2;
  const top = (SHEET.height - scale * 140) / 2;
  return figures.flatMap((strokes, place) => strokes.map((points) => ({
    width: PEN_WIDTH.usual,
    points: points.map(([x, y]) => [
      Math.round(left + scale * (100 * PITCH * place + x)), Math.round(top + scale * y),
    ]),
  })));
}
