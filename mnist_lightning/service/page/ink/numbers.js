// Medians, percentiles and runs, as NumPy has them.

/** The middle of some numbers, or the mean of the two in the middle. */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The value below which `percent` of the numbers lie, between two of them where it falls there. */
export function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort();
  const place = ((sorted.length - 1) * percent) / 100;
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
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
