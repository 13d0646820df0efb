// Links to Prefect's page, where they lead somewhere.

import { outside } from "./dom.js";

const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Link to a page of Prefect's; null where this browser, on another machine, cannot reach it. */
export function watchLink(url, label = "In Prefect's page") {
  if (!url || !URL.canParse(url)) return null;
  const isHere = LOCAL.has(location.hostname);
  return LOCAL.has(new URL(url).hostname) && !isHere ? null : outside(url, label);
}
