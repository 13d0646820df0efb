// Everything that was decided, newest first; each step can be taken again.

import { get } from "./api.js";
import { ask, dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { ago, many, MARKS, moment, WORDS } from "./format.js";
import { items } from "./items.js";
import { outbox } from "./outbox.js";
import { toast } from "./toasts.js";

const PAGE = 100;
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
  #batches = []; // {batch, node, events}
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
    this.#before = null;
    this.#batches = [];
    fill(this.#list);
    this.#more.hidden = false;
    this.#load();
  }

  async #load() {
    if (this.#more.disabled || this.#more.hidden) return;
    this.#more.disabled = true;
    try {
      const reviewer = this.#reviewer.checked ? this.#app.session.name : null;
      const page = await get("/api/history", { reviewer, item: this.#item, before: this.#before, limit: PAGE });
      this.#before = page.next;
      this.#more.hidden = page.next === null;
      this.#add(page.events);
    } catch (error) {
      toast(error.message, { kind: "bad" });
    } finally {
      this.#more.disabled = false;
    }
  }

  #add(events) {
    for (const event of events) {
      const last = this.#batches.at(-1);
      if (last?.batch === event.batch) last.events.push(event);
      else this.#batches.push({ batch: event.batch, node: el("li"), events: [event] });
    }
    for (const { node, events: of, batch } of this.#batches) {
      if (Number(node.dataset.count) === of.length) continue;
      fill(node, this.#entry(of, batch));
      node.dataset.count = of.length;
      if (!node.isConnected) this.#list.append(node);
    }
    if (!this.#batches.length) fill(this.#list, el("li", { class: "muted", text: "Nothing was decided yet." }));
  }

  #entry(events, batch) {
    const [first] = events;
    const isMine = first.reviewer === this.#app.session.name;
    return [
      el(
        "p",
        { class: events.every(({ undone }) => undone) ? "undone" : "" },
        el("b", { text: first.reviewer }),
        ` ${summary(events)} `,
        el("time", { datetime: first.decided_at, title: moment(first.decided_at), text: ago(first.decided_at) }),
        first.origin !== "page" && el("small", { class: "muted", text: ` ${first.origin === "import" ? "from a file" : "by the command line"}` }),
      ),
      el("ul", { class: "strip" }, events.slice(0, THUMBS).map((event) => this.#thumb(event)), events.length > THUMBS && el("li", { class: "muted", text: `and ${events.length - THUMBS} more` })),
      el(
        "div",
        { class: "buttons" },
        button("Restore this", () => this.#restore(events), { class: "quiet" }),
        isMine && button("Go back to here", () => this.#goBack(batch), { class: "quiet" }),
      ),
    ];
  }

  #thumb(event) {
    const { item, thumb, before, verdict, reasons, note, tags } = event;
    const said = [WORDS[before.verdict], "→", WORDS[verdict], reasons.length && `for ${reasons.join(", ").replaceAll("_", " ")}`, tags.length && `tags ${tags.join(", ")}`, note && `“${note}”`];
    const label = said.filter(Boolean).join(" ");
    const picture = thumb ? el("img", { src: thumb, alt: "", loading: "lazy" }) : el("span", { class: "muted", text: "not in this build" });
    const mark = el("span", { class: "mark", dataset: { standing: verdict === "undecided" ? "open" : verdict }, text: MARKS[verdict] });
    return el("li", {}, button([picture, mark], () => this.#app.openItem(item), { class: "thumb", title: label, aria: { label } }));
  }

  /** Say again what was said then. */
  async #restore(events) {
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
    const steps = outbox.stepsAfter(batch);
    if (steps < 0) return toast("That is too far back, or undone; restore single steps instead", { kind: "bad" });
    if (steps === 0) return toast("You are there");
    if (!(await ask("Go back", `This takes back your last ${many(steps, "step")}. Redo brings them back.`, { yes: "Go back" }))) return;
    for (let step = 0; step < steps; step += 1) await outbox.undo();
    this.#dialog.close();
  }
}

/** See to it that the page knows what holds for items before it builds on that. */
async function known(ids) {
  const missing = ids.filter((id) => !items.get(id));
  for (const id of missing) {
    const item = await get(`/api/items/${encodeURIComponent(id)}`).catch(() => null);
    if (item) items.put([item]);
  }
}

function summary(events) {
  const counts = new Map();
  for (const { verdict, undoes } of events) {
    const word = undoes ? `took back to ${WORDS[verdict]}` : WORDS[verdict];
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, n]) => (n > 1 ? `${word} ${n}` : word)).join(", ");
}
