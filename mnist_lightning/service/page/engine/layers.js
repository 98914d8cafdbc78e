// The layers of a network: what each one computes for one image, and how a gradient goes back through it.
//
// Values are Float32Array in the order [channel, row, column]. A layer keeps its last input for `backward`.

import { COLUMNS, Products, ROWS } from "./multiply.js";

/** Shape of the values between two layers: channels, height, width. A vector is [n, 1, 1]. */
const count = ([channels, height, width]) => channels * height * width;

const roundUp = (value, to) => Math.ceil(value / to) * to;

/** Where the factor of output `o` and input `k` lies, see `Products`. */
const packed = (o, k, inner) => (o - (o % ROWS)) * inner + k * ROWS + (o % ROWS);

/**
 * A 3 x 3 convolution in tiles of 2 x 2 outputs, with 16 products in place of 36: F(2 x 2, 3 x 3) of Lavin and Gray,
 * "Fast algorithms for convolutional neural networks", 2016.
 */
class Winograd {
  constructor([channels, height, width], [outputs, rows, columns], { padding }, weight) {
    Object.assign(this, { channels, height, width, outputs, rows, columns, padding });
    this.down = Math.ceil(rows / 2);
    this.across = Math.ceil(columns / 2);
    this.stride = roundUp(this.down * this.across, COLUMNS);
    this.padded = new Float32Array(channels * (2 * this.down + 2) * (2 * this.across + 2));
    this.products = new Products(16, roundUp(outputs, ROWS), channels, this.stride);
    for (let o = 0; o < outputs; o++) {
      for (let k = 0; k < channels; k++) {
        const from = 9 * (o * channels + k);
        const each = transformed(weight.subarray(from, from + 9));
        for (let part = 0; part < 16; part++) this.products.a[part][packed(o, k, channels)] = each[part];
      }
    }
  }

  /** Fill `out` [outputs, rows, columns]. */
  into(out, input) {
    this.spread(input);
    this.products.run();
    this.collect(out);
  }

  /** Each tile's 4 x 4 inputs, transformed, in blocks of COLUMNS tiles. */
  spread(input) {
    const { channels, height, width, padding, padded } = this;
    const tiles = this.products.b;
    const [high, wide] = [2 * this.down + 2, 2 * this.across + 2];
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < height; row++) {
        const from = (channel * height + row) * width;
        padded.set(input.subarray(from, from + width), (channel * high + row + padding) * wide + padding);
      }
    }
    const half = new Float64Array(16);
    for (let p = 0; p < this.down * this.across; p++) {
      const corner = 2 * Math.floor(p / this.across) * wide + 2 * (p % this.across);
      let to = (p - (p % COLUMNS)) * channels + (p % COLUMNS);
      for (let channel = 0, at = corner; channel < channels; channel++, at += high * wide, to += COLUMNS) {
        for (let x = 0; x < 4; x++) {
          const a = padded[at + x], b = padded[at + wide + x], c = padded[at + 2 * wide + x], d = padded[at + 3 * wide + x];
          half[x] = a - c; half[4 + x] = b + c; half[8 + x] = c - b; half[12 + x] = b - d;
        }
        for (let y = 0; y < 16; y += 4) {
          const a = half[y], b = half[y + 1], c = half[y + 2], d = half[y + 3];
          tiles[y][to] = a - c; tiles[y + 1][to] = b + c; tiles[y + 2][to] = c - b; tiles[y + 3][to] = b - d;
        }
      }
    }
  }

  /** The 2 x 2 outputs of each tile from its 16 sums. */
  collect(out) {
    const { rows, columns, stride, across } = this;
    const sums = this.products.c;
    const upper = new Float64Array(4);
    const lower = new Float64Array(4);
    for (let o = 0; o < this.outputs; o++) {
      for (let p = 0; p < this.down * across; p++) {
        const from = o * stride + p;
        for (let x = 0; x < 4; x++) {
          const b = sums[4 + x][from], c = sums[8 + x][from];
          upper[x] = sums[x][from] + b + c;
          lower[x] = b - c - sums[12 + x][from];
        }
        const row = 2 * Math.floor(p / across);
        const column = 2 * (p % across);
        const to = (o * rows + row) * columns + column;
        const isWhole = column + 1 < columns;
        out[to] = upper[0] + upper[1] + upper[2];
        if (isWhole) out[to + 1] = upper[1] - upper[2] - upper[3];
        if (row + 1 === rows) continue;
        out[to + columns] = lower[0] + lower[1] + lower[2];
        if (isWhole) out[to + columns + 1] = lower[1] - lower[2] - lower[3];
      }
    }
  }
}

