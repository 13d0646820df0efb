// Going along directions: a slider for each of a set.

import { button, el, fill } from "../dom.js";
import { choice, slider } from "./controls.js";
import { amountOf, shown, stepped } from "./looks.js";

const SET_KEY = "nonesuch:directions";
const FIRST_SHOWN = 10;
const STEPS = 120;

export class Directions {
  #sets;
  #change;
  #set;
  #isWhole = false;
  #look = null;
  #menu = null;
  #about = el("p", { class: "muted explore-about" });
  #list = el("div", { class: "explore-directions" });
  #more = button("", () => this.#showAll(), { class: "quiet", hidden: true });
  #clear = button("Put all back", () => this.#change({ edits: [] }), { class: "quiet" });
  #sliders = new Map();
  node;

  constructor(model, change) {
    this.#sets = model.directions;
    this.#change = change;
    const remembered = localStorage.getItem(SET_KEY);
    this.#set = this.#sets.find(({ name }) => name === remembered) ?? this.#sets[0] ?? null;
    if (this.#set) this.#menu = choice("Set of directions", this.#words(), this.#set.name, (name) => this.#turnTo(name));
    this.node = el("section", { class: "fact explore-facts" }, el("h3", {}, "Directions", this.#clear), (model.problems ?? []).map((text) => el("p", { class: "problem", text })), this.#menu?.node, this.#about, this.#list, this.#more);
    this.#build();
  }

  /** Show how far a look went along each. */
  draw(look) {
    if (this.#look === null) this.#showEdited(look);
    this.#look = look;
    this.#menu?.refill(this.#words(), this.#set.name);
    this.#clear.hidden = look.edits.length === 0;
    for (const [index, { set }] of this.#sliders) set(amountOf(look, this.#set.name, index));
  }

  /** A link may have been made with another set than the one that is open. */
  #showEdited({ edits }) {
    if (!edits.length || edits.some(({ set }) => set === this.#set?.name)) return;
    this.#set = this.#sets.find(({ name }) => name === edits[0].set) ?? this.#set;
    this.#build();
  }

  #words() {
    const words = ({ name }) => {
      const count = this.#look?.edits.filter(({ set }) => set === name).length ?? 0;
      return [name, count ? `${name} (${count} changed)` : name];
    };
    return this.#sets.map(words);
  }

  #turnTo(name) {
    localStorage.setItem(SET_KEY, name);
    this.#set = this.#sets.find((one) => one.name === name);
    this.#isWhole = false;
    this.#build();
    this.draw(this.#look);
  }

  #showAll() {
    this.#isWhole = true;
    this.#build();
    this.draw(this.#look);
    this.#list.querySelector(`.slider:nth-child(${FIRST_SHOWN + 1}) input`)?.focus();
  }

  #build() {
    this.#sliders.clear();
    if (!this.#set) {
      this.#about.textContent = "This model has no directions.";
      return;
    }
    const { name: set, about, directions } = this.#set;
    this.#about.textContent = about;
    const some = this.#isWhole ? directions : directions.slice(0, FIRST_SHOWN);
    for (const direction of some) this.#sliders.set(direction.index, this.#slider(set, direction));
    fill(this.#list, [...this.#sliders.values()].map(({ node }) => node));
    const left = directions.length - some.length;
    this.#more.hidden = left === 0;
    this.#more.textContent = `Show ${left} more`;
  }

  #slider(set, { index, name, low, high, share }) {
    const span = high - low;
    return slider({
      label: name,
      name: `${set}/${index}`,
      min: low,
      max: high,
      step: Number((span / STEPS).toPrecision(2)),
      value: 0,
      usual: 0,
      hint: share === null ? null : `${shown(share)} ${this.#set.kind === "tags" ? "AUROC: how well it tells the tag" : "of what the set explains"}`,
      show: (amount) => (amount > 0 ? `+${shown(amount)}` : shown(amount)),
      move: (amount, isPassing) => this.#change({ edits: stepped(this.#look, set, index, amount).edits }, { gesture: `${set}/${index}`, isPassing }),
    });
  }
}
