// Under the grid: what the page comes to, before it is committed.

import { button, el, fill, keycap } from "./dom.js";
import { count } from "./format.js";

export class CommitBar {
  #sizes;
  #summary = el("p", { class: "sum" });
  #meaning;
  #commit;

  /** @param {{resize: (size: string) => void, turnRound: () => void, skip: () => void, commit: () => void}} run */
  constructor(sizes, run) {
    this.#sizes = el(
      "div",
      { class: "tabs", role: "group", aria: { label: "Size of pictures" } },
      sizes.map((size) => button(size.toUpperCase(), () => run.resize(size), { class: "tab", dataset: { size } })),
    );
    this.#meaning = button("", run.turnRound, { class: "quiet" });
    this.#commit = button("", run.commit, { class: "primary commit" });
    const skip = button(["Skip ", keycap("s")], run.skip, { class: "quiet" });
    this.node = el(
      "div",
      { class: "commit-bar", hidden: true },
      this.#sizes,
      this.#meaning,
      this.#summary,
      skip,
      this.#commit,
    );
  }

  /** @param {import("./marks.js").Marks} marks @param {boolean} isMore whether some were not seen yet */
  draw(marks, size, isMore) {
    const entries = marks.entries();
    const { accepted, rejected } = sums(entries);
    const stay = marks.ids.length - entries.length;
    fill(
      this.#summary,
      el("span", { class: "sum-accepted" }, el("b", { text: count(accepted) }), " accept"),
      " · ",
      el("span", { class: "sum-rejected" }, el("b", { text: count(rejected) }), " reject"),
      stay > 0 && el("span", { class: "muted", text: ` · ${count(stay)} stay` }),
    );
    fill(this.#meaning, `Marked = ${marks.markedAre === "rejected" ? "reject" : "accept"} `, keycap("x"));
    fill(this.#commit, el("span", { text: isMore ? "Show the rest" : entries.length ? "Commit" : "Next page" }), keycap("Enter"));
    for (const node of this.#sizes.children) node.setAttribute("aria-pressed", String(node.dataset.size === size));
  }
}

/** Count what is accepted and what is rejected. */
export function sums(entries) {
  const rejected = entries.filter(({ verdict }) => verdict === "rejected").length;
  return { accepted: entries.length - rejected, rejected };
}
