// One picture after another, none of which exists.

import { get } from "../api.js";
import { button, el, fill, keycap } from "../dom.js";
import { keys } from "../keys.js";
import { openSession } from "../session.js";
import { announce, toast } from "../toasts.js";
import { format, parse } from "./address.js";
import { turnSmooth } from "./canvas.js";
import { slider } from "./controls.js";
import { openHelp } from "./help.js";
import { between, drawSeed, look, psiOf, seedOf, shown, USUAL_PSI, written } from "./looks.js";
import { Pane } from "./pane.js";
import { addressOf, queuePicture } from "./pictures.js";

const NOTED_MS = 200;

class Random {
  #source;
  #seed;
  #psi;
  #next = drawSeed();
  #ahead = new AbortController();
  #noting = null;
  #pane = new Pane({ onShow: () => this.#lookAhead() });
  #dial;
  #edit = el("a", { class: "button", text: "Look into it" });

  constructor(runs) {
    const { run, snapshot, params } = parse(location.hash);
    const found = runs.find(({ name }) => name === run) ?? runs[0];
    const { name, key } = found.snapshots.find((one) => one.name === snapshot) ?? found.snapshots[0];
    this.#source = { run: found.name, snapshot: name, key };
    this.#psi = psiOf(params.get("psi"));
    this.#dial = slider({ label: "Truncation ψ", name: "psi", min: 0, max: 1.2, step: 0.01, value: this.#psi, usual: USUAL_PSI, hint: "0: the mean of all; 1: as varied as the model is", move: (psi, isPassing) => this.#setPsi(psi, isPassing) });
    fill(document.getElementById("stage"), this.#pane.node);
    fill(document.getElementById("controls"), button(["Another ", keycap(" ")], () => this.#another(), { class: "primary" }), this.#dial.node, this.#edit);
    keys.push({ name: "Page", bindings: this.#bindings() });
    addEventListener("popstate", () => this.#arrive());
    this.#show(seedOf(params.get("seed")) ?? drawSeed());
    this.#note();
  }

  #arrive() {
    const { params } = parse(location.hash);
    this.#psi = psiOf(params.get("psi"));
    this.#dial.set(this.#psi);
    this.#show(seedOf(params.get("seed")) ?? this.#seed);
  }

  #what(seed) {
    return between(look({ seed, psi: this.#psi }));
  }

  #show(seed, isPassing = false) {
    this.#ahead.abort();
    this.#seed = seed;
    const what = this.#what(seed);
    this.#pane.ask(this.#source, what, { label: `Seed ${seed}`, isPassing });
    this.#edit.href = `/${format({ view: "edit", ...this.#source }, { look: written(what) })}`;
  }

  #another() {
    const seed = this.#next;
    this.#next = drawSeed();
    // The one before is a step back in the browser.
    history.pushState({ step: this.#steps + 1 }, "", this.#address(seed));
    this.#show(seed);
    announce("Another one");
  }

  /** How many pictures there are to go back to. */
  get #steps() {
    return history.state?.step ?? 0;
  }

  #goBack() {
    if (this.#steps > 0) history.back();
    else toast("This is the first");
  }

  #setPsi(psi, isPassing) {
    this.#psi = psi;
    this.#show(this.#seed, isPassing);
    clearTimeout(this.#noting);
    this.#noting = setTimeout(() => this.#note(), NOTED_MS);
  }

  #note() {
    history.replaceState({ step: this.#steps }, "", this.#address(this.#seed));
  }

  #address(seed) {
    return format({ view: "random", ...this.#source }, { seed, psi: shown(this.#psi) });
  }

  /** Have the next one at hand. */
  #lookAhead() {
    this.#ahead = new AbortController();
    queuePicture(addressOf(this.#source, this.#what(this.#next), { form: "show" }), this.#ahead.signal).catch(() => {});
  }

  #bindings() {
    return [
      { key: " ", run: () => this.#another(), help: "Another one" },
      { key: "ArrowRight", run: () => this.#another(), help: "Another one", hidden: true },
      { key: "ArrowLeft", run: () => this.#goBack(), help: "The one before" },
      { key: "e", run: () => this.#edit.click(), help: "Look into it" },
      { key: "x", run: () => turnSmooth(), help: "Sharp or smooth pixels" },
      { key: "?", run: () => openHelp(keys.all()), help: "Keys" },
    ];
  }
}

async function begin() {
  await openSession();
  const { runs } = await get("/api/explore/models");
  if (runs.length) return new Random(runs);
  const how = el("p", {}, "Train one on a published version with ", el("code", { text: "nonesuch train" }), ".");
  fill(document.getElementById("stage"), el("div", { class: "empty" }, el("h2", { text: "There is no trained model yet" }), how));
}

begin().catch((error) => {
  const again = button("Try again", () => location.reload(), { class: "primary" });
  fill(document.getElementById("stage"), el("div", { class: "empty", role: "alert" }, el("p", { text: error.message }), again));
});
