// Everything that was decided, newest first; each step can be taken again.

import { get } from "./api.js";
import { ask, dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { ago, many, moment, WORDS } from "./format.js";
import { items } from "./items.js";
import { outbox } from "./outbox.js";
import { thumb } from "./thumb.js";
import { toast } from "./toasts.js";

const PAGE = 100;
const LARGEST_PAGE = 500;
const ASKED_AT_ONCE = 6;
const THUMBS = 24;

/** Show the history, of one item where `item` is given. */
export function open(app, { item = null } = {}) {
  new History(app, item);
}

class History {
  #app;
  #item;
  #reviewer;
  #before = null;
  #batches = new Map(); // batch -> {node, events}
  #last = null; // batch of the earliest event
  #undoes = new Map(); // uuid -> uuid of what it took back
  #round = 0; // what is asked for in an earlier one is not wanted any more
  #loading = null;
  #list = el("ol", { class: "history" });
  #more = button("Earlier", () => this.#load(), { class: "quiet" });
  #dialog;

  constructor(app, item) {
    this.#app = app;
    this.#item = item;
    const mine = el("input", { type: "checkbox", on: { change: () => this.#restart() } });
    this.#reviewer = mine;
    this.#dialog = dialog("History", [el("label", { class: "check" }, mine, " Mine only"), this.#list, this.#more], { className: "dialog-wide" });
    // What is scrolled to is loaded.
    const seen = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#load());
    seen.observe(this.#more);
    this.#dialog.node.addEventListener("close", () => seen.disconnect());
  }

  #restart() {
    this.#round += 1;
    this.#loading = null;
    this.#before = null;
    this.#batches = new Map();
    fill(this.#list);
    this.#more.hidden = false;
    this.#load();
  }

  /** Load earlier events, unless that is under way; resolves to whether there were any to load. */
  async #load(limit = PAGE) {
    if (this.#more.hidden) return false;
    this.#loading ??= this.#page(limit, this.#round);
    return this.#loading;
  }

  async #page(limit, round) {
    try {
      const reviewer = this.#reviewer.checked ? this.#app.session.name : null;
      const page = await get("/api/history", { reviewer, item: this.#item, before: this.#before, limit });
      if (round !== this.#round) return false;
      this.#before = page.next;
      this.#more.hidden = page.next === null;
      this.#add(page.events);
      return true;
    } catch (error) {
      toast(error.message, { kind: "bad" });
      return false;
    } finally {
      if (round === this.#round) this.#loading = null;
    }
  }

  #add(events) {
    for (const event of events) {
      const { batch, uuid, undoes } = event;
      if (!this.#batches.has(batch)) this.#batches.set(batch, { node: el("li"), events: [] });
      this.#batches.get(batch).events.push(event);
      this.#undoes.set(uuid, undoes);
      this.#last = batch;
    }
    for (const [batch, { node, events: of }] of this.#batches) {
      if (Number(node.dataset.count) === of.length) continue;
      fill(node, this.#entry(of, batch));
      node.dataset.count = of.length;
      if (!node.isConnected) this.#list.append(node);
    }
    if (!this.#batches.size) fill(this.#list, el("li", { class: "muted", text: "Nothing was decided yet." }));
  }

  #entry(events, batch) {
    const [first] = events;
    const isMine = first.reviewer === this.#app.session.name;
    const isUndone = events.every(({ undone }) => undone);
    return [
      el(
        "p",
        { class: isUndone ? "undone" : "" },
        el("b", { text: first.reviewer }),
        ` ${this.#summary(events)} `,
        el("time", { datetime: first.decided_at, title: moment(first.decided_at), text: ago(first.decided_at) }),
        first.origin !== "page" && el("small", { class: "muted", text: ` ${first.origin === "import" ? "from a file" : "by the command line"}` }),
      ),
      el("ul", { class: "strip" }, events.slice(0, THUMBS).map((event) => this.#thumb(event)), events.length > THUMBS && el("li", { class: "muted", text: `and ${events.length - THUMBS} more` })),
      el(
        "div",
        { class: "buttons" },
        button("Restore this", () => this.#restore(batch), { class: "quiet" }),
        isMine && !isUndone && button("Go back to here", () => this.#goBack(batch), { class: "quiet" }),
      ),
    ];
  }

  #thumb(event) {
    const { item, thumb: src, before, verdict, reasons, note, tags } = event;
    const said = [WORDS[before.verdict], "→", WORDS[verdict], reasons.length && `for ${reasons.join(", ").replaceAll("_", " ")}`, tags.length && `tags ${tags.join(", ")}`, note && `“${note}”`];
    const label = said.filter(Boolean).join(" ");
    return el("li", {}, thumb({ src, standing: verdict, label, run: () => this.#app.openItem(item) }));
  }

  #summary(events) {
    const counts = new Map();
    for (const { verdict, undoes } of events) {
      const isAgain = this.#undoes.get(undoes);
      const word = isAgain ? `${WORDS[verdict]} again` : undoes ? `took back to ${WORDS[verdict]}` : WORDS[verdict];
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    return [...counts].map(([word, n]) => (n > 1 ? `${word} ${n}` : word)).join(", ");
  }

  /** Give all events of a batch: the list may end in the middle of it. */
  async #whole(batch) {
    const { events } = this.#batches.get(batch);
    while (this.#last === batch && !this.#more.hidden) if (!(await this.#load(LARGEST_PAGE))) return null;
    return events;
  }

  /** Say again what was said then. */
  async #restore(batch) {
    const events = await this.#whole(batch);
    if (!events) return;
    const [latest] = events;
    const agreed = await ask("Restore", `${many(events.length, "item")} will be as decided ${ago(latest.decided_at)}. What was decided since stays in the history.`, { yes: "Restore" });
    if (!agreed) return;
    // The first event of a list is the newest: of one item it counts.
    const newest = new Map(events.toReversed().map((event) => [event.item, event]));
    await known([...newest.keys()]);
    outbox.decide([...newest.values()].map(({ item, verdict, reasons, tags, note }) => ({ item, verdict, reasons, tags, note })));
    this.#dialog.close();
    toast(`Restored: ${many(newest.size, "item")}`);
  }

  /** Take back all of mine that came later. */
  async #goBack(batch) {
    const steps = await outbox.stepsAfter(batch);
    if (steps < 0) return toast("That is no step that can be gone back to; restore single ones instead", { kind: "bad" });
    if (steps === 0) return toast("You are there");
    if (!(await ask("Go back", `This takes back your last ${many(steps, "step")}. Redo brings them back.`, { yes: "Go back" }))) return;
    for (let step = 0; step < steps; step += 1) await outbox.undo();
    this.#dialog.close();
  }
}

/** See to it that the page knows what holds for items before it builds on that. */
async function known(ids) {
  const missing = ids.filter((id) => !items.get(id));
  const work = async () => {
    for (let id = missing.pop(); id; id = missing.pop()) {
      const item = await get(`/api/items/${encodeURIComponent(id)}`).catch(() => null);
      if (item) items.put([item]);
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, work));
}
