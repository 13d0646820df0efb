// Pictures that are loaded and decoded before they are wanted.

// Beside those on screen; one takes 0.8 MB as 384 × 512 pixels.
const KEPT = 140;
const SHOWN = "nonesuch:shown";
const MARKS_KEPT = 1_000;

/** Put this class on what stands in for a picture until that is decoded. */
export const SOON = "picture-soon";

class Pictures {
  /** @type {Map<string, {image: HTMLImageElement, ready: Promise<HTMLImageElement|null>, isReady: boolean}>} */
  #kept = new Map();

  /** Give the decoded picture at an address; null where it is not here yet. */
  ready(url) {
    const entry = this.#kept.get(url);
    return entry?.isReady ? entry.image : null;
  }

  /** Load and decode; resolves to the picture, null where that did not work. */
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
      () => {
        entry.isReady = true;
        return image;
      },
      () => {
        this.#kept.delete(url);
        return null;
      },
    );
    return entry;
  }

  /** Forget those that were not wanted for the longest; what is on screen is kept anyway. */
  #trim() {
    const loose = [...this.#kept].filter(([, { image }]) => !image.isConnected);
    for (const [url] of loose.slice(0, Math.max(0, loose.length - KEPT))) this.#kept.delete(url);
  }
}

export const pictures = new Pictures();

let latest = 0;
let marked = 0;

/** Mark the moment at which what was put in the page has been painted, and nothing stands in for it. */
export function markShown(item) {
  const mine = (latest += 1);
  const look = () => {
    if (mine !== latest) return;
    if (document.querySelector(`#view .${SOON}`)) requestAnimationFrame(look);
    else afterPaint(() => mark(item));
  };
  requestAnimationFrame(look);
}

/** Run once the frame that is being made has been painted. */
function afterPaint(run) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(null);
}

/** Only the latest are kept: a page is open for hours. */
function mark(item) {
  performance.mark(SHOWN, { detail: { item } });
  marked += 1;
  if (marked % MARKS_KEPT) return;
  const kept = performance.getEntriesByName(SHOWN).slice(-MARKS_KEPT);
  performance.clearMarks(SHOWN);
  for (const { startTime, detail } of kept) performance.mark(SHOWN, { startTime, detail });
}
