// Many pictures at once: mark the exceptions, commit the page.

import { Cells, pictureOf } from "./cells.js";
import { CommitBar, sums } from "./commitbar.js";
import { el, fill } from "./dom.js";
import { ending, failure } from "./ending.js";
import { count } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { Marks } from "./marks.js";
import { outbox } from "./outbox.js";
import { markShown, pictures } from "./pictures.js";
import { pace } from "./session.js";
import { toggleTag } from "./tagging.js";
import { announce } from "./toasts.js";

const SIZES = { s: 60, m: 40, l: 20 };
const SIZE_KEY = "nonesuch:grid";
const ROUNDING = 4; // px

export function mount(root, app) {
  const view = new Grid(root, app);
  view.begin();
  return view;
}

class Grid {
  #app;
  #supply;
  #size = localStorage.getItem(SIZE_KEY) in SIZES ? localStorage.getItem(SIZE_KEY) : "m";
  #marks;
  #cells;
  #bar;
  /** @type {{ids: string[], marked: string[]}[]} */
  #earlier = []; // pages before this one, as they were left
  #since = 0;
  #seen = 0; // px from the top of the page that were in sight
  #nodes;
  #pop;
  #leaving = new AbortController();

  constructor(root, app) {
    this.#app = app;
    this.#supply = app.supply;
    this.#marks = new Marks(app.standing);
    this.#cells = new Cells(this.#marks, app.standing, {
      click: (event) => this.#clicked(event),
      dblclick: ({ target }) => this.#openOne(this.#cells.indexOf(target)),
    });
    this.#bar = new CommitBar(Object.keys(SIZES), {
      resize: (size) => this.#resize(size),
      turnRound: () => this.#turnRound(),
      skip: () => this.#turn(),
      commit: () => this.#commit(),
    });
    this.#nodes = this.#build(root);
    this.#pop = keys.push({ name: "Grid", bindings: this.#bindings() });
    const { signal } = this.#leaving;
    items.addEventListener("change", ({ detail }) => this.#changed(detail), { signal });
    outbox.addEventListener("undone", ({ detail }) => this.#undone(detail.items), { signal });
    this.#nodes.scroll.addEventListener("scroll", () => this.#drawBar(), { signal });
    const resized = new ResizeObserver(() => this.#fit());
    resized.observe(this.#nodes.scroll);
    signal.addEventListener("abort", () => resized.disconnect());
    this.#supply.addEventListener("more", () => this.#arrived(), { signal });
    this.#supply.addEventListener("trouble", ({ detail }) => this.#failed(detail), { signal });
  }

  /** Take the next pictures that are still to be looked at. */
  async begin() {
    const size = SIZES[this.#size];
    await this.#supply.gather(size);
    if (!this.#leaving.signal.aborted) this.#show(this.#supply.coming(size));
  }

  refresh() {
    this.#cells.draw(this.#size);
    this.#fit();
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#nodes.scroll;
    this.#cells.fit(clientWidth, clientHeight, SIZES[this.#size]);
    this.#drawBar();
  }

  #drawBar() {
    this.#bar.draw(this.#marks, this.#size, this.#isMoreBelow());
  }

  /** True where a part of the page was not in sight yet. */
  #isMoreBelow() {
    const { scrollTop, clientHeight, scrollHeight } = this.#nodes.scroll;
    this.#seen = Math.max(this.#seen, scrollTop + clientHeight);
    return this.#seen < scrollHeight - ROUNDING;
  }

  destroy() {
    this.#pop();
    this.#leaving.abort();
  }

  #show(ids, marked = []) {
    const { empty } = this.#nodes;
    const isEmpty = ids.length === 0;
    this.#marks.begin(ids, marked);
    this.#since = performance.now();
    this.#seen = 0;
    this.#nodes.scroll.scrollTop = 0;
    this.#cells.root.hidden = this.#bar.node.hidden = isEmpty;
    empty.hidden = !isEmpty;
    if (isEmpty) this.#showEmpty();
    this.refresh();
    this.#prefetch();
    if (!isEmpty) markShown(ids[0]);
  }

  #commit() {
    const { ids } = this.#marks;
    if (!ids.length) return;
    // What nobody has seen is not decided.
    if (this.#isMoreBelow()) return this.#showMore();
    const entries = this.#marks.entries();
    const ms = (performance.now() - this.#since) / ids.length;
    if (entries.length) {
      outbox.decide(entries.map((entry) => ({ ...entry, ms })));
      pace.note(entries.length, ms);
    }
    const { accepted, rejected } = sums(entries);
    announce(`${count(accepted)} accepted, ${count(rejected)} rejected`);
    this.#turn();
  }

  #showMore() {
    const { scroll } = this.#nodes;
    scroll.scrollTop = this.#seen - ROUNDING;
    announce("More of the page");
  }

  /** Go on to the page after this one. */
  #turn() {
    const { ids } = this.#marks;
    if (!ids.length) return;
    this.#earlier.push({ ids, marked: this.#marks.marked() });
    this.#supply.at = Math.max(this.#supply.at, this.#supply.ids.indexOf(ids.at(-1)) + 1);
    this.begin();
  }

  #back() {
    const page = this.#earlier.pop();
    if (!page) return announce("This is the first page");
    const ids = page.ids.filter((id) => items.get(id));
    this.#supply.at = Math.max(0, this.#supply.ids.indexOf(ids[0]));
    this.#show(ids, page.marked);
  }

  /** Go back to the page on which something was taken back. */
  #undone(changed) {
    const isOn = (ids) => ids.some((id) => changed.includes(id));
    const page = this.#earlier.findLastIndex(({ ids }) => isOn(ids));
    if (isOn(this.#marks.ids) || page < 0) return;
    this.#earlier.length = page + 1;
    this.#back();
  }

  #showEmpty() {
    const back = this.#earlier.length ? () => this.#back() : null;
    const again = async (withSkipped) => {
      await this.#supply.restart({ withSkipped });
      await this.begin();
    };
    const wasHere = this.#earlier.length > 0;
    fill(this.#nodes.empty, ending(this.#app, this.#supply, { again, back, wasHere }));
  }

  #mark(change) {
    change();
    this.#cells.repaint();
    this.#drawBar();
  }

  #clicked({ target, shiftKey }) {
    const index = this.#cells.indexOf(target);
    if (index < 0) return;
    this.#cells.focus(index);
    this.#mark(() => (shiftKey ? this.#marks.toggleTo(index) : this.#marks.toggle(index)));
  }

  #move(by, isRange) {
    this.#cells.focus(this.#cells.at + by);
    if (isRange) this.#mark(() => this.#marks.markTo(this.#cells.at));
    else this.#marks.anchor(this.#cells.at);
  }

  #turnRound() {
    if (!this.#marks.isTurnable) return announce("Here, marks change the verdict");
    this.#mark(() => this.#marks.turnRound());
    announce(`Marked means ${this.#marks.markedAre}`);
  }

  #resize(size) {
    this.#size = size;
    localStorage.setItem(SIZE_KEY, size);
    this.begin();
  }

  #openOne(index = this.#cells.at) {
    const id = this.#marks.ids[index];
    if (!id) return;
    this.#supply.insert(id);
    this.#app.show("single", { item: id });
  }

  #tagMarked() {
    const wanted = this.#chosen();
    if (wanted.length) this.#app.dialogs.tags(wanted);
  }

  /** Give what is marked, or the picture that arrows have reached. */
  #chosen() {
    const { ids } = this.#marks;
    const marked = this.#marks.marked();
    return marked.length ? marked : ids.slice(this.#cells.at, this.#cells.at + 1);
  }

  #changed(ids) {
    const here = new Set(this.#marks.ids);
    this.#marks.follow(ids.filter((id) => here.has(id)));
    this.#cells.repaint(ids);
    this.#drawBar();
  }

  #arrived() {
    if (this.#marks.ids.length) this.#prefetch();
    else this.begin();
  }

  #failed(error) {
    if (!this.#marks.ids.length) fill(this.#nodes.empty, failure(error, () => this.begin()));
  }

  #prefetch() {
    const size = SIZES[this.#size];
    this.#supply.ensure(2 * size);
    const here = new Set(this.#marks.ids);
    const coming = this.#supply.coming(size, here);
    pictures.preload(coming.map((id) => items.get(id)[pictureOf(this.#size)]));
  }

  #bindings() {
    const arrow = (key, by, help) => [
      { key, run: () => this.#move(by(), false), help: "Move", hidden: !help },
      { key, shift: true, run: () => this.#move(by(), true), help: "Mark as you move", hidden: !help },
    ];
    const tagKeys = Object.entries(this.#app.session.tag_keys ?? {});
    return [
      ...arrow("ArrowRight", () => 1, true),
      ...arrow("ArrowLeft", () => -1, false),
      ...arrow("ArrowDown", () => this.#cells.columns, false),
      ...arrow("ArrowUp", () => -this.#cells.columns, false),
      { key: " ", run: () => this.#mark(() => this.#marks.toggle(this.#cells.at)), help: "Mark the exception" },
      { key: "Enter", run: () => this.#commit(), help: "Commit the page" },
      { key: "x", run: () => this.#turnRound(), help: "Turn round what a mark means" },
      { key: "s", run: () => this.#turn(), help: "Skip the page" },
      { key: "b", run: () => this.#back(), help: "Previous page" },
      { key: "PageUp", run: () => this.#back(), help: "Previous page", hidden: true },
      { key: "Home", run: () => this.#cells.focus(0), help: "First", hidden: true },
      { key: "End", run: () => this.#cells.focus(Infinity), help: "Last", hidden: true },
      { key: "e", run: () => this.#openOne(), help: "Open it alone" },
      { key: "g", run: () => this.#openOne(), help: "Open it alone", hidden: true },
      { key: "t", run: () => this.#tagMarked(), help: "Tags of the marked ones" },
      { key: "i", run: () => this.#app.dialogs.explain(this.#marks.ids[this.#cells.at]), help: "Everything known" },
      ...tagKeys.map(([key, tag]) => ({ key, run: () => toggleTag(this.#chosen(), tag), help: `Tag “${tag}” on the marked ones` })),
    ];
  }

  #build(root) {
    const empty = el("div", { class: "empty" }, el("p", { text: "Loading…" }));
    const scroll = el("div", { class: "grid-scroll" }, this.#cells.root, empty);
    fill(root, scroll, this.#bar.node);
    return { scroll, empty };
  }
}
