// The sheet: mouse, finger, pen and keyboard in; strokes, a picture and boxes round digits shown.

import { Drawing, ERASER_RADIUS, PEN_WIDTH, SHEET } from "./drawing.js";
import { colourOf, colourText, paintSaliency, paintStrokes, placePicture } from "./paint.js";

// Steps of the keyboard's pen: columns and rows.
const DIRECTIONS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  Home: [-1, -1], PageUp: [1, -1], End: [-1, 1], PageDown: [1, 1],
};
const STEP = 20; // units
const SMALL_STEP = 4;

export class Sheet {
  /**
   * `element` holds the canvases `#ink` and `#marks`. `onChange` is called after every change of what is drawn,
   * `onSay` with a sentence for people who cannot see the sheet.
   */
  constructor(element, { onChange, onSay }) {
    this.element = element;
    this.ink = element.querySelector("#ink");
    this.marks = element.querySelector("#marks");
    this.invitation = element.querySelector("#invitation");
    this.drawing = new Drawing();
    this.picture = null; // an ImageBitmap that is read in place of strokes
    this.penWidth = PEN_WIDTH.usual;
    this.erases = false;
    this.digits = []; // as last read
    this.explained = null; // with their saliency
    this.cursor = null; // of the keyboard
    this.pointer = null; // the one that draws
    this.onChange = onChange;
    this.onSay = onSay;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    this.resize();
  }

  get isEmpty() {
    return !this.picture && !this.drawing.strokes.length;
  }

  listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => this.press(event));
    element.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(name, (event) => this.release(event));
    }
    // Else the browser keeps the first moves of a finger to itself, in case they become a tap or a gesture.
    element.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("focus", () => this.paintMarks());
    element.addEventListener("blur", () => {
      this.liftCursor();
      this.paintMarks();
    });
  }

  /** From a pointer's place on the screen to units; beyond the edge the pen stays on it. */
  place({ clientX, clientY }) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    const x = ((clientX - left) / width) * SHEET.width;
    const y = ((clientY - top) / height) * SHEET.height;
    return [Math.min(Math.max(x, 0), SHEET.width - 1), Math.min(Math.max(y, 0), SHEET.height - 1)];
  }

  press(event) {
    const isEraser = this.erases || event.button === 2 || event.button === 5; // 5 is a pen's other end
    if (this.pointer !== null || (event.button !== 0 && !isEraser)) return;
    this.pointer = event.pointerId;
    try {
      this.element.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that is gone already cannot be held; its end arrives nevertheless.
    }
    this.liftCursor();
    this.removePicture();
    const [x, y] = this.place(event);
    if (isEraser) this.drawing.beginErasing(x, y);
    else this.drawing.begin(x, y, this.penWidth);
    this.changed();
  }

  drag(event) {
    if (event.pointerId !== this.pointer) return;
    if (!event.buttons) { // it was lifted where nobody saw it, such as over a dialog
      this.release(event);
      return;
    }
    // The browser hands over one event a frame; in it are all the places where the pen was.
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.drawing.move(...this.place(move));
    this.changed();
  }

  release(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.drawing.end(); // the ink stays as it is
    this.paintMarks();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") this.toggleCursor();
    else if (event.key === "Escape") this.liftCursor();
    else if (DIRECTIONS[event.key]) this.moveCursor(DIRECTIONS[event.key], event.shiftKey ? SMALL_STEP : STEP);
    else return;
    event.preventDefault();
  }

  toggleCursor() {
    if (this.liftCursor()) return;
    this.cursor ??= { x: SHEET.width / 2, y: SHEET.height / 2, isDown: false };
    this.cursor.isDown = true;
    this.removePicture();
    if (this.erases) this.drawing.beginErasing(this.cursor.x, this.cursor.y);
    else this.drawing.begin(this.cursor.x, this.cursor.y, this.penWidth);
    this.changed();
    this.onSay(this.erases ? "Eraser down." : "Pen down.");
  }

  /** Lift the keyboard's pen; whether it was down. */
  liftCursor() {
    if (!this.cursor?.isDown) return false;
    this.cursor.isDown = false;
    this.drawing.end();
    this.changed();
    this.onSay("Pen up.");
    return true;
  }

  moveCursor([columns, rows], step) {
    this.cursor ??= { x: SHEET.width / 2, y: SHEET.height / 2, isDown: false };
    this.cursor.x = Math.min(Math.max(this.cursor.x + columns * step, 0), SHEET.width - 1);
    this.cursor.y = Math.min(Math.max(this.cursor.y + rows * step, 0), SHEET.height - 1);
    if (this.cursor.isDown) {
      this.drawing.move(this.cursor.x, this.cursor.y);
      this.changed();
    } else {
      this.paintMarks();
    }
  }

  /** Read a picture in place of strokes. */
  showPicture(bitmap) {
    this.removePicture();
    this.liftCursor();
    this.drawing.replace([]);
    this.picture = bitmap;
    this.changed();
  }

  removePicture() {
    this.picture?.close();
    this.picture = null;
  }

  /** Put other strokes on the sheet; none clear it. */
  load(strokes) {
    this.removePicture();
    this.liftCursor();
    this.drawing.replace(strokes);
    this.changed();
  }

  undo() {
    this.liftCursor();
    if (this.drawing.undo()) this.stepped();
  }

  redo() {
    this.liftCursor();
    if (this.drawing.redo()) this.stepped();
  }

  /** The strokes are others again; a picture that was read in place of them is put away. */
  stepped() {
    this.removePicture();
    this.changed();
  }

  changed() {
    this.explained = null;
    this.paint();
    this.onChange();
  }

  /** Frame these digits, if there are several. */
  showDigits(digits) {
    this.digits = digits;
    this.paintMarks();
  }

  /** Colour the ink by what decided, or not any more with null. */
  showSaliency(digits) {
    this.explained = digits;
    this.paint();
  }

  resize() {
    const { width } = this.element.getBoundingClientRect();
    const pixels = Math.max(Math.round(width * (window.devicePixelRatio || 1)), 1);
    for (const canvas of [this.ink, this.marks]) {
      canvas.width = pixels;
      canvas.height = Math.round((pixels * SHEET.height) / SHEET.width);
    }
    this.paint();
  }

  /** A canvas wiped clean, its unit that of the sheet. */
  fresh(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const scale = canvas.width / SHEET.width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    return context;
  }

  paint() {
    const context = this.fresh(this.ink);
    this.invitation.hidden = !this.isEmpty;
    if (this.picture) {
      const { scale, left, top } = placePicture(this.picture, SHEET);
      context.drawImage(this.picture, left, top, this.picture.width * scale, this.picture.height * scale);
    }
    const isExplained = this.explained && !this.picture;
    paintStrokes(context, this.drawing.strokes, colourText(isExplained ? "--neither" : "--ink"));
    if (isExplained) {
      const colours = { speaksFor: colourOf("--for"), against: colourOf("--against"), neither: colourOf("--neither") };
      const pen = Math.max(...this.drawing.strokes.map((stroke) => stroke.width));
      for (const digit of this.explained) paintSaliency(context, { ...digit, pen }, colours);
    }
    this.paintMarks();
  }

  paintMarks() {
    const context = this.fresh(this.marks);
    if (this.digits.length > 1 || this.picture) this.paintBoxes(context);
    if (this.drawing.eraser) circle(context, ...this.drawing.eraser, ERASER_RADIUS, colourText("--unsure"));
    if (this.cursor && this.element.matches(":focus")) {
      const { x, y, isDown } = this.cursor;
      circle(context, x, y, this.erases ? ERASER_RADIUS : this.penWidth / 2 + 4, colourText(isDown ? "--unsure" : "--sure"));
    }
  }

  paintBoxes(context) {
    const { scale, left, top } = this.picture ? placePicture(this.picture, SHEET) : { scale: 1, left: 0, top: 0 };
    const unit = Math.max(1, SHEET.width / (this.element.getBoundingClientRect().width || SHEET.width));
    context.font = `600 ${14 * unit}px system-ui, sans-serif`; // as large on the screen, however small the sheet
    for (const { box, digit, sure } of this.digits) {
      if (!box) continue;
      const gap = this.picture ? 4 : 16;
      const [x0, y0, x1, y1] = box.map((value, at) => value * scale + (at % 2 ? top : left));
      const [x, y] = [Math.max(x0 - gap, 1), Math.max(y0 - gap, 1)];
      context.strokeStyle = colourText(sure ? "--sure" : "--unsure");
      context.lineWidth = 2;
      context.setLineDash(sure ? [] : [6, 4]);
      context.strokeRect(x, y, Math.min(x1 + gap, SHEET.width - 1) - x, Math.min(y1 + gap, SHEET.height - 1) - y);
      context.fillStyle = context.strokeStyle;
      context.fillText(sure ? digit : `${digit}?`, x + 3, y > 18 * unit ? y - 5 : y + 16 * unit);
    }
    context.setLineDash([]);
  }
}

function circle(context, x, y, radius, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}
