// How fast we are, and how far we agree.

import { get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, el, fill, svg } from "./dom.js";
import { ago, count, measure, moment, WORDS } from "./format.js";

const BAR = 120;

/** Show pace and agreement. */
export async function open(app) {
  const body = el("div", { class: "statistics" }, el("p", { text: "Loading…" }));
  dialog("Statistics", body, { className: "dialog-wide" });
  try {
    fill(body, parts(app, await get("/api/statistics")));
  } catch (error) {
    fill(body, el("p", { class: "problem", text: error.message }));
  }
}

function parts(app, { today, reviewers, left, agreement, disputed }) {
  return [
    el(
      "ul",
      { class: "figures" },
      figure(count(today.decisions), "decided today"),
      figure(measure(today.per_minute), "a minute"),
      figure(seconds(today.median_ms), "each, median"),
      figure(count(left), "left to do"),
    ),
    el("h3", { text: "Reviewers" }),
    reviewers.length ? people(reviewers) : el("p", { class: "muted", text: "Nobody has decided anything yet." }),
    el("h3", { text: "Agreement" }),
    agreement.length
      ? [agreements(agreement), el("p", { class: "muted", text: "κ (Cohen's kappa) takes out what chance alone would give: 1 is full agreement, 0 none beyond chance; above 0.6 is good." })]
      : el("p", { class: "muted", text: "No picture was decided by two people yet." }),
    disputed.length > 0 && [el("h3", { text: "Disputed" }), el("ul", { class: "strip" }, disputed.map((entry) => dispute(app, entry)))],
  ];
}

function figure(value, label) {
  return el("li", {}, el("b", { text: value }), el("span", { text: label }));
}

function people(reviewers) {
  const most = Math.max(...reviewers.map(({ decisions }) => decisions));
  return table(
    ["Name", "Decisions", "", "A minute", "Median", "Last"],
    reviewers.map(({ name, decisions, per_minute, median_ms, last_at }) => [
      name,
      count(decisions),
      bar(decisions / most),
      measure(per_minute),
      seconds(median_ms),
      el("time", { datetime: last_at, title: moment(last_at), text: ago(last_at) }),
    ]),
  );
}

function agreements(pairs) {
  return table(
    ["Who", "Both decided", "Agreed", "", "κ"],
    pairs.map(({ first, second, items, agreed, share, kappa }) => [
      `${first} and ${second}`,
      count(items),
      `${count(agreed)} (${measure(100 * share)} %)`,
      bar(share),
      kappa === null ? "–" : measure(kappa),
    ]),
  );
}

function dispute(app, { item, thumb, said }) {
  const label = said.map(({ reviewer, verdict }) => `${reviewer}: ${WORDS[verdict]}`).join(", ");
  const picture = thumb ? el("img", { src: thumb, alt: "", loading: "lazy" }) : el("span", { text: "gone" });
  return el("li", {}, button(picture, () => app.openItem(item), { class: "thumb", title: label, aria: { label } }));
}

function table(head, rows) {
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", aria: { label: head[0] } },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col", text })))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell))))),
    ),
  );
}

function bar(share) {
  return svg(
    "svg",
    { class: "bar", viewBox: `0 0 ${BAR} 8`, width: BAR, height: 8, "aria-hidden": "true" },
    svg("rect", { class: "scale-line", width: BAR, height: 8, rx: 3 }),
    svg("rect", { class: "bar-value", width: Math.max(2, BAR * share), height: 8, rx: 3 }),
  );
}

function seconds(ms) {
  return ms === null ? "–" : `${measure(ms / 1_000)} s`;
}