/** A 3 x 3 kernel as the 16 factors of its products. */
function transformed(kernel) {
  const steps = ([a, b, c]) => [a, (a + b + c) / 2, (a - b + c) / 2, c];
  const columns = [0, 1, 2].map((x) => steps([kernel[x], kernel[3 + x], kernel[6 + x]]));
  return [0, 1, 2, 3].flatMap((y) => steps(columns.map((each) => each[y])));
}

/** A convolution of any kernel as one product: its inputs are copied into columns. */
class Direct {
  constructor([channels, height, width], [outputs, rows, columns], { kernel, padding }, weight) {
    Object.assign(this, { channels, height, width, outputs, rows, columns, kernel, padding });
    this.inner = channels * kernel * kernel;
    this.places = this.rows * this.columns;
    this.stride = roundUp(this.places, COLUMNS);
    this.products = new Products(1, roundUp(outputs, ROWS), this.inner, this.stride);
    for (let o = 0; o < outputs; o++) {
      for (let k = 0; k < this.inner; k++) {
        this.products.a[0][packed(o, k, this.inner)] = weight[o * this.inner + k];
      }
    }
  }

  /** Fill `out` [outputs, rows, columns]. */
  into(out, input) {
    this.gather(input);
    this.products.run();
    for (let o = 0; o < this.outputs; o++) {
      out.set(this.products.c[0].subarray(o * this.stride, o * this.stride + this.places), o * this.places);
    }
  }

  /** Copy the patch under each place of the kernel into a column, in blocks of COLUMNS columns. */
  gather(input) {
    const { channels, height, width, kernel, padding, inner } = this;
    const [patches] = this.products.b;
    for (let row = 0, p = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, p++) {
        let to = (p - (p % COLUMNS)) * inner + (p % COLUMNS);
        for (let channel = 0; channel < channels; channel++) {
          for (let dy = 0; dy < kernel; dy++) {
            const y = row + dy - padding;
            const line = (channel * height + y) * width;
            const outside = y < 0 || y >= height;
            for (let dx = 0; dx < kernel; dx++, to += COLUMNS) {
              const x = column + dx - padding;
              patches[to] = outside || x < 0 || x >= width ? 0 : input[line + x];
            }
          }
        }
      }
    }
  }
}

/** What computes a convolution: tiles pay where there are several, and where each is the sum of many inputs. */
function sumsOf(from, to, settings, weight) {
  const inTiles = settings.kernel === 3 && settings.padding <= 2 && from[0] >= 8 && to[1] * to[2] >= 16;
  return new (inTiles ? Winograd : Direct)(from, to, settings, weight);
}

/** Convolution with stride 1: weight [outputs, inputs * kernel * kernel]. */
export class Convolution {
  constructor(shape, settings, weight, bias) {
    const { outputs, kernel, padding } = settings;
    const [, height, width] = shape;
    this.from = shape;
    this.shape = [outputs, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1];
    Object.assign(this, { ...settings, weight, bias });
    this.places = this.shape[1] * this.shape[2];
    this.sums = sumsOf(shape, this.shape, settings, weight);
    this.out = new Float32Array(count(this.shape));
  }

  forward(input) {
    this.sums.into(this.out, input);
    if (this.bias) {
      for (let o = 0, at = 0; o < this.outputs; o++) {
        for (const end = at + this.places; at < end; at++) this.out[at] += this.bias[o];
      }
    }
    return this.out;
  }

  backward(gradient) {
    const { kernel, padding } = this;
    this.back ??= sumsOf(this.shape, this.from, { kernel, padding: kernel - 1 - padding }, this.turned());
    this.gradient ??= new Float32Array(count(this.from));
    this.back.into(this.gradient, gradient);
    return this.gradient;
  }

  /** The weights of the convolution that takes a gradient back: [channels, outputs, kernel * kernel], turned round. */
  turned() {
    const { weight, outputs } = this;
    const [channels] = this.from;
    const size = this.kernel ** 2;
    return weight.map((_, at) => {
      const [k, o] = [Math.floor(at / size / outputs), Math.floor(at / size) % outputs];
      return weight[(o * channels + k) * size + size - 1 - (at % size)];
    });
  }
}

/** The largest value of each `size` x `size` window; what is left over at the right and below is dropped. */
export class MaxPooling {
  constructor([channels, height, width], { size }) {
    this.from = [channels, height, width];
    this.size = size;
    this.shape = [channels, Math.floor(height / size), Math.floor(width / size)];
    this.out = new Float32Array(count(this.shape));
    this.winner = new Int32Array(this.out.length);
  }

