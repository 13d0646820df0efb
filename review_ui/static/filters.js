// The filters of a queue.

import { get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el } from "./dom.js";
import { count, measure } from "./format.js";
import { toast } from "./toasts.js";

const FACETS = [
  ["source", "Source"],
  ["label", "Label"],
  ["brand", "Brand"],
  ["tag", "Tag"],
];

/** Ask for filters, and show what passes them. */
export async function open(app) {
  let facets;
  try {
    facets = await get("/api/facets");
  } catch (error) {
    toast(error.message, { kind: "bad" });
    return;
  }
  const form = el("form", { class: "fields", id: "filters" }, fields(app, facets));
  const apply = () => {
    if (!form.reportValidity()) return;
    const filters = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    shown.close();
    app.show(app.view, { filters });
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  const clearAll = () => {
    shown.close();
    app.show(app.view, { filters: {} });
  };
  const shown = dialog("Filters", form, {
    className: "dialog-small",
    footer: [button("Clear all", clearAll), el("button", { class: "primary", form: "filters", text: "Show" })],
  });
  form.elements[0]?.focus();
}

function fields(app, facets) {
  const { filters, queue, overview, session } = app;
  const people = [...new Set([session.name, ...overview.online.map(({ name }) => name)])];
  const days = { min: facets.first?.slice(0, 10), max: facets.last?.slice(0, 10) };
  return [
    FACETS.filter(([name]) => facets[name].length || filters[name]).map(([name, label]) =>
      field(label, listed(name, filters[name], facets[name].map(({ value, count: n }) => [value, count(n)]))),
    ),
    app.standing !== "open" && field("Decided by", listed("reviewer", filters.reviewer, people.map((name) => [name, ""]))),
    facets.first && field("Seen since", el("input", { type: "date", name: "since", value: filters.since ?? "", ...days })),
    facets.first && field("Seen until", el("input", { type: "date", name: "until", value: filters.until ?? "", ...days })),
    queue.low !== null && queue.id !== "all" && range(queue, filters),
  ];
}

function range(queue, filters) {
  const bound = (name, label, end) =>
    field(`${queue.measure ?? "Value"}, ${label}`, el("input", { type: "number", step: "any", name, value: filters[name] ?? "", placeholder: measure(end) }));
  return [bound("low", "at least", queue.low), bound("high", "at most", queue.high)];
}

function listed(name, value, options) {
  const id = `values-of-${name}`;
  return [
    el("input", { name, value: value ?? "", list: id, maxlength: "500", autocomplete: "off" }),
    el("datalist", { id }, options.map(([option, label]) => el("option", { value: option, label: label || null }))),
  ];
}

function field(label, input) {
  return el("label", { class: "field" }, el("span", { text: label }), input);
}
