// One picture after another.

import { get } from "./api.js";
import { Details } from "./details.js";
import { button, el, fill, keycap, refill } from "./dom.js";
import { ending, failure } from "./ending.js";
import { facts, standing } from "./facts.js";
import { described, named, WORDS } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { outbox } from "./outbox.js";
import { markShown } from "./pictures.js";
import { ownReasons, reasonsFor } from "./reasons.js";
import { pace } from "./session.js";
import { Stage } from "./stage.js";
import { toggleTag } from "./tagging.js";
import { announce } from "./toasts.js";

const ASKED_AHEAD = 30;

export function mount(root, app, params) {
  const view = new Single(root, app);
  view.begin(params.item);
  return view;
}

class Single {
  #app;
  #supply;
  #shown = null; // id
  #since = 0;
  #stage;
  #details;
  #nodes;
  #pop;
  #leaving = new AbortController();

  constructor(root, app) {
    this.#app = app;
    this.#supply = app.supply;
    this.#stage = new Stage({ left: () => this.reject(), right: () => this.accept() }, [
      { label: "Original", key: "o", run: () => this.#beside() },
      { label: "All known", key: "i", run: this.#with((id) => app.dialogs.explain(id)) },
    ]);
    this.#details = new Details(app);
    this.#nodes = this.#build(root);
    this.#pop = keys.push({ name: "One picture", bindings: this.#bindings() });
    const { signal } = this.#leaving;
    items.addEventListener("change", ({ detail }) => this.#changed(detail), { signal });
    outbox.addEventListener("undone", ({ detail }) => this.#undone(detail.items), { signal });
    this.#supply.addEventListener("more", () => this.#arrived(), { signal });
    this.#supply.addEventListener("trouble", ({ detail }) => this.#failed(detail), { signal });
  }

  async begin(id) {
    if (id && id !== this.#supply.current?.id) await this.#jump(id);
    if (this.#leaving.signal.aborted) return;
    if (!id) this.#supply.forward();
    this.refresh();
  }

  /** Show what is at the current place. */
  refresh() {
    const item = this.#supply.current;
    this.#supply.ensure(ASKED_AHEAD);
    if (item) this.#show(item);
    else this.#showEnd();
    this.#preload();
  }

  destroy() {
    this.#pop();
    this.#stage.zoom.destroy();
    this.#leaving.abort();
    this.#details.stop();
  }

  accept() {
    this.#decide("accepted", []);
  }

  reject(reasons) {
    const item = this.#supply.current;
    this.#decide("rejected", reasons ?? (item ? ownReasons(item) : []));
  }

  #decide(verdict, reasons) {
    const item = this.#supply.current;
    if (!item) return;
    const ms = performance.now() - this.#since;
    const isSame = item.verdict === verdict && (item.reasons ?? []).join() === reasons.join();
    if (!isSame) {
      outbox.decide([{ item: item.id, verdict, reasons, ms }]);
      pace.note(1, ms);
    }
    this.#next(WORDS[verdict]);
  }

  /** Go on. @param {string} said what became of this one, for readers of screens */
  #next(said = "skipped") {
    if (!this.#supply.current) return;
    this.#supply.at += 1;
    this.#supply.forward();
    this.#stage.zoom.reset();
    this.refresh();
    const item = this.#supply.current;
    announce(item ? `${said}. ${described(item)}` : said);
  }

  #back() {
    if (this.#supply.at === 0) return announce("This is the first one");
    this.#supply.at -= 1;
    this.#stage.zoom.reset();
    this.refresh();
  }

  #show(item) {
    const { side, end, body } = this.#nodes;
    const isNew = item.id !== this.#shown;
    end.hidden = true;
    body.hidden = false;
    if (isNew) {
      this.#shown = item.id;
      this.#since = performance.now();
      this.#app.at(item.id);
      this.#stage.show(item);
      markShown(item.id);
      side.scrollTop = 0;
      this.#details.show(item.id);
    }
    fill(this.#nodes.title, standing(item), el("h3", { text: named(item), title: item.locator ?? "" }));
    const reasons = reasonsFor(item, this.#app.queues, this.#app.queue?.id);
    refill(this.#nodes.facts, facts(this.#app, item, reasons, (reason) => this.reject([reason])));
  }

  #showEnd() {
    const { end } = this.#nodes;
    this.#shown = null;
    this.#empty();
    if (this.#supply.finished) this.#app.at(null);
    const wasHere = this.#supply.ids.length > 0;
    fill(end, ending(this.#app, this.#supply, { again: (withSkipped) => this.#again(withSkipped), wasHere }));
  }

  #empty() {
    this.#nodes.body.hidden = true;
    this.#nodes.end.hidden = false;
  }

  async #again(withSkipped) {
    await this.#supply.restart({ withSkipped });
    this.#supply.forward();
    this.refresh();
  }

  async #jump(id) {
    if (!items.get(id)) {
      const item = await get(`/api/items/${encodeURIComponent(id)}`).catch(() => null);
      if (!item) return;
      items.put([item]);
    }
    this.#supply.insert(id);
  }

  async #undone(ids) {
    if (!ids.length) return;
    await this.#jump(ids.at(-1));
    this.#stage.zoom.reset();
    this.refresh();
  }

  #changed(ids) {
    const item = this.#supply.current;
    if (item && item.id === this.#shown && ids.includes(item.id)) this.#show(item);
  }

  #arrived() {
    if (this.#shown === null) {
      this.#supply.forward();
      this.refresh();
    } else this.#preload();
  }

  #failed(error) {
    if (this.#shown !== null) return;
    this.#empty();
    fill(this.#nodes.end, failure(error, () => this.refresh()));
  }

  #preload() {
    const { ids, at } = this.#supply;
    this.#stage.preload(ids.slice(at, at + ASKED_AHEAD).map((id) => items.get(id)));
  }

  #rejectNumber(number) {
    const item = this.#supply.current;
    const reason = item && reasonsFor(item, this.#app.queues, this.#app.queue?.id)[number - 1];
    if (reason) this.reject([reason.id]);
  }

  #beside() {
    this.#stage.isBeside = !this.#stage.isBeside;
    this.#stage.zoom.reset();
    if (this.#supply.current) this.#stage.show(this.#supply.current);
    this.#preload();
  }

  #with(run) {
    return () => this.#shown && run(this.#shown);
  }

  #bindings() {
    const { dialogs, session } = this.#app;
    const tagKeys = Object.entries(session.tag_keys ?? {});
    return [
      { key: "a", run: () => this.accept(), help: "Accept" },
      { key: "r", run: () => this.reject(), help: "Reject" },
      { key: "s", run: () => this.#next(), help: "Skip" },
      { key: "ArrowRight", run: () => this.#next(), help: "Skip", hidden: true },
      { key: "ArrowLeft", run: () => this.#back(), help: "Back" },
      { key: "b", run: () => this.#back(), help: "Back", hidden: true },
      { key: "1", run: () => this.#rejectNumber(1), help: "Reject for the first reason; 2 to 9 for others" },
      ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ key: String(n), run: () => this.#rejectNumber(n), help: "", hidden: true })),
      { key: "o", run: () => this.#beside(), help: "Original beside" },
      { key: "+", run: () => this.#stage.zoom.by(1.5), help: "Zoom in" },
      { key: "=", run: () => this.#stage.zoom.by(1.5), help: "Zoom in", hidden: true },
      { key: "t", run: this.#with((id) => dialogs.tags([id])), help: "Tags" },
      { key: "n", run: this.#with((id) => dialogs.note(id)), help: "Note" },
      { key: "c", run: this.#with((id) => dialogs.compare(id)), help: "Compare with what looks like it" },
      { key: "i", run: this.#with((id) => dialogs.explain(id)), help: "Everything known" },
      { key: "g", run: () => this.#app.show("grid"), help: "Grid" },
      ...tagKeys.map(([key, tag]) => ({ key, run: this.#with((id) => toggleTag([id], tag)), help: `Tag “${tag}”` })),
    ];
  }

  #build(root) {
    const title = el("div", { class: "side-title" });
    const factsNode = el("div", { class: "facts" });
    const side = el("aside", { class: "side", aria: { label: "About the picture" }, tabindex: "0" }, title, factsNode, this.#details.node);
    const act = (name, label, key, run) =>
      button([el("span", { text: label }), keycap(key)], run, { class: `act act-${name}`, dataset: { act: name } });
    const acts = el(
      "div",
      { class: "acts" },
      act("back", "Back", "ArrowLeft", () => this.#back()),
      act("reject", "Reject", "r", () => this.reject()),
      act("skip", "Skip", "s", () => this.#next()),
      act("accept", "Accept", "a", () => this.accept()),
    );
    const body = el("div", { class: "single" }, el("div", { class: "stage" }, this.#stage.node, acts), side);
    const end = el("div", { class: "empty", hidden: true });
    fill(root, body, end);
    return { title, facts: factsNode, side, body, end };
  }
}
