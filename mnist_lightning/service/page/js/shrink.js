// A picture as engines read it: photographs are much larger than what is read in them.

const LONGEST = 1600; // side, pixels

/** {context, width, height, scale}: a canvas with the picture on it, and its pixels for each of the picture's. */
export function shrunk(picture) {
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const width = Math.max(1, Math.round(picture.width * scale));
  const height = Math.max(1, Math.round(picture.height * scale));
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.imageSmoothingQuality = "high"; // or thin lines break
  context.drawImage(picture, 0, 0, width, height);
  return { context, width, height, scale };
}
