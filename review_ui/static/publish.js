// Publishing: freeze what is accepted into a version, and watch it.

import { get, post } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill } from "./dom.js";
import { count, many, moment } from "./format.js";
import { outbox } from "./outbox.js";

const POLL = 700;

/** Offer to publish; show what runs, and what came of it. */
export async function open(app) {
  const body = el("div", { class: "publish" });
  const said = el("p", { class: "unseen", role: "status" });
  const shown = dialog("Publish", [body, said], { className: "dialog-small" });
  let state = { state: "idle" };
  const watch = async () => {
    while (shown.node.open) {
      state = await get("/api/publish").catch((error) => ({ state: "unknown", message: error.message }));
      if (!shown.node.open) return;
      draw();
      if (state.state !== "running" && state.state !== "unknown") return;
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  };
  const start = async () => {
    try {
      await post("/api/publish", {});
    } catch (error) {
      fill(body, problem(error.message), again());
      return;
    }
    watch();
  };
  const again = () => button("Publish", start, { class: "primary" });
  const draw = () => {
    fill(body, parts(app, state, again));
    // How far it is changes all the time; only what changes seldom is said.
    const news = worded(state);
    if (said.textContent !== news) said.textContent = news;
  };
  outbox.addEventListener("change", draw);
  shown.node.addEventListener("close", () => outbox.removeEventListener("change", draw));
  await app.refreshQueues();
  await watch();
}

function parts(app, state, again) {
  if (state.state === "running") return running(state);
  if (state.state === "unknown") return problem(state.message);
  const { accepted = 0, open = 0, rejected = 0 } = app.queues.find(({ id }) => id === "all") ?? {};
  return [
    state.state === "done" && done(state),
    state.state === "failed" && problem(state.message),
    el(
      "ul",
      { class: "figures" },
      el("li", {}, el("b", { text: count(accepted) }), el("span", { text: "accepted" })),
      el("li", {}, el("b", { text: count(open) }), el("span", { text: "to do" })),
      el("li", {}, el("b", { text: count(rejected) }), el("span", { text: "rejected" })),
    ),
    el("p", { class: "muted", text: "What is accepted becomes a numbered version with shards for training. What is still to do stays out, unless the configuration says otherwise." }),
    outbox.pending
      ? el("p", { class: "problem", text: `${many(outbox.pending, "decision")} are not saved yet; publishing waits for them.` })
      : el("div", { class: "buttons" }, again()),
  ];
}

/** Give what readers of screens are told; errors tell of themselves. */
function worded({ state, stage, version }) {
  if (state === "running") return `Publishing: ${stage}`;
  return state === "done" ? `Version ${version} is published` : "";
}

function running({ stage, done: steps, total }) {
  const bar = el("progress", { aria: { label: stage } });
  if (total) {
    bar.max = total;
    bar.value = steps;
  }
  return [el("p", { text: `${stage}${total ? `: ${count(steps)} of ${count(total)}` : " …"}` }), bar, el("p", { class: "muted", text: "It goes on when this page is closed." })];
}

function done({ version, items, shards, report, ended_at }) {
  return el(
    "div",
    { class: "published" },
    el("p", {}, el("b", { text: `Version ${version}` }), `: ${count(items)} items in ${many(shards, "shard")}, ${moment(ended_at)}`),
    report && el("p", {}, el("a", { href: report, target: "_blank", text: "Report of this version" })),
  );
}

function problem(text) {
  return el("p", { class: "problem", role: "alert", text });
}
