// Products of matrices, in WebAssembly with four numbers at a time where the browser has it, else in JavaScript.

/** Rows of the first matrix, and columns of the second, that lie together. */
export const ROWS = 4;
export const COLUMNS = 8;

/**
 * `count` products C[rows, columns] = A[rows, inner] * B[inner, columns]; rows and columns are multiples of ROWS and
 * COLUMNS. `a`, `b` and `c` hold a Float32Array for each: A as [rows / ROWS][inner][ROWS], B as
 * [columns / COLUMNS][inner][COLUMNS], C row by row. `run()` computes all C.
 */
export class Products {
  constructor(count, rows, inner, columns) {
    const lengths = [rows * inner, inner * columns, rows * columns];
    const bytes = 4 * count * (lengths[0] + lengths[1] + lengths[2]);
    const { buffer, multiply } = compiled(bytes) ?? written(bytes);
    let at = 0;
    const take = (length) => Array.from({ length: count }, () => {
      at += 4 * length;
      return new Float32Array(buffer, at - 4 * length, length);
    });
    const matrices = lengths.map(take);
    [this.a, this.b, this.c] = matrices;
    this.run = () => {
      for (let part = 0; part < count; part++) {
        multiply(...matrices.map((each) => each[part].byteOffset), rows, inner, 4 * columns);
      }
    };
  }
}

/** Memory, and what multiplies in it; null where the browser or the page's policy has no such WebAssembly. */
function compiled(bytes) {
  try {
    const m = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) });
    module ??= new WebAssembly.Module(assembled());
    return { buffer: m.buffer, multiply: new WebAssembly.Instance(module, { m: { m } }).exports.f };
  } catch {
    return null;
  }
}

let module;

/** The same in plain JavaScript. */
function written(bytes) {
  const values = new Float32Array(bytes / 4);
  const multiply = (a, b, c, rows, inner, width) => {
    for (let o = 0; o < rows; o++) {
      for (let p = 0; p < width / 4; p++) {
        let i = a / 4 + (o - (o % ROWS)) * inner + (o % ROWS);
        let j = b / 4 + (p - (p % COLUMNS)) * inner + (p % COLUMNS);
        let sum = 0;
        for (let k = 0; k < inner; k++, i += ROWS, j += COLUMNS) sum += values[i] * values[j];
        values[(c + o * width) / 4 + p] = sum;
      }
    }
  };
  return { buffer: values.buffer, multiply };
}

/**
 * The module, instruction by instruction (https://webassembly.github.io/spec): f(a, b, c, rows, inner, width) with
 * addresses and the width of C's rows in bytes. 4 x 8 sums at a time stay in registers.
 */
function assembled() {
  const [a, b, c, rows, inner, width, p, k, q, to, low, high, factor, first] = Array(14).keys();
  const get = (local) => [0x20, local];
  const set = (local, ...value) => [...value, 0x21, local];
  const plus = (local, ...value) => set(local, ...get(local), ...value, 0x6a);
  const bytes = (value) => [0x41, value];
  const vector = (...code) => [0xfd, ...code];
  const load = (local, code, offset) => [...get(local), ...vector(code, 2, offset)];
  const loop = (...code) => [0x03, 0x40, ...code, 0x0d, 0, 0x0b]; // as long as what it leaves is not 0
  const each = (length, code) => Array.from({ length }, (_, at) => code(at)).flat();
  const sums = 2 * ROWS;
  const add = (sum, half) => set(first + sum, ...get(first + sum), ...get(factor), ...get(half), ...vector(0xe6, 1, 0xfd, 0xe4, 1));
  const body = loop(
    ...set(q, ...get(b)), ...set(p, ...bytes(0)),
    ...loop(
      ...set(to, ...get(a)), ...set(k, ...get(inner)),
      ...each(sums, (at) => set(first + at, ...vector(12, ...Array(16).fill(0)))),
      ...loop(
        ...set(low, ...load(q, 0, 0)), ...set(high, ...load(q, 0, 16)),
        ...each(ROWS, (row) => [...set(factor, ...load(to, 9, 4 * row)), ...add(2 * row, low), ...add(2 * row + 1, high)]),
        ...plus(to, ...bytes(16)), ...plus(q, ...bytes(32)), ...plus(k, ...bytes(0x7f)), ...get(k),
      ),
      ...set(k, ...get(c), ...get(p), 0x6a),
      ...each(sums, (at) => [
        ...get(k), ...get(first + at), ...vector(11, 2, 16 * (at % 2)), ...(at % 2 ? plus(k, ...get(width)) : []),
      ]),
      ...plus(p, ...bytes(32)), ...get(p), ...get(width), 0x49,
    ),
    ...set(a, ...get(to)), ...each(ROWS, () => plus(c, ...get(width))), ...plus(rows, ...bytes(0x7c)), ...get(rows),
  );
  const long = (length) => [(length & 127) | 128, length >> 7];
  const code = [2, 4, 0x7f, 3 + sums, 0x7b, ...body, 0x0b]; // its locals: four numbers, the rest vectors
  const section = (id, content) => [id, ...long(content.length), ...content];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 6, ...Array(6).fill(0x7f), 0]),
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 0]), // the memory m.m
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]), // the function f
    ...section(10, [1, ...long(code.length), ...code]),
  ]);
}
