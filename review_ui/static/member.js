// One copy or colourway among others: its picture, and what is better or worse than in the best.

import { difference } from "./difference.js";
import { el, fill, keycap } from "./dom.js";
import { bytes, described, MARKS, measure, named, WORDS } from "./format.js";
import { items } from "./items.js";
import { pictures, SOON } from "./pictures.js";

const DIGITS = 9;
const SAID = { more: "▲ larger", less: "▼ smaller", other: "≠ other" };

export class Member {
  node;
  #id;
  #best;
  #image; // decoded; null where it is not, or cannot be
  #loaded;
  #soon;
  #difference = null;
  #isDifference = false;
  #picture = el("div", { class: "member-picture" });
  #mark = el("span", { class: "mark", aria: { hidden: "true" } });
  #facts = el("dl", { class: "member-facts" });

  /**
   * @param {string} id of the item
   * @param {number} index its place in the row
   * @param {Member|null} best what it is compared with; null: it is the best itself
   * @param {() => void} run what a click does
   */
  constructor(id, index, best, run) {
    const item = items.get(id);
    this.#id = id;
    this.#best = best;
    const head = el(
      "p",
      { class: "member-head" },
      this.#mark,
      index < DIGITS && keycap(String(index + 1)),
      el("b", { text: named(item) }),
      !best && el("small", { class: "member-best", text: "best" }),
    );
    this.node = el(
      "div",
      { class: "member", role: "option", tabindex: "-1", dataset: { id }, on: { click: run } },
      this.#picture,
      head,
      this.#facts,
    );
    this.#soon = el("img", { class: SOON, src: item.thumb, alt: "", draggable: "false" });
    this.#image = pictures.ready(item.standard);
    this.#loaded = this.#image ?? pictures.load(item.standard).then((image) => (this.#image = image));
    fill(this.#picture, this.#image ?? this.#soon);
  }

  /** Show how it stands. */
  draw(isKept) {
    const item = items.get(this.#id);
    const best = this.#best ? items.get(this.#best.#id) : item;
    this.node.dataset.kept = String(isKept);
    this.node.setAttribute("aria-selected", String(isKept));
    const role = this.#best ? "" : ", the best";
    this.node.setAttribute("aria-label", `${described(item)}${role}; ${isKept ? "to be kept" : "to be rejected"}`);
    this.#mark.textContent = isKept ? MARKS.accepted : MARKS.rejected;
    fill(this.#facts, facts(item, best));
  }

  /** Show the picture, or where it differs from the best. */
  async show(isDifference) {
    this.#isDifference = isDifference;
    await (isDifference ? Promise.all([this.#loaded, this.#best?.#loaded]) : this.#loaded);
    const image = this.#image ?? this.#soon;
    image.className = image.alt = "";
    const best = this.#best?.#image;
    const isDrawn = this.#isDifference && best && this.#image;
    if (isDrawn) this.#difference ??= drawn(difference(best, this.#image));
    fill(this.#picture, isDrawn ? this.#difference : image);
  }
}

function drawn({ canvas, share }) {
  const text = `${measure(100 * share)} %`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${text} of the picture differ from the best`);
  return [canvas, el("span", { class: "member-share", text: `${text} differ` })];
}

/** What is known of a member; what is better or worse than in the best is said so. */
function facts(item, best) {
  const area = (of) => of.width * of.height;
  const rows = [
    ["Size", `${item.width} × ${item.height}`, compared(area(item), area(best))],
    ["File", bytes(item.bytes), compared(item.bytes, best.bytes)],
    ["Source", item.source, item.source === best.source ? "" : "other"],
    ["Copy", item.relation?.replaceAll("_", " "), ""],
    ["Distance", item.distance === null ? null : measure(item.distance), ""],
    ["Stands", WORDS[item.standing] + (item.reviewer && item.verdict ? `, ${item.reviewer}` : ""), ""],
    ["Tags", item.tags.join(", "), ""],
  ];
  return rows
    .filter(([, value]) => value)
    .map(([name, value, how]) => [el("dt", { text: name }), el("dd", { dataset: { how } }, value, how && el("small", { text: ` ${SAID[how]}` }))]);
}

function compared(mine, best) {
  if (mine === best) return "";
  return mine > best ? "more" : "less";
}
