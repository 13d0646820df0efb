// Many pictures at once: mark the exceptions, commit the page.

import { button, el, fill, keycap } from "./dom.js";
import { count, described, MARKS, many } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { outbox } from "./outbox.js";
import { markShown, pictures } from "./pictures.js";
import { pace } from "./session.js";
import { announce } from "./toasts.js";

const SIZES = { s: 60, m: 40, l: 20 };
const SIZE_KEY = "nonesuch:grid";

export function mount(root, app, params) {
  const view = new Grid(root, app);
  view.begin(params.item);
  return view;
}

class Grid {
  #app;
  #supply;
  #size = SIZES[localStorage.getItem(SIZE_KEY)] ? localStorage.getItem(SIZE_KEY) : "m";
  #ids = [];
  #marked = new Set();
  #at = 0;
  #anchor = 0;
  #since = 0;
  #pages = []; // earlier ones
  #marksReject; // else marked are accepted
  #nodes;
  #cells = new Map();
  #pop;
  #leaving = new AbortController();

  constructor(root, app) {
    this.#app = app;
    this.#supply = app.supply;
    this.#marksReject = app.standing !== "rejected";
    this.#nodes = this.#build(root);
    this.#pop = keys.push({ name: "Grid", bindings: this.#bindings() });
    const { signal } = this.#leaving;
    items.addEventListener("change", ({ detail }) => this.#changed(detail), { signal });
    outbox.addEventListener("undone", ({ detail }) => this.#undone(detail.items), { signal });
    this.#supply.addEventListener("more", () => this.#arrived(), { signal });
    this.#supply.addEventListener("trouble", ({ detail }) => this.#failed(detail), { signal });
  }

  async begin() {
    await this.#fillPage();
  }

  refresh() {
    this.#draw();
  }

  destroy() {
    this.#pop();
    this.#leaving.abort();
  }

  get #perPage() {
    return SIZES[this.#size];
  }

  /** Take the next items that are still to be looked at. */
  async #fillPage() {
    await this.#supply.ensure(this.#perPage);
    if (this.#leaving.signal.aborted) return;
    const { ids, at } = this.#supply;
    this.#ids = ids.slice(at).filter((id) => this.#supply.isFor(id)).slice(0, this.#perPage);
    this.#begun();
  }

  #begun() {
    this.#marked = new Set(this.#ids.filter((id) => items.get(id).verdict === this.#exception && !this.#supply.isFor(id)));
    this.#at = this.#anchor = 0;
    this.#since = performance.now();
    this.#draw();
    this.#prefetch();
    if (this.#ids.length) markShown(this.#ids[0]);
  }

  get #exception() {
    return this.#marksReject ? "rejected" : "accepted";
  }

  get #rest() {
    return this.#marksReject ? "accepted" : "rejected";
  }

