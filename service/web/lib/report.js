// The parts of a sync's page: its timeline, datasets, failed records and audit.
import { dataset as nameOf, source } from "./catalog.js";
import { ended } from "./client.js";
import { badge, card, cardHead } from "./components.js";
import { button, fill, h } from "./dom.js";
import { clockSeconds, duration, moment, money, number, plural, title } from "./format.js";
import { datasetBar } from "./run.js";
import { table } from "./table.js";
import { failed } from "./toasts.js";
import { STAGES, datasetState, headline, read, waiting } from "./words.js";

const item = (look, what, when, words) => h("li", {}, h("span", { class: `mark ${look}` }),
  h("span", { class: look === "next" ? "later" : "what" }, what), h("span", { class: "when" }, when ?? ""), words && h("p", {}, words));

const ENDS = { complete: ["good", "Complete"], failed: ["bad", "Failed"], cancelled: ["", "Cancelled"], paused: ["warn", "Paused"] };

export function timelineCard(sync) {
  const attempts = sync.attempts ?? [];
  const items = attempts.flatMap((attempt) => {
    const last = attempt.attempt === sync.attempt;
    const begun = item("good", attempt.attempt === 1 ? "Started" : `Started again, attempt ${attempt.attempt}`, clockSeconds(attempt.startedAt), attempt.attempt === 1 ? moment(attempt.startedAt) : null);
    if (last && !attempt.endedAt) return [begun, ...present(sync)];
    const [look, words] = ENDS[attempt.status] ?? ["", title(attempt.status)];
    const warned = last && look === "good" && sync.warningsCount;
    return [begun, item(warned ? "warn" : look, warned ? "Complete, with warnings" : words, attempt.endedAt && clockSeconds(attempt.endedAt),
      [attempt.error?.message, duration(attempt.duration)].filter((one) => one && one !== "—").join(" · "))];
  });
  if (!attempts.length) items.push(...present(sync));
  return card({ "aria-label": "Timeline" }, cardHead("Timeline"), h("div", { class: "card-body" }, h("ol", { class: "line" }, items)));
}

/** The stages of a sync in its last attempt: done, current and next. */
function present(sync) {
  const at = STAGES.findIndex(([stage]) => stage === sync.stage);
  const done = STAGES.slice(0, Math.max(at, 0)).map(([, words]) => item("good", words));
  const look = sync.status === "paused" ? "warn" : "run";
  const datasets = sync.datasets.filter(({ name }) => name !== "claims");
  const count = (state) => datasets.filter(({ status }) => status === state).length;
  const still = waiting(sync).length;
  const words = sync.stage === "fetching" && [
    `${count("complete")} of ${plural(datasets.length, "dataset")} read`,
    sync.status !== "paused" && count("in_progress") - still > 0 && `${count("in_progress") - still} being read`,
    sync.status !== "paused" && still && `${still} waiting`,
  ].filter(Boolean).join(", ");
  const next = ended(sync) ? [] : STAGES.slice(at + 1).map(([, stage]) => item("next", stage));
  return [...done, item(look, sync.status === "paused" ? "Paused" : headline(sync), sync.status === "paused" ? clockSeconds(sync.updatedAt) : "now", words), ...next];
}

const COUNTS = [["New", "created"], ["Changed", "updated"], ["Unchanged", "unchanged", "drop"], ["Deleted", "deleted", "drop"], ["Failed", "failed"]];

