// The records: a tab for each dataset, a table with the connector's columns, a drawer for each record.
import { datasets } from "../lib/catalog.js";
import { card, download, empty, facts, failure, field, head, save, skeleton, worker } from "../lib/components.js";
import { fill, h, patch } from "../lib/dom.js";
import { dayFromToday, moment, number, sentence, title } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { ended } from "../lib/client.js";
import { json } from "../lib/json.js";
import { drawer } from "../lib/overlay.js";
import { columnsFor } from "../lib/recordcolumns.js";
import { address, close } from "../lib/router.js";
import { pages, table } from "../lib/table.js";
import { failed } from "../lib/toasts.js";

const SEARCH_AFTER = 300; // ms
const FILES = [["CSV", "text/csv", "csv"], ["JSON lines", "application/x-ndjson", "ndjson"]];

export function show(root, { params, client, live, navigate }) {
  const sets = datasets(live.accounts.map(({ connector }) => connector));
  let { path: [name = sets[0]?.name], query } = params;
  let open = null;
  const top = h("div");
  const tabs = h("nav", { class: "tabs", "aria-label": "Datasets" });
  const filters = h("form", { class: "filters", "aria-label": "Search" });
  const results = card({ "aria-label": "Records" }, skeleton(6));
  fill(root, h("div", { class: "wrap" }, top, h("div", { class: "stack" }, tabs, filters, results)));
  let counts = new Map();

  const set = () => sets.find((one) => one.name === name) ?? { name, label: title(name ?? ""), columns: [] };
  const asked = () => ({ q: query.q, updatedSince: query.since && `${query.since}T00:00:00Z`, connectionId: live.chosen?.id });
  const base = () => `/api/data/${encodeURIComponent(name)}`;
  const change = (changes) => navigate(["records", name], { ...query, ...changes }, { replace: true });

  function draw() {
    patch(top, head("Records", `Records of ${live.chosen ? live.name(live.chosen) : "all accounts"}, as they were received`,
      ...FILES.map(([words, type, end]) => worker({ class: "btn" }, [icon("download", "less"), words], () => file(type, end), failed))));
    patch(tabs, ...sets.map((one) => h("a", { href: address(["records", one.name]), "aria-current": one.name === name && "page" }, sentence(one.label))));
    const tab = tabs.querySelector("[aria-current]");
    if (tab) tabs.scrollTo({ left: tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2 });
  }

  function drawFilters() {
    fill(filters,
      h("label", { class: "field grow" }, "Find by id", h("span", { class: "search" }, icon("search"), h("input", { class: "input", type: "search", name: "q", value: query.q, placeholder: "The beginning of an id" }))),
      field("Changed since", h("input", { class: "input", type: "date", name: "since", value: query.since, max: dayFromToday() })));
  }

  const list = pages({
    root: results,
    load: async (cursor) => {
      const page = await client.get(base(), { limit: 20, ...asked(), cursor });
      return { rows: page.records, nextCursor: page.nextCursor };
    },
    draw: (rows) => h("div", { class: "scroller" }, table({ columns: columns(rows), rows, key: (record) => record.id, caption: sentence(set().label) })),
    none: () => (query.q || query.since
      ? empty("search", "No matching records", query.q ? `No id begins with “${query.q}”.` : "No record has changed since then.")
      : empty("rows", "No records yet", live.accounts.length ? "They appear here while a sync reads them." : "Connect an account to read its records.")),
    foot: (rows, more) => {
      const all = counts.get(name);
      const of = more && all && !query.q && !query.since && !live.chosen ? ` of ${number(all)}` : "";
      return `${number(rows.length)}${of} ${rows.length === 1 && !of ? "record" : "records"}`;
    },
    onError: failed,
  });

  const columns = (rows) => [
    { label: "Id", cell: (record) => h("a", { class: "open mono", href: address(["records", name, record.id], query) }, record.id) },
    ...columnsFor(set(), rows).map(({ label, numeric, show: cell }) => ({ label, look: numeric ? "num" : "clip", cell: ({ data }) => cell(data) })),
    { label: "Changed", look: "num", cell: (record) => moment(record.updatedAt) },
  ];

  const refresh = () => list.refresh().catch((problem) => {
    if (problem.status !== 401 && !list.rows.length) patch(results, failure("The records could not be loaded", problem, refresh));
  });

  async function file(type, end) {
    const given = Object.entries(asked()).filter(([, value]) => value);
    const answer = await client.response("GET", `${base()}?${new URLSearchParams(given)}`, { headers: { Accept: type } });
    await download(answer, `${name}.${end}`);
  }

  function showDrawer(id) {
    if (open?.id === id) return;
    const last = open;
    open = null;
    last?.node.close();
    if (!id) return;
    const shown = drawer({ label: id, onClose: () => {
      if (open?.id !== id) return;
      open = null;
      close(["records", name], query);
    } });
    open = { id, node: shown.node };
    fill(shown.body, skeleton(8));
    const known = list.rows.find((record) => record.id === id)?.connectionId ?? live.chosen?.id;
    client.get(`${base()}/${encodeURIComponent(id)}`, { connectionId: known }).then((record) => {
      fill(shown.head, h("h2", { class: "mono" }, record.id), h("p", { class: "muted small" }, `${sentence(set().label)}, last changed by the `,
        h("a", { href: address(["history", record.syncId]) }, `sync of ${moment(record.updatedAt)}`)));
      fill(shown.body, ...body(record, set().label));
    }, (problem) => fill(shown.body, problem.status === 404
      ? empty("search", "There is no such record", "It may have been deleted.")
      : h("p", { class: "problem", role: "alert" }, problem.message)));
  }

  let typing = 0;
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ [target.name]: target.value }), SEARCH_AFTER);
  });
  draw();
  drawFilters();
  refresh();
  client.get("/api/data").then(({ datasets: found }) => {
    counts = new Map(found.map((one) => [one.dataset, one.records]));
    if (list.rows.length) list.show();
  }).catch(() => {});
  showDrawer(params.path[1]);
  const off = live.on("sync", ({ sync, before }) => {
    const processed = sync.datasets?.find((one) => one.name === name)?.processed;
    if ((ended(sync) && before) || (processed && !list.rows.length)) refresh();
  });
  const cleanup = () => {
    clearTimeout(typing);
    off();
    list.stop();
    const last = open;
    open = null;
    last?.node.close();
  };
  cleanup.update = ({ path, query: changed }) => {
    const same = path[0] === name && JSON.stringify(changed) === JSON.stringify(query);
    const other = (path[0] ?? name) !== name;
    name = path[0] ?? name;
    query = changed;
    if (other) {
      list.rows = [];
      patch(results, skeleton(6));
      drawFilters();
    }
    if (!same) { draw(); refresh(); }
    showDrawer(path[1]);
  };
  return cleanup;
}

function body(record, label) {
  const text = JSON.stringify(record.data, null, 2);
  return [
    facts([
      ["Changed", moment(record.updatedAt)],
      record.firstSeenAt && ["First seen", moment(record.firstSeenAt)],
      ["Used as proof in", record.claims.length
        ? record.claims.map(({ id, rule }, at) => [at ? ", " : "", h("a", { href: address(["recoveries", id]) }, rule)]).flat()
        : "no claim"],
    ].map((pair) => pair && [pair[0], Array.isArray(pair[1]) ? h("span", {}, ...pair[1]) : pair[1]])),
    h("section", { class: "stack tight" },
      h("div", { class: "card-top" }, h("h3", { class: "card-words" }, "Original record"),
        worker({ class: "btn plain" }, h("span", {}, "Copy"), () => navigator.clipboard.writeText(text), failed),
        worker({ class: "btn plain" }, [icon("download", "less"), "Download"], async () => save(new Blob([text], { type: "application/json" }), `${record.id.replaceAll(/[^\w-]+/g, "_")}.json`), failed)),
      json(record.data, `${sentence(label)}: the record as JSON`)),
  ];
}
