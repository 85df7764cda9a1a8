// The client of the service: its calls, and its syncs as they change. For browsers and Node 20 or
// newer, without dependencies. `client.d.ts` describes it, docs/clients.md shows how to use it.
//
// Streams are read with fetch, not with EventSource. While a sync waits, the service sends a comment
// every 15 seconds. An EventSource hides comments, so it cannot tell silence from a dead connection,
// and it cannot send a token. A WebSocket hides its pings: after a silence it is opened again.

const ENDED = new Set(["complete", "failed", "cancelled"]);
const CALLBACKS = {
  progress: "onProgress", paused: "onPaused", complete: "onComplete", failed: "onFailed",
  cancelled: "onCancelled", reset: "onReset", evicted: "onEvicted",
};
const RETRY = 3000; // until the service names another time
const EVICTED_RETRY = 60_000;
const RECENT = 60_000; // how long `subscribeAll` shows a sync that has ended, as the service does
const MISSED_BEATS = 3; // after which another tab takes over

/** Whether a sync has ended. A paused one has not. */
export const ended = (sync) => ENDED.has(sync.status);
const kindOf = (sync) => (sync.status === "in_progress" ? "progress" : sync.status);

/** An error response of the service (RFC 9457). Status 0: no response. The message is `detail`. */
export class ProblemError extends Error {
  constructor(status, body = {}, headers = new Headers()) {
    super(body.detail || body.title || `The service responded with status ${status}.`);
    this.name = "ProblemError";
    this.status = status;
    this.code = body.code ?? null;
    this.detail = this.message;
    this.errors = body.errors ?? [];
    this.requestId = headers.get("x-request-id");
    this.retryAfter = Number(headers.get("retry-after")) || null;
    this.body = body;
  }
}

/** Whether a retry with the same credential is useless. */
const refused = ({ status }) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

export function createClient(options = {}) {
  const calls = new Calls(options);
  const feeds = new Feeds(calls, options);
  const { get, post, request, response } = calls;
  const at = (path, id) => `/api/sync/${path}/${encodeURIComponent(id)}`;
  return {
    request, response, get, post,
    now: calls.now,
    me: () => get("/api/me"),
    connectors: () => get("/api/connectors"),
    connect: (body) => post("/api/connections", body),
    connections: () => get("/api/connections"),
    start: (body = {}, init = {}) => request("POST", "/api/sync/start", { body, ...init }),
    status: (id) => get(id ? at("status", id) : "/api/sync/status"),
    cancel: (id) => post(at("cancel", id)),
    resume: (id) => post(at("resume", id)),
    history: (query) => get("/api/sync/history", query),
    recoveries: (query) => get("/api/recoveries", query),
    subscribe: (id, callbacks) => feeds.subscribe(id, callbacks),
    subscribeAll: (callbacks) => feeds.subscribe(null, callbacks),
  };
}

// Calls -------------------------------------------------------------------------------------------

/** Requests to the service. */
class Calls {
  #skew = 0;

  constructor({ baseUrl = "", token, getToken, fetch: own }) {
    this.base = String(baseUrl).replace(/\/+$/, "");
    this.authorized = Boolean(token || getToken);
    this.#fetch = own ?? ((...init) => fetch(...init));
    this.#token = getToken ?? (() => token);
    this.#renews = Boolean(getToken);
  }

  #fetch;
  #token;
  #renews;

  /** The service's time in milliseconds, for countdowns. */
  now = () => Date.now() + this.#skew;

