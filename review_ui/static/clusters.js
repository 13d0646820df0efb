// Copies and colourways side by side: keep the best, some, or all.

import { ClusterSupply } from "./cluster_supply.js";
import { difference } from "./difference.js";
import { button, el, fill, keycap } from "./dom.js";
import { bytes, count, described, many, MARKS, measure, named, WORDS } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { outbox } from "./outbox.js";
import { markShown, pictures } from "./pictures.js";
import { pace } from "./session.js";
import { announce } from "./toasts.js";

const AHEAD = 3;
const DIGITS = 9;

export function mount(root, app) {
  const view = new Clusters(root, app);
  view.begin();
  return view;
}

class Clusters {
  #app;
  #supply;
  #kept = new Set();
  #at = 0; // the member that arrows move
  #shown = null; // key
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
    this.#supply.addEventListener("more", () => this.#shown === null && this.refresh(), { signal });
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
    if (cluster.key !== this.#shown) this.#begun(cluster);
    this.#draw(cluster);
    const coming = this.#supply.following(AHEAD).flatMap(({ items: members }) => members.slice(0, 6));
    pictures.preload(coming.map(({ standard }) => standard));
  }

  destroy() {
    this.#pop();
    this.#leaving.abort();
    this.#supply.close();
  }

  #begun(cluster) {
    const members = cluster.items.map(({ id }) => items.get(id));
    const accepted = members.filter(({ verdict }) => verdict === "accepted");
    this.#shown = cluster.key;
    this.#kept = new Set((accepted.length ? accepted : members.slice(0, 1)).map(({ id }) => id));
    this.#at = 0;
    this.#since = performance.now();
    this.#nodes.row.scrollLeft = 0;
    markShown(cluster.key);
  }

  /** Decide about all members at one stroke; those that are so already need no word. */
  #decide(isKept) {
    const cluster = this.#supply.current;
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
    const reason = this.#supply.current.kind === "duplicate" ? relation : "colourway";
    return { item: id, verdict, reasons: verdict === "rejected" && reason ? [reason] : [], ms };
  }

  #keepBest() {
    const best = this.#supply.current?.best;
    this.#decide((id) => id === best);
  }

  #next() {
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
    const cluster = this.#supply.current;
    if (cluster?.key === this.#shown && cluster.items.some(({ id }) => ids.includes(id))) this.#draw(cluster);
  }

  #draw(cluster) {
    const { body, end, row, title, keepMarked } = this.#nodes;
    body.hidden = false;
    end.hidden = true;
    const members = cluster.items.map(({ id }) => items.get(id));
    const what = cluster.kind === "duplicate" ? many(cluster.size, "copy", "copies") : many(cluster.size, "colourway");
    const more = cluster.more ? ` ${count(cluster.more)} more are not shown and not decided.` : "";
    fill(title, el("h3", { text: `${what}, the one to keep first` }), el("p", { class: "muted", text: `Marked ones are kept.${more}` }));
    fill(row, members.map((item, index) => this.#member(item, index, members[0])));
    fill(keepMarked, el("span", { text: `Keep ${count(this.#kept.size)} marked` }), keycap("Enter"));
    row.children[this.#at]?.setAttribute("tabindex", "0");
  }

  #member(item, index, best) {
    const isKept = this.#kept.has(item.id);
    const label = `${described(item)}; ${isKept ? "to be kept" : "to be rejected"}`;
    const node = el(
      "div",
      {
        class: "member",
        role: "option",
        tabindex: "-1",
        dataset: { id: item.id, kept: String(isKept) },
        aria: { selected: String(isKept), label },
        on: { click: () => this.#toggle(index) },
      },
      el("div", { class: "member-picture" }, this.#picture(item, best)),
      el("p", { class: "member-head" }, el("span", { class: "mark", aria: { hidden: "true" }, text: isKept ? MARKS.accepted : MARKS.rejected }), index < DIGITS && keycap(String(index + 1)), el("b", { text: named(item) })),
      facts(item, best),
    );
    return node;
  }

  #picture(item, best) {
    const mine = pictures.ready(item.standard);
    if (!mine) {
      pictures.load(item.standard).then((isGood) => isGood && this.#changed([item.id]));
      return el("img", { src: item.thumb, alt: "", draggable: "false" });
    }
    const kept = pictures.ready(best.standard);
    if (this.#isDifference && kept && item.id !== best.id) {
      const { canvas, share } = difference(kept, mine);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${measure(100 * share)} % of the picture differ from the first`);
      return [canvas, el("span", { class: "member-share", text: `${measure(100 * share)} % differ` })];
    }
    // One decoded picture can be in one place only; copies may share it.
    const image = mine.isConnected ? mine.cloneNode() : mine;
    image.className = "";
    image.alt = "";
    return image;
  }

  #toggle(index) {
    const member = this.#supply.current?.items[index];
    if (!member) return;
    if (!this.#kept.delete(member.id)) this.#kept.add(member.id);
    this.#at = index;
    this.#draw(this.#supply.current);
    this.#nodes.row.children[index].focus({ preventScroll: true });
  }

  #move(by) {
    const { children } = this.#nodes.row;
    if (!children.length) return;
    children[this.#at]?.setAttribute("tabindex", "-1");
    this.#at = Math.min(children.length - 1, Math.max(0, this.#at + by));
    children[this.#at].setAttribute("tabindex", "0");
    children[this.#at].focus();
  }

  #showDifference() {
    this.#isDifference = !this.#isDifference;
    announce(this.#isDifference ? "Differences from the first" : "Pictures");
    if (this.#supply.current) this.#draw(this.#supply.current);
  }

  #showEnd() {
    const { body, end } = this.#nodes;
    this.#shown = null;
    body.hidden = true;
    end.hidden = false;
    if (!this.#supply.finished) return fill(end, el("p", { text: "Loading…" }));
    const next = this.#app.queues.find(({ id, open }) => open > 0 && id !== "all" && id !== this.#app.queue.id);
    fill(
      end,
      el("h2", { text: this.#supply.clusters.length ? "Done here" : "Nothing here" }),
      el("p", { text: this.#app.standing === "open" ? "No copies wait for a decision." : "Nothing is settled yet." }),
      el(
        "div",
        { class: "buttons" },
        button("Look again", () => this.#supply.restart()),
        next && button(`Next: ${next.title}`, () => this.#app.show("single", { queue: next.id }), { class: "primary" }),
      ),
    );
  }

  #failed(error) {
    if (this.#shown !== null) return;
    const { body, end } = this.#nodes;
    body.hidden = true;
    end.hidden = false;
    fill(end, el("p", { text: error.message }), button("Try again", () => this.refresh(), { class: "primary" }));
  }

  #current(run) {
    return () => {
      const member = this.#supply.current?.items[this.#at];
      if (member) run(member.id);
    };
  }

  #bindings() {
    const { dialogs } = this.#app;
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
      { key: "d", run: () => this.#showDifference(), help: "Show where they differ from the first" },
      { key: "s", run: () => this.#next(), help: "Skip" },
      { key: "p", run: () => this.#back(), help: "Previous" },
      { key: "e", run: this.#current((id) => this.#app.openItem(id)), help: "Open it alone" },
      { key: "t", run: this.#current((id) => dialogs.tags([id])), help: "Tags" },
      { key: "i", run: this.#current((id) => dialogs.explain(id)), help: "Everything known" },
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
    const differ = button(["Differences ", keycap("d")], () => this.#showDifference(), { class: "quiet" });
    const body = el("div", { class: "cluster", hidden: true }, el("div", { class: "cluster-head" }, title, differ), row, acts);
    const end = el("div", { class: "empty" }, el("p", { text: "Loading…" }));
    fill(root, body, end);
    return { title, row, body, end, keepMarked };
  }
}

/** What is known of a member; what is better or worse than the first is said so. */
function facts(item, best) {
  const area = (of) => of.width * of.height;
  const rows = [
    ["Size", `${item.width} × ${item.height}`, compared(area(item), area(best))],
    ["File", bytes(item.bytes), compared(item.bytes, best.bytes)],
    ["Source", item.source, item.source === best.source ? "" : "other"],
    ["Copy", item.relation?.replaceAll("_", " "), ""],
    ["Distance", item.distance === null ? null : measure(item.distance), ""],
    ["Stands", WORDS[item.standing] + (item.reviewer && item.verdict ? `, ${item.reviewer}` : ""), ""],
  ];
  return el(
    "dl",
    { class: "member-facts" },
    rows
      .filter(([, value]) => value)
      .map(([name, value, how]) => [el("dt", { text: name }), el("dd", { dataset: { how } }, value, how && el("small", { text: ` ${SAID[how]}` }))]),
  );
}

const SAID = { more: "▲ larger", less: "▼ smaller", other: "≠ other" };

function compared(mine, first) {
  if (mine === first) return "";
  return mine > first ? "more" : "less";
}
