// One claim: its row, and the drawer with its evidence.
import { ruleTitle } from "./connectors.js";
import { badge, h } from "./dom.js";
import { day, daysUntil, money, number, title } from "./format.js";
import { entry } from "./records.js";

const SOON = 14; // days

export function row(claim, onToggle) {
  const { amount, currency, units } = claim;
  const details = h("button", { class: "quiet details", "aria-expanded": "false", onclick: onToggle }, "Details");
  return h("tr", {},
    h("th", { scope: "row" }, claim.title,
      h("span", { class: "rule muted small" }, [claim.rule, ruleTitle(claim.rule)].filter(Boolean).join(" "),
        claim.confidence === "low" && h("span", { class: "low" }, "low confidence"))),
    h("td", { class: "state" }, badge(claim.status, claim.status)),
    h("td", { class: "num", "data-label": units === 1 ? "unit" : "units" }, number(units)),
    h("td", { class: "num sure" }, amount === null ? unknown() : `${money(amount)} ${currency ?? ""}`),
    h("td", { class: "num closes" }, h("time", { datetime: claim.closes }, day(claim.closes)), soon(claim)),
    h("td", { class: "row-actions" }, details));
}

const unknown = () => h("span", {}, h("span", { "aria-hidden": "true", title: "Not known" }, "—"),
  h("span", { class: "unseen" }, "amount not known"));

function soon({ status, closes }) {
  const days = daysUntil(closes);
  if (status !== "claimable" || days < 0 || days > SOON) return null;
  const words = ["today", "tomorrow"][days] ?? `in ${days} days`;
  return h("span", { class: "soon small" }, words);
}

/** The content of the drawer: a claim with its evidence. */
export function drawer(claim) {
  const facts = [
    ["Claimable", `${day(claim.opens)} to ${day(claim.closes)}`],
    ["Confidence", claim.confidence],
    ...(claim.closedReason ? [["Closed", claim.closedReason]] : []),
    ...Object.entries(claim.details).map(([name, value]) => [label(name), plain(value)]),
  ];
  return [
    h("p", {}, claim.summary),
    h("p", {}, claim.valuation.map((step) => step.text).join(" ")),
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    ...Object.entries(claim.evidence).flatMap(([dataset, records]) => [
      h("h3", {}, `Evidence: ${title(dataset).toLowerCase()}`),
      records.length
        ? h("div", { class: "evidence", "data-evidence": dataset }, ...records.map(entry))
        : h("p", { class: "muted" }, "These records are no longer stored."),
    ]),
  ];
}

const SHORT = new Set(["sku", "fnsku", "asin"]);
const label = (name) => (SHORT.has(name) ? name.toUpperCase() : title(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)));
const plain = (value) => {
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return /^\d{4}-\d\d-\d\d$/.test(value) ? day(value) : String(value ?? "—");
};
