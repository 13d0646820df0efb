// Beside a picture: why it is here, what it is, what was said about it.

import { button, el, keycap, outside } from "./dom.js";
import { ago, bytes, MARKS, measure, moment, WORDS } from "./format.js";
import { scale } from "./scale.js";

const DIGITS = 9;

/** Draw all that is known of an item at once. @param {object[]} reasons as `reasonsFor` gives them */
export function facts(app, item, reasons, reject) {
  return [why(app, item), rejectFor(reasons, reject), about(app, item), tags(app, item), note(app, item)];
}

/** Say where an item stands. */
export function standing(item) {
  const by = item.verdict ? ` by ${item.reviewer ?? "you"}` : item.follows ? " with its copy" : "";
  const when = item.verdict && item.decided_at ? `, ${ago(item.decided_at)}` : "";
  return el(
    "p",
    { class: "standing", dataset: { standing: item.standing } },
    el("span", { class: "mark", aria: { hidden: "true" }, text: MARKS[item.standing] }),
    `${WORDS[item.standing]}${item.standing === "open" ? "" : by + when}`,
  );
}

function why(app, item) {
  if (!item.why.length) {
    return el("section", { class: "fact" }, el("h3", { text: "Why" }), el("p", { class: "muted", text: "No rule complains." }));
  }
  const entries = item.why.map((found) => {
    const queue = app.queues.find(({ id }) => id === found.reason) ?? null;
    return el(
      "li",
      { class: "why", dataset: { action: found.action } },
      el("b", { text: found.title }),
      el("p", { text: found.text || found.meaning, title: found.meaning }),
      scale(found, queue),
    );
  });
  return el("section", { class: "fact" }, el("h3", { text: "Why" }), el("ul", { class: "whys" }, entries));
}

function rejectFor(reasons, reject) {
  const entry = ({ id, title, own }, index) =>
    el(
      "li",
      {},
      button([index < DIGITS && keycap(String(index + 1)), title], () => reject(id), {
        class: own ? "reason reason-own" : "reason",
        aria: { label: `Reject: ${title}` },
      }),
    );
  // Its own are in sight, with or without a digit.
  const isNear = ({ own }, index) => own || index < DIGITS;
  const near = reasons.map((reason, index) => isNear(reason, index) && entry(reason, index));
  const rest = reasons.map((reason, index) => !isNear(reason, index) && entry(reason, index)).filter(Boolean);
  return el(
    "section",
    { class: "fact" },
    el("h3", { text: "Reject for" }),
    el("ul", { class: "reasons" }, near),
    rest.length > 0 && el("details", {}, el("summary", { class: "muted", text: "Other reasons" }), el("ul", { class: "reasons" }, rest)),
  );
}

function about(app, item) {
  const rows = [
    ["Title", item.title],
    ["Label", item.label],
    ["Brand", item.brand],
    ["Source", item.source],
    ["Size", `${item.width} × ${item.height} px, ${bytes(item.bytes)}`],
    ["Found", item.page ? outside(item.page, shortened(item.page)) : item.locator],
    ["Seen", item.observed_at && el("time", { datetime: item.observed_at, title: moment(item.observed_at), text: ago(item.observed_at) })],
    ["Score", item.score === null ? null : measure(item.score)],
    ["Held by", item.leased_by === app.session.name ? null : item.leased_by],
  ];
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "section",
    { class: "fact" },
    el("h3", { text: "Picture" }),
    el("dl", {}, shown.map(([name, value]) => [el("dt", { text: name }), el("dd", {}, value)])),
  );
}

function tags(app, item) {
  const given = item.given_tags.map((tag) => el("li", { class: "tag tag-given", title: "Came with the picture", text: tag }));
  const own = item.tags.map((tag) => el("li", { class: "tag", text: tag }));
  return el(
    "section",
    { class: "fact" },
    el("h3", {}, "Tags ", opener("tags", ["Edit ", keycap("t")], () => app.dialogs.tags([item.id]))),
    el("ul", { class: "tags" }, own, given),
  );
}

function note(app, item) {
  return el(
    "section",
    { class: "fact" },
    el("h3", {}, "Note ", opener("note", [item.note ? "Edit " : "Write ", keycap("n")], () => app.dialogs.note(item.id))),
    item.note && el("p", { class: "note", text: item.note }),
  );
}

/** A button for a dialog. What is changed there draws it anew: the focus goes back to what is there then. */
function opener(name, label, open) {
  const run = async () => {
    await open();
    const shown = [...document.querySelectorAll("dialog[open]")].at(-1);
    shown?.addEventListener("close", () => {
      if (document.activeElement === document.body) document.querySelector(`.facts [data-name="${name}"]`)?.focus();
    });
  };
  return button(label, run, { class: "quiet", dataset: { name } });
}

/** Shorten the address of a page. The web has some that no browser can read. */
function shortened(url) {
  if (!URL.canParse(url)) return url;
  const { hostname, pathname } = new URL(url);
  return pathname.length > 28 ? `${hostname}…${pathname.slice(-26)}` : hostname + pathname;
}

