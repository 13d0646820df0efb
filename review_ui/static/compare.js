// A picture beside those that look like it: side by side, in turn in one place, or their difference.

import { get } from "./api.js";
import { difference } from "./difference.js";
import { dialog } from "./dialogs.js";
import { button, el, fill, keycap } from "./dom.js";
import { bytes, described, measure, named } from "./format.js";
import { items } from "./items.js";
import { pictures } from "./pictures.js";
import { thumb } from "./thumb.js";
import { toast } from "./toasts.js";

/** Compare an item with its copies, and with what looks like it. */
export async function openCompare(app, id) {
  let found;
  try {
    found = await candidates(id);
  } catch (error) {
    toast(error.message, { kind: "bad" });
    return;
  }
  const [item, others] = found;
  if (!others.length) {
    toast("Nothing in this build looks like it");
    return;
  }
  new Comparison(app, item, others);
}

/** Give the item, and its copies before mere lookalikes. */
async function candidates(id) {
  const item = await get(`/api/items/${encodeURIComponent(id)}`);
  const kind = item.duplicate ? "duplicate" : item.colourway ? "colourway" : null;
  const key = item.duplicate ?? item.colourway;
  const cluster = kind ? await get(`/api/clusters/${kind}/${encodeURIComponent(key)}`) : { items: [] };
  const others = new Map();
  for (const other of [...cluster.items, ...item.neighbours]) if (other.id !== id && !others.has(other.id)) others.set(other.id, other);
  items.put([item, ...others.values()]);
  return [item, [...others.values()]];
}

class Comparison {
  #app;
  #item;
  #others;
  #at = 0;
  #mode = "beside"; // or "turns", "difference"
  #isFirst = true;
  #stage = el("div", { class: "compare-stage" });
  #strip = el("ul", { class: "strip compare-strip" });
  #dialog;

  constructor(app, item, others) {
    this.#app = app;
    this.#item = item;
    this.#others = others;
    const bindings = [
      { key: " ", run: () => this.#turn(), help: "One after the other in one place" },
      { key: "d", run: () => this.#switch("difference"), help: "Difference" },
      { key: "ArrowRight", run: () => this.#move(1), help: "Next picture" },
      { key: "ArrowLeft", run: () => this.#move(-1), help: "Previous picture" },
      { key: "e", run: () => this.#app.openItem(this.#other.id), help: "Open the other one" },
    ];
    this.#dialog = dialog("Compare", [this.#stage, this.#strip], {
      className: "dialog-wide",
      bindings,
      footer: [
        button(["In turn ", keycap(" ")], () => this.#turn()),
        button(["Difference ", keycap("d")], () => this.#switch("difference")),
        button(["Open the other ", keycap("e")], () => this.#app.openItem(this.#other.id), { class: "primary" }),
      ],
    });
    this.#draw();
  }

  get #other() {
    return this.#others[this.#at];
  }

  #switch(mode) {
    this.#mode = this.#mode === mode ? "beside" : mode;
    this.#draw();
  }

  #turn() {
    if (this.#mode === "turns") this.#isFirst = !this.#isFirst;
    else this.#mode = "turns";
    this.#draw();
  }

  #move(by) {
    this.#at = (this.#at + by + this.#others.length) % this.#others.length;
    this.#draw();
  }

  async #draw() {
    const [item, other] = [this.#item, this.#other];
    fill(this.#strip, this.#others.map((each, index) => this.#thumb(each, index)));
    await Promise.all([pictures.load(item.standard), pictures.load(other.standard)]);
    if (!this.#dialog.node.open || other !== this.#other) return;
    fill(this.#stage, this.#panes(item, other));
    this.#stage.dataset.mode = this.#mode;
  }

  #panes(item, other) {
    if (this.#mode === "turns") return pane(this.#isFirst ? item : other, this.#isFirst ? "This one" : "The other");
    const both = [pane(item, "This one"), pane(other, "The other", item)];
    const [a, b] = [pictures.ready(item.standard), pictures.ready(other.standard)];
    if (this.#mode !== "difference" || !a || !b) return both;
    const { canvas, share } = difference(a, b);
    return [...both, el("figure", {}, canvas, el("figcaption", { text: `${measure(100 * share)} % of the picture differ` }))];
  }

  #thumb(each, index) {
    const run = () => {
      this.#at = index;
      this.#draw();
    };
    const aria = { pressed: String(index === this.#at) };
    return el("li", {}, thumb({ src: each.thumb, standing: each.standing, label: described(each), run, aria }));
  }
}

function pane(item, label, first = null) {
  const decoded = pictures.ready(item.standard);
  const image = decoded ? decoded.cloneNode() : el("img", { src: item.thumb });
  image.alt = described(item);
  const bits = first && item.bits !== undefined ? `, ${item.bits} of 64 bits differ` : "";
  const distance = item.distance ? `, distance ${measure(item.distance)}` : "";
  return el(
    "figure",
    {},
    image,
    el("figcaption", {}, el("b", { text: label }), ` ${named(item)}`, el("br"), el("span", { class: "muted", text: `${item.width} × ${item.height} px, ${bytes(item.bytes)}, ${item.source ?? ""}${distance}${bits}` })),
  );
}
