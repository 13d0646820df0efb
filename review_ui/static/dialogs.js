// Dialogs: the browser's own, with a key mode that lets nothing through to the page below.

import { button, el } from "./dom.js";
import { keys } from "./keys.js";

let count = 0;
let loaded = null;

/** Let no key through to the page until a dialog that is being loaded is there, or will not come. */
export function loading() {
  loaded?.();
  loaded = keys.push({ name: "Loading", exclusive: true, bindings: [] });
  return arrived;
}

function arrived() {
  loaded?.();
  loaded = null;
}

/**
 * Open a dialog. Escape, the cross and a click beside it close it; the focus goes back.
 *
 * @param {string} title
 * @param {Node|Node[]} body
 * @param {{className?: string, bindings?: import("./keys.js").Binding[], onClose?: () => void,
 *   footer?: Node[]}} [options] bindings are keys that work while it is open
 * @returns {{node: HTMLDialogElement, body: HTMLElement, close: () => void}}
 */
export function dialog(title, body, { className = "", bindings = [], onClose, footer } = {}) {
  const id = `dialog-${++count}`;
  const cameFrom = document.activeElement;
  let pop = null;
  // At once, and not when the browser tells that it is closed: a key may come before that.
  const end = () => {
    if (!pop) return;
    pop();
    pop = null;
    onClose?.();
  };
  const close = () => {
    end();
    node.close();
  };
  const content = el("div", { class: "dialog-body", tabindex: "-1" }, body);
  const node = el(
    "dialog",
    { class: `dialog ${className}`, aria: { labelledby: id } },
    el(
      "header",
      { class: "dialog-head" },
      el("h2", { id, text: title }),
      button("×", close, { class: "icon-button", aria: { label: "Close" } }),
    ),
    content,
    footer && el("footer", { class: "dialog-foot" }, footer),
  );
  arrived();
  pop = keys.push({ name: title, exclusive: true, bindings });
  node.addEventListener("click", (event) => event.target === node && close());
  // A file chooser inside it that is cancelled says so too.
  node.addEventListener("cancel", (event) => event.target === node && end());
  node.addEventListener("close", () => {
    end();
    node.remove();
    if (cameFrom instanceof HTMLElement && cameFrom.isConnected) cameFrom.focus();
  });
  document.body.append(node);
  node.showModal();
  if (!node.querySelector("[autofocus]")) content.focus();
  return { node, body: content, close };
}

/**
 * Ask a question.
 *
 * @returns {Promise<boolean>} whether it was agreed to
 */
export function ask(title, text, { yes = "OK", no = "Cancel", kind = "primary" } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const agree = () => {
      answer = true;
      shown.close();
    };
    const shown = dialog(title, el("p", { text }), {
      className: "dialog-small",
      onClose: () => resolve(answer),
      footer: [
        button(no, () => shown.close()),
        button(yes, agree, { class: kind, autofocus: true }),
      ],
    });
  });
}
