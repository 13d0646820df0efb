// What becomes of decisions, in words: conflicts, trouble on the way, what was undone.

import { button, el, fill } from "./dom.js";
import { ago, many, WORDS } from "./format.js";
import { announce, toast } from "./toasts.js";

/** Tell about everything that happens to decisions. */
export function messages(app, outbox, items) {
  const banner = document.getElementById("banner");
  const draw = () => fill(banner, trouble(outbox));
  outbox.addEventListener("trouble", draw);
  outbox.addEventListener("change", () => outbox.trouble && draw());
  outbox.addEventListener("refused", ({ detail }) =>
    toast(`A decision was refused: ${detail}`, { kind: "bad", sticky: true }),
  );
  outbox.addEventListener("undone", ({ detail }) => undone(detail));
  outbox.addEventListener("conflict", ({ detail }) => conflict(outbox, items, detail));
}

function trouble(outbox) {
  const error = outbox.trouble;
  if (!error) return null;
  const kept = outbox.pending ? `${many(outbox.pending, "decision")} kept here until it works. ` : "";
  const act =
    error.status === 401
      ? el("a", { class: "button", href: `/login${location.hash}`, text: "Log in again" })
      : button("Try now", () => outbox.retry());
  const closing = outbox.lasts ? "" : "Do not close this page. ";
  return el("div", { class: "banner" }, el("p", {}, el("b", { text: error.message }), ` ${kept}${closing}`), act);
}

function undone({ items: changed, redone, skipped }) {
  const verb = redone ? "Done again" : "Taken back";
  if (changed.length > 1) toast(`${verb}: ${many(changed.length, "decision")}`);
  else announce(changed.length ? verb : `Nothing to ${redone ? "redo" : "undo"}`);
  if (!changed.length && !skipped) toast(`Nothing to ${redone ? "redo" : "undo"}`);
  if (skipped) {
    toast(`${many(skipped, "item")} left alone: somebody else decided since`, { kind: "bad" });
  }
}

function conflict(outbox, items, { item, mine, theirs }) {
  if (theirs.verdict === mine.verdict && sameTags(theirs, mine)) return;
  const who = theirs.reviewer ?? "Somebody";
  const when = theirs.decided_at ? ` ${ago(theirs.decided_at)}` : "";
  const useMine = () => {
    const { verdict, reasons, tags, note, ms } = mine;
    const head = items.head(item) ?? theirs.head;
    outbox.decide([{ item, verdict, reasons, tags, note, ms, base: head }]);
  };
  toast(`${who}: ${WORDS[theirs.verdict]}${when}. You: ${WORDS[mine.verdict]}. Theirs holds.`, {
    kind: "bad",
    sticky: true,
    action: { label: "Use mine", run: useMine },
  });
}

function sameTags(a, b) {
  return a.note === b.note && a.tags.length === b.tags.length && a.tags.every((tag) => b.tags.includes(tag));
}
