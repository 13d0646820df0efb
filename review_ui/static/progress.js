// How far something is.

import { el } from "./dom.js";

/** A bar; of what is not known, one that only moves. */
export function progress({ done = 0, total = 0 }, label) {
  const bar = el("progress", { aria: { label } });
  if (total) [bar.max, bar.value] = [total, done];
  return bar;
}
