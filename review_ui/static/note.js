// The note of an item.

import { dialog } from "./dialogs.js";
import { button, el } from "./dom.js";
import { items } from "./items.js";
import { outbox, stateOf } from "./outbox.js";

const LONGEST = 2_000;

/** Let a note be written. */
export function open(app, id) {
  if (!items.get(id)) return;
  const text = el("textarea", { name: "note", rows: "5", maxlength: String(LONGEST), autofocus: true, aria: { label: "Note" } });
  text.value = stateOf(id).note;
  const keep = () => {
    const { verdict, reasons, note } = stateOf(id);
    const written = text.value.trim();
    shown.close();
    if (written !== note) outbox.decide([{ item: id, verdict, reasons, note: written }]);
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) keep();
  });
  const shown = dialog("Note", text, {
    className: "dialog-small",
    footer: [button("Cancel", () => shown.close()), button("Keep", keep, { class: "primary", title: "Ctrl+Enter" })],
  });
}
