// The page as a service shows it.

import { start } from "./page.js";
import { RemoteEngine } from "./remote.js";

start(new RemoteEngine());
