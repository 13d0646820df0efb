// Where two pictures differ, as a picture.

const GAIN = 4;

/**
 * Draw |a − b| over a faint copy of `a`.
 *
 * @param {HTMLImageElement} a decoded
 * @param {HTMLImageElement} b decoded; it is scaled to the size of `a`
 * @returns {{canvas: HTMLCanvasElement, share: number}} and the share of pixels that differ
 */
export function difference(a, b) {
  const width = a.naturalWidth;
  const height = a.naturalHeight;
  const first = pixels(a, width, height);
  const second = pixels(b, width, height);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const out = new ImageData(width, height);
  let differing = 0;
  for (let at = 0; at < first.length; at += 4) {
    const change = Math.max(
      Math.abs(first[at] - second[at]),
      Math.abs(first[at + 1] - second[at + 1]),
      Math.abs(first[at + 2] - second[at + 2]),
    );
    const grey = (first[at] + first[at + 1] + first[at + 2]) / 12 + 176;
    const strength = Math.min(1, (change * GAIN) / 255);
    differing += change > 24;
    out.data[at] = grey + (214 - grey) * strength;
    out.data[at + 1] = grey * (1 - strength);
    out.data[at + 2] = grey * (1 - strength) + 60 * strength;
    out.data[at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(out, 0, 0);
  return { canvas, share: differing / (first.length / 4) };
}

function pixels(image, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
