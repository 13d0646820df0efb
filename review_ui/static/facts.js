// Beside a picture: why it is here, what it is, what was said about it, what looks like it.

import { button, el, fill, keycap, outside } from "./dom.js";
import { ago, bytes, described, MARKS, measure, moment, WORDS } from "./format.js";
import { scale } from "./scale.js";

const NEIGHBOURS_SHOWN = 8;
const EVENTS_SHOWN = 6;

/** Draw all that is known of an item at once. */
export function facts(app, item, reasons, actions) {
  return [why(app, item), rejectFor(item, reasons, actions), about(item), tags(app, item), note(app, item)];
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

function rejectFor(item, reasons, actions) {
  const entries = reasons.map(({ id, title, own }, index) =>
    el(
      "li",
      {},
      button([index < 9 && keycap(String(index + 1)), title], () => actions.reject([id]), {
        class: own ? "reason reason-own" : "reason",
        aria: { label: `Reject: ${title}` },
      }),
    ),
  );
  return el("section", { class: "fact" }, el("h3", { text: "Reject for" }), el("ul", { class: "reasons" }, entries));
}

function about(item) {
  const rows = [
    ["Title", item.title],
    ["Label", item.label],
    ["Brand", item.brand],
    ["Source", item.source],
    ["Size", `${item.width} × ${item.height} px, ${bytes(item.bytes)}`],
    ["Found", item.page ? outside(item.page, shortened(item.page)) : item.locator],
    ["Seen", item.observed_at && el("time", { datetime: item.observed_at, title: moment(item.observed_at), text: ago(item.observed_at) })],
    ["Score", item.score === null ? null : measure(item.score)],
    ["Held by", item.leased_by],
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
    el("h3", {}, "Tags ", button(["Edit ", keycap("t")], () => app.dialogs.tags([item.id]), { class: "quiet" })),
    el("ul", { class: "tags" }, own, given),
  );
}

function note(app, item) {
  return el(
    "section",
    { class: "fact" },
    el("h3", {}, "Note ", button([item.note ? "Edit " : "Write ", keycap("n")], () => app.dialogs.note(item.id), { class: "quiet" })),
    item.note && el("p", { class: "note", text: item.note }),
  );
}

/** Draw what takes a request: what looks like it, and what was decided earlier. */
export function details(app, node, { neighbours, history }) {
  fill(
    node,
    neighbours.length > 0 &&
      el(
        "section",
        { class: "fact" },
        el("h3", {}, "Looks like ", button(["Compare ", keycap("c")], () => app.dialogs.compare(node.dataset.item), { class: "quiet" })),
        el("ul", { class: "strip" }, neighbours.slice(0, NEIGHBOURS_SHOWN).map((other) => neighbour(app, other))),
      ),
    history.length > 0 &&
      el(
        "section",
        { class: "fact" },
        el("h3", { text: "Decided before" }),
        el("ul", { class: "events" }, history.slice(0, EVENTS_SHOWN).map(event)),
      ),
  );
}

function neighbour(app, other) {
  const label = `${described(other)}; ${other.bits} of 64 bits differ`;
  const image = el("img", { src: other.thumb, alt: "", loading: "lazy", decoding: "async" });
  const mark = el("span", { class: "mark", dataset: { standing: other.standing }, text: MARKS[other.standing] });
  return el("li", {}, button([image, mark], () => app.openItem(other.id), { class: "thumb", title: label, aria: { label } }));
}

function event({ verdict, reviewer, decided_at, undone, reasons }) {
  const text = `${reviewer}: ${WORDS[verdict]}${reasons.length ? ` (${reasons.join(", ").replaceAll("_", " ")})` : ""}`;
  const time = el("time", { datetime: decided_at, title: moment(decided_at), text: ago(decided_at) });
  return el("li", { class: undone ? "undone" : "" }, text, " ", time);
}

function shortened(url) {
  const { hostname, pathname } = new URL(url);
  return pathname.length > 28 ? `${hostname}…${pathname.slice(-26)}` : hostname + pathname;
}

