// The rail: what there is to do, by reason.

import { button, el, refill, svg } from "./dom.js";
import { ago, count, many } from "./format.js";

export class Rail {
  #app;
  #root;
  #isIdleOpen = false;

  constructor(app, root) {
    this.#app = app;
    this.#root = root;
    root.addEventListener("click", (event) => {
      if (event.target.closest("a")) this.toggle(false);
    });
    document.addEventListener("nonesuch:rail", () => this.toggle());
    // What darkens the page beside the drawer is of the body.
    document.addEventListener("click", ({ target }) => target === document.body && this.toggle(false));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.toggle(false));
  }

  /** On narrow screens the rail is a drawer. */
  toggle(open = !document.body.classList.contains("rail-open")) {
    document.body.classList.toggle("rail-open", open);
  }

  draw() {
    const { queues, overview } = this.#app;
    const [all, ...reasons] = queues;
    const most = Math.max(1, ...reasons.map(({ open }) => open));
    const list = (wanted) => reasons.filter(wanted).map((queue) => this.#entry(queue, most));
    const idle = list((queue) => isEmpty(queue) && !this.#isCurrent(queue));
    const close = button("×", () => this.toggle(false), {
      class: "icon-button rail-close",
      dataset: { name: "close" },
      aria: { label: "Close the list of queues" },
    });
    refill(
      this.#root,
      el("div", { class: "rail-head" }, el("h2", { text: "To do" }), close),
      el("ul", { class: "queues" }, list((queue) => !isEmpty(queue) || this.#isCurrent(queue))),
      all && el("ul", { class: "queues queues-all" }, this.#entry(all, 0)),
      idle.length > 0 && this.#idle(idle),
      this.#foot(overview),
    );
  }

  #isCurrent({ id }) {
    return id === this.#app.route.queue;
  }

  /** Rules that found nothing, out of the way. */
  #idle(entries) {
    const node = el(
      "details",
      { class: "idle", open: this.#isIdleOpen, on: { toggle: () => (this.#isIdleOpen = node.open) } },
      el("summary", { text: `Found nothing: ${entries.length}`, dataset: { name: "idle" } }),
      el("ul", { class: "queues" }, entries),
    );
    return node;
  }

  #entry(queue, most) {
    const { id, title, open, kind, meaning } = queue;
    const current = this.#isCurrent(queue);
    const unit = kind === "clusters" ? "group" : "picture";
    const link = el(
      "a",
      {
        class: open ? "queue" : "queue queue-done",
        href: `#/${kind === "clusters" ? "clusters" : "single"}/${encodeURIComponent(id)}`,
        title: meaning,
        dataset: { name: `queue-${id}` },
        aria: { ...(current && { current: "page" }), label: `${title}: ${many(open, unit)} to do` },
        on: { click: (event) => this.#choose(event, queue) },
      },
      el("span", { class: "queue-title", text: title }),
      el("span", { class: "queue-count", text: open ? count(open) : isEmpty(queue) ? "–" : "✓" }),
      most > 0 && open > 0 && bar(open / most),
    );
    return el("li", {}, link);
  }

  #choose(event, { id, kind }) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const view = kind === "clusters" ? "clusters" : this.#app.view === "grid" ? "grid" : "single";
    this.#app.show(view, { queue: id });
    this.toggle(false);
  }

  #foot({ build, sync, decisions, online }) {
    const others = online.filter(({ name }) => name !== this.#app.session.name);
    return el(
      "div",
      { class: "rail-foot" },
      sync.state === "reading" && el("p", { text: `Reading a new build${sync.total ? `: ${count(sync.done)} of ${count(sync.total)}` : "…"}` }),
      sync.state === "failed" && el("p", { class: "problem", text: sync.message }),
      others.length > 0 && el("p", { text: `Here too: ${others.map(({ name }) => name).join(", ")}` }),
      build && el("p", { text: `${many(build.items, "picture")}, built ${ago(build.built_at)}` }),
      el("p", { text: many(decisions, "decision") }),
    );
  }
}

function isEmpty({ open, accepted, rejected, settled }) {
  return open + accepted + rejected + (settled ?? 0) === 0;
}

function bar(share) {
  const width = Math.max(share > 0 ? 1.5 : 0, 100 * share);
  return svg(
    "svg",
    { class: "queue-bar", viewBox: "0 0 100 2", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 2 }),
  );
}
