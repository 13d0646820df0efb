// Tags by a single key.

import { outbox, stateOf } from "./outbox.js";
import { announce } from "./toasts.js";

/** Give a tag to items at one stroke; take it away where all of them have it. @param {string[]} ids */
export function toggleTag(ids, tag) {
  const states = ids.map((item) => ({ item, ...stateOf(item) }));
  const isOnAll = states.every(({ tags }) => tags.includes(tag));
  const changed = states.filter(({ tags }) => tags.includes(tag) === isOnAll);
  if (!changed.length) return;
  outbox.decide(
    changed.map(({ item, verdict, reasons, tags }) => ({
      item,
      verdict,
      reasons,
      tags: isOnAll ? tags.filter((other) => other !== tag) : [...tags, tag],
    })),
  );
  announce(`${tag} ${isOnAll ? "removed" : "added"}`);
}
