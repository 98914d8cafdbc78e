// What was read, in words, bars and small pictures.

import { paintGrey } from "./paint.js";

const MOST_BARS = 10;

/** Readings without digits of a sheet without ink, and of one that could not be read. */
export const EMPTY = { digits: [], number: "Draw a digit", verdict: "or several: they are read as a number" };
export const UNREAD = { digits: [], verdict: "not read" };

export class Panel {
  /** `onFocus` is called with the index of a digit that somebody chose. */
  constructor({ onFocus }) {
    for (const id of ["number", "verdict", "spoken", "thumbs", "bars", "bars-title"]) {
      this[id] = document.getElementById(id);
    }
    this.onFocus = onFocus;
    this.timer = 0;
    this.rows = [];
  }

  /** Show a reading, {digits, rows: how many each row has}; `focus` is the index of the digit whose bars are shown. */
  show(reading, focus, classNames) {
    const { digits } = reading;
    this.showNumber(reading);
    this.showThumbs(digits, focus);
    this["bars-title"].textContent = digits.length > 1 ? "How likely, the chosen one" : "How likely";
    this.showBars(digits[focus], classNames);
    document.title = digits.length ? `${shownNumber(reading)} - MNIST Lightning` : "MNIST Lightning";
    // Screen readers hear what it settles on, not each step of a stroke.
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.spoken.textContent = digits.length ? `Reads ${spokenNumber(reading)}. ${verdict(reading)}.`
        : reading.verdict ? "" : "No digit found.";
    }, 500);
  }

  showNumber(reading) {
    const { number } = this;
    const { digits } = reading;
    const length = shownNumber(reading).length;
    number.className = "number";
    if (!digits.length) number.classList.add("empty");
    else if (length > 10) number.classList.add("many");
    else if (length > 5) number.classList.add("some");
    const figures = rowsOf(reading).map((row) => row.map(figure));
    number.replaceChildren(...(digits.length ? figures.flatMap((row, at) => (at ? [" ", ...row] : row)) : [reading.number ?? ""]));
    this.verdict.textContent = verdict(reading);
    this.verdict.className = "verdict";
    if (!digits.length) this.verdict.classList.add("plain");
    else if (!digits.every((digit) => digit.sure)) this.verdict.classList.add("unsure");
  }

  showThumbs(digits, focus) {
    const { thumbs } = this;
    thumbs.parentElement.classList.toggle("several", digits.length > 1);
    if (digits.length < 2) {
      if (!(thumbs.children.length === 1 && thumbs.firstChild instanceof HTMLCanvasElement)) {
        thumbs.replaceChildren(picture());
      }
      thumbs.firstChild.setAttribute("aria-label", digits.length ? "The 28 by 28 image" : "An empty image");
      paintGrey(thumbs.firstChild, digits[0]?.image ?? new Uint8Array(784));
      return;
    }
    if (thumbs.children.length !== digits.length || !(thumbs.firstChild instanceof HTMLButtonElement)) {
      thumbs.replaceChildren(...digits.map((_, index) => this.thumb(index)));
    }
    digits.forEach((digit, index) => {
      const button = thumbs.children[index];
      button.setAttribute("aria-pressed", String(index === focus));
      button.lastChild.textContent = `${digit.digit}  ${percent(digit.confidence)}`;
      button.lastChild.className = digit.sure ? "" : "unsure";
      paintGrey(button.firstChild, digit.image ?? new Uint8Array(784));
    });
  }

  thumb(index) {
    const button = document.createElement("button");
    button.type = "button";
    const canvas = picture();
    canvas.setAttribute("aria-hidden", "true");
    button.append(canvas, document.createElement("span"));
    button.addEventListener("click", () => this.onFocus(index));
    return button;
  }

  showBars(digit, classNames) {
    const shown = digit ? likeliest(digit.probabilities) : classNames.slice(0, MOST_BARS).map((_, index) => index);
    while (this.rows.length < shown.length) this.rows.push(makeRow());
    this.rows.length = shown.length;
    if (this.bars.children.length !== shown.length) this.bars.replaceChildren(...this.rows);
    shown.forEach((index, place) => {
      const row = this.rows[place];
      const chance = digit ? digit.probabilities[index] : null;
      const [name, track, share] = row.children;
      row.className = digit && classNames[index] === digit.digit ? "best" : "";
      if (row.className && !digit.sure) row.classList.add("unsure");
      name.textContent = classNames[index];
      share.textContent = chance === null ? "" : percent(chance);
      track.firstChild.style.width = `${100 * (chance ?? 0)}%`;
    });
  }
}

function makeRow() {
  const row = document.createElement("li");
  const [name, track, fill, share] = ["name", "track", "fill", "percent"].map((kind) => {
    const span = document.createElement("span");
    span.className = kind;
    return span;
  });
  track.append(fill);
  row.append(name, track, share);
  return row;
}

function picture() {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  return canvas;
}

function figure(digit) {
  const span = document.createElement("span");
  span.textContent = digit.sure ? digit.digit : "?";
  if (!digit.sure) span.className = "unsure";
  return span;
}

/** Indices of the likeliest classes, in their own order. */
function likeliest(probabilities) {
  const order = Array.from(probabilities, (chance, index) => ({ chance, index }));
  order.sort((a, b) => b.chance - a.chance || a.index - b.index);
  return order.slice(0, MOST_BARS).map(({ index }) => index).sort((a, b) => a - b);
}

const LEAST = 0.35; // the probability below which what was drawn is not called a digit

/** The digits of each row. */
function rowsOf({ digits, rows }) {
  const isKnown = rows && rows.reduce((sum, length) => sum + length, 0) === digits.length;
  let at = 0;
  return (isKnown ? rows : [digits.length]).map((length) => digits.slice(at, (at += length)));
}

/** The numbers of all rows, each digit named by `name`. */
const written = (reading, name) => rowsOf(reading).map((row) => row.map(name).join("")).join(" ");

/** The number, with "?" for each digit that is not sure. */
export const shownNumber = (reading) => written(reading, (each) => (each.sure ? each.digit : "?"));

/** The number, with the likeliest class of each digit, sure or not. */
export const bestNumber = (reading) => written(reading, (each) => each.digit);

const spokenNumber = (reading) =>
  rowsOf(reading).map((row) => row.map((each) => (each.sure ? each.digit : "unsure")).join(" ")).join(", ");

/** How sure the reading is, in words. */
function verdict(reading) {
  const { digits } = reading;
  if (!digits.length) return reading.verdict ?? "no digit found";
  const known = digits.filter(({ sure, confidence }) => sure || confidence >= LEAST);
  if (2 * known.length < digits.length) return "no digit that I know";
  const unsure = digits.filter((digit) => !digit.sure);
  if (!unsure.length) return `${percent(Math.min(...digits.map((digit) => digit.confidence)))} sure`;
  if (digits.length === 1) return `not sure: perhaps ${digits[0].digit}, ${percent(digits[0].confidence)}`;
  return `not sure of ${unsure.length} of ${digits.length}: perhaps ${bestNumber(reading)}`;
}

/** A share in whole percent, never rounded up to 100. */
export function percent(share) {
  return `${Math.min(Math.round(100 * share), share < 1 ? 99 : 100)} %`;
}
