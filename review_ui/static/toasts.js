// Short messages: seen in a corner, and heard by screen readers.

import { button, el } from "./dom.js";

const SHOWN_MS = 6_000;
const MOST = 4;

/**
 * Show a message.
 *
 * @param {string} text
 * @param {{kind?: "info"|"good"|"bad", action?: {label: string, run: () => void}, sticky?: boolean}}
 *   [options] sticky ones stay until they are closed
 * @returns {() => void} closes it
 */
export function toast(text, { kind = "info", action, sticky = false } = {}) {
  const place = document.getElementById("toasts");
  const close = () => node.remove();
  const act = action && button(action.label, () => (close(), action.run()), { class: "toast-action" });
  const end = button("×", close, { class: "toast-close", aria: { label: "Close message" } });
  const node = el("div", { class: "toast", dataset: { kind, text } }, el("p", { text }), act, end);
  // The same again takes the place of what it repeats.
  for (const other of [...place.children]) if (other.dataset.text === text) other.remove();
  place.append(node);
  while (place.children.length > MOST) place.firstElementChild.remove();
  if (!sticky) fade(node, close);
  return close;
}

/** Say something to screen readers only. */
export function announce(text) {
  const place = document.getElementById("announcer");
  // The same text twice is read only if the node changes.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}

/** Close it after a while, but not under the pointer or the focus. */
function fade(node, close) {
  let timer = setTimeout(close, SHOWN_MS);
  const keep = () => clearTimeout(timer);
  const leave = () => {
    keep();
    timer = setTimeout(close, SHOWN_MS / 2);
  };
  node.addEventListener("pointerenter", keep);
  node.addEventListener("focusin", keep);
  node.addEventListener("pointerleave", leave);
  node.addEventListener("focusout", leave);
}
