// The money owed: sums by currency, claims that close soon, and why a sum may be incomplete.
import { ended } from "./client.js";
import { cardHead, empty, notice, sum } from "./components.js";
import { h } from "./dom.js";
import { day, dayFromToday, daysUntil, money, plural } from "./format.js";
import { address } from "./router.js";

export const SOON = 14; // days
const LISTED = 4;

/** Reads the totals, the claims that close soon, and the newest syncs, which show unknown claims. */
export async function readMoney(client, account) {
  const connectionId = account?.id;
  const [all, soon, { syncs }] = await Promise.all([
    client.recoveries({ limit: 1, connectionId }),
    client.recoveries({ limit: LISTED, status: "claimable", closesBefore: dayFromToday(SOON + 1), connectionId }),
    client.history({ limit: 50, expand: "datasets", connectionId }),
  ]);
  return { totals: all.totals, soon, syncs };
}

const amounts = (totals, status) =>
  totals.filter((row) => row.currency && row.status === status && row.claims > row.unvalued)
    .sort((one, other) => Number(other.amount) - Number(one.amount));
const counted = (row) => row.claims - row.unvalued;
const unvalued = (totals, status) => totals.filter((row) => row.status === status).reduce((all, row) => all + row.unvalued, 0);

export function moneyCard({ totals, soon, syncs }, { several, gaps }) {
  if (!totals.length) return [nothing(syncs, gaps)];
  const claimable = amounts(totals, "claimable");
  const review = h("a", { class: "btn first big", href: "#/recoveries" }, "Review claims");
  if (several) return [severalSums(claimable, totals, review)];
  const [most, ...others] = claimable;
  return [h("div", { class: "card-body" },
    h("div", { class: "card-top" },
      h("div", { class: "card-words" }, h("h2", { class: "muted small", id: "owed" }, "You can claim"),
        most ? sum(most.amount, most.currency, "hero") : h("span", { class: "sum figure" }, "Nothing right now"),
        h("p", { class: "soft" }, explained(most, others, unvalued(totals, "claimable")))),
      h("div", { class: "actions" }, review)),
    h("dl", { class: "stats ruled" },
      stat(`Closes within ${SOON} days`, "warn", soon.totals, "claimable"),
      stat("Opens later", "", totals, "waiting"),
      stat("Reimbursed", "run", totals, "reimbursed"),
      stat("Expired", "", totals, "expired")))];
}

function explained(most, others, unknown) {
  const more = others.map((row) => h("span", {}, h("span", { class: "strong nowrap" }, `${money(row.amount)} ${row.currency}`), ` in ${counted(row)} more`));
  const words = most ? [plural(counted(most), "claim")] : [];
  for (const one of more) words.push(words.length ? ", and " : "", one);
  if (words.length) words.push(".");
  if (unknown) words.push(` ${plural(unknown, "claim has", "claims have")} no known amount yet.`);
  return words;
}

function stat(words, look, totals, status) {
  const [most, ...others] = amounts(totals, status);
  const unknown = unvalued(totals, status);
  return h("div", { "data-status": status }, h("dt", {}, h("span", { class: `dot ${look}` }), words),
    h("dd", {}, most ? sum(most.amount, most.currency, "lead") : h("span", { class: "muted" }, unknown ? "not known" : "none")),
    h("dd", {}, most || unknown ? plural((most ? counted(most) : 0) + unknown, "claim") : ""),
    ...others.map((row) => h("dd", {}, h("span", { class: "strong" }, `${money(row.amount)} ${row.currency}`), ` · ${plural(counted(row), "claim")}`)));
}

function severalSums(claimable, totals, review) {
  const unknown = unvalued(totals, "claimable");
  return h("div", {},
    h("div", { class: "card-head" }, h("div", {}, h("h2", {}, "You can claim"), h("p", {}, "Currencies are never added")), h("div", { class: "actions" }, review)),
    h("div", { class: "card-body" },
      claimable.length
        ? h("dl", { class: "stats" }, claimable.map((row) => h("div", { "data-currency": row.currency }, h("dt", {}, row.currency),
            h("dd", {}, sum(row.amount, row.currency, "figure")), h("dd", {}, plural(counted(row), "claim")))))
        : h("p", {}, "Nothing right now."),
      unknown > 0 && h("p", { class: "muted small" }, `Not in the sums: ${plural(unknown, "claim")} of unknown amount.`)));
}

/** Why there are no sums. An unknown sum is never shown as 0. */
export function nothing(syncs, gaps) {
  const [words, explained] = reason(syncs, gaps);
  return empty(gaps ? "warn" : "coins", words, explained);
}

function reason(syncs, gaps) {
  if (!syncs.length) return ["Nothing has been synced yet", "Each sync ends with a search for claims."];
  if (!syncs.some(ended)) return [`The first sync is ${syncs[0].status === "paused" ? "paused" : "running"}`, "It ends with a search for claims."];
  if (gaps) return ["The amount that you are owed is unknown", "The next complete sync computes it."];
  return ["You are owed nothing that we know of", "The last sync found no claims."];
}

export function closingCard({ soon }) {
  const count = soon.totals.reduce((all, row) => all + row.claims, 0);
  return [cardHead("Closing soon", null, h("a", { class: "link small", href: "#/recoveries?status=claimable" }, `All ${count}`)),
    h("ul", { class: "rows" }, soon.recoveries.map((claim) => h("li", {},
      h("span", { class: "grow" },
        h("a", { class: "to", href: address(["recoveries", claim.id]) }, claim.title), h("br"),
        h("span", { class: "small" }, h("span", { class: "soon" }, until(claim.closes)), h("span", { class: "muted" }, ` · ${day(claim.closes)}`))),
      sum(claim.amount, claim.currency))))];
}

/** For example: today, tomorrow, in 4 days. */
export const until = (closes) => ["today", "tomorrow"][daysUntil(closes)] ?? `in ${daysUntil(closes)} days`;

/** For each account, why its newest ended sync could not determine the claims. */
export function unknownNotices(syncs, live, older) {
  const newest = new Map();
  for (const sync of syncs) {
    if (ended(sync) && !sync.dryRun && !newest.has(sync.connectionId)) newest.set(sync.connectionId, sync);
  }
  const notes = [];
  for (const [id, sync] of newest) {
    const claims = sync.datasets.find((dataset) => dataset.name === "claims");
    const account = live.account(id);
    if (!account || !claims || claims.status === "complete") continue;
    const name = live.accounts.length > 1 ? `${live.name(account)}: ` : "";
    const words = claims.status === "partial"
      ? "Some claims are unknown"
      : `The last sync could not determine what you are owed${older ? "; the claims shown are from an earlier sync" : ""}`;
    notes.push(notice("warn", "warn", `${name}${words}`, claims.error, h("a", { class: "link", href: address(["history", sync.syncId]) }, "See that sync")));
  }
  return notes;
}

