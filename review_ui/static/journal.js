// Decisions that are not sent yet, kept where they survive a reload and the end of the browser.

const STORE = "events";

/** A queue in IndexedDB; in memory where the browser forbids that, has no room, or takes it away. */
export class Journal {
  #database = null;
  #memory = new Map();
  #next = 1;
  #unsent;

  /** @param {() => object[]} unsent gives all that is still to be sent, if what was kept is gone */
  constructor(unsent) {
    this.#unsent = unsent;
  }

  /** @param {string} name keeps apart what belongs to other people and other data sets */
  static async open(name, unsent) {
    const journal = new Journal(unsent);
    journal.#database = await opened(name).catch(() => null);
    return journal;
  }

  /** True where what is kept survives the end of the page. */
  get lasts() {
    return this.#database !== null && this.#memory.size === 0;
  }

  /** Keep decisions, in this order. */
  async add(events) {
    // In order: what comes after something that is in memory is sent after it.
    if (this.#memory.size) return this.#remember(events);
    try {
      await this.#change((store) => events.forEach((event) => store.add(event)));
    } catch {
      this.#remember(events);
    }
  }

  #remember(events) {
    for (const event of events) this.#memory.set(`memory-${this.#next++}`, event);
  }

  /** Give the oldest decisions with their places: [place, event]. */
  async first(limit) {
    const kept = await this.#stored(limit).catch(() => this.#lost());
    return [...kept, ...this.#memory].slice(0, limit);
  }

  /** Forget decisions. */
  async remove(places) {
    const stored = places.filter((place) => !this.#memory.delete(place));
    if (stored.length && this.#database) await this.#change((store) => stored.forEach((place) => store.delete(place)));
  }

  /** The browser took the database away, as when somebody clears the data of the page. */
  #lost() {
    this.#database = null;
    this.#memory.clear();
    this.#remember(this.#unsent());
    return [];
  }

  async #stored(limit) {
    if (!this.#database) return [];
    const store = this.#database.transaction(STORE).objectStore(STORE);
    const [places, events] = await Promise.all([
      done(store.getAllKeys(null, limit)),
      done(store.getAll(null, limit)),
    ]);
    return places.map((place, index) => [place, events[index]]);
  }

  async #change(work) {
    const transaction = this.#database.transaction(STORE, "readwrite", { durability: "strict" });
    work(transaction.objectStore(STORE));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

async function opened(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
  return done(request);
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
