// Pictures from the server: decoded, kept for a while, a few at a time, and given up when asked.

import { ApiError } from "../api.js";
import { written } from "./looks.js";

// Browsers open six connections to a server: one is left for what somebody waits for.
const AT_ONCE = 5;
const KEPT_BYTES = 64_000_000;
const TRIES = 20;
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 2_000;

/** @typedef {{run: string, snapshot: string, key: string}} Source a snapshot */

/**
 * Give the address of a picture.
 *
 * @param {Source} source
 * @param {import("./looks.js").Between} what
 * @param {{form?: "thumb"|"show"|"png", rush?: boolean}} [how] rush: somebody waits for this one
 */
export function addressOf({ run, snapshot, key }, what, { form = "thumb", rush = false } = {}) {
  const query = new URLSearchParams({ look: written(what), form, v: key });
  if (rush) query.set("rush", "true");
  return `/explore/${encodeURIComponent(run)}/${encodeURIComponent(snapshot)}/picture?${query}`;
}

/** @type {Map<string, ImageBitmap>} the one used last at the end */
const kept = new Map();
let keptBytes = 0;

/** Give a picture that is at hand; undefined where it is not. */
export function atHand(address) {
  const found = kept.get(nameOf(address));
  if (found) remember(address, found);
  return found;
}

/** Get a picture now. Where the server has too much to do, it is asked again. */
export async function fetchPicture(address, signal) {
  const found = atHand(address);
  if (found) return found;
  const bitmap = await createImageBitmap(await bytesOf(address, signal));
  remember(address, bitmap);
  return bitmap;
}

const waiting = new Set();
let running = 0;

/** Get a picture that nobody waits for in particular, when it is its turn. */
export function queuePicture(address, signal) {
  const found = atHand(address);
  if (found) return Promise.resolve(found);
  return new Promise((resolve, reject) => {
    const job = { address, signal, resolve, reject };
    waiting.add(job);
    signal.addEventListener("abort", () => waiting.delete(job) && reject(signal.reason), { once: true });
    // What is asked for in this moment comes first as it is sorted then.
    queueMicrotask(startMore);
  });
}

function startMore() {
  for (const job of waiting) {
    if (running >= AT_ONCE) return;
    waiting.delete(job);
    running += 1;
    fetchPicture(job.address, job.signal)
      .then(job.resolve, job.reject)
      .finally(() => {
        running -= 1;
        startMore();
      });
  }
}

async function bytesOf(address, signal) {
  for (let tries = 1; ; tries += 1) {
    const answer = await ask(address, signal);
    if (answer.ok) return answer.blob();
    const problem = await problemOf(answer);
    if (problem.status === 401) leaveToLogIn();
    if (problem.status !== 503 || problem.retryAfter === null || tries === TRIES) throw problem;
    await pause(Math.min(PAUSE_MS * tries, LONGEST_PAUSE_MS), signal);
  }
}

async function ask(address, signal) {
  try {
    return await fetch(address, { signal, credentials: "same-origin", headers: { Accept: "image/*" } });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached; is `nonesuch explore` still running?");
  }
}

/** Give what an answer says went wrong. */
export async function problemOf(answer) {
  const found = await answer.json().catch(() => null);
  const again = Number.parseFloat(answer.headers.get("Retry-After") ?? "");
  const message = found?.message ?? `The server answered ${answer.status} ${answer.statusText}`.trim();
  return new ApiError(answer.status, found?.error ?? "no_answer", message, Number.isFinite(again) ? again : null);
}

/** Go and log in; what was looked at is there again afterwards. */
export function leaveToLogIn() {
  location.replace(`/login${location.hash}`);
}

/** Wait; rejected when the signal says so. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

function remember(address, bitmap) {
  const name = nameOf(address);
  if (kept.delete(name)) keptBytes -= weight(bitmap);
  kept.set(name, bitmap);
  keptBytes += weight(bitmap);
  for (const [oldest, other] of kept) {
    if (keptBytes <= KEPT_BYTES || kept.size === 1) break;
    kept.delete(oldest);
    keptBytes -= weight(other);
  }
}

/** Who waits makes no other picture. */
function nameOf(address) {
  return address.replace("&rush=true", "");
}

function weight({ width, height }) {
  return 4 * width * height;
}
