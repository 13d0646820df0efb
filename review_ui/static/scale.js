// A measure as a line: where the limit is, where the value is, which side is bad.

import { svg } from "./dom.js";
import { measure } from "./format.js";

const WIDTH = 304;
const HEIGHT = 26;
const MARGIN = 0.08;

/**
 * Draw it; null where there is no number or no limit.
 *
 * @param {{measure: string|null, value: number|null, limit: number|null, breaks: "<"|">"}} found
 * @param {{low: number|null, high: number|null, unit: string}|null} queue what others have
 */
export function scale({ measure: name, value, limit, breaks }, queue) {
  if (typeof value !== "number" || typeof limit !== "number") return null;
  const ends = [value, limit, queue?.low, queue?.high].filter((end) => typeof end === "number");
  const [low, high] = widened(Math.min(...ends), Math.max(...ends));
  const place = (number) => (WIDTH * (number - low)) / (high - low);
  const at = place(limit);
  const bad = breaks === "<" ? { x: 0, width: at } : { x: at, width: WIDTH - at };
  const said = `${name}: ${measure(value)}, limit ${measure(limit)}, ${breaks === "<" ? "lower" : "higher"} is worse`;
  return svg(
    "svg",
    { class: "scale", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said },
    svg("rect", { class: "scale-line", x: 0, y: 11, width: WIDTH, height: 4, rx: 2 }),
    svg("rect", { class: "scale-bad", y: 11, height: 4, rx: 2, ...bad }),
    svg("line", { class: "scale-limit", x1: at, x2: at, y1: 4, y2: 22 }),
    svg("circle", { class: "scale-value", cx: place(value), cy: 13, r: 5.5 }),
  );
}

function widened(low, high) {
  const margin = (high - low) * MARGIN || Math.abs(high) * MARGIN || 1;
  return [low - margin, high + margin];
}
