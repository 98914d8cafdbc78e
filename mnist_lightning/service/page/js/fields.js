// Which pixels of the image a unit of a layer looks at, from the settings of the network.

/**
 * For each layer that is shown: how a unit's place maps to the image.
 *
 * Returns [{size, step, start}] in pixels: the unit in row r sees the rows from start + r * step, `size` of them;
 * columns alike. Null for a network that is not known.
 */
export function receptiveFields(network, imageSize) {
  const settings = kindOf(network) === "ensemble" ? network.members?.[0] : network;
  const kind = kindOf(settings);
  const whole = { size: imageSize, step: 0, start: 0 };
  const border = settings?.crop ? Math.floor((imageSize - settings.crop) / 2) : 0;
  if (kind === "mlp") return (settings.hidden_sizes ?? [256, 128]).map(() => whole);
  if (kind === "lenet5") {
    return [...blocks([[5, 2, 2], [5, 2, 0]], border), whole, whole];
  }
  if (kind === "cnn") {
    const { channels = [32, 64, 256], kernels = [5, 3, 3], pools = [2, 2, 1], padding = false } = settings;
    const steps = channels.map((_, at) => [kernels[at], pools[at], padding ? Math.floor(kernels[at] / 2) : 0]);
    return blocks(steps, border);
  }
  return null;
}

/** "cnn" of {name: "cnn"} or {_target_: "some.package.CNN"}. */
const kindOf = (network) => (network?.name ?? network?._target_ ?? "").split(".").pop().toLowerCase();

/** Fields after each [kernel, pool, padding]. */
function blocks(steps, border) {
  const field = { size: 1, step: 1, start: border };
  return steps.map(([kernel, pool, padding]) => {
    field.start -= padding * field.step;
    field.size += (kernel - 1 + pool - 1) * field.step;
    field.step *= pool;
    return { ...field };
  });
}
