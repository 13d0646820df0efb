// Sliders and menus that say what they are, and can be put back.

import { button, el, fill } from "../dom.js";
import { toast } from "../toasts.js";
import { LARGEST_SEED, shown } from "./looks.js";

const OWN_KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"]);
const BACK_KEYS = new Set(["Delete", "Backspace"]);
let count = 0;

/**
 * Make a slider. A double click, Delete, and the button beside it put it back.
 *
 * @param {{label: string, min: number, max: number, step: number, value: number, usual: number,
 *   hint?: string, name?: string, show?: (value: number) => string, move: (value: number, isPassing: boolean) => void}} of
 * @returns {{node: HTMLElement, set: (value: number) => void}}
 */
export function slider({ label, min, max, step, value, usual, hint, name, show = shown, move }) {
  const id = `slider-${++count}`;
  const said = el("output", { for: id });
  const input = el("input", { type: "range", id, min: String(min), max: String(max), step: String(step), dataset: { name: name ?? label, ...(min < 0 && { centred: "" }) } });
  const back = button("↺", () => put(usual), { class: "slider-back", title: `Back to ${show(usual)} (Delete)`, aria: { label: `${label}: back to ${show(usual)}` } });
  const draw = (number) => {
    said.textContent = show(number);
    input.setAttribute("aria-valuetext", show(number));
    // Not hidden: it would take the focus along.
    back.setAttribute("aria-disabled", String(Math.abs(number - usual) < step / 2));
  };
  const put = (number) => {
    set(number);
    move(number, false);
  };
  const set = (number) => {
    input.value = String(number);
    draw(number);
  };
  const read = (isPassing) => {
    const number = Number(input.value);
    draw(number);
    move(number, isPassing);
  };
  input.addEventListener("input", () => read(true));
  input.addEventListener("change", () => read(false));
  input.addEventListener("dblclick", () => put(usual));
  input.addEventListener("keydown", (event) => {
    if (BACK_KEYS.has(event.key)) put(usual);
    // The page has other uses for them.
    if (OWN_KEYS.has(event.key)) event.stopPropagation();
  });
  set(value);
  const words = el("label", { for: id, title: hint ?? null }, el("span", { text: label }));
  return { node: el("div", { class: "slider" }, words, said, input, back), set };
}

/**
 * Make a menu of few choices.
 *
 * @param {[string, string][]} options values and words
 * @returns {{node: HTMLElement, set: (value: string) => void, refill: (options: [string, string][], value: string) => void}}
 */
export function choice(label, options, value, choose, props = {}) {
  const list = el("select", { ...props, aria: { label }, on: { change: () => choose(list.value) } });
  const refill = (others, chosen) => {
    fill(list, others.map(([each, text]) => el("option", { value: each, text })));
    list.value = chosen;
  };
  refill(options, value);
  return { node: el("label", { class: "choice" }, el("span", { text: label, aria: { hidden: "true" } }), list), set: (next) => (list.value = next), refill };
}

/** Make a field for a seed; it tells when a seed was typed, and says what is wrong where none was. */
export function seedField(label, value, { choose, isOptional = false }) {
  const input = el("input", { type: "text", inputmode: "numeric", class: "seed-field", aria: { label }, autocomplete: "off", maxlength: "16", value, placeholder: isOptional ? "none" : null });
  const read = () => {
    const isBad = choose(input.value) === false;
    if (!isBad) return input.removeAttribute("aria-invalid");
    input.setAttribute("aria-invalid", "true");
    toast(`A seed is a whole number from 0 to ${LARGEST_SEED}`, { kind: "bad" });
  };
  input.addEventListener("change", read);
  input.addEventListener("keydown", ({ key }) => {
    // Once more, the same seed too.
    if (key === "Enter") read();
    if (key === "Escape") input.blur();
  });
  return input;
}

/** Write in a field for a seed; nothing is wrong with that. */
export function setSeed(input, seed) {
  input.value = String(seed);
  input.removeAttribute("aria-invalid");
}