  /** Returns the raw response. Throws a ProblemError for an error, not for a redirect that is not
   * followed. After a 401, `getToken` is called once more. */
  response = async (method, path, init = {}) => {
    let answer = await this.#send(method, path, init, false);
    if (answer.status === 401 && this.#renews) answer = await this.#send(method, path, init, true);
    this.#measure(answer);
    if (answer.ok || answer.type === "opaqueredirect") return answer;
    throw new ProblemError(answer.status, await answer.json().catch(() => ({})), answer.headers);
  };

  /** Sends and returns JSON. `init` is that of fetch, with `query` and any JSON as `body`. */
  request = async (method, path, { body, query, headers = {}, ...init } = {}) => {
    init.headers = { Accept: "application/json", ...headers };
    if (body !== undefined) {
      init.headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    const answer = await this.response(method, path + search(query), init);
    if (answer.status === 204) return {};
    return answer.json().catch((error) => {
      throw init.signal?.aborted ? error : new ProblemError(0, { detail: "The response cannot be read. Try again." });
    });
  };

  get = (path, query, init) => this.request("GET", path, { query, ...init });
  post = (path, body = {}, init = {}) => this.request("POST", path, { body, ...init });

  async #send(method, path, init, refresh) {
    const headers = new Headers(init.headers);
    const token = await this.#token({ refresh });
    if (token && !headers.has("Authorization")) headers.set("Authorization", `Bearer ${token}`);
    try {
      return await this.#fetch(this.base + path, { ...init, method, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new ProblemError(0, { detail: "The service cannot be reached. Is it still running?", code: "unreachable" });
    }
  }

  /** Compares the clocks. The Date header has whole seconds, so small differences are ignored. */
  #measure(answer) {
    const difference = Date.parse(answer.headers.get("date") ?? "") + 500 - Date.now();
    if (!Number.isNaN(difference)) this.#skew = Math.abs(difference) > 2500 ? difference : 0;
  }
}

function search(query = {}) {
  const given = Object.entries(query).filter(([, value]) => ![undefined, null, ""].includes(value));
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

// One connection ------------------------------------------------------------------------------------

/** Reads Server-Sent Events to their end. `onData` is called for each chunk, also for comments. */
async function readEvents(calls, path, { signal, onData, onEvent, onRetry }) {
  const init = { headers: { Accept: "text/event-stream" }, cache: "no-store", signal };
  const answer = await calls.response("GET", path, init);
  if (answer.status === 204) return;
  if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) throw new ProblemError(0);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let block = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
      if (line) block[field] = text; // the service writes data in one line
      else {
        if (block.retry) onRetry(Number(block.retry));
        if (block.data) onEvent(block.event, JSON.parse(block.data), block.id);
        block = {};
      }
    }
    onData();
  }
}

/** Reads a WebSocket to its end. Its close code says why it ends. */
function readSocket(url, Socket, { signal, onData, onEvent, onRetry }) {
  return new Promise((resolve, reject) => {
    const socket = new Socket(url);
    const stop = () => { socket.close(); resolve(opened); };
    let opened = false;
    signal.addEventListener("abort", stop, { once: true });
    socket.onopen = () => { opened = true; onData(); };
    socket.onmessage = ({ data }) => {
      if (signal.aborted) return;
      const message = JSON.parse(data);
      onEvent(message.event, message.data, message.id);
      onData();
    };
    socket.onclose = ({ code, reason }) => {
      signal.removeEventListener("abort", stop);
      if (code >= 4401 && code <= 4404) return reject(new ProblemError(code - 4000, { detail: reason }));
      if (code === 4429) {
        onRetry(EVICTED_RETRY);
        onEvent("evicted", { reason });
      }
      resolve(opened);
    };
  });
}

/** A connection with a watchdog: after `watchdog` ms of silence it is closed and opened again. While
 * it does not answer, `poll` is called every `every` ms. */
class Link {
  #connection = new AbortController();
  #connected = false;
  #live = false;
  #heard = 0;
  #lost = Date.now(); // when the connection was lost or last polled
  #polling = null;
  #retry = RETRY;
  #said = null;
  #stopped = false;
  #timer = 0;
  #wakeUp = () => {};

  /** `parts`: connect, poll or null, watchdog, every, onLink, onRefused. */
  constructor(parts) {
    this.parts = parts;
    this.#timer = setInterval(() => this.check(), Math.min(parts.every, parts.watchdog) / 4);
    this.#run();
  }

