// Handing decisions to the server.

import { post } from "./api.js";

// Errors that are of the decisions themselves; all others may be over when they are sent again.
const REFUSED = ["wrong_input", "too_large"];

/**
 * Send decisions; give what became of each. One that the server cannot read does not hold up the
 * others: it comes back as `refused`, with the `problem`.
 */
export async function deliver(events) {
  try {
    return (await post("/api/decisions", { decisions: events })).outcomes;
  } catch (error) {
    if (!REFUSED.includes(error.code)) throw error;
    if (events.length === 1) return [refused(events[0], error)];
    const outcomes = [];
    for (const event of events) outcomes.push(...(await deliver([event])));
    return outcomes;
  }
}

function refused({ uuid, item }, { message }) {
  return { uuid, outcome: "refused", problem: message, state: { item } };
}