export function datasetsCard(sync) {
  const counted = (dataset) => dataset.name !== "claims" && !["—", "unknown"].includes(read(dataset, sync));
  const shown = COUNTS.filter(([, name]) => name !== "deleted" || sync.datasets.some(({ deleted }) => deleted));
  const columns = [
    { label: "Dataset", cell: (dataset) => [nameOf(sync.connector, dataset.name), ...notes(dataset)] },
    { label: "State", phone: "end", cell: (dataset) => badge(datasetState(dataset, sync)) },
    { label: "Progress", look: "meter", phone: "full", cell: (dataset) => datasetBar(dataset, sync) },
    { label: "Read", look: "num", cell: (dataset) => read(dataset, sync) },
    ...shown.map(([label, name, phone]) => ({
      label, look: "num", phone,
      cell: (dataset) => (counted(dataset) && dataset[name] ? number(dataset[name]) : h("span", { class: "zero" }, counted(dataset) ? "0" : "—")),
    })),
  ];
  return card({ "aria-label": "Datasets" },
    cardHead("Datasets", sync.dryRun ? "A test run: counted, but not stored" : "Counts of stored records"),
    h("div", { class: "scroller" }, table({ columns, rows: sync.datasets, key: ({ name }) => name, caption: "Datasets" })));
}

function notes(dataset) {
  if (!dataset.restated) return [];
  const amounts = dataset.restated.amounts.map(({ amount, currency }) => `${money(amount)} ${currency}`).join(", ");
  return [h("span", { class: "sub" }, `${plural(dataset.restated.records, "amount")} restated: ${amounts}`)];
}

const LISTED = 20;
const OUTCOMES = { created: "would be added", updated: "would be changed", deleted: "would be deleted", failed: "could not be read" };

/** The card of the failed records, or in a test run, of the outcome of each record. */
export function failuresCard(client, id) {
  const root = h("div", { hidden: true });
  let busy = false;

  async function refresh(sync) {
    if (busy) return;
    busy = true;
    try {
      fill(root);
      await load(sync, null);
    } catch (problem) {
      failed(problem);
    } finally {
      busy = false;
    }
  }

  async function load(sync, cursor) {
    const page = await client.get(`/api/sync/history/${encodeURIComponent(id)}/items`,
      { status: sync.dryRun ? null : "failed", limit: LISTED, cursor });
    if (!page.items.length && !cursor) return;
    if (!cursor) fill(root, shell(sync));
    root.hidden = false;
    const list = root.querySelector("ul");
    list.append(...page.items.map((one) => h("li", {}, h("span", { class: "grow" },
      h("span", { class: "mono" }, one.recordId), one.name && ` ${one.name}`, h("br"),
      h("span", { class: "muted small" }, [nameOf(sync.connector, one.dataset), sync.dryRun && OUTCOMES[one.outcome], one.error].filter(Boolean).join(" · "))))));
    root.querySelector(".card-foot")?.remove();
    if (page.nextCursor) {
      root.firstChild.append(h("div", { class: "card-foot" }, h("span", {}, "There are more."),
        button({ class: "btn", onpress: (node) => { node.disabled = true; load(sync, page.nextCursor).catch(failed); } }, "Load more")));
    }
  }

  const shell = (sync) => card({ "aria-label": "Records", class: "failures" },
    sync.dryRun
      ? cardHead("What the sync would do", "For each record; unchanged ones are not listed")
      : cardHead("Records that could not be read", `${source(sync.connector)} sent them in an unknown form. The other records are stored.`),
    h("ul", { class: "rows" }));

  return { root, refresh };
}

const AGENT = 60; // characters

export function auditCard(sync) {
  if (!sync.moves?.length) return null;
  const columns = [
    { label: "When", cell: ({ at }) => clockSeconds(at) },
    { label: "What", phone: "end", cell: ({ action }) => title(action) },
    { label: "Who", cell: ({ actor, address }) => [actor, address && ` from ${address}`] },
    { label: "Client", phone: "drop", look: "clip", cell: ({ userAgent }) => h("span", { class: "muted" }, (userAgent ?? "—").slice(0, AGENT)) },
  ];
  return card({ "aria-label": "Audit" }, cardHead("Audit", "Who did what"),
    table({ columns, rows: sync.moves, key: ({ at, action }) => `${at} ${action}`, caption: "Audit" }));
}
