// Clusters of a queue in order, asked for ahead, and kept from others while they are here.

import { post } from "./api.js";
import { items } from "./items.js";

const PAGE = 10;
// What is sent while the page closes must be short.
const AT_ONCE = 400;

/** Events: `more`, `trouble` {detail: ApiError}. */
export class ClusterSupply extends EventTarget {
  clusters = [];
  at = 0;
  finished = false;
  heldByOthers = 0;
  #queue;
  #isLease;
  #standing;
  #after = null;
  #loading = null;
  #isClosed = false;
  #timer = 0;
  #rest = new Set(); // keys of those of which others than were given are to be decided

  constructor(queue, standing, leaseSeconds) {
    super();
    this.#queue = queue;
    this.#standing = standing;
    this.#isLease = standing === "open";
    if (this.#isLease) this.#timer = setInterval(() => this.#renew(), (leaseSeconds * 1_000) / 2);
  }

  get current() {
    return this.clusters[this.at];
  }

  /** Give how many were passed over, and not decided. */
  get skipped() {
    return this.#isLease ? this.clusters.slice(0, this.at).filter(isOpen).length : 0;
  }

  /** Give of how many only some members were given, and decided. */
  get partly() {
    return this.clusters.filter((cluster) => this.#rest.has(cluster.key) && !isOpen(cluster)).length;
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

  /** Look again from the start: for what was skipped, and what others gave back. */
  async restart() {
    this.finished = false;
    this.#after = null;
    this.heldByOthers = 0;
    if (this.#isLease) this.clusters = this.clusters.filter((cluster) => !isOpen(cluster));
    else this.clusters = [];
    this.at = this.clusters.length;
    await this.ensure(PAGE);
  }

  /** Pass over clusters of which everything is decided. */
  pass() {
    while (this.#isLease && this.current && !isOpen(this.current)) this.at += 1;
  }

  /** Go to the cluster of one of these items; false where none is here. */
  goTo(ids) {
    const there = this.clusters.findLastIndex((cluster) => cluster.items.some(({ id }) => ids.includes(id)));
    if (there < 0) return false;
    this.at = there;
    return true;
  }

  /** Let others have what is left. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#release(this.clusters.filter(isOpen));
  }

  async #load() {
    const body = { standing: this.#standing, limit: PAGE, after: this.#after, lease: this.#isLease };
    try {
      const page = await post(`/api/queues/${encodeURIComponent(this.#queue)}/clusters`, body);
      if (this.#isClosed) {
        this.#release(page.clusters);
        return false;
      }
      this.#take(page);
      return true;
    } catch (error) {
      // The place is one of a build that is gone.
      if (error.code === "build_changed") this.#after = null;
      this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
      return false;
    }
  }

  #take({ clusters, next, held_by_others: held }) {
    for (const cluster of clusters) items.put(cluster.items);
    for (const cluster of clusters) this.#put(cluster);
    this.heldByOthers += held;
    this.#after = next;
    this.finished = next === null;
    this.dispatchEvent(new CustomEvent("more"));
  }

  /** Take in a cluster. One that is here already may have come with other members. */
  #put(cluster) {
    // Decided here, and not yet heard of there.
    if (this.#isLease && !isOpen(cluster)) return;
    if (hasRest(cluster)) this.#rest.add(cluster.key);
    else this.#rest.delete(cluster.key);
    const there = this.clusters.findIndex(({ key }) => key === cluster.key);
    if (there >= this.at) {
      if (!isSame(cluster, this.clusters[there])) this.clusters[there] = cluster;
      return;
    }
    if (there >= 0) {
      this.clusters.splice(there, 1);
      this.at -= 1;
    }
    this.clusters.push(cluster);
  }

  #renew() {
    if (document.visibilityState !== "visible") return;
    for (const some of parts(this.clusters.slice(this.at).filter(isOpen))) {
      post("/api/leases", { items: some, release: false }).catch(() => {});
    }
  }

  /** What was skipped is given back too. The page may be closing. */
  #release(clusters) {
    if (!this.#isLease) return;
    for (const some of parts(clusters)) {
      post("/api/leases", { items: some, release: true }, { keepalive: true }).catch(() => {});
    }
  }
}

/** Give the members of clusters, so many at a time. */
function parts(clusters) {
  const ids = clusters.flatMap((cluster) => cluster.items.map(({ id }) => id));
  return Array.from({ length: Math.ceil(ids.length / AT_ONCE) }, (_, n) => ids.slice(n * AT_ONCE, (n + 1) * AT_ONCE));
}

/** Decided ones come last: where one is among those given, none is left among the others. */
function hasRest({ more, items: members }) {
  return more > 0 && members.slice(1).every(({ verdict, follows }) => verdict === null && follows === null);
}

function isSame(a, b) {
  return a.items.length === b.items.length && a.items.every(({ id }, index) => id === b.items[index].id);
}

function isOpen(cluster) {
  return cluster.items.some((member) => {
    const item = items.get(member.id) ?? member;
    const isInQuestion = cluster.kind === "colourway" || item.relation !== null;
    return isInQuestion && item.verdict === null && item.follows === null;
  });
}
