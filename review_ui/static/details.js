// What takes a request to know about a picture: what looks like it, and what was decided earlier.

import { get } from "./api.js";
import { button, el, fill, keycap } from "./dom.js";
import { ago, described, moment, WORDS } from "./format.js";
import { items } from "./items.js";
import { thumb } from "./thumb.js";

const WAIT = 250;
const NEIGHBOURS_SHOWN = 8;
const EVENTS_SHOWN = 6;

export class Details {
  node = el("div", { class: "facts" });
  #app;
  #item = null;
  #timer = 0;

  constructor(app) {
    this.#app = app;
  }

  /** Show them once somebody looks at the item for longer. */
  show(item) {
    this.stop();
    fill(this.node);
    this.#item = item;
    this.#timer = setTimeout(() => this.#ask(item), WAIT);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#item = null;
  }

  async #ask(item) {
    const found = await get(`/api/items/${encodeURIComponent(item)}`).catch(() => null);
    if (!found) return;
    items.put(found.neighbours);
    if (this.#item === item) fill(this.node, this.#neighbours(found), history(found));
  }

  #neighbours({ id, neighbours }) {
    if (!neighbours.length) return null;
    const { dialogs } = this.#app;
    const compare = button(["Compare ", keycap("c")], () => dialogs.compare(id), { class: "quiet" });
    return el(
      "section",
      { class: "fact" },
      el("h3", {}, "Looks like ", compare),
      el("ul", { class: "strip" }, neighbours.slice(0, NEIGHBOURS_SHOWN).map((other) => this.#neighbour(other))),
    );
  }

  #neighbour(other) {
    const label = `${described(other)}; ${other.bits} of 64 bits differ`;
    const run = () => this.#app.openItem(other.id);
    return el("li", {}, thumb({ src: other.thumb, standing: other.standing, label, run }));
  }
}

function history({ history: events }) {
  if (!events.length) return null;
  return el(
    "section",
    { class: "fact" },
    el("h3", { text: "Decided before" }),
    el("ul", { class: "events" }, events.slice(0, EVENTS_SHOWN).map(event)),
  );
}

function event({ verdict, reviewer, decided_at, undone, reasons }) {
  const text = `${reviewer}: ${WORDS[verdict]}${reasons.length ? ` (${reasons.join(", ").replaceAll("_", " ")})` : ""}`;
  const time = el("time", { datetime: decided_at, title: moment(decided_at), text: ago(decided_at) });
  return el("li", { class: undone ? "undone" : "" }, text, " ", time);
}
