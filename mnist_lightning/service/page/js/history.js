// The last drawings, kept in this browser alone.

import { encodeStrokes } from "./codec.js";

const KEY = "mnist-lightning.drawings";
const MOST = 24;

/** [{strokes: text, number: what was read, label: what it was, or null}], the newest first. */
export function lastDrawings() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list) ? list.filter((each) => typeof each?.strokes === "string") : [];
  } catch {
    return [];
  }
}

/** Put a drawing at the head of the list, or move it there; whether the browser keeps it. */
export function rememberDrawing(strokes, number, label = null) {
  const text = encodeStrokes(strokes);
  const others = lastDrawings().filter((each) => each.strokes !== text);
  return text !== null && store([{ strokes: text, number, label }, ...others]);
}

/** Remove one drawing, or all of them. */
export function forgetDrawing(strokes = null) {
  store(strokes === null ? [] : lastDrawings().filter((each) => each.strokes !== strokes));
}

function store(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
    return true;
  } catch {
    return false; // storage is full or switched off: the page works without it
  }
}
