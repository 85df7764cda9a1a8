// The card of the live sync, or of the last one.
import { nextStep, startSync } from "./actions.js";
import { doing, headline, pausedForAccount, syncName, syncState } from "./words.js";
import { badge, card, empty, worker } from "./components.js";
import { button, h } from "./dom.js";
import { ago, clock, inside, moment, plural } from "./format.js";
import { icon } from "./icons.js";
import { live } from "./live.js";
import { address } from "./router.js";
import { left, percent, sets, stages, waitLines } from "./run.js";
import { askToNotify, notifies } from "./signal.js";
import { askForHistory, askForOptions } from "./start.js";
import { failed, toast } from "./toasts.js";

const open = (sync, words = "Open") => h("a", { class: "btn", href: address(["history", sync.syncId]) }, words);

export function liveCard(sync) {
  const off = live.link === "offline";
  const name = live.name(live.account(sync.connectionId));
  const state = off ? ["", "Last known"] : syncState(sync);
  const lost = pausedForAccount(sync, live.account(sync.connectionId));
  return card({ "aria-labelledby": "live", "data-sync": sync.syncId, "data-status": sync.status },
    h("div", { class: "course" },
      h("div", { class: "card-top" },
        h("div", { class: "card-words" },
          h("div", { class: "head-title" }, h("h2", { id: "live" }, headline(sync)), badge(state)),
          h("p", { class: "soft" }, sync.status === "paused" && !lost ? sync.message : `${syncName(sync)} of ${name}, started ${ago(sync.startedAt)}`)),
        h("div", { class: "actions" }, !lost && nextStep(sync), open(sync))),
      h("div", { class: "course-meter" },
        h("div", { class: "course-figures" }, percent(sync), h("span", {}, off ? `as of ${clock(sync.updatedAt)}` : aside(sync))),
        stages(sync)),
      ...waitLines(sync, live.link),
      sets(sync),
      bell(sync)));
}

function aside(sync) {
  if (sync.status === "paused") return `Paused since ${inside(sync.updatedAt)}`;
  return [sync.attempt > 1 && `attempt ${sync.attempt}`, left(sync) || doing(sync)].filter(Boolean).join(" · ");
}

/** Offers a notification of the browser, which asks for consent. */
function bell(sync) {
  if (sync.status !== "in_progress" || notifies() || !("Notification" in window) || Notification.permission !== "default") return null;
  return h("div", { class: "actions" }, button({
    class: "btn plain",
    onpress: async () => {
      if (await askToNotify()) toast("good", "This browser will notify you when a sync ends");
    },
  }, icon("bell", "less"), "Notify me when it is done"));
}

/** The card while no sync is live. `account` is the one to sync; null: several or none. */
export function idleCard(sync, account) {
  if (!sync) return account && firstCard(account);
  const [title, words] = said(sync);
  const off = live.link === "offline" || account?.status === "lost";
  return card({ "aria-labelledby": "idle", "data-sync": sync.syncId, "data-status": sync.status },
    h("div", { class: "course" }, h("div", { class: "card-top" },
      h("div", { class: "card-words" },
        h("div", { class: "head-title" }, h("h2", { id: "idle" }, title), badge(syncState(sync))),
        h("p", { class: "soft" }, words)),
      h("div", { class: "actions" }, open(sync, "Details"), nextStep(sync),
        account && account.status !== "lost" && button({ class: "btn", disabled: off, onpress: () => askForOptions(account) }, "Options…"),
        account && account.status !== "lost" && worker({ class: "btn", disabled: off }, [icon("sync", "less"), "Sync now"],
          () => startSync({ connectionId: account.id }), failed)))));
}

function said(sync) {
  const account = live.account(sync.connectionId);
  const next = account?.schedule?.enabled && account.schedule.nextRuns?.[0];
  const at = next ? ` Next sync ${inside(next)}.` : "";
  if (sync.status === "complete") {
    const words = `Synced ${ago(sync.completedAt)}: ${plural(sync.recordsProcessed, "record")}.${at}`;
    return [sync.warningsCount ? "Synced, with warnings" : "Up to date", words];
  }
  if (sync.status === "failed") return ["The last sync failed", `${sync.error?.message ?? sync.message}${at}`];
  return ["The last sync was cancelled", `${moment(sync.completedAt)}. ${plural(sync.recordsProcessed, "record")} read before are kept.${at}`];
}

function firstCard(account) {
  const off = live.link === "offline" || account.status === "lost";
  return card({ "aria-label": "First sync" }, empty("coins", "Nothing has been read yet",
    "After the first sync, this page shows what you are owed.",
    account.status !== "lost" && button({ class: "btn first", disabled: off, onpress: () => askForHistory(account) }, "Start historical sync"),
    account.status !== "lost" && button({ class: "btn", disabled: off, onpress: () => askForOptions(account) }, "Options…")));
}
