// Reasons to reject for, in the order of their digits.

/**
 * Give all reasons, in an order that is the same for all items: that of the queue, the other
 * queues that found something in this build, the others; an item's own are marked.
 *
 * @param {string} [queue] id of the queue that is gone through
 */
export function reasonsFor(item, queues, queue) {
  const isFull = ({ open, accepted, rejected }) => open + accepted + rejected > 0;
  const known = queues.filter(({ id }) => id !== "all");
  const ordered = [...known.filter(({ id }) => id === queue), ...known.filter(isFull), ...known];
  const found = item.why.map(({ reason, title }) => ({ id: reason, title }));
  const own = new Set(ownReasons(item));
  const first = new Map();
  for (const { id, title } of [...ordered, ...found]) if (!first.has(id)) first.set(id, { id, title, own: own.has(id) });
  return [...first.values()];
}

/** Give the ids of an item's own reasons. */
export function ownReasons(item) {
  return [...new Set(item.why.map(({ reason }) => reason))];
}
