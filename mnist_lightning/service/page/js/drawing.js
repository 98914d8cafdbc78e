// Strokes on a sheet, with undo and redo of every gesture. The behaviour of `Drawing` in mnist_lightning/ink/strokes.py.
//
// Coordinates are units of the sheet, whatever its size on the screen; see SHEET.

import { cutPath, smoothPath } from "../ink/paths.js";

export const SHEET = { width: 740, height: 616 }; // units, as the sheet of the drawing window
export const PEN_WIDTH = { usual: 20, thinnest: 4, thickest: 60 }; // units
export const ERASER_RADIUS = 18; // units
const MOST_UNDOS = 500; // gestures that can be taken back

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
    this.hasErased = false;
  }

  /** Put the pen down: starts a stroke, and a gesture that `undo` takes back whole. */
  begin(x, y, width) {
    this.end();
    this.remember();
    this.pen = makeStroke([[x, y]], width);
    this.strokes.push(this.pen);
  }

  /** Put the eraser down; it removes all ink that it touches until `end`. If there is none, the history stays as it is. */
  beginErasing(x, y) {
    this.end();
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
      const kept = this.strokes.flatMap((stroke) => without(stroke, this.eraser, [x, y]));
      if (!same(kept, this.strokes)) {
        if (!this.hasErased) this.remember();
        this.hasErased = true;
        this.strokes = kept;
      }
      this.eraser = [x, y];
    }
  }

  /** Lift the pen or the eraser. */
  end() {
    this.pen = null;
    this.eraser = null;
    this.hasErased = false;
  }

  /** Put other strokes, [{points, width}], in the place of these; `undo` brings these back. */
  replace(strokes) {
    if (!strokes.length && !this.strokes.length) return;
    this.end();
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
    this.past.push([...this.strokes]);
    if (this.past.length > MOST_UNDOS) this.past.shift();
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
