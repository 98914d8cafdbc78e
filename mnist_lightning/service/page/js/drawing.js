// Strokes on a sheet, with undo and redo of every gesture. The behaviour of `Drawing` in mnist_lightning/ink/strokes.py.
//
// Coordinates are units of the sheet, whatever its size on the screen; see SHEET.

import { cutPath, smoothPath } from "../ink/paths.js";

export const SHEET = { width: 740, height: 616 }; // units, as the sheet of the drawing window
export const PEN_WIDTH = { usual: 20, thinnest: 4, thickest: 60 }; // units
export const ERASER_RADIUS = 18; // units

let lastId = 0;

/** One pen-down run; `id` and the number of points tell whether a stroke has changed. */
const makeStroke = (points, width) => ({ id: ++lastId, points, width });

export class Drawing {
  constructor() {
    this.strokes = [];
    this.past = [];
    this.future = [];
    this.pen = null;
    this.eraser = null;
  }

  /** Put the pen down: starts a stroke, and a gesture that `undo` takes back whole. */
  begin(x, y, width) {
    this.remember();
    this.pen = makeStroke([[x, y]], width);
    this.strokes.push(this.pen);
  }

  /** Put the eraser down; it removes all ink that it touches until `end`. */
  beginErasing(x, y) {
    this.remember();
    this.eraser = [x, y];
    this.move(x, y);
  }

  /** Move the pen or the eraser. */
  move(x, y) {
    if (this.pen) {
      const [lastX, lastY] = this.pen.points[this.pen.points.length - 1];
      if (x !== lastX || y !== lastY) this.pen.points.push([x, y]);
    }
    if (this.eraser) {
      this.strokes = this.strokes.flatMap((stroke) => without(stroke, this.eraser, [x, y]));
      this.eraser = [x, y];
    }
  }

  /** Lift the pen or the eraser. An erasure that met no ink leaves no trace in the history. */
  end() {
    const before = this.past[this.past.length - 1];
    if (this.eraser && same(this.strokes, before)) this.past.pop();
    this.pen = null;
    this.eraser = null;
  }

  /** Put other strokes, [{points, width}], in the place of these; `undo` brings these back. */
  replace(strokes) {
    if (!strokes.length && !this.strokes.length) return;
    this.remember();
    this.strokes = strokes.map(({ points, width }) => makeStroke(points, width));
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  remember() {
    this.end();
    this.past.push([...this.strokes]);
    this.future.length = 0;
  }

  step(source, target) {
    this.end();
    if (!source.length) return false;
    target.push([...this.strokes]);
    this.strokes = source.pop();
    return true;
  }
}

/** What an eraser that moves from `start` to `end` leaves of a stroke: itself if it is not touched. */
function without(stroke, start, end) {
  const reach = ERASER_RADIUS + stroke.width / 2;
  const path = smoothPath(stroke.points, Math.max(ERASER_RADIUS / 4, 0.5));
  const pieces = cutPath(path, start, end, reach);
  if (pieces.length === 1 && pieces[0].length === path.length) return [stroke];
  return pieces.map((piece) => makeStroke(piece, stroke.width));
}

const same = (first, second) => first.length === second.length && first.every((each, index) => each === second[index]);
