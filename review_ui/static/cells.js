// The pictures of the grid: one stop for Tab, arrows move within.

import { el, fill } from "./dom.js";
import { described, MARKS } from "./format.js";
import { items } from "./items.js";
import { pictures } from "./pictures.js";

const GAP = 8;
const PADDING = 12;
const SMALLEST = 72; // px; of smaller pictures nothing can be told

export class Cells {
  /** @type {Map<string, HTMLElement>} */
  #nodes = new Map();
  #marks;
  #standing;
  at = 0;

  /** @param {import("./marks.js").Marks} marks */
  constructor(marks, standing, on) {
    this.#marks = marks;
    this.#standing = standing;
    this.root = el("div", {
      class: "grid",
      role: "listbox",
      aria: { label: "Pictures", multiselectable: "true" },
      on,
    });
  }

  /** How many stand in a row. */
  get columns() {
    const nodes = [...this.#nodes.values()];
    const second = nodes.findIndex((node) => node.offsetTop !== nodes[0].offsetTop);
    return second < 0 ? nodes.length : second;
  }

  /** Show a page. @param {"s"|"m"|"l"} size */
  draw(size) {
    // Keys go to the pictures from the start, whatever was pressed to come here.
    const isTaken = !document.querySelector("dialog[open]");
    this.#nodes = new Map(this.#marks.ids.map((id) => [id, this.#cell(items.get(id), size)]));
    this.root.dataset.size = size;
    fill(this.root, [...this.#nodes.values()]);
    this.focus(0, isTaken);
  }

  /**
   * Make pictures as large as may be with so many of them in sight at once; where they would be too
   * small, as on a phone, they are of the usual size and the page is scrolled.
   */
  fit(width, height, most) {
    const ratio = items.get(this.#marks.ids[0])?.ratio || 1;
    let best = { columns: 0, side: 0 };
    for (let columns = 1; columns <= most; columns += 1) {
      const rows = Math.ceil(most / columns);
      const across = (width - 2 * PADDING - (columns - 1) * GAP) / columns;
      const down = ((height - 2 * PADDING - (rows - 1) * GAP) / rows) * ratio;
      const side = Math.floor(Math.min(across, down));
      if (side > best.side) best = { columns, side };
    }
    const { style, dataset } = this.root;
    dataset.fits = String(best.side >= SMALLEST);
    style.setProperty("--columns", best.columns);
    style.setProperty("--side", `${best.side}px`);
  }

  /** Show again how items stand. */
  repaint(ids = this.#nodes.keys()) {
    for (const id of ids) if (this.#nodes.has(id)) this.#paint(this.#nodes.get(id), items.get(id));
  }

  /** Go to a picture. */
  focus(index, isTaken = true) {
    const nodes = [...this.#nodes.values()];
    nodes[this.at]?.setAttribute("tabindex", "-1");
    this.at = Math.min(nodes.length - 1, Math.max(0, index));
    nodes[this.at]?.setAttribute("tabindex", "0");
    if (isTaken) nodes[this.at]?.focus();
  }

  /** Give the index of the picture at which something happened; -1: none. */
  indexOf(target) {
    return this.#marks.ids.indexOf(target.closest(".cell")?.dataset.id);
  }

  #cell(item, size) {
    const kind = pictureOf(size);
    const image = pictures.ready(item[kind]) ?? el("img", { src: item[kind], decoding: "async", draggable: "false" });
    image.className = "";
    image.alt = "";
    const reason = size === "l" ? item.why[0]?.title : null;
    const node = el(
      "div",
      { class: "cell", role: "option", tabindex: "-1", dataset: { id: item.id } },
      image,
      el("span", { class: "mark", aria: { hidden: "true" } }),
      reason && el("span", { class: "cell-reason", text: reason }),
    );
    node.style.setProperty("--ratio", item.ratio || 1);
    this.#paint(node, item);
    return node;
  }

  #paint(node, item) {
    const isMarked = this.#marks.has(item.id);
    const verdict = this.#marks.markedAre;
    const isNews = isMarked || item.standing !== this.#standing;
    node.dataset.marked = isMarked ? verdict : "";
    node.dataset.standing = item.standing;
    node.querySelector(".mark").textContent = isNews ? MARKS[isMarked ? verdict : item.standing] : "";
    node.setAttribute("aria-selected", String(isMarked));
    node.setAttribute("aria-label", `${described(item)}${isMarked ? `, marked to be ${verdict}` : ""}`);
  }
}

/** Which picture of an item is shown at a size. */
export function pictureOf(size) {
  return size === "l" ? "standard" : "thumb";
}
