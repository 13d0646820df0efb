// Short messages: seen in a corner, and heard by screen readers.

import { button, el } from "./dom.js";

const SHOWN_MS = 6_000;
const MOST = 4;

/**
 * Show a message.
 *
 * @param {string} text
 * @param {{kind?: "info"|"bad", action?: {label: string, run: () => void, stays?: boolean}, sticky?: boolean,
 *   key?: string, onClose?: () => void}} [options] sticky ones stay until they are closed; one with
 *   the same key (else: the same text) is replaced; `onClose` is told when somebody closes it
 * @returns {() => void} closes it
 */
export function toast(text, { kind = "info", action, sticky = false, key = text, onClose } = {}) {
  const place = document.getElementById("toasts");
  const close = () => node.remove();
  const dismiss = () => (close(), onClose?.());
  const run = () => (action.stays || close(), action.run());
  const act = action && button(action.label, run, { class: "toast-action" });
  const end = button("×", dismiss, { class: "toast-close", aria: { label: "Close message" } });
  const node = el("div", { class: "toast", dataset: { kind, key, ...(sticky && { sticky: "" }) } }, el("p", { text }), act, end);
  // The same again takes the place of what it repeats.
  for (const other of [...place.children]) if (other.dataset.key === key) other.remove();
  place.append(node);
  const passing = [...place.children].filter((other) => !("sticky" in other.dataset));
  for (const other of passing.slice(0, -MOST)) other.remove();
  if (!sticky) fade(node, close);
  return close;
}

/** Close the message with a key. */
toast.close = (key) => {
  for (const node of document.getElementById("toasts").children) if (node.dataset.key === key) node.remove();
};

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
