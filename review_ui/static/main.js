// The page: what is shown, by the address; and what holds it together.

import { get } from "./api.js";
import { ask, loading } from "./dialogs.js";
import { button, clear, el, fill } from "./dom.js";
import { many } from "./format.js";
import { items } from "./items.js";
import { keys } from "./keys.js";
import { messages } from "./messages.js";
import { outbox } from "./outbox.js";
import { Rail } from "./queues.js";
import { isOfQueue, read, sameList, write } from "./route.js";
import { beforeLogOut, openSession } from "./session.js";
import { Supply } from "./supply.js";
import { announce, toast } from "./toasts.js";
import { Toolbar } from "./toolbar.js";
import { TopBar } from "./topbar.js";

const POLL = 15_000;
const POLL_READING = 1_500;
const SETTLE = 800;
const NAMED_AFTER = 400;
const PRELOAD = 1_000;

/** Dialogs are loaded when the page has time, or when they are first wanted. */
const dialogs = {
  history: (options) => opened("./history.js", "open", options),
  statistics: () => opened("./statistics.js", "open"),
  start: (kind) => opened("./start.js", "open", kind),
  samples: (run) => opened("./samples.js", "open", run),
  exchange: () => opened("./exchange.js", "open"),
  help: () => opened("./help.js", "open", keys.all()),
  explain: (item) => opened("./explain.js", "open", item),
  tags: (ids) => opened("./tags.js", "openTags", ids),
  compare: (item) => opened("./compare.js", "openCompare", item),
  note: (item) => opened("./note.js", "open", item),
  filters: () => opened("./filters.js", "open"),
};

const MODULES = ["history", "statistics", "start", "samples", "exchange", "help", "explain", "tags", "compare", "note", "filters"];

async function opened(module, name, argument) {
  // What is typed for the dialog must not decide about the picture below.
  const arrived = loading();
  try {
    const shown = (await import(module))[name](app, argument);
    if (!document.querySelector("dialog[open]")) await shown;
  } catch (error) {
    toast(`That could not be opened: ${error.message}`, { kind: "bad" });
  }
  arrived();
}

/**
 * What views and dialogs are given.
 *
 * `session` as GET /api/session; `overview` as GET /api/queues; `route` what the address says;
 * `queue` the Queue shown, or null; `supply` its items, shared by single and grid.
 */
export const app = {
  session: null,
  overview: null,
  route: read(location.hash),
  supply: null,
  dialogs,

  get queue() {
    return this.overview?.queues.find(({ id }) => id === this.route.queue) ?? null;
  },
  get queues() {
    return this.overview?.queues ?? [];
  },
  get view() {
    return this.route.view;
  },
  get standing() {
    return this.route.standing;
  },
  get filters() {
    return this.route.filters;
  },

  /** Show a view; what is left out of `params` stays. @param {object} [params] parts of a Route */
  show(view, params = {}) {
    const other = "queue" in params && params.queue !== this.route.queue;
    const fresh = other ? { standing: "open", filters: {} } : {};
    const route = { ...this.route, ...fresh, item: null, view, ...params };
    history.pushState(null, "", write(route));
    go(route);
  },

  /** Show the loop, or what was shown before it. */
  turnToModels() {
    if (isOfQueue(this.route)) this.show("models", { queue: null });
    else this.show("single", lastList ?? { queue: null });
  },

  /** Show one item in the single view. */
  async openItem(id) {
    try {
      const item = await get(`/api/items/${encodeURIComponent(id)}`).catch((error) => {
        if (!items.get(id)) throw error;
      });
      if (item) items.put([item]);
      document.querySelectorAll("dialog[open]").forEach((open) => open.close());
      if (["clusters", "models"].includes(this.route.view)) this.show("single", { queue: "all", item: id });
      else this.supply.insert(id);
      if (this.route.view !== "single") this.show("single", { item: id });
      else mounted?.refresh?.();
    } catch (error) {
      toast(error.message, { kind: "bad" });
    }
  },

  /** Keep the item in the address, without a step in the history. */
  at(id) {
    this.route.item = id;
    clearTimeout(naming);
    // Browsers count how often the address changes, and stop listening.
    naming = setTimeout(() => history.replaceState(null, "", write(this.route)), NAMED_AFTER);
  },

  /** Ask again for the queues and their counts. */
  async refreshQueues() {
    const before = this.overview?.build?.id;
    try {
      this.overview = await get("/api/queues");
    } catch (error) {
      // Who has decisions to send is told so, and asked to log in again.
      if (error.status === 401 && !outbox.pending) location.assign(`/login${location.hash}`);
      return;
    }
    rail.draw();
    topBar.draw();
    toolbar.draw();
    if (!isOfQueue(this.route)) mounted?.refresh?.();
    const now = this.overview.build?.id;
    if (before && now && before !== now) rebuilt();
    if (waits && this.overview.build) go(this.route);
    else if (waits) fill(document.getElementById("view"), nothingYet());
  },
};

const rail = new Rail(app, document.getElementById("rail"));
const topBar = new TopBar(app, document.getElementById("top"));
const toolbar = new Toolbar(app, document.getElementById("toolbar"));
let mounted = null;
let mountedRoute = null;
let lastList = null;
let waits = false;

const views = {
  single: () => import("./single.js"),
  grid: () => import("./grid.js"),
  clusters: () => import("./clusters.js"),
  models: () => import("./models.js"),
};

