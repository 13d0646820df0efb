// Everything that a look can be told to be, beside the picture.

import { el } from "../dom.js";
import { choice, slider } from "./controls.js";
import { Directions } from "./directions.js";
import { extent } from "./layers.js";
import { NOISES, USUAL_PSI } from "./looks.js";
import { Mixing } from "./mixing.js";
import { snapshotWords } from "./topbar.js";

const NOISE_WORDS = { fixed: "fixed", random: "of the seed", none: "none" };

export class Panel {
  #app;
  #psi;
  #cutoff;
  #noise;
  #classes = null;
  #beside;
  #directions;
  #mixing;
  node;

  /**
   * @param {{change: (parts: object, how?: {gesture?: string, isPassing?: boolean}) => void,
   *   beside: (beside: string) => void}} acts
   */
  constructor(app, { change, beside }) {
    this.#app = app;
    const { labels, layers } = app.model;
    this.#psi = slider({
      label: "Truncation ψ",
      name: "psi",
      min: 0,
      max: 1.2,
      step: 0.01,
      value: USUAL_PSI,
      usual: USUAL_PSI,
      hint: "0: the mean of all; 1: as varied as the model is",
      move: (psi, isPassing) => change({ psi }, { gesture: "psi", isPassing }),
    });
    const cutoffs = layers.map((_, at) => [String(at + 1), at + 1 === layers.length ? "all layers" : extent(layers, 0, at + 1)]);
    cutoffs[cutoffs.length - 1][0] = "";
    this.#cutoff = choice("ψ acts on", cutoffs, "", (chosen) => change({ cutoff: chosen === "" ? null : Number(chosen) }));
    this.#noise = choice("Noise", NOISES.map((noise) => [noise, NOISE_WORDS[noise]]), "fixed", (noise) => change({ noise }));
    if (labels.length) this.#classes = choice("Class", [["", "any"], ...labels.map((each, index) => [String(index), each])], "", (chosen) => change({ label: chosen === "" ? null : Number(chosen) }));
    this.#beside = choice("Beside it", this.#neighbours(), "", beside);
    this.#directions = new Directions(app.model, change);
    this.#mixing = new Mixing(app, change);
    this.node = el(
      "aside",
      { class: "side explore-side", tabindex: "0", aria: { label: "Controls" } },
      el("section", { class: "fact explore-basics" }, this.#psi.node, el("div", { class: "explore-choices" }, this.#classes?.node, this.#noise.node, this.#cutoff.node, this.#beside.node)),
      this.#directions.node,
      this.#mixing.node,
    );
  }

  /** Show a look. */
  draw(look, { beside }) {
    this.#psi.set(look.psi);
    this.#cutoff.set(look.cutoff === null || look.cutoff >= this.#app.model.num_ws ? "" : String(look.cutoff));
    this.#noise.set(look.noise);
    this.#classes?.set(look.label === null ? "" : String(look.label));
    this.#beside.refill(this.#neighbours(), beside);
    this.#directions.draw(look);
    this.#mixing.draw(look);
  }

  destroy() {
    this.#mixing.destroy();
  }

  #neighbours() {
    const others = this.#app.snapshots
      .map((one, at) => [one.name, snapshotWords(one, at)])
      .filter(([name]) => name !== this.#app.model.snapshot);
    return [["", "nothing"], ["start", "the start"], ...others];
  }
}
