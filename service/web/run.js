// The current sync: its buttons, its progress, its datasets, its waits and errors.
import { client, now } from "./api.js";
import { datasets, warnings } from "./datasets.js";
import { $, busy, text } from "./dom.js";
import { ahead, duration, moment, number, title } from "./format.js";
import { ended } from "./client.js";

const GUARD = 700; // so that a double click on start does not cancel

const WORDS = {
  live: "",
  polling: "no live stream, read every few seconds",
  offline: "the service does not answer, this may be out of date",
};
const EVICTED = "open in too many windows, read every few seconds";

/** Calls `onSync` with every version; `account` returns the id of the account to sync. */
export function createRun({ onSync, onError, account }) {
  let sync = null;
  let link = "";

  /** Shows a version of a sync unless a newer one, or a newer sync, is shown. */
  function show(newer) {
    if (sync && !replaces(newer, sync)) return;
    const stage = sync?.syncId === newer.syncId ? sync.stage : null;
    sync = newer;
    if (sync.stage !== stage || ended(sync)) text($("spoken"), spoken(sync));
    render();
    onSync(sync);
  }

  /** Shows the user's syncs as they change, also those that others start. */
  function follow() {
    let evicted = false;
    client.subscribeAll({
      onChange: show,
      onLink: (state) => {
        evicted &&= state !== "live";
        link = evicted && state === "polling" ? EVICTED : WORDS[state];
        tick();
      },
      onEvicted: () => { evicted = true; },
      onError,
    });
  }

  const attach = async (syncId) => show(await client.status(syncId));

  async function start() {
    try {
      await attach((await client.start(account() ? { connectionId: account() } : {})).syncId);
    } catch (problem) {
      if (problem.code !== "sync_already_running") throw problem;
      await attach(problem.body.syncId);
    }
    await new Promise((done) => setTimeout(done, GUARD));
  }

  async function cancel() {
    show(await client.cancel(sync.syncId));
  }

  async function resume(syncId = sync.syncId) {
    await client.resume(syncId);
    await attach(syncId);
    await new Promise((done) => setTimeout(done, GUARD));
  }

  const actions = {
    start: ["Start sync", start],
    cancel: ["Cancel", cancel],
    resume: ["Resume", () => resume()],
  };
  const choices = () => {
    if (sync?.status === "in_progress") return ["cancel"];
    if (sync?.status === "paused") return ["resume", "cancel"];
    return ["failed", "cancelled"].includes(sync?.status) ? ["start", "resume"] : ["start"];
  };

  function render() {
    const [first, second] = choices();
    for (const [button, name] of [[$("action"), first], [$("second"), second]]) {
      button.hidden = !name;
      if (!name) continue;
      text(button, actions[name][0]);
      button.dataset.action = name;
      if (!button.getAttribute("aria-busy")) button.disabled = name === "start" && !account();
    }
    $("action").classList.toggle("calm", first === "cancel");
    text($("headline"), headline(sync));
    text($("message"), message(sync, account()));
    $("meter").hidden = $("details").hidden = !sync;
    $("run").dataset.status = sync?.status ?? "none";
    if (!sync) return;
    text($("percent"), String(sync.progress));
    $("bar").setAttribute("aria-valuenow", sync.progress);
    $("bar").setAttribute("aria-valuetext", `${sync.progress}%, ${headline(sync)}`);
    $("fill").style.transform = `scaleX(${sync.progress / 100})`;
    for (const item of $("stages").children) {
      item.classList.toggle("now", item.dataset.stage === sync.stage);
    }
    $("details").replaceChildren(datasets(sync), ...warnings(sync));
    tick();
  }

  function tick() {
    if (sync) text($("time"), [...times(sync), link].filter(Boolean).join(" · "));
  }

  for (const button of [$("action"), $("second")]) {
    button.addEventListener("click", async () => {
      onError(null);
      await busy(button, () => actions[button.dataset.action][1](), onError);
      render();
    });
  }
  setInterval(() => sync && !ended(sync) && tick(), 500);
  return { render, attach, follow, resume, show };
}

/** Whether a version of a sync is shown in place of another. A live sync is: there is only one. */
function replaces(newer, shown) {
  if (newer.syncId === shown.syncId) return newer.version > shown.version;
  return !ended(newer) || newer.startedAt > shown.startedAt;
}

function headline(sync) {
  if (!sync) return "Ready";
  if (sync.status === "in_progress") return sync.stage === "queued" ? "Waiting" : title(sync.stage);
  return title(sync.status);
}

function message(sync, account) {
  if (sync) return sync.message;
  return account ? "Nothing has been read from this account yet." : "Connect an account first.";
}

const spoken = (sync) =>
  ended(sync) ? `${headline(sync)}. ${sync.message}` : `${headline(sync)}, ${sync.progress} percent`;

/** The line beside the percentage: the remaining time, or the duration of the sync. */
function times(sync) {
  if (ended(sync)) {
    const failed = sync.recordsFailed > 0 && `${number(sync.recordsFailed)} could not be read`;
    return [failed, `took ${duration(sync.duration)}`, `ended ${moment(sync.completedAt)}`];
  }
  if (sync.status === "paused") return [`Paused since ${moment(sync.updatedAt)}`];
  const parts = [];
  const wait = (Date.parse(sync.waitingUntil) - now()) / 1000;
  if (wait > 0) parts.push(`Continues in ${ahead(wait)}`);
  const since = (now() - Date.parse(sync.updatedAt)) / 1000;
  const left = sync.estimatedSecondsRemaining - Math.max(since, 0);
  if (sync.estimatedSecondsRemaining !== null && left > 0) parts.push(`about ${ahead(left)} left`);
  if (sync.attempt > 1) parts.push(`attempt ${sync.attempt}`);
  return parts;
}
