// What every worker does: it makes a reader of the file it is started with, and answers what the page asks of it.

import { Reader } from "./reader.js";

/** Answer the page's messages, one after another; `networkOf` makes the network of the page's file. */
export function serve(networkOf) {
  let reader = null;
  let last = Promise.resolve(); // a reader must not be asked twice at a time

  const tasks = {
    async start({ file }) {
      reader = new Reader(await networkOf(file), file);
      return true;
    },
    read: (source) => reader.read(source),
    explain: ({ wantsSaliency, ...source }) => reader.explain(source, wantsSaliency),
  };

  const answer = async ({ id, task, ...content }) => {
    try {
      self.postMessage({ id, result: await tasks[task](content) });
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  };

  self.onmessage = ({ data }) => {
    last = last.then(() => answer(data));
  };
}
