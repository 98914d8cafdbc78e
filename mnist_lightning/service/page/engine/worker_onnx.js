// The engine in a worker of its own, for any network: ONNX Runtime Web runs it, with one thread.

import { decodeBase64 } from "./base64.js";
import { argmax } from "./network.js";
import { serve } from "./serve.js";

const PATCH = 4; // side of the square that is covered to see how much it matters, pixels

/** An ONNX model with the face of `Network`. */
class OnnxNetwork {
  constructor(runtime, session, size) {
    Object.assign(this, { runtime, session, size });
  }

  async run(images) {
    const { size, session, runtime } = this;
    const count = images.length / size ** 2;
    const tensor = new runtime.Tensor("float32", images, [count, 1, size, size]);
    const answer = await session.run({ [session.inputNames[0]]: tensor });
    return answer[session.outputNames[0]].data;
  }

  logits(image) {
    return this.run(image);
  }

  /** No gradient here: how much the winning logit falls where a small square of ink is taken away. */
  async saliency(image) {
    const { size } = this;
    const logits = await this.logits(image);
    const winner = argmax(logits);
    const places = (size / PATCH) ** 2;
    const covered = new Float32Array(places * size * size);
    for (let place = 0; place < places; place++) {
      const copy = image.slice();
      patch(place, size, (at) => { copy[at] = 0; });
      covered.set(copy, place * size * size);
    }
    const found = await this.run(covered);
    const saliency = new Float32Array(size * size);
    for (let place = 0; place < places; place++) {
      const fall = logits[winner] - found[place * logits.length + winner];
      let ink = 0;
      patch(place, size, (at) => { ink += image[at]; });
      patch(place, size, (at) => { saliency[at] = ink > 0 ? (fall * image[at]) / ink : 0; });
    }
    return saliency;
  }

  featureMaps() {
    return [];
  }
}

/** Call `visit` with the index of each pixel of a square. */
function patch(place, size, visit) {
  const columns = size / PATCH;
  const corner = Math.floor(place / columns) * PATCH * size + (place % columns) * PATCH;
  for (let y = 0; y < PATCH; y++) for (let x = 0; x < PATCH; x++) visit(corner + y * size + x);
}

serve(async ({ runtime: { main, loader, wasm }, model, imageSize }) => {
  const address = (text, type) => URL.createObjectURL(new Blob([decodeBase64(text)], { type }));
  const runtime = await import(address(main, "text/javascript"));
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { mjs: address(loader, "text/javascript") };
  runtime.env.wasm.wasmBinary = decodeBase64(wasm);
  const session = await runtime.InferenceSession.create(decodeBase64(model), { executionProviders: ["wasm"] });
  return new OnnxNetwork(runtime, session, imageSize);
});
