// The bar on top: where we are, who we are, how it goes.

import { button, el, fill, keycap } from "./dom.js";
import { count, many } from "./format.js";
import { outbox } from "./outbox.js";
import { logOut, pace } from "./session.js";
import { toast } from "./toasts.js";

const TICK = 5_000;
const FIRST_FEW = 5;

export class TopBar {
  #app;
  #root;
  #progress = el("p", { class: "progress" });
  #unsent = el("p", { class: "unsent" });
  #undo = button("↶", () => outbox.undo(), { class: "icon-button", title: "Undo (Z)", aria: { label: "Undo" } });
  #redo = button("↷", () => outbox.redo(), { class: "icon-button", title: "Redo (Y)", aria: { label: "Redo" } });
  #models = el("a", { class: "button quiet top-models", href: "#/models", title: "The loop: data, versions, trainings (V)" }, "Models ", keycap("v"));
  #isDrawn = false;

  constructor(app, root) {
    this.#app = app;
    this.#root = root;
    for (const event of ["change", "saved", "trouble", "undone"]) {
      outbox.addEventListener(event, () => this.#count());
    }
    setInterval(() => this.#count(), TICK);
  }

  draw() {
    if (!this.#isDrawn) fill(this.#root, this.#parts());
    this.#isDrawn = true;
    this.#models.toggleAttribute("aria-current", this.#app.view === "models");
    this.#count();
  }

  #parts() {
    const { dataset } = this.#root.dataset;
    return [
      button("☰", () => document.dispatchEvent(new Event("nonesuch:rail")), {
        class: "icon-button rail-open-button",
        aria: { label: "Queues" },
      }),
      el("h1", { class: "brand" }, el("span", { class: "dataset", text: dataset })),
      this.#progress,
      this.#models,
      this.#unsent,
      el(
        "div",
        { class: "top-actions" },
        this.#undo,
        this.#redo,
        this.#menu(),
      ),
    ];
  }

  #menu() {
    const { dialogs, session } = this.#app;
    const entry = (label, run, key) =>
      el("li", {}, button([label, key && keycap(key)], () => (closeMenu(), toSummary(), run()), { class: "menu-entry" }));
    const node = el(
      "details",
      { class: "menu" },
      el("summary", { aria: { label: `Menu of ${session.name}` } }, el("span", { class: "menu-name", text: session.name }), " ▾"),
      el(
        "ul",
        { class: "menu-list" },
        entry("History", () => dialogs.history(), "h"),
        entry("Statistics", () => dialogs.statistics()),
        entry("Download and import", () => dialogs.exchange()),
        entry("Models", () => this.#app.turnToModels(), "v"),
        session.role === "admin" && entry("Publish…", () => dialogs.start("publish")),
        entry("Keys", () => dialogs.help(), "?"),
        entry("Dark or light", () => document.dispatchEvent(new Event("nonesuch:theme"))),
        el("li", {}, el("a", { class: "menu-entry", href: "/report", target: "_blank", text: "Report of the build" })),
        el("li", {}, el("a", { class: "menu-entry", href: "/api", target: "_blank", text: "API" })),
        entry("Log out", leave),
      ),
    );
    const closeMenu = () => node.removeAttribute("open");
    // What has the focus before a dialog gets it back; what is in a closed menu cannot have it.
    const toSummary = () => node.firstChild.focus();
    document.addEventListener("click", (event) => node.contains(event.target) || closeMenu());
    node.addEventListener("keydown", (event) => event.key === "Escape" && (closeMenu(), toSummary()));
    return node;
  }

  #count() {
    // Not `disabled`, which would take the focus from who presses it again and again.
    this.#undo.setAttribute("aria-disabled", String(!outbox.canUndo));
    this.#redo.setAttribute("aria-disabled", String(!outbox.canRedo));
    if (!this.#app.overview) return;
    const { decided, perMinute, median } = pace;
    const left = this.#app.overview.todo;
    const parts = [];
    if (decided) parts.push(`${count(decided)} decided`);
    // Of the first few there is no pace yet.
    if (decided >= FIRST_FEW) parts.push(`${count(Math.round(perMinute))}/min`);
    if (decided >= FIRST_FEW) parts.push(`${seconds(median)} each`);
    parts.push(`${count(left)} left`);
    fill(this.#progress, parts.map((part) => el("span", { text: part })));
    const { pending, trouble } = outbox;
    this.#unsent.textContent = pending ? `${many(pending, "unsaved", "unsaved")}` : "All saved";
    this.#unsent.dataset.state = trouble ? "bad" : pending ? "busy" : "good";
  }
}

function seconds(ms) {
  return ms < 950 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

async function leave() {
  try {
    await logOut();
  } catch (error) {
    toast(error.message, { kind: "bad" });
  }
}
