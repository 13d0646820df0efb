// The bar on top: what can be done, and which model it is done with.

import { button, el, fill, keycap } from "../dom.js";
import { logOut } from "../session.js";
import { toast } from "../toasts.js";
import { turnSmooth } from "./canvas.js";
import { choice } from "./controls.js";
import { openHelp } from "./help.js";
import { keys } from "../keys.js";

const PLACES = { grid: "Samples", between: "Between", project: "Project" };

export class TopBar {
  #app;
  // Made once: a new one under the pointer would lose the click.
  #places = Object.fromEntries(Object.entries(PLACES).map(([view, text]) => [view, el("a", { class: "explore-place", text })]));
  #runs;
  #snapshots;

  constructor(app, root) {
    this.#app = app;
    this.#runs = choice("Run", [], "", (run) => app.turnTo(run, ""), { class: "runs-menu" });
    this.#snapshots = choice("Snapshot", [], "", (snapshot) => app.turnTo(app.place.run, snapshot), { class: "snapshots-menu" });
    const models = el("div", { class: "explore-models" }, this.#runs.node, this.#snapshots.node);
    fill(root, el("h1", { class: "brand" }, el("span", { class: "dataset", text: root.dataset.dataset })), el("nav", { class: "explore-places", aria: { label: "Views" } }, Object.values(this.#places)), models, el("div", { class: "top-actions" }, this.#menu()));
  }

  /** Say where we are. */
  draw() {
    const { place, told } = this.#app;
    const chosen = place.view === "edit" ? "grid" : place.view;
    for (const [view, link] of Object.entries(this.#places)) {
      link.href = this.#app.linkTo(view);
      if (view === chosen) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!told.runs.length) return;
    const run = told.runs.find(({ name }) => name === place.run);
    this.#runs.refill(told.runs.map(({ name, is_training: isTraining }) => [name, isTraining ? `${name} (in training)` : name]), place.run);
    this.#snapshots.refill((run?.snapshots ?? []).map((one, at) => [one.name, snapshotWords(one, at)]), place.snapshot);
  }

  #menu() {
    const { session } = this.#app;
    const entry = (label, run, key) => el("li", {}, button([label, key && keycap(key)], () => (close(), summary.focus(), run()), { class: "menu-entry" }));
    const summary = el("summary", { aria: { label: `Menu of ${session.name}` } }, el("span", { class: "menu-name", text: session.name }), " ▾");
    const list = el(
      "ul",
      { class: "menu-list" },
      el("li", {}, el("a", { class: "menu-entry", href: "/random", text: "One that does not exist" })),
      entry("Keys", () => openHelp(keys.all()), "?"),
      entry("Sharp or smooth pixels", turnSmooth, "x"),
      entry("Dark or light", () => document.dispatchEvent(new Event("nonesuch:theme"))),
      el("li", {}, el("a", { class: "menu-entry", href: "/api", target: "_blank", text: "API" })),
      entry("Log out", leave),
    );
    const node = el("details", { class: "menu" }, summary, list);
    const close = () => node.removeAttribute("open");
    document.addEventListener("click", (event) => node.contains(event.target) || close());
    node.addEventListener("keydown", (event) => event.key === "Escape" && node.open && (event.stopPropagation(), close(), summary.focus()));
    return node;
  }
}

/** "12 kimg, newest" */
export function snapshotWords({ kimg }, at) {
  const words = `${+kimg.toFixed(2)} kimg`;
  return at === 0 ? `${words}, newest` : words;
}

async function leave() {
  try {
    await logOut();
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
}
