// Looking closer: wheel, pinch, drag, + − 0. What is zoomed are the pictures in a frame, together.

import { announce } from "./toasts.js";
import { keys } from "./keys.js";

export const STEP = 1.5;
const MOST = 12;
const PAN = 80;

export class Zoom {
  #frame;
  #scale = 1;
  #x = 0;
  #y = 0;
  #pop = null;
  #pointers = new Map();

  /** @param {HTMLElement} frame its `img` descendants are zoomed */
  constructor(frame) {
    this.#frame = frame;
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("dblclick", () => (this.isOn ? this.reset() : this.by(3)));
    frame.addEventListener("pointerdown", (event) => this.#down(event));
    frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      frame.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  get isOn() {
    return this.#scale > 1;
  }

  /** Zoom by a factor; the point (x, y), measured from the middle of the frame, stays in place. */
  by(factor, x = 0, y = 0) {
    const scale = Math.min(MOST, Math.max(1, this.#scale * factor));
    const change = scale / this.#scale;
    this.#x = x - (x - this.#x) * change;
    this.#y = y - (y - this.#y) * change;
    this.#scale = scale;
    this.#apply();
  }

  reset() {
    this.#scale = 1;
    this.#x = this.#y = 0;
    this.#apply();
  }

  #apply() {
    if (this.#scale <= 1.001) {
      this.#scale = 1;
      this.#x = this.#y = 0;
    }
    const { clientWidth, clientHeight, style, dataset } = this.#frame;
    const [far, down] = [(clientWidth / 2) * (this.#scale - 1), (clientHeight / 2) * (this.#scale - 1)];
    this.#x = Math.min(far, Math.max(-far, this.#x));
    this.#y = Math.min(down, Math.max(-down, this.#y));
    style.setProperty("--zoom", this.#scale);
    style.setProperty("--pan-x", `${this.#x}px`);
    style.setProperty("--pan-y", `${this.#y}px`);
    dataset.zoomed = String(this.isOn);
    this.#enter();
  }

  /** While zoomed, keys move and zoom; Escape ends that. */
  #enter() {
    if (this.isOn === (this.#pop !== null)) return;
    if (!this.isOn) {
      this.#pop();
      this.#pop = null;
      return;
    }
    const pan = (dx, dy) => () => {
      this.#x += dx * PAN;
      this.#y += dy * PAN;
      this.#apply();
    };
    announce("Zoomed in; Escape ends it");
    this.#pop = keys.push({
      name: "Zoom",
      exclusive: true,
      bindings: [
        { key: "Escape", run: () => this.reset(), help: "Back to the whole picture" },
        { key: "0", run: () => this.reset(), help: "Whole picture" },
        { key: "+", run: () => this.by(STEP), help: "Closer" },
        { key: "=", run: () => this.by(STEP), help: "Closer", hidden: true },
        { key: "-", run: () => this.by(1 / STEP), help: "Farther" },
        { key: "ArrowLeft", run: pan(1, 0), help: "Move" },
        { key: "ArrowRight", run: pan(-1, 0), help: "Move", hidden: true },
        { key: "ArrowUp", run: pan(0, 1), help: "Move", hidden: true },
        { key: "ArrowDown", run: pan(0, -1), help: "Move", hidden: true },
      ],
    });
  }

  #wheel(event) {
    event.preventDefault();
    const [x, y] = this.#middle(event);
    this.by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), x, y);
  }

  #down(event) {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    this.#pointers.set(event.pointerId, event);
    if (this.isOn || this.#pointers.size > 1) this.#frame.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.#pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (other) {
      const [x, y] = this.#middle(event, other);
      this.by(apart(event, other) / Math.max(1, apart(before, other)), x, y);
    } else if (this.isOn) {
      this.#x += event.clientX - before.clientX;
      this.#y += event.clientY - before.clientY;
      this.#apply();
    }
  }

  #middle(a, b = a) {
    const { left, top, width, height } = this.#frame.getBoundingClientRect();
    return [(a.clientX + b.clientX) / 2 - left - width / 2, (a.clientY + b.clientY) / 2 - top - height / 2];
  }

  /** Leave without a trace. */
  destroy() {
    this.#pop?.();
    this.#pop = null;
  }
}

function apart(a, b) {
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}
