// The few functions of OpenCV that preparing ink needs, with its arithmetic.
//
// A picture is {width, height, data}: data is Uint8Array (grey, 0 to 255) or Float32Array, row by row.

/** An empty picture. */
export function blank(width, height, Type = Uint8Array, value = 0) {
  const data = new Type(width * height);
  if (value) data.fill(value);
  return { width, height, data };
}

/** A picture of the same size with `change` applied to each value. */
export function map({ width, height, data }, change, Type = data.constructor) {
  const out = new Type(data.length); // a loop, since Type.from takes many times as long
  for (let at = 0; at < out.length; at++) out[at] = change(data[at], at);
  return { width, height, data: out };
}

/** To the nearest whole number, halves to the even one, as in C and Python. */
export function roundEven(value) {
  const low = Math.floor(value);
  const over = value - low;
  if (over !== 0.5) return over < 0.5 ? low : low + 1;
  return low % 2 ? low + 1 : low;
}

/** Rounded and held within 0 to 255. */
export const toByte = (value) => Math.min(Math.max(roundEven(value), 0), 255);

/** 255 where a value is above `level`, else 0. */
export const threshold = (picture, level) => map(picture, (value) => (value > level ? 255 : 0), Uint8Array);

/** The largest value, at least 0. */
export function peakOf({ data }) {
  let best = 0;
  for (let at = 0; at < data.length; at++) if (data[at] > best) best = data[at];
  return best;
}

/** How many values are above `level`. */
export function countAbove({ data }, level) {
  let count = 0;
  for (let at = 0; at < data.length; at++) if (data[at] > level) count++;
  return count;
}

/** `cv2.cvtColor(image, COLOR_BGR2GRAY)` of red, green and blue. */
export function greyOf([red, green, blue]) {
  return map(red, (value, at) => (value * 9798 + green.data[at] * 19235 + blue.data[at] * 3735 + 16384) >> 15);
}

/** The part from `left`, `top` to `right`, `bottom`, both exclusive. */
export function crop({ width, data }, [left, top, right, bottom]) {
  const part = blank(right - left, bottom - top, data.constructor);
  for (let y = top; y < bottom; y++) {
    part.data.set(data.subarray(y * width + left, y * width + right), (y - top) * part.width);
  }
  return part;
}

/** With a rim of `border` pixels of `value` around it. */
export function pad(picture, border, value = 0) {
  const wide = blank(picture.width + 2 * border, picture.height + 2 * border, picture.data.constructor, value);
  paste(wide, picture, border, border);
  return wide;
}

/** Copy a picture into a larger one. */
export function paste(into, { width, height, data }, left, top) {
  for (let y = 0; y < height; y++) {
    into.data.set(data.subarray(y * width, (y + 1) * width), (top + y) * into.width + left);
  }
}

/** Left, top, right, bottom of the pixels above 0 (right and bottom exclusive); null if there are none. */
export function boundingBox({ width, height, data }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!data[at]) continue;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
      if (y < top) top = y;
      bottom = y + 1;
    }
  }
  return right ? [left, top, right, bottom] : null;
}

const SCALES = { 3: [0.955, 1.3693], 5: [1, 1.4, 2.1969] }; // straight, diagonal, knight's move
const ONE = 65536; // distances are whole numbers of 1/65536 pixel
const FAR = 2 ** 30;

/** `cv2.distanceTransform(mask, DIST_L2, size)`: the distance of each pixel to the nearest 0, float32. */
export function distanceTransform({ width, height, data }, size) {
  const [straight, diagonal, knight = 0] = SCALES[size].map((value) => roundEven(value * ONE));
  const reach = (size - 1) / 2;
  const step = width + 2 * reach;
  const field = new Int32Array(step * (height + 2 * reach)).fill(FAR);
  // Offsets of the neighbours that come before a pixel, and how far each is.
  const before = [[-1, straight], [-step, straight], [-step - 1, diagonal], [-step + 1, diagonal]];
  if (size === 5) {
    for (const offset of [-2 * step - 1, -2 * step + 1, -step - 2, -step + 2]) before.push([offset, knight]);
  }
  const offsets = Int32Array.from(before, ([offset]) => offset);
  const lengths = Int32Array.from(before, ([, length]) => length);
  const count = offsets.length;
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0, at = (y + reach) * step + reach; x < width; x++, at++, from++) {
      let nearest = 0;
      if (data[from]) {
        nearest = FAR;
        for (let n = 0; n < count; n++) {
          const there = field[at + offsets[n]] + lengths[n];
          if (there < nearest) nearest = there;
        }
      }
      field[at] = nearest;
    }
  }
  const out = blank(width, height, Float32Array);
  for (let y = height - 1, to = width * height - 1; y >= 0; y--) {
    for (let x = width - 1, at = (y + reach) * step + reach + width - 1; x >= 0; x--, at--, to--) {
      let nearest = field[at];
      if (nearest > straight) {
        for (let n = 0; n < count; n++) {
          const there = field[at - offsets[n]] + lengths[n];
          if (there < nearest) nearest = there;
        }
        field[at] = nearest;
      }
      out.data[to] = nearest / ONE;
    }
  }
  return out;
}

