// The page: what is drawn goes to an engine, what it reads goes to the panel.

import { decodeStrokes } from "./codec.js";
import { PEN_WIDTH } from "./drawing.js";
import { forgetDrawing, lastDrawings, rememberDrawing } from "./history.js";
import { Inside } from "./inside.js";
import { colourText, paintStrokes } from "./paint.js";
import { EMPTY, Panel, UNREAD, bestNumber, shownNumber } from "./panel.js";
import { SAMPLES, sample } from "./samples.js";
import { savePng, shareLink } from "./share.js";
import { Sheet } from "./sheet.js";

const SALIENCY_PAUSE = 200; // ms without a change before it is worked out which pixels decided

const WORKING = "Working out which pixels decided …";

const $ = (id) => document.getElementById(id);

class Page {
  constructor(engine) {
    this.engine = engine;
    this.classNames = [..."0123456789"];
    this.reading = EMPTY;
    this.focus = 0;
    this.version = 0; // of what is on the sheet
    this.readVersion = -1;
    this.busy = false;
    this.explaining = false;
    this.explained = ""; // which version has been explained, and how
    this.showsDeciding = false;
    this.pauseTimer = 0;
    this.asked = null; // the label that waits to be given again
    this.opening = null; // the file that is being opened
    this.hasNoKey = false; // somebody was asked for one, and has none
    this.sheet = new Sheet($("sheet"), { onChange: () => this.changed(), onSay: (text) => this.say(text) });
    this.panel = new Panel({ onFocus: (index) => this.choose(index) });
    this.inside = new Inside();
    this.inside.onSeen = () => this.explain();
    this.panel.show(this.reading, 0, this.classNames);
    this.wire();
    this.showHistory();
  }

  /** Ask the engine what it is; then read what is on the sheet already. */
  async start() {
    try {
      await this.meet();
    } catch (error) {
      this.failed(error);
    }
    document.documentElement.dataset.ready = "true";
    this.read();
  }

  async meet() {
    const model = await this.engine.model();
    this.model = model;
    this.classNames = model.classNames;
    $("model").textContent = model.title;
    this.inside.useNetwork(model.network, model.imageSize);
    this.makeLabels();
    this.panel.show(this.reading, this.focus, this.classNames);
  }

  get source() {
    return this.sheet.picture ? { picture: this.sheet.picture } : { strokes: this.sheet.drawing.strokes };
  }

  /** Something on the sheet is different now. */
  changed() {
    this.version++;
    document.documentElement.dataset.changed = String(this.version); // for whoever drives the page
    this.asked = null;
    this.opening = null;
    const { drawing, isEmpty } = this.sheet;
    $("undo").disabled = !drawing.past.length;
    $("redo").disabled = !drawing.future.length;
    $("clear").disabled = isEmpty;
    for (const id of ["link", "save"]) $(id).disabled = !drawing.strokes.length;
    if (isEmpty) this.show(EMPTY); // whatever is still being read
    if (!this.isLasting && !this.sheet.cursor?.isDown) this.say(""); // it was about what was there before
    this.holdFocus();
    this.read();
  }

  /** Read the sheet, and again as long as it has changed meanwhile: one request at a time. */
  async read() {
    if (this.busy || !document.documentElement.dataset.ready) return;
    this.busy = true;
    while (this.readVersion !== this.version) {
      const version = this.version;
      try {
        if (!this.model) await this.meet(); // it did not answer before
        const { isEmpty, picture } = this.sheet;
        const began = performance.now();
        const reading = isEmpty ? null : await this.engine.read(this.source);
        if (reading) performance.measure("reading", { start: began });
        performance.clearMeasures("reading"); // observers have it
        this.readVersion = version;
        // Of strokes that have grown meanwhile it is shown; of what has gone from the sheet it is not.
        if (reading && !this.sheet.isEmpty && this.sheet.picture === picture) this.show(reading);
        this.unsay(this.failure);
      } catch (error) {
        this.readVersion = version;
        this.show(UNREAD); // not what was read before
        this.failed(error);
      }
      document.documentElement.dataset.read = String(version);
    }
    this.busy = false;
  }

