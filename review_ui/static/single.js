// One picture after another.

import { get } from "./api.js";
import { button, el, fill, keycap } from "./dom.js";
import { details, facts, standing } from "./facts.js";
import { count, described, named, WORDS } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { outbox, stateOf } from "./outbox.js";
import { markShown, pictures } from "./pictures.js";
import { pace } from "./session.js";
import { swipes } from "./swipe.js";
import { announce } from "./toasts.js";
import { Zoom } from "./zoom.js";

const AHEAD = 12;
const ASKED_AHEAD = 30;
const DETAILS_AFTER = 250;

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
  #isBeside = false;
  #nodes;
  #zoom;
  #pop;
  #leaving = new AbortController();
  #timer = 0;

  constructor(root, app) {
    this.#app = app;
    this.#supply = app.supply;
    this.#nodes = this.#build(root);
    this.#zoom = new Zoom(this.#nodes.frame);
    swipes(this.#nodes.frame, {
      left: () => this.reject(),
      right: () => this.accept(),
      isFree: () => !this.#zoom.isOn,
    });
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
    if (!this.#supply.isFor(this.#supply.ids[this.#supply.at]) && !id) this.#forward();
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
    this.#zoom.destroy();
    this.#leaving.abort();
    clearTimeout(this.#timer);
  }

  accept() {
    this.#decide("accepted", []);
  }

  reject(reasons) {
    const item = this.#supply.current;
    this.#decide("rejected", reasons ?? item?.why.map(({ reason }) => reason) ?? []);
  }

  #decide(verdict, reasons) {
    const item = this.#supply.current;
    if (!item) return;
    const ms = performance.now() - this.#since;
    const isSame = item.verdict === verdict && (item.reasons ?? []).join() === reasons.join();
    if (!isSame) {
      outbox.decide([{ item: item.id, verdict, reasons: [...new Set(reasons)], ms }]);
      pace.note(1, ms);
      announce(WORDS[verdict]);
    }
    this.#next(verdict);
  }

  #next(how = "") {
    this.#nodes.frame.dataset.went = how;
    this.#supply.at += 1;
    this.#forward();
    this.#zoom.reset();
    this.refresh();
  }

  /** Pass over what was decided meanwhile, in the grid or by others. */
  #forward() {
    const { ids } = this.#supply;
    while (this.#supply.at < ids.length && !this.#supply.isFor(ids[this.#supply.at])) this.#supply.at += 1;
  }

  #back() {
    if (this.#supply.at === 0) return announce("This is the first one");
    this.#supply.at -= 1;
    this.#zoom.reset();
    this.refresh();
  }

  #show(item) {
    const { frame, side, end, body } = this.#nodes;
    const isNew = item.id !== this.#shown;
    end.hidden = true;
    body.hidden = false;
    if (isNew) {
      this.#shown = item.id;
      this.#since = performance.now();
      this.#app.at(item.id);
      this.#picture(item);
      markShown(item.id);
      side.scrollTop = 0;
      this.#showDetails(item.id);
    }
    frame.dataset.standing = item.verdict ?? "open";
    fill(this.#nodes.title, standing(item), el("h3", { text: named(item), title: item.locator ?? "" }));
    fill(this.#nodes.facts, facts(this.#app, item, this.#reasons(item), { reject: (reasons) => this.reject(reasons) }));
  }

  #picture(item) {
    const { frame } = this.#nodes;
    const beside = this.#isBeside ? [placed(item, "original")] : [];
    frame.dataset.beside = String(this.#isBeside);
    const images = [...beside, placed(item, "standard")];
    fill(frame, images.map(({ node }) => node));
    for (const { node, ready } of images) {
      ready?.then((isGood) => {
        if (node.isConnected) isGood ? node.replaceWith(imageOf(item, node.dataset.kind)) : broken(node);
      });
    }
  }

  #showDetails(id) {
    const { more } = this.#nodes;
    clearTimeout(this.#timer);
    fill(more);
    more.dataset.item = id;
    this.#timer = setTimeout(async () => {
      const found = await get(`/api/items/${encodeURIComponent(id)}`).catch(() => null);
      if (found) items.put(found.neighbours);
      if (found && this.#shown === id) details(this.#app, more, found);
    }, DETAILS_AFTER);
  }

  #showEnd() {
    const { end, body } = this.#nodes;
    this.#shown = null;
    body.hidden = true;
    end.hidden = false;
    if (!this.#supply.finished) return fill(end, el("p", { text: "Loading…" }));
    this.#app.at(null);
    const { ids, heldByOthers } = this.#supply;
    const skipped = ids.filter((id) => this.#supply.isFor(id)).length;
    const following = this.#app.queues.find(({ id, open }) => open && id !== "all" && id !== this.#app.queue.id);
    fill(
      end,
      el("h2", { text: ids.length ? "Done here" : "Nothing here" }),
      el("p", { text: this.#endText(skipped, heldByOthers) }),
      el(
        "div",
        { class: "buttons" },
        skipped > 0 && button(`Look at the ${count(skipped)} skipped again`, () => this.#again(true), { class: "primary" }),
        following && button(`Next: ${following.title}`, () => this.#app.show("single", { queue: following.id }), { class: "primary" }),
        button("Look again", () => this.#again(false)),
      ),
    );
  }

  #endText(skipped, held) {
    if (this.#supply.standing !== "open") return "That was the last one.";
    if (skipped) return `${count(skipped)} were skipped.`;
    if (held) return `Others look at ${count(held)} pictures at the moment; what they leave comes back.`;
    return Object.keys(this.#app.filters).length ? "Nothing passes the filters." : "No picture waits in this queue.";
  }

  async #again(withSkipped) {
    await this.#supply.restart({ withSkipped });
    this.#forward();
    this.refresh();
  }

  async #jump(id) {
    const there = this.#supply.ids.indexOf(id);
    if (there >= 0) {
      this.#supply.at = there;
      return;
    }
    const item = items.get(id) ?? (await get(`/api/items/${encodeURIComponent(id)}`).catch(() => null));
    if (item) this.#supply.insert(item);
  }

  async #undone(ids) {
    if (!ids.length) return;
    await this.#jump(ids.at(-1));
    this.#zoom.reset();
    this.refresh();
  }

  #changed(ids) {
    const item = this.#supply.current;
    if (item && item.id === this.#shown && ids.includes(item.id)) this.#show(item);
  }

  #arrived() {
    if (this.#shown === null) {
      this.#forward();
      this.refresh();
    } else this.#preload();
  }

  #failed(error) {
    if (this.#shown !== null) return;
    const { end, body } = this.#nodes;
    body.hidden = true;
    end.hidden = false;
    fill(end, el("p", { text: error.message }), button("Try again", () => this.refresh(), { class: "primary" }));
  }

  #preload() {
    const { ids, at } = this.#supply;
    const near = [...ids.slice(at, at + AHEAD + 1), ...ids.slice(Math.max(0, at - 1), at)].map((id) => items.get(id));
    pictures.preload(near.map((item) => item.standard));
    if (this.#isBeside) pictures.preload(near.slice(0, 4).map((item) => item.original));
  }

  /** Its own reasons first, then those of other queues. */
  #reasons(item) {
    const own = item.why.map(({ reason, title }) => ({ id: reason, title, own: true }));
    const known = new Set(own.map(({ id }) => id));
    const others = this.#app.queues.filter(({ id }) => id !== "all" && !known.has(id));
    return [...new Map([...own, ...others.map(({ id, title }) => ({ id, title, own: false }))].map((r) => [r.id, r])).values()];
  }

  #rejectNumber(number) {
    const item = this.#supply.current;
    const reason = item && this.#reasons(item)[number - 1];
    if (reason) this.reject([reason.id]);
  }

  #toggleTag(tag) {
    const item = this.#supply.current;
    if (!item) return;
    const { verdict, reasons, tags } = stateOf(item.id);
    const has = tags.includes(tag);
    const changed = has ? tags.filter((other) => other !== tag) : [...tags, tag];
    outbox.decide([{ item: item.id, verdict, reasons, tags: changed }]);
    announce(`${tag} ${has ? "removed" : "added"}`);
  }

  #beside() {
    this.#isBeside = !this.#isBeside;
    this.#zoom.reset();
    if (this.#supply.current) this.#picture(this.#supply.current);
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
      { key: "s", run: () => this.#next("skipped"), help: "Skip" },
      { key: "ArrowRight", run: () => this.#next("skipped"), help: "Skip", hidden: true },
      { key: "ArrowLeft", run: () => this.#back(), help: "Back" },
      { key: "b", run: () => this.#back(), help: "Back", hidden: true },
      { key: "1", run: () => this.#rejectNumber(1), help: "Reject for the first reason; 2 to 9 for others" },
      ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ key: String(n), run: () => this.#rejectNumber(n), help: "", hidden: true })),
      { key: "o", run: () => this.#beside(), help: "Original beside" },
      { key: "+", run: () => this.#zoom.by(1.5), help: "Zoom in" },
      { key: "=", run: () => this.#zoom.by(1.5), help: "Zoom in", hidden: true },
      { key: "t", run: this.#with((id) => dialogs.tags([id])), help: "Tags" },
      { key: "n", run: this.#with((id) => dialogs.note(id)), help: "Note" },
      { key: "c", run: this.#with((id) => dialogs.compare(id)), help: "Compare with what looks like it" },
      { key: "i", run: this.#with((id) => dialogs.explain(id)), help: "Everything known" },
      { key: "g", run: () => this.#app.show("grid"), help: "Grid" },
      ...tagKeys.map(([key, tag]) => ({ key, run: () => this.#toggleTag(tag), help: `Tag “${tag}”` })),
    ];
  }

  #build(root) {
    const frame = el("div", { class: "frame" });
    const title = el("div", { class: "side-title" });
    const factsNode = el("div", { class: "facts" });
    const more = el("div", { class: "facts" });
    const side = el("aside", { class: "side", aria: { label: "About the picture" }, tabindex: "0" }, title, factsNode, more);
    const act = (name, label, key, run) =>
      button([el("span", { text: label }), keycap(key)], run, { class: `act act-${name}`, dataset: { act: name } });
    const acts = el(
      "div",
      { class: "acts" },
      act("back", "Back", "ArrowLeft", () => this.#back()),
      act("reject", "Reject", "r", () => this.reject()),
      act("skip", "Skip", "s", () => this.#next("skipped")),
      act("accept", "Accept", "a", () => this.accept()),
    );
    const body = el("div", { class: "single" }, el("div", { class: "stage" }, frame, acts), side);
    const end = el("div", { class: "empty", hidden: true });
    fill(root, body, end);
    return { frame, title, facts: factsNode, more, side, body, end };
  }
}

/** Give the picture if it is decoded, else something in its place and a promise. */
function placed(item, kind) {
  if (pictures.ready(item[kind])) return { node: imageOf(item, kind), ready: null };
  const thumb = el("img", { class: "picture picture-soon", src: item.thumb, alt: "", dataset: { kind }, draggable: "false" });
  return { node: thumb, ready: pictures.load(item[kind]) };
}

function imageOf(item, kind) {
  const image = pictures.ready(item[kind]);
  image.className = "picture";
  image.dataset.kind = kind;
  image.alt = kind === "original" ? `Original of ${named(item)}` : described(item);
  return image;
}

function broken(node) {
  node.replaceWith(el("p", { class: "picture-missing", text: "This picture cannot be shown." }));
}
