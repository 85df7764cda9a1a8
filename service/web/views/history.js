// The history: a row for each sync, newest first, with filters in the address.
import { ONE_AT_A_TIME, nextStep } from "../lib/actions.js";
import { all } from "../lib/catalog.js";
import { badge, empty, failure, field, head, select, skeleton } from "../lib/components.js";
import { button, fill, h, patch } from "../lib/dom.js";
import { duration, moment, number } from "../lib/format.js";
import { now } from "../lib/client.js";
import { address } from "../lib/router.js";
import { pages, table } from "../lib/table.js";
import { failed } from "../lib/toasts.js";
import { claims, kindAndTrigger, syncState } from "../lib/words.js";

const STATUSES = [["", "All"], ["in_progress", "Running"], ["paused", "Paused"], ["complete", "Complete"], ["warnings", "Complete, with warnings"], ["failed", "Failed"], ["cancelled", "Cancelled"]];

export function show(root, { params, client, live, navigate }) {
  let query = params.query;
  const top = h("div");
  const filters = h("form", { class: "filters", "aria-label": "Filters" });
  const card = h("section", { class: "card lively", "aria-label": "Syncs" }, skeleton(6));
  const note = h("p", { class: "muted small" });
  fill(root, h("div", { class: "wrap" }, top, filters, card, note));

  const filtered = () => Object.values(query).some(Boolean);
  const set = (changes) => navigate(["history"], { ...query, ...changes });

  function draw() {
    patch(top, head("History", live.accounts.length > 1 ? "Every sync of every account" : "Every sync",
      live.current && h("a", { class: "btn", href: address(["history", live.current.syncId]) }, "Open the running sync")));
    const accounts = live.accounts.map((account) => [account.id, live.name(account)]);
    patch(filters,
      field("Status", select({ name: "status" }, STATUSES, query.status)),
      accounts.length > 1 && field("Account", select({ name: "account" }, [["", "All accounts"], ...accounts], query.account)),
      all().length > 1 && field("Source", select({ name: "source" }, [["", "All"], ...all().map((one) => [one.name, one.label])], query.source)),
      field("From", h("input", { class: "input", type: "date", name: "from", value: query.from })),
      field("To", h("input", { class: "input", type: "date", name: "to", value: query.to })),
      filtered() && button({ class: "btn plain", onpress: () => navigate(["history"]) }, "Clear"));
    patch(note, "This list updates automatically.", live.current && ` ${ONE_AT_A_TIME}`);
  }

  const several = () => live.accounts.length > 1;
  const columns = () => [
    { label: "Started", cell: (sync) => [h("a", { class: "open", href: address(["history", sync.syncId]) }, moment(sync.startedAt)), h("span", { class: "sub" }, kindAndTrigger(sync))] },
    { label: "Status", phone: "end", cell: (sync) => badge(syncState(sync)) },
    ...(several() ? [{ label: "Account", cell: (sync) => live.account(sync.connectionId)?.name ?? "Disconnected" }] : []),
    { label: "Took", look: "num", cell: took },
    { label: "Records", look: "num", cell: (sync) => number(sync.recordsProcessed) },
    { label: "Claims", look: "num", cell: found },
    { label: "", look: "acts", phone: "acts", cell: (sync) => nextStep(sync, { name: `the sync of ${moment(sync.startedAt)}` }) },
  ];

  function took(sync) {
    if (sync.status === "in_progress") return `${duration(Math.max((now() - Date.parse(sync.startedAt)) / 1000, 1))} so far`;
    return duration(sync.duration);
  }

  function found(sync) {
    const count = claims(sync);
    if (count === null && ["complete", "failed"].includes(sync.status) && !sync.dryRun) return h("span", { class: "zero" }, "unknown");
    return count === null || sync.dryRun ? h("span", { class: "zero" }, "—") : number(count);
  }

  const list = pages({
    root: card,
    load: async (cursor) => {
      const page = await client.history({
        limit: 20, cursor, connectionId: query.account, connector: query.source,
        status: query.status === "warnings" ? "complete" : query.status,
        warnings: query.status === "warnings" || null,
        from: query.from && local(query.from), to: query.to && local(query.to, 1),
      });
      return { rows: page.syncs.map((sync) => newer(sync)), nextCursor: page.nextCursor };
    },
    draw: (rows) => table({ columns: columns(), rows, key: (sync) => sync.syncId, caption: "Syncs" }),
    none: () => (filtered()
      ? empty("search", "No matching syncs", "Try other filters.", button({ class: "btn", onpress: () => navigate(["history"]) }, "Clear the filters"))
      : empty("history", "No sync has been started yet", "Each sync is listed here, with its outcome.", h("a", { class: "btn", href: "#/overview" }, "Go to the overview"))),
    foot: (rows, more) => `${number(rows.length)} ${rows.length === 1 ? "sync" : "syncs"}${more ? ", newest first" : ""}`,
    onError: failed,
  });

  /** The version from the stream, if it is newer. */
  function newer(sync) {
    const known = live.sync(sync.syncId);
    return known && known.version > sync.version ? known : sync;
  }

  const refresh = () => list.refresh().catch((problem) => {
    if (problem.status !== 401 && !list.rows.length) patch(card, failure("The history could not be loaded", problem, refresh));
  });

  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("change", ({ target }) => set({ [target.name]: target.value }));
  draw();
  refresh();
  const off = [
    live.on("sync", ({ sync, before }) => {
      const at = list.rows.findIndex(({ syncId }) => syncId === sync.syncId);
      if (!before && at < 0) refresh();
      else if (at >= 0) {
        list.rows[at] = newer(list.rows[at]);
        list.show();
      }
      draw();
    }),
    live.on("accounts link", (_, kind) => {
      draw();
      if (list.rows.length) list.show();
      if (kind === "link" && live.link === "live") refresh();
    }),
  ];
  const timer = setInterval(() => live.current && list.rows.length && list.show(), 1000);
  const cleanup = () => {
    list.stop();
    clearInterval(timer);
    for (const stop of off) stop();
  };
  cleanup.update = (changed) => {
    query = changed.query;
    draw();
    refresh();
  };
  return cleanup;
}

/** The start of a day in the time zone of the browser, as the API takes it. */
function local(day, after = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + after).toISOString();
}

