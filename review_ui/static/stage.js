// The picture that is decided about, and the original beside it if that is wanted.

import { el, fill } from "./dom.js";
import { described, named } from "./format.js";
import { pictures } from "./pictures.js";
import { swipes } from "./swipe.js";
import { Zoom } from "./zoom.js";

const AHEAD = 12;
const ORIGINALS_AHEAD = 4;

export class Stage {
  node = el("div", { class: "frame" });
  isBeside = false;
  zoom = new Zoom(this.node);

  /** @param {{left: () => void, right: () => void}} swiped what it means to push a picture aside */
  constructor(swiped) {
    swipes(this.node, { ...swiped, isFree: () => !this.zoom.isOn });
  }

  /** Show an item at once if its picture is decoded; else its thumbnail until that is so. */
  show(item) {
    const kinds = this.isBeside ? ["original", "standard"] : ["standard"];
    this.node.dataset.beside = String(this.isBeside);
    fill(this.node, kinds.map((kind) => el("div", { class: "pane" }, placed(item, kind))));
  }

  /** Load and decode what comes next. @param {object[]} near items, the next first */
  preload(near) {
    pictures.preload(near.slice(0, AHEAD + 2).map((item) => item.standard));
    if (this.isBeside) pictures.preload(near.slice(0, ORIGINALS_AHEAD).map((item) => item.original));
  }
}

function placed(item, kind) {
  if (pictures.ready(item[kind])) return imageOf(item, kind);
  const thumb = el("img", { class: "picture picture-soon", src: item.thumb, alt: described(item), draggable: "false" });
  pictures.load(item[kind]).then((isGood) => {
    if (!thumb.isConnected) return;
    thumb.replaceWith(isGood && pictures.ready(item[kind]) ? imageOf(item, kind) : missing());
  });
  return thumb;
}

function imageOf(item, kind) {
  const image = pictures.ready(item[kind]);
  image.className = "picture";
  image.alt = kind === "original" ? `Original of ${named(item)}` : described(item);
  return image;
}

function missing() {
  return el("p", { class: "picture-missing", text: "This picture cannot be shown." });
}
