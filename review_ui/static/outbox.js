// Decisions on their way: shown at once, kept until the server has them, sent in order.

import { ApiError } from "./api.js";
import { deliver } from "./delivery.js";
import { items } from "./items.js";
import { Journal } from "./journal.js";
import { Past } from "./past.js";
import { alone, uuid } from "./unique.js";

/**
 * @typedef {object} Entry the whole new state of one item
 * @property {string} item
 * @property {"accepted"|"rejected"|"undecided"} verdict
 * @property {string[]} [reasons]
 * @property {string[]} [tags] as before where left out
 * @property {string} [note] as before where left out
 * @property {number} [ms] from shown to decided
 */

const MOST_AT_ONCE = 100;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
const FLUSHED_BY = 3_000;
// IndexedDB counts in unsigned 32 bits.
const ALL = 2 ** 32 - 1;

/**
 * Events: `change` (pending is another number), `saved` {detail: number}, `conflict`
 * {detail: {item, mine, theirs}}, `trouble` {detail: ApiError|null}, `undone` {detail:
 * {items, redone, skipped}}, `refused` {detail: {item, why}}.
 */
class Outbox extends EventTarget {
  pending = 0;
  #queue = new Map(); // uuid -> event, of this tab and those found in the journal
  #journal = null;
  #writing = Promise.resolve();
  #lock = "";
  #others = null;
  #sending = false;
  #isWanted = false;
  #wait = FIRST_WAIT;
  #timer = 0;
  #past = new Past();
  #trouble = null;