  get state() { return this.#said; }

  stop() {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#connection.abort();
    this.#polling?.abort();
    this.#wakeUp();
  }

  /** Checks the time limits. A clock that was set back must not extend a silence. */
  check() {
    const now = Date.now();
    this.#heard = Math.min(this.#heard, now);
    this.#lost = Math.min(this.#lost, now);
    const { every, watchdog } = this.parts;
    const most = this.#live ? watchdog : Math.min(watchdog, 2 * every); // a new stream answers at once
    if (this.#connected && now - this.#heard > most) this.#cut();
    else if (!this.#live && now - this.#lost > every) this.#poll();
  }

  /** Checks the connection after a sleep or a change of the network. `force`: it is certainly dead. */
  wake(force) {
    const silence = Date.now() - this.#heard;
    if (force || !this.#live || silent(silence, this.parts.watchdog)) this.#cut();
    else if (silent(silence, this.parts.every)) this.#poll();
  }

  #cut() {
    this.#live = false;
    this.#connection.abort();
    this.#wakeUp();
    this.#poll();
  }

  #say(state) {
    if (this.#stopped || state === this.#said) return;
    this.#said = state;
    this.parts.onLink(state);
  }

  async #run() {
    while (!this.#stopped) {
      const connection = (this.#connection = new AbortController());
      this.#heard = Date.now();
      this.#connected = true;
      const onData = () => connection.signal.aborted || this.#alive();
      const onRetry = (ms) => { this.#retry = ms; };
      try {
        await this.parts.connect({ signal: connection.signal, onData, onRetry });
      } catch (error) {
        if (!connection.signal.aborted && refused(error)) return this.#refuse(error);
      }
      this.#connected = false;
      if (this.#live) this.#lost = Date.now();
      this.#live = false;
      if (!connection.signal.aborted) await this.#rest(this.#retry * (0.7 + Math.random() * 0.6));
    }
  }

  #rest(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wakeUp = () => { clearTimeout(timer); resolve(); };
    });
  }

  #alive() {
    this.#heard = Date.now();
    if (this.#live) return;
    this.#live = true;
    this.#retry = Math.min(this.#retry, 2 * RETRY); // it may have been that of an eviction
    this.#say("live");
    this.#poll();
  }

  async #poll() {
    if (this.#polling || this.#stopped) return;
    const polling = (this.#polling = new AbortController());
    const timer = setTimeout(() => polling.abort(), 2 * this.parts.every);
    try {
      await this.parts.poll({ signal: polling.signal, live: this.#live });
      this.#say(this.#live ? "live" : "polling");
    } catch (error) {
      if (refused(error)) this.#refuse(error);
      else if (!this.#live) this.#say("offline");
    } finally {
      clearTimeout(timer);
      this.#polling = null;
      this.#lost = Date.now();
    }
  }

  #refuse(error) {
    if (this.#stopped) return;
    this.stop();
    this.parts.onRefused(error);
  }
}

const silent = (silence, most) => silence < 0 || silence > most;

// Many tabs -----------------------------------------------------------------------------------------

/** The tabs of a browser that share a connection: the one that has the lock leads. It answers each
 * question, so that the others notice within seconds if it hangs, and take the lock. */
class Tabs {
  #channel;
  #closed = false;
  #heard = true;
  #missed = 0;
  #queued = new AbortController();
  #release = null;
  #timer;

  /** `parts`: onLead, onFollow, onMessage. */
  constructor(name, beat, parts) {
    this.name = name;
    this.parts = parts;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => {
      if (!data.ask) this.#heard = true;
      parts.onMessage(data);
    };
    this.#stand();
    this.#timer = setInterval(() => this.#listen(), beat * (1 + Math.random() / 2));
    this.send({ ask: true, all: true });
  }

  send(message) {
    if (!this.#closed) this.#channel.postMessage(message);
  }

  close() {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#queued.abort();
    this.#channel.close();
    this.#release?.();
  }

  /** Counts its own turns, not seconds: after a sleep, the others must have a chance to answer. */
  #listen() {
    if (this.#release || this.#heard) this.#missed = 0;
    else if (++this.#missed > MISSED_BEATS) this.#stand(true);
    this.#heard = false;
    if (!this.#release) this.send({ ask: true });
  }

  async #stand(steal = false) {
    this.#queued.abort();
    this.#missed = 0;
    const queued = (this.#queued = new AbortController());
    const options = steal ? { steal } : { signal: queued.signal };
    try {
      await navigator.locks.request(this.name, options, () => this.#lead(queued.signal));
    } catch (error) {
      if (error.name !== "AbortError") return this.#closed || this.parts.onLead(); // locks are not available
    }
    if (this.#closed || queued !== this.#queued) return;
    this.#release = null; // another tab has taken the lock
    this.parts.onFollow();
    this.#stand();
  }

  #lead(signal) {
    if (this.#closed || signal.aborted) return null;
    return new Promise((resolve) => {
      this.#release = resolve;
      this.parts.onLead();
    });
  }
}

// Subscriptions -------------------------------------------------------------------------------------

/** The callbacks of one subscriber. Versions only rise, until a `reset`. */
class Subscription {
  #versions = new Map();
  #gone = new AbortController();
  #link = null;

  constructor(syncId, callbacks) {
    this.syncId = syncId;
    this.callbacks = callbacks;
  }

  get seen() { return this.#versions.size > 0; }
  get signal() { return this.#gone.signal; }

  close() { this.#gone.abort(); }

  link(state) {
    if (state && state !== this.#link && !this.signal.aborted) this.#call("onLink", (this.#link = state));
  }

  fail(problem) { this.#call("onError", problem); }

  /** Calls the callbacks of an event, unless its version is old. */
  tell(kind, data) {
    if (this.signal.aborted || (this.syncId && data.syncId && data.syncId !== this.syncId)) return;
    if (kind === "reset") this.#versions.delete(data.syncId);
    else if (kind !== "evicted") {
      if (this.#versions.get(data.syncId) >= data.version) return;
      this.#versions.set(data.syncId, data.version);
      if (this.syncId && ended(data)) this.onEnd();
      this.#call("onChange", data, kind);
    }
    this.#call(CALLBACKS[kind], data);
  }

  #call(name, ...data) {
    try {
      this.callbacks[name]?.(...data);
    } catch (error) {
      queueMicrotask(() => { throw error; }); // it must not end the stream
    }
  }
}

/** All subscriptions of a client that use one connection, alone or for all tabs of the browser. */
class Feed {
  #fresh = new Set(); // the syncs that this connection has shown
  #joined = null;
  #known = new Map(); // syncId -> its newest version
  #link = null;
  #state = null;
  #subscriptions = new Set();
  #tabs = null;

  /** `parts`: calls, source, options, onEmpty. */
  constructor(parts) {
    Object.assign(this, parts);
    this.every = this.options.pollInterval ?? 4000;
    this.#join();
    this.unwatch = watchPage({
      onLeave: () => this.#leave(),
      onReturn: () => (this.#joined ? this.#wake(true) : this.#join()),
      onWake: (force) => this.#wake(force),
    });
  }

  add(syncId, callbacks) {
    const one = new Subscription(syncId, callbacks);
    one.onEnd = () => this.#remove(one);
    this.#subscriptions.add(one);
    queueMicrotask(() => {
      one.link(this.#state);
      for (const sync of this.#shown()) one.tell(kindOf(sync), sync);
      if (syncId && !one.seen && !this.source.syncId) this.#fetch(one);
    });
    return one.onEnd;
  }

  #remove(one) {
    one.close();
    if (!this.#subscriptions.delete(one) || this.#subscriptions.size) return;
    this.#leave();
    this.unwatch();
    this.onEmpty();
  }

  /** Reads a sync that the stream may not show, because it ended long ago. */
  async #fetch(one) {
    while (!one.seen && !one.signal.aborted) {
      try {
        this.#receive(...this.#polled(await this.calls.get(statusPath(one.syncId), {}, { signal: one.signal })));
        const sync = this.#known.get(one.syncId);
        one.tell(kindOf(sync), sync);
      } catch (problem) {
        if (refused(problem)) return this.#fail([one], problem);
        await sleep(this.every, one.signal);
      }
    }
  }

  #fail(subscriptions, problem) {
    for (const one of subscriptions) {
      this.#remove(one);
      one.fail(problem);
    }
  }

  // The connection, or the tab that has it

  async #join() {
    const { signal } = (this.#joined = new AbortController());
    let name = null;
    while (shares(this.options) && !name && !signal.aborted) {
      try {
        name = await this.source.name(AbortSignal.timeout(2 * this.every));
      } catch (problem) {
        if (signal.aborted) return;
        if (refused(problem)) return this.#fail([...this.#subscriptions], problem);
        this.#say("offline");
        await sleep(this.every, signal);
      }
    }
    if (signal.aborted) return;
    const parts = {
      onLead: () => this.#lead(),
      onFollow: () => this.#unlead(),
      onMessage: (message) => this.#hear(message),
    };
    if (name) this.#tabs = new Tabs(name, this.options.beat ?? 1500, parts);
    else this.#lead();
  }

  #leave() {
    this.#joined?.abort();
    this.#joined = null;
    this.#unlead();
    this.#tabs?.close();
    this.#tabs = null;
  }

  #lead() {
    const receive = (...event) => this.#receive(...event);
    this.#link = new Link({
      connect: (parts) => {
        this.#fresh.clear();
        return this.source.connect({ ...parts, onEvent: receive, last: this.#known.get(this.source.syncId)?.version });
      },
      poll: ({ signal, live }) => this.source.poll({
        signal, live, stale: [...this.#known.values()].filter((sync) => !ended(sync) && !this.#fresh.has(sync.syncId)),
        onSync: (sync) => this.#receive(...this.#polled(sync)),
        onGone: (syncId, problem) => {
          this.#known.delete(syncId);
          this.#fail([...this.#subscriptions].filter((one) => one.syncId === syncId), problem);
        },
      }),
      watchdog: this.options.watchdog ?? 20_000,
      every: this.every,
      onLink: (state) => { this.#say(state); this.#tabs?.send({ link: state, events: [] }); },
      onRefused: (problem) => this.#fail([...this.#subscriptions], problem),
    });
    this.#tabs?.send({ link: null, events: [] });
  }

  #unlead() {
    this.#link?.stop();
    this.#link = null;
  }

  #wake(force) {
    if (this.#link) this.#link.wake(force);
    else this.#tabs?.send({ ask: true, wake: true, force });
  }

  /** Handles a message of another tab: a question to the leading tab, or events that it received. */
  #hear({ ask, all, wake, force, link, events }) {
    if (!ask && !this.#link) {
      this.#say(link);
      for (const event of events) this.#receive(...event);
    }
    if (!ask || !this.#link) return;
    if (wake) this.#link.wake(force);
    else this.#link.check(); // the timers of a hidden tab are slow
    const known = all ? this.#shown().map((sync) => [kindOf(sync), sync]) : [];
    this.#tabs.send({ link: this.#link.state, events: known });
  }

  #say(state) {
    if (!state) return;
    this.#state = state;
    for (const one of [...this.#subscriptions]) one.link(state);
  }

  // Events

  #polled(sync) {
    return [kindOf(sync), sync];
  }

  #receive(kind, data) {
    if (kind === "reset") {
      data = { syncId: this.source.syncId };
      this.#known.delete(data.syncId);
    } else if (kind !== "evicted") {
      this.#fresh.add(data.syncId);
      if (this.#known.get(data.syncId)?.version >= data.version) return;
      this.#keep(data);
    }
    if (this.#link) this.#tabs?.send({ link: this.#link.state, events: [[kind, data]] });
    for (const one of [...this.#subscriptions]) one.tell(kind, data);
  }

  #keep(sync) {
    this.#known.set(sync.syncId, sync);
    for (const [id, old] of this.#known) if (this.#known.size > 50 && ended(old)) this.#known.delete(id);
  }

  /** The syncs that a new subscriber sees first: live ones, and those that have just ended. */
  #shown() {
    const recent = this.calls.now() - RECENT;
    return [...this.#known.values()].filter((sync) => !ended(sync) || Date.parse(sync.completedAt) > recent);
  }
}

/** The feeds of a client: one for all syncs; one for each sync if it needs a ticket or a WebSocket. */
class Feeds {
  #feeds = new Map();

  constructor(calls, options) {
    this.calls = calls;
    this.options = options;
  }

  subscribe(syncId, callbacks = {}) {
    const { getTicket, transport } = this.options;
    const key = getTicket || transport === "websocket" ? syncId : null;
    if (!this.#feeds.has(key)) {
      const source = key ? oneSync(this.calls, this.options, key) : allSyncs(this.calls);
      const onEmpty = () => this.#feeds.delete(key);
      this.#feeds.set(key, new Feed({ calls: this.calls, options: this.options, source, onEmpty }));
    }
    return this.#feeds.get(key).add(syncId, callbacks);
  }
}

// Sources of events ---------------------------------------------------------------------------------

const statusPath = (id) => `/api/sync/status/${encodeURIComponent(id)}`;

async function channelName(calls, what, signal) {
  const { tenant, user } = await calls.get("/api/me", {}, { signal }); // tabs of two users share nothing
  return JSON.stringify(["syncs-1", calls.base, tenant, user, what]);
}

/** The stream of all syncs of the user. */
function allSyncs(calls) {
  return {
    name: (signal) => channelName(calls, "all", signal),
    connect: (parts) => readEvents(calls, "/api/sse/syncs", parts),
    async poll({ signal, live, stale, onSync, onGone }) {
      const ids = new Set(stale.map((sync) => sync.syncId));
      const found = (id, path) => calls.get(path, {}, { signal }).then(onSync, (problem) => {
        if (problem.status !== 404) throw problem;
        if (id) onGone(id, problem);
      });
      if (!live) await found(null, "/api/sync/status"); // the live sync, or the newest
      for (const id of ids) await found(id, statusPath(id));
    },
  };
}

/** The stream of one sync, as Server-Sent Events or as a WebSocket. If a socket does not open (some
 * proxies do not let it through), the next attempt is a stream. */
function oneSync(calls, { getTicket, transport, WebSocket: Socket = globalThis.WebSocket }, syncId) {
  const id = encodeURIComponent(syncId);
  let blocked = false;
  const ticket = async (socket) => {
    if (getTicket) return getTicket(syncId);
    return socket && calls.authorized ? calls.post("/api/sse/ticket", { syncId }) : null;
  };
  return {
    syncId,
    async name(signal) {
      return getTicket ? JSON.stringify(["syncs-1", calls.base, syncId]) : channelName(calls, syncId, signal);
    },
    async connect({ last, ...parts }) {
      const socket = transport === "websocket" && Socket && !blocked;
      const query = new URLSearchParams(last ? { lastEventId: last } : {});
      const minted = await ticket(socket);
      if (minted) query.set("ticket", minted.ticket ?? minted);
      if (parts.signal.aborted) return;
      blocked = false;
      if (!socket) return readEvents(calls, `/api/sse/sync-progress/${id}?${query}`, parts);
      const url = new URL(`${calls.base}/ws/sync-progress/${id}?${query}`, globalThis.location?.href);
      url.protocol = url.protocol.replace("http", "ws");
      blocked = !(await readSocket(url, Socket, parts));
    },
    async poll({ signal, live, onSync }) {
      if (live) return;
      if (getTicket && !calls.authorized) throw new ProblemError(0); // a ticket opens streams only
      onSync(await calls.get(statusPath(syncId), {}, { signal }));
    },
  };
}

// The page ------------------------------------------------------------------------------------------

const shares = ({ share = true }) =>
  share && Boolean(globalThis.document && globalThis.navigator?.locks && globalThis.BroadcastChannel);

/** Listens to the lifecycle of the page. Returns a function that stops listening. */
function watchPage({ onLeave, onReturn, onWake }) {
  if (!globalThis.document) return () => {};
  const stop = new AbortController();
  const on = (target, type, listener) => target.addEventListener(type, listener, { signal: stop.signal });
  on(document, "visibilitychange", () => document.hidden || onWake(false));
  on(document, "freeze", onLeave);
  on(document, "resume", onReturn);
  on(window, "online", () => onWake(true));
  on(window, "pagehide", onLeave);
  on(window, "pageshow", ({ persisted }) => persisted && onReturn());
  return () => stop.abort();
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
