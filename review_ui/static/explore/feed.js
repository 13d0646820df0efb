// Pictures for one place, the last one asked for: one is under way, one waits, no more.

import { atHand, fetchPicture } from "./pictures.js";

export class Feed {
  #show;
  #fail;
  #busy;
  #running = null;
  #waiting = null;

  /** @param {{show: (bitmap: ImageBitmap, address: string) => void, fail: (error: Error) => void, busy: (isBusy: boolean) => void}} to */
  constructor({ show, fail, busy }) {
    this.#show = show;
    this.#fail = fail;
    this.#busy = busy;
  }

  /**
   * Ask for a picture.
   *
   * @param {string} address
   * @param {{isPassing?: boolean}} [how] passing: more will be asked for at once, as while a slider
   *   moves. Then what is under way may still come. Otherwise it is given up.
   */
  ask(address, { isPassing = false } = {}) {
    this.#waiting = null;
    if (this.#running?.address === address) return;
    const found = atHand(address);
    if (this.#running && isPassing && !found) {
      this.#waiting = address;
      return;
    }
    this.#running?.controller.abort();
    this.#running = null;
    if (!found) return void this.#run(address);
    this.#busy(false);
    this.#show(found, address);
  }

  /** Give up what is under way. */
  stop() {
    this.#waiting = null;
    this.#running?.controller.abort();
    this.#running = null;
    this.#busy(false);
  }

  async #run(address) {
    const mine = { address, controller: new AbortController() };
    this.#running = mine;
    this.#busy(true);
    const [bitmap, error] = await fetchPicture(address, mine.controller.signal).then(
      (found) => [found, null],
      (problem) => [null, problem],
    );
    if (this.#running !== mine) return;
    this.#running = null;
    const next = this.#waiting;
    this.#waiting = null;
    if (bitmap) this.#show(bitmap, address);
    else if (!next) this.#fail(error);
    if (next) this.ask(next, { isPassing: true });
    else this.#busy(false);
  }
}
