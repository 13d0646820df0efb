// Sending a file: its bytes as they are.

import { ApiError, get, trust } from "../api.js";
import { leaveToLogIn, problemOf } from "./pictures.js";

const MOST_MB = 24; // as the server takes it

/**
 * Post a file.
 *
 * @param {string} path
 * @param {Blob} file
 * @param {{name: string, csrf: string}} session kept up to date
 */
export async function upload(path, file, session) {
  if (file.size > MOST_MB << 20) throw new ApiError(413, "too_large", `A picture may have at most ${MOST_MB} MB; make it smaller.`);
  let answer = await send(path, file, session.csrf);
  if (answer.status === 403 && (await renewed(session))) answer = await send(path, file, session.csrf);
  if (answer.status === 401) leaveToLogIn();
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

async function send(path, file, csrf) {
  try {
    return await fetch(path, {
      method: "POST",
      credentials: "same-origin",
      headers: { Accept: "application/json", "Content-Type": "application/octet-stream", "X-CSRF-Token": csrf },
      body: file,
    });
  } catch {
    throw new ApiError(0, "unreachable", "The file could not be sent: it is too large, or the server cannot be reached.");
  }
}

/** Somebody logged in again, in another tab: go on if it is the same person. */
async function renewed(session) {
  const now = await get("/api/session");
  if (now.name !== session.name || now.csrf === session.csrf) return false;
  session.csrf = now.csrf;
  trust(now);
  return true;
}
