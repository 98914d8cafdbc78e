// The inside of the network while one draws: the feature maps of each layer, and what a unit of them looks at.

import { receptiveFields } from "./fields.js";
import { colourText, paintGrey } from "./paint.js";

const INPUT_SCALE = 7; // pixels of the canvas for each of the 28, so that the frame is sharp
const GAP = 1; // between two maps, in units of a map

export class Inside {
  constructor() {
    this.input = document.getElementById("input");
    this.holder = document.getElementById("layers");
    this.told = document.getElementById("unit");
    this.viewers = [];
    this.image = new Uint8Array(784);
    this.fields = null;
    this.chosen = null; // {viewer, index} of the unit that is looked at
    this.isSeen = false;
    new IntersectionObserver(([entry]) => {
      this.isSeen = entry.isIntersecting;
      if (this.isSeen) this.onSeen?.();
    }).observe(document.querySelector(".inside"));
    this.paintInput();
  }

  /** Which network this is: its settings, as in a checkpoint's card. */
  useNetwork(network, imageSize) {
    this.fields = receptiveFields(network, imageSize);
  }

  /** Show the feature maps of an image; without one, none. `layers`: [{layer, shape, maps}]. */
  show(image, layers) {
    this.image = image ?? new Uint8Array(784);
    if (!layers?.length) {
      this.viewers = [];
      this.holder.replaceChildren();
      this.tell("Draw something to see it pass through the layers.");
      this.chosen = null;
    } else {
      const isNew = this.viewers.length !== layers.length
        || layers.some(({ shape }, at) => String(shape) !== String(this.viewers[at].shape));
      if (isNew) this.build(layers);
      this.viewers.forEach((viewer, at) => viewer.show(layers[at].maps));
      if (this.chosen) this.look(this.chosen.viewer, this.chosen.index);
      else this.tell("Point at a map to see what its units look at.");
    }
    this.paintInput();
  }

  /** Say it once: a screen reader would read the same words again. */
  tell(text) {
    if (this.told.textContent !== text) this.told.textContent = text;
  }

  build(layers) {
    this.chosen = null;
    this.viewers = layers.map((layer, at) => new Viewer(layer, at, {
      onLook: (viewer, index) => this.look(viewer, index),
      onLeave: () => this.leave(),
    }));
    this.holder.replaceChildren(...this.viewers.map((viewer) => viewer.figure));
  }

  /** Frame what a unit looks at, and say what it answers. */
  look(viewer, index) {
    if (this.chosen && this.chosen.viewer !== viewer) this.chosen.viewer.mark(null);
    this.chosen = { viewer, index };
    viewer.mark(index);
    const [maps, height, width] = viewer.shape;
    const [map, row, column] = [Math.floor(index / (height * width)), Math.floor((index % (height * width)) / width), index % width];
    const place = height * width > 1 ? `, row ${row + 1}, column ${column + 1}` : "";
    const what = height * width > 1 ? "map" : "unit";
    const answer = Math.round((100 * viewer.values[index]) / 255);
    const field = this.fields?.[viewer.at];
    const looks = field ? ` It looks at the ${field.size} × ${field.size} pixels in the frame.` : "";
    this.tell(`${viewer.name}, ${what} ${map + 1} of ${maps}${place}: ${answer} % of the layer's strongest answer.${looks}`);
    this.paintInput(field && { ...field, row, column });
  }

  leave() {
    this.chosen?.viewer.mark(null);
    this.chosen = null;
    this.paintInput();
  }

  paintInput(field = null) {
    const small = document.createElement("canvas");
    paintGrey(small, this.image);
    const side = 28 * INPUT_SCALE;
    this.input.width = side;
    this.input.height = side;
    const context = this.input.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, side, side);
    if (!field) return;
    const frame = [field.start + field.column * field.step, field.start + field.row * field.step];
    const [left, top] = frame.map((at) => Math.max(at, 0));
    const [right, bottom] = frame.map((at) => Math.min(at + field.size, 28));
    context.strokeStyle = colourText("--frame");
    context.lineWidth = 3;
    const edges = [left, top, right - left, bottom - top].map((value) => value * INPUT_SCALE);
    context.strokeRect(edges[0] + 1.5, edges[1] + 1.5, edges[2] - 3, edges[3] - 3);
  }
}

/** The maps of one layer, side by side in one canvas. */
class Viewer {
  constructor({ layer, shape }, at, { onLook, onLeave }) {
    const [maps, height, width] = shape;
    this.name = layer.charAt(0).toUpperCase() + layer.slice(1);
    this.shape = shape;
    this.at = at;
    this.columns = Math.min(maps, bestColumns(maps, height, width));
    this.rows = Math.ceil(maps / this.columns);
    this.pitch = [width + GAP, height + GAP];
    this.scale = Math.max(1, Math.round(1400 / (this.columns * this.pitch[0])));
    this.chosen = null;
    this.figure = this.build(layer);
    this.values = new Uint8Array(maps * height * width);
    this.small = new OffscreenCanvas(this.columns * this.pitch[0] - GAP, this.rows * this.pitch[1] - GAP);
    this.image = new ImageData(this.small.width, this.small.height);
    this.pixels = new Uint32Array(this.image.data.buffer); // four bytes at a time, for there are tens of thousands
    this.places = Uint32Array.from(this.values, (_, index) => {
      const [x, y] = this.corner(index);
      return y * this.small.width + x;
    });
    this.canvas.width = this.small.width * this.scale;
    this.canvas.height = this.small.height * this.scale;
    this.listen(onLook, onLeave);
  }

