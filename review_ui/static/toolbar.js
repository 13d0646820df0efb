// Above the pictures: the queue, what of it is shown, and how.

import { button, el, keycap, refill } from "./dom.js";
import { count, measure } from "./format.js";

const STANDINGS = {
  items: [
    ["open", "To do"],
    ["accepted", "Accepted"],
    ["rejected", "Rejected"],
  ],
  clusters: [
    ["open", "To do"],
    ["settled", "Settled"],
  ],
};

export class Toolbar {
  #app;
  #root;
  #drawn = "";

  constructor(app, root) {
    this.#app = app;
    this.#root = root;
  }

  draw() {
    const { queue, route } = this.#app;
    const now = JSON.stringify([queue, { ...route, item: null }]);
    if (now === this.#drawn) return;
    this.#drawn = now;
    refill(this.#root, queue && this.#parts(queue));
  }

  #parts(queue) {
    return [
      el(
        "div",
        { class: "toolbar-title" },
        el("h2", { text: queue.title }),
        el("p", { class: "muted", text: `${queue.meaning}${limited(queue)}` }),
      ),
      el("div", { class: "toolbar-row" }, this.#standings(queue), queue.kind === "items" && this.#switches(queue)),
      queue.kind === "items" && this.#chips(queue),
    ];
  }

  #standings(queue) {
    const { standing, view } = this.#app;
    return el(
      "div",
      { class: "tabs", role: "group", aria: { label: "Which pictures" } },
      STANDINGS[queue.kind].map(([id, label]) =>
        button([label, " ", el("small", { text: count(queue[id]) })], () => this.#app.show(view, { standing: id }), {
          class: "tab",
          dataset: { name: id },
          aria: { pressed: String(id === standing) },
        }),
      ),
    );
  }

  #switches(queue) {
    const { view, route, dialogs } = this.#app;
    const other = route.order === "worst" ? "borderline" : "worst";
    const to = (id, label) =>
      button(label, () => this.#app.show(id), { class: "tab", dataset: { name: id }, aria: { pressed: String(id === view) } });
    return [
      queue.id !== "all" &&
        button(route.order === "worst" ? "Worst first" : "Borderline first", () => this.#app.show(view, { order: other }), {
          class: "quiet",
          dataset: { name: "order" },
          title: `Show the ${other === "worst" ? "worst" : "borderline cases"} first`,
        }),
      button(["Filters ", keycap("f")], () => dialogs.filters(), { class: "quiet", dataset: { name: "filters" } }),
      el("div", { class: "tabs", role: "group", aria: { label: "View" } }, to("single", "One"), to("grid", "Grid")),
    ];
  }

  #chips(queue) {
    const { filters, view } = this.#app;
    const names = Object.keys(filters);
    if (!names.length) return null;
    const without = (name) => Object.fromEntries(Object.entries(filters).filter(([other]) => other !== name));
    return el(
      "ul",
      { class: "chips", aria: { label: "Filters" } },
      names.map((name) =>
        el(
          "li",
          {},
          button([`${worded(name, queue)} ${filters[name]} `, el("span", { aria: { hidden: "true" }, text: "×" })], () => this.#app.show(view, { filters: without(name) }), {
            class: "chip",
            aria: { label: `Remove the filter ${name} ${filters[name]}` },
          }),
        ),
      ),
      names.length > 1 && el("li", {}, button("Clear all", () => this.#app.show(view, { filters: {} }), { class: "quiet" })),
    );
  }
}

function limited({ measure: name, limit, unit, order }) {
  if (limit === null || !name) return "";
  return ` ${name[0].toUpperCase()}${name.slice(1)} ${order === "low" ? "below" : "above"} ${measure(limit, unit)}.`;
}

function worded(name, queue) {
  const unit = queue.measure ?? "value";
  return { low: `${unit} ≥`, high: `${unit} ≤`, since: "since", until: "until" }[name] ?? `${name}:`;
}
