// What was kept, at hand below everything.

import { button, el, fill } from "../dom.js";
import { many } from "../format.js";
import { toast } from "../toasts.js";
import { kept } from "./kept.js";
import { described } from "./looks.js";
import { thumb } from "./pane.js";

const KEY = "nonesuch:tray";
const HEIGHT = 72;
const NARROW = 760; // there, it would take the room of the picture

export class Tray {
  #app;
  #root;
  #isOpen = (localStorage.getItem(KEY) ?? (innerWidth < NARROW ? "closed" : "open")) === "open";
  #drawing = new AbortController();

  constructor(app, root) {
    this.#app = app;
    this.#root = root;
    kept.addEventListener("change", () => this.draw());
  }

  draw() {
    this.#drawing.abort();
    this.#drawing = new AbortController();
    const { model } = this.#app;
    const all = model ? kept.of(model.run) : [];
    this.#root.hidden = all.length === 0;
    const wasIn = this.#root.contains(document.activeElement);
    fill(this.#root, all.length > 0 && [this.#head(all), this.#isOpen && el("ul", { class: "tray-list" }, all.map((one) => this.#entry(one)))]);
    if (wasIn) this.#root.querySelector("button")?.focus();
  }

  #head(all) {
    const turn = button(`${this.#isOpen ? "▾" : "▸"} ${many(all.length, "picture")} kept`, () => this.#turn(), { class: "quiet", aria: { expanded: String(this.#isOpen) } });
    return el("div", { class: "tray-head" }, turn, this.#isOpen && button("Put all away", () => this.#clear(), { class: "quiet" }));
  }

  #entry({ run, snapshot, what }) {
    const { model } = this.#app;
    const words = snapshot === model.snapshot ? described(what) : `${described(what)}, of ${snapshot}`;
    const source = { run, snapshot, key: this.#app.keyOf(run, snapshot) };
    const width = (HEIGHT * model.width) / model.height;
    const image = source.key ? thumb(source, what, words, width, this.#drawing.signal) : el("span", { class: "muted", text: "gone" });
    const open = el("button", { type: "button", class: "tray-open", title: words, aria: { label: words }, on: { click: () => this.#app.takeKept({ run, snapshot, what }) } }, image);
    open.style.aspectRatio = `${model.width} / ${model.height}`;
    const away = button("×", () => kept.turn({ run, snapshot }, what), { class: "tray-away", aria: { label: `Put away: ${words}` } });
    return el("li", { class: "tray-entry" }, open, away);
  }

  #turn() {
    this.#isOpen = !this.#isOpen;
    localStorage.setItem(KEY, this.#isOpen ? "open" : "closed");
    this.draw();
    this.#root.querySelector("button")?.focus();
  }

  #clear() {
    const back = kept.clear(this.#app.model.run);
    toast("Put away", { action: { label: "Take back", run: back } });
  }
}
