// Recoveries: totals by currency, reasons why they may be incomplete, and the list of claims.
import { client, get } from "./api.js";
import { drawer, row } from "./claim.js";
import { ended } from "./client.js";
import { $, busy, h } from "./dom.js";
import { money, number } from "./format.js";

const STATUSES = ["claimable", "waiting", "expired", "reimbursed"];

/** `name` returns the name of an account: null if it was forgotten, "" if it is the only one. */
export function createRecoveries({ onError, name }) {
  const table = $("claims");
  const shown = new Map(); // id -> its body in the table
  let cursor = null;
  let latest = 0; // the number of the newest request
  let anyEnded = false; // whether any sync has ended

  const filters = () => ({ status: $("claims-status").value, rule: $("claims-rule").value });
  const filtered = () => Object.values(filters()).some(Boolean);

  /** Reads the totals, the first page and the newest syncs; open rows stay open. */
  async function refresh() {
    const request = ++latest;
    const first = get("/api/recoveries", { limit: 20, ...filters() });
    const [page, { totals }, { syncs }] = await Promise.all([
      first,
      filtered() ? get("/api/recoveries", { limit: 1 }) : first, // filtered pages have filtered totals
      get("/api/sync/history", { limit: 50, expand: "datasets" }),
    ]);
    if (request !== latest) return; // a newer refresh is running
    const open = [...shown].filter(([, body]) => body.rows.length > 1).map(([id]) => id);
    for (const body of shown.values()) body.remove();
    shown.clear();
    anyEnded = syncs.some(ended);
    const gaps = unknowns(syncs, name, totals.length > 0);
    $("totals").replaceChildren(...headline(totals, syncs, gaps.length > 0));
    $("claims-notes").replaceChildren(...gaps.map((words) => h("li", { class: "notice warn" }, words)));
    $("claims-notes").hidden = !gaps.length;
    $("claims-list").hidden = !totals.length;
    $("claims-download").hidden = !totals.length;
    append(page);
    for (const id of open) if (shown.has(id)) toggle(id);
  }

  async function more() {
    const request = latest;
    const page = await get("/api/recoveries", { limit: 20, ...filters(), cursor });
    if (request === latest) append(page);
  }

  function append(page) {
    for (const claim of page.recoveries) {
      if (shown.has(claim.id)) continue;
      const body = h("tbody", { "data-claim": claim.id }, row(claim, () => toggle(claim.id)));
      shown.set(claim.id, body);
      table.append(body);
    }
    cursor = page.nextCursor;
    $("claims-more").hidden = !cursor;
    table.hidden = !shown.size;
    $("claims-empty").hidden = shown.size > 0;
  }

  function toggle(id) {
    const body = shown.get(id);
    const open = body.rows.length === 1;
    body.querySelector(".details").setAttribute("aria-expanded", String(open));
    if (!open) return body.rows[1].remove();
    const inside = h("div", { class: "drawer padded" }, h("p", { class: "muted" }, "Reading…"));
    body.append(h("tr", { class: "opened" }, h("td", { colspan: "6" }, inside)));
    get(`/api/recoveries/${encodeURIComponent(id)}`)
      .then((claim) => inside.replaceChildren(...drawer(claim)))
      .catch((problem) => inside.replaceChildren(h("p", { class: "problem" }, problem.message)));
  }

  /** Downloads all claims that match the filters as CSV. */
  async function download() {
    const query = new URLSearchParams(Object.entries(filters()).filter(([, value]) => value));
    const answer = await client.response("GET", `/api/recoveries?${query}`, { headers: { Accept: "text/csv" } });
    const url = URL.createObjectURL(await answer.blob());
    h("a", { href: url, download: "recoveries.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  /** Offers the rules in the filter. */
  function offer(rules) {
    $("claims-rule").append(...rules.map((rule) => h("option", { value: rule.code }, `${rule.code} ${rule.title}`)));
  }

  /** Shows that a sync is running, until the first sync has ended. */
  const syncStarted = () => anyEnded || refresh().catch(onError);

  for (const filter of [$("claims-status"), $("claims-rule")]) {
    filter.addEventListener("change", () => refresh().catch(onError));
  }
  $("claims-more").addEventListener("click", () => busy($("claims-more"), more, onError));
  $("claims-download").addEventListener("click", () => busy($("claims-download"), download, onError));
  return { refresh, syncStarted, offer };
}

/** A line of sums for each currency, or a reason for no sums. An unknown sum is never shown as 0. */
function headline(totals, syncs, gaps) {
  const lines = [...new Set(totals.map((row) => row.currency))].filter(Boolean).map((currency) => {
    const of = (status) => totals.find((row) => row.currency === currency && row.status === status);
    return h("dl", { class: "sums", "data-currency": currency }, ...STATUSES.map((status) => sum(status, of(status), currency)));
  });
  const unvalued = STATUSES.map((status) => {
    const count = totals.filter((row) => row.status === status).reduce((all, row) => all + row.unvalued, 0);
    return count && `${number(count)} ${status}`;
  }).filter(Boolean);
  if (unvalued.length) {
    lines.push(h("p", { class: "muted small" }, `Not in these sums, since their amount is unknown: ${unvalued.join(", ")}.`));
  }
  if (lines.length) return lines;
  return [h("p", { class: "muted" }, nothing(syncs, gaps))];
}

function sum(status, row, currency) {
  const claims = row?.claims ?? 0;
  return h("div", { class: `sum ${status} ${claims ? "" : "nil"}` },
    h("dt", {}, status),
    h("dd", {}, h("span", { class: "amount" }, row ? money(row.amount) : "0"), " ", h("span", { class: "sign" }, currency)),
    h("dd", { class: "muted small" }, claims === 1 ? "1 claim" : `${number(claims)} claims`));
}

function nothing(syncs, gaps) {
  if (!syncs.length) return "Nothing has been synced yet. Each sync ends with a search for claims.";
  if (!syncs.some(ended)) return "The first sync is running. It ends with a search for claims.";
  if (gaps) return "The claims are unknown.";
  return "The last sync found no claims.";
}

/** For each account, why its newest ended sync could not determine the claims. */
function unknowns(syncs, name, older) {
  const newest = new Map();
  for (const sync of syncs) {
    if (ended(sync) && !newest.has(sync.connectionId)) newest.set(sync.connectionId, sync);
  }
  const notes = [];
  for (const [id, sync] of newest) {
    const claims = sync.datasets.find((dataset) => dataset.name === "claims");
    if (name(id) === null || claims?.status === "complete") continue;
    const how = claims?.status === "partial"
      ? "Some claims are unknown."
      : `The last sync could not determine the claims${older ? "; those shown are from an earlier sync" : ""}.`;
    notes.push([name(id) && `${name(id)}:`, how, claims?.error].filter(Boolean).join(" "));
  }
  return notes;
}
