// The keys that work here and now; and what works without any.

import { dialog } from "./dialogs.js";
import { el, fill, keycap } from "./dom.js";

const OTHERWISE = [
  ["Mouse", "wheel zooms, drag moves; in the grid a click marks, Shift and click mark a range, a double click opens"],
  ["Touch", "swipe right accepts, left rejects; two fingers zoom; in the grid a tap marks"],
];

/** Show all keys. @param {import("./keys.js").Mode[]} modes those that keys reach */
export function open(_app, modes) {
  const list = el("div", { class: "keys" });
  const search = el("input", { type: "search", placeholder: "Search", autofocus: true, aria: { label: "Search keys" }, on: { input: () => draw(search.value) } });
  const draw = (text) => fill(list, modes.map((mode) => section(mode, text.toLowerCase())), el("h3", { text: "Without keys" }), el("dl", { class: "otherwise" }, OTHERWISE.map(([name, how]) => [el("dt", { text: name }), el("dd", { text: how })])));
  draw("");
  dialog("Keys", [search, list], { className: "dialog-wide" });
}

function section({ name, bindings }, text) {
  const found = bindings.filter(({ help, key }) => help.toLowerCase().includes(text) || key.toLowerCase() === text);
  if (!found.length) return null;
  const entry = ({ key, shift, help }) => el("li", {}, el("span", { class: "combination" }, shift && [el("kbd", { text: "Shift" }), " "], keycap(key)), el("span", { text: help }));
  return el("section", {}, el("h3", { text: name }), el("ul", { class: "key-list" }, found.map(entry)));
}
