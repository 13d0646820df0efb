// On the way from one picture to another.

import { button, el, fill } from "../dom.js";
import { keys } from "../keys.js";
import { announce, toast } from "../toasts.js";
import { slider } from "./controls.js";
import { kept } from "./kept.js";
import { between, described, drawSeed, look, named, read, USUAL_PSI, written } from "./looks.js";
import { Pane, thumb } from "./pane.js";
import { copyLink, pointAtPng } from "./share.js";

const NOTED_MS = 200;
// Few enough that a second time all of them are at hand.
const FRAMES = 60;
const WAY_MS = 4_000;
const END_WIDTH = 96;
const NAMES = ["First", "Second"];

export function mount(root, app, params) {
  return new Way(root, app, params);
}

class Way {
  #app;
  #ends;
  #share;
  #taking = 1; // the end that a kept picture becomes
  #pane = new Pane({ onShow: () => (this.#isAsked = false), onFail: () => this.#failed() });
  #isAsked = false; // a frame is under way
  #playing = null;
  #dial;
  #slots = el("div", { class: "way-ends" });
  #play;
  #keep;
  #png = el("a", { class: "button", title: "Download as PNG (D)", download: "", text: "PNG" });
  #drawing = new AbortController();
  #noting = null;
  #end = [];

  constructor(root, app, params) {
    this.#app = app;
    this.#read(params);
    this.#dial = slider({ label: "Share of the second", name: "share", min: 0, max: 1, step: 1 / FRAMES, value: this.#share, usual: 0.5, show: (share) => `${Math.round(100 * share)} %`, move: (share, isPassing) => this.#slide(share, isPassing) });
    this.#play = button("", () => this.#turnPlay(), { class: "primary way-play", title: "There and back (Space)" });
    this.#keep = button("", () => this.#turnKept(), { class: "explore-keep", title: "Keep it below (K)" });
    fill(root, this.#build());
    const tell = () => this.#tell();
    kept.addEventListener("change", tell);
    this.#end = [keys.push({ name: "Between", bindings: this.#bindings() }), () => kept.removeEventListener("change", tell)];
    this.#drawEnds();
    this.#draw();
  }

  destroy() {
    this.#stop();
    clearTimeout(this.#noting);
    this.#drawing.abort();
    this.#pane.destroy();
    this.#end.forEach((end) => end());
  }

  arrive(params) {
    this.#stop();
    this.#read(params);
    this.#dial.set(this.#share);
    this.#drawEnds();
    this.#draw();
    return true;
  }

  /** A picture that was kept becomes an end. */
  takeKept(what, snapshot) {
    if (what.other) {
      toast("A picture between two is no end; choose another one.");
      return true;
    }
    if (snapshot !== this.#app.model.snapshot) toast("It was kept of another snapshot: the same look is shown in this one");
    this.#take(this.#taking, what.look);
    this.#taking = 1 - this.#taking;
    this.#drawEnds();
    return true;
  }

  get #what() {
    return between(...this.#ends, this.#share);
  }

  #read(params) {
    const found = read(params.get("look"));
    if (!found && params.has("look")) toast("This link says nothing that can be shown; it may have been cut off.", { kind: "bad" });
    const { run, snapshot } = this.#app.model;
    const given = kept.of(run).filter((one) => one.snapshot === snapshot && !one.what.other).map(({ what }) => what);
    const other = (first) => given.find((what) => written(what) !== written(between(first)))?.look ?? look({ seed: drawSeed(), psi: first.psi, label: first.label });
    const first = found?.look ?? given[0]?.look ?? look({ seed: drawSeed(), psi: USUAL_PSI });
    this.#ends = [first, found?.other ?? other(first)];
    this.#share = found?.other ? found.share : 0.5;
  }

  #take(at, next) {
    this.#ends = this.#ends.map((end, index) => (index === at ? next : end));
    announce(`${NAMES[at]}: ${named(next)}`);
    this.#drawEnds();
    this.#draw();
  }

  #slide(share, isPassing) {
    this.#stop();
    this.#share = share;
    this.#draw(isPassing);
  }