  show(reading) {
    this.reading = reading;
    this.focus = this.lastDrawn();
    this.panel.show(reading, this.focus, this.classNames);
    this.sheet.showDigits(reading.digits);
    document.documentElement.dataset.best = bestNumber(reading);
    $("label-area").hidden = this.sheet.isEmpty || Boolean(this.sheet.picture);
    this.explain();
  }

  /** Index of the digit that the last stroke belongs to. */
  lastDrawn() {
    const { digits } = this.reading;
    const stroke = this.sheet.drawing.strokes.at(-1);
    if (!stroke || digits.length < 2) return Math.max(digits.length - 1, 0);
    const [x, y] = stroke.points[0];
    const found = digits.findIndex(({ box }) => box && x >= box[0] - 1 && x <= box[2] + 1 && y >= box[1] - 1 && y <= box[3] + 1);
    return found < 0 ? digits.length - 1 : found;
  }

  choose(index) {
    this.focus = index;
    this.panel.show(this.reading, index, this.classNames);
    this.explained = "";
    this.explain();
  }

  /** Show the inside of the network, and what decided once the pen rests: one request at a time. */
  explain() {
    clearTimeout(this.pauseTimer);
    if (!this.reading.digits.length) {
      this.unsay(this.tooMany);
      this.inside.show(null, null);
      this.explained = "";
      return;
    }
    if (!this.model) return;
    if (this.reading.digits.length > this.model.mostExplained) {
      this.inside.show(null, null);
      if (this.showsDeciding) this.say(this.tooMany, true);
      return;
    }
    this.unsay(this.tooMany);
    if (this.colours) this.pauseTimer = setTimeout(() => this.explainNow(true), SALIENCY_PAUSE);
    else if (this.inside.isSeen && this.model.pause) {
      this.pauseTimer = setTimeout(() => this.explainNow(false), this.model.pause);
    }
    if (this.inside.isSeen && !this.model.pause) this.explainNow(false);
  }

  get tooMany() {
    return `At most ${this.model?.mostExplained} digits are explained.`;
  }

  /** Whether the ink is to be coloured by what decided; a picture is not. */
  get colours() {
    return this.showsDeciding && !this.sheet.picture;
  }

  async explainNow(wantsSaliency) {
    if (this.readVersion !== this.version) return; // what is on the sheet now is explained once it is read
    const wanted = `${this.readVersion} ${wantsSaliency}`;
    if (this.explaining || this.explained === wanted || this.explained === `${this.readVersion} true`) return;
    this.explaining = true;
    const { readVersion, reading } = this;
    if (wantsSaliency) this.say(WORKING);
    try {
      const digits = await this.engine.explain(this.source, wantsSaliency);
      if (readVersion === this.readVersion) {
        this.explained = wanted;
        this.inside.show(reading.digits[this.focus]?.image, digits[this.focus]?.layers);
        if (this.colours && digits.every(({ saliency }) => saliency)) {
          this.sheet.showSaliency(reading.digits.map((digit, at) => ({ ...digit, ...digits[at] })));
        }
      }
    } catch (error) {
      this.explained = wanted;
      this.failed(error);
    }
    this.explaining = false;
    this.unsay(WORKING);
    if (readVersion !== this.readVersion || (this.colours && !wantsSaliency)) this.explain();
  }

  failed(error) {
    this.failure = error.message;
    this.say(this.failure, true);
    if (!this.model) $("model").textContent = "The network is not loaded.";
    if (error.status !== 401 || !this.engine.useKey || this.hasNoKey) return;
    const key = prompt("This service asks for a key.");
    this.hasNoKey = !key; // or each stroke would ask again
    if (key) {
      this.engine.useKey(key);
      this.readVersion = -1; // what was refused is read now
      this.start();
    }
  }

  /** Tell the user; until the sheet changes, or `isLasting`, until it is unsaid. */
  say(text, isLasting = false) {
    this.isLasting = isLasting;
    if (isLasting && $("message").textContent === text) return; // a screen reader would read it again
    $("message").textContent = text;
  }

