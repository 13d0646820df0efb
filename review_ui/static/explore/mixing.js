// Styles of another seed, in some of the layers.

import { button, el, fill } from "../dom.js";
import { choice, seedField, setSeed } from "./controls.js";
import { kept } from "./kept.js";
import { extent, groups, size } from "./layers.js";
import { between, drawSeed, look, seedOf } from "./looks.js";
import { thumb } from "./pane.js";

const OWN = "own";
const WIDTH = 56;

export class Mixing {
  #app;
  #change;
  #groups;
  #look = null;
  #isOwn = false;
  #seed;
  #kept;
  #range;
  #first;
  #last;
  #ends;
  #thumb = el("div", { class: "explore-mixed" });
  #off = button("Off", () => this.#mixWith(null), { class: "quiet" });
  #drawing = new AbortController();
  #drawn = "";
  #end = new AbortController();
  node;

  constructor(app, change) {
    this.#app = app;
    this.#change = change;
    const { layers } = app.model;
    this.#groups = groups(layers);
    this.#seed = seedField("Second seed", "", { choose: (text) => this.#type(text), isOptional: true });
    this.#kept = choice("Kept picture", [], "", (seed) => seed && this.#mixWith(Number(seed)));
    const named = this.#groups.map(({ name, first, last }) => [name, `${name}: ${extent(layers, first, last)}`]);
    this.#range = choice("Its layers", [...named, [OWN, "own range…"]], named[0][0], (name) => this.#choose(name));
    const each = layers.map((layer, at) => [String(at), `${at}: ${size(layer)}`]);
    this.#first = choice("From", each, "0", () => this.#own());
    this.#last = choice("To", each, "0", () => this.#own());
    this.#ends = el("div", { class: "explore-choices" }, this.#first.node, this.#last.node);
    const drawn = button("Random", () => this.#mixWith(drawSeed()), { title: "Some other seed" });
    this.node = el(
      "section",
      { class: "fact explore-facts" },
      el("h3", {}, "Style mixing", this.#off),
      el("div", { class: "explore-mixing" }, this.#thumb, el("label", { class: "choice" }, el("span", { text: "Second seed", aria: { hidden: "true" } }), this.#seed), drawn),
      this.#kept.node,
      this.#range.node,
      this.#ends,
    );
    kept.addEventListener("change", () => this.#offer(), { signal: this.#end.signal });
  }

  draw(now) {
    this.#look = now;
    const { mix } = now;
    this.#off.hidden = mix === null;
    if (document.activeElement !== this.#seed) setSeed(this.#seed, mix?.seed ?? "");
    if (mix) this.#drawRange(mix);
    this.#ends.hidden = !this.#isOwn;
    this.#offer();
    this.#drawThumb(mix);
  }

  destroy() {
    this.#drawing.abort();
    this.#end.abort();
  }

  #drawRange({ first, last }) {
    const group = this.#groups.find((one) => one.first === first && one.last === last);
    if (!group) this.#isOwn = true;
    this.#range.set(this.#isOwn ? OWN : group.name);
    this.#first.set(String(first));
    this.#last.set(String(Math.max(first, last - 1)));
  }

  /** Seeds of pictures that were kept; the menu itself stays at its heading. */
  #offer() {
    const seeds = new Set();
    for (const { what } of kept.of(this.#app.model.run)) if (!what.other && what.look.projection === null) seeds.add(what.look.seed);
    this.#kept.node.hidden = seeds.size === 0;
    const { mix } = this.#look;
    const chosen = mix && seeds.has(mix.seed) ? String(mix.seed) : "";
    this.#kept.refill([["", "choose one…"], ...[...seeds].map((seed) => [String(seed), `seed ${seed}`])], chosen);
  }

  #drawThumb(mix) {
    const { model } = this.#app;
    const what = mix && between(look({ seed: mix.seed, psi: this.#look.psi, label: this.#look.label }));
    const now = JSON.stringify(what);
    if (now === this.#drawn) return;
    this.#drawn = now;
    this.#drawing.abort();
    this.#drawing = new AbortController();
    fill(this.#thumb, what && thumb(model, what, `Styles of seed ${mix.seed}`, WIDTH, this.#drawing.signal));
  }

  #type(text) {
    const seed = seedOf(text);
    if (seed === null && text.trim() !== "") return false;
    this.#mixWith(seed);
    return true;
  }

  #mixWith(seed) {
    const { first, last } = this.#look.mix ?? this.#chosen();
    setSeed(this.#seed, seed ?? "");
    this.#change({ mix: seed === null ? null : { seed, first, last } });
  }

  /** The layers that the menus say. */
  #chosen() {
    const [range, from, to] = [this.#range, this.#first, this.#last].map(({ node }) => node.querySelector("select").value);
    const ends = [Number(from), Number(to)];
    return this.#groups.find(({ name }) => name === range) ?? { first: Math.min(...ends), last: Math.max(...ends) + 1 };
  }

  #choose(name) {
    this.#isOwn = name === OWN;
    this.#ends.hidden = !this.#isOwn;
    const { mix } = this.#look;
    const group = this.#groups.find((one) => one.name === name);
    if (group) this.#take(group.first, group.last);
    else this.#drawRange(mix ?? this.#groups[0]);
  }

  #own() {
    const { first, last } = this.#chosen();
    this.#take(first, last);
  }

  #take(first, last) {
    const { mix } = this.#look;
    if (mix) this.#change({ mix: { ...mix, first, last } });
  }
}
