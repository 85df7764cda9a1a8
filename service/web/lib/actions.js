// The actions on syncs: start, cancel and resume.
import { client, ended } from "./client.js";
import { button, h } from "./dom.js";
import { worker } from "./components.js";
import { plural } from "./format.js";
import { live } from "./live.js";
import { confirm } from "./overlay.js";
import { address } from "./router.js";
import { failed } from "./toasts.js";
import { pausedForAccount } from "./words.js";

/** Starts a sync. If one is running, shows that one. Returns its id. */
export async function startSync(options) {
  let id;
  try {
    ({ syncId: id } = await client.start(options));
  } catch (problem) {
    if (problem.code !== "sync_already_running") throw problem;
    id = problem.body.syncId;
  }
  live.show(await client.status(id));
  return id;
}

export async function resumeSync(id) {
  await client.resume(id);
  live.show(await client.status(id));
}

export function cancelSync(sync) {
  confirm({
    title: "Cancel this sync?",
    words: `It stops at once. The ${plural(sync.recordsProcessed, "record")} read so far are kept, and you can resume from there later.`,
    keep: "Keep syncing",
    act: "Cancel sync",
    work: async () => live.show(await client.cancel(sync.syncId)),
  });
}

export const connectAgain = (account, look = "btn first") =>
  h("a", { class: look, href: address(["connect"], { account: account.id }) }, "Connect again");

export const ONE_AT_A_TIME = "One sync runs at a time: resume or try again after the current one.";

/** The button for the next action on a sync, or null. It is disabled while the page is offline. `name`
 * makes the names of repeated buttons differ. */
export function nextStep(sync, { look = "btn", name = "" } = {}) {
  const account = live.account(sync.connectionId);
  const off = live.link === "offline";
  const hidden = name && h("span", { class: "unseen" }, ` ${name}`);
  if (!ended(sync)) {
    if (pausedForAccount(sync, account)) return connectAgain(account, look);
    if (sync.status === "paused") return worker({ class: look, disabled: off }, ["Resume", hidden], () => resumeSync(sync.syncId), failed);
    return button({ class: "btn plain", disabled: off, onpress: () => cancelSync(sync) }, "Cancel", hidden);
  }
  if (!["failed", "cancelled"].includes(sync.status) || !account) return null;
  const words = sync.status === "failed" ? "Try again" : "Resume";
  if (account.status === "lost") return null;
  const other = Boolean(live.current);
  return worker({ class: look, disabled: off || other, title: other ? ONE_AT_A_TIME : null },
    [words, hidden], () => resumeSync(sync.syncId), failed);
}
