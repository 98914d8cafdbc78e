// The engine of the page that is one file: a worker in it, made of what the file holds. No network is asked.

import { shrunk } from "./shrink.js";

export class LocalEngine {
  /** `file`: the exported network; `code`: the source of the worker. */
  constructor(file, code) {
    this.waiting = new Map();
    this.lastId = 0;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => this.fail(event.message || "The engine could not be started.");
    this.file = file;
    this.started = this.ask("start", { file });
  }

  async model() {
    await this.started;
    const { card } = this.file;
    return {
      title: [card.title, "in this page alone: nothing is sent"].filter(Boolean).join(", "),
      classNames: this.file.classNames,
      network: card.network,
      imageSize: this.file.imageSize,
      keepsDrawings: false,
      pause: 0,
      mostExplained: 8,
    };
  }

  async read(source) {
    return this.ask("read", await message(source));
  }

  async explain(source, wantsSaliency) {
    return this.ask("explain", { ...(await message(source)), wantsSaliency });
  }

  ask(task, content) {
    if (this.failure) return Promise.reject(new Error(this.failure));
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, ...content });
    });
  }

  receive({ id, result, error }) {
    const { resolve, reject } = this.waiting.get(id) ?? {};
    if (!this.waiting.delete(id)) return; // it was given up
    if (error) reject(new Error(error));
    else resolve(result);
  }

  fail(text) {
    this.failure = text;
    for (const { reject } of this.waiting.values()) reject(new Error(text));
    this.waiting.clear();
  }
}

/** A source as it goes to the worker: a picture as its pixels. */
async function message({ strokes, picture }) {
  if (!picture) return { strokes };
  const { context, width, height, scale } = shrunk(picture);
  const { data } = context.getImageData(0, 0, width, height);
  return { pixels: { data, width, height, scale } };
}
