// The run of a sync: percent, stages, waits and datasets.
import { now } from "./client.js";
import { bar } from "./components.js";
import { dataset as nameOf } from "./catalog.js";
import { h } from "./dom.js";
import { ahead, clock } from "./format.js";
import { icon } from "./icons.js";
import { STAGES, datasetState, readShort, waits } from "./words.js";

/** The share of a stage that is done, from 0 to 1. A stage ends where the next one begins. */
function share(sync, at) {
  const from = at === 0 ? 0 : STAGES[at][2];
  const to = STAGES[at + 1]?.[2];
  if (to === undefined) return sync.progress >= from ? 1 : 0;
  return Math.min(Math.max((sync.progress - from) / (to - from), 0), 1);
}

const LOOKS = { paused: "warn", failed: "bad", cancelled: "calm" };

export function stages(sync) {
  const look = LOOKS[sync.status] ?? (sync.status === "complete" ? (sync.warningsCount ? "warn" : "good") : "");
  const at = STAGES.findIndex(([stage]) => stage === sync.stage);
  return h("ol", { class: "stages", "aria-label": "Stages" }, STAGES.map(([stage, words], index) =>
    h("li", { class: index < at ? "done" : null, "aria-current": stage === sync.stage && "step" },
      bar(share(sync, index), words, { look }), h("span", {}, words))));
}

/** The remaining time, if it is known, counted down from the time of the estimate. */
export function left(sync) {
  if (sync.status !== "in_progress" || sync.estimatedSecondsRemaining === null || sync.estimatedSecondsRemaining === undefined) return "";
  const since = Math.max((now() - Date.parse(sync.updatedAt)) / 1000, 0);
  const seconds = sync.estimatedSecondsRemaining - since;
  return seconds > 0 ? `about ${ahead(seconds)} left` : "";
}

export const percent = (sync) => h("span", { class: "percent" }, String(sync.progress), h("small", {}, "%"));

/** A line for each reason to wait, with the time at which it continues. */
export function waitLines(sync, link) {
  if (sync.status !== "in_progress") return [];
  return waits(sync).map(({ words, calm, until }) => h("div", { class: "hold" }, icon("clock"),
    h("span", {}, h("strong", {}, words), " ", calm),
    h("time", { datetime: until }, continues(until, link))));
}

function continues(until, link) {
  if (link === "offline") return `due ${clock(until)}`;
  const seconds = (Date.parse(until) - now()) / 1000;
  return seconds > 0 ? `Continues in ${ahead(seconds)}` : "Continues now";
}

export const sets = (sync) =>
  h("ul", { class: "sets", "aria-label": "Datasets" }, sync.datasets.map((dataset) =>
    h("li", { "data-dataset": dataset.name },
      h("span", {}, nameOf(sync.connector, dataset.name)),
      h("span", {}, readShort(dataset, sync)),
      datasetBar(dataset, sync))));

const BARS = { good: "good", warn: "warn", bad: "bad" };

export function datasetBar(dataset, sync) {
  const [look, words] = datasetState(dataset, sync);
  const label = nameOf(sync.connector, dataset.name);
  if (words === "Complete") return bar(1, label, { look: "good" });
  const known = dataset.fraction ?? (dataset.total ? dataset.processed / dataset.total : null);
  const seen = ["Next", "Not read", "Unknown"].includes(words) ? 0 : known;
  return bar(seen, label, { look: BARS[look] ?? (words === "Waiting" ? "" : look === "" ? "calm" : ""), moving: words === "Reading" });
}
