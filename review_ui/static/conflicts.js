// Decisions that came after somebody else's: theirs hold, until one says otherwise.

import { dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { ago, many, named, WORDS } from "./format.js";
import { toast } from "./toasts.js";

/** Keep what is in conflict until somebody has looked at it. */
export function conflicts(app, outbox, items) {
  const open = new Map(); // item -> {mine, theirs}
  let list = null; // of the dialog, while that is open

  const settle = (item) => {
    open.delete(item);
    draw();
  };
  const useMine = (item) => {
    const { mine, theirs } = open.get(item);
    const { verdict, reasons, tags, note, ms } = mine;
    const base = items.head(item) ?? theirs.head;
    outbox.decide([{ item, verdict, reasons, tags, note, ms, base }]);
  };
  const nameOf = (item) => (items.get(item) ? named(items.get(item)) : item.slice(0, 12));

  function draw() {
    if (list) fill(list.node, [...open].map(entry));
    if (!open.size) {
      list?.close();
      return toast.close("conflicts");
    }
    const options = { kind: "bad", sticky: true, key: "conflicts", onClose: () => open.clear() };
    const [[item, { mine, theirs }]] = open;
    if (open.size === 1) {
      const action = { label: "Use mine", run: () => useMine(item) };
      toast(`${nameOf(item)}: ${said(mine, theirs)} Theirs holds.`, { ...options, action });
    } else {
      const action = { label: "Look at them", run: look, stays: true };
      toast(`${many(open.size, "decision")} of yours came after somebody else's. Theirs hold.`, { ...options, action });
    }
  }

  function look() {
    const node = el("ul", { class: "conflicts" });
    const all = (run) => () => [...open.keys()].forEach(run);
    const { close } = dialog("Decided by others before you", node, {
      className: "dialog-wide",
      footer: [button("Keep all of theirs", all(settle)), button("Use all of mine", all(useMine))],
      onClose: () => (list = null),
    });
    list = { node, close };
    draw();
  }

  function entry([item, { mine, theirs }]) {
    const thumb = items.get(item)?.thumb;
    return el(
      "li",
      {},
      button(thumb ? el("img", { src: thumb, alt: "", loading: "lazy" }) : "?", () => app.openItem(item), {
        class: "thumb",
        aria: { label: `Open ${nameOf(item)}` },
      }),
      el("p", {}, el("b", { text: nameOf(item) }), ` ${said(mine, theirs)}`),
      el("div", { class: "buttons" }, button("Keep theirs", () => settle(item)), button("Use mine", () => useMine(item))),
    );
  }

  outbox.addEventListener("conflict", ({ detail: { item, mine, theirs } }) => {
    if (theirs.verdict === mine.verdict && isSameRest(theirs, mine)) return;
    open.set(item, { mine, theirs });
    draw();
  });
  // Whoever has said something of it since, there is nothing left to choose between.
  items.addEventListener("change", ({ detail }) => {
    const over = detail.filter((item) => open.has(item) && items.head(item) !== open.get(item).theirs.head);
    for (const item of over) open.delete(item);
    if (over.length) draw();
  });
}

function said(mine, theirs) {
  const when = theirs.decided_at ? ` ${ago(theirs.decided_at)}` : "";
  return `${theirs.reviewer ?? "Somebody"}: ${WORDS[theirs.verdict]}${when}. You: ${WORDS[mine.verdict]}.`;
}

function isSameRest(a, b) {
  return a.note === b.note && a.tags.length === b.tags.length && a.tags.every((tag) => b.tags.includes(tag));
}
