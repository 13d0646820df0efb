// What was done to a look, to be taken back.

const ONE_GESTURE_MS = 1_000;
const MOST = 200;

export class Steps {
  #past = [];
  #future = [];
  #now;
  #gesture = "";
  #since = 0;

  constructor(first) {
    this.#now = first;
  }

  get now() {
    return this.#now;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** Go on; moves of one control, shortly after another, are one step. */
  take(next, gesture = "") {
    const now = performance.now();
    const isSame = gesture !== "" && gesture === this.#gesture && now - this.#since < ONE_GESTURE_MS;
    if (!isSame) this.#past.push(this.#now);
    if (this.#past.length > MOST) this.#past.shift();
    this.#future = [];
    this.#gesture = gesture;
    this.#since = now;
    this.#now = next;
  }

  /** Give what was before; null where there is nothing. */
  undo() {
    return this.#turn(this.#past, this.#future);
  }

  redo() {
    return this.#turn(this.#future, this.#past);
  }

  #turn(from, to) {
    if (!from.length) return null;
    to.push(this.#now);
    this.#now = from.pop();
    this.#gesture = "";
    return this.#now;
  }
}
