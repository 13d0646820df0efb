// Pictures that somebody keeps: in this browser, until they are put away.

import { toast } from "../toasts.js";
import { read, written } from "./looks.js";

const MOST = 60; // of each run

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
    this.#load();
    const at = this.#find(source, what);
    if (at >= 0) this.#all.splice(at, 1);
    else this.#all.unshift({ run: source.run, snapshot: source.snapshot, what });
    this.#limit(source.run);
    this.#save();
    return at < 0;
  }

  /** Put all of a run away; gives what brings them back. */
  clear(run) {
    this.#load();
    const before = this.of(run);
    this.#all = this.#all.filter((one) => one.run !== run);
    this.#save();
    return () => {
      this.#load();
      this.#all.push(...before.filter((one) => !this.has(one, one.what)));
      this.#limit(run);
      this.#save();
    };
  }

  /** Let go of the oldest of a run where there are too many. */
  #limit(run) {
    const tooOld = new Set(this.of(run).slice(MOST));
    if (!tooOld.size) return;
    this.#all = this.#all.filter((one) => !tooOld.has(one));
    toast(`At most ${MOST} pictures of a run are kept: the oldest was put away`);
  }

  #find({ run, snapshot }, what) {
    const text = written(what);
    return this.#all.findIndex((one) => one.run === run && one.snapshot === snapshot && written(one.what) === text);
  }

  /** Other tabs write there, too: look before each change. */
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
