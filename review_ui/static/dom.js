// Elements. Text goes in as text only, so that nothing that was scraped is ever read as markup.

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {object} [props] class, text, dataset {…}, on {event: listener}, aria {name: value}; any
 *   other key is an attribute. true sets it empty; null, undefined and false leave it out.
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) set(node, key, value);
  node.append(...nodes(children));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element; `props` are attributes, `text` and `class` among them. */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "text") node.textContent = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...nodes(children));
  return node;
}

/** Take out everything that is in a node, and give the node. */
export function clear(node) {
  node.replaceChildren();
  return node;
}

/** Put other children in a node, and give the node. */
export function fill(node, ...children) {
  node.replaceChildren(...nodes(children));
  return node;
}

/** As `fill`; the focus stays with what has the same `data-name`. */
export function refill(node, ...children) {
  const focused = node.contains(document.activeElement) && document.activeElement.dataset.name;
  fill(node, ...children);
  if (focused) node.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  return node;
}

/** Make a button; `props` as in `el`. */
export function button(label, run, props = {}) {
  return el("button", { type: "button", ...props, on: { click: run, ...props.on } }, label);
}

/** Make a keycap. */
export function keycap(key) {
  return el("kbd", { text: KEY_NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key) });
}

const KEY_NAMES = {
  " ": "Space",
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
  "-": "−",
};

/** Make a link to a page on the web; plain text where the address is none. */
export function outside(url, label) {
  if (!/^https?:\/\//i.test(url ?? "")) return document.createTextNode(label);
  return el("a", { href: url, target: "_blank", rel: "noreferrer noopener", text: label });
}

function set(node, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key === "text") node.textContent = value;
  else if (key === "class") node.className = value;
  else if (key === "dataset") Object.assign(node.dataset, value);
  else if (key === "on") listen(node, value);
  else if (key === "aria") for (const [k, v] of Object.entries(value)) node.setAttribute(`aria-${k}`, v);
  else if (key in node && typeof value !== "string" && value !== true) node[key] = value;
  else if (key === "value") node.value = value;
  else node.setAttribute(key, value === true ? "" : value);
}

function listen(node, listeners) {
  for (const [event, run] of Object.entries(listeners)) if (run) node.addEventListener(event, run);
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
