// Medians, percentiles and runs, as NumPy has them.

/** The middle of some numbers, or the mean of the two in the middle. */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The value below which `percent` of some float32 lie, between two of them where it falls there. */
export function percentile(values, percent) {
  const { fround } = Math;
  const sorted = Float32Array.from(values).sort();
  const place = (sorted.length - 1) * (percent / 100);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  const step = fround(sorted[high] - sorted[low]);
  const over = place - low; // counted from the nearer of both, as NumPy does it
  if (over < 0.5) return fround(sorted[low] + fround(step * fround(over)));
  return fround(sorted[high] - fround(step * fround(1 - over)));
}

/** The runs of true values: [first, past the last] of each. */
export function runs(where) {
  const found = [];
  for (let at = 0; at <= where.length; at++) {
    const isOn = at < where.length && where[at];
    if (isOn && (at === 0 || !where[at - 1])) found.push([at, at]);
    if (!isOn && at > 0 && where[at - 1]) found[found.length - 1][1] = at;
  }
  return found;
}