  forward(input) {
    const [channels, height, width] = this.from;
    const [, rows, columns] = this.shape;
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, at++) {
          let best = (channel * height + row * this.size) * width + column * this.size;
          const corner = best;
          for (let dy = 0; dy < this.size; dy++) {
            for (let dx = 0; dx < this.size; dx++) {
              const index = corner + dy * width + dx;
              if (input[index] > input[best]) best = index;
            }
          }
          this.winner[at] = best;
          this.out[at] = input[best];
        }
      }
    }
    return this.out;
  }

  backward(gradient) {
    const back = new Float32Array(count(this.from));
    for (let at = 0; at < gradient.length; at++) back[this.winner[at]] += gradient[at];
    return back;
  }
}

/** The mean of each `size` x `size` window. */
export class MeanPooling {
  constructor([channels, height, width], { size }) {
    this.from = [channels, height, width];
    this.size = size;
    this.shape = [channels, Math.floor(height / size), Math.floor(width / size)];
    this.out = new Float32Array(count(this.shape));
  }

  /** Call `visit(index of the output, index of the input)` for each pair that belongs together. */
  pairs(visit) {
    const [channels, height, width] = this.from;
    const [, rows, columns] = this.shape;
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, at++) {
          const corner = (channel * height + row * this.size) * width + column * this.size;
          for (let dy = 0; dy < this.size; dy++) {
            for (let dx = 0; dx < this.size; dx++) visit(at, corner + dy * width + dx);
          }
        }
      }
    }
  }

  forward(input) {
    const share = 1 / this.size ** 2;
    this.out.fill(0);
    this.pairs((to, from) => { this.out[to] += input[from] * share; });
    return this.out;
  }

  backward(gradient) {
    const back = new Float32Array(count(this.from));
    const share = 1 / this.size ** 2;
    this.pairs((to, from) => { back[from] += gradient[to] * share; });
    return back;
  }
}

/** A factor and an offset for each channel: batch normalisation of a trained network. */
export class Scaling {
  constructor(shape, _, factor, offset) {
    this.shape = shape;
    this.area = shape[1] * shape[2];
    Object.assign(this, { factor, offset });
    this.out = new Float32Array(count(shape));
  }

  forward(input) {
    for (let channel = 0, at = 0; channel < this.shape[0]; channel++) {
      const factor = this.factor[channel];
      const offset = this.offset[channel];
      for (let end = at + this.area; at < end; at++) this.out[at] = input[at] * factor + offset;
    }
    return this.out;
  }

  backward(gradient) {
    return gradient.map((value, at) => value * this.factor[Math.floor(at / this.area)]);
  }
}

/** Values below 0 become 0. */
export class Relu {
  constructor(shape) {
    this.shape = shape;
    this.out = new Float32Array(count(shape));
  }

  forward(input) {
    for (let at = 0; at < input.length; at++) this.out[at] = input[at] > 0 ? input[at] : 0;
    return this.out;
  }

  backward(gradient) {
    return gradient.map((value, at) => (this.out[at] > 0 ? value : 0));
  }
}

/** The hyperbolic tangent. */
export class Tanh {
  constructor(shape) {
    this.shape = shape;
    this.out = new Float32Array(count(shape));
  }

  forward(input) {
    for (let at = 0; at < input.length; at++) this.out[at] = Math.tanh(input[at]);
    return this.out;
  }

  backward(gradient) {
    return gradient.map((value, at) => value * (1 - this.out[at] ** 2));
  }
}

/** A fully connected layer: weight [outputs, inputs]. */
export class Linear {
  constructor(shape, { outputs }, weight, bias) {
    this.inputs = count(shape);
    this.shape = [outputs, 1, 1];
    Object.assign(this, { weight, bias });
    this.out = new Float32Array(outputs);
  }

  forward(input) {
    for (let o = 0, k = 0; o < this.out.length; o++) {
      let sum = this.bias ? this.bias[o] : 0;
      for (let i = 0; i < this.inputs; i++, k++) sum += this.weight[k] * input[i];
      this.out[o] = sum;
    }
    return this.out;
  }

  backward(gradient) {
    const back = new Float32Array(this.inputs);
    for (let o = 0; o < gradient.length; o++) {
      const g = gradient[o];
      if (g === 0) continue;
      for (let i = 0, k = o * this.inputs; i < this.inputs; i++, k++) back[i] += g * this.weight[k];
    }
    return back;
  }
}

/** The layers by the name that an exported network calls them. */
export const LAYERS = {
  convolution: Convolution, max_pooling: MaxPooling, mean_pooling: MeanPooling,
  scaling: Scaling, relu: Relu, tanh: Tanh, linear: Linear,
};
