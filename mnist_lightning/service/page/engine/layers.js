// The layers of a network: what each one computes for one image, and how a gradient goes back through it.
//
// Values are Float32Array in the order [channel, row, column]. A layer keeps its last input for `backward`.

/** Shape of the values between two layers: channels, height, width. A vector is [n, 1, 1]. */
const count = ([channels, height, width]) => channels * height * width;

/**
 * C[o, p] = sum over k of A[o, k] * B[k, p], with A and B packed in blocks: A as [o / 4][k][4], B as [p / 3][k][3].
 * Twelve sums at a time stay in registers, so that each value that is read is used three or four times.
 */
function multiply(a, b, into, rows, inner, columns, stride) {
  for (let o = 0; o < rows; o += 4) {
    for (let p = 0; p < columns; p += 3) {
      let s00 = 0, s01 = 0, s02 = 0, s10 = 0, s11 = 0, s12 = 0;
      let s20 = 0, s21 = 0, s22 = 0, s30 = 0, s31 = 0, s32 = 0;
      let i = o * inner;
      let j = p * inner;
      for (let k = 0; k < inner; k++, i += 4, j += 3) {
        const b0 = b[j], b1 = b[j + 1], b2 = b[j + 2];
        let w = a[i];
        s00 += w * b0; s01 += w * b1; s02 += w * b2;
        w = a[i + 1];
        s10 += w * b0; s11 += w * b1; s12 += w * b2;
        w = a[i + 2];
        s20 += w * b0; s21 += w * b1; s22 += w * b2;
        w = a[i + 3];
        s30 += w * b0; s31 += w * b1; s32 += w * b2;
      }
      let at = o * stride + p;
      into[at] = s00; into[at + 1] = s01; into[at + 2] = s02;
      at += stride;
      into[at] = s10; into[at + 1] = s11; into[at + 2] = s12;
      at += stride;
      into[at] = s20; into[at + 1] = s21; into[at + 2] = s22;
      at += stride;
      into[at] = s30; into[at + 1] = s31; into[at + 2] = s32;
    }
  }
}

const roundUp = (value, to) => Math.ceil(value / to) * to;

/** Convolution with stride 1: weight [outputs, inputs * kernel * kernel]. */
export class Convolution {
  constructor(shape, { outputs, kernel, padding }, weight, bias) {
    const [channels, height, width] = shape;
    Object.assign(this, { channels, height, width, outputs, kernel, padding, weight, bias });
    this.rows = height + 2 * padding - kernel + 1;
    this.columns = width + 2 * padding - kernel + 1;
    this.shape = [outputs, this.rows, this.columns];
    this.inner = channels * kernel * kernel;
    this.places = this.rows * this.columns;
    this.stride = roundUp(this.places, 3);
    this.packed = new Float32Array(roundUp(outputs, 4) * this.inner);
    for (let o = 0; o < outputs; o++) {
      for (let k = 0; k < this.inner; k++) {
        this.packed[((o >> 2) * this.inner + k) * 4 + (o & 3)] = weight[o * this.inner + k];
      }
    }
    this.patches = new Float32Array(this.stride * this.inner);
    this.sums = new Float32Array(roundUp(outputs, 4) * this.stride);
    this.out = new Float32Array(count(this.shape));
  }

  forward(input) {
    this.gather(input);
    multiply(this.packed, this.patches, this.sums, roundUp(this.outputs, 4), this.inner, this.stride, this.stride);
    for (let o = 0; o < this.outputs; o++) {
      const bias = this.bias ? this.bias[o] : 0;
      for (let p = 0; p < this.places; p++) this.out[o * this.places + p] = this.sums[o * this.stride + p] + bias;
    }
    return this.out;
  }

  /** Copy the patch under each place of the kernel into a column, in blocks of three columns. */
  gather(input) {
    const { channels, height, width, kernel, padding, inner, patches } = this;
    for (let row = 0, p = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++, p++) {
        let to = (p - (p % 3)) * inner + (p % 3);
        for (let channel = 0; channel < channels; channel++) {
          for (let dy = 0; dy < kernel; dy++) {
            const y = row + dy - padding;
            const line = (channel * height + y) * width;
            const outside = y < 0 || y >= height;
            for (let dx = 0; dx < kernel; dx++, to += 3) {
              const x = column + dx - padding;
              patches[to] = outside || x < 0 || x >= width ? 0 : input[line + x];
            }
          }
        }
      }
    }
  }

  backward(gradient) {
    const { channels, height, width, kernel, padding, inner, weight } = this;
    const back = new Float32Array(channels * height * width);
    for (let o = 0, at = 0; o < this.outputs; o++) {
      for (let row = 0; row < this.rows; row++) {
        for (let column = 0; column < this.columns; column++, at++) {
          const g = gradient[at];
          if (g === 0) continue; // behind a pooling most of them are
          for (let channel = 0, k = o * inner; channel < channels; channel++) {
            for (let dy = 0; dy < kernel; dy++) {
              const y = row + dy - padding;
              const line = (channel * height + y) * width + column - padding;
              for (let dx = 0; dx < kernel; dx++, k++) {
                const x = column + dx - padding;
                if (y >= 0 && y < height && x >= 0 && x < width) back[line + dx] += g * weight[k];
              }
            }
          }
        }
      }
    }
    return back;
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
