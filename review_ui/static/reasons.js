// Reasons to reject for, in the order of their digits.

/** Give an item's own reasons first, then those of other queues: first those that found something. */
export function reasonsFor(item, queues) {
  const isFull = ({ open, accepted, rejected }) => open + accepted + rejected > 0;
  const known = queues.filter(({ id }) => id !== "all");
  const own = item.why.map(({ reason, title }) => ({ id: reason, title, own: true }));
  const others = [...known.filter(isFull), ...known].map(({ id, title }) => ({ id, title, own: false }));
  const first = new Map();
  for (const reason of [...own, ...others]) if (!first.has(reason.id)) first.set(reason.id, reason);
  return [...first.values()];
}

/** Give the ids of an item's own reasons. */
export function ownReasons(item) {
  return [...new Set(item.why.map(({ reason }) => reason))];
}
