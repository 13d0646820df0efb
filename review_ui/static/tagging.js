// Tags by a single key.

import { outbox, stateOf } from "./outbox.js";
import { announce } from "./toasts.js";

/** Give a tag to an item, or take it away. */
export function toggleTag(item, tag) {
  const { verdict, reasons, tags } = stateOf(item);
  const has = tags.includes(tag);
  const changed = has ? tags.filter((other) => other !== tag) : [...tags, tag];
  outbox.decide([{ item, verdict, reasons, tags: changed }]);
  announce(`${tag} ${has ? "removed" : "added"}`);
}
