// The real pictures nearest to a made one: how far it is a copy.

import { get } from "../api.js";
import { button, el, fill } from "../dom.js";
import { count } from "../format.js";
import { leaveToLogIn, pause } from "./pictures.js";
import { shown, written } from "./looks.js";

const ASKED_AGAIN_MS = 700;
const SETTLED_MS = 600;
const COPY = 0.5;

export class Nearest {
  #app;
  #what;
  #isOpen = false;
  #asking = new AbortController();
  #settling = null;
  #told = "";
  #head;
  #body = el("div", { class: "nearest-body", aria: { live: "polite" } });
  node;

  /** @param {() => import("./looks.js").Between} what what is shown now */
  constructor(app, what) {
    this.#app = app;
    this.#what = what;
    this.#head = button("Nearest real pictures", () => this.turn(), { class: "quiet nearest-head", title: "How near it is to what the model learned from (N)", aria: { expanded: "false" } });
    this.node = el("section", { class: "nearest", aria: { label: "Nearest real pictures" } }, this.#head, this.#body);
  }

  /** Open it, or close it. */
  turn() {
    this.#isOpen = !this.#isOpen;
    this.#head.setAttribute("aria-expanded", String(this.#isOpen));
    this.node.toggleAttribute("data-open", this.#isOpen);
    this.#asking.abort();
    clearTimeout(this.#settling);
    this.#told = "";
    fill(this.#body);
    if (this.#isOpen) this.#ask();
  }

  /** Another picture is shown: when it stays, look again. */
  isOld() {
    if (!this.#isOpen || written(this.#what()) === this.#told) return;
    this.#asking.abort();
    clearTimeout(this.#settling);
    this.#body.toggleAttribute("data-old", true);
    this.#settling = setTimeout(() => this.#ask(), SETTLED_MS);
  }

  destroy() {
    clearTimeout(this.#settling);
    this.#asking.abort();
  }

  async #ask() {
    const { run, snapshot } = this.#app.model;
    const look = written(this.#what());
    const asking = new AbortController();
    this.#asking = asking;
    this.#told = look;
    if (!this.#body.childElementCount) fill(this.#body, el("p", { class: "muted", text: "Looking…" }));
    try {
      for (;;) {
        const found = await get(`/api/explore/nearest/${run}/${snapshot}`, { look });
        if (asking.signal.aborted) return;
        this.#draw(found);
        if (found.state === "done") return;
        await pause(ASKED_AGAIN_MS, asking.signal);
      }
    } catch (error) {
      if (asking.signal.aborted) return;
      if (error.status === 401) return leaveToLogIn();
      if (error.status === 503) return this.#askLater(asking);
      this.#told = "";
      this.#body.removeAttribute("data-old");
      fill(this.#body, el("p", { class: "problem", text: error.message }), button("Try again", () => this.#ask()));
    }
  }

  async #askLater(asking) {
    await pause(2 * ASKED_AGAIN_MS, asking.signal).then(() => this.#ask(), () => {});
  }

  #draw({ state, done, total, between, encoder, neighbours }) {
    this.#body.removeAttribute("data-old");
    if (state === "working") return this.#drawProgress(done, total);
    if (!neighbours.length) return fill(this.#body, el("p", { class: "muted", text: "There are no real pictures to compare with." }));
    fill(
      this.#body,
      el("p", { class: "nearest-words", text: meaning(neighbours[0].distance, between) }),
      el("ul", { class: "nearest-strip" }, neighbours.map((one) => this.#entry(one, between))),
      el("p", { class: "muted nearest-about", text: `Distances by ${encoder || "an encoder"}, in parts of the usual distance from a real picture to its nearest other one.` }),
    );
  }

  #drawProgress(done, total) {
    const bar = this.#body.querySelector("progress");
    const words = `Looking through the real pictures: ${count(done)} of ${count(total)}. This is needed once.`;
    if (bar) {
      bar.max = total || 1;
      bar.value = done;
      bar.previousElementSibling.textContent = words;
      return;
    }
    // Read aloud once, not at every step.
    fill(this.#body, el("p", { class: "muted", text: words, aria: { live: "off" } }), el("progress", { max: total || 1, value: done, aria: { label: "Real pictures looked through" } }));
  }

  #entry({ url, distance }, between) {
    const words = between ? `${shown(distance / between)} ×` : shown(distance);
    const image = el("img", { src: url, alt: `Real picture at ${words} the usual distance`, loading: "lazy" });
    image.style.aspectRatio = `${this.#app.model.width} / ${this.#app.model.height}`;
    return el("li", {}, el("a", { href: url, target: "_blank", rel: "noopener" }, image), el("span", { text: words }));
  }
}

/** Say what a distance means. */
export function meaning(distance, between) {
  if (!between) return `${shown(distance)} from the nearest real picture.`;
  const ratio = distance / between;
  const words = `${shown(ratio)} of the usual distance between real ones`;
  if (ratio < COPY) return `${words}: a copy, or nearly one.`;
  if (ratio < 1) return `${words}: nearer than real ones usually are to each other.`;
  return `${words}: no nearer than real ones are to each other; not a copy.`;
}
