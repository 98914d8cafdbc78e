// The page that is one file: the network and the worker's code, compressed, are in it.

import { decodeBase91 } from "../engine/base91.js";
import { LocalEngine } from "./local.js";
import { start } from "./page.js";

const text = (id) => document.getElementById(id).textContent;

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

inflated(decodeBase91(text("worker"))).then((code) => {
  start(new LocalEngine(JSON.parse(text("network")), code));
});
