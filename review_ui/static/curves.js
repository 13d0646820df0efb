// Small curves: lines over thousands of images, with what they come to in words.

import { el, svg } from "./dom.js";
import { measure } from "./format.js";

const WIDTH = 240;
const HEIGHT = 72;
const MARGIN = 0.06;

/**
 * Draw curves that share both axes; null where there is nothing to draw.
 *
 * @param {string} title
 * @param {{label: string, kimg: number[], values: (number|null)[]}[]} lines two at most
 * @param {{best?: "low"|"high"}} [options] tell of a single line which value was the best
 */
export function chart(title, lines, { best } = {}) {
  const drawn = lines.filter(({ values }) => values.some(isNumber));
  if (!drawn.length) return null;
  const place = placing(drawn);
  const cursor = svg("line", { class: "curve-cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const words = el("p", { class: "curve-words" });
  const tell = (kimg) => words.replaceChildren(...said(drawn, kimg, best));
  const picture = svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": described(title, drawn) },
    svg("line", { class: "curve-floor", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    drawn.map((line, at) => drawing(line, place, at)),
    cursor,
  );
  picture.addEventListener("pointermove", (event) => {
    const { left, width } = picture.getBoundingClientRect();
    const kimg = nearest(drawn[0].kimg, (place.most * (event.clientX - left)) / width);
    cursor.setAttribute("x1", place.x(kimg));
    cursor.setAttribute("x2", place.x(kimg));
    cursor.setAttribute("visibility", "visible");
    tell(kimg);
  });
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    tell(null);
  });
  tell(null);
  const [low, high] = place.ends;
  return el(
    "figure",
    { class: "chart" },
    el("figcaption", { text: title }),
    el("div", { class: "chart-area" }, picture, low < high && [el("span", { class: "chart-high", aria: { hidden: "true" }, text: measure(high) }), el("span", { class: "chart-low", aria: { hidden: "true" }, text: measure(low) })]),
    words,
  );
}

function placing(lines) {
  const values = lines.flatMap((line) => line.values.filter(isNumber));
  const ends = [Math.min(...values), Math.max(...values)];
  const margin = (ends[1] - ends[0]) * MARGIN || Math.abs(ends[1]) * MARGIN || 1;
  const [low, high] = [ends[0] - margin, ends[1] + margin];
  const most = Math.max(...lines.flatMap(({ kimg }) => kimg)) || 1;
  return { ends, most, x: (kimg) => (WIDTH * kimg) / most, y: (value) => (HEIGHT * (high - value)) / (high - low) };
}

function drawing({ kimg, values }, { x, y }, at) {
  const style = at ? "curve-line curve-second" : "curve-line";
  let path = "";
  let isDrawing = false;
  values.forEach((value, n) => {
    if (isNumber(value)) path += `${isDrawing ? "L" : "M"}${x(kimg[n]).toFixed(2)} ${y(value).toFixed(2)}`;
    isDrawing = isNumber(value);
  });
  const known = values.filter(isNumber);
  // A line of no length with round ends is a dot.
  if (known.length === 1) path += "h0.01";
  return svg("path", { class: known.length === 1 ? `${style} curve-dot` : style, d: path });
}

/** Say the values at a place, or the last ones. */
function said(lines, kimg, best) {
  const parts = lines.map(({ label, values, kimg: at }, n) => {
    const value = kimg === null ? last(values) : values[at.indexOf(nearest(at, kimg))];
    return el("span", {}, mark(n, lines.length), label && `${label} `, el("b", { text: measure(value) }));
  });
  if (kimg !== null) parts.push(el("span", { class: "muted", text: `at ${measure(kimg)} kimg` }));
  else if (best && lines.length === 1) parts.push(bestOf(lines[0], best));
  return parts.filter(Boolean);
}

function bestOf({ values, kimg }, which) {
  const known = values.filter(isNumber);
  if (known.length < 2) return null;
  const value = which === "low" ? Math.min(...known) : Math.max(...known);
  return el("span", { class: "muted", text: `best ${measure(value)} at ${measure(kimg[values.indexOf(value)])} kimg` });
}

function mark(at, of) {
  if (of < 2) return null;
  const line = svg("line", { class: at ? "curve-line curve-second" : "curve-line", x1: 1, x2: 15, y1: 4, y2: 4 });
  return svg("svg", { class: "curve-mark", viewBox: "0 0 16 8", width: 16, height: 8, "aria-hidden": "true" }, line);
}

function described(title, lines) {
  const parts = lines.map(({ label, values, kimg }) => `${label && `${label} `}from ${measure(values.find(isNumber))} to ${measure(last(values))} at ${measure(kimg.at(-1))} kimg`);
  return `${title}: ${parts.join("; ")}`;
}

function last(values) {
  return values.findLast(isNumber) ?? null;
}

function nearest(numbers, wanted) {
  return numbers.reduce((found, number) => (Math.abs(number - wanted) < Math.abs(found - wanted) ? number : found));
}

function isNumber(value) {
  return typeof value === "number";
}
