// The live state: the syncs, the link to the service, the accounts and the chosen one.
import { client, ended } from "./client.js";

const CHOSEN = "account"; // in localStorage

const events = new EventTarget();
const syncs = new Map(); // syncId -> its newest version
let stop = () => {};

export const live = {
  accounts: [],
  me: null,
  /** live, polling or offline. */
  link: "live",
  /** The time of the last change of `link`, in milliseconds. */
  linkSince: Date.now(),
  /** Whether the stream was refused because too many are open. */
  evicted: false,

  /** The sync that waits, runs or is paused. There is at most one. */
  get current() {
    return [...syncs.values()].filter((sync) => !ended(sync)).sort(newest)[0] ?? null;
  },
  /** The newest sync. */
  get latest() {
    return live.current ?? [...syncs.values()].sort(newest)[0] ?? null;
  },
  sync: (id) => syncs.get(id) ?? null,
  account: (id) => live.accounts.find((account) => account.id === id) ?? null,
  /** The account that the views show; null: all. */
  get chosen() {
    if (live.accounts.length === 1) return live.accounts[0];
    return live.account(localStorage.getItem(CHOSEN));
  },
  choose(id) {
    if (id) localStorage.setItem(CHOSEN, id);
    else localStorage.removeItem(CHOSEN);
    tell("choice", {});
  },
  name: (account) => account?.name || "Account without a name",

  /** Calls `listener` for each "sync" ({ sync, before }), "link", "accounts" or "choice". Returns a
   * function that stops. */
  on(kinds, listener) {
    const call = ({ type, detail }) => listener(detail, type);
    for (const kind of kinds.split(" ")) events.addEventListener(kind, call);
    return () => { for (const kind of kinds.split(" ")) events.removeEventListener(kind, call); };
  },

  /** Shows a version of a sync unless a newer one is known. */
  show(sync) {
    const before = syncs.get(sync.syncId) ?? null;
    if (before && before.version >= sync.version) return;
    syncs.set(sync.syncId, sync);
    tell("sync", { sync, before });
    const moved = before?.status !== sync.status;
    if (moved && (sync.status === "paused" || before?.status === "paused" || ended(sync))) live.refresh().catch(() => {});
  },

  /** Reads the accounts again. */
  async refresh() {
    const { connections } = await client.connections();
    live.accounts = connections;
    tell("accounts", {});
  },

  /** Starts, or starts again after a sign-in. */
  async start() {
    stop();
    const [me] = await Promise.all([client.me(), live.refresh()]);
    live.me = me;
    const { syncs: [last] } = await client.history({ limit: 1 });
    if (last) live.show(await client.status(last.syncId));
    stop = client.subscribeAll({
      onChange: live.show,
      onReset: ({ syncId }) => syncs.delete(syncId),
      onLink: link,
      onEvicted: () => { live.evicted = true; },
    });
  },
};

function newest(one, other) {
  return other.startedAt < one.startedAt ? -1 : 1;
}

function tell(type, detail) {
  events.dispatchEvent(new CustomEvent(type, { detail }));
}

function link(state) {
  if (state === "live") live.evicted = false;
  live.link = state;
  live.linkSince = Date.now();
  tell("link", {});
}
