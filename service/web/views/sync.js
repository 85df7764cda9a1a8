// One sync: progress, timeline of stages and attempts, datasets, waits, failures, audit.
import { nextStep } from "../lib/actions.js";
import { source } from "../lib/catalog.js";
import { ended } from "../lib/client.js";
import { badge, card, cardHead, empty, facts, failure, notice, skeleton } from "../lib/components.js";
import { fill, h, patch } from "../lib/dom.js";
import { ago, clock, duration, fullDay, inside, moment, number, plural, title } from "../lib/format.js";
import { address } from "../lib/router.js";
import { left, percent, stages, waitLines } from "../lib/run.js";
import { auditCard, datasetsCard, failuresCard, timelineCard } from "../lib/report.js";
import { doing, pausedForAccount, syncName, syncState } from "../lib/words.js";
import { connectAgain } from "../lib/actions.js";

export function show(root, { params, client, live }) {
  const id = params.path[0];
  let report = null; // with attempts and moves
  let gone = false;
  const wrap = h("article", { class: "wrap lively" }, card({}, skeleton(6)));
  const failures = failuresCard(client, id);
  const parts = { head: h("div"), main: h("div"), datasets: h("div"), audit: h("div") };
  fill(root, wrap);

  const sync = () => {
    const known = live.sync(id);
    return report && known && known.version > report.version ? { ...report, ...known } : report;
  };

  async function refresh() {
    try {
      report = await client.get(`/api/sync/history/${encodeURIComponent(id)}`);
      if (!gone) draw();
      if (report.recordsFailed || report.dryRun) failures.refresh(report);
    } catch (problem) {
      if (gone || problem.status === 401 || report) return;
      fill(wrap, card({}, problem.status === 404
        ? empty("search", "There is no such sync", "It may have been deleted after its retention period, or its account was disconnected.", h("a", { class: "btn", href: "#/history" }, "Go to the history"))
        : failure("The sync could not be loaded", problem, refresh)));
    }
  }

  function draw() {
    const now = sync();
    if (!now) return;
    if (!parts.head.isConnected) fill(wrap, parts.head, parts.main, parts.datasets, failures.root, parts.audit);
    patch(parts.head, top(now, live));
    patch(parts.main, h("div", { class: "columns" },
      h("div", { class: "stack" }, progress(now, live), options(now, live)),
      timelineCard(now)));
    patch(parts.datasets, datasetsCard(now));
    patch(parts.audit, auditCard(now));
  }

  refresh();
  const off = [
    live.on("sync", ({ sync: changed, before }) => {
      if (changed.syncId !== id) return;
      draw();
      if (!before || before.status !== changed.status || before.attempt !== changed.attempt) refresh();
    }),
    live.on("accounts link", (_, kind) => {
      draw();
      if (kind === "link" && live.link === "live") refresh();
    }),
  ];
  const timer = setInterval(() => report && !ended(report) && draw(), 1000);
  const cleanup = () => {
    gone = true;
    clearInterval(timer);
    for (const stop of off) stop();
  };
  return cleanup;
}

function top(sync, live) {
  const name = live.account(sync.connectionId)?.name ?? source(sync.connector);
  const when = {
    in_progress: `Started ${ago(sync.startedAt)}; you may leave this page.`,
    paused: `Paused since ${inside(sync.updatedAt)}.`,
  }[sync.status] ?? `Ended ${inside(sync.completedAt)}, after ${duration(sync.duration)}.`;
  const state = live.link === "offline" && !ended(sync) ? ["", "Last known"] : syncState(sync);
  const lost = pausedForAccount(sync, live.account(sync.connectionId));
  return h("header", { class: "head" },
    h("div", { class: "head-words" },
      h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/history" }, "History"), h("span", { "aria-hidden": "true" }, "/"), h("span", {}, moment(sync.startedAt))),
      h("div", { class: "head-title" }, h("h1", { tabindex: "-1" }, syncName(sync)), badge(state)),
      h("p", {}, `${name}. ${when}`)),
    h("div", { class: "actions" }, !lost && nextStep(sync)));
}

function progress(sync, live) {
  const account = live.account(sync.connectionId);
  const off = live.link === "offline" && !ended(sync);
  const line = { in_progress: doing(sync), paused: "Stopped for now" }[sync.status] ?? sync.message;
  const aside = off ? `as of ${clock(sync.updatedAt)}` : left(sync) || result(sync);
  return card({ "aria-label": "Progress", "data-status": sync.status }, h("div", { class: "course" },
    ...said(sync, account),
    h("div", { class: "course-meter" },
      h("div", { class: "course-figures" }, h("span", { class: "course-line" }, line), h("span", {}, aside)),
      percent(sync), stages(sync)),
    ...waitLines(sync, live.link)));
}

/** The result of a sync that is not running: the claims if it is complete, else the stored records. */
function result(sync) {
  if (sync.status === "in_progress") return "";
  if (sync.status !== "complete") return `${plural(sync.recordsProcessed, "record")} stored`;
  return sync.claimsDetected !== null && !sync.dryRun ? plural(sync.claimsDetected, "claim") : "";
}

/** The notices about the state of a sync, each text once. */
function said(sync, account) {
  if (pausedForAccount(sync, account)) {
    return [notice("warn", "unlink", `Connect ${account.name || "the account"} again to continue`,
      `${account.statusReason ?? `${source(sync.connector)} no longer accepts its authorisation.`} The sync then continues by itself at ${sync.progress} %; nothing is read twice.`, connectAgain(account))];
  }
  if (sync.status === "paused") return [notice("warn", "clock", "The sync is paused", sync.message)];
  const notes = [];
  if (sync.status === "failed") notes.push(notice("bad", "fail", "The sync failed", sync.error?.message));
  const texts = sync.warnings.map(({ message }) => message);
  for (const { error, code } of sync.datasets) {
    if (error && code !== "not_read" && error !== sync.error?.message && !texts.some((words) => words.includes(error))) texts.push(error);
  }
  return [...notes, ...texts.map((words) => notice("warn", "warn", null, words))];
}

function options(sync, live) {
  const { since, until, datasets } = sync.options;
  const read = sync.datasets.filter(({ name }) => name !== "claims").length;
  const range = since || until
    ? [since && fullDay(since), "to", until ? fullDay(until) : "now"].filter(Boolean).join(" ")
    : { incremental: "New data", full: "Everything" }[sync.kind] ?? "As far back as each dataset reaches";
  const who = { user: sync.moves?.find(({ action }) => action === "started")?.actor ?? "A user", schedule: "The schedule", connect: "The connection", notification: "A notification" }[sync.trigger];
  return card({ "aria-label": "Options" }, cardHead("Options"), h("div", { class: "card-body" }, facts([
    ["Range", range],
    ["Datasets", datasets ? datasets.map(title).join(", ") : `All ${number(read)}`],
    ["Mode", { dry_run: "Test run: nothing is stored", full: "Full refresh: add, change and delete" }[sync.kind] ?? "Add and change"],
    ["Started by", who === live.me?.user ? "You" : who],
    ["Attempt", number(sync.attempt)],
    sync.completeness && ["Days", days(sync.completeness)],
    ["Sync", h("span", { class: "mono" }, sync.syncId)],
  ])));
}

function days({ confirmed, singleSourced, short }) {
  return [confirmed && `${number(confirmed)} confirmed`, singleSourced && `${number(singleSourced)} with one source`, short && `${number(short)} with missing records`].filter(Boolean).join(", ") || "—";
}
