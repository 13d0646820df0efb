// The steps of the loop, one beside the other, each with what it came to and the button for it.

import { button, el, keycap } from "./dom.js";
import { ago, count, many, measure, moment } from "./format.js";
import { isUnderWay, loop } from "./loop.js";
import { progress } from "./progress.js";
import { watchLink } from "./watching.js";

// What went well is said for so long.
const GOOD_NEWS = 600_000;

// As people call what they score by.
const SCORERS = { density: "likeness", discriminator: "D" };

const KEYS = { rebuild: "b", publish: "p", train: "t", rank: "k" };
const DOINGS = { rebuild: "Rebuilding", publish: "Publishing", train: "Training", rank: "Ranking" };
const LABELS = { rebuild: "Rebuild…", publish: "Publish…", train: "Train…", rank: "Rank…" };

/** Give the steps as list items. */
export function steps(app, state) {
  return [data(app, state), decisions(app, state), version(app, state), training(app, state), ranking(app, state)];
}

function data(app, { build }) {
  const facts = build ? [[`${count(build.accepted)} accepted, ${count(build.flagged)} flagged`], ["built ", when(build.built_at), " · ", page("/report", "Report")]] : [["Nothing was rebuilt yet."]];
  return step("Data", build ? many(build.items - build.failed, "picture") : "–", facts, action(app, "rebuild"));
}

function decisions(app, { decisions: fresh, versions, build }) {
  const left = app.overview?.todo ?? 0;
  const facts = [versions.length ? [`since version ${versions[0].version}`] : ["no version yet"], build && [left ? `${count(left)} to do` : "nothing to do"]];
  const number = fresh ?? app.overview?.decisions ?? 0;
  const review = app.overview?.build && button(left ? "Review" : "Look again", () => app.show("single", { queue: null }), { dataset: { name: "review" } });
  return step("Review", versions.length ? `${count(number)} new` : many(number, "decision"), facts, review);
}

function version(app, { versions: [newest, ...older] }) {
  const facts = newest
    ? [[many(newest.items, "picture")], ["published ", when(newest.published_at), " · ", page(`/versions/${newest.version}/report`, "Report")], older.length > 0 && [older.length === 1 ? "and an earlier one" : `and ${count(older.length)} earlier ones`]]
    : [["What is accepted becomes version 1."]];
  return step("Version", newest ? `Version ${newest.version}` : "–", facts, action(app, "publish"));
}

function training(app, { runs, versions }) {
  const run = loop.alive[0] ?? runs[0];
  const facts = run ? [[`${measure(run.kimg)} of ${measure(run.total_kimg)} kimg`], run.is_alive ? ["at work"] : [run.status, ", ", when(run.updated_at)], declined(versions)] : [["Nothing was trained yet."], declined(versions)];
  return step("Training", run?.name ?? "–", facts, action(app, "train"));
}

/** Say why the loop does not train on the newest version by itself. */
function declined([newest]) {
  return newest?.declined && [`Version ${newest.version} is not trained by itself: ${newest.declined}`];
}

function ranking(app, { models: [model], rankings, build }) {
  const all = build ? ` of ${count(build.items - build.failed)}` : "";
  const latest = rankings.map(({ ranked_at: at }) => at).filter(Boolean).toSorted().at(-1);
  const facts = [
    model && [`current model, ${measure(model.kimg)} kimg`],
    ...rankings.map(({ scorer, scored }) => [scored ? `${count(scored)}${all} by ${SCORERS[scorer]}` : `nothing yet by ${SCORERS[scorer]}`]),
    latest ? ["ranked ", when(latest)] : !model && ["A training that has finished can rank."],
  ];
  return step("Ranking", model?.model.replace(/@.*/, "") ?? (rankings.length ? "By likeness" : "–"), facts, action(app, "rank"));
}

