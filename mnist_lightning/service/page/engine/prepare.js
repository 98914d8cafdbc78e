// What comes before the first layer: crop and normalisation of the image, and of the image without its slant.
//
// The arithmetic of mnist_lightning/models/prepare.py, and its derivative.

const FAINTEST = 0.01; // images with less contrast are not brought to a standard deviation of 1
const STEEPEST = 0.8; // the most slant that is taken out, columns per row

/** From image [size * size], 0 to 1, to the network's input [inputs.length, crop, crop]. */
export class Prepare {
  constructor(size, { inputs, crop, mean, std, standardize }) {
    Object.assign(this, { size, inputs, mean, std, standardize });
    this.side = crop || size;
    this.border = Math.floor((size - this.side) / 2);
    this.shape = [inputs.length, this.side, this.side];
    this.upright = inputs.includes("deslanted") ? new Deslant(size) : null;
  }

  forward(image) {
    const { size, side, border } = this;
    const area = side * side;
    const out = new Float32Array(this.inputs.length * area);
    this.factors = [];
    this.inputs.forEach((input, channel) => {
      const whole = input === "deslanted" ? this.upright.forward(image) : image;
      const part = out.subarray(channel * area, (channel + 1) * area);
      for (let row = 0; row < side; row++) {
        const from = (row + border) * size + border;
        part.set(whole.subarray(from, from + side), row * side);
      }
      const [mean, factor] = this.standardize ? moments(part) : [this.mean, 1 / this.std];
      this.factors.push(factor);
      for (let at = 0; at < area; at++) part[at] = (part[at] - mean) * factor;
    });
    this.out = out;
    return out;
  }

  backward(gradient) {
    const { size, side, border } = this;
    const area = side * side;
    const back = new Float32Array(size * size);
    this.inputs.forEach((input, channel) => {
      const factor = this.factors[channel];
      const part = gradient.slice(channel * area, (channel + 1) * area);
      if (this.standardize) {
        const value = this.out.subarray(channel * area, (channel + 1) * area);
        let sum = 0;
        let product = 0;
        for (let at = 0; at < area; at++) {
          sum += part[at];
          product += part[at] * value[at];
        }
        for (let at = 0; at < area; at++) part[at] -= sum / area + (value[at] * product) / area;
      }
      const whole = new Float32Array(size * size);
      for (let at = 0; at < area; at++) {
        whole[(Math.floor(at / side) + border) * size + border + (at % side)] = part[at] * factor;
      }
      const through = input === "deslanted" ? this.upright.backward(whole) : whole;
      for (let at = 0; at < back.length; at++) back[at] += through[at];
    });
    return back;
  }
}

/** Mean of some pixels, and the factor that brings them to a standard deviation of 1. */
function moments(pixels) {
  let sum = 0;
  for (const value of pixels) sum += value;
  const mean = sum / pixels.length;
  let squares = 0;
  for (const value of pixels) squares += (value - mean) ** 2;
  return [mean, 1 / Math.sqrt(squares / pixels.length + FAINTEST ** 2)];
}

/** Shears an image so that its ink leans neither way; its centre of mass stays where it is. */
class Deslant {
  constructor(size) {
    this.size = size;
    this.centres = Float64Array.from({ length: size }, (_, at) => (2 * at + 1) / size - 1);
  }

  forward(image) {
    const { size, centres } = this;
    this.image = image;
    this.rows = new Float64Array(size); // ink of each row
    this.leans = new Float64Array(size); // and its first moment sideways
    for (let row = 0, at = 0; row < size; row++) {
      for (let column = 0; column < size; column++, at++) {
        this.rows[row] += image[at];
        this.leans[row] += image[at] * centres[column];
      }
    }
    const total = this.rows.reduce((sum, ink) => sum + ink, 0);
    const upright = this.rows.reduce((sum, ink, row) => sum + ink * centres[row], 0);
    this.hasMass = total >= 1e-3;
    this.mass = Math.max(total, 1e-3);
    this.moment = upright;
    this.above = centres.map((centre) => centre - upright / this.mass);
    this.together = this.leans.reduce((sum, lean, row) => sum + lean * this.above[row], 0);
    const upwards = this.rows.reduce((sum, ink, row) => sum + ink * this.above[row] ** 2, 0);
    this.hasHeight = upwards >= 1e-4;
    this.upwards = Math.max(upwards, 1e-4);
    this.slope = this.together / this.upwards;
    this.slant = Math.min(Math.max(this.slope, -STEEPEST), STEEPEST);
    return this.sheared((at, left, right, share) => (1 - share) * left + share * right);
  }

  /** For each pixel of the result: what `combine` makes of the two pixels that it lies between. */
  sheared(combine) {
    const { size, image } = this;
    const out = new Float32Array(size * size);
    for (let row = 0, at = 0; row < size; row++) {
      const shift = (this.slant * this.above[row] * size) / 2;
      for (let column = 0; column < size; column++, at++) {
        const from = Math.floor(column + shift);
        const left = from >= 0 && from < size ? image[row * size + from] : 0;
        const right = from + 1 >= 0 && from + 1 < size ? image[row * size + from + 1] : 0;
        out[at] = combine(at, left, right, column + shift - from, row, from);
      }
    }
    return out;
  }

  backward(gradient) {
    const { size, centres, above, rows, leans } = this;
    const back = new Float32Array(size * size);
    const toAbove = new Float64Array(size);
    let toSlant = 0;
    this.sheared((at, left, right, share, row, from) => {
      const g = gradient[at];
      if (from >= 0 && from < size) back[row * size + from] += (1 - share) * g;
      if (from + 1 >= 0 && from + 1 < size) back[row * size + from + 1] += share * g;
      const sideways = (g * (right - left) * size) / 2;
      toSlant += sideways * above[row];
      toAbove[row] += sideways * this.slant;
      return 0;
    });
    if (Math.abs(this.slope) > STEEPEST) toSlant = 0;
    const toTogether = toSlant / this.upwards;
    const toUpwards = this.hasHeight ? (-toSlant * this.together) / this.upwards ** 2 : 0;
    let toCentre = 0;
    for (let row = 0; row < size; row++) {
      toCentre -= toAbove[row] + toTogether * leans[row] + toUpwards * 2 * rows[row] * above[row];
    }
    const toMoment = toCentre / this.mass;
    const toMass = this.hasMass ? (-toCentre * this.moment) / this.mass ** 2 : 0;
    for (let row = 0, at = 0; row < size; row++) {
      const ink = toUpwards * above[row] ** 2 + toMoment * centres[row] + toMass;
      for (let column = 0; column < size; column++, at++) back[at] += toTogether * above[row] * centres[column] + ink;
    }
    return back;
  }
}
