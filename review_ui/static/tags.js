// Tags of one picture or of several: typed, completed, or by a key.

import { get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill, keycap } from "./dom.js";
import { count, many } from "./format.js";
import { items } from "./items.js";
import { outbox, stateOf } from "./outbox.js";

const LONGEST = 64;
const SUGGESTED = 8;

/** Edit the tags of items. @param {string[]} ids */
export function openTags(app, ids) {
  const known = ids.filter((id) => items.get(id));
  if (known.length) new Tags(app, known);
}

class Tags {
  #app;
  #ids;
  #before;
  #on; // tag -> of how many items
  #suggested = [];
  #at = -1;
  #asked = 0;
  #list = el("ul", { class: "tags" });
  #options = el("ul", { id: "tag-options", class: "options", role: "listbox", hidden: true, aria: { label: "Known tags" } });
  #input;

  constructor(app, ids) {
    this.#app = app;
    this.#ids = ids;
    this.#before = new Map(ids.map((id) => [id, stateOf(id).tags]));
    this.#on = new Map();
    for (const tags of this.#before.values()) for (const tag of tags) this.#on.set(tag, (this.#on.get(tag) ?? 0) + 1);
    this.#input = el("input", {
      class: "tag-input",
      maxlength: String(LONGEST),
      autocomplete: "off",
      autofocus: true,
      role: "combobox",
      placeholder: "a tag, then Enter",
      aria: { label: "Add a tag", expanded: "false", controls: "tag-options", autocomplete: "list" },
      on: { input: () => this.#suggest(), keydown: (event) => this.#pressed(event) },
    });
    const shown = dialog(ids.length > 1 ? `Tags of ${many(ids.length, "picture")}` : "Tags", [this.#list, this.#input, this.#options, this.#keysText()], {
      className: "dialog-small",
      onClose: () => this.#keep(),
      footer: [button("Done", () => this.#done(shown), { class: "primary" })],
    });
    this.#draw();
    this.#suggest();
  }

  /** One decision an item, where its tags are others now. */
  #keep() {
    const changed = this.#ids.flatMap((id) => {
      const { verdict, reasons, tags } = stateOf(id);
      const after = [...tags.filter((tag) => this.#on.has(tag)), ...[...this.#on].filter(([tag, n]) => n === this.#ids.length && !tags.includes(tag)).map(([tag]) => tag)];
      return after.join("\n") === tags.join("\n") ? [] : [{ item: id, verdict, reasons, tags: after }];
    });
    if (changed.length) outbox.decide(changed);
  }

  #put(text) {
    const tag = text.trim().replaceAll(/\s+/g, " ").slice(0, LONGEST);
    if (tag) this.#on.set(tag, this.#ids.length);
  }

  #add(text) {
    this.#put(text);
    this.#input.value = "";
    this.#draw();
    this.#suggest();
  }

  /** What is typed and not entered yet is meant too. */
  #done(shown) {
    this.#put(this.#entered);
    shown.close();
  }

  get #entered() {
    return this.#suggested[this.#at]?.value ?? this.#input.value;
  }

  #remove(tag) {
    this.#on.delete(tag);
    this.#draw();
    this.#input.focus();
  }

  #draw() {
    const some = (n) => n < this.#ids.length && el("small", { class: "muted", text: ` ${n} of ${this.#ids.length}` });
    const chip = ([tag, n]) =>
      el("li", {}, button([tag, some(n), " ", el("span", { aria: { hidden: "true" }, text: "×" })], () => this.#remove(tag), { class: "chip", aria: { label: `Remove the tag ${tag}` } }));
    fill(this.#list, this.#on.size ? [...this.#on].map(chip) : el("li", { class: "muted", text: "No tags yet" }));
  }

  async #suggest() {
    const asked = (this.#asked += 1);
    const prefix = this.#input.value.trim();
    // Until the answer is here, what does not go on from what is typed now is no suggestion.
    const fits = ({ value }) => value.toLowerCase().startsWith(prefix.toLowerCase());
    this.#suggested = this.#suggested.filter((tag) => fits(tag) && this.#isFree(tag));
    this.#choose(-1);
    const { tags } = await get("/api/tags", { prefix }).catch(() => ({ tags: [] }));
    if (asked !== this.#asked) return;
    this.#suggested = tags.filter((tag) => this.#isFree(tag)).slice(0, SUGGESTED);
    this.#choose(-1);
  }

  #isFree({ value }) {
    return this.#on.get(value) !== this.#ids.length;
  }

  #choose(at) {
    this.#at = at;
    fill(
      this.#options,
      this.#suggested.map(({ value, count: n }, index) =>
        el(
          "li",
          { id: `tag-option-${index}`, role: "option", aria: { selected: String(index === at) }, on: { click: () => this.#add(value) } },
          value,
          el("small", { class: "muted", text: ` ${count(n)}` }),
        ),
      ),
    );
    this.#options.hidden = !this.#suggested.length;
    this.#input.setAttribute("aria-expanded", String(this.#suggested.length > 0));
    if (at >= 0) this.#input.setAttribute("aria-activedescendant", `tag-option-${at}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #pressed(event) {
    const { key, shiftKey } = event;
    const last = this.#suggested.length - 1;
    if (key === "ArrowDown") this.#choose(Math.min(last, this.#at + 1));
    else if (key === "ArrowUp") this.#choose(Math.max(-1, this.#at - 1));
    else if (key === "Enter") this.#add(this.#entered);
    else if (key === "Tab" && !shiftKey && this.#suggested[0] && this.#input.value) this.#add(this.#suggested[Math.max(0, this.#at)].value);
    else if (key === "Backspace" && !this.#input.value && this.#on.size) this.#remove([...this.#on.keys()].at(-1));
    else return;
    event.preventDefault();
  }

  #keysText() {
    const bound = Object.entries(this.#app.session.tag_keys);
    if (!bound.length) return el("p", { class: "muted", text: "Tags can have keys of their own: review.tag_keys in the configuration." });
    return el("p", { class: "muted" }, "Keys: ", bound.map(([key, tag]) => [keycap(key), ` ${tag} `]));
  }
}
