// What I decided, batch by batch, so that it can be taken back and done again.

import { get } from "./api.js";
import { items } from "./items.js";
import { uuid } from "./unique.js";

/** @typedef {{uuid: string, item: string, before: object, after: object}} Step */
/** @typedef {{batch: string, steps: Step[]}} Batch */

const EVENTS_ASKED = 500;
// With so few batches left that were read, earlier ones are asked for.
const FEW = 3;

export class Past {
  /** @type {Batch[]} */
  #undo = [];
  /** @type {Batch[]} */
  #redo = [];
  #mine = new Map(); // item -> uuid of my latest event
  #lineage = new Map(); // uuid of each of my events -> the one that it takes back
  #waiting = []; // unsent events that take back what is not read yet, newest first
  #added = 0; // batches since the page was loaded
  #reviewer = null;
  #before = null; // place in the history from where on earlier events are asked for
  #hasEarlier = false;
  #isRedoable = true; // until an event is read that was not a step back or forth
  #reading = Promise.resolve(true);

  get canUndo() {
    return this.#undo.length > 0;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  /** Count the steps after a batch; -1 where it is not among those that can be taken back. */
  stepsAfter(batch) {
    const there = this.#undo.findLastIndex((one) => one.batch === batch);
    return there < 0 ? -1 : this.#undo.length - 1 - there;
  }

  /** Read on until a batch is among those that can be taken back, or there are no earlier ones. */
  async reach(batch) {
    await this.#reading;
    while (this.stepsAfter(batch) < 0 && this.#hasEarlier) if (!(await this.#readEarlier())) return;
  }

  /** Take up what an earlier page decided and did not send. @param {object[]} events oldest first */
  resume(events) {
    const newestFirst = events.toReversed();
    const here = new Set(events.map((event) => event.uuid));
    const isWhole = events.every(({ undoes }) => !undoes || here.has(undoes));
    if (isWhole) this.#sort(newestFirst);
    else this.#waiting = newestFirst;
  }

  /** Learn what I did before this page was loaded. */
  seed(reviewer) {
    this.#reviewer = reviewer;
    this.#hasEarlier = true;
    return this.#readEarlier();
  }

  /** Note what was decided just now. @param {Map<string, object>} before states by item */
  add(events, before) {
    const steps = events.map((event) => {
      this.#own(event.item, event.uuid, event.undoes);
      return { uuid: event.uuid, item: event.item, before: before.get(event.item), after: event };
    });
    this.#undo.push({ batch: events[0].batch, steps });
    this.#redo = [];
    this.#isRedoable = false;
    this.#added += 1;
  }

  /** Forget what turned out not to hold. @param {Iterable<string>} lost items */
  forget(lost) {
    const gone = new Set(lost);
    if (!gone.size) return;
    for (const item of gone) this.#mine.delete(item);
    const kept = (stack) =>
      stack
        .map(({ batch, steps }) => ({ batch, steps: steps.filter(({ item }) => !gone.has(item)) }))
        .filter(({ steps }) => steps.length);
    this.#undo = kept(this.#undo);
    this.#redo = kept(this.#redo);
  }

  /**
   * Take the last batch off one stack and put its reverse, as `batch`, on the other.
   *
   * What is at hand is taken at once; the server is waited for only where nothing is.
   *
   * @returns {Promise<{entries: object[], held: Map<string, object>, skipped: number}>} events to
   *   be; what held before them, by item; and of how many items somebody else has the last word,
   *   so that they are left alone
   */
  async turn(direction, batch) {
    const steps = await this.#taken(direction);
    const free = steps.filter(({ item }) => this.#isMine(item));
    const reversed = free.toReversed().map((step) => this.#reverse(step));
    const other = direction === "undo" ? this.#redo : this.#undo;
    if (reversed.length) other.push({ batch, steps: reversed.map(({ step }) => step) });
    if (this.#undo.length < FEW) this.#readEarlier();
    return {
      entries: reversed.map(({ entry }) => entry),
      held: new Map(free.map(({ item, after }) => [item, after])),
      skipped: steps.length - free.length,
    };
  }

  /** Take the last batch off a stack: the one that was last when it was asked for. */
  async #taken(direction) {
    const stack = () => (direction === "undo" ? this.#undo : this.#redo);
    if (stack().length) return stack().pop().steps;
    const added = this.#added;
    await this.#reading;
    if (!stack().length && this.#hasEarlier) await this.#readEarlier();
    const since = direction === "undo" ? this.#added - added : 0;
    const at = stack().length - 1 - since;
    return at < 0 ? [] : stack().splice(at, 1)[0].steps;
  }

  #reverse({ uuid: undoes, item, before, after }) {
    const id = uuid();
    const { verdict, reasons, tags, note } = before;
    const base = this.#mine.get(item) ?? undoes;
    this.#own(item, id, undoes);
    return {
      entry: { uuid: id, item, verdict, reasons, tags, note, base, undoes },
      step: { uuid: id, item, before: after, after: before },
    };
  }

  #isMine(item) {
    const head = items.head(item);
    return head === undefined || this.#lineage.has(head);
  }

  #own(item, uuid, undoes) {
    this.#mine.set(item, uuid);
    this.#lineage.set(uuid, undoes);
  }

  #readEarlier() {
    if (!this.#hasEarlier) return this.#reading;
    this.#hasEarlier = false;
    this.#reading = this.#ask().then(
      () => true,
      () => {
        this.#hasEarlier = true; // another time
        return false;
      },
    );
    return this.#reading;
  }

  /** Ask for earlier events, until each that takes one back is there with what it takes back. */
  async #ask() {
    const found = [...this.#waiting];
    let before = this.#before;
    do {
      const { events, next } = await get("/api/history", { reviewer: this.#reviewer, limit: EVENTS_ASKED, before });
      found.push(...(next === null ? events : wholeBatches(events)));
      before = next === null ? null : found.at(-1).seq;
    } while (before !== null && !this.#isWhole(found));
    this.#waiting = [];
    this.#before = before;
    this.#hasEarlier = before !== null;
    this.#sort(found.filter(({ origin }) => origin === "page"));
  }

  #isWhole(events) {
    const here = new Set(events.map((event) => event.uuid));
    return events.every(({ undoes }) => !undoes || here.has(undoes) || this.#lineage.has(undoes));
  }

  /** Put events, newest first, below what the stacks hold. */
  #sort(events) {
    for (const { uuid, undoes } of events) if (!this.#lineage.has(uuid)) this.#lineage.set(uuid, undoes);
    const known = new Set([...this.#undo, ...this.#redo].flatMap(({ steps }) => steps.map((step) => step.uuid)));
    const takenBack = new Set(this.#lineage.values());
    const [undo, redo] = [[], []];
    for (const event of events) {
      if (!this.#mine.has(event.item)) this.#mine.set(event.item, event.uuid);
      const turns = this.#turns(event.uuid);
      if (turns === 0) this.#isRedoable = false;
      if (event.undone || takenBack.has(event.uuid) || known.has(event.uuid)) continue;
      const step = { uuid: event.uuid, item: event.item, before: event.before, after: event };
      if (turns % 2 === 0) collect(undo, event.batch, step);
      else if (this.#isRedoable) collect(redo, event.batch, step);
    }
    this.#undo.unshift(...stacked(undo));
    this.#redo.unshift(...stacked(redo));
  }

  /** Count how often a decision was taken back and done again. */
  #turns(uuid) {
    let turns = 0;
    for (let at = this.#lineage.get(uuid); at; at = this.#lineage.get(at)) turns += 1;
    return turns;
  }
}

/** Leave out the batch at the end, of which more may come; one that fills the answer stays. */
function wholeBatches(events) {
  const { batch } = events.at(-1);
  const first = events.findIndex((event) => event.batch === batch);
  return first > 0 ? events.slice(0, first) : events;
}

function collect(batches, batch, step) {
  const last = batches.at(-1);
  if (last?.batch === batch) last.steps.push(step);
  else batches.push({ batch, steps: [step] });
}

/** Turn batches that are newest first into a stack: the newest at the end. */
function stacked(batches) {
  return batches.toReversed().map(({ batch, steps }) => ({ batch, steps: steps.toReversed() }));
}