  /** What the page would become: entries that differ from what holds. */
  #entries() {
    return this.#ids.flatMap((id) => {
      const item = items.get(id);
      const verdict = this.#marked.has(id) ? this.#exception : this.#rest;
      // At a second look those that stay as they are need no word.
      const stays = item.verdict === verdict || (item.standing === verdict && this.#supply.standing !== "open");
      return stays ? [] : [{ item: id, verdict, reasons: verdict === "rejected" ? reasonsOf(item) : [] }];
    });
  }

  #commit() {
    if (!this.#ids.length) return;
    const entries = this.#entries();
    const ms = (performance.now() - this.#since) / Math.max(1, this.#ids.length);
    if (entries.length) {
      outbox.decide(entries.map((entry) => ({ ...entry, ms })));
      pace.note(entries.length, ms);
    }
    const rejected = entries.filter(({ verdict }) => verdict === "rejected").length;
    announce(`${count(entries.length - rejected)} accepted, ${count(rejected)} rejected`);
    this.#turn();
  }

  /** Go on to the page after this one. */
  #turn() {
    this.#pages.push(this.#ids);
    const last = this.#ids.at(-1);
    const there = this.#supply.ids.indexOf(last);
    this.#supply.at = Math.max(this.#supply.at, there + 1);
    this.#fillPage();
  }

  #back() {
    const ids = this.#pages.pop();
    if (!ids) return announce("This is the first page");
    this.#supply.at = Math.max(0, this.#supply.ids.indexOf(ids[0]));
    this.#ids = ids;
    this.#begun();
  }

  #undone(changed) {
    if (!changed.length) return;
    const gone = new Set(changed);
    if (this.#ids.some((id) => gone.has(id))) return;
    const page = this.#pages.findLastIndex((ids) => ids.some((id) => gone.has(id)));
    if (page < 0) return;
    this.#pages.length = page + 1;
    this.#back();
  }

  #draw() {
    const { grid, empty, bar } = this.#nodes;
    this.#cells = new Map(this.#ids.map((id) => [id, this.#cell(items.get(id))]));
    grid.dataset.size = this.#size;
    fill(grid, [...this.#cells.values()]);
    grid.hidden = bar.hidden = !this.#ids.length;
    empty.hidden = this.#ids.length > 0;
    if (!this.#ids.length) this.#showEmpty();
    this.#drawBar();
    this.#focus(this.#at, false);
  }

  #cell(item) {
    const kind = this.#size === "l" ? "standard" : "thumb";
    const ready = pictures.ready(item[kind]);
    const image = ready ?? el("img", { src: item[kind], decoding: "async", draggable: "false" });
    image.className = "";
    image.alt = "";
    const reason = item.why[0]?.title;
    const node = el(
      "div",
      { class: "cell", role: "option", tabindex: "-1", dataset: { id: item.id } },
      image,
      el("span", { class: "mark", aria: { hidden: "true" } }),
      this.#size === "l" && reason && el("span", { class: "cell-reason", text: reason }),
    );
    node.style.setProperty("--ratio", item.ratio || 1);
    this.#paint(node, item);
    return node;
  }

  #paint(node, item) {
    const isMarked = this.#marked.has(item.id);
    const word = isMarked ? this.#exception : item.standing;
    node.setAttribute("aria-selected", String(isMarked));
    node.dataset.marked = isMarked ? this.#exception : "";
    node.dataset.standing = item.standing;
    node.querySelector(".mark").textContent = isMarked || item.standing !== this.#supply.standing ? MARKS[word] : "";
    node.setAttribute("aria-label", `${described(item)}${isMarked ? `, marked to be ${this.#exception}` : ""}`);
  }

  #drawBar() {
    const entries = this.#entries();
    const rejected = entries.filter(({ verdict }) => verdict === "rejected").length;
    const accepted = entries.length - rejected;
    const { summary, meaning, commit } = this.#nodes;
    fill(
      summary,
      el("span", { class: "sum-accepted" }, el("b", { text: count(accepted) }), " accept"),
      " · ",
      el("span", { class: "sum-rejected" }, el("b", { text: count(rejected) }), " reject"),
      entries.length < this.#ids.length && el("span", { class: "muted", text: ` · ${count(this.#ids.length - entries.length)} stay` }),
    );
    fill(meaning, `Marked = ${this.#marksReject ? "reject" : "accept"} `, keycap("x"));
    fill(commit, el("span", { text: entries.length ? "Commit" : "Next page" }), keycap("Enter"));
  }

  #showEmpty() {
    const { empty } = this.#nodes;
    if (!this.#supply.finished) return fill(empty, el("p", { text: "Loading…" }));
    const skipped = this.#supply.ids.some((id) => this.#supply.isFor(id));
    const held = this.#supply.heldByOthers;
    fill(
      empty,
      el("h2", { text: this.#pages.length ? "Done here" : "Nothing here" }),
      held > 0 && this.#supply.standing === "open" && el("p", { text: `Others look at ${many(held, "picture")} at the moment.` }),
      Object.keys(this.#app.filters).length > 0 && el("p", { text: "Filters are on." }),
      el(
        "div",
        { class: "buttons" },
        this.#pages.length > 0 && button("Previous page", () => this.#back()),
        button(skipped ? "Look at the skipped again" : "Look again", () => this.#again(skipped), { class: "primary" }),
      ),
    );
  }

  async #again(withSkipped) {
    await this.#supply.restart({ withSkipped });
    await this.#fillPage();
  }

  #mark(index, isMarked = !this.#marked.has(this.#ids[index])) {
    const id = this.#ids[index];
    if (!id) return;
    if (isMarked) this.#marked.add(id);
    else this.#marked.delete(id);
    this.#paint(this.#cells.get(id), items.get(id));
    this.#drawBar();
  }

  /** Mark, or clear, from the anchor to here, as the anchor is. */
  #markTo(index) {
    const isMarked = this.#marked.has(this.#ids[this.#anchor]);
    const [from, to] = [Math.min(index, this.#anchor), Math.max(index, this.#anchor)];
    for (let at = from; at <= to; at += 1) this.#mark(at, isMarked);
  }

  #focus(index, isMoving = true) {
    const cells = [...this.#cells.values()];
    const at = Math.min(cells.length - 1, Math.max(0, index));
    cells[this.#at]?.setAttribute("tabindex", "-1");
    this.#at = at;
    cells[at]?.setAttribute("tabindex", "0");
    if (isMoving || this.#nodes.grid.contains(document.activeElement) || document.activeElement === document.body) {
      cells[at]?.focus({ preventScroll: !isMoving });
    }
  }

  #move(by, isRange) {
    const before = this.#at;
    this.#focus(before + by);
    if (!isRange) {
      this.#anchor = this.#at;
      return;
    }
    if (!this.#marked.has(this.#ids[this.#anchor])) this.#mark(this.#anchor, true);
    this.#markTo(this.#at);
  }

  get #columns() {
    const cells = [...this.#cells.values()];
    const top = cells[0]?.offsetTop;
    const second = cells.findIndex((cell) => cell.offsetTop !== top);
    return second < 0 ? cells.length : second;
  }

  #clicked(event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const index = this.#ids.indexOf(cell.dataset.id);
    this.#focus(index);
    if (event.shiftKey) return this.#markTo(index);
    this.#mark(index);
    this.#anchor = index;
  }

  #openOne(id = this.#ids[this.#at]) {
    if (!id) return;
    const there = this.#supply.ids.indexOf(id);
    if (there >= 0) this.#supply.at = there;
    this.#app.show("single", { item: id });
  }

  #resize(size) {
    this.#size = size;
    localStorage.setItem(SIZE_KEY, size);
    for (const node of this.#nodes.sizes.children) node.setAttribute("aria-pressed", String(node.dataset.size === size));
    this.#fillPage();
  }

  #turnRound() {
    this.#marksReject = !this.#marksReject;
    announce(`Marked means ${this.#exception}`);
    for (const [id, node] of this.#cells) this.#paint(node, items.get(id));
    this.#drawBar();
  }

  #changed(ids) {
    for (const id of ids) {
      const node = this.#cells.get(id);
      if (node) this.#paint(node, items.get(id));
    }
    this.#drawBar();
  }

  #arrived() {
    if (!this.#ids.length) this.#fillPage();
    else this.#prefetch();
  }

  #failed(error) {
    if (this.#ids.length) return;
    fill(this.#nodes.empty, el("p", { text: error.message }), button("Try again", () => this.#fillPage(), { class: "primary" }));
  }

  #prefetch() {
    this.#supply.ensure(2 * this.#perPage);
    const { ids, at } = this.#supply;
    const kind = this.#size === "l" ? "standard" : "thumb";
    const shown = new Set(this.#ids);
    const coming = ids.slice(at).filter((id) => !shown.has(id) && this.#supply.isFor(id));
    pictures.preload(coming.slice(0, 40).map((id) => items.get(id)[kind]));
  }

  #bindings() {
    const arrow = (key, by, help) => [
      { key, run: () => this.#move(by(), false), help, hidden: !help },
      { key, shift: true, run: () => this.#move(by(), true), help: help && "Mark as you move", hidden: !help },
    ];
    return [
      ...arrow("ArrowRight", () => 1, "Move"),
      ...arrow("ArrowLeft", () => -1, ""),
      ...arrow("ArrowDown", () => this.#columns, ""),
      ...arrow("ArrowUp", () => -this.#columns, ""),
      { key: " ", run: () => (this.#mark(this.#at), (this.#anchor = this.#at)), help: "Mark the exception" },
      { key: "Enter", run: () => this.#commit(), help: "Commit the page" },
      { key: "x", run: () => this.#turnRound(), help: "Turn round what a mark means" },
      { key: "s", run: () => this.#turn(), help: "Skip the page" },
      { key: "b", run: () => this.#back(), help: "Previous page" },
      { key: "PageUp", run: () => this.#back(), help: "Previous page", hidden: true },
      { key: "Home", run: () => this.#focus(0), help: "First", hidden: true },
      { key: "End", run: () => this.#focus(this.#ids.length - 1), help: "Last", hidden: true },
      { key: "e", run: () => this.#openOne(), help: "Open it alone" },
      { key: "g", run: () => this.#openOne(), help: "Open it alone", hidden: true },
      { key: "t", run: () => this.#tagMarked(), help: "Tags of the marked ones" },
      { key: "i", run: () => this.#ids.length && this.#app.dialogs.explain(this.#ids[this.#at]), help: "Everything known" },
    ];
  }

  #tagMarked() {
    const ids = this.#marked.size ? [...this.#marked] : this.#ids.slice(this.#at, this.#at + 1);
    if (ids.length) this.#app.dialogs.tags(ids);
  }

  #build(root) {
    const grid = el("div", {
      class: "grid",
      role: "listbox",
      aria: { label: "Pictures", multiselectable: "true" },
      on: {
        click: (event) => this.#clicked(event),
        dblclick: ({ target }) => this.#openOne(target.closest(".cell")?.dataset.id),
      },
    });
    const sizes = el(
      "div",
      { class: "tabs", role: "group", aria: { label: "Size of pictures" } },
      Object.keys(SIZES).map((size) =>
        button(size.toUpperCase(), () => this.#resize(size), { class: "tab", dataset: { size }, aria: { pressed: String(size === this.#size) } }),
      ),
    );
    const summary = el("p", { class: "sum", aria: { live: "polite" } });
    const meaning = button("", () => this.#turnRound(), { class: "quiet" });
    const commit = button("", () => this.#commit(), { class: "primary commit" });
    const skip = button(["Skip ", keycap("s")], () => this.#turn(), { class: "quiet" });
    const bar = el("div", { class: "commit-bar" }, sizes, meaning, summary, skip, commit);
    const empty = el("div", { class: "empty" }, el("p", { text: "Loading…" }));
    fill(root, el("div", { class: "grid-scroll" }, grid, empty), bar);
    return { grid, empty, bar, summary, meaning, commit, sizes };
  }
}

function reasonsOf(item) {
  return [...new Set(item.why.map(({ reason }) => reason))];
}
