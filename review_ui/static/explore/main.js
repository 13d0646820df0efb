// The explorer: which view is shown, of which model.

import { get } from "../api.js";
import { button, el, fill } from "../dom.js";
import { keys } from "../keys.js";
import { openSession } from "../session.js";
import { announce, toast } from "../toasts.js";
import { format, parse, VIEWS } from "./address.js";
import { turnSmooth } from "./canvas.js";
import * as grid from "./grid.js";
import { openHelp } from "./help.js";
import { kept } from "./kept.js";
import { written } from "./looks.js";
import { leaveToLogIn } from "./pictures.js";
import { TopBar } from "./topbar.js";
import { Tray } from "./tray.js";

const LOOKED_MS = 30_000;
const MODULES = {
  grid: async () => grid,
  edit: () => import("./editor.js"),
  between: () => import("./between.js"),
  project: () => import("./project.js"),
};

class App {
  session = null;
  /** @type {{dataset: string, runs: object[]}} */
  told = null;
  /** What can be done with the snapshot that is shown. */
  model = null;
  /** @type {import("./address.js").Place} */
  place = { view: "grid", run: "", snapshot: "", params: new URLSearchParams() };
  /** Seed that was looked at last: the grid goes on there. */
  lastSeed = null;
  #view = null;
  #last = {}; // where one was in each view
  #bar;
  #tray;
  #turn = 0;

