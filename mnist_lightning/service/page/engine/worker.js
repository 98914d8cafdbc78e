// The engine in a worker of its own, so that reading never holds up the pen.

import { Network } from "./network.js";
import { serve } from "./serve.js";

serve((file) => new Network(file));
