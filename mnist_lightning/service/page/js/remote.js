// The engine of the page as a service shows it: every reading is a request to the service that the page came from.
//
// Engines are alike: `model()`, `read(source)`, `explain(source, wantsSaliency)`, `keep(strokes, label)`.
// A source is {strokes: [{id, points, width}]} or {picture: ImageBitmap}.

import { decodeBase64 } from "../engine/base64.js";
import { shrunk } from "./shrink.js";

const LONGEST_WAIT = 30000; // ms for an answer
const RETRIES = 5; // of a request that finds the service busy
const KEY = "mnist-lightning.key";

/** What a user is told of a request that failed; `status` is that of HTTP, 0 without an answer. */
export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export class RemoteEngine {
  constructor() {
    this.picture = null;
    this.encoded = null;
    try {
      this.key = sessionStorage.getItem(KEY);
    } catch {
      this.key = null; // the browser allows no storage
    }
  }

  /**
   * {title, classNames, network: its settings, imageSize, keepsDrawings, pause: ms without a change before it is
   * asked to explain, mostExplained: digits}
   */
  async model() {
    const model = await this.ask("v1/model");
    const { card } = model;
    return {
      title: [model.name, model.precision, card.dataset && `trained on ${card.dataset}`].filter(Boolean).join(", "),
      classNames: model.classes,
      network: card.network ?? null,
      imageSize: card.image_size ?? 28,
      keepsDrawings: model.keeps_drawings,
      pause: 150,
      mostExplained: 8,
    };
  }

  async read(source) {
    const { type, data, scale = 1 } = await this.body(source);
    const answer = await this.ask("v1/predict?images=true", { type, data });
    return {
      milliseconds: answer.milliseconds,
      rows: answer.number.split(" ").map((row) => row.length), // a row is a number
      digits: answer.digits.map((digit) => ({
        ...digit,
        digit: String(digit.digit),
        box: digit.box?.map((side) => side / scale),
        image: digit.image && Uint8Array.from(digit.image.flat()),
      })),
    };
  }

  /** For each digit {saliency, layers}; a service computes both whatever is wanted. */
  async explain(source) {
    const answer = await this.ask("v1/explain", await this.body(source));
    return answer.digits.map(({ saliency, feature_maps: layers }) => ({
      saliency: Float32Array.from(saliency.flat()),
      layers: layers.map(({ layer, shape, low, high, maps }) => ({ layer, shape, maps: strength(maps, low, high) })),
    }));
  }

  /** Give a labelled drawing to the service, which keeps it where its owner said so. */
  async keep(strokes, label) {
    const body = { ...plain(strokes), label: Number(label) };
    await this.ask("v1/drawings", { type: "application/json", data: JSON.stringify(body) });
  }

  /** {type, data}; of a picture also `scale`: its pixels as they are sent for each of the picture's. */
  async body({ strokes, picture }) {
    if (picture) {
      if (this.picture !== picture) {
        this.encoded = await encodePicture(picture);
        this.picture = picture;
      }
      return this.encoded;
    }
    return { type: "application/json", data: JSON.stringify(plain(strokes)) };
  }

  /** GET, or POST of {type, data}; parsed JSON. Waits and asks again where the service is busy. */
  async ask(path, body = null, tries = RETRIES) {
    const headers = { Accept: "application/json" };
    if (body) headers["Content-Type"] = body.type;
    if (this.key) headers["X-API-Key"] = this.key;
    let answer;
    try {
      answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body?.data, signal: AbortSignal.timeout(LONGEST_WAIT) });
    } catch {
      throw new ServiceError("The service does not answer. It is asked again when you go on.", 0);
    }
    if (answer.ok) {
      return answer.json().catch(() => {
        throw new ServiceError("The service gave an answer that cannot be read.", answer.status);
      });
    }
    if ((answer.status === 503 || answer.status === 429) && tries > 1) {
      const seconds = Number(answer.headers.get("Retry-After")) || 0.5;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.min(seconds, 5)); });
      return this.ask(path, body, tries - 1);
    }
    const problem = await answer.json().catch(() => ({}));
    throw new ServiceError(problem.detail ?? problem.title ?? `The service answered ${answer.status}.`, answer.status);
  }

  /** The key that a service with keys wants, kept until this tab is closed. */
  useKey(key) {
    this.key = key;
    try {
      sessionStorage.setItem(KEY, key);
    } catch {
      // The browser allows no storage: it is asked for again after a reload.
    }
  }
}

/** Strokes as the service takes them. */
const plain = (strokes) => ({
  strokes: strokes.map(({ points }) => points), widths: strokes.map(({ width }) => width),
});

/** From bytes between `low` and `high` to how strong each answer is, 0 to 255, whatever its sign. */
function strength(text, low, high) {
  const strongest = Math.max(Math.abs(low), Math.abs(high), 1e-9);
  return decodeBase64(text).map((byte) => {
    const value = low + (byte / 255) * (high - low);
    return Math.round((255 * Math.abs(value)) / strongest);
  });
}

/** A picture as PNG where it is small or transparent, else as JPEG: {type, data, scale}. */
async function encodePicture(picture) {
  const { context, width, height, scale } = shrunk(picture);
  const isPng = width * height <= 500000 || isTransparent(context.getImageData(0, 0, width, height).data);
  const data = await context.canvas.convertToBlob(isPng ? { type: "image/png" } : { type: "image/jpeg", quality: 0.95 });
  return { type: data.type, data, scale };
}

/** Whether some of these pixels (RGBA) are; a JPEG would have them black. */
function isTransparent(pixels) {
  for (let at = 3; at < pixels.length; at += 4) {
    if (pixels[at] < 255) return true;
  }
  return false;
}
