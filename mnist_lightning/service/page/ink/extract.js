// placeholder
import { blank } from "./cv.js";
export function extractInk({ width, height }) { return { ink: blank(width, height), left: 0, top: 0, scale: 1 }; }
