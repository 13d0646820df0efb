// Items of a queue in order, asked for ahead, and kept from others while they are here.

import { post } from "./api.js";
import { items } from "./items.js";

const PAGE = 60;
const FIRST_PAGE = 24;
const MOST_SKIPPED = 2_000;
const MOST_HELD = 500;
const NUMBERS = ["low", "high"];

/** Events: `more` (items arrived, or the end did), `trouble` {detail: ApiError}. */
export class Supply extends EventTarget {
  /** @type {string[]} */
  ids = [];
  at = 0;
  finished = false;
  heldByOthers = 0;
  #route;
  #after = null;
  #loading = null;
  #isLease;
  #timer = 0;
  #isClosed = false;

  /** @param {import("./route.js").Route} route */
  constructor(route, leaseSeconds) {
    super();
    this.#route = route;
    this.#isLease = route.standing === "open";
    if (this.#isLease) this.#timer = setInterval(() => this.#renew(), (leaseSeconds * 1_000) / 2);
  }

  /** Give the item at the place where we are; undefined at the end. */
  get current() {
    return items.get(this.ids[this.at]);
  }

  get standing() {
    return this.#route.standing;
  }

  /** True where an item is still to be looked at here. */
  isFor(id) {
    return items.get(id)?.standing === this.#route.standing;
  }

  /** See to it that so many items follow the current one. */
  async ensure(ahead) {
    while (!this.finished && !this.#isClosed && this.ids.length - this.at <= ahead) {
      this.#loading ??= this.#load().finally(() => (this.#loading = null));
      if (!(await this.#loading)) return;
    }
  }

  /** Pass over what was decided meanwhile, in another view or by others. */
  forward() {
    while (this.at < this.ids.length && !this.isFor(this.ids[this.at])) this.at += 1;
  }

  /** Give so many of those that are still to be looked at, but for some. @param {Set<string>} without */
  coming(most, without = new Set()) {
    const found = [];
    for (let at = this.at; at < this.ids.length && found.length < most; at += 1) {
      if (!without.has(this.ids[at]) && this.isFor(this.ids[at])) found.push(this.ids[at]);
    }
    return found;
  }

  /** See to it that so many can be had by `coming`, or that there are no more. */
  async gather(most) {
    this.forward();
    await this.ensure(most);
    while (!this.finished && this.coming(most).length < most) {
      const before = this.ids.length;
      await this.ensure(before - this.at);
      if (this.ids.length === before) return;
    }
  }

  /** Put an item at the place where we are, whatever queue it is of. */
  insert(id) {
    const there = this.ids.indexOf(id);
    if (there >= 0) this.at = there;
    else this.ids.splice(this.at, 0, id);
  }

  /** Look again from the start: for what was skipped, and what others gave back. */
  async restart({ withSkipped = false } = {}) {
    this.finished = false;
    this.#after = null;
    if (withSkipped) {
      this.ids = this.ids.slice(0, this.at).filter((id) => !this.isFor(id));
      this.at = this.ids.length;
    }
    await this.ensure(PAGE);
  }

  /** Let others have what is left. */
  close() {
    this.#isClosed = true;
    clearInterval(this.#timer);
    release(this.#held());
  }

  async #load() {
    const { queue, standing, order, filters } = this.#route;
    const body = {
      standing,
      order,
      filters: readable(filters),
      limit: this.ids.length ? PAGE : FIRST_PAGE,
      after: this.#after,
      lease: this.#isLease,
      skip: this.#after === null ? this.ids.slice(-MOST_SKIPPED) : [],
    };
    try {
      const page = await post(`/api/queues/${encodeURIComponent(queue)}/page`, body);
      if (this.#isClosed) {
        if (this.#isLease) release(page.items.map(({ id }) => id));
        return false;
      }
      this.#take(page);
      return true;
    } catch (error) {
      // The place is one of a build that is gone.
      if (error.code === "build_changed") this.#after = null;
      this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
      return false;
    }
  }

  #take(page) {
    const known = new Set(this.ids);
    items.put(page.items);
    this.ids.push(...page.items.map(({ id }) => id).filter((id) => !known.has(id)));
    this.heldByOthers = page.held_by_others;
    this.#after = page.next;
    this.finished = page.next === null;
    this.dispatchEvent(new CustomEvent("more"));
  }

  #held() {
    if (!this.#isLease) return [];
    return this.ids.slice(Math.max(0, this.at - 5)).filter((id) => this.isFor(id)).slice(0, MOST_HELD);
  }

  #renew() {
    const held = this.#held();
    if (held.length && document.visibilityState === "visible") {
      post("/api/leases", { items: held, release: false }).catch(() => {});
    }
  }
}

/** Let others have items; the page may be closing. */
function release(held) {
  if (held.length) post("/api/leases", { items: held, release: true }, { keepalive: true }).catch(() => {});
}

function readable(filters) {
  return Object.fromEntries(
    Object.entries(filters).map(([name, value]) => [name, NUMBERS.includes(name) ? +value : value]),
  );
}
