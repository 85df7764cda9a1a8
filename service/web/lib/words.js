// The names and colours of the states of syncs, datasets and claims. Each colour has one meaning:
// blue (run) is running, green (good) is done or claimable, amber (warn) needs attention, red (bad)
// failed, grey is everything else; "wait" is grey with a ring.
import { ended, now } from "./client.js";
import { dataset as nameOf, source } from "./catalog.js";
import { list, number, sentence } from "./format.js";
import { live } from "./live.js";

/** The current time. While offline, the time at which the connection was lost. */
const present = () => (live.link === "offline" ? live.linkSince : now());

export const STAGES = [
  ["starting", "Starting", 10],
  ["fetching", "Reading", 30],
  ["processing", "Finding claims", 60],
  ["finalizing", "Finishing", 90],
  ["complete", "Done", 100],
];

/** The datasets that wait for the source now. */
export const waiting = (sync) =>
  (sync.datasets ?? []).filter(({ status, waitingUntil }) => status === "in_progress" && Date.parse(waitingUntil) > present());

/** Whether all datasets that a sync is reading wait for the source. */
function allWait(sync) {
  const reading = (sync.datasets ?? []).filter(({ status }) => status === "in_progress");
  return reading.length > 0 && waiting(sync).length === reading.length;
}

/** The look and the words of a sync's state. */
export function syncState(sync) {
  if (sync.status === "in_progress") {
    if (sync.stage === "queued") return ["wait", "Queued"];
    return allWait(sync) ? ["wait", `Waiting for ${source(sync.connector)}`] : ["run", "Running"];
  }
  if (sync.status === "complete" && sync.warningsCount) return ["warn", "Complete, with warnings"];
  return { paused: ["warn", "Paused"], complete: ["good", "Complete"], failed: ["bad", "Failed"], cancelled: ["", "Cancelled"] }[sync.status];
}

/** The look and the words of a dataset's state. A cancelled dataset is not an error. */
export function datasetState(dataset, sync) {
  if (dataset.code === "not_read") return ["", "Not read"];
  if (dataset.status === "in_progress") {
    if (sync.status === "paused") return ["warn", "Paused"];
    if (ended(sync)) return ["", "Not read"];
    return Date.parse(dataset.waitingUntil) > present() ? ["wait", "Waiting"] : ["run", "Reading"];
  }
  if (dataset.status === "pending") return ended(sync) ? ["", "Not read"] : ["wait", "Next"];
  return { complete: ["good", "Complete"], partial: ["warn", "Partly read"], failed: ["bad", "Failed"], unknown: ["", "Unknown"] }[dataset.status];
}

export const CLAIM_STATES = {
  claimable: ["good", "Claimable"],
  waiting: ["wait", "Opens later"],
  reimbursed: ["run", "Reimbursed"],
  expired: ["", "Expired"],
  closed: ["", "Closed"],
};

export const accountState = (account) => (account.status === "lost" ? ["warn", "Connection lost"] : ["good", "Connected"]);

const KINDS = { historical: "Historical", incremental: "New data", full: "Full refresh", dry_run: "Test run" };
const TRIGGERS = { user: "Manual", schedule: "Schedule", connect: "After connecting", notification: "Notification" };

export const kindAndTrigger = (sync) => [KINDS[sync.kind], TRIGGERS[sync.trigger]].filter(Boolean).join(" · ");

/** The name of a sync as a title. */
export function syncName(sync) {
  if (sync.kind === "historical") return "Historical sync";
  if (sync.kind === "full") return "Full refresh";
  if (sync.kind === "dry_run") return "Test run";
  return sync.trigger === "schedule" ? "Scheduled sync" : "Sync of new data";
}

/** The current step of a sync, as a headline. */
export function headline(sync) {
  if (ended(sync)) return syncState(sync)[1];
  return {
    queued: "Waiting for its turn",
    starting: "Starting",
    fetching: `Reading from ${source(sync.connector)}`,
    processing: "Finding claims",
    finalizing: "Finishing",
  }[sync.stage] ?? "Finishing";
}

/** The datasets that a sync is reading, as a phrase. */
export function doing(sync) {
  if (sync.status !== "in_progress" || sync.stage !== "fetching") return headline(sync);
  const still = waiting(sync).map(({ name }) => name);
  const names = sync.datasets
    .filter(({ name, status }) => status === "in_progress" && !still.includes(name))
    .map(({ name }) => nameOf(sync.connector, name).toLowerCase());
  if (!names.length) return still.length ? "Everything else has been read" : headline(sync);
  return names.length > 3 ? `Reading ${names.length} datasets` : `Reading ${list(names)}`;
}

/** The number of records read from a dataset, or a word: unknown is never shown as 0. */
export function read(dataset, sync) {
  const [, state] = datasetState(dataset, sync);
  if (["Not read", "Next"].includes(state)) return "—";
  if (dataset.status === "unknown") return "unknown";
  if (dataset.status === "complete") return number(dataset.processed);
  if (dataset.total !== null) return `${number(dataset.processed)} of ${number(dataset.total)}`;
  return number(dataset.processed) + (dataset.status === "in_progress" ? " so far" : "");
}

/** The same with its state, for the short list of datasets. */
export function readShort(dataset, sync) {
  const [, state] = datasetState(dataset, sync);
  if (state === "Next") return dataset.name === "claims" ? "after reading" : "next";
  if (state === "Waiting") return dataset.processed ? `${read(dataset, sync)}, waiting` : "waiting";
  if (dataset.status === "complete") return `${number(dataset.processed)} · done`;
  return ["Reading", "Partly read"].includes(state) ? read(dataset, sync) : state.toLowerCase();
}

const SHORT = 2000; // ms: shorter waits are not worth a line
const CODE = /\s*\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g; // codes such as report types, which users need not see

/** The reasons to wait, each with its datasets and the time at which the first one continues. */
export function waits(sync) {
  const reasons = new Map();
  for (const dataset of waiting(sync).filter(({ waitingUntil }) => Date.parse(waitingUntil) - present() > SHORT)) {
    const { for: why, operation } = dataset.waiting ?? {};
    const reason = (why || source(sync.connector)).replaceAll(CODE, "").split(operation ? ` for ${operation}` : null)[0];
    const known = reasons.get(reason) ?? { names: [], until: dataset.waitingUntil };
    known.names.push(nameOf(sync.connector, dataset.name).toLowerCase());
    if (dataset.waitingUntil < known.until) known.until = dataset.waitingUntil;
    reasons.set(reason, known);
  }
  const others = sync.datasets.some(({ status }) => status === "in_progress") && !allWait(sync);
  return [...reasons].map(([reason, { names, until }], at) => ({
    words: `${sentence(names.length > 3 ? `${names.length} datasets` : list(names))} ${names.length === 1 && !names[0].endsWith("s") ? "waits" : "wait"} for ${reason}.`,
    calm: at > 0 ? "" : others ? "The others continue." : "This is normal. No action is needed.",
    until,
  }));
}

/** The number of claims, or null if it is unknown. */
export function claims(sync) {
  if (!sync.datasets) return sync.claimsDetected;
  const dataset = sync.datasets.find(({ name }) => name === "claims");
  return dataset?.status === "complete" ? sync.claimsDetected : null;
}

/** Whether a pause ends only when the account is connected again. */
export const pausedForAccount = (sync, account) => sync.status === "paused" && account?.status === "lost";
