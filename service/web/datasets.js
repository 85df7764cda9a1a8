// The datasets of a sync as a table, and its warnings. For the current sync and for the history.
import { badge, h } from "./dom.js";
import { number, read, status, title } from "./format.js";

const COUNTERS = [["New", "created"], ["Updated", "updated"], ["Unchanged", "unchanged"], ["Failed", "failed"]];

export function datasets(sync) {
  const heads = [["Dataset"], ["Status"], ["Read", "num"], ...COUNTERS.map(([name]) => [name, "num"])];
  return h("table", { class: "datasets" },
    h("thead", {}, h("tr", {}, ...heads.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
    h("tbody", {}, ...sync.datasets.map((dataset) => row(dataset, sync))));
}

function row(dataset, sync) {
  const known = !["pending", "unknown"].includes(dataset.status);
  const counted = known && dataset.name !== "claims"; // claims are not compared with stored ones
  const [kind, words] = state(dataset, sync);
  return h("tr", { "data-dataset": dataset.name },
    h("th", { scope: "row" }, title(dataset.name)),
    h("td", { class: "state" }, badge(kind, words)),
    h("td", { class: `num read ${known ? "" : "none"}` }, read(dataset)),
    ...COUNTERS.map(([name, field]) => {
      const value = counted ? dataset[field] : 0;
      const look = `num count ${value ? field : "none"}`;
      return h("td", { class: look, "data-label": name.toLowerCase() }, counted ? number(value) : "—");
    }));
}

/** The style and the text of a dataset's badge. A dataset in progress may be paused or waiting. */
function state(dataset, sync) {
  if (dataset.code === "not_read") return ["unknown", "not read"];
  if (dataset.status !== "in_progress") return [dataset.status, status(dataset.status)];
  if (sync.status === "paused") return ["paused", "paused"];
  return ["in_progress", dataset.waitingUntil ? "waiting" : "reading"];
}

/** The warnings, and the errors of datasets and of the sync that no warning contains. */
export function warnings(sync) {
  const texts = sync.warnings.map(({ message }) => message);
  for (const { name, error, code } of sync.datasets) {
    if (error && code !== "not_read" && !texts.some((words) => words.includes(error))) texts.push(`${title(name)}: ${error}`);
  }
  const notes = texts.map((words) => h("li", { class: "notice warn" }, words));
  if (sync.error && sync.error.message !== sync.message) {
    notes.unshift(h("li", { class: "notice bad" }, sync.error.message));
  }
  return notes.length ? [h("ul", { class: "notices" }, ...notes)] : [];
}
