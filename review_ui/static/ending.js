// What a view shows where no picture is left.

import { button, el } from "./dom.js";
import { count, many } from "./format.js";

/**
 * @param {import("./supply.js").Supply} supply
 * @param {{again: (withSkipped: boolean) => void, back?: () => void, wasHere: boolean}} actions
 */
export function ending(app, supply, { again, back, wasHere }) {
  if (!supply.finished) return [el("p", { text: "Loading…" })];
  const skipped = supply.ids.filter((id) => supply.isFor(id)).length;
  const next = app.queues.find(({ id, open }) => open > 0 && id !== "all" && id !== app.queue?.id);
  return [
    el("h2", { text: wasHere ? "Done here" : "Nothing here" }),
    el("p", { text: said(app, supply, skipped) }),
    el(
      "div",
      { class: "buttons" },
      back && button("Previous page", back),
      skipped > 0
        ? button(againText(supply, skipped), () => again(true), { class: next ? "" : "primary" })
        : button("Look again", () => again(false)),
      next && button(`Next: ${next.title}`, () => app.show(app.view, { queue: next.id }), { class: "primary" }),
    ),
  ];
}

/** Say why a view could not be filled. */
export function failure(error, again) {
  return [el("p", { text: error.message }), button("Try again", again, { class: "primary" })];
}

function said(app, supply, skipped) {
  const { standing, heldByOthers } = supply;
  if (skipped) return standing === "open" ? `${count(skipped)} were skipped.` : "That was the last one.";
  if (standing === "open" && heldByOthers) {
    return `Others look at ${many(heldByOthers, "picture")} at the moment; what they leave comes back.`;
  }
  if (Object.keys(app.filters).length) return "Nothing else passes the filters.";
  return standing === "open" ? "No picture waits in this queue." : `No picture of this queue is ${standing}.`;
}

function againText(supply, skipped) {
  return supply.standing === "open" ? `Look at the ${count(skipped)} skipped again` : "Start again";
}
