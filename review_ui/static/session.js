// Who is at work, and how fast.

import { ApiError, del, get, settled, trust } from "./api.js";

/** Give the session; who has none is sent to log in. */
export async function openSession() {
  try {
    const session = await get("/api/session");
    trust(session);
    return session;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      location.replace(`/login${location.hash}`);
      return new Promise(() => {});
    }
    throw error;
  }
}

const GIVEN_BACK_BY = 3_000;
let leave = async () => true;

/** Set what is done before one logs out; it gives false where one is to stay. */
export function beforeLogOut(run) {
  leave = run;
}

export async function logOut() {
  if (!(await leave())) return;
  // What is given back to others just now would be refused to a stranger.
  await settled(GIVEN_BACK_BY);
  await del("/api/session");
  location.assign("/login");
}

// Who pauses longer than this is not deciding.
const LONGEST_PAUSE = 30_000;
const REMEMBERED = 500;

/** The pace of this page since it was opened, by its own clock. */
class Pace {
  decided = 0;
  #last = 0;
  #active = 0;
  #each = [];

  /** Note that `n` items were decided now, each in `ms`. */
  note(n, ms, now = performance.now()) {
    const pause = this.#last ? now - this.#last : ms * n;
    this.#active += Math.min(pause, Math.max(LONGEST_PAUSE, ms * n));
    this.#last = now;
    this.decided += n;
    this.#each.push(ms);
    if (this.#each.length > REMEMBERED) this.#each.shift();
  }

  /** Decisions a minute of work. */
  get perMinute() {
    return this.#active > 0 ? (60_000 * this.decided) / this.#active : 0;
  }

  /** Median time of a decision in ms. */
  get median() {
    const sorted = this.#each.toSorted((a, b) => a - b);
    return sorted.length ? sorted[sorted.length >> 1] : null;
  }
}

export const pace = new Pace();
