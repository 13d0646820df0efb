// Clusters of a queue in order, asked for ahead, and kept from others while they are here.

import { post } from "./api.js";
import { items } from "./items.js";

const PAGE = 10;

/** Events: `more`, `trouble` {detail: ApiError}. */
export class ClusterSupply extends EventTarget {
  clusters = [];
  at = 0;
  finished = false;
  #queue;
  #standing;
  #after = null;
  #loading = null;
  #isClosed = false;
  #timer = 0;

  constructor(queue, standing, leaseSeconds) {
    super();
    this.#queue = queue;
    this.#standing = standing;
    if (standing === "open") this.#timer = setInterval(() => this.#lease(false), (leaseSeconds * 1_000) / 2);
  }

  get current() {
    return this.clusters[this.at];
  }

  following(most) {
    return this.clusters.slice(this.at, this.at + most + 1);
  }

  async ensure(ahead) {
    while (!this.finished && !this.#isClosed && this.clusters.length - this.at <= ahead) {
      this.#loading ??= this.#load().finally(() => (this.#loading = null));
      if (!(await this.#loading)) return;
    }
  }

  async restart() {
    this.finished = false;
    this.#after = null;
    this.clusters = this.clusters.slice(0, this.at);
    await this.ensure(PAGE);
    this.dispatchEvent(new CustomEvent("more"));
  }

  /** Pass over clusters of which everything is decided. */
  pass() {
    if (this.#standing !== "open") return;
    while (this.current && !isOpen(this.current)) this.at += 1;
  }

  /** Go to the cluster of one of these items; false where none is here. */
  goTo(ids) {
    const there = this.clusters.findLastIndex((cluster) => cluster.items.some(({ id }) => ids.includes(id)));
    if (there < 0) return false;
    this.at = there;
    return true;
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#lease(true);
  }

  async #load() {
    const body = { standing: this.#standing, limit: PAGE, after: this.#after, lease: this.#standing === "open" };
    try {
      const page = await post(`/api/queues/${encodeURIComponent(this.#queue)}/clusters`, body);
      if (this.#isClosed) return false;
      const known = new Set(this.clusters.map(({ key }) => key));
      for (const cluster of page.clusters) items.put(cluster.items);
      this.clusters.push(...page.clusters.filter(({ key }) => !known.has(key)));
      this.#after = page.next;
      this.finished = page.next === null;
      this.dispatchEvent(new CustomEvent("more"));
      return true;
    } catch (error) {
      this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
      return false;
    }
  }

  #lease(release) {
    if (this.#standing !== "open") return;
    const held = this.clusters.slice(this.at).filter(isOpen).flatMap((cluster) => cluster.items.map(({ id }) => id));
    if (!held.length) return;
    post("/api/leases", { items: held.slice(0, 500), release }, { keepalive: release }).catch(() => {});
  }
}

function isOpen(cluster) {
  return cluster.items.some(({ id }) => {
    const item = items.get(id);
    const isInQuestion = cluster.kind === "colourway" || item.relation !== null;
    return isInQuestion && item.verdict === null && item.follows === null;
  });
}