/** `cv2.resize(picture, size, interpolation=INTER_AREA)` to a size that is not larger. */
export function shrink(picture, width, height) {
  const [across, down] = [picture.width / width, picture.height / height];
  if (picture.data instanceof Uint8Array && Number.isInteger(across) && Number.isInteger(down)) {
    return shrinkByWhole(picture, across, down);
  }
  const columns = areaWeights(picture.width, width);
  const rows = areaWeights(picture.height, height);
  const isBytes = picture.data instanceof Uint8Array;
  const out = blank(width, height, picture.data.constructor);
  const line = new Float32Array(width);
  const sums = new Float32Array(width);
  for (let y = 0, r = 0; y < height; y++) {
    sums.fill(0);
    for (; r < rows.to.length && rows.to[r] === y; r++) {
      const start = rows.from[r] * picture.width;
      line.fill(0);
      for (let c = 0; c < columns.to.length; c++) {
        line[columns.to[c]] += Math.fround(picture.data[start + columns.from[c]] * columns.share[c]);
      }
      for (let x = 0; x < width; x++) sums[x] += Math.fround(line[x] * rows.share[r]);
    }
    for (let x = 0; x < width; x++) out.data[y * width + x] = isBytes ? toByte(sums[x]) : sums[x];
  }
  return out;
}

/** Bytes shrunk by whole numbers. OpenCV adds whole numbers then, and rounds half of a level up for two by two pixels. */
function shrinkByWhole(picture, across, down) {
  const out = blank(picture.width / across, picture.height / down);
  const area = across * down;
  const share = Math.fround(1 / area);
  for (let y = 0, at = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++, at++) {
      let sum = 0;
      for (let dy = 0; dy < down; dy++) {
        const from = (y * down + dy) * picture.width + x * across;
        for (let dx = 0; dx < across; dx++) sum += picture.data[from + dx];
      }
      out.data[at] = across === 2 && down === 2 ? (sum + 2) >> 2 : toByte(Math.fround(sum * share));
    }
  }
  return out;
}

/** Which pixel goes into which of the result, and with what share: three lists, ordered by the result's pixel. */
function areaWeights(size, wanted) {
  const scale = size / wanted;
  const weights = { from: [], to: [], share: [] };
  for (let at = 0; at < wanted; at++) {
    const [begin, end] = [at * scale, Math.min((at + 1) * scale, size)];
    for (let index = Math.floor(begin); index < end; index++) {
      const share = Math.min(index + 1, end) - Math.max(index, begin);
      if (share <= 1e-3) continue; // as OpenCV does
      weights.from.push(index);
      weights.to.push(at);
      weights.share.push(Math.fround(share / (end - begin)));
    }
  }
  return weights;
}

/** `cv2.resize(picture, size, interpolation=INTER_LINEAR)`. */
export function enlarge({ width, height, data }, wide, high) {
  const isBytes = data instanceof Uint8Array;
  // Of bytes OpenCV takes whole shares of 1/2048, and 16 bits from one direction to the other.
  const shares = (share) => (isBytes ? [1 - share, share].map((each) => roundEven(2048 * each)) : [1 - share, share]);
  const columns = linearWeights(width, wide).map(([left, right, share]) => [left, right, ...shares(left < right ? share : 0)]);
  const out = blank(wide, high, data.constructor);
  let at = 0;
  for (const [above, below, down] of linearWeights(height, high)) {
    const [upper, lower] = shares(down);
    const [first, second] = [above * width, below * width];
    for (const [left, right, before, behind] of columns) {
      const top = data[first + left] * before + data[first + right] * behind;
      const bottom = data[second + left] * before + data[second + right] * behind;
      out.data[at++] = isBytes
        ? ((((top >> 4) * upper) >> 16) + (((bottom >> 4) * lower) >> 16) + 2) >> 2
        : top * upper + bottom * lower;
    }
  }
  return out;
}

