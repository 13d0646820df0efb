// Pictures of seeds, as many as one scrolls by; only those near to what is seen are there.

import { button, el, fill } from "../dom.js";
import { paint, picture, whenTurned } from "./canvas.js";
import { LARGEST_SEED } from "./looks.js";
import { addressOf, atHand, queuePicture } from "./pictures.js";

const HEIGHTS = { s: 96, m: 168, l: 288 };
const GAP = 6;
const PAD = 10;
const EARLIER_PX = 48;
// Screens beyond what is seen.
const ABOVE = 0.5;
const BELOW = 1;
const AHEAD = 8; // of which there is only the height
// Browsers lay nothing out far beyond this.
const TALLEST_PX = 8_000_000;
// What flies by in less is not asked for.
const SEEN_MS = 80;

export class Tiles {
  #source;
  #make;
  #tell;
  #size;
  #start;
  #cursor;
  #tiles = new Map();
  #loading = null;
  #isLaidOut = false;
  #columns = 1;
  #width = 1;
  #height = 1;
  #end = new AbortController();
  #space = el("div", { class: "tiles" });
  #earlier = button("↑ Seeds before these", () => this.#goEarlier(), { class: "tiles-earlier quiet" });
  node;

  /**
   * @param {import("./pictures.js").Source & {width: number, height: number}} source
   * @param {{start: number, size: string, make: (seed: number) => import("./looks.js").Between,
   *   open: (seed: number) => void, keep: (seed: number) => void, isKept: (seed: number) => boolean,
   *   moved: () => void, failed: (error: Error) => void}} options
   */
  constructor(source, { start, size, make, ...tell }) {
    this.#source = source;
    this.#start = this.#cursor = start;
    this.#size = size in HEIGHTS ? size : "m";
    this.#make = make;
    this.#tell = tell;
    this.node = el("div", { class: "tiles-scroll" }, this.#space);
    const { signal } = this.#end;
    this.node.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    whenTurned(() => this.#repaint(), signal);
    const resized = new ResizeObserver(() => this.#layOut());
    resized.observe(this.node);
    signal.addEventListener("abort", () => resized.disconnect());
  }

  /** The seed that the pictures begin with. */
  get start() {
    return this.#start;
  }

  /** The first seed in sight. */
  get first() {
    return this.#start + Math.max(0, Math.round((this.node.scrollTop - this.#top) / this.#row)) * this.#columns;
  }

  get cursor() {
    return this.#cursor;
  }

  /** Begin with another seed, or go to one that is further down. */
  goTo(start, at = start) {
    this.#start = Math.min(start, LARGEST_SEED);
    this.#cursor = Math.min(at, Number.MAX_SAFE_INTEGER - 1);
    if (this.#isLaidOut) this.#show(at);
    else this.#layOut();
  }

  resize(size) {
    this.#size = size;
    this.#layOut();
  }

  /** What the pictures are made of has changed; the old ones stay until the new ones are there. */
  refresh() {
    this.#draw();
  }

  /** Mark anew which are kept. */
  remark() {
    for (const [seed, tile] of this.#tiles) this.#mark(seed, tile);
  }

  /** Move the focus by so many pictures, or rows. */
  move(by, isRows = false) {
    this.focus(this.#cursor + (isRows ? by * this.#columns : by));
  }

  focus(seed) {
    this.#cursor = Math.min(Math.max(this.#start, seed), Number.MAX_SAFE_INTEGER - 1);
    const top = this.#topOf(this.#cursor);
    const { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top - PAD;
    else if (top + this.#height > scrollTop + clientHeight) this.node.scrollTop = top + this.#height + PAD - clientHeight;
    this.#draw();
    this.#tiles.get(this.#cursor)?.open.focus({ preventScroll: true });
  }

  destroy() {
    this.#end.abort();
    clearTimeout(this.#loading);
    for (const tile of this.#tiles.values()) tile.loading?.abort();
  }

  get #row() {
    return this.#height + GAP;
  }

  get #top() {
    return PAD + (this.#start > 0 ? EARLIER_PX : 0);
  }

  #topOf(seed) {
    return this.#top + Math.floor((seed - this.#start) / this.#columns) * this.#row;
  }

  /** Choose the columns; what was on top stays there. */
  #layOut() {
    const room = this.node.clientWidth - 2 * PAD;
    if (room <= 0) return;
    const first = this.#isLaidOut ? this.first : this.#cursor;
    this.#isLaidOut = true;
    const { width, height } = this.#source;
    const wanted = (HEIGHTS[this.#size] * width) / height;
    this.#columns = Math.max(1, Math.round((room + GAP) / (wanted + GAP)));
    this.#width = Math.floor((room - GAP * (this.#columns - 1)) / this.#columns);
    this.#height = Math.round((this.#width * height) / width);
    this.#show(first);
    this.#repaint();
  }

  #show(seed) {
    this.#grow(this.#topOf(seed) + this.node.clientHeight);
    this.node.scrollTop = seed - this.#start < this.#columns ? 0 : this.#topOf(seed) - GAP;
    this.#draw();
  }

  #scrolled() {
    if (this.node.scrollTop > TALLEST_PX) return this.goTo(this.first);
    this.#arrange();
    this.#loading ??= setTimeout(() => this.#loadAll(), SEEN_MS);
    this.#tell.moved();
  }

  #grow(bottom) {
    const wanted = Math.ceil(bottom + AHEAD * this.node.clientHeight);
    if (wanted > this.#space.offsetHeight) this.#space.style.height = `${wanted}px`;
  }

  #goEarlier() {
    const rows = Math.max(1, Math.floor(this.node.clientHeight / this.#row));
    const start = Math.max(0, this.#start - rows * this.#columns);
    this.#start = this.#cursor = start;
    this.node.scrollTop = 0;
    this.#draw();
    this.#tell.moved();
    this.#tiles.get(start)?.open.focus({ preventScroll: true });
  }

  #rows() {
    const { scrollTop, clientHeight } = this.node;
    const at = (px) => (px - this.#top) / this.#row;
    const row = (px) => Math.max(0, Math.floor(at(px)));
    return {
      from: row(scrollTop - ABOVE * clientHeight),
      seen: row(scrollTop),
      end: Math.max(1, Math.ceil(at(scrollTop + (1 + BELOW) * clientHeight))),
    };
  }

  #draw() {
    this.#arrange();
    this.#loadAll();
  }

  /** Ask for those in sight first, then for those to come. */
  #loadAll() {
    clearTimeout(this.#loading);
    this.#loading = null;
    const seen = this.#start + this.#rows().seen * this.#columns;
    const rank = ([seed]) => (seed < seen ? Number.MAX_SAFE_INTEGER - seed : seed);
    for (const [seed, tile] of [...this.#tiles].sort((a, b) => rank(a) - rank(b))) this.#load(seed, tile);
  }

  /** Have a place for each picture near to what is seen. */
  #arrange() {
    if (!this.#isLaidOut) return;
    this.#grow(this.node.scrollTop + this.node.clientHeight);
    const { from, seen, end } = this.#rows();
    const first = this.#start + from * this.#columns;
    // Beyond, a seed and the next one are the same number.
    const last = Math.min(this.#start + end * this.#columns, Number.MAX_SAFE_INTEGER);
    for (const [seed, tile] of this.#tiles) if (seed < first || seed >= last) this.#drop(seed, tile);
    if (this.#cursor < first || this.#cursor >= last) this.#cursor = Math.min(this.#start + seen * this.#columns, last - 1);
    for (let seed = first; seed < last; seed += 1) this.#place(seed);
    if (this.#start > 0 && !this.#earlier.isConnected) this.#space.prepend(this.#earlier);
    if (this.#start === 0) this.#earlier.remove();
  }

  #drop(seed, tile) {
    tile.loading?.abort();
    tile.node.remove();
    this.#tiles.delete(seed);
  }

  #place(seed) {
    const tile = this.#tiles.get(seed) ?? this.#add(seed);
    const column = (seed - this.#start) % this.#columns;
    const { style } = tile.node;
    style.width = `${this.#width}px`;
    style.height = `${this.#height}px`;
    style.transform = `translate(${PAD + column * (this.#width + GAP)}px, ${this.#topOf(seed)}px)`;
    tile.open.tabIndex = seed === this.#cursor ? 0 : -1;
  }

  #add(seed) {
    const canvas = picture(`Seed ${seed}`);
    const open = el("button", { type: "button", class: "tile-open", aria: { label: `Seed ${seed}` }, on: { click: () => this.#tell.open(seed), focus: () => (this.#cursor = seed) } }, canvas, el("span", { class: "tile-seed", aria: { hidden: "true" }, text: String(seed) }));
    const star = button("", () => this.#tell.keep(seed), { class: "tile-keep", tabindex: "-1" });
    const tile = { node: el("div", { class: "tile", dataset: { seed } }, open, star), open, star, canvas, address: "", loading: null };
    this.#mark(seed, tile);
    this.#tiles.set(seed, tile);
    this.#space.append(tile.node);
    return tile;
  }

  #mark(seed, { star }) {
    const isKept = this.#tell.isKept(seed);
    fill(star, isKept ? "★" : "☆");
    star.setAttribute("aria-pressed", String(isKept));
    star.setAttribute("aria-label", `Keep seed ${seed}`);
  }

  async #load(seed, tile) {
    const address = addressOf(this.#source, this.#make(seed));
    if (tile.address === address) return;
    tile.address = address;
    tile.loading?.abort();
    const loading = new AbortController();
    tile.loading = loading;
    try {
      const bitmap = await queuePicture(address, loading.signal);
      if (loading.signal.aborted) return;
      paint(tile.canvas, bitmap, this.#width);
      tile.node.dataset.shown = address;
    } catch (error) {
      if (loading.signal.aborted) return;
      tile.address = "";
      this.#tell.failed(error);
    }
  }

  /** Paint all anew, from what is at hand: tiles hold no pictures, which are far larger than they. */
  #repaint() {
    for (const tile of this.#tiles.values()) {
      const { shown } = tile.node.dataset;
      const bitmap = shown && atHand(shown);
      if (bitmap) paint(tile.canvas, bitmap, this.#width);
      else if (shown === tile.address) tile.address = "";
    }
    this.#loadAll();
  }
}
