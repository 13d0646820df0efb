// What I decided, batch by batch, so that it can be taken back and done again.

import { get } from "./api.js";
import { items } from "./items.js";
import { uuid } from "./unique.js";

/** @typedef {{uuid: string, item: string, before: object, after: object}} Step */

const EVENTS_SEEDED = 500;

export class Past {
  /** @type {Step[][]} */
  #undo = [];
  /** @type {Step[][]} */
  #redo = [];
  #seeding = Promise.resolve();
  #mine = new Map(); // item -> uuid of my latest event
  #lineage = new Set(); // uuids of my events

  get canUndo() {
    return this.#undo.length > 0;
  }

  get canRedo() {
    return this.#redo.length > 0;
  }

  /** Count the steps after a batch; -1 where it is not among those that can be taken back. */
  stepsAfter(batch) {
    const there = this.#undo.findLastIndex((steps) => steps.some(({ after }) => after.batch === batch));
    return there < 0 ? -1 : this.#undo.length - 1 - there;
  }

  /** Learn what I did before this page was loaded. */
  seed(reviewer) {
    this.#seeding = get("/api/history", { reviewer, limit: EVENTS_SEEDED }).then(
      ({ events }) => this.#read(events.filter((event) => event.origin === "page")),
      () => {},
    );
  }

  /** Note what was decided just now. @param {Map<string, object>} before states by item */
  add(events, before) {
    const steps = events.map((event) => {
      this.#own(event.item, event.uuid);
      return { uuid: event.uuid, item: event.item, before: before.get(event.item), after: event };
    });
    this.#undo.push(steps);
    this.#redo = [];
  }

  /** Forget what turned out not to hold. @param {Iterable<string>} lost items */
  forget(lost) {
    const gone = new Set(lost);
    if (!gone.size) return;
    for (const item of gone) this.#mine.delete(item);
    const kept = (stack) =>
      stack.map((steps) => steps.filter(({ item }) => !gone.has(item))).filter(({ length }) => length);
    this.#undo = kept(this.#undo);
    this.#redo = kept(this.#redo);
  }

  /**
   * Take the last batch off one stack and put its reverse on the other.
   *
   * @returns {Promise<{entries: object[], skipped: number}>} events to be; and of how many items
   *   somebody else has the last word, so that they are left alone
   */
  async turn(direction) {
    await this.#seeding;
    const [from, to] = direction === "undo" ? [this.#undo, this.#redo] : [this.#redo, this.#undo];
    const steps = from.pop() ?? [];
    const free = steps.filter(({ item }) => this.#isMine(item));
    const reversed = free.toReversed().map((step) => this.#reverse(step));
    if (reversed.length) to.push(reversed.map(({ step }) => step));
    return { entries: reversed.map(({ entry }) => entry), skipped: steps.length - free.length };
  }

  #reverse({ uuid: undoes, item, before, after }) {
    const id = uuid();
    const { verdict, reasons, tags, note } = before;
    const base = this.#mine.get(item) ?? undoes;
    this.#own(item, id);
    return {
      entry: { uuid: id, item, verdict, reasons, tags, note, base, undoes },
      step: { uuid: id, item, before: after, after: before },
    };
  }

  #isMine(item) {
    const head = items.head(item);
    return head === undefined || this.#lineage.has(head);
  }

  #own(item, uuid) {
    this.#mine.set(item, uuid);
    this.#lineage.add(uuid);
  }

  /** Rebuild both stacks from events, newest first. */
  #read(events) {
    const byUuid = new Map(events.map((event) => [event.uuid, event]));
    const decidedSince = this.#undo.length > 0;
    const undo = [];
    const redo = [];
    let cleared = decidedSince;
    for (const event of events) {
      this.#lineage.add(event.uuid);
      if (!this.#mine.has(event.item)) this.#mine.set(event.item, event.uuid);
      const turns = depth(event, byUuid);
      if (turns === 0) cleared = true;
      if (event.undone) continue;
      const step = { uuid: event.uuid, item: event.item, before: event.before, after: event };
      if (turns % 2 === 0) collect(undo, event.batch, step);
      else if (!cleared) collect(redo, event.batch, step);
    }
    this.#undo.unshift(...stacked(undo));
    this.#redo.unshift(...stacked(redo));
  }
}

/** Count how often a decision was taken back and done again. */
function depth(event, byUuid) {
  let turns = 0;
  for (let at = event; at?.undoes; at = byUuid.get(at.undoes)) turns += 1;
  return turns;
}

function collect(batches, batch, step) {
  const last = batches.at(-1);
  if (last?.batch === batch) last.steps.push(step);
  else batches.push({ batch, steps: [step] });
}

/** Turn batches that are newest first into a stack: the newest at the end. */
function stacked(batches) {
  return batches.toReversed().map(({ steps }) => steps.toReversed());
}
