// Samples without end: one scrolls, and what is looked at is made.

import { button, el, fill } from "../dom.js";
import { keys } from "../keys.js";
import { announce } from "../toasts.js";
import { choice, seedField, setSeed, slider } from "./controls.js";
import { kept } from "./kept.js";
import { between, drawSeed, look, psiOf, seedOf, shown, USUAL_PSI } from "./looks.js";
import { Tiles } from "./tiles.js";

const SIZE_KEY = "nonesuch:tiles";
const SIZES = { s: "Small", m: "Middle", l: "Large" };
const NOTED_MS = 200;
const MOVED_MS = 150;
const FAR = 2_000; // pictures

export function mount(root, app, params) {
  return new Grid(root, app, params);
}

class Grid {
  #app;
  #psi;
  #label;
  #tiles;
  #field;
  #dial;
  #classes = null;
  #sizes;
  #trouble = el("div", { class: "explore-trouble", role: "alert" });
  #noting = null;
  #moving = null;
  #end = [];

  constructor(root, app, params) {
    this.#app = app;
    const { seed, at } = this.#read(params);
    this.#tiles = new Tiles(app.model, {
      start: seed,
      size: localStorage.getItem(SIZE_KEY) ?? "m",
      make: (each) => this.#what(each),
      open: (each) => app.open("edit", { look: this.#what(each) }),
      keep: (each) => this.#keep(each),
      isKept: (each) => kept.has(app.model, this.#what(each)),
      moved: () => this.#note(),
      failed: (error) => this.#fail(error),
    });
    fill(root, this.#build(), this.#trouble, this.#tiles.node);
    const remark = () => this.#tiles.remark();
    kept.addEventListener("change", remark);
    this.#end = [keys.push({ name: "Grid", bindings: this.#bindings() }), () => kept.removeEventListener("change", remark), () => this.#tiles.destroy()];
    this.#tiles.goTo(seed, at);
    this.#comeBack(app.lastSeed);
    this.#note();
  }

  /** Go on where somebody looked closer. */
  #comeBack(seed) {
    const { start, first } = this.#tiles;
    if (seed !== null && seed >= start && seed < first + FAR) this.#tiles.focus(seed);
    this.#app.lastSeed = null;
  }

  destroy() {
    clearTimeout(this.#noting);
    clearTimeout(this.#moving);
    this.#end.forEach((end) => end());
  }

  /** Somebody went back or forth, or changed the address. */
  arrive(params) {
    const { seed, at } = this.#read(params);
    this.#dial.set(this.#psi);
    this.#classes?.set(this.#label === null ? "" : String(this.#label));
    setSeed(this.#field, seed);
    this.#tiles.goTo(seed, at);
    this.#tiles.refresh();
    this.#tiles.remark();
    return true;
  }

  #read(params) {
    this.#psi = psiOf(params.get("psi"));
    const label = seedOf(params.get("class"));
    this.#label = label !== null && label < this.#app.model.labels.length ? label : null;
    const seed = seedOf(params.get("seed")) ?? 0;
    return { seed, at: Math.max(seed, seedOf(params.get("at")) ?? seed) };
  }

  #what(seed) {
    return between(look({ seed, psi: this.#psi, label: this.#label }));
  }

  #keep(seed) {
    announce(kept.turn(this.#app.model, this.#what(seed)) ? `Seed ${seed} kept` : `Seed ${seed} put away`);
  }

  /** Have the address say where we are, but not at every pixel. */
  #note() {
    clearTimeout(this.#noting);
    this.#noting = setTimeout(() => {
      const { start, first } = this.#tiles;
      if (document.activeElement !== this.#field) setSeed(this.#field, first);
      this.#app.note({ seed: start, at: first > start ? first : null, psi: shown(this.#psi), class: this.#label });
    }, NOTED_MS);
  }

  #fail(error) {
    if (this.#trouble.childElementCount) return;
    const again = () => {
      fill(this.#trouble);
      this.#tiles.refresh();
    };
    fill(this.#trouble, el("p", { text: error.message }), button("Try again", again));
  }

  #setPsi(psi, isPassing) {
    this.#psi = psi;
    this.#changed(isPassing);
  }

  /** While the slider moves, pictures follow several times a second: the first of them, at least. */
  #changed(isPassing = false) {
    this.#note();
    if (isPassing && this.#moving) return;
    clearTimeout(this.#moving);
    const run = () => {
      this.#moving = null;
      fill(this.#trouble);
      this.#tiles.refresh();
      this.#tiles.remark();
    };
    if (isPassing) this.#moving = setTimeout(run, MOVED_MS);
    else run();
  }

  #jump(text) {
    const seed = seedOf(text);
    if (seed === null) return false;
    fill(this.#trouble);
    this.#tiles.goTo(seed);
    this.#note();
    return true;
  }

  #goElsewhere() {
    const seed = drawSeed();
    this.#jump(String(seed));
    setSeed(this.#field, seed);
    announce(`From seed ${seed}`);
  }

  #resize(size) {
    localStorage.setItem(SIZE_KEY, size);
    this.#tiles.resize(size);
    this.#markSize(size);
  }

  #markSize(size) {
    for (const node of this.#sizes.children) node.setAttribute("aria-pressed", String(node.dataset.name === size));
  }

  #bindings() {
    const move = (key, by, isRows, help) => ({ key, run: () => this.#tiles.move(by, isRows), help: "Move", hidden: !help });
    return [
      move("ArrowRight", 1, false, true),
      move("ArrowLeft", -1, false, false),
      move("ArrowDown", 1, true, false),
      move("ArrowUp", -1, true, false),
      { key: "Enter", run: () => this.#app.open("edit", { look: this.#what(this.#tiles.cursor) }), help: "Open it" },
      { key: "k", run: () => this.#keep(this.#tiles.cursor), help: "Keep it, or put it away" },
      { key: "r", run: () => this.#goElsewhere(), help: "Another place" },
      { key: "g", run: () => this.#field.select(), help: "Go to a seed" },
      { key: "Home", run: () => this.#tiles.focus(this.#tiles.start), help: "Back to the first" },
    ];
  }

  #build() {
    const { labels } = this.#app.model;
    this.#dial = slider({ label: "Truncation ψ", name: "psi", min: 0, max: 1.2, step: 0.01, value: this.#psi, usual: USUAL_PSI, hint: "0: the mean of all; 1: as varied as the model is", move: (psi, isPassing) => this.#setPsi(psi, isPassing) });
    this.#field = seedField("From seed", String(this.#tiles.start), { choose: (text) => this.#jump(text) });
    const size = localStorage.getItem(SIZE_KEY) in SIZES ? localStorage.getItem(SIZE_KEY) : "m";
    this.#sizes = el("div", { class: "tabs", role: "group", aria: { label: "Size" } }, Object.entries(SIZES).map(([name, label]) => button(name.toUpperCase(), () => this.#resize(name), { class: "tab", dataset: { name }, aria: { label } })));
    this.#markSize(size);
    if (labels.length) this.#classes = choice("Class", [["", "any"], ...labels.map((each, index) => [String(index), each])], this.#label === null ? "" : String(this.#label), (chosen) => this.#choose(chosen));
    return el(
      "div",
      { class: "toolbar explore-bar" },
      this.#dial.node,
      this.#classes?.node,
      el("label", { class: "choice" }, el("span", { text: "Seed", aria: { hidden: "true" } }), this.#field),
      button("Another place", () => this.#goElsewhere(), { title: "Samples from a random seed on (R)" }),
      this.#sizes,
    );
  }

  #choose(chosen) {
    this.#label = chosen === "" ? null : Number(chosen);
    this.#changed();
  }
}
