// What becomes of decisions, in words: trouble on the way, refusals, what was undone.

import { conflicts } from "./conflicts.js";
import { button, el, fill } from "./dom.js";
import { count, many, named } from "./format.js";
import { announce, toast } from "./toasts.js";

const NAMED = 5;

/** Tell about everything that happens to decisions. */
export function messages(app, outbox, items) {
  const banner = new Banner(outbox, document.getElementById("banner"));
  for (const event of ["trouble", "change"]) outbox.addEventListener(event, () => banner.draw());
  outbox.addEventListener("undone", ({ detail }) => undone(items, detail));
  refusals(outbox, items);
  conflicts(app, outbox, items);
}

/** Why nothing is sent at the moment. Said once; how much waits is only shown. */
class Banner {
  #outbox;
  #root;
  #shown = null;
  #waiting = el("span");

  constructor(outbox, root) {
    this.#outbox = outbox;
    this.#root = root;
  }

  draw() {
    const { trouble, pending, lasts } = this.#outbox;
    const kept = pending ? ` ${many(pending, "decision")} kept here until it works.` : "";
    this.#waiting.textContent = trouble ? `${kept}${lasts ? "" : " Do not close this page."}` : "";
    if (trouble?.message === this.#shown?.message) return;
    this.#shown = trouble;
    fill(this.#root, trouble && this.#parts(trouble));
  }

  #parts(error) {
    const act =
      error.status === 401
        ? el("a", { class: "button", href: `/login${location.hash}`, text: "Log in again" })
        : button("Try now", () => this.#outbox.retry());
    const said = el("b", { role: "alert", text: error.message });
    return el("div", { class: "banner" }, el("p", {}, said, this.#waiting), act);
  }
}

function refusals(outbox, items) {
  const refused = new Map();
  outbox.addEventListener("refused", ({ detail: { item, why } }) => {
    refused.set(item, why);
    const names = [...refused.keys()].slice(0, NAMED).map((id) => (items.get(id) ? named(items.get(id)) : id.slice(0, 12)));
    const more = refused.size > NAMED ? ` and ${count(refused.size - NAMED)} more` : "";
    toast(`${many(refused.size, "decision was", "decisions were")} refused (${why}): ${names.join(", ")}${more}`, {
      kind: "bad",
      sticky: true,
      key: "refused",
      onClose: () => refused.clear(),
    });
  });
}

function undone(items, { items: changed, redone, skipped }) {
  const verb = redone ? "Done again" : "Taken back";
  const [first] = changed;
  if (changed.length > 1) toast(`${verb}: ${many(changed.length, "decision")}`);
  else if (first) toast(`${verb}: ${items.get(first) ? named(items.get(first)) : "1 decision"}`, { key: "undone" });
  else if (!skipped) toast(`Nothing to ${redone ? "redo" : "undo"}`);
  if (changed.length === 1) announce(verb);
  if (skipped) {
    toast(`${many(skipped, "item")} left alone: somebody else decided since`, { kind: "bad" });
  }
}
