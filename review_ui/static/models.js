// The loop at a glance: data, decisions, versions, trainings, models; and what starts the next step.

import { button, el, fill, refill } from "./dom.js";
import { ago, moment } from "./format.js";
import { keys } from "./keys.js";
import { loop } from "./loop.js";
import { RunCard } from "./runcard.js";
import { failures, steps } from "./steps.js";
import { announce } from "./toasts.js";
import { watchLink } from "./watching.js";

const FIRST_SHOWN = 8;
const NAMES = { rebuild: "Rebuild", publish: "Publish", train: "Training", rank: "Ranking" };

/** Show it in a node. */
export function mount(root, app) {
  return new Models(root, app);
}

class Models {
  #app;
  #steps = el("ol", { class: "steps", aria: { label: "The loop" } });
  #notes = el("div", { class: "loop-notes" });
  #list = el("ul", { class: "runs" });
  #more = button("", () => this.#showAll(), { class: "quiet", hidden: true });
  #empty = el("p", { class: "muted", hidden: true });
  #compared = el("p", { hidden: true }, el("a", { href: "/models/compare", target: "_blank", text: "Side by side" }));
  #cards = new Map();
  #isWhole = false;
  #drawn = "";
  #jobs = new Map();
  #end = [];

  constructor(root, app) {
    this.#app = app;
    const trainings = el("section", { class: "trainings", aria: { labelledby: "trainings" } }, el("div", { class: "trainings-head" }, el("h2", { id: "trainings", text: "Trainings" }), this.#compared), this.#empty, this.#list, this.#more);
    fill(root, el("div", { class: "models", aria: { busy: "true" } }, el("h2", { class: "unseen", text: "Models" }), this.#steps, this.#notes, trainings));
    this.#end = [keys.push({ name: "Models", bindings: this.#bindings() }), loop.watch(() => this.#draw())];
    if (loop.state) this.#draw();
    else fill(this.#notes, el("p", { class: "muted", text: "Looking…" }));
  }

  /** Counts of what is to do have changed, or all else. */
  refresh() {
    this.#draw();
  }

  destroy() {
    this.#end.forEach((end) => end());
    this.#cards.forEach((card) => card.destroy());
  }

  #bindings() {
    const move = (by) => () => this.#move(by);
    const start = (kind) => () => this.#app.dialogs.start(kind);
    const admin = [
      { key: "b", run: start("rebuild"), help: "Rebuild…" },
      { key: "p", run: start("publish"), help: "Publish…" },
      { key: "t", run: start("train"), help: "Train…" },
      { key: "k", run: start("rank"), help: "Rank…" },
    ];
    return [
      ...(this.#app.session.role === "admin" ? admin : []),
      { key: "ArrowDown", run: move(1), help: "Next training" },
      { key: "ArrowUp", run: move(-1), help: "Previous training" },
      { key: "e", run: () => this.#enlarge(), help: "Enlarge the samples" },
    ];
  }

  #draw() {
    const { state, problem } = loop;
    const root = this.#steps.parentNode;
    if (!state) return fill(this.#notes, el("p", { class: "problem", role: "alert", text: problem }));
    root.setAttribute("aria-busy", "false");
    this.#tell(state.jobs);
    const now = JSON.stringify([{ ...state, runs: state.runs.slice(0, 1) }, this.#app.overview?.todo, Math.floor(Date.now() / 60_000)]);
    if (now !== this.#drawn) refill(this.#steps, steps(this.#app, state));
    this.#drawn = now;
    fill(this.#notes, problem && el("p", { class: "problem", text: problem }), state.problems.map((text) => el("p", { class: "problem", text })), failures(), serverNote(state));
    this.#drawRuns(state);
  }

  #drawRuns({ runs, models, compared_at: compared }) {
    this.#compared.hidden = compared === null;
    if (compared) this.#compared.title = `Compared ${moment(compared)}`;
    const shown = this.#isWhole ? runs : runs.slice(0, FIRST_SHOWN);
    for (const [name, card] of this.#cards) {
      if (shown.some((run) => run.name === name)) continue;
      card.destroy();
      this.#cards.delete(name);
    }
    const nodes = shown.map((run) => {
      const card = this.#cards.get(run.name) ?? new RunCard(this.#app, run.name);
      this.#cards.set(run.name, card);
      card.update(run, models.filter((model) => model.runs.includes(run.name)));
      return card.node;
    });
    // What is in place already stays, and with it the focus.
    nodes.forEach((node, at) => this.#list.children[at] === node || this.#list.insertBefore(node, this.#list.children[at] ?? null));
    this.#more.hidden = shown.length === runs.length;
    this.#more.textContent = `Show all ${runs.length}`;
    this.#empty.hidden = runs.length > 0;
    fill(this.#empty, "Nothing was trained yet: publish a version, then train on it.");
  }

  #showAll() {
    this.#isWhole = true;
    this.#draw();
  }

  /** Tell readers of screens what has ended. */
  #tell(jobs) {
    for (const { kind, id, state, message } of jobs) {
      if (this.#jobs.get(id) === "running" && state !== "running") announce(`${NAMES[kind]}: ${message}`);
      if (id !== null) this.#jobs.set(id, state);
    }
  }

  #move(by) {
    const cards = [...this.#list.children].map((item) => item.firstElementChild);
    const at = cards.findIndex((card) => card.contains(document.activeElement));
    cards[Math.min(cards.length - 1, Math.max(0, at + by))]?.focus();
  }

  /** Enlarge the samples of the training that has the focus; of the first one otherwise. */
  #enlarge() {
    const cards = [...this.#cards.values()];
    const card = cards.find(({ node }) => node.contains(document.activeElement)) ?? cards.find((other) => other.hasSamples);
    card?.enlarge();
  }
}

/** What starts by itself, and where that is seen. */
function serverNote({ server, schedules }) {
  if (!server) return null;
  if (!server.is_up) return el("p", { class: "problem", text: "Prefect's server does not answer; it is asked again." });
  const next = schedules.map(({ kind, at }) => el("li", {}, `${NAMES[kind]} `, el("time", { datetime: at, title: moment(at), text: ago(at) })));
  return el(
    "div",
    { class: "schedule" },
    next.length > 0 && [el("span", { class: "muted", text: "Next by the clock:" }), el("ul", {}, next)],
    watchLink(server.url, "Prefect's page"),
  );
}
