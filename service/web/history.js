// The history: a row for each sync, newest first. Its details are datasets, warnings and failures.
import { get } from "./api.js";
import { datasets, warnings } from "./datasets.js";
import { $, badge, busy, h, text } from "./dom.js";
import { claims, duration, moment, number, status } from "./format.js";

const RESUMABLE = new Set(["paused", "failed", "cancelled"]);

export function createHistory({ onResume, onError }) {
  const table = $("history");
  const shown = new Map(); // syncId -> its body in the table
  let cursor = null;

  /** Reads the first page again; open rows stay open. */
  async function refresh() {
    const open = new Set([...shown].filter(([, body]) => body.rows.length > 1).map(([id]) => id));
    const page = await get("/api/sync/history", { limit: 20, expand: "datasets", status: $("history-filter").value });
    for (const body of shown.values()) body.remove();
    shown.clear();
    append(page);
    for (const id of open) if (shown.has(id)) toggle(id);
    return page.syncs;
  }

  async function more() {
    append(await get("/api/sync/history", { limit: 20, expand: "datasets", status: $("history-filter").value, cursor }));
  }

  function append(page) {
    for (const sync of page.syncs) {
      if (shown.has(sync.syncId)) continue;
      const body = h("tbody", { "data-sync": sync.syncId });
      shown.set(sync.syncId, body);
      fill(body, sync);
      table.append(body);
    }
    cursor = page.nextCursor;
    $("history-more").hidden = !cursor;
    table.hidden = !shown.size;
    $("history-empty").hidden = shown.size > 0;
    const filter = $("history-filter").value;
    text($("history-empty"), filter ? `No sync is ${status(filter)}.` : "No sync has been started yet.");
  }

  /** Shows a newer version of a sync if the list contains the sync. */
  function update(sync) {
    const body = shown.get(sync.syncId);
    if (!body) return;
    const old = body.sync;
    body.sync = sync;
    cells(sync).forEach((cell, at) => body.rows[0].cells[at].replaceChildren(...cell.childNodes));
    body.querySelector(".drawer .datasets")?.replaceWith(datasets(sync));
    if (old.status !== sync.status) fill(body, sync, body.rows.length > 1);
  }

  function fill(body, sync, open = false) {
    body.sync = sync;
    body.replaceChildren(h("tr", {}, ...cells(sync), actions(sync)));
    if (open) toggle(sync.syncId);
  }

  function cells(sync) {
    const count = claims(sync);
    const none = h("span", {}, h("span", { "aria-hidden": "true", title: "Unknown" }, "—"),
      h("span", { class: "unseen" }, "unknown"));
    return [
      h("th", { scope: "row" }, moment(sync.startedAt)),
      h("td", { class: "state" }, badge(sync.status, status(sync.status))),
      h("td", { class: sync.duration === null ? "num none" : "num", "data-label": "" }, duration(sync.duration)),
      h("td", { class: "num", "data-label": "orders" }, number(sync.ordersProcessed)),
      h("td", { class: "num", "data-label": "records" }, number(sync.recordsProcessed)),
      h("td", { class: "num", "data-label": "claims" }, count === null ? none : number(count)),
    ];
  }

  function actions(sync) {
    const resume = h("button", { class: "quiet", onclick: () => busy(resume, () => onResume(sync.syncId), onError) },
      "Resume");
    const details = h("button", {
      class: "quiet details", "aria-expanded": "false", onclick: () => toggle(sync.syncId),
    }, "Details");
    return h("td", { class: "row-actions" }, RESUMABLE.has(sync.status) && resume, details);
  }

  function toggle(id) {
    const body = shown.get(id);
    const open = body.rows.length === 1;
    body.querySelector(".details").setAttribute("aria-expanded", String(open));
    if (!open) return body.rows[1].remove();
    const failures = h("div", {});
    const inside = h("div", { class: "drawer" }, datasets(body.sync), ...warnings(body.sync), failures);
    body.append(h("tr", { class: "opened" }, h("td", { colspan: "7" }, inside)));
    if (body.sync.recordsFailed) load(id, failures).catch(onError);
  }

  /** The records that could not be read, each with its reason. */
  async function load(id, into, after = null) {
    const page = await get(`/api/sync/history/${id}/items`, { status: "failed", limit: 20, cursor: after });
    const list = h("ul", { class: "failures" }, ...page.items.map((item) =>
      h("li", {}, h("span", { class: "mono" }, `${item.dataset} ${item.recordId}`),
        item.name && ` ${item.name}`, h("span", { class: "muted" }, ` ${item.error ?? ""}`))));
    const next = h("button", {
      class: "quiet", onclick: () => busy(next, () => load(id, into, page.nextCursor), onError).then(() => next.remove()),
    }, "More failures");
    into.append(...(after ? [] : [h("h3", {}, "Failed records")]), list, ...(page.nextCursor ? [next] : []));
  }

  const guarded = (work) => () => work().catch(onError);
  $("history-filter").addEventListener("change", guarded(refresh));
  $("history-more").addEventListener("click", () => busy($("history-more"), more, onError));
  return { refresh, update };
}
