// Starting a part of the loop: what it does, what it is told, how far it is, what came of it.

import { dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { ago, count, many, measure } from "./format.js";
import { isUnderWay, loop } from "./loop.js";
import { outbox } from "./outbox.js";
import { progress } from "./progress.js";
import { watchLink } from "./watching.js";

const TITLES = { publish: "Publish", train: "Train", rank: "Rank", rebuild: "Rebuild" };
const DOING = { publish: "Publishing", train: "Training", rank: "Ranking", rebuild: "Rebuilding" };

/** Offer to start something; show what runs, and what came of it. */
export async function open(app, kind) {
  new Start(app, kind).open();
}

class Start {
  #app;
  #kind;
  #chosen = {};
  #refusal = "";
  #began = null;
  #body = el("div", { class: "start" });
  #said = el("p", { class: "unseen", role: "status" });

  constructor(app, kind) {
    this.#app = app;
    this.#kind = kind;
  }

  async open() {
    const draw = () => this.#draw();
    fill(this.#body, unknown());
    const shown = dialog(TITLES[this.#kind], [this.#body, this.#said], { className: "dialog-small" });
    await Promise.all([this.#app.refreshQueues(), loop.refresh()]);
    if (!shown.node.open) return;
    const unwatch = loop.watch(draw);
    outbox.addEventListener("change", draw);
    shown.node.addEventListener("close", () => {
      unwatch();
      outbox.removeEventListener("change", draw);
    });
    draw();
    this.#body.querySelector(".primary")?.focus();
  }

  async #start(options) {
    this.#refusal = "";
    try {
      this.#began = (await loop.start(this.#kind, options)).id;
    } catch (error) {
      this.#refusal = error.message;
    }
    this.#draw();
  }

  #draw() {
    const job = loop.job(this.#kind);
    const flow = loop.flow(this.#kind);
    const isRunning = job.state === "running" || isUnderWay(flow);
    // What is chosen stays chosen, and has the focus still.
    if (!isRunning && this.#body.contains(document.activeElement) && document.activeElement.matches("select")) return;
    const onStart = this.#body.contains(document.activeElement) && document.activeElement.matches(".primary");
    fill(this.#body, this.#refusal && problem(this.#refusal), !loop.state ? unknown() : isRunning ? working(this.#kind, job, flow) : this.#offer(job));
    if (onStart) this.#body.querySelector(".primary")?.focus();
    // How far it is changes all the time; only what changes seldom is said.
    const news = job.state === "running" ? `${DOING[this.#kind]}: ${job.stage}` : job.state === "done" && job.id === this.#began ? job.message : "";
    if (this.#said.textContent !== news) this.#said.textContent = news;
  }

  #offer(job) {
    const offer = { publish: publishing, train: training, rank: ranking, rebuild: rebuilding }[this.#kind];
    const { words, options = {}, fields, obstacle } = offer(this.#app, this.#chosen, () => this.#redraw());
    const isNews = job.id !== null && job.id === this.#began;
    return [
      job.state === "done" && came(job),
      job.state === "failed" && problem(isNews ? job.message : `${ago(job.ended_at)}: ${job.message}`),
      words,
      fields,
      obstacle ? el("p", { class: "problem", text: obstacle }) : el("div", { class: "buttons" }, button(TITLES[this.#kind], () => this.#start(options), { class: "primary" })),
    ];
  }

  /** Draw anew after a choice; the focus goes back to what was chosen. */
  #redraw() {
    const { name } = document.activeElement;
    document.activeElement.blur();
    this.#draw();
    this.#body.querySelector(`select[name="${name}"]`)?.focus();
  }
}

function publishing(app) {
  const { accepted = 0, open = 0, rejected = 0 } = app.queues.find(({ id }) => id === "all") ?? {};
  const figure = (number, label) => el("li", {}, el("b", { text: count(number) }), el("span", { text: label }));
  return {
    words: [
      el("ul", { class: "figures" }, figure(accepted, "accepted"), figure(open, "to do"), figure(rejected, "rejected")),
      el("p", { class: "muted", text: "What is accepted becomes a numbered version with shards for training. What is still to do stays out, unless the configuration says otherwise." }),
    ],
    obstacle: unsaved("publishing"),
  };
}

function rebuilding() {
  return {
    words: [
      el("p", { text: "The sources are asked for what is new; that is measured, and the whole set is judged again, with all that people have decided." }),
      el("p", { class: "muted", text: "Review can go on meanwhile; the page offers the new build when it is done." }),
    ],
    obstacle: unsaved("rebuilding"),
  };
}

function ranking() {
  const { models, needs_model: needsModel } = loop.state;
  const [model] = models;
  const likeness = !needsModel && "by how much it is like others";
  const network = model && ["by what the model ", el("b", { class: "id", text: model.model }), " takes it for"];
  return {
    words: [
      el("p", {}, "Every picture that has no score yet gets one: ", likeness, likeness && network && ", and ", network, !likeness && !network && "by a trained model", ". Those at the ends come up for review with the next build."),
    ],
    obstacle: needsModel && !model ? "There is no model yet; train first." : null,
  };
}

function training(_app, chosen, redraw) {
  const { versions, presets, runs } = loop.state;
  if (!versions.length) return { words: [el("p", { text: "A training draws on a published version." })], obstacle: "There is no version yet; publish first." };
  const first = wanted(loop.state);
  const version = chosen.version ?? first.version;
  const preset = chosen.preset ?? first.preset;
  const run = loop.state.run_name === null ? runs.find((other) => other.name === `v${version}-${preset}`) : runs.find(({ name }) => name === loop.state.run_name);
  const name = loop.state.run_name ?? `v${version}-${preset}`;
  const choose = (key, read) => ({ target }) => ((chosen[key] = read(target.value)), redraw());
  const option = (value, label, selected) => el("option", { value: String(value), selected }, label);
  return {
    words: [el("p", {}, outlook(name, run))],
    obstacle: run?.is_alive ? "What is at work is not started twice; choose another version or preset." : null,
    options: { version, preset },
    fields: el(
      "div",
      { class: "fields" },
      field("Version", el("select", { name: "version", on: { change: choose("version", Number) } }, versions.map((found) => option(found.version, `${found.version} – ${found.split ? `${found.split}, ` : ""}${many(found.items, "picture")}, ${ago(found.published_at)}`, found.version === version)))),
      field("Preset", el("select", { name: "preset", on: { change: choose("preset", String) } }, presets.map((found) => option(found, found === loop.state.preset ? `${found} (of the configuration)` : found, found === preset)))),
    ),
  };
}

/** What would be trained: what the configuration says, or what was begun and is not at its end. */
function wanted({ versions, version, preset, runs }) {
  // As the command line: of the whole set, if there is such a one.
  const newest = version ?? (versions.find(({ split }) => split === null) ?? versions[0]).version;
  const begun = runs.find((run) => run.version === newest && isUnfinished(run) && run.name === `v${newest}-${run.preset}`);
  return { version: newest, preset: begun?.preset ?? preset };
}

function isUnfinished(run) {
  return run.kimg < run.total_kimg && run.preset !== "";
}

function outlook(name, run) {
  if (!run) return ["A new training begins: ", el("b", { class: "id", text: name }), "."];
  const at = `${measure(run.kimg)} of ${measure(run.total_kimg)} kimg`;
  if (run.is_alive) return [el("b", { class: "id", text: name }), ` is at work: ${at}.`];
  const rest = isUnfinished(run) ? ` goes on at ${at}.` : " is finished; it goes on only if the configuration asks for more.";
  return [el("b", { class: "id", text: name }), rest];
}

function field(label, control) {
  return el("label", { class: "field" }, el("span", { text: label }), control);
}

function unsaved(what) {
  return outbox.pending ? `${many(outbox.pending, "decision")} are not saved yet; ${what} waits for them.` : null;
}

function working(kind, job, flow) {
  const mine = job.state === "running";
  const stage = mine ? job.stage : flow.state === "waiting" ? "waiting for its turn" : "running";
  const training = kind === "train" && loop.alive[0];
  return [
    el("p", { text: `${DOING[kind]}: ${stage}${mine && job.total ? ` – ${count(job.done)} of ${count(job.total)}` : ""}` }),
    progress(mine ? job : {}, DOING[kind]),
    training && el("p", { class: "muted", text: `${training.name}: ${measure(training.kimg)} of ${measure(training.total_kimg)} kimg` }),
    el("p", { class: "muted", text: "It goes on when this page is closed." }),
    watchLink(mine ? job.url : flow.url),
  ];
}

function came({ message, report, ended_at, version }) {
  const title = `Version ${version}`;
  const words = message.startsWith(`${title}:`) ? [el("b", { text: title }), message.slice(title.length)] : message;
  return el(
    "div",
    { class: "published" },
    el("p", {}, words, `, ${ago(ended_at)}`),
    report && el("p", {}, el("a", { href: report, target: "_blank", text: "Report of this version" })),
  );
}

/** What is shown before it is known where the loop stands. */
function unknown() {
  return loop.problem ? problem(loop.problem) : el("p", { text: "Looking…" });
}

function problem(text) {
  return el("p", { class: "problem", role: "alert", text });
}
