// Pictures that somebody keeps: in this browser, until they are put away.

import { read, written } from "./looks.js";

const MOST = 60;

class Kept extends EventTarget {
  #name = "";
  #all = [];

  /** Open what was kept of a dataset. */
  open(dataset) {
    this.#name = `nonesuch:kept:${dataset}`;
    this.#load();
    addEventListener("storage", ({ key }) => key === this.#name && (this.#load(), this.#tell()));
  }

  /** Those of a run, the one kept last first. @returns {{run: string, snapshot: string, what: import("./looks.js").Between}[]} */
  of(run) {
    return this.#all.filter((one) => one.run === run);
  }

  has(source, what) {
    return this.#find(source, what) >= 0;
  }

  /** Keep it, or put it away where it is kept; give whether it is now. */
  turn(source, what) {
    const at = this.#find(source, what);
    if (at >= 0) this.#all.splice(at, 1);
    else this.#all.unshift({ run: source.run, snapshot: source.snapshot, what });
    this.#all.length = Math.min(this.#all.length, MOST);
    this.#save();
    return at < 0;
  }

  /** Put all of a run away; gives what brings them back. */
  clear(run) {
    const before = this.#all;
    this.#all = before.filter((one) => one.run !== run);
    this.#save();
    return () => {
      this.#all = before;
      this.#save();
    };
  }

  #find({ run, snapshot }, what) {
    const text = written(what);
    return this.#all.findIndex((one) => one.run === run && one.snapshot === snapshot && written(one.what) === text);
  }

  #load() {
    this.#all = parsed(localStorage.getItem(this.#name))
      .map(({ run, snapshot, what }) => ({ run, snapshot, what: read(what) }))
      .filter(({ run, snapshot, what }) => what && typeof run === "string" && typeof snapshot === "string");
  }

  #save() {
    const all = this.#all.map(({ run, snapshot, what }) => ({ run, snapshot, what: written(what) }));
    localStorage.setItem(this.#name, JSON.stringify(all));
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

function parsed(text) {
  try {
    const found = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? found.filter((one) => one && typeof one === "object") : [];
  } catch {
    return [];
  }
}

export const kept = new Kept();
