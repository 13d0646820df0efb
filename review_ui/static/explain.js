// Everything that is known about one picture.

import { get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill, outside } from "./dom.js";
import { measure, moment, named } from "./format.js";
import { items } from "./items.js";

/** Ask for it, and show it. */
export async function open(app, id) {
  const item = items.get(id);
  const body = el("div", { class: "explain" }, el("p", { text: "Looking it up…" }), el("progress", { aria: { label: "Looking it up" } }));
  dialog(item ? named(item) : "Everything known", body, {
    className: "dialog-wide",
    footer: [button("History of this picture", () => app.dialogs.history({ item: id }))],
  });
  try {
    fill(body, parts(id, await get(`/api/items/${encodeURIComponent(id)}/why`)));
  } catch (error) {
    fill(body, el("p", { class: "problem", text: error.message }));
  }
}

function parts(id, { tests, observations, versions }) {
  return [
    el("p", {}, "Item ", el("code", { class: "id", text: id })),
    el("h3", { text: "Tests" }),
    tests.length ? table(tests) : el("p", { class: "muted", text: "No rule measures it." }),
    el("h3", { text: "Where it was found" }),
    observations.map(observation),
    el("h3", { text: "Published in" }),
    el("p", { text: versions.length ? `version ${versions.join(", ")}` : "no version" }),
  ];
}

function table(tests) {
  const row = ({ rule, measure: what, value, broken_if, broken, action }) =>
    el(
      "tr",
      { class: broken ? "broken" : "" },
      el("th", { scope: "row", text: rule.replaceAll("_", " ") }),
      el("td", { text: what.replaceAll("_", " ") }),
      el("td", { text: measure(value) }),
      el("td", { text: broken_if }),
      el("td", { text: broken ? `broken: ${action}` : action === "off" ? "off" : "passed" }),
    );
  const head = ["Rule", "Measure", "Value", "Broken if", ""];
  return el("div", { class: "scroll", tabindex: "0", role: "region", aria: { label: "Tests" } }, el("table", {}, el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col", text })))), el("tbody", {}, tests.map(row))));
}

function observation(found) {
  const { source, locator, observed_at, fields, label, ...others } = found;
  const rest = { ...others, ...parsed(fields) };
  const rows = [["source", source], ["label", label], ["seen", observed_at && moment(observed_at)], ...Object.entries(rest)];
  return el(
    "dl",
    { class: "observation" },
    el("dt", { text: "place" }),
    el("dd", {}, outside(locator, locator)),
    rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [el("dt", { text: name.replaceAll("_", " ") }), el("dd", {}, typeof value === "string" ? outside(value, value) : JSON.stringify(value))]),
  );
}

function parsed(fields) {
  if (typeof fields !== "string") return fields ?? {};
  try {
    return JSON.parse(fields);
  } catch {
    return { fields };
  }
}
