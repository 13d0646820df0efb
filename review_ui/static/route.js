// The address says what is shown: #/view/queue?standing=…&order=…&item=…&source=…, or #/models

/**
 * @typedef {object} Route
 * @property {"single"|"grid"|"clusters"|"models"} view
 * @property {string|null} queue
 * @property {"open"|"accepted"|"rejected"} standing
 * @property {"worst"|"borderline"} order
 * @property {string|null} item
 * @property {Record<string, string>} filters
 */

const VIEWS = ["single", "grid", "clusters", "models"];
const STANDINGS = ["open", "accepted", "rejected", "settled"];
export const FILTERS = ["source", "label", "brand", "tag", "reviewer", "since", "until", "low", "high"];

/** @returns {Route} */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, queue] = path.split("/");
  const given = new URLSearchParams(query);
  const filters = {};
  for (const name of FILTERS) if (given.get(name)) filters[name] = given.get(name);
  return {
    view: VIEWS.includes(view) ? view : "single",
    queue: queue ? decodeURIComponent(queue) : null,
    standing: STANDINGS.includes(given.get("standing")) ? given.get("standing") : "open",
    order: given.get("order") === "borderline" ? "borderline" : "worst",
    item: given.get("item"),
    filters,
  };
}

/** @param {Route} route */
export function write({ view, queue, standing, order, item, filters }) {
  if (view === "models") return "#/models";
  const query = new URLSearchParams();
  if (standing !== "open") query.set("standing", standing);
  if (order !== "worst") query.set("order", order);
  for (const name of FILTERS) if (filters[name]) query.set(name, filters[name]);
  if (item) query.set("item", item);
  return `#/${view}/${encodeURIComponent(queue ?? "")}${query.size ? `?${query}` : ""}`;
}

/** True of a view that shows a queue. */
export function isOfQueue({ view }) {
  return view !== "models";
}

/** True where two routes show the same list of items. */
export function sameList(a, b) {
  return write({ ...a, view: "", item: null }) === write({ ...b, view: "", item: null });
}
