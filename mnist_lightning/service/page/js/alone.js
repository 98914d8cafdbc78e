// The page that is one file: the network and the worker's code are in it.

import { LocalEngine } from "./local.js";
import { start } from "./page.js";

const text = (id) => document.getElementById(id).textContent;

start(new LocalEngine(JSON.parse(text("network")), text("worker")));
