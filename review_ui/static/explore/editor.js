// One picture, and everything that can be done to it.

import { el, fill } from "../dom.js";
import { keys } from "../keys.js";
import { announce } from "../toasts.js";
import { Tools } from "./editor_tools.js";
import { kept } from "./kept.js";
import { between, described, drawSeed, LARGEST_SEED, look, named, read, seedOf, start, USUAL_PSI, written } from "./looks.js";
import { Nearest } from "./nearest.js";
import { Pane } from "./pane.js";
import { Panel } from "./panel.js";
import { addressOf, atHand, fetchPicture, queuePicture } from "./pictures.js";
import { copyLink } from "./share.js";
import { Steps } from "./undo.js";
import { toast } from "../toasts.js";

const NOTED_MS = 200;
const AHEAD_MS = 150;
const START = "start";

export function mount(root, app, params) {
  return new Editor(root, app, params);
}

class Editor {
  #app;
  #steps;
  #start;
  #beside;
  #main;
  #other = null;
  #panes = el("div", { class: "explore-panes" });
  #tools;
  #panel;
  #nearest;
  #noting = null;
  #isComparing = false;
  #ahead = { timer: null, controller: new AbortController() };
  #end = new AbortController();

  constructor(root, app, params) {
    this.#app = app;
    const first = this.#read(params);
    this.#steps = new Steps(first);
    this.#start = start(first);
    this.#beside = params.get("beside") ?? "";
    this.#main = new Pane({ onShow: () => this.#lookAhead() });
    this.#tools = new Tools(this.#acts());
    const change = (parts, how) => this.#change(parts, how);
    this.#panel = new Panel(app, { change, beside: (beside) => this.#setBeside(beside) });
    this.#nearest = new Nearest(app, () => this.#what);
    this.#build(root);
    const { signal } = this.#end;
    const pop = keys.push({ name: "Editor", bindings: this.#bindings() });
    signal.addEventListener("abort", pop);
    document.addEventListener("keydown", (event) => this.#undoKey(event), { signal });
    document.addEventListener("keyup", (event) => event.key.toLowerCase() === "c" && this.#compare(false), { signal });
    addEventListener("blur", () => this.#compare(false), { signal });
    kept.addEventListener("change", () => this.#tell(), { signal });
    this.#arrange();
    this.#draw();
  }

  destroy() {
    clearTimeout(this.#noting);
    clearTimeout(this.#ahead.timer);
    this.#ahead.controller.abort();
    this.#end.abort();
    this.#main.destroy();
    this.#other?.destroy();
    this.#panel.destroy();
    this.#nearest.destroy();
  }

  /** Somebody went back or forth, or followed a link. */
  arrive(params) {
    const next = this.#read(params);
    this.#start = start(next);
    this.#steps.take(next);
    this.#beside = params.get("beside") ?? "";
    this.#arrange();
    this.#draw();
    return true;
  }

  get #look() {
    return this.#steps.now;
  }

  get #what() {
    return between(this.#look);
  }

  #read(params) {
    const text = params.get("look");
    const found = text === null ? null : read(text);
    if (text !== null && !found) toast("This link says nothing that can be shown; it may have been cut off.", { kind: "bad" });
    return found?.look ?? look({ psi: USUAL_PSI });
  }

  /** @param {Partial<import("./looks.js").Look>} parts */
  #change(parts, { gesture = "", isPassing = false } = {}) {
    const next = look({ ...this.#look, ...parts });
    if (written(between(next)) !== written(this.#what)) this.#steps.take(next, gesture);
    this.#draw({ isPassing });
  }

  #draw({ isPassing = false } = {}) {
    this.#ask(isPassing);
    this.#panel.draw(this.#look, { beside: this.#beside });
    this.#nearest.isOld();
    this.#tell();
    this.#note();
  }

  /** Say everywhere what is shown. */
  #tell() {
    const isKept = kept.has(this.#app.model, this.#what);
    const isStart = written(between(this.#start)) === written(this.#what);
    this.#tools.draw(this.#look, { steps: this.#steps, isKept, isStart, source: this.#app.model, what: this.#what, isBeside: this.#beside !== "" });
  }

  #ask(isPassing) {
    this.#ahead.controller.abort();
    clearTimeout(this.#ahead.timer);
    this.#main.ask(this.#app.model, this.#what, { label: described(this.#what), isPassing });
    if (!this.#other) return;
    if (this.#beside === START) this.#other.ask(this.#app.model, between(this.#start), { label: `Start: ${described(between(this.#start))}` });
    else this.#other.ask(this.#sourceBeside(), this.#what, { label: `${described(this.#what)}, of ${this.#beside}`, isPassing });
  }

  #sourceBeside() {
    const { run } = this.#app.model;
    return { run, snapshot: this.#beside, key: this.#app.keyOf(run, this.#beside) };
  }

  /** Show one picture, or two. */
  #arrange() {
    if (this.#beside && this.#beside !== START && !this.#app.keyOf(this.#app.model.run, this.#beside)) this.#beside = "";
    const isTwo = this.#beside !== "";
    if (isTwo) this.#other ??= new Pane();
    else {
      this.#other?.destroy();
      this.#other = null;
    }
    this.#main.caption(isTwo ? (this.#beside === START ? "Now" : this.#app.model.snapshot) : "");
    this.#other?.caption(this.#beside === START ? "Start" : this.#beside);
    fill(this.#panes, this.#other?.node, this.#main.node);
  }

  #setBeside(beside) {
    this.#beside = beside;
    this.#arrange();
    this.#draw();
  }

  /** Show the start in the place of the picture, as long as somebody wants. */
  async #compare(isOn) {
    this.#tools.comparing(isOn);
    this.#isComparing = isOn;
    if (!isOn) return this.#main.instead(null);
    const address = addressOf(this.#app.model, between(this.#start), { form: "show", rush: true });
    try {
      const bitmap = atHand(address) ?? (await fetchPicture(address, this.#end.signal));
      if (this.#isComparing) this.#main.instead(bitmap);
    } catch {
      announce("The start cannot be shown");
    }
  }

  /** The next seed is nearly always what is wanted next. */
  #lookAhead() {
    clearTimeout(this.#ahead.timer);
    const { seed, projection } = this.#look;
    if (projection !== null || seed >= LARGEST_SEED) return;
    this.#ahead.controller = new AbortController();
    const next = addressOf(this.#app.model, between(look({ ...this.#look, seed: seed + 1 })), { form: "show" });
    this.#ahead.timer = setTimeout(() => queuePicture(next, this.#ahead.controller.signal).catch(() => {}), AHEAD_MS);
  }

  #note() {
    clearTimeout(this.#noting);
    this.#noting = setTimeout(() => this.#app.note({ look: written(this.#what), beside: this.#beside }), NOTED_MS);
  }

  /** Go to another seed; what was done stays done. */
  #goTo(seed) {
    if (seed === null || seed < 0 || seed > LARGEST_SEED) return false;
    this.#start = look({ ...this.#start, seed, projection: null });
    this.#change({ seed, projection: null });
    announce(`Seed ${seed}`);
    return true;
  }

  #turn(by) {
    const { seed, projection } = this.#look;
    if (projection !== null) return announce("A projected picture has no neighbours");
    this.#goTo(seed + by);
  }

  #undo(isAgain = false) {
    const found = isAgain ? this.#steps.redo() : this.#steps.undo();
    if (!found) return announce(isAgain ? "Nothing to do again" : "Nothing to take back");
    const { seed, projection } = found;
    this.#start = look({ ...this.#start, seed, projection });
    this.#draw();
  }

  #undoKey(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z") return;
    if (event.target instanceof Element && event.target.closest("input[type=text], input[type=search]")) return;
    event.preventDefault();
    this.#undo(event.shiftKey);
  }

  #keep() {
    announce(kept.turn(this.#app.model, this.#what) ? "Kept" : "Put away");
  }

  #reset() {
    this.#change(this.#start);
  }

  #leave() {
    this.#app.lastSeed = this.#look.projection === null ? this.#look.seed : null;
    this.#app.goBack("grid");
  }

  #acts() {
    return {
      back: () => this.#leave(),
      turn: (by) => this.#turn(by),
      goTo: (text) => this.#goTo(seedOf(text)),
      draw: () => this.#goTo(drawSeed()),
      undo: () => this.#undo(),
      redo: () => this.#undo(true),
      reset: () => this.#reset(),
      compare: (isOn) => this.#compare(isOn),
      beside: () => this.#setBeside(this.#beside ? "" : START),
      keep: () => this.#keep(),
      between: () => this.#app.open("between", { look: this.#what }),
      link: () => this.#copy(),
    };
  }

  /** The address must say it by then. */
  #copy() {
    this.#app.note({ look: written(this.#what), beside: this.#beside });
    return copyLink();
  }

  #bindings() {
    const acts = this.#acts();
    return [
      { key: "ArrowRight", run: () => acts.turn(1), help: "Next seed" },
      { key: "ArrowLeft", run: () => acts.turn(-1), help: "Previous seed" },
      { key: "r", run: acts.draw, help: "Some other seed" },
      { key: "z", run: acts.undo, help: "Take back" },
      { key: "y", run: acts.redo, help: "Do again" },
      { key: "z", shift: true, run: acts.redo, help: "Do again", hidden: true },
      { key: "0", run: acts.reset, help: "Back to the start" },
      { key: "c", run: () => acts.compare(true), help: "Hold it: see the start" },
      { key: "b", run: acts.beside, help: "The start beside it" },
      { key: "k", run: acts.keep, help: "Keep it, or put it away" },
      { key: "i", run: acts.between, help: "Between it and another" },
      { key: "n", run: () => this.#nearest.turn(), help: "Nearest real pictures" },
      { key: "d", run: () => this.#tools.png.click(), help: "Download as PNG" },
      { key: "l", run: acts.link, help: "Copy a link to it" },
      { key: "Escape", run: acts.back, help: "Back to the samples" },
    ];
  }

  #build(root) {
    const stage = el("section", { class: "explore-stage", aria: { label: named(this.#look) } }, this.#tools.node, this.#panes, this.#nearest.node);
    fill(root, el("div", { class: "explore-edit" }, stage, this.#panel.node));
  }
}
