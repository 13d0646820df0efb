// Which pictures of a page are the exceptions, and what that makes of the page.

import { items } from "./items.js";
import { ownReasons } from "./reasons.js";

export class Marks {
  /** @type {string[]} */
  ids = [];
  #marked = new Set();
  #touched = new Set(); // marked or cleared here, on this page
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

  /** True where a mark may mean either verdict. */
  get isTurnable() {
    return this.#standing === "open";
  }

  /** Begin a page. One that is seen again shows what was made of it. @param {string[]} marked */
  begin(ids, marked = []) {
    this.ids = ids;
    this.#anchor = 0;
    this.#marked = new Set(marked);
    this.#touched = new Set();
    this.follow(ids);
  }

  /** Give those that are marked. */
  marked() {
    return this.ids.filter((id) => this.has(id));
  }

  /** Take in what was decided elsewhere: in another tab, by redo, from the history. */
  follow(ids) {
    for (const id of ids) {
      const { verdict, standing } = items.get(id) ?? {};
      if (!verdict || standing === this.#standing || this.#touched.has(id)) continue;
      if (verdict === this.markedAre) this.#marked.add(id);
      else this.#marked.delete(id);
    }
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

  /** Give the decisions that the page comes to; what stays as it is gets none. */
  entries() {
    return this.ids.flatMap((id) => {
      const item = items.get(id);
      const verdict = this.has(id) ? this.markedAre : this.othersAre;
      if (this.#stays(id, item, verdict)) return [];
      return [{ item: id, verdict, reasons: verdict === "rejected" ? ownReasons(item) : [] }];
    });
  }

  /** What was decided already changes only by a mark that was set or cleared here. */
  #stays(id, item, verdict) {
    if (item.verdict === verdict) return true;
    if (this.#standing !== "open") return item.standing === verdict;
    return Boolean(item.verdict) && !this.#touched.has(id);
  }

  #set(index, isMarked) {
    const id = this.ids[index];
    if (id === undefined) return;
    this.#touched.add(id);
    if (isMarked) this.#marked.add(id);
    else this.#marked.delete(id);
  }
}
