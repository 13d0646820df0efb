// The picture that is decided about, and the original beside it if that is wanted.

import { button, el, fill, keycap } from "./dom.js";
import { described, named } from "./format.js";
import { pictures, SOON } from "./pictures.js";
import { swipes } from "./swipe.js";
import { STEP, Zoom } from "./zoom.js";

const AHEAD = 12;
const ORIGINALS_AHEAD = 4;

export class Stage {
  isBeside = false;
  #frame = el("div", { class: "frame" });
  zoom = new Zoom(this.#frame);

  /**
   * @param {{left: () => void, right: () => void}} swiped what it means to push a picture aside
   * @param {{label: string, key: string, run: () => void}[]} actions what else can be done with it
   */
  constructor(swiped, actions = []) {
    swipes(this.#frame, { ...swiped, isFree: () => !this.zoom.isOn });
    this.node = el("div", { class: "stage-pictures" }, this.#frame, this.#tools(actions));
  }

  /** Show an item at once if its picture is decoded; else its thumbnail until that is so. */
  show(item) {
    const kinds = this.isBeside ? ["original", "standard"] : ["standard"];
    this.#frame.dataset.beside = String(this.isBeside);
    fill(this.#frame, kinds.map((kind) => el("div", { class: "pane" }, placed(item, kind))));
  }

  /** Load and decode what comes next. @param {object[]} near items, the next first */
  preload(near) {
    pictures.preload(near.slice(0, AHEAD + 2).map((item) => item.standard));
    if (this.isBeside) pictures.preload(near.slice(0, ORIGINALS_AHEAD).map((item) => item.original));
  }

  #tools(actions) {
    const closer = { label: "Zoom in", key: "+", run: () => this.zoom.by(STEP) };
    const farther = { label: "Zoom out", key: "-", sign: "−", run: () => this.zoom.by(1 / STEP) };
    const tool = ({ label, key, run }) => button([el("span", { text: label }), keycap(key)], run, { class: "tool" });
    const sign = ({ label, key, sign: text = key, run }) => button(text, run, { class: "tool", title: `${label} (${key})`, aria: { label } });
    return el("div", { class: "tools", role: "group", aria: { label: "The picture" } }, actions.map(tool), [farther, closer].map(sign));
  }
}

function placed(item, kind) {
  const ready = pictures.ready(item[kind]);
  if (ready) return worded(ready, item, kind);
  const thumb = el("img", { class: `picture ${SOON}`, src: item.thumb, alt: described(item), draggable: "false" });
  pictures.load(item[kind]).then((image) => {
    if (thumb.isConnected) thumb.replaceWith(image ? worded(image, item, kind) : missing());
  });
  return thumb;
}

function worded(image, item, kind) {
  image.className = "picture";
  image.alt = kind === "original" ? `Original of ${named(item)}` : described(item);
  return image;
}

function missing() {
  return el("p", { class: "picture-missing", text: "This picture cannot be shown." });
}