async function go(route) {
  clearTimeout(naming);
  const hasQueue = isOfQueue(route);
  waits = hasQueue && !app.overview?.build;
  // Before there are queues, no address is completed: the one that was asked for comes up then.
  if (hasQueue && !waits) lastList = route = completed(route);
  const kept = mountedRoute !== null && sameList(route, mountedRoute);
  app.route = mountedRoute = route;
  const root = document.getElementById("view");
  if (waits) return unmount(), fill(root, nothingYet());
  let module;
  try {
    module = await views[route.view]();
  } catch (error) {
    // Nothing is taken away before something else is there to take its place.
    return toast(`This view could not be loaded: ${error.message}`, { kind: "bad", sticky: true, key: "view", action: { label: "Try again", run: () => go(route) } });
  }
  if (mountedRoute !== route) return;
  unmount();
  if (!hasQueue) endSupply();
  else if (!kept || !app.supply) renewSupply(route);
  rail.draw();
  toolbar.draw();
  topBar.draw();
  document.title = `${hasQueue ? (app.queue?.title ?? "Review") : "Models"} – ${app.session.dataset}`;
  mounted = module.mount(clear(root), app, { item: route.item });
}

function unmount() {
  mounted?.destroy();
  mounted = null;
}

/** Let others have what nobody looks at here. */
function endSupply() {
  app.supply?.close();
  app.supply = null;
}

function renewSupply(route) {
  app.supply?.close();
  app.supply = new Supply(route, app.session.lease_seconds);
  app.supply.addEventListener("trouble", ({ detail }) => detail.code === "build_changed" && app.refreshQueues());
}

function rebuilt() {
  const look = () => {
    endSupply();
    go({ ...app.route, item: null });
  };
  toast("The data set was rebuilt.", { sticky: true, key: "rebuilt", action: { label: "Show the new build", run: look } });
}

/** Fill in what an address leaves open: the first queue with something to do. */
function completed(route) {
  const known = app.queues.find(({ id }) => id === route.queue);
  const queue = known ?? app.queues.find(({ id, open }) => open && id !== "all") ?? app.queues[0];
  if (!queue) return route;
  const isOfClusters = queue.kind === "clusters";
  const view = isOfClusters ? "clusters" : route.view === "clusters" ? "single" : route.view;
  const standing = (route.standing === "settled") === isOfClusters ? route.standing : "open";
  return { ...route, queue: queue.id, view, standing };
}

function nothingYet() {
  const sync = app.overview?.sync ?? { state: "empty", message: "", done: 0, total: 0 };
  if (sync.state === "reading") {
    const bar = el("progress", { max: sync.total || null, aria: { label: "Read so far" } });
    if (sync.total) bar.value = sync.done;
    return el("div", { class: "empty" }, el("h2", { text: "Reading the catalog…" }), bar);
  }
  if (sync.state === "failed") {
    return el("div", { class: "empty" }, el("h2", { text: "The catalog cannot be read" }), el("p", { text: sync.message }));
  }
  return el(
    "div",
    { class: "empty" },
    el("h2", { text: "Nothing to review yet" }),
    el("p", {}, "Run ", el("code", { text: "nonesuch rebuild" }), "; this page shows what it finds by itself."),
  );
}

const HANDS_OFF = [
  { key: "z", run: () => outbox.undo(), help: "Undo" },
  { key: "z", shift: true, run: () => outbox.redo(), help: "Redo", hidden: true },
  { key: "y", run: () => outbox.redo(), help: "Redo" },
  { key: "h", run: () => dialogs.history(), help: "History of decisions" },
  { key: "f", run: () => app.queue?.kind === "items" && dialogs.filters(), help: "Filters" },
  { key: "v", run: () => app.turnToModels(), help: "Models: the loop, and back" },
  { key: "?", run: () => dialogs.help(), help: "All keys" },
];

let settling = 0;
let naming = 0;

function watch() {
  outbox.addEventListener("saved", () => {
    clearTimeout(settling);
    settling = setTimeout(() => app.refreshQueues(), SETTLE);
  });
  addEventListener("popstate", () => go(read(location.hash)));
  // Its address is not one of ours, which say what is shown.
  document.querySelector(".skip-link").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("view").focus();
  });
  addEventListener("hashchange", () => {
    if (location.hash !== write(mountedRoute)) go(read(location.hash));
  });
  addEventListener("beforeunload", (event) => {
    const logsIn = outbox.trouble?.locked && outbox.lasts;
    if (outbox.pending && !logsIn) event.preventDefault();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  poll();
}

/** Let others have what is left. */
function leave() {
  unmount();
  app.supply?.close();
}

async function logsOut() {
  await outbox.flushed();
  const agreed =
    !outbox.pending ||
    (await ask("Log out", `${many(outbox.pending, "decision")} of yours cannot be saved now. This browser keeps them, and sends them when you log in here again.`, { yes: "Log out all the same" }));
  if (agreed) leave();
  return agreed;
}

async function poll() {
  const pause = app.overview?.sync.state === "reading" ? POLL_READING : POLL;
  await new Promise((resolve) => setTimeout(resolve, pause));
  if (document.visibilityState === "visible") await app.refreshQueues();
  poll();
}

async function begin() {
  app.session = await openSession();
  keys.push({ name: "Everywhere", bindings: HANDS_OFF });
  await outbox.start(app.session);
  messages(app, outbox, items);
  await app.refreshQueues();
  watch();
  beforeLogOut(logsOut);
  announce(`Logged in as ${app.session.name}`);
  await go(read(location.hash));
  setTimeout(preload, PRELOAD);
}

/** Have everything at hand, so that no key waits for the network, or is lost without one. */
function preload() {
  const modules = [...Object.values(views).map((load) => load()), ...MODULES.map((name) => import(`./${name}.js`))];
  Promise.allSettled(modules);
}

begin().catch((error) => {
  const again = button("Try again", () => location.reload(), { class: "primary" });
  const said = el("p", { text: error.message });
  fill(document.getElementById("view"), el("div", { class: "empty" }, said, again));
});

