// Handing decisions to the server.

import { post } from "./api.js";

const REFUSED = [400, 413, 422];

/**
 * Send decisions; give what became of each. One that the server cannot read does not hold up the
 * others: it comes back as `refused`, with the `problem`.
 */
export async function deliver(events) {
  try {
    return (await post("/api/decisions", { decisions: events })).outcomes;
  } catch (error) {
    if (!REFUSED.includes(error.status)) throw error;
    if (events.length === 1) return [refused(events[0], error)];
    const outcomes = [];
    for (const event of events) outcomes.push(...(await deliver([event])));
    return outcomes;
  }
}

function refused({ uuid, item }, { message }) {
  return { uuid, outcome: "refused", problem: message, state: { item } };
}