  async begin() {
    const top = document.getElementById("top");
    this.session = await openSession();
    this.told = await this.#ask("/api/explore/models");
    kept.open(this.told.dataset);
    this.#bar = new TopBar(this, top);
    this.#tray = new Tray(this, document.getElementById("tray"));
    keys.push({ name: "Everywhere", bindings: this.#bindings() });
    addEventListener("hashchange", () => this.#route());
    // The address is taken: it says what is shown.
    document.querySelector(".skip-link").addEventListener("click", (event) => (event.preventDefault(), document.getElementById("view").focus()));
    setInterval(() => this.#lookAgain(), LOOKED_MS);
    document.addEventListener("visibilitychange", () => this.#lookAgain());
    await this.#route();
  }

  /** Give the address of a view, as it was left. */
  linkTo(view, params = this.#last[view] ?? {}) {
    return format({ ...this.place, view }, params);
  }

  /** Go to a view. @param {{look?: import("./looks.js").Between} & object} params */
  open(view, { look: what, ...params } = {}) {
    location.hash = this.linkTo(view, what ? { look: written(what), ...params } : params);
  }

  /** Go to a view as it was left. */
  goBack(view) {
    location.hash = this.linkTo(view);
  }

  /** Have the address say what is shown, without a step in the browser's history. */
  note(params) {
    this.#last[this.place.view] = params;
    history.replaceState(history.state, "", format(this.place, params));
    this.#bar.draw();
  }

  /** Show the same of another model; "" is the newest snapshot. */
  turnTo(run, snapshot) {
    const params = this.#last[this.place.view] ?? this.place.params;
    location.hash = format({ view: this.place.view, run, snapshot: snapshot || this.#find(run).snapshots[0].name }, params);
  }

  /** What addresses of a snapshot's pictures hold; "" where it is gone. */
  keyOf(run, snapshot) {
    const told = this.#toldKey(run, snapshot);
    return told && this.#isShown(run, snapshot) ? this.model.key : told;
  }

  /** The snapshots of the run that is shown, newest first. */
  get snapshots() {
    return this.#find(this.place.run)?.snapshots ?? [];
  }

  /** Do with a picture that was kept what the view does with one; else open it. */
  takeKept({ run, snapshot, what }) {
    if (this.#view?.takeKept?.(what, snapshot)) return;
    const view = what.other ? "between" : "edit";
    location.hash = format({ view, run, snapshot }, { look: written(what) });
  }

  #find(run) {
    return this.told.runs.find(({ name }) => name === run);
  }

  #toldKey(run, snapshot) {
    return this.#find(run)?.snapshots.find(({ name }) => name === snapshot)?.key ?? "";
  }

  #isShown(run, snapshot) {
    return this.model?.run === run && this.model.snapshot === snapshot;
  }

  /** Directions may have been found since it was loaded. */
  #isOld({ run, snapshot, key }) {
    const told = this.#toldKey(run, snapshot);
    return told !== "" && told !== key;
  }

  async #route() {
    const place = this.#completed(parse(location.hash));
    const turn = ++this.#turn;
    if (!this.told.runs.length) return this.#showEmpty();
    const isSame = this.#view && place.view === this.place.view && place.run === this.place.run && place.snapshot === this.place.snapshot;
    this.place = place;
    this.#last[place.view] = Object.fromEntries(place.params);
    this.#bar.draw();
    if (isSame && this.#view.arrive?.(place.params)) return;
    await this.#show(place, turn);
  }

  /** Fill in what an address leaves out; the address then says it. */
  #completed({ view, run, snapshot, params }) {
    const known = this.#find(run) ?? (run ? null : this.told.runs[0]);
    const place = {
      view: VIEWS.includes(view) ? view : "grid",
      run: known?.name ?? run,
      snapshot: snapshot || (known?.snapshots[0].name ?? ""),
      params,
    };
    if (known && format(place, params) !== location.hash) history.replaceState(history.state, "", format(place, params));
    return place;
  }

  async #show({ view, run, snapshot, params }, turn) {
    const root = document.getElementById("view");
    this.#view?.destroy();
    this.#view = null;
    const isLoaded = this.#isShown(run, snapshot) && !this.#isOld(this.model);
    if (!isLoaded) fill(root, el("p", { class: "empty", text: `Loading ${run}, ${snapshot}…` }));
    try {
      const [module, model] = await Promise.all([MODULES[view](), isLoaded ? this.model : this.#load(run, snapshot)]);
      if (turn !== this.#turn) return;
      this.model = model;
      this.#tray.draw();
      this.#view = module.mount(root, this, params);
    } catch (error) {
      if (turn === this.#turn) this.#fail(root, error);
    }
  }

  #load(run, snapshot) {
    return this.#ask(`/api/explore/models/${encodeURIComponent(run)}/${encodeURIComponent(snapshot)}`);
  }

  async #ask(path) {
    try {
      return await get(path);
    } catch (error) {
      if (error.status === 401) {
        leaveToLogIn();
        return new Promise(() => {});
      }
      throw error;
    }
  }

  #fail(root, error) {
    const newest = this.told.runs[0];
    const isThere = this.place.run === newest.name && this.place.snapshot === newest.snapshots[0].name;
    const go = isThere ? button("Try again", () => this.#route(), { class: "primary" }) : button(`Show the newest of ${newest.name}`, () => this.turnTo(newest.name, ""), { class: "primary" });
    fill(root, el("div", { class: "empty", role: "alert" }, el("h2", { text: "This cannot be shown" }), el("p", { text: error.message }), go));
  }

  #showEmpty() {
    const how = el("p", {}, "Train one on a published version with ", el("code", { text: "nonesuch train" }), "; as soon as it has a snapshot, its pictures are here.");
    fill(document.getElementById("view"), el("div", { class: "empty" }, el("h2", { text: "There is no trained model yet" }), how, button("Look again", () => location.reload(), { class: "primary" })));
  }

  /** Trainings go on: see which snapshots there are now, and which directions. */
  async #lookAgain() {
    if (document.hidden) return;
    try {
      const told = await this.#ask("/api/explore/models");
      if (JSON.stringify(told) !== JSON.stringify(this.told)) await this.#learn(told);
      if (this.#view && this.#isOld(this.model)) await this.#renew();
    } catch {
      // What is asked for next tells.
    }
  }

  async #learn(told) {
    const isFirst = this.told.runs.length === 0;
    this.told = told;
    if (isFirst) await this.#route();
    // A menu that is open would close.
    else if (!document.activeElement?.closest(".explore-models")) this.#bar.draw();
  }

  /** Show the same, with what the model can do now. */
  async #renew() {
    const { run, snapshot } = this.place;
    const turn = this.#turn;
    const model = await this.#load(run, snapshot);
    if (turn !== this.#turn) return;
    this.model = model;
    toast("What can be done with this model has changed");
    await this.#show({ ...this.place, params: parse(location.hash).params }, ++this.#turn);
  }

  #bindings() {
    return [
      { key: "?", run: () => openHelp(keys.all()), help: "Keys" },
      { key: "1", run: () => this.goBack("grid"), help: "Samples" },
      { key: "2", run: () => this.goBack("between"), help: "Between two" },
      { key: "3", run: () => this.goBack("project"), help: "Project a picture" },
      { key: "x", run: () => announce(turnSmooth() ? "Smooth pixels" : "Sharp pixels"), help: "Sharp or smooth pixels" },
    ];
  }
}

const app = new App();
app.begin().catch((error) => {
  const again = button("Try again", () => location.reload(), { class: "primary" });
  fill(document.getElementById("view"), el("div", { class: "empty", role: "alert" }, el("h2", { text: "The explorer does not answer" }), el("p", { text: error.message }), again));
});