  unsay(text) {
    if ($("message").textContent === text) this.say("");
  }

  /** A button that is disabled or hidden would take the focus with it. */
  holdFocus() {
    if (document.activeElement?.matches(":disabled, [hidden] *")) $("sheet").focus({ preventScroll: true });
  }

  /** Put other strokes on the sheet where they are seen. */
  open(strokes) {
    this.sheet.load(strokes);
    $("sheet").scrollIntoView({ block: "nearest" });
  }

  clear() {
    if (this.sheet.drawing.strokes.length) {
      rememberDrawing(this.sheet.drawing.strokes, shownNumber(this.reading));
      this.showHistory();
    }
    this.sheet.load([]);
    this.say("");
  }

  setPen(width) {
    this.sheet.penWidth = Math.min(Math.max(width, PEN_WIDTH.thinnest), PEN_WIDTH.thickest);
    $("pen").value = String(Math.round(this.sheet.penWidth));
    $("pen-value").textContent = $("pen").value;
  }

  toggleEraser() {
    this.sheet.erases = !this.sheet.erases;
    $("eraser").setAttribute("aria-pressed", String(this.sheet.erases));
  }

  toggleDeciding() {
    this.showsDeciding = !this.showsDeciding;
    $("deciding").setAttribute("aria-pressed", String(this.showsDeciding));
    $("deciding-key").hidden = !this.showsDeciding;
    this.explained = "";
    if (this.showsDeciding && this.sheet.picture) this.say("Only the ink of a drawing is coloured.");
    if (!this.showsDeciding) this.sheet.showSaliency(null);
    this.explain();
  }

