// Recoveries: totals, a chart, claims that close soon, and all claims with filters, sort and a drawer.
import { rules, ruleTitle } from "../lib/catalog.js";
import { chart } from "../lib/chart.js";
import { claimBody, claimHead } from "../lib/claim.js";
import { ended } from "../lib/client.js";
import { badge, card, download, empty, failure, field, head, loader, select, skeleton, worker } from "../lib/components.js";
import { button, fill, h, patch } from "../lib/dom.js";
import { day, money, number, daysUntil } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { SOON, closingCard, nothing, readMoney, unknownNotices, until } from "../lib/money.js";
import { drawer } from "../lib/overlay.js";
import { address, close } from "../lib/router.js";
import { pages, table } from "../lib/table.js";
import { failed } from "../lib/toasts.js";
import { totalsCard } from "../lib/totals.js";
import { CLAIM_STATES } from "../lib/words.js";

const ANY = "all";
const SORTS = [["", "Closing soonest"], ["amount", "Highest amount"], ["found", "Newest"]];
const SEARCH_AFTER = 300; // ms

export function show(root, { params, client, live, navigate }) {
  let query = params.query;
  let open = null; // { id, node } of the drawer
  let filtersOf = "";
  const top = h("div");
  const notices = h("div", { class: "stack tight" });
  const totals = card({ "aria-label": "Totals" });
  const found = card({ "aria-label": "Found each month" });
  const closing = card({ "aria-label": "Closing soon" });
  const columns = h("div", { class: "columns", hidden: true }, found, closing);
  const states = h("div", { class: "seg", role: "group", "aria-label": "Status" });
  const filters = h("form", { class: "filters", "aria-label": "Filters" });
  const results = card({ "aria-label": "Claims" }, skeleton(6));
  const lists = h("div", { class: "stack", hidden: true }, h("div", { class: "stack tight" }, states, filters), results);
  fill(root, h("div", { class: "wrap" }, top, notices, totals, columns, lists));

  const status = () => query.status ?? "claimable";
  const account = () => live.chosen?.id;
  const asked = () => ({
    status: status() === ANY ? "" : status(), rule: query.rule, currency: query.currency, q: query.q, sort: query.sort, connectionId: account(),
  });
  const set = (changes, options) => navigate(["recoveries"], { ...query, ...changes }, options);
  let all = []; // the totals without filters

  const sums = loader(totals, "The totals could not be loaded", () => readMoney(client, live.chosen), (data) => {
    all = data.totals;
    const gaps = unknownNotices(data.syncs, live, all.length > 0);
    patch(notices, ...gaps);
    notices.hidden = !gaps.length;
    patch(totals, ...(all.length ? [totalsCard(all)] : [nothing(data.syncs, gaps.length > 0)]));
    patch(closing, ...closingCard(data));
    closing.hidden = !data.soon.recoveries.length;
    lists.hidden = columns.hidden = !all.length;
    drawTop();
    drawFilters();
    const currency = mostOf(all);
    found.hidden = !currency;
    if (currency) series.refresh();
  });
  const series = loader(found, "The chart could not be loaded",
    async () => {
      const currency = mostOf(all);
      const answer = await client.get("/api/recoveries/series", { by: "month", group: "rule", currency, connectionId: account() });
      return [answer.series, currency];
    },
    ([rows, currency]) => {
      found.hidden = !rows.length;
      if (rows.length) patch(found, ...chart(rows, currency));
    });

  function drawTop() {
    const who = live.chosen ? live.name(live.chosen) : "All accounts";
    patch(top, head("Recoveries", who,
      h("a", { class: "btn", href: "#/settings/costs" }, icon("tag", "less"), "Costs of goods"),
      all.length > 0 && worker({ class: "btn" }, [icon("download", "less"), "Download CSV"], csv, failed)));
  }

  function drawFilters() {
    const count = (state) => all.filter((row) => row.status === state || state === ANY).reduce((sum, row) => sum + row.claims, 0);
    const names = [...Object.keys(CLAIM_STATES), ANY];
    patch(states, ...names.map((state) => button({ "aria-pressed": String(state === status()), onpress: () => set({ status: state === "claimable" ? "" : state }) },
      state === ANY ? "All" : CLAIM_STATES[state][1].split(",")[0], " ", h("span", { class: "muted small" }, number(count(state))))));
    const currencies = [...new Set(all.map((row) => row.currency))].filter(Boolean);
    const shape = JSON.stringify([query.rule, query.currency, query.sort, currencies]);
    if (shape === filtersOf) return; // text that is being typed stays
    filtersOf = shape;
    patch(filters,
      h("label", { class: "field grow" }, "Search", h("span", { class: "search" }, icon("search"), h("input", { class: "input", type: "search", name: "q", value: query.q, placeholder: "Product, order or shipment" }))),
      field("Rule", select({ name: "rule" }, [["", "All rules"], ...rules().map(({ code, title }) => [code, title])], query.rule)),
      currencies.length > 1 && field("Currency", select({ name: "currency" }, [["", "All"], ...currencies.map((one) => [one, one])], query.currency)),
      field("Sort by", select({ name: "sort" }, SORTS, query.sort)));
  }

  const columnsOf = () => [
    { label: "Claim", cell: (claim) => [h("a", { class: "open", href: address(["recoveries", claim.id], query) }, claim.title),
      h("span", { class: "sub" }, ruleTitle(claim.rule), claim.confidence === "low" && [" · ", badge(["", "Unsure"])])] },
    { label: "Status", phone: "end", cell: (claim) => badge(CLAIM_STATES[claim.status]) },
    { label: "Units", look: "num", cell: (claim) => number(claim.units) },
    { label: "Worth", look: "num", sort: "amount", descends: true, cell: (claim) => (claim.amount === null ? h("span", { class: "muted" }, "not known") : h("span", { class: "strong" }, `${money(claim.amount)} ${claim.currency ?? ""}`)) },
    { label: "Closes", look: "num", sort: "closes", cell: (claim) => [day(claim.closes), soon(claim)] },
  ];

  const list = pages({
    root: results,
    load: async (cursor) => {
      const page = await client.recoveries({ limit: 20, ...asked(), cursor });
      return { rows: page.recoveries, nextCursor: page.nextCursor };
    },
    draw: (rows) => table({
      columns: columnsOf(), rows, key: (claim) => claim.id, caption: "Claims", sort: query.sort || "closes",
      onSort: (sort) => set({ sort: sort === "closes" ? "" : sort }),
    }),
    none: () => empty("search", "No matching claims", query.q ? `No claim contains “${query.q}”.` : "Try other filters.",
      button({ class: "btn", onpress: () => navigate(["recoveries"], { status: ANY }) }, "Show all claims")),
    foot: (rows, more) => `${number(rows.length)} ${rows.length === 1 ? "claim" : "claims"}${more ? " so far" : ""}`,
    onError: failed,
  });
  const refresh = () => list.refresh().catch((problem) => {
    if (problem.status !== 401 && !list.rows.length) patch(results, failure("The claims could not be loaded", problem, refresh));
  });

  /** Downloads all claims that match the filters. */
  async function csv() {
    const given = Object.entries(asked()).filter(([name, value]) => value && name !== "sort");
    const answer = await client.response("GET", `/api/recoveries?${new URLSearchParams(given)}`, { headers: { Accept: "text/csv" } });
    await download(answer, "recoveries.csv");
  }

  function showDrawer(id) {
    if (open?.id === id) return;
    const last = open;
    open = null;
    last?.node.close();
    if (!id) return;
    const shown = drawer({ label: "Claim", onClose: () => {
      if (open?.id !== id) return;
      open = null;
      close(["recoveries"], query);
    } });
    open = { id, node: shown.node };
    fill(shown.body, skeleton(8));
    client.get(`/api/recoveries/${encodeURIComponent(id)}`).then((claim) => {
      fill(shown.head, ...claimHead(claim));
      fill(shown.body, ...claimBody(claim));
    }, (problem) => {
      fill(shown.body, problem.status === 404
        ? empty("search", "There is no such claim", "Its account may have been disconnected.")
        : h("p", { class: "problem", role: "alert" }, problem.message));
    });
  }

  let typing = 0;
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => set({ [target.name]: target.value }, { replace: target.name === "q" }), target.name === "q" ? SEARCH_AFTER : 0);
  });
  notices.hidden = closing.hidden = true;
  drawTop();
  drawFilters();
  sums.refresh();
  refresh();
  showDrawer(params.path[0]);
  const off = live.on("sync", ({ sync, before }) => {
    if (!ended(sync) && before) return;
    sums.refresh();
    refresh();
  });
  const cleanup = () => {
    clearTimeout(typing);
    off();
    for (const part of [list, sums, series]) part.stop();
    const last = open;
    open = null;
    last?.node.close();
  };
  cleanup.update = (changed) => {
    const same = JSON.stringify(changed.query) === JSON.stringify(query);
    query = changed.query;
    showDrawer(changed.path[0]);
    drawFilters();
    if (!same) refresh();
  };
  return cleanup;
}

/** The currency with the most claims: the chart never adds two currencies. */
function mostOf(totals) {
  const sums = new Map();
  for (const { currency, claims } of totals) if (currency) sums.set(currency, (sums.get(currency) ?? 0) + claims);
  return [...sums].sort(([, one], [, other]) => other - one)[0]?.[0];
}

function soon({ status, closes }) {
  const days = daysUntil(closes);
  return status === "claimable" && days >= 0 && days <= SOON && h("span", { class: "sub soon" }, until(closes));
}
