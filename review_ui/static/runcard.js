// One training: how far it is, what it draws, how its figures went.

import { get } from "./api.js";
import { chart } from "./curves.js";
import { button, el, fill } from "./dom.js";
import { ago, measure, moment } from "./format.js";
import { progress } from "./progress.js";
import { remaining } from "./steps.js";

const SIGNS = { running: "●", finished: "✓", stopped: "‖", failed: "✕", lost: "?" };
const KINDS = { running: "busy", finished: "good", stopped: "idle", failed: "bad", lost: "bad" };
// The first that was taken is drawn.
const LEADING = ["fid", "fd_own", "kid", "kid_own"];
const SPREADS = /^kid_std/;
const SHORT = /^(fid|fd|kid|ppl)(_|$)/;

export class RunCard {
  #app;
  #name;
  #head = el("div", { class: "run-head" });
  #facts = el("div", { class: "run-facts" });
  #samples = el("div", { class: "run-samples" });
  #charts = el("div", { class: "charts" });
  #seen;
  #isSeen = false;
  #run = null;
  #drawn = "";
  #grid = "";
  #detailed = "";

  constructor(app, name) {
    this.#app = app;
    this.#name = name;
    const article = el("article", { class: "run", tabindex: "-1", aria: { labelledby: `run-${name}` } }, this.#samples, el("div", { class: "run-told" }, this.#head, this.#facts), this.#charts);
    this.node = el("li", {}, article);
    // Curves are asked for when somebody sees them.
    this.#seen = new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1).isIntersecting;
      this.#detail();
    });
    this.#seen.observe(this.node);
  }

  get hasSamples() {
    return Boolean(this.#run?.grid);
  }

  /** @param {object[]} models that are made of it */
  update(run, models) {
    this.#run = run;
    const now = JSON.stringify([run, models, Math.floor(Date.now() / 60_000)]);
    if (now === this.#drawn) return;
    this.#drawn = now;
    fill(this.#head, this.#title(run, models));
    fill(this.#facts, this.#parts(run));
    this.#thumb(run);
    this.#detail();
  }

  enlarge() {
    if (this.hasSamples) this.#app.dialogs.samples(this.#name);
  }

  destroy() {
    this.#seen.disconnect();
  }

  #title({ name, status, version, preset, updated_at: updated }, models) {
    const current = models.find((model) => model.is_current);
    return [
      el("h3", { id: `run-${name}`, text: name }),
      el("p", { class: "run-tags" }, el("span", { class: "status", dataset: { kind: KINDS[status] ?? "idle" } }, el("span", { aria: { hidden: "true" }, text: `${SIGNS[status] ?? "·"} ` }), status), el("time", { class: "muted", datetime: updated, title: `Last heard of ${moment(updated)}`, text: ago(updated) }), current && el("span", { class: "tag", title: `It ranks as ${current.model}`, text: "current model" })),
      el("p", { class: "muted", text: [version ? `version ${version}` : "", preset].filter(Boolean).join(", ") }),
    ];
  }

  #parts(run) {
    const { kimg, total_kimg: total, sec_per_kimg: pace, status, reason, metrics } = run;
    const bar = progress({ done: kimg, total }, `${measure(kimg)} of ${measure(total)} kimg`);
    const speed = [pace && `${measure(pace)} s/kimg`, remaining(run)].filter(Boolean).join(", ");
    const said = ["failed", "lost", "stopped"].includes(status) && reason;
    return [
      el("div", { class: "run-bar" }, bar, el("p", {}, `${measure(kimg)} of ${measure(total)} kimg`, speed && el("span", { class: "muted", text: ` · ${speed}` }))),
      said && el("p", { class: status === "stopped" ? "muted" : "problem", text: said }),
      figures(metrics),
    ];
  }

  #thumb({ grid, name }) {
    const url = grid?.url ?? "";
    if (url === this.#grid && this.#samples.firstChild) return;
    this.#grid = url;
    if (!grid) return fill(this.#samples, el("p", { class: "muted", text: "No samples yet" }));
    const label = `Samples of ${name} at ${measure(grid.kimg)} kimg, enlarge`;
    const image = el("img", { src: `${url}&size=small`, alt: "", loading: "lazy", decoding: "async" });
    const open = el("button", { type: "button", class: "run-grid", title: "Enlarge (E)", aria: { label }, on: { click: () => this.enlarge() } }, image);
    // The focus stays where it is when a newer grid takes its place.
    const hadFocus = this.#samples.contains(document.activeElement);
    fill(this.#samples, open);
    if (hadFocus) open.focus();
  }

  async #detail() {
    const run = this.#run;
    if (!run || !this.#isSeen || this.#detailed === run.updated_at) return;
    this.#detailed = run.updated_at;
    try {
      const found = await get(`/api/loop/runs/${encodeURIComponent(this.#name)}`);
      fill(this.#charts, charts(found, this.#name));
    } catch {
      // Curves are worth no message; the next tick brings them.
      this.#detailed = "";
    }
  }
}

function charts({ curves, metrics }, name) {
  const of = (name, label) => ({ label, ...(curves.find((curve) => curve.name === name) ?? { kimg: [], values: [] }) });
  const leading = LEADING.map((name) => metrics.find((metric) => metric.name === name)).find(Boolean);
  return [
    leading ? chart(called(leading.name), [{ label: "", ...leading }], { best: "low" }) : unmeasured(name),
    chart("Losses", [of("loss_G", "G"), of("loss_D", "D")]),
    chart("Augmentation", [of("ada_p", "p"), of("d_sign_real", "sign of D")]),
  ];
}

function figures(metrics) {
  const shown = Object.entries(metrics).filter(([name]) => !SPREADS.test(name));
  if (!shown.length) return null;
  return el("dl", { class: "run-figures" }, shown.map(([name, value]) => el("div", {}, el("dt", { text: called(name) }), el("dd", { text: measure(value) }))));
}

/** "FD-own", "precision-own": those of our own encoder compare our own runs only. */
function called(name) {
  return name.replace(SHORT, (known) => known.toUpperCase()).replaceAll("_", "-");
}

function unmeasured(name) {
  return el("div", { class: "chart" }, el("p", { class: "muted" }, "Not measured yet: ", el("code", { text: `nonesuch metrics ${name}` })));
}
