// Requests to the server that the page came from.

export class ApiError extends Error {
  /**
   * @param {number} status 0 where nothing came back
   * @param {string} code short word for programs
   * @param {string} message sentence for people
   * @param {number|null} retryAfter seconds
   */
  constructor(status, code, message, retryAfter = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** True where one has to log in (again). */
  get locked() {
    return this.status === 401 || this.status === 403;
  }
}

const TIMEOUT = 30_000;
const underWay = new Set();
let csrf = "";
let name = null;

/** Remember who we are, and the token that requests that change something carry. */
export function trust(session) {
  ({ csrf, name } = session);
}

/** @param {object} [params] query; null and undefined are left out */
export function get(path, params = {}) {
  const query = new URLSearchParams(
    Object.entries(params).filter(([, value]) => value !== null && value !== undefined),
  );
  return request("GET", query.size ? `${path}?${query}` : path);
}

/** @param {{keepalive?: boolean, timeout?: number}} [options] keepalive outlives the page */
export function post(path, body, options = {}) {
  return request("POST", path, body, options);
}

export function del(path) {
  return request("DELETE", path);
}

/** Wait for the requests that are under way, but no longer than `most` ms. */
export async function settled(most) {
  await Promise.race([Promise.allSettled(underWay), new Promise((resolve) => setTimeout(resolve, most))]);
}

function request(method, path, body, options) {
  const asked = ask(method, path, body, options);
  underWay.add(asked);
  const forget = () => underWay.delete(asked);
  asked.then(forget, forget);
  return asked;
}

async function ask(method, path, body, { keepalive = false, timeout = TIMEOUT, isSecond = false } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await answer(path, {
    method,
    headers,
    keepalive,
    credentials: "same-origin",
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: keepalive ? undefined : AbortSignal.timeout(timeout),
  });
  if (response.status === 204) return null;
  const found = await response.json().catch(() => null);
  if (response.ok && found !== null) return found;
  if (found?.error === "csrf" && name !== null && !isSecond) {
    await renew();
    return ask(method, path, body, { keepalive, timeout, isSecond: true });
  }
  throw new ApiError(
    response.ok ? 502 : response.status,
    found?.error ?? "no_answer",
    found?.message ?? `The server answered ${response.status} ${response.statusText}`.trim(),
    seconds(response.headers.get("Retry-After")),
  );
}

/** Somebody logged in again, in another tab: go on if it is the same person. */
async function renew() {
  const session = await request("GET", "/api/session");
  if (session.name !== name) {
    throw new ApiError(401, "other_person", `${session.name} is logged in here now; you were ${name}.`);
  }
  trust(session);
}

async function answer(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    const late = error.name === "TimeoutError";
    const message = late ? "The server takes too long to answer." : "The server cannot be reached.";
    throw new ApiError(0, late ? "timeout" : "unreachable", message);
  }
}

function seconds(header) {
  const found = Number.parseFloat(header ?? "");
  return Number.isFinite(found) && found >= 0 ? found : null;
}
