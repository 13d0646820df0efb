// Pictures that are loaded and decoded before they are wanted.

const KEPT = 48;

class Pictures {
  /** @type {Map<string, {image: HTMLImageElement, ready: Promise<boolean>, isReady: boolean}>} */
  #kept = new Map();

  /** Give the decoded picture at an address; null where it is not here yet. */
  ready(url) {
    const entry = this.#kept.get(url);
    return entry?.isReady ? entry.image : null;
  }

  /** Load and decode; resolves to whether that worked. */
  load(url) {
    const entry = this.#kept.get(url) ?? this.#begin(url);
    // The latest wanted is at the end.
    this.#kept.delete(url);
    this.#kept.set(url, entry);
    this.#trim();
    return entry.ready;
  }

  /** @param {string[]} urls the most urgent first */
  preload(urls) {
    for (const url of urls.toReversed()) this.load(url);
  }

  #begin(url) {
    const image = new Image();
    image.decoding = "sync";
    image.draggable = false;
    image.src = url;
    const entry = { image, isReady: false, ready: null };
    entry.ready = image.decode().then(
      () => (entry.isReady = true),
      () => {
        this.#kept.delete(url);
        return false;
      },
    );
    return entry;
  }

  #trim() {
    for (const [url, { image }] of this.#kept) {
      if (this.#kept.size <= KEPT) return;
      if (!image.isConnected) this.#kept.delete(url);
    }
  }
}

export const pictures = new Pictures();

/** Mark the moment at which what was put in the page has been painted. */
export function markShown(item) {
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      performance.mark("nonesuch:shown", { detail: { item } });
    };
    port2.postMessage(null);
  });
}