/** For each pixel of the result: the two that it lies between, and the share of the second. */
function linearWeights(from, to) {
  const hold = (at) => Math.min(Math.max(at, 0), from - 1);
  return Array.from({ length: to }, (_, at) => {
    const place = Math.fround((at + 0.5) * (from / to) - 0.5);
    const low = Math.floor(place);
    return [hold(low), hold(low + 1), Math.fround(place - low)];
  });
}

/** `cv2.dilate` with a square: the largest value within `reach` pixels, along both axes. */
export function dilate(picture, reach = 1) {
  const { width, height } = picture;
  return along(along(picture, reach, width, height, 1, width), reach, height, width, width, 1);
}

/** The largest value within `reach` steps along lines of `length` values, `step` apart; `lines` of them, `next` apart. */
function along({ width, height, data }, reach, length, lines, step, next) {
  const out = blank(width, height, data.constructor);
  for (let line = 0; line < lines; line++) {
    for (let at = 0; at < length; at++) {
      const last = Math.min(at + reach, length - 1);
      let best = -Infinity;
      for (let near = Math.max(at - reach, 0); near <= last; near++) {
        const value = data[line * next + near * step];
        if (value > best) best = value;
      }
      out.data[line * next + at * step] = best;
    }
  }
  return out;
}

/** `cv2.blur` of bytes with BORDER_REPLICATE: the mean of the square within `reach` pixels. */
export function blur({ width, height, data }, reach) {
  const lines = new Float64Array(width * height);
  const out = blank(width, height);
  const area = (2 * reach + 1) ** 2;
  const hold = (value, size) => Math.min(Math.max(value, 0), size - 1);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      for (let dx = -reach; dx <= reach; dx++) lines[at] += data[y * width + hold(x + dx, width)];
    }
  }
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      let sum = 0;
      for (let dy = -reach; dy <= reach; dy++) sum += lines[hold(y + dy, height) * width + x];
      out.data[at] = toByte(sum / area);
    }
  }
  return out;
}

/** `cv2.GaussianBlur(picture, (3, 3), 0)` of bytes. */
export function softened({ width, height, data }) {
  const out = blank(width, height);
  const mirror = (at, size) => (size === 1 ? 0 : at < 0 ? 1 : at >= size ? size - 2 : at);
  for (let y = 0, at = 0; y < height; y++) {
    const lines = [y - 1, y, y, y + 1].map((each) => mirror(each, height) * width);
    for (let x = 0; x < width; x++, at++) {
      const [before, behind] = [mirror(x - 1, width), mirror(x + 1, width)];
      let sum = 8;
      for (const line of lines) sum += data[line + before] + 2 * data[line + x] + data[line + behind];
      out.data[at] = sum >> 4;
    }
  }
  return out;
}

/**
 * `cv2.connectedComponentsWithStats`, eight neighbours: {count, labels, boxes, areas}. Label 0 is the background;
 * the others are numbered as OpenCV does it, by their first block of 2 x 2 pixels, row by row of blocks. A box is
 * [left, top, right, bottom], exclusive.
 */
export function connectedComponents({ width, height, data }) {
  const labels = new Int32Array(width * height);
  const boxes = [null];
  const areas = [0];
  const stack = [];
  const visit = (first) => {
    const label = boxes.length;
    const box = [width, height, 0, 0];
    let area = 0;
    labels[first] = label;
    stack.push(first);
    while (stack.length) {
      const at = stack.pop();
      const x = at % width;
      const y = (at - x) / width;
      area++;
      if (x < box[0]) box[0] = x;
      if (y < box[1]) box[1] = y;
      if (x >= box[2]) box[2] = x + 1;
      if (y >= box[3]) box[3] = y + 1;
      for (let ny = Math.max(y - 1, 0); ny <= Math.min(y + 1, height - 1); ny++) {
        for (let nx = Math.max(x - 1, 0); nx <= Math.min(x + 1, width - 1); nx++) {
          const next = ny * width + nx;
          if (data[next] && !labels[next]) {
            labels[next] = label;
            stack.push(next);
          }
        }
      }
    }
    boxes.push(box);
    areas.push(area);
  };
  for (let top = 0; top < height; top += 2) {
    for (let left = 0; left < width; left += 2) {
      for (let y = top; y < Math.min(top + 2, height); y++) {
        for (let x = left; x < Math.min(left + 2, width); x++) {
          const at = y * width + x;
          if (data[at] && !labels[at]) visit(at);
        }
      }
    }
  }
  return { count: boxes.length, labels, boxes, areas };
}
