// Finding pictures from outside in the latent space of a model.

import { del, get } from "../api.js";
import { button, el, fill, refill } from "../dom.js";
import { keys } from "../keys.js";
import { announce } from "../toasts.js";
import { between, look, shown } from "./looks.js";
import { leaveToLogIn, pause } from "./pictures.js";
import { upload } from "./upload.js";

const ASKED_AGAIN_MS = 1_000;
const WHILE_HIDDEN_MS = 5_000;
const LONGEST_PAUSE_MS = 15_000;
const PICTURES = { target: "Asked for", start: "Start", end: "Found" };
const STATES = { waiting: "Waits for its turn", working: "At work", done: "Done", failed: "Failed" };

export function mount(root, app) {
  return new Project(root, app);
}

class Project {
  #app;
  #all = [];
  #list = el("ul", { class: "projections" });
  #problem = el("div", { class: "explore-trouble", role: "alert" });
  #lost = el("div", { class: "explore-trouble", role: "alert", dataset: { of: "look" } });
  #file;
  #drop;
  #watching = new AbortController();
  #end = new AbortController();

  constructor(root, app) {
    this.#app = app;
    const { signal } = this.#end;
    this.#file = el("input", { type: "file", accept: "image/*", multiple: true, class: "unseen", tabindex: "-1", aria: { label: "Picture to project" }, on: { change: () => this.#chosen() } });
    this.#drop = el("div", { class: "drop" }, el("p", {}, el("b", { text: "Drop a picture here" }), ", paste one, or"), button("Choose a picture…", () => this.#file.click(), { class: "primary" }), this.#file, el("p", { class: "muted", text: `It is searched for in ${app.model.run}, ${app.model.snapshot}; that takes a while.` }));
    fill(root, el("div", { class: "project" }, el("h2", { class: "unseen", text: "Project a picture" }), this.#drop, this.#problem, this.#lost, this.#list));
    const pop = keys.push({ name: "Project", bindings: [{ key: "u", run: () => this.#file.click(), help: "Choose a picture" }, { key: "Escape", run: () => app.goBack("grid"), help: "Back to the samples" }] });
    signal.addEventListener("abort", pop);
    document.addEventListener("paste", (event) => this.#take(event, event.clipboardData), { signal });
    document.addEventListener("dragover", (event) => this.#over(event), { signal });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && this.#drop.removeAttribute("data-over"), { signal });
    document.addEventListener("drop", (event) => this.#take(event, event.dataTransfer), { signal });
    this.#watch();
  }

  destroy() {
    this.#watching.abort();
    this.#end.abort();
  }

  arrive() {
    return true;
  }

  #over(event) {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    this.#drop.toggleAttribute("data-over", true);
  }

  #take(event, data) {
    this.#drop.removeAttribute("data-over");
    const files = [...(data?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.#send(files);
  }

  #chosen() {
    const files = [...this.#file.files];
    this.#file.value = "";
    this.#send(files);
  }

  async #send(files) {
    fill(this.#problem);
    const { run, snapshot } = this.#app.model;
    this.#drop.setAttribute("aria-busy", "true");
    for (const file of files) {
      const path = `/api/explore/projections/${run}/${snapshot}?${new URLSearchParams({ name: file.name.slice(0, 200) || "picture" })}`;
      try {
        const told = await upload(path, file, this.#app.session);
        announce(`${told.name} is looked for`);
      } catch (error) {
        this.#problem.append(el("p", { text: files.length > 1 ? `${file.name}: ${error.message}` : error.message }));
      }
    }
    this.#drop.removeAttribute("aria-busy");
    this.#watch();
  }

  /** Look how far they are, as long as one is under way. */
  async #watch() {
    this.#watching.abort();
    if (this.#end.signal.aborted) return;
    const watching = new AbortController();
    this.#watching = watching;
    let failures = 0;
    try {
      for (;;) {
        const isFine = await this.#look(watching.signal);
        if (watching.signal.aborted) return;
        failures = isFine ? 0 : failures + 1;
        if (isFine && !this.#all.some(isUnderWay)) return;
        const wait = document.hidden ? WHILE_HIDDEN_MS : ASKED_AGAIN_MS;
        await pause(Math.min(wait * 2 ** failures, LONGEST_PAUSE_MS), watching.signal);
      }
    } catch (error) {
      if (!watching.signal.aborted) throw error;
    }
  }

  async #look(signal) {
    try {
      const found = await get(`/api/explore/projections/${this.#app.model.run}`);
      if (signal.aborted) return true;
      this.#all = found;
      this.#draw();
      fill(this.#lost);
      return true;
    } catch (error) {
      if (error.status === 401) leaveToLogIn();
      if (!signal.aborted) fill(this.#lost, el("p", { text: error.message }));
      return false;
    }
  }

  #draw() {
    refill(this.#list, this.#all.map((one) => this.#entry(one)));
  }

  #entry(one) {
    const { name, state, step, steps, message } = one;
    const isBusy = isUnderWay(one);
    const words = state === "working" ? `${STATES[state]}: step ${step} of ${steps}` : STATES[state];
    return el(
      "li",
      { class: "projection", dataset: { state, name } },
      el("div", { class: "projection-head" }, el("h3", { text: name }), el("p", { class: state === "failed" ? "problem" : "muted", text: message ? `${words}. ${message}` : words })),
      isBusy && el("progress", { max: steps || 1, value: step, aria: { label: `Projection of ${name}` } }),
      el("div", { class: "projection-pictures" }, Object.entries(PICTURES).map(([which, label]) => this.#picture(one, which, label))),
      distances(one),
      el(
        "div",
        { class: "buttons" },
        one.end && button("Edit this one", () => this.#app.open("edit", { look: between(look({ projection: name })) }), { class: "primary", dataset: { name: `edit-${name}` } }),
        state === "failed" && button("Dismiss", () => this.#cancel(name), { dataset: { name: `dismiss-${name}` } }),
        isBusy && button("Cancel", () => this.#cancel(name), { dataset: { name: `cancel-${name}` } }),
      ),
    );
  }

  #picture({ name, ...told }, which, label) {
    const { width, height } = this.#app.model;
    const address = told[which];
    const node = address ? el("img", { src: address, alt: `${label}: ${name}` }) : el("span", { class: "projection-none muted", text: "–" });
    node.style.aspectRatio = `${width} / ${height}`;
    return el("figure", {}, node, el("figcaption", { text: label }));
  }

  async #cancel(name) {
    try {
      await del(`/api/explore/projections/${this.#app.model.run}/${encodeURIComponent(name)}`);
      announce(`${name}: ended`);
    } catch (error) {
      fill(this.#problem, el("p", { text: error.message }));
    }
    this.#watch();
  }
}

function isUnderWay({ state }) {
  return state === "waiting" || state === "working";
}

function distances({ distance, start_distance: from }) {
  if (distance === null) return null;
  const words = from === null ? `Distance ${shown(distance)}` : `Distance ${shown(distance)}, from ${shown(from)} at the start`;
  return el("p", { class: "projection-distance", text: words });
}