  #draw(isPassing = false) {
    this.#isAsked = true;
    this.#pane.ask(this.#app.model, this.#what, { label: described(this.#what), isPassing });
    this.#tell();
    this.#note();
  }

  #tell() {
    const isKept = kept.has(this.#app.model, this.#what);
    fill(this.#keep, isKept ? "★ Kept" : "☆ Keep");
    this.#keep.setAttribute("aria-pressed", String(isKept));
    fill(this.#play, this.#playing ? "❚❚ Stop" : "▶ Play");
    pointAtPng(this.#png, this.#app.model, this.#what);
  }

  #note() {
    clearTimeout(this.#noting);
    if (this.#playing) return;
    this.#noting = setTimeout(() => this.#app.note({ look: written(this.#what) }), NOTED_MS);
  }

  #turnPlay() {
    if (this.#playing) {
      this.#stop();
      return this.#draw();
    }
    const began = performance.now() - this.#share * WAY_MS;
    this.#playing = { began, frame: 0 };
    this.#playing.frame = requestAnimationFrame((now) => this.#step(now));
    this.#tell();
  }

  #stop() {
    if (!this.#playing) return;
    cancelAnimationFrame(this.#playing.frame);
    this.#playing = null;
    this.#tell();
  }

  /** The pane says why; Play begins anew. */
  #failed() {
    this.#isAsked = false;
    this.#stop();
    this.#note();
  }

  /** Ask for the next picture once the last has come, however long that took. */
  #step(now) {
    if (!this.#playing) return;
    const turn = ((now - this.#playing.began) / WAY_MS) % 2;
    const share = Math.round(FRAMES * (turn > 1 ? 2 - turn : turn)) / FRAMES;
    if (!this.#isAsked && share !== this.#share && !document.hidden) {
      this.#share = share;
      this.#dial.set(share);
      this.#isAsked = true;
      this.#pane.ask(this.#app.model, this.#what, { label: described(this.#what), isPassing: true });
    }
    this.#playing.frame = requestAnimationFrame((next) => this.#step(next));
  }

  #turnKept() {
    announce(kept.turn(this.#app.model, this.#what) ? "Kept" : "Put away");
  }

  #swap() {
    this.#ends = this.#ends.toReversed();
    this.#share = 1 - this.#share;
    this.#dial.set(this.#share);
    this.#drawEnds();
    this.#draw();
  }

  #copy() {
    this.#app.note({ look: written(this.#what) });
    return copyLink();
  }

  #drawEnds() {
    this.#drawing.abort();
    this.#drawing = new AbortController();
    const at = [...this.#slots.querySelectorAll("button")].indexOf(document.activeElement);
    fill(this.#slots, this.#ends.map((end, index) => this.#slot(end, index)));
    if (at >= 0) this.#slots.querySelectorAll("button")[at]?.focus();
  }

  #slot(end, at) {
    const { model } = this.#app;
    const what = between(end);
    const choose = () => {
      this.#taking = at;
      this.#drawEnds();
    };
    const image = thumb(model, what, described(what), END_WIDTH, this.#drawing.signal);
    image.style.aspectRatio = `${model.width} / ${model.height}`;
    const take = el("button", { type: "button", class: "way-end", aria: { pressed: String(this.#taking === at), label: `${NAMES[at]}: ${described(what)}` }, title: "What you click below comes here", on: { click: choose } }, image);
    const some = button("Random", () => this.#take(at, look({ seed: drawSeed(), psi: end.psi, label: end.label })), { aria: { label: `${NAMES[at]}: some other seed` } });
    const edit = button("Edit", () => this.#app.open("edit", { look: what }), { aria: { label: `${NAMES[at]}: edit` } });
    return el("div", { class: "way-slot" }, el("h3", { text: `${NAMES[at]}: ${named(end)}` }), take, el("div", { class: "buttons" }, some, edit));
  }

  #bindings() {
    const slide = (by) => () => {
      const share = Math.min(1, Math.max(0, Math.round((this.#share + by) * FRAMES) / FRAMES));
      this.#dial.set(share);
      this.#slide(share, false);
    };
    return [
      { key: " ", run: () => this.#turnPlay(), help: "Play, stop" },
      { key: "ArrowRight", run: slide(1 / FRAMES), help: "Nearer to the second" },
      { key: "ArrowLeft", run: slide(-1 / FRAMES), help: "Nearer to the first" },
      { key: "s", run: () => this.#swap(), help: "Swap the two" },
      { key: "k", run: () => this.#turnKept(), help: "Keep it, or put it away" },
      { key: "d", run: () => this.#png.click(), help: "Download as PNG" },
      { key: "l", run: () => this.#copy(), help: "Copy a link to it" },
      { key: "Escape", run: () => this.#app.goBack("grid"), help: "Back to the samples" },
    ];
  }

  #build() {
    const hint = el("p", { class: "muted", text: "Click one of the two, then a kept picture below, to have that one here." });
    return el(
      "div",
      { class: "way" },
      el("div", { class: "explore-panes" }, this.#pane.node),
      el(
        "div",
        { class: "way-controls" },
        this.#dial.node,
        el("div", { class: "buttons" }, this.#play, button("Swap", () => this.#swap(), { title: "Swap the two (S)" }), this.#keep, this.#png, button("Link", () => this.#copy(), { title: "Copy a link to it (L)" })),
        this.#slots,
        hint,
      ),
    );
  }
}
