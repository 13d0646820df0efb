// Items as this page knows them: what the server said, under what waits to be sent.

/** @typedef {{head: string|null, verdict: string|null, reasons?: string[], tags: string[],
 *   note: string, reviewer?: string|null, decided_at?: string|null}} State */

// Beyond so many, those not asked for the longest are forgotten: an hour of work is less.
const KEPT = 20_000;
const BY_RULE = { accepted: "accepted", flagged: "open", rejected: "rejected" };

class Items extends EventTarget {
  #known = new Map();
  #queued = new Map();

  /** Take in items of an answer. An answer that was overtaken by a decision does not undo it. */
  put(list) {
    for (const item of list) {
      const known = this.#known.get(item.id);
      const overtaken = known?.decided_at && (item.decided_at ?? "") < known.decided_at;
      this.#known.delete(item.id);
      this.#known.set(item.id, overtaken ? { ...item, ...stateOf(known) } : item);
    }
    this.#forget();
    this.#tell(list.map((item) => item.id));
  }

  /** Give an item with what is queued for it; undefined where it is not known. */
  get(id) {
    const known = this.#known.get(id);
    const queued = this.#queued.get(id);
    return known && queued ? merged(known, queued) : known;
  }

  /** Give the uuid that holds for an item as far as this page knows; undefined: not known. */
  head(id) {
    return this.#queued.has(id) ? this.#queued.get(id).head : this.#known.get(id)?.head;
  }

  /** Lay a state that is still to be sent over what the server said. @param {State} state */
  apply(id, state) {
    this.#queued.set(id, state);
    this.#tell([id]);
  }

  /** The same for many at once, with one event. @param {Map<string, State>} states */
  applyAll(states) {
    for (const [id, state] of states) this.#queued.set(id, state);
    this.#tell([...states.keys()]);
  }

  /** Take the state that the server says holds. @param {Iterable<State & {item: string}>} states */
  settle(states) {
    const ids = [];
    for (const { item: id, ...state } of states) {
      const known = this.#known.get(id);
      if (known) this.#known.set(id, merged(known, state));
      ids.push(id);
    }
    if (ids.length) this.#tell(ids);
  }

  /** Forget what was laid over items. */
  uncover(ids) {
    const changed = [...ids].filter((id) => this.#queued.delete(id));
    if (changed.length) this.#tell(changed);
  }

  #forget() {
    for (const id of this.#known.keys()) {
      if (this.#known.size <= KEPT) return;
      if (!this.#queued.has(id)) this.#known.delete(id);
    }
  }

  #tell(ids) {
    this.dispatchEvent(new CustomEvent("change", { detail: ids }));
  }
}

function stateOf({ head, verdict, reasons, tags, note, reviewer, decided_at, standing, follows }) {
  return { head, verdict, reasons, tags, note, reviewer, decided_at, standing, follows };
}

function merged(item, state) {
  const verdict = state.verdict === "undecided" ? null : state.verdict;
  return {
    ...item,
    ...state,
    verdict,
    standing: verdict ?? BY_RULE[item.rule] ?? "open",
    follows: null,
  };
}

export const items = new Items();
