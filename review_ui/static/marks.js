// Which pictures of a page are the exceptions, and what that makes of the page.

import { items } from "./items.js";
import { ownReasons } from "./reasons.js";

export class Marks {
  /** @type {string[]} */
  ids = [];
  #marked = new Set();
  #anchor = 0;
  #standing;

  /** @param {"open"|"accepted"|"rejected"} standing of the items of the page */
  constructor(standing) {
    this.#standing = standing;
    this.markedAre = standing === "rejected" ? "accepted" : "rejected";
  }

  get othersAre() {
    return this.markedAre === "rejected" ? "accepted" : "rejected";
  }

  get size() {
    return this.#marked.size;
  }

  /** Begin a page. One that is seen again shows what was made of it. */
  begin(ids) {
    this.ids = ids;
    this.#anchor = 0;
    this.#marked = new Set(ids.filter((id) => this.#wasMarked(items.get(id))));
  }

  has(id) {
    return this.#marked.has(id);
  }

  /** Mark, or clear, one. */
  toggle(index) {
    this.#anchor = index;
    this.#set(index, !this.has(this.ids[index]));
  }

  /** Ranges begin here. */
  anchor(index) {
    this.#anchor = index;
  }

  /** Make all from the anchor to here what the anchor is. */
  toggleTo(index) {
    const isMarked = this.has(this.ids[this.#anchor]);
    const [from, to] = [Math.min(index, this.#anchor), Math.max(index, this.#anchor)];
    for (let at = from; at <= to; at += 1) this.#set(at, isMarked);
  }

  /** Mark all from the anchor to here. */
  markTo(index) {
    this.#set(this.#anchor, true);
    this.toggleTo(index);
  }

  /** Let a mark mean the other verdict. */
  turnRound() {
    this.markedAre = this.othersAre;
  }

  /** Give the decisions that the page comes to; who stays as they are get none. */
  entries() {
    return this.ids.flatMap((id) => {
      const item = items.get(id);
      const verdict = this.has(id) ? this.markedAre : this.othersAre;
      if (this.#stays(item, verdict)) return [];
      return [{ item: id, verdict, reasons: verdict === "rejected" ? ownReasons(item) : [] }];
    });
  }

  /** At a second look, what stands as it should needs no word. */
  #stays(item, verdict) {
    return item.verdict === verdict || (this.#standing !== "open" && item.standing === verdict);
  }

  #wasMarked(item) {
    return item.verdict === this.markedAre && item.standing !== this.#standing;
  }

  #set(index, isMarked) {
    const id = this.ids[index];
    if (id === undefined) return;
    if (isMarked) this.#marked.add(id);
    else this.#marked.delete(id);
  }
}
