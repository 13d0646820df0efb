// One place where keys arrive: a stack of modes, the topmost first.

/**
 * @typedef {object} Binding
 * @property {string} key as `KeyboardEvent.key`; letters in lower case
 * @property {boolean} [shift] letters and named keys: must it be held? (symbols: does not matter)
 * @property {(event: KeyboardEvent) => void} run
 * @property {string} help
 * @property {boolean} [hidden] not listed in the help
 */
/** @typedef {{name: string, exclusive?: boolean, bindings: Binding[]}} Mode */

const PRESSABLE = "button, a[href], summary";
const TYPED_IN = "input, textarea, select, [contenteditable]";

class Keys {
  /** @type {Mode[]} */
  #modes = [];

  constructor() {
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** Put a mode on top; what is returned takes it away again. @param {Mode} mode */
  push(mode) {
    this.#modes.push(mode);
    return () => {
      this.#modes = this.#modes.filter((other) => other !== mode);
    };
  }

  /** Give the modes that keys reach now, topmost first, with what is listed of them. */
  all() {
    return this.#reached().map(({ name, bindings }) => ({
      name,
      bindings: bindings.filter((binding) => !binding.hidden),
    }));
  }

  #reached() {
    const topmost = this.#modes.toReversed();
    const closed = topmost.findIndex((mode) => mode.exclusive);
    return closed < 0 ? topmost : topmost.slice(0, closed + 1);
  }

  #pressed(event) {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    if (isTypedIn(event.target) || isPressed(event)) return;
    for (const mode of this.#reached()) {
      const found = mode.bindings.find((binding) => fits(binding, event));
      if (!found) continue;
      event.preventDefault();
      found.run(event);
      return;
    }
  }
}

function fits({ key, shift = false }, event) {
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (pressed !== key) return false;
  const isSymbol = key.length === 1 && key.toLowerCase() === key.toUpperCase() && key !== " ";
  return isSymbol || event.shiftKey === shift;
}

function isTypedIn(target) {
  const field = target instanceof Element ? target.closest(TYPED_IN) : null;
  return field !== null && !["checkbox", "radio", "button", "range"].includes(field.type);
}

/** Enter and Space belong to a button that has the focus. */
function isPressed(event) {
  if (event.key !== "Enter" && event.key !== " ") return false;
  const target = event.target instanceof Element ? event.target : null;
  // Space does nothing to a slider, so that the page may have it.
  const inputs = event.key === " " ? "input:not([type=range])" : "input";
  return Boolean(target?.closest(`${PRESSABLE}, ${inputs}`));
}

export const keys = new Keys();