  /** Take up what was left behind, and learn what can be undone. @param {object} session */
  async start(session) {
    this.#lock = `nonesuch:${session.dataset}:${session.name}`;
    const unsent = () => [...this.#queue.values()].map((event) => ({ event, before: null }));
    this.#journal = await Journal.open(this.#lock, unsent);
    this.#others = new BroadcastChannel(this.#lock);
    this.#others.onmessage = ({ data }) => this.#settled(data);
    this.#resume((await this.#journal.first(ALL)).map(([, kept]) => kept));
    this.#past.seed(session.name).then(() => this.#say("change"));
    addEventListener("online", () => this.retry());
    addEventListener("focus", () => this.#trouble && this.retry());
    this.#send();
  }

  /** True where unsent decisions survive the end of the page. */
  get lasts() {
    return this.#journal?.lasts ?? false;
  }

  /** Why nothing is sent at the moment; null where all is well. */
  get trouble() {
    return this.#trouble;
  }

  get canUndo() {
    return this.#past.canUndo;
  }

  get canRedo() {
    return this.#past.canRedo;
  }

  /**
   * Decide. What is decided is shown at once, and sent when that is possible.
   *
   * @param {Entry[]} entries
   * @param {{batch?: string, undoes?: string}} [options] a batch is undone as one
   */
  decide(entries, { batch = uuid(), undoes = null } = {}) {
    const before = new Map(entries.map(({ item }) => [item, stateOf(item)]));
    const events = entries.map((entry) => this.#event({ undoes, ...entry }, batch));
    this.#past.add(events, before);
    this.#take(events, before);
  }

  /** Take back my last batch. */
  async undo() {
    await this.#move("undo");
  }

  /** Do again what was taken back last. */
  async redo() {
    await this.#move("redo");
  }

  /** Count my steps since a batch; -1 where it is not among those that can be taken back. */
  async stepsAfter(batch) {
    await this.#past.reach(batch);
    return this.#past.stepsAfter(batch);
  }

  /** Wait a little for what is under way. */
  async flushed() {
    const end = performance.now() + FLUSHED_BY;
    while (this.pending && !this.#trouble && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  /** Try again now. */
  retry() {
    clearTimeout(this.#timer);
    this.#wait = FIRST_WAIT;
    this.#send();
  }

  async #move(direction) {
    const batch = uuid();
    const { entries, held, skipped } = await this.#past.turn(direction, batch);
    const events = entries.map((entry) => this.#event(entry, batch, entry.uuid));
    this.#take(events, held);
    const changed = events.map((event) => event.item);
    this.#say("undone", { items: changed, redone: direction === "redo", skipped });
  }

  #event(entry, batch, id = uuid()) {
    const { item, verdict, reasons = [], ms = null, undoes = null } = entry;
    const state = stateOf(item);
    const { tags = state.tags, note = state.note } = entry;
    const base = items.head(item) ?? entry.base ?? null;
    const whole = ms === null ? null : Math.round(ms);
    return { uuid: id, item, verdict, reasons, tags, note, base, undoes, batch, ms: whole };
  }

  #take(events, before) {
    if (!events.length) return;
    // What held before is kept beside each, so that it can be taken back after a reload.
    const kept = events.map((event) => ({ event, before: before.get(event.item) }));
    for (const event of events) this.#queue.set(event.uuid, event);
    items.applyAll(new Map(events.map((event) => [event.item, shown(event)])));
    this.#count();
    this.#writing = this.#writing.then(() => this.#journal.add(kept));
    this.#writing.then(() => this.#send());
  }

  /** Take up what an earlier page left behind. */
  #resume(kept) {
    this.#past.resume(kept.map(({ event, before }) => ({ ...event, before, origin: "page" })));
    for (const { event } of kept) {
      this.#queue.set(event.uuid, event);
      items.apply(event.item, shown(event));
    }
    this.#count();
  }

  async #send() {
    this.#isWanted = true;
    if (this.#sending || !this.#journal) return;
    this.#sending = true;
    try {
      this.#isWanted = false;
      await alone(this.#lock, () => this.#sendAll());
      this.#wait = FIRST_WAIT;
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#sending = false;
    }
    // Decided in the moment between the last look and the end.
    if (this.#isWanted && !this.#trouble) this.#send();
  }

  /** Send until nothing is left; no other tab does so meanwhile. */
  async #sendAll() {
    for (;;) {
      await this.#writing;
      const kept = await this.#journal.first(MOST_AT_ONCE);
      if (!kept.length) break;
      const events = kept.map(([, { event }]) => event);
      const outcomes = await deliver(events);
      await this.#journal.remove(kept.map(([place]) => place));
      this.#others.postMessage(outcomes);
      this.#settled(outcomes, new Map(events.map((event) => [event.uuid, event])));
    }
    this.#tell(null);
  }

  /** Take in what became of decisions. @param {Map<string, object>} sent those sent by this tab */
  #settled(outcomes, sent = new Map()) {
    const lost = new Map();
    const refused = new Map();
    const held = new Map();
    let saved = 0;
    for (const { uuid, outcome, state, problem } of outcomes) {
      const mine = this.#queue.get(uuid) ?? sent.get(uuid);
      this.#queue.delete(uuid);
      if (outcome !== "refused") held.set(state.item, state);
      if (outcome === "saved" || outcome === "replayed") saved += 1;
      else if (!mine) continue;
      else if (outcome === "conflict") lost.set(state.item, { item: state.item, mine, theirs: state });
      else refused.set(state.item, { item: state.item, why: problem });
    }
    items.settle(held.values());
    this.#uncover(new Set(outcomes.map(({ state }) => state.item)), lost);
    this.#past.forget([...lost.keys(), ...refused.keys()]);
    this.#count();
    if (saved) this.#say("saved", saved);
    if (!this.#queue.size) this.#tell(null);
    for (const detail of lost.values()) this.#say("conflict", detail);
    for (const detail of refused.values()) this.#say("refused", detail);
  }

  /** Show what the server says of items for which nothing is left to send, or which were lost. */
  #uncover(settled, lost) {
    for (const { item } of this.#queue.values()) if (!lost.has(item)) settled.delete(item);
    items.uncover(settled);
  }

  #failed(error) {
    if (!(error instanceof ApiError)) error = new ApiError(0, "page", String(error));
    this.#tell(error);
    // Waiting does not log anybody in.
    if (error.locked) return;
    const wait = error.retryAfter === null ? this.#wait : error.retryAfter * 1_000;
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), wait * (1 + Math.random() / 4));
  }

  #tell(trouble) {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#say("trouble", trouble);
  }

  #count() {
    if (this.pending === this.#queue.size) return;
    this.pending = this.#queue.size;
    this.#say("change");
  }

  #say(what, detail = null) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}

function shown({ uuid, verdict, reasons, tags, note }) {
  const decided_at = new Date().toISOString();
  return { head: uuid, verdict, reasons, tags, note, reviewer: null, decided_at };
}

/** Give what holds for an item, as an event says it. */
export function stateOf(id) {
  const { head = null, verdict, reasons = [], tags = [], note = "" } = items.get(id) ?? {};
  return { head, verdict: verdict ?? "undecided", reasons, tags, note };
}

export const outbox = new Outbox();
