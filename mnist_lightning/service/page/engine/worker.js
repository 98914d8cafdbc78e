// The engine in a worker of its own, so that reading never holds up the pen.

import { Network } from "./network.js";
import { Reader } from "./reader.js";

let reader = null;

const tasks = {
  start({ file }) {
    reader = new Reader(new Network(file), file);
    return true;
  },
  read: (source) => reader.read(source),
  explain: ({ wantsSaliency, ...source }) => reader.explain(source, wantsSaliency),
};

self.onmessage = async ({ data: { id, task, ...content } }) => {
  try {
    self.postMessage({ id, result: await tasks[task](content) });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};
