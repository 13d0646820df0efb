// Copies and colourways side by side: keep the best, some, or all.

import { ClusterSupply } from "./cluster_supply.js";
import { button, el, fill, keycap } from "./dom.js";
import { failure } from "./ending.js";
import { count, many } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { Member } from "./member.js";
import { outbox } from "./outbox.js";
import { markShown, pictures } from "./pictures.js";
import { pace } from "./session.js";
import { toggleTag } from "./tagging.js";
import { announce } from "./toasts.js";

const AHEAD = 3;
const PICTURES_AHEAD = 12; // of each cluster
const IN_ONE_ROW = 6;

export function mount(root, app) {
  const view = new Clusters(root, app);
  view.begin();
  return view;
}

class Clusters {
  #app;
  #supply;
  #shown = null; // the cluster
  #members = [];
  #kept = new Set();
  #at = 0; // the member that arrows move
  #since = 0;
  #isDifference = false;
  #nodes;
  #pop;
  #leaving = new AbortController();

  constructor(root, app) {
    this.#app = app;
    this.#supply = new ClusterSupply(app.queue.id, app.standing, app.session.lease_seconds);
    this.#nodes = this.#build(root);
    this.#pop = keys.push({ name: "Copies side by side", bindings: this.#bindings() });
    const { signal } = this.#leaving;
    items.addEventListener("change", ({ detail }) => this.#changed(detail), { signal });
    outbox.addEventListener("undone", ({ detail }) => this.#undone(detail.items), { signal });
    this.#supply.addEventListener("more", () => this.#arrived(), { signal });
    this.#supply.addEventListener("trouble", ({ detail }) => this.#failed(detail), { signal });
  }

  async begin() {
    await this.#supply.ensure(AHEAD);
    if (!this.#leaving.signal.aborted) this.refresh();
  }

  /** Show what is at the current place. */
  refresh() {
    this.#supply.ensure(AHEAD);
    const cluster = this.#supply.current;
    if (!cluster) return this.#showEnd();
    if (cluster !== this.#shown) this.#show(cluster);
    const coming = this.#supply.following(AHEAD).flatMap(({ items: members }) => members.slice(0, PICTURES_AHEAD));
    pictures.preload(coming.map(({ standard }) => standard));
  }

  destroy() {
    this.#pop();
    this.#leaving.abort();
    this.#supply.close();
  }

  #show(cluster) {
    const { body, end, row } = this.#nodes;
    const hadFocus = row.contains(document.activeElement);
    const ids = cluster.items.map(({ id }) => id);
    // Of what was seen long ago nothing is known any more.
    items.put(cluster.items.filter(({ id }) => !items.get(id)));
    const accepted = ids.filter((id) => items.get(id).verdict === "accepted");
    this.#shown = cluster;
    this.#kept = new Set(accepted.length ? accepted : [cluster.best]);
    this.#at = 0;
    this.#since = performance.now();
    this.#members = this.#begun(ids);
    fill(row, this.#members.map(({ node }) => node));
    this.#showPictures();
    body.hidden = false;
    end.hidden = true;
    row.dataset.many = String(ids.length > IN_ONE_ROW);
    row.scrollLeft = row.scrollTop = 0;
    this.#draw();
    this.#move(0, hadFocus);
    markShown(cluster.key);
  }

  /** Make the members: the best, and the others, which are compared with it. */
  #begun([bestId, ...others]) {
    const best = new Member(bestId, 0, null, () => this.#toggle(0));
    return [best, ...others.map((id, index) => new Member(id, index + 1, best, () => this.#toggle(index + 1)))];
  }

  /** Decide about all members at one stroke; those that are so already need no word. */
  #decide(isKept) {
    const cluster = this.#shown;
    if (!cluster) return;
    const ms = performance.now() - this.#since;
    const wanted = cluster.items.map(({ id }) => ({ item: items.get(id), verdict: isKept(id) ? "accepted" : "rejected" }));
    const changes = wanted.filter(({ item, verdict }) => item.verdict !== verdict);
    if (changes.length) {
      outbox.decide(changes.map(({ item, verdict }) => this.#entry(item, verdict, ms / changes.length)));
      pace.note(changes.length, ms / changes.length);
    }
    const kept = wanted.filter(({ verdict }) => verdict === "accepted").length;
    announce(`${count(kept)} kept, ${count(wanted.length - kept)} rejected`);
    this.#next();
  }

  #entry({ id, relation }, verdict, ms) {
    const reason = this.#shown.kind === "duplicate" ? relation : "colourway";
    return { item: id, verdict, reasons: verdict === "rejected" && reason ? [reason] : [], ms };
  }

  #keepBest() {
    this.#decide((id) => id === this.#shown.best);
  }

  #next() {
    // What is still to come was not seen.
    if (!this.#shown) return;
    this.#supply.at += 1;
    this.#supply.pass();
    this.#shown = null;
    this.refresh();
  }

  #back() {
    if (this.#supply.at === 0) return announce("This is the first one");
    this.#supply.at -= 1;
    this.#shown = null;
    this.refresh();
  }

  #undone(changed) {
    if (!this.#supply.goTo(changed)) return;
    this.#shown = null;
    this.refresh();
  }

  #changed(ids) {
    if (this.#shown?.items.some(({ id }) => ids.includes(id))) this.#draw();
  }

  /** Say how all stands; the nodes stay, and with them the focus and the place. */
  #draw() {
    const { title, keepMarked } = this.#nodes;
    const { items: members, kind, size, more } = this.#shown;
    const what = kind === "duplicate" ? many(size, "copy", "copies") : many(size, "colourway");
    const rest = more ? ` ${count(more)} more are not shown.` : "";
    fill(title, el("h3", { text: what }), el("p", { class: "muted", text: `Marked ones are kept.${rest}` }));
    fill(keepMarked, el("span", { text: `Keep ${count(this.#kept.size)} marked` }), keycap("Enter"));
    members.forEach(({ id }, index) => this.#members[index].draw(this.#kept.has(id)));
  }

  #toggle(index) {
    const member = this.#shown?.items[index];
    if (!member) return;
    if (!this.#kept.delete(member.id)) this.#kept.add(member.id);
    this.#draw();
    this.#move(index - this.#at);
  }

  #move(by, isTaken = true) {
    if (!this.#shown) return;
    const nodeAt = (at) => this.#members[at].node;
    nodeAt(this.#at).setAttribute("tabindex", "-1");
    this.#at = Math.min(this.#members.length - 1, Math.max(0, this.#at + by));
    nodeAt(this.#at).setAttribute("tabindex", "0");
    if (!isTaken) return;
    nodeAt(this.#at).focus({ preventScroll: true });
    nodeAt(this.#at).scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #showDifference() {
    this.#isDifference = !this.#isDifference;
    this.#nodes.differ.setAttribute("aria-pressed", String(this.#isDifference));
    announce(this.#isDifference ? "Differences from the best" : "Pictures");
    this.#showPictures();
  }

  #showPictures() {
    for (const member of this.#members) member.show(this.#isDifference);
  }

  #arrived() {
    // What is shown may have come anew, with other members.
    if (!this.#shown || this.#supply.current !== this.#shown) this.refresh();
  }

  #empty(...said) {
    const { body, end, row } = this.#nodes;
    this.#shown = null;
    this.#members = [];
    fill(row);
    body.hidden = true;
    end.hidden = false;
    fill(end, said);
  }

  #showEnd() {
    if (!this.#supply.finished) return this.#empty(el("p", { text: "Loading…" }));
    const { clusters, skipped } = this.#supply;
    const next = this.#app.queues.find(({ id, open }) => open > 0 && id !== "all" && id !== this.#app.queue?.id);
    return this.#empty(
      el("h2", { text: clusters.length ? "Done here" : "Nothing here" }),
      el("p", { text: this.#left() }),
      el(
        "div",
        { class: "buttons" },
        button(skipped ? `Look at the ${count(skipped)} skipped again` : "Look again", () => this.#again()),
        next && button(`Next: ${next.title}`, () => this.#app.show("single", { queue: next.id }), { class: "primary" }),
      ),
    );
  }

  /** Say what is left of the queue. */
  #left() {
    const { skipped, partly, heldByOthers } = this.#supply;
    if (this.#app.standing !== "open") return "Nothing else is settled.";
    const left = [
      skipped && `${many(skipped, "group")} ${skipped === 1 ? "was" : "were"} skipped.`,
      partly && `${many(partly, "group")} ${partly === 1 ? "has" : "have"} more copies than are shown at once; they come next.`,
      heldByOthers && `${count(heldByOthers)} wait with others; what they leave comes back.`,
    ];
    return left.filter(Boolean).join(" ") || "No copies wait for a decision.";
  }

  async #again() {
    await this.#supply.restart();
    if (!this.#leaving.signal.aborted) this.refresh();
  }

  #failed(error) {
    if (error.code === "build_changed") this.#app.refreshQueues();
    if (!this.#shown) this.#empty(failure(error, () => this.refresh()));
  }

  #current(run) {
    return () => {
      const member = this.#shown?.items[this.#at];
      if (member) run(member.id);
    };
  }

  #bindings() {
    const { dialogs, session } = this.#app;
    const marked = () => this.#decide((id) => this.#kept.has(id));
    const digit = (n) => ({ key: String(n), run: () => this.#toggle(n - 1), help: "Mark the first; 2 to 9 for others", hidden: n > 1 });
    return [
      { key: "b", run: () => this.#keepBest(), help: "Keep the best, reject the others" },
      { key: "k", run: marked, help: "Keep the marked, reject the others" },
      { key: "Enter", run: marked, help: "Keep the marked", hidden: true },
      { key: "l", run: () => this.#decide(() => true), help: "Keep all" },
      { key: " ", run: () => this.#toggle(this.#at), help: "Mark what is to be kept" },
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map(digit),
      { key: "ArrowRight", run: () => this.#move(1), help: "Move" },
      { key: "ArrowLeft", run: () => this.#move(-1), help: "Move", hidden: true },
      { key: "d", run: () => this.#showDifference(), help: "Show where they differ from the best" },
      { key: "s", run: () => this.#next(), help: "Skip" },
      { key: "p", run: () => this.#back(), help: "Previous" },
      { key: "e", run: this.#current((id) => this.#app.openItem(id)), help: "Open it alone" },
      { key: "t", run: this.#current((id) => dialogs.tags([id])), help: "Tags" },
      { key: "i", run: this.#current((id) => dialogs.explain(id)), help: "Everything known" },
      ...Object.entries(session.tag_keys).map(([key, tag]) => ({ key, run: this.#current((id) => toggleTag([id], tag)), help: `Tag “${tag}”` })),
    ];
  }

  #build(root) {
    const title = el("div", { class: "cluster-title" });
    const row = el("div", { class: "members", role: "listbox", tabindex: "0", aria: { label: "Copies", multiselectable: "true" } });
    const act = (name, label, key, run) => button([el("span", { text: label }), keycap(key)], run, { class: `act act-${name}` });
    const keepMarked = button("", () => this.#decide((id) => this.#kept.has(id)), { class: "act act-marked" });
    const acts = el(
      "div",
      { class: "acts" },
      act("back", "Back", "p", () => this.#back()),
      act("skip", "Skip", "s", () => this.#next()),
      act("all", "Keep all", "l", () => this.#decide(() => true)),
      keepMarked,
      act("accept", "Keep best", "b", () => this.#keepBest()),
    );
    const differ = button(["Differences ", keycap("d")], () => this.#showDifference(), { class: "tab", aria: { pressed: "false" } });
    const body = el("div", { class: "cluster", hidden: true }, el("div", { class: "cluster-head" }, title, differ), row, acts);
    const end = el("div", { class: "empty" }, el("p", { text: "Loading…" }));
    fill(root, body, end);
    return { title, row, body, end, keepMarked, differ };
  }
}