function step(title, value, facts, act) {
  return el(
    "li",
    { class: "step" },
    el("h3", { text: title }),
    el("p", { class: value.length > 16 ? "step-value step-long" : "step-value", text: value }),
    el("div", { class: "step-facts" }, facts.filter(Boolean).map((parts) => el("p", {}, parts))),
    el("div", { class: "step-act" }, act),
  );
}

/** The button that starts it; in its place how far it is, as long as it runs. */
function action(app, kind) {
  const job = loop.job(kind);
  const flow = loop.flow(kind);
  const isMine = job.state === "running";
  if (isMine || isUnderWay(flow)) return underWay(kind, isMine ? job : null, flow);
  const isAdmin = app.session.role === "admin";
  return [
    // Begun elsewhere, so that another one may be begun beside it.
    kind === "train" && loop.alive.length ? underWay(kind, null, null) : news(kind),
    isAdmin && button([LABELS[kind], " ", keycap(KEYS[kind])], () => app.dialogs.start(kind), { dataset: { name: kind } }),
  ];
}

function underWay(kind, job, flow) {
  const run = kind === "train" && loop.alive[0];
  const stage = run?.is_alive ? "" : (job?.stage ?? (flow.state === "waiting" ? "waiting for its turn" : "running"));
  const far = run ? { done: run.kimg, total: run.total_kimg } : (job ?? {});
  const left = run ? remaining(run) : job?.total ? `${count(job.done)} of ${count(job.total)}` : "";
  return el(
    "div",
    { class: "under-way" },
    progress(far, LABELS[kind].replace("…", "")),
    el("p", {}, [stage, left, job?.by && `by ${job.by}`].filter(Boolean).join(" · ")),
    watchLink(job?.url ?? flow?.url),
  );
}

/** What it came to the last time; what went well is not said for long, what did not is explained below. */
function news(kind) {
  const last = lastEnd(kind);
  if (!last) return null;
  const { isGood, text, at } = last;
  if (isGood && Date.now() - Date.parse(at) > GOOD_NEWS) return null;
  const said = isGood ? [text, " ", el("small", {}, when(at))] : ["failed ", when(at)];
  return el("p", { class: isGood ? "news" : "news problem" }, el("span", { aria: { hidden: "true" }, text: isGood ? "✓ " : "✕ " }), said);
}

/** Say of each kind that failed last why it did. */
export function failures() {
  return Object.keys(DOINGS).map((kind) => {
    const last = isWorking(kind) ? null : lastEnd(kind);
    if (!last || last.isGood) return null;
    return el("p", { class: "problem" }, el("b", { text: `${DOINGS[kind]} failed ` }), when(last.at), `: ${last.text} `, watchLink(last.url));
  });
}

function isWorking(kind) {
  return loop.job(kind).state === "running" || isUnderWay(loop.flow(kind));
}

/** The end that came last: of what was started here, or of what Prefect did. */
function lastEnd(kind) {
  const [job, flow] = [loop.job(kind), loop.flow(kind)];
  const ended = [told(job), flow && told(flow)].filter(Boolean);
  return ended.toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at))[0] ?? null;
}

function told({ state, message, ended_at: at, url }) {
  if (!at || state === "idle") return null;
  const isGood = state === "done";
  const text = message || { done: "Done", failed: "It failed", stopped: "It was stopped" }[state];
  return { isGood, text, at, url };
}

/** How long it still takes, at the pace of the last tick. */
export function remaining({ kimg, total_kimg: total, sec_per_kimg: pace, is_alive: isAlive }) {
  if (!isAlive || !pace) return "";
  const minutes = Math.max(1, Math.round((pace * (total - kimg)) / 60));
  if (minutes < 90) return `${minutes} min left`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h left` : `${Math.round(minutes / 1_440)} days left`;
}

function when(iso) {
  return el("time", { datetime: iso, title: moment(iso), text: ago(iso) });
}

function page(href, text) {
  return el("a", { href, target: "_blank", text });
}
