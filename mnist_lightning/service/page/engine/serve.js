// What every worker does: it makes a reader of the file it is started with, and answers what the page asks of it.

import { Reader } from "./reader.js";

/** Answer the page's messages; `networkOf` makes the network of the page's file. */
export function serve(networkOf) {
  let reader = null;

  const tasks = {
    async start({ file }) {
      reader = new Reader(await networkOf(file), file);
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
}
