// <seller-sync>: connect, live progress, claims and history of one user, in a page of any origin.
// docs/integrating.md shows how to use it. It builds elements and never parses markup or styles, so
// that it works under a strict Content-Security-Policy.
import { createClient, ended, ProblemError } from "./client.js";
import { badge, card, CLAIMS, Formats, h, isLive, STAGES, stateOf, write } from "./embed-parts.js";
import { sheet } from "./embed-style.js";

const HOME = new URL("..", import.meta.url).href; // the service that has sent this module
const ROWS = 5;
const AGAIN = 15_000; // ms until a part that failed to load is loaded again

export class SellerSync extends HTMLElement {
  static observedAttributes = ["base-url", "token", "sync-id", "settings", "lang"];

  #claims = h("div");
  #accounts = h("div");
  #base = HOME;
  #banner = h("p", { class: "banner calm", role: "status", hidden: true });
  #show = new Formats(() => this.closest("[lang]")?.lang || navigator.language);
  #spoken = h("p", { class: "spoken", role: "status" });
  #headline = h("strong", { class: "grow" });
  #percent = h("span", { class: "muted" });
  #bar = h("progress", { max: 100, "aria-label": "Progress of the import" });
  #message = h("p", { class: "muted" });
  #left = h("p", { class: "muted small" });
  #failure = h("p", { class: "problem", role: "alert", hidden: true });
  #cancel = h("button", { type: "button", hidden: true, onclick: () => this.#act("cancel", this.#shown()) }, "Cancel");
  #resume = h("button", { type: "button", hidden: true, onclick: () => this.#act("resume", this.#shown()) }, "Resume");
  #run = card("run", "Import", h("div", { class: "row" }, this.#headline, this.#percent), this.#bar, this.#message,
    this.#left, this.#failure, h("div", { class: "row" }, this.#resume, this.#cancel));
  #history = h("div");
  #cards = h("div", { class: "box" }, card("accounts", "Accounts", this.#accounts), this.#run,
    card("claims", "What you are owed", this.#claims), card("history", "Earlier imports", this.#history));

  #busy = false;
  #client = null;
  #connections = null;
  #connectors = [];
  #handlers = {};
  #heard = null;
  #link = null;
  #queued = false;
  #refused = false;
  #reload = () => {};
  #stop = () => {};
  #syncs = new Map();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    // The words are English, whatever the language of the page; dates and money are in its format.
    root.append(h("div", { class: "box", lang: "en" }, this.#banner, this.#cards, this.#spoken));
    for (const name of ["getToken", "getTicket"]) {
      if (!Object.hasOwn(this, name)) continue; // set before the element was defined
      const handler = this[name];
      delete this[name];
      this.#handlers[name] = handler;
    }
  }

  /** Returns the user's token, or a promise of it: `getToken({ refresh })`. */
  get getToken() { return this.#handlers.getToken; }
  set getToken(handler) { this.#handle("getToken", handler); }
  /** Returns a ticket for the stream of the sync in `sync-id`. */
  get getTicket() { return this.#handlers.getTicket; }
  set getTicket(handler) { this.#handle("getTicket", handler); }
  get token() { return this.getAttribute("token") ?? ""; }
  set token(token) { token ? this.setAttribute("token", token) : this.removeAttribute("token"); }

  /** Starts again, for example after a new sign-in. */
  refresh() { this.#restart(); }

  connectedCallback() { this.#restart(); }

  disconnectedCallback() {
    this.#stop();
    this.#client = null;
  }

  attributeChangedCallback(name, old, now) {
    if (old !== now) this.#restart();
  }

  #handle(name, handler) {
    const restarts = Boolean(handler) !== Boolean(this.#handlers[name]) || this.#refused;
    this.#handlers[name] = handler; // a framework sets a new function at each rendering
    if (restarts) this.#restart();
  }

  // The service --------------------------------------------------------------------------------------

  #restart() {
    if (this.#queued || !this.isConnected) return;
    this.#queued = true; // several attributes may change at once
    queueMicrotask(() => {
      this.#queued = false;
      this.#stop();
      if (this.isConnected) this.#start();
    });
  }

  #start() {
    const { getToken, getTicket } = this.#handlers;
    const baseUrl = this.getAttribute("base-url") || HOME;
    const only = this.getAttribute("sync-id");
    this.#client = createClient({
      baseUrl,
      ...(this.token && { token: this.token }),
      ...(getToken && { getToken: (how) => this.#handlers.getToken(how) }),
      ...(getTicket && { getTicket: (id) => this.#handlers.getTicket(id) }),
    });
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#syncs.clear();
    this.#connections = null;
    this.#refused = false;
    this.#link = null;
    for (const part of [this.#accounts, this.#claims, this.#history]) part.replaceChildren(); // another user's
    delete this.#accounts.dataset.shown;
    const own = new URL(this.#base, location.href).origin === location.origin; // its cookie is sent
    if (!own && !this.token && !getToken && !getTicket) return this.#render(); // the page sets a token later
    for (const part of this.#cards.children) part.hidden = Boolean(only) && part !== this.#run;
    const callbacks = {
      onChange: (sync, kind) => this.#receive(sync, kind),
      onReset: ({ syncId }) => this.#syncs.delete(syncId),
      onLink: (state) => this.#linked(state),
      onError: (problem) => this.#refuse(problem),
    };
    const unsubscribe = only ? this.#client.subscribe(only, callbacks) : this.#client.subscribeAll(callbacks);
    const loads = only ? [] : [
      this.#load(this.#accounts, () => this.#loadAccounts()),
      this.#load(this.#claims, () => this.#loadClaims()),
      this.#load(this.#history, () => this.#loadHistory()),
    ];
    const onShow = () => document.hidden || this.#reload();
    document.addEventListener("visibilitychange", onShow);
    this.#reload = () => loads.forEach((load) => load());
    this.#stop = () => {
      unsubscribe();
      loads.forEach((load) => load.stop());
      document.removeEventListener("visibilitychange", onShow);
      this.#stop = () => {};
    };
    this.#render();
  }

  /** Returns a function that loads a part, shows its error and retries it. */
  #load(place, work) {
    const client = this.#client;
    let timer = 0;
    const load = async () => {
      clearTimeout(timer);
      try {
        await work(client);
      } catch (problem) {
        if (client !== this.#client) return;
        if (problem.status === 401) return this.#refuse(problem);
        place.classList.add("stale");
        const old = place.querySelector(".problem");
        if (!(problem instanceof ProblemError)) console.error(problem); // an error of the page's own function
        const words = `${problem instanceof TypeError ? "This cannot be loaded." : problem.message} The data shown may be outdated.`;
        old ? write(old, words) : place.prepend(h("p", { class: "problem" }, words));
        timer = setTimeout(load, AGAIN);
      }
    };
    load.stop = () => clearTimeout(timer);
    load();
    return load;
  }

  /** Replaces the content of a part, unless the element has restarted meanwhile. */
  #fill(place, client, ...children) {
    if (client !== this.#client) return;
    place.classList.remove("stale");
    place.replaceChildren(...children.filter(Boolean));
  }

  #receive(sync, kind) {
    const before = this.#syncs.get(sync.syncId);
    this.#syncs.set(sync.syncId, { ...sync, warningsCount: sync.warnings?.length ?? 0 });
    this.#heard = Date.now();
    if (before?.stage !== sync.stage || before?.status !== sync.status) {
      write(this.#spoken, isLive(sync) ? `${this.#words(sync)}, ${sync.progress} percent` : sync.message);
    }
    if (kind !== "progress" || before?.status !== sync.status) this.#reload();
    this.#render();
    this.dispatchEvent(new CustomEvent("seller-sync-change", { detail: sync, bubbles: true, composed: true }));
  }

  #linked(state) {
    if (state !== "offline") this.#heard = Date.now();
    const returned = this.#link === "offline";
    this.#link = state;
    if (returned) this.#reload();
    this.#render();
  }

  /** Stops, because the credential is refused. The page may set another one, which restarts. */
  #refuse(problem) {
    if (this.#refused) return;
    this.#refused = true;
    this.#stop();
    this.#render();
    write(this.#banner, problem.status === 404 ? "This import does not exist." : "You are signed out. Sign in again to see your data.");
    this.dispatchEvent(new CustomEvent("seller-sync-unauthorized", { detail: problem, bubbles: true, composed: true }));
  }

  async #act(name, subject) {
    this.#failure.hidden = true;
    this.#busy = true;
    this.#render();
    try {
      await (name === "start" ? this.#client.start({ connectionId: subject }) : this.#client[name](subject.syncId));
    } catch (problem) {
      write(this.#failure, problem.message);
      this.#failure.hidden = false;
    }
    this.#busy = false;
    this.#reload();
    this.#render();
  }

  // What is shown ------------------------------------------------------------------------------------

  #words(sync) { return sync.status === "in_progress" ? STAGES[sync.stage] : stateOf(sync)[0]; }

  /** The live sync, or the newest. */
  #shown() {
    const syncs = [...this.#syncs.values()].sort((one, two) => (one.startedAt < two.startedAt ? 1 : -1));
    return syncs.find(isLive) ?? syncs[0] ?? null;
  }

  #lost(id) { return this.#connections?.find((connection) => connection.id === id)?.status === "lost"; }

  #render() {
    const sync = this.#shown();
    const stale = this.#link === "offline" || this.#refused;
    this.#cards.classList.toggle("stale", stale);
    this.#banner.hidden = !stale && this.#link !== "polling";
    this.#banner.className = `banner ${stale ? "warn" : "calm"}`;
    if (!this.#refused && !this.#banner.hidden) {
      write(this.#banner, stale
        ? `Not up to date: no connection to the service${this.#heard ? ` since ${this.#show.time(this.#heard)}` : ""}. Your data is safe.`
        : "No live updates at the moment. This page checks every few seconds.");
    }
    this.#renderRun(sync);
    const off = stale || this.#busy;
    for (const button of this.#cards.querySelectorAll("button")) button.disabled = off;
    for (const button of this.#accounts.querySelectorAll("[data-start]")) button.hidden = isLive(sync);
  }

  #renderRun(sync) {
    const lost = sync && this.#lost(sync.connectionId);
    this.#cancel.hidden = lost || !isLive(sync);
    this.#resume.hidden = lost || !sync || !["paused", "failed", "cancelled"].includes(sync.status);
    this.#bar.hidden = this.#percent.hidden = !sync;
    write(this.#headline, sync ? this.#words(sync) : "Nothing has been imported yet");
    if (!sync) return write(this.#message, this.#connections?.length ? "" : "Connect an account first.");
    write(this.#percent, `${sync.progress} %`);
    this.#bar.value = sync.progress;
    this.#bar.setAttribute("aria-valuetext", `${sync.progress} %, ${this.#words(sync)}`);
    const waits = sync.datasets?.find((dataset) => dataset.waiting)?.waiting;
    this.#run.classList.toggle("waiting", Boolean(waits) && isLive(sync));
    this.#run.classList.toggle("done", sync.status === "complete" && !sync.warningsCount);
    write(this.#message, waits && isLive(sync)
      ? `Waiting for ${waits.for}. Continues at ${this.#show.time(Date.parse(waits.until))}. No action is needed.`
      : sync.message);
    const seconds = isLive(sync) ? sync.estimatedSecondsRemaining : null;
    const since = ended(sync) && sync.completedAt ? `Ended ${this.#show.moment(sync.completedAt)}` : `Started ${this.#show.moment(sync.startedAt)}`;
    write(this.#left, seconds ? `${since} · about ${this.#show.number(Math.ceil(seconds / 60))} min left` : since);
  }

  // Accounts

  async #loadAccounts() {
    const client = this.#client;
    const [{ connections }, { connectors }] = await Promise.all([client.connections(), client.connectors()]);
    if (client !== this.#client) return;
    this.#connections = connections;
    this.#connectors = connectors.filter((connector) => connector.consent);
    const shown = JSON.stringify([connections, connectors]);
    if (this.#accounts.dataset.shown === shown && !this.#accounts.querySelector(".problem")) {
      this.#accounts.classList.remove("stale");
      this.#accounts.lastElementChild.replaceWith(this.#show.asOf()); // controls in use stay
    } else {
      const rows = connections.map((connection) => this.#account(connection, connections.length === 1));
      this.#fill(this.#accounts, client, h("ul", {}, ...rows), ...(rows.length ? [] : this.#offers()), this.#show.asOf());
      this.#accounts.dataset.shown = shown;
    }
    this.#render();
  }

  #account(connection, only) {
    const lost = connection.status === "lost";
    const read = `${this.#show.number(connection.records)} records`;
    const last = connection.lastSync?.completedAt;
    return h("li", { class: "row" },
      h("div", { class: "grow" },
        h("p", { class: "row" }, h("strong", {}, connection.name || "Account"),
          badge(lost ? ["Connection lost", "warn"] : ["Connected", "good"])),
        h("p", { class: "muted small" }, lost && connection.statusReason ? connection.statusReason
          : last ? `${read}, last read ${this.#show.moment(last)}` : read)),
      lost ? this.#consent("Connect again", connection.connector, { ...this.#flat(connection.settings), connectionId: connection.id })
        : h("button", { type: "button", class: only ? "first" : "", "data-start": true, onclick: () => this.#act("start", connection.id) }, "Sync now"));
  }

  /** Settings as parameters of the consent page: lists are separated by commas. */
  #flat(settings) {
    return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  }

  /** A link that opens the consent page of the source in a new tab. The page can cancel the event
   * `seller-sync-connect` and connect itself. For a source without a consent page, a button sends the
   * event only. */
  #consent(words, connector, query) {
    const consent = this.#connectors.some(({ name }) => name === connector);
    const path = `/api/connections/${encodeURIComponent(connector)}/authorize`;
    const url = () => (consent ? `${this.#base}${path}?${new URLSearchParams(query)}` : null);
    const onclick = (event) => {
      const detail = { connector, connectionId: query.connectionId ?? null, url: url() };
      const asked = new CustomEvent("seller-sync-connect", { detail, bubbles: true, composed: true, cancelable: true });
      if (!this.dispatchEvent(asked)) event.preventDefault();
      else if (consent) event.currentTarget.href = url();
    };
    if (!consent) return h("button", { type: "button", class: "first", onclick }, words);
    return h("a", { class: "button first", href: url(), target: "_blank", rel: "noopener", onclick }, words);
  }

  #offers() {
    const preset = this.#presets();
    const offers = this.#connectors.map(({ name, label, settings }) => {
      const query = { ...preset };
      const choices = Object.entries(settings.properties).filter(([field, schema]) => schema.oneOf && !schema.writeOnly && !(field in preset));
      const fields = choices.map(([field, schema]) => {
        query[field] = schema.default ?? schema.oneOf[0].const;
        const options = schema.oneOf.map((choice) => h("option", { value: choice.const, selected: choice.const === query[field] }, choice.title));
        const select = h("select", { onchange: () => { query[field] = select.value; } }, ...options);
        return h("label", {}, `${schema.title ?? field} `, select);
      });
      return h("div", { class: "row" }, ...fields, this.#consent(`Continue with ${label}`, name, query));
    });
    return [h("p", { class: "muted" }, offers.length ? "Connect your account to begin." : "No account is connected yet."), ...offers];
  }

  #presets() {
    try {
      return this.#flat(JSON.parse(this.getAttribute("settings") || "{}"));
    } catch {
      throw new Error("The attribute settings of <seller-sync> is not a JSON object.");
    }
  }

  // Claims and history

  async #loadClaims() {
    const client = this.#client;
    const { recoveries, totals, closing, nextCursor } = await client.recoveries({ limit: ROWS });
    const open = totals.filter((total) => total.status === "claimable");
    const sums = open.map(({ amount, currency, claims, unvalued }) => h("p", {},
      h("span", { class: "figure" }, amount === null ? "Amount unknown" : this.#show.money(amount, currency)), " ",
      h("span", { class: "muted" }, `in ${this.#show.number(claims)} claimable ${claims === 1 ? "case" : "cases"}`,
        unvalued > 0 && amount !== null && `, ${this.#show.number(unvalued)} of them without an amount`)));
    const soon = closing.filter(({ days, claims }) => days === 7 && claims > 0)
      .map(({ claims, currency, amount }) => h("p", { class: "small" },
        badge([`${this.#show.number(claims)} close within 7 days${amount === null ? "" : `: ${this.#show.money(amount, currency)}`}`, "warn"])));
    const rows = recoveries.map((claim) => h("li", { class: "row" },
      h("div", { class: "grow" }, h("p", {}, claim.title), h("p", { class: "muted small" }, `Closes ${this.#show.day(claim.closes)}`)),
      h("strong", {}, claim.amount === null ? "Amount unknown" : this.#show.money(claim.amount, claim.currency)), badge(CLAIMS[claim.status])));
    const none = h("p", { class: "muted" }, "No claims have been found so far. Each import looks for them.");
    this.#fill(this.#claims, client, ...sums, ...soon, rows.length ? h("ul", {}, ...rows) : none,
      nextCursor !== null && h("p", { class: "muted small" }, `The first ${ROWS} cases are shown.`), this.#show.asOf());
  }

  async #loadHistory() {
    const client = this.#client;
    const { syncs } = await client.history({ limit: ROWS });
    if (client !== this.#client) return;
    for (const sync of syncs) if (!(this.#syncs.get(sync.syncId)?.version >= sync.version)) this.#syncs.set(sync.syncId, sync);
    const rows = syncs.map((sync) => h("li", { class: "row" },
      h("span", { class: "grow" }, this.#show.moment(sync.startedAt)),
      h("span", { class: "muted" }, `${this.#show.number(sync.recordsProcessed)} records`), badge(stateOf(sync))));
    const none = h("p", { class: "muted" }, "Nothing has been imported yet.");
    this.#fill(this.#history, client, rows.length ? h("ul", {}, ...rows) : none, this.#show.asOf());
    this.#render();
  }
}

if (!customElements.get("seller-sync")) customElements.define("seller-sync", SellerSync);
