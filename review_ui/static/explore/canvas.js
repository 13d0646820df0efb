// Pictures on canvases: small ones are enlarged with sharp edges, or smoothly, as one likes.

import { el } from "../dom.js";

const KEY = "nonesuch:smooth";
// Larger ones are photographs enough not to be shown in squares.
const SMALL = 160;
const ENLARGED = 1.2;
const MOST = 24;

let isSmooth = localStorage.getItem(KEY) === "true";
const changed = new EventTarget();

/** Turn from sharp pixels to smooth ones, or back. */
export function turnSmooth() {
  isSmooth = !isSmooth;
  localStorage.setItem(KEY, isSmooth);
  changed.dispatchEvent(new Event("change"));
  return isSmooth;
}

/** Be told when all is to be painted anew. */
export function whenTurned(run, signal) {
  changed.addEventListener("change", run, { signal });
}

/** Make a canvas that is a picture to readers of screens. */
export function picture(label, props = {}) {
  return el("canvas", { class: "painted", role: "img", aria: { label }, width: 1, height: 1, ...props });
}

/**
 * Paint a picture.
 *
 * It is enlarged by whole numbers with sharp edges; the browser makes it smaller from there, so
 * that all its pixels are of one size. Of one that is larger than its place, no more is kept than
 * is seen.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} bitmap
 * @param {number} width that it is shown at, in CSS pixels
 */
export function paint(canvas, bitmap, width) {
  const scale = (width * devicePixelRatio) / bitmap.width;
  const isSharp = !isSmooth && bitmap.height <= SMALL && scale > ENLARGED;
  const times = isSharp ? Math.min(MOST, Math.ceil(scale)) : Math.min(1, scale);
  canvas.width = Math.ceil(bitmap.width * times);
  canvas.height = Math.ceil(bitmap.height * times);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = times < 1;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
}
