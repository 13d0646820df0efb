// Decisions as files: out, and in from elsewhere.

import { post } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { count, many } from "./format.js";
import { outbox } from "./outbox.js";

const PREVIEWED = 5;
const LARGEST = 12_000_000; // as JSON it is larger, and the server takes 16 MiB
const PATIENCE = 600_000;

/** Offer downloads, and (to admins) the import of a file. */
export function open(app) {
  const isAdmin = app.session.role === "admin";
  dialog("Decisions as files", [downloads(), isAdmin && imports(app)], { className: "dialog-small" });
}

function downloads() {
  const link = (href, text) => el("li", {}, el("a", { class: "button", href, download: "", text }));
  return el(
    "section",
    {},
    el("h3", { text: "Download" }),
    el("p", { class: "muted", text: "What holds now, or every decision there ever was." }),
    el(
      "ul",
      { class: "buttons" },
      link("/api/decisions.csv", "CSV"),
      link("/api/decisions.jsonl", "JSON lines"),
      link("/api/decisions.csv?history=true", "History, CSV"),
      link("/api/decisions.jsonl?history=true", "History, JSON lines"),
    ),
    outbox.pending > 0 && el("p", { class: "problem", text: `${many(outbox.pending, "decision")} are not saved yet and will be missing.` }),
  );
}

function imports(app) {
  const result = el("div", { aria: { live: "polite" } });
  const choose = el("input", {
    type: "file",
    accept: ".csv,.jsonl",
    aria: { label: "File of decisions" },
    on: { change: () => choose.files[0] && preview(app, choose.files[0], result) },
  });
  return el(
    "section",
    {},
    el("h3", { text: "Import" }),
    el("p", { class: "muted", text: "A set that was cleaned elsewhere: .csv or .jsonl with item and verdict, one line each. A word that is older than what holds here changes nothing." }),
    choose,
    result,
  );
}

async function preview(app, file, result) {
  const format = file.name.toLowerCase().endsWith(".csv") ? "csv" : "jsonl";
  if (file.size > LARGEST) return fill(result, problem(`${file.name} is too large; cut it into parts below 12 MB, or use: nonesuch review --import ${file.name}`));
  const text = await file.text();
  const lines = text.split("\n").filter((line) => line.trim());
  const begin = button("Import", () => send(app, format, text, result), { class: "primary" });
  fill(
    result,
    el("p", { text: `${file.name}: ${many(lines.length, "line")}, read as ${format === "csv" ? "CSV" : "JSON lines"}` }),
    el("pre", { class: "preview", tabindex: "0", text: lines.slice(0, PREVIEWED).join("\n") }),
    el("div", { class: "buttons" }, begin),
  );
}

async function send(app, format, text, result) {
  fill(result, el("p", { text: "Importing…" }), el("progress", { aria: { label: "Importing" } }));
  try {
    const report = await post("/api/decisions/import", { format, text }, { timeout: PATIENCE });
    fill(result, outcome(report));
    app.refreshQueues();
  } catch (error) {
    fill(result, problem(error.message));
  }
}

function outcome({ read, saved, known, outdated, unknown, overruled, errors }) {
  const rows = [
    ["read", read],
    ["saved", saved],
    ["were here already", known],
    ["older than what holds", outdated],
    ["of pictures that are not in this build", unknown],
    ["changed a verdict", overruled],
  ];
  return [
    el("ul", { class: "outcome" }, rows.filter(([, n]) => n > 0).map(([words, n]) => el("li", {}, el("b", { text: count(n) }), ` ${words}`))),
    errors.length > 0 && [el("p", { class: "problem", text: `${many(errors.length, "line")} could not be read:` }), el("ul", { class: "outcome" }, errors.map(({ line, message }) => el("li", { text: `line ${line}: ${message}` })))],
  ];
}

function problem(text) {
  return el("p", { class: "problem", role: "alert", text });
}
