// What is done with the picture as a whole: other seeds, taking back, comparing, keeping.

import { button, el, fill } from "../dom.js";
import { seedField, setSeed } from "./controls.js";
import { pointAtPng } from "./share.js";

export class Tools {
  png = el("a", { class: "button", title: "Download as PNG; it says what it is made of (D)", download: "", text: "PNG" });
  #undo;
  #redo;
  #reset;
  #compare;
  #beside;
  #keep;
  #seed;
  #from = el("span", { class: "explore-seed" });
  #projected = el("span", { class: "explore-projected" });
  node;

  constructor(acts) {
    this.#undo = button("↶", acts.undo, { class: "icon-button", title: "Take back (Ctrl+Z)", aria: { label: "Take back" } });
    this.#redo = button("↷", acts.redo, { class: "icon-button", title: "Do again (Ctrl+Shift+Z)", aria: { label: "Do again" } });
    this.#reset = button("Reset", acts.reset, { title: "Back to the start (0)" });
    this.#compare = button("Compare", null, { title: "Hold it to see the start (C)", aria: { pressed: "false" }, on: { click: null, ...holding(acts.compare) } });
    this.#beside = button("Beside", acts.beside, { title: "The start beside it (B)", aria: { pressed: "false" } });
    this.#keep = button("", acts.keep, { class: "explore-keep", title: "Keep it below (K)" });
    this.#seed = seedField("Seed", "", { choose: acts.goTo });
    fill(
      this.#from,
      button("‹", () => acts.turn(-1), { class: "icon-button", title: "Previous seed (←)", aria: { label: "Previous seed" } }),
      this.#seed,
      button("›", () => acts.turn(1), { class: "icon-button", title: "Next seed (→)", aria: { label: "Next seed" } }),
    );
    this.node = el(
      "div",
      { class: "explore-tools", role: "toolbar", aria: { label: "Picture" } },
      button("‹ Samples", acts.back, { class: "quiet", title: "Back to the samples (Esc)" }),
      el("div", { class: "explore-group" }, this.#from, this.#projected, button("Random", acts.draw, { title: "Some other seed (R)" })),
      el("div", { class: "explore-group" }, this.#undo, this.#redo, this.#reset),
      el("div", { class: "explore-group" }, this.#compare, this.#beside),
      el("div", { class: "explore-group" }, this.#keep, button("Between…", acts.between, { title: "On the way to another picture (I)" }), this.png, button("Link", acts.link, { title: "Copy a link to it (L)" })),
    );
  }

  draw(look, { steps, isKept, isStart, source, what, isBeside }) {
    const isProjected = look.projection !== null;
    this.#from.hidden = isProjected;
    this.#projected.hidden = !isProjected;
    this.#projected.textContent = isProjected ? `Projected: ${look.projection}` : "";
    if (document.activeElement !== this.#seed || this.#seed.ariaInvalid !== "true") setSeed(this.#seed, look.seed);
    // Not `disabled`, which would take the focus from who presses it again and again.
    const off = (node, isOff) => node.setAttribute("aria-disabled", String(isOff));
    off(this.#undo, !steps.canUndo);
    off(this.#redo, !steps.canRedo);
    off(this.#reset, isStart);
    off(this.#compare, isStart);
    this.#beside.setAttribute("aria-pressed", String(isBeside));
    fill(this.#keep, isKept ? "★ Kept" : "☆ Keep");
    this.#keep.setAttribute("aria-pressed", String(isKept));
    pointAtPng(this.png, source, what);
  }

  comparing(isOn) {
    this.#compare.setAttribute("aria-pressed", String(isOn));
  }
}

/** Listeners by which something lasts as long as a pointer or a key is down. */
function holding(run) {
  const isKey = ({ key }) => key === "Enter" || key === " ";
  return {
    pointerdown: ({ button: which }) => which === 0 && run(true),
    pointerup: () => run(false),
    pointerleave: () => run(false),
    pointercancel: () => run(false),
    contextmenu: (event) => event.preventDefault(),
    keydown: (event) => isKey(event) && !event.repeat && run(true),
    keyup: (event) => isKey(event) && run(false),
    blur: () => run(false),
  };
}
