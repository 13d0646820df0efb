// Where one is, as the part of the address after the #: `#/view/run/snapshot?…`.

export const VIEWS = ["grid", "edit", "between", "project"];

/** @typedef {{view: string, run: string, snapshot: string, params: URLSearchParams}} Place */

/** Read an address; what it leaves out is "". @returns {Place} */
export function parse(hash) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""));
  const [view = "", run = "", snapshot = ""] = path.split("/").map(decoded);
  return { view, run, snapshot, params: new URLSearchParams(query) };
}

/** Write an address; null, undefined and "" are left out. @param {Partial<Place>} place */
export function format({ view, run, snapshot }, params = {}) {
  const said = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const query = new URLSearchParams(said.filter(([, value]) => value !== null && value !== undefined && value !== ""));
  const path = [view, run, snapshot].map(encodeURIComponent).join("/");
  return query.size ? `#/${path}?${query}` : `#/${path}`;
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
