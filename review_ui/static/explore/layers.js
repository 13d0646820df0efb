// Which ws go to which resolutions, in words.

/**
 * Give the groups of layers: about a third of the resolutions each.
 *
 * A group ends with the last convolution of its last resolution, as those of directions do.
 *
 * @param {number[][]} layers (height, width) of each w
 * @returns {{name: string, first: number, last: number}[]} `last` is one past the last
 */
export function groups(layers) {
  const count = layers.length;
  const levels = count >> 1;
  const low = Math.max(Math.round(levels / 3), 1);
  const high = Math.max(Math.round((2 * levels) / 3), low + 1);
  const ends = [low, high].filter((level) => level < levels).map((level) => 2 * level - 1);
  const starts = [0, ...ends, count];
  return ["coarse", "middle", "fine"]
    .slice(0, starts.length - 1)
    .map((name, index) => ({ name, first: starts[index], last: starts[index + 1] }));
}

/** "4×3", as width × height. */
export function size([height, width]) {
  return `${width}×${height}`;
}

/** "4×3 to 16×12" */
export function extent(layers, first, last) {
  const [from, to] = [size(layers[first]), size(layers[last - 1])];
  return from === to ? from : `${from} to ${to}`;
}