  /** A button for each class: "that was a ...". */
  makeLabels() {
    $("labels").replaceChildren(...this.classNames.map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => this.label(name));
      return button;
    }));
    $("label-note").textContent = this.model.keepsDrawings
      ? "The service keeps the drawing with this label."
      : "Kept in this browser alone; no service stores it.";
  }

  /** Keep the drawing as `name`, and clear the sheet; what looks like several digits only if it is said twice. */
  async label(name) {
    if (!this.model || this.keeping) return undefined;
    const { version } = this;
    const number = shownNumber(this.reading);
    const strokes = this.sheet.drawing.strokes.map((stroke) => ({ ...stroke, points: [...stroke.points] }));
    if (!strokes.length) return this.say("Draw a digit first; its key then keeps it.");
    const count = this.reading.digits.length;
    if (count > 1 && this.asked !== name) {
      this.asked = name;
      return this.say(`This reads as ${count} digits. Choose ${name} again to keep all of it as one ${name}.`);
    }
    this.keeping = true; // a second press would keep it twice
    try {
      if (this.model.keepsDrawings) await this.engine.keep(strokes, name);
    } catch (error) {
      return this.failed(error);
    } finally {
      this.keeping = false;
    }
    const isKept = rememberDrawing(strokes, number, name);
    if (!isKept && !this.model.keepsDrawings) return this.say("Not kept: this browser has no room for it, or allows none.");
    this.showHistory();
    if (version === this.version) this.sheet.load([]); // else more has been drawn meanwhile
    return this.say(`Kept as ${name}${this.model.keepsDrawings ? " by the service" : " in this browser"}.`);
  }

  async openPicture(file) {
    if (!file) return;
    this.opening = file;
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
    if (this.opening !== file) { // another file was opened meanwhile, or something was drawn
      bitmap?.close();
      return;
    }
    if (!bitmap) {
      this.say("This file is not a picture that the browser can read: use PNG or JPEG.");
      return;
    }
    this.sheet.showPicture(bitmap);
    this.say(`Reading ${file.name || "the picture"}. Draw, or clear the sheet, to put it away.`);
  }

  showHistory() {
    const list = lastDrawings();
    $("history").hidden = !list.length;
    $("drawings").replaceChildren(...list.map((entry) => this.historyItem(entry)).filter(Boolean));
    this.holdFocus();
  }

  historyItem({ strokes: text, number, label = null }) {
    const strokes = decodeStrokes(text);
    if (!strokes) return null;
    const item = document.createElement("li");
    const open = document.createElement("button");
    const remove = document.createElement("button");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [222, 185];
    const context = canvas.getContext("2d");
    context.scale(0.3, 0.3);
    paintStrokes(context, strokes, colourText("--ink"));
    canvas.setAttribute("aria-hidden", "true");
    const told = document.createElement("span");
    told.textContent = label === null ? `read as ${number || "nothing"}` : `${label}, read as ${number || "nothing"}`;
    open.append(canvas, told);
    open.className = "open";
    open.addEventListener("click", () => this.open(strokes));
    remove.textContent = "Delete";
    remove.setAttribute("aria-label", `Delete the drawing ${told.textContent}`);
    remove.className = "delete";
    remove.addEventListener("click", () => {
      forgetDrawing(text);
      this.showHistory();
      ($("drawings").querySelector(".delete") ?? $("sheet")).focus(); // or the focus would be lost
    });
    open.type = remove.type = "button";
    item.append(open, remove);
    return item;
  }

  async copyLink() {
    this.say(await shareLink(this.sheet.drawing.strokes));
  }

  save() {
    if (this.sheet.picture) return this.say("Only a drawing is saved, not a picture.");
    if (this.sheet.isEmpty) return this.say("Nothing to save: the sheet is empty.");
    savePng(this.sheet.drawing.strokes, shownNumber(this.reading));
    return this.say("Saved as PNG.");
  }

  wire() {
    const actions = {
      undo: () => this.sheet.undo(),
      redo: () => this.sheet.redo(),
      clear: () => this.clear(),
      eraser: () => this.toggleEraser(),
      deciding: () => this.toggleDeciding(),
      link: () => this.copyLink(),
      save: () => this.save(),
      "help-open": () => $("help").showModal(),
      "help-close": () => $("help").close(),
      forget: () => {
        forgetDrawing();
        this.showHistory();
      },
    };
    for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
    $("pen").addEventListener("input", (event) => this.setPen(Number(event.target.value)));
    $("picture").addEventListener("change", ({ target }) => {
      this.openPicture(target.files[0]);
      target.value = "";
    });
    for (const name of SAMPLES) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => this.open(sample(name)));
      $("samples").append(button);
    }
    this.wireKeys(actions);
    this.wireDrops();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.showHistory());
    addEventListener("hashchange", () => this.openLink());
  }

  wireKeys(actions) {
    const keys = {
      u: actions.undo, r: actions.redo, c: actions.clear, e: actions.eraser, h: actions.deciding, s: actions.save,
      "?": actions["help-open"],
      "[": () => this.setPen(this.sheet.penWidth / 1.25),
      "]": () => this.setPen(this.sheet.penWidth * 1.25),
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || !$("keys").checked) return;
      if (event.target.closest?.("input:not([type=range]), textarea, select")) return;
      const key = event.key.toLowerCase();
      if (keys[key]) keys[key]();
      else if (/^[0-9]$/.test(key) && this.classNames.includes(key)) {
        if (!event.repeat) this.label(key);
      } else return;
      event.preventDefault();
    });
  }

  wireDrops() {
    const mark = (isOver) => $("sheet").classList.toggle("dropping", isOver);
    addEventListener("dragover", (event) => {
      event.preventDefault();
      mark(true);
    });
    addEventListener("dragleave", () => mark(false));
    addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      this.openPicture(event.dataTransfer.files[0]);
    });
    addEventListener("paste", ({ clipboardData }) => {
      const file = [...(clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file) this.openPicture(file);
    });
  }

  /** Show the drawing that the address of the page holds. */
  openLink() {
    if (!location.hash.startsWith("#d=")) return;
    const strokes = decodeStrokes(location.hash.slice(3));
    if (strokes) this.sheet.load(strokes);
    else this.say("The link holds no drawing that can be read.");
  }
}

/** Start the page with what reads for it. */
export function start(engine) {
  const page = new Page(engine);
  page.openLink();
  page.start();
}
