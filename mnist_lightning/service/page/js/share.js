// A drawing for others: a link that holds it, or a PNG.

import { encodeStrokes } from "./codec.js";
import { SHEET } from "./drawing.js";
import { paintStrokes } from "./paint.js";

const SCALE = 2; // pixels of the PNG per unit

/** Put a drawing into the page's address and onto the clipboard; what to tell the user. */
export async function shareLink(strokes) {
  const text = encodeStrokes(strokes);
  if (!text) return "This drawing is too long for a link: save it as PNG.";
  history.replaceState(null, "", `#d=${text}`);
  try {
    await navigator.clipboard.writeText(location.href);
    return "Link copied: it holds the drawing itself.";
  } catch {
    return "The address of this page now holds the drawing: copy it from the address bar.";
  }
}

/** Download the drawing, dark on white, with what it reads as. */
export function savePng(strokes, number) {
  const canvas = document.createElement("canvas");
  canvas.width = SHEET.width * SCALE;
  canvas.height = SHEET.height * SCALE;
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(SCALE, SCALE);
  paintStrokes(context, strokes, "#22262b");
  context.fillStyle = "#5b636c";
  context.font = "16px system-ui, sans-serif";
  context.fillText(`reads ${number || "nothing"}`, 14, SHEET.height - 14);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `digits-${number.replace(/[^0-9A-Za-z]/g, "") || "unread"}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}
