// A small picture to press, with a mark that says where it stands.

import { button, el } from "./dom.js";
import { MARKS } from "./format.js";

/**
 * @param {{src: string|null, standing: string, label: string, run: () => void, aria?: object}} of
 *   `src` is null where the build has no such picture any more
 */
export function thumb({ src, standing, label, run, aria = {} }) {
  const picture = src
    ? el("img", { src, alt: "", loading: "lazy", decoding: "async" })
    : el("span", { class: "muted", text: "not in this build" });
  const mark = el("span", { class: "mark", text: MARKS[standing] });
  return button([picture, mark], run, { class: "thumb", dataset: { standing }, title: label, aria: { label, ...aria } });
}
