// Where the loop stands: asked for again and again, as long as somebody looks at it.

import { get, post } from "./api.js";

const POLL = 3_000;
const POLL_WORKING = 1_000;

/** Tells of another state by "change". `state` is that of GET /api/loop, null before the first. */
class Loop extends EventTarget {
  state = null;
  problem = "";
  #text = "";
  #watchers = 0;
  #timer = 0;
  #turn = 0;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#watchers && document.visibilityState === "visible" && this.refresh());
  }

  /** Follow it; what is returned ends that. @param {() => void} look */
  watch(look) {
    this.addEventListener("change", look);
    this.#watchers += 1;
    this.refresh();
    return () => {
      this.removeEventListener("change", look);
      this.#watchers -= 1;
      if (!this.#watchers) clearTimeout(this.#timer);
    };
  }

  /** Look at once. */
  async refresh() {
    clearTimeout(this.#timer);
    const turn = (this.#turn += 1);
    // What is as it was, the browser has itself: nothing is sent then.
    const found = await get("/api/loop").catch((error) => ({ problem: error.message }));
    // What was asked for later is newer, whichever answer comes first.
    if (turn !== this.#turn) return;
    this.#take(found.problem === undefined ? found : this.state, found.problem ?? "");
    if (this.#watchers) this.#timer = setTimeout(() => this.#next(), this.#pause());
  }

  /** Begin something; where it runs, nothing more begins. @param {object} options version, preset */
  async start(kind, options = {}) {
    const job = await post(`/api/jobs/${kind}`, options);
    await this.refresh();
    return job;
  }

  /** What was started from the page. */
  job(kind) {
    return this.state?.jobs.find((job) => job.kind === kind) ?? { kind, state: "idle" };
  }

  /** What Prefect does, or did last, whoever started it. */
  flow(kind) {
    const flows = (this.state?.flows ?? []).filter((flow) => flow.kind === kind);
    return flows.find(isUnderWay) ?? flows[0] ?? null;
  }

  /** True while it is done by anybody of whom is known. */
  isWorking(kind) {
    return this.job(kind).state === "running" || isUnderWay(this.flow(kind)) || (kind === "train" && this.alive.length > 0);
  }

  /** Trainings that are at work. */
  get alive() {
    return this.state?.runs.filter((run) => run.is_alive) ?? [];
  }

  #take(state, problem) {
    const text = JSON.stringify([state, problem]);
    if (text === this.#text) return;
    [this.#text, this.state, this.problem] = [text, state, problem];
    this.dispatchEvent(new Event("change"));
  }

  #pause() {
    return this.state?.jobs.some((job) => job.state === "running") ? POLL_WORKING : POLL;
  }

  #next() {
    // Nobody sees a page that is behind others; it asks when it comes to the front.
    if (document.visibilityState === "visible") this.refresh();
  }
}

/** True of a flow run that has not ended. */
export function isUnderWay(flow) {
  return flow?.state === "waiting" || flow?.state === "running";
}

export const loop = new Loop();
