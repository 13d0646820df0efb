// The keys that work here and now.

import { dialog } from "../dialogs.js";
import { el, keycap } from "../dom.js";

const OTHERWISE = [
  ["Sliders", "arrows move, a double click or Delete puts back"],
  ["Ctrl", "Ctrl+Z takes back, Ctrl+Shift+Z does it again"],
  ["Files", "pictures can be dropped and pasted where they are projected"],
];

/** Show them. @param {import("../keys.js").Mode[]} modes those that keys reach */
export function openHelp(modes) {
  const parts = modes.filter(({ bindings }) => bindings.length).map(section);
  const rest = OTHERWISE.map(([name, how]) => [el("dt", { text: name }), el("dd", { text: how })]);
  dialog("Keys", [el("div", { class: "keys" }, parts), el("h3", { text: "Besides" }), el("dl", { class: "otherwise" }, rest)], { className: "dialog-wide" });
}

function section({ name, bindings }) {
  const entry = ({ key, shift, help }) => el("li", {}, el("span", { class: "combination" }, shift && [el("kbd", { text: "Shift" }), " "], keycap(key)), el("span", { text: help }));
  return el("section", {}, el("h3", { text: name }), el("ul", { class: "key-list" }, bindings.map(entry)));
}
