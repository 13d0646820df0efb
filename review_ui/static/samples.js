// The pictures that a training draws, over its course, and the real ones beside them.

import { get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill, keycap } from "./dom.js";
import { measure } from "./format.js";
import { pictures } from "./pictures.js";
import { announce } from "./toasts.js";
import { STEP, Zoom } from "./zoom.js";

/** Show the newest grid of a run; earlier ones are a step away. @param {string} name of the run */
export async function open(_app, name) {
  const { grids } = await get(`/api/loop/runs/${encodeURIComponent(name)}`);
  new Samples(name, grids);
}

class Samples {
  #grids;
  #real;
  #at;
  #isReal = false;
  #frame = el("div", { class: "frame sheet" });
  #zoom = new Zoom(this.#frame);
  #words = el("output", { class: "sheet-words" });
  #range;
  #compare;

  constructor(name, grids) {
    this.#real = grids.find(({ kimg }) => kimg === null) ?? null;
    this.#grids = grids.filter(({ kimg }) => kimg !== null);
    this.#at = this.#grids.length - 1;
    this.#range = el("input", {
      type: "range",
      min: "0",
      max: String(this.#grids.length - 1),
      aria: { label: "How far the training was" },
      on: { input: () => this.#go(Number(this.#range.value)) },
    });
    this.#compare = button(["Real pictures ", keycap("o")], () => this.#turn(), { class: "tab", aria: { pressed: "false" } });
    const bindings = [
      { key: "ArrowRight", run: () => this.#go(this.#at + 1), help: "Later" },
      { key: "ArrowLeft", run: () => this.#go(this.#at - 1), help: "Earlier" },
      { key: "Home", run: () => this.#go(0), help: "The first" },
      { key: "End", run: () => this.#go(Infinity), help: "The last" },
      { key: "o", run: () => this.#turn(), help: "Real pictures" },
      { key: "+", run: () => this.#zoom.by(STEP), help: "Closer" },
      { key: "-", run: () => this.#zoom.by(1 / STEP), help: "Farther" },
    ];
    dialog(`Samples of ${name}`, [this.#frame, this.#controls()], { className: "dialog-wide dialog-samples", bindings, onClose: () => this.#zoom.destroy() });
    this.#show();
  }

  #controls() {
    const step = (sign, label, by) => button(sign, () => this.#go(this.#at + by), { class: "icon-button", aria: { label } });
    return el(
      "div",
      { class: "sheet-controls" },
      this.#grids.length > 1 && [step("‹", "Earlier", -1), this.#range, step("›", "Later", 1)],
      this.#words,
      this.#real && this.#compare,
    );
  }

  #go(at) {
    this.#isReal = false;
    this.#at = Math.min(this.#grids.length - 1, Math.max(0, at));
    this.#show();
  }

  #turn() {
    if (!this.#real) return;
    this.#isReal = !this.#isReal;
    this.#show();
  }

  async #show() {
    const grid = this.#isReal ? this.#real : this.#grids[this.#at];
    if (!grid) return fill(this.#frame, el("p", { class: "picture-missing", text: "Nothing was drawn yet." }));
    const said = this.#isReal ? "Real pictures of the version" : `Drawn at ${measure(grid.kimg)} kimg`;
    this.#range.value = String(this.#at);
    this.#range.setAttribute("aria-valuetext", said);
    this.#compare.setAttribute("aria-pressed", String(this.#isReal));
    this.#words.textContent = said;
    announce(said);
    const wanted = grid.url;
    const image = await pictures.load(wanted);
    const now = this.#isReal ? this.#real : this.#grids[this.#at];
    if (now.url !== wanted) return;
    if (image) [image.className, image.alt] = ["picture", said];
    fill(this.#frame, el("div", { class: "pane" }, image ?? el("p", { class: "picture-missing", text: "This picture cannot be shown." })));
    const near = [this.#grids[this.#at - 1], this.#grids[this.#at + 1], this.#real];
    pictures.preload(near.filter(Boolean).map(({ url }) => url));
  }
}