  build(layer) {
    const figure = document.createElement("figure");
    figure.className = "map";
    const viewer = document.createElement("div");
    viewer.className = "viewer";
    viewer.tabIndex = 0;
    viewer.setAttribute("role", "application");
    const [maps, height, width] = this.shape;
    const what = height * width > 1 ? `${maps} maps of ${height} × ${width}` : `${maps} units`;
    viewer.setAttribute("aria-label", `${layer}: ${what}. Arrow keys walk from unit to unit.`);
    this.canvas = document.createElement("canvas");
    viewer.append(this.canvas);
    const caption = document.createElement("figcaption");
    caption.textContent = `${layer}: ${what}`;
    figure.append(viewer, caption);
    this.viewer = viewer;
    return figure;
  }

  listen(onLook, onLeave) {
    const point = (event) => {
      const index = this.unitAt(event);
      if (index !== null) onLook(this, index);
    };
    this.viewer.addEventListener("pointermove", point);
    this.viewer.addEventListener("pointerdown", point);
    this.viewer.addEventListener("pointerleave", onLeave);
    this.viewer.addEventListener("blur", onLeave);
    this.viewer.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      onLook(this, this.chosen === null ? 0 : this.walk(step));
    });
  }

  /** The unit under the pointer; null between maps. */
  unitAt({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const x = Math.floor(((clientX - left) / width) * this.small.width);
    const y = Math.floor(((clientY - top) / height) * this.small.height);
    return this.index(x, y);
  }

  /** The unit at a pixel of the small canvas; null outside of the maps. */
  index(x, y) {
    const [maps, height, width] = this.shape;
    const [column, row] = [Math.floor(x / this.pitch[0]), Math.floor(y / this.pitch[1])];
    const [inX, inY] = [x - column * this.pitch[0], y - row * this.pitch[1]];
    const map = row * this.columns + column;
    const isInside = x >= 0 && y >= 0 && column < this.columns && map < maps && inX < width && inY < height;
    return isInside ? (map * height + inY) * width + inX : null;
  }

  /** Upper left corner of a unit in the small canvas. */
  corner(index) {
    const [, height, width] = this.shape;
    const map = Math.floor(index / (height * width));
    const inside = index % (height * width);
    return [
      (map % this.columns) * this.pitch[0] + (inside % width),
      Math.floor(map / this.columns) * this.pitch[1] + Math.floor(inside / width),
    ];
  }

  /** The unit one step further, over the gaps between maps; the same at the edge. */
  walk([dx, dy]) {
    let [x, y] = this.corner(this.chosen);
    for (let tries = 0; tries <= GAP; tries++) {
      x += dx;
      y += dy;
      const index = this.index(x, y);
      if (index !== null) return index;
    }
    return this.chosen;
  }

  show(values) {
    this.values = values;
    this.paint();
  }

  mark(index) {
    this.chosen = index;
    this.paint();
  }

  paint() {
    const { values, places, pixels } = this;
    for (let index = 0; index < values.length; index++) pixels[places[index]] = COLOURS[values[index]];
    this.small.getContext("2d").putImageData(this.image, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.small, 0, 0, this.canvas.width, this.canvas.height);
    if (this.chosen === null) return;
    const [x, y] = this.corner(this.chosen).map((value) => value * this.scale);
    context.strokeStyle = colourText("--frame");
    context.lineWidth = Math.max(2, this.scale / 5);
    context.strokeRect(x, y, this.scale, this.scale);
  }
}

/** From silent to the strongest answer: dark blue over orange to a pale yellow, for 0 to 255, as a canvas holds them. */
const COLOURS = new Uint32Array(Uint8Array.from(Array.from({ length: 256 }, (_, value) => {
  const stops = [[16, 20, 28], [64, 52, 110], [196, 84, 60], [250, 180, 60], [255, 246, 200]];
  const at = Math.sqrt(value / 255) * (stops.length - 1); // weak answers are seen too
  const low = Math.min(Math.floor(at), stops.length - 2);
  return [...stops[low].map((from, channel) => Math.round(from + (stops[low + 1][channel] - from) * (at - low))), 255];
}).flat()).buffer);

/** How many maps stand in a row: the layer about seven times as wide as high, on a phone two and a half times. */
function bestColumns(maps, height, width) {
  const ratio = matchMedia("(max-width: 819px)").matches ? 2.5 : 7;
  return Math.max(1, Math.ceil(Math.sqrt((ratio * maps * (height + GAP)) / (width + GAP))));
}
