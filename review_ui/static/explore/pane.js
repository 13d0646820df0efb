// A place for one large picture: the old one stays until the new one is decoded.

import { button, el, fill } from "../dom.js";
import { paint, picture, whenTurned } from "./canvas.js";
import { Feed } from "./feed.js";
import { addressOf, queuePicture } from "./pictures.js";

export class Pane {
  #canvas = picture("");
  #caption = el("figcaption", { class: "pane-caption" });
  #problem = el("div", { class: "pane-problem", role: "alert" });
  #feed;
  #bitmap = null;
  #instead = null;
  #address = "";
  #end = new AbortController();
  node;

  /** @param {{onShow?: () => void, onFail?: () => void}} [options] told whenever another picture is seen, or cannot be */
  constructor({ onShow, onFail } = {}) {
    this.node = el("figure", { class: "explore-pane", aria: { busy: "false" } }, el("span", { class: "working", aria: { hidden: "true" } }), this.#canvas, this.#caption, this.#problem);
    this.#feed = new Feed({
      show: (bitmap, address) => {
        this.#bitmap = bitmap;
        this.node.dataset.shown = address;
        fill(this.#problem);
        this.#paint();
        onShow?.();
      },
      fail: (error) => {
        this.#fail(error);
        onFail?.();
      },
      busy: (isBusy) => this.node.setAttribute("aria-busy", String(isBusy)),
    });
    const { signal } = this.#end;
    whenTurned(() => this.#paint(), signal);
    const resized = new ResizeObserver(() => this.#paint());
    resized.observe(this.#canvas);
    signal.addEventListener("abort", () => resized.disconnect());
  }

  /** The picture that is shown, when it has come. */
  get bitmap() {
    return this.#bitmap;
  }

  /** Show a picture; see `Feed.ask`. @param {import("./looks.js").Between} what */
  ask(source, what, { label, isPassing = false }) {
    this.#canvas.setAttribute("aria-label", label);
    this.#address = addressOf(source, what, { form: "show", rush: true });
    this.#feed.ask(this.#address, { isPassing });
  }

  /** Write below it; "" writes nothing. */
  caption(text) {
    this.#caption.textContent = text;
  }

  /** Show another picture for a moment; null ends it. */
  instead(bitmap) {
    this.#instead = bitmap;
    this.#paint();
  }

  destroy() {
    this.#feed.stop();
    this.#end.abort();
  }

  #paint() {
    const bitmap = this.#instead ?? this.#bitmap;
    if (!bitmap) return;
    const { clientWidth, clientHeight } = this.#canvas;
    // Before it is laid out, it is painted as it is.
    const width = Math.min(clientWidth, (clientHeight * bitmap.width) / bitmap.height) || bitmap.width;
    paint(this.#canvas, bitmap, width);
  }

  #fail(error) {
    const again = () => {
      fill(this.#problem);
      this.#feed.ask(this.#address);
    };
    fill(this.#problem, el("p", { text: error.message }), button("Try again", again));
  }
}

/**
 * Make a small picture.
 *
 * @param {number} width in CSS pixels; where its place is wider, that counts
 * @param {AbortSignal} signal ends it
 */
export function thumb(source, what, label, width, signal) {
  const canvas = picture(label);
  queuePicture(addressOf(source, what), signal).then(
    (bitmap) => {
      const draw = () => paint(canvas, bitmap, Math.max(width, canvas.clientWidth));
      draw();
      whenTurned(draw, signal);
    },
    () => canvas.classList.add("is-missing"),
  );
  return canvas;
}
