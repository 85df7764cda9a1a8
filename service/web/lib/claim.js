// One claim in a drawer: its value, its window, and the records that prove it.
import { dataset as nameOf, ruleTitle } from "./catalog.js";
import { badge, copy, facts, sum, worker } from "./components.js";
import { h } from "./dom.js";
import { day, daysUntil, fullDay, moment, money, plural, title } from "./format.js";
import { icon } from "./icons.js";
import { json } from "./json.js";
import { live } from "./live.js";
import { address } from "./router.js";
import { failed } from "./toasts.js";
import { CLAIM_STATES } from "./words.js";

const SHORT = new Set(["sku", "fnsku", "asin"]);
const label = (name) => (SHORT.has(name) ? name.toUpperCase() : title(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)));
const plain = (value) => {
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return /^\d{4}-\d\d-\d\d$/.test(value) ? day(value) : String(value ?? "—");
};

export const claimHead = (claim) => [
  badge(CLAIM_STATES[claim.status]), h("h2", {}, claim.title),
  h("p", { class: "muted small" }, [`${ruleTitle(claim.rule)} (${claim.rule})`, live.account(claim.connectionId)?.name].filter(Boolean).join(" · ")),
];

export function claimBody(claim) {
  const steps = claim.valuation;
  const done = ["reimbursed", "expired", "closed"].includes(claim.status);
  return [
    h("div", { class: "card-words" }, sum(claim.amount, claim.currency, "hero"),
      h("p", { class: "muted" }, claim.amount === null ? "Its value is not known." : "at most; the source decides the amount")),
    claim.paid && h("p", { class: "paid" }, h("strong", {}, `Paid: ${money(claim.paid.amount)} ${claim.paid.currency ?? ""}`),
      claim.paid.at && ` on ${fullDay(claim.paid.at)}`, claim.paid.reimbursementId && h("span", { class: "muted" }, ` (reimbursement ${claim.paid.reimbursementId})`)),
    claim.closedReason && h("p", {}, h("strong", {}, "Closed: "), claim.closedReason),
    h("div", { class: "actions" },
      claim.caseText && worker({ class: done ? "btn big" : "btn first big" }, h("span", {}, "Copy the text of the case"), (node) => copyFrom(node, claim.caseText), failed),
      worker({ class: "btn big" }, [icon("link", "less"), h("span", {}, "Copy link")], (node) => copyFrom(node, location.href), failed)),
    h("section", { class: "stack tight" }, h("h3", {}, "How it was valued"),
      h("dl", { class: "steps" }, steps.map((step, at) => h("div", { class: at === steps.length - 1 && step.amount !== null ? "total" : null },
        h("dt", {}, step.text), step.amount !== null && h("dd", {}, `${money(step.amount)} ${step.currency ?? ""}`))))),
    h("section", { class: "stack tight" }, h("h3", {}, "When"), h("ol", { class: "line" }, times(claim))),
    h("section", { class: "stack tight" }, h("h3", {}, "Evidence"), h("p", { class: "soft" }, claim.summary),
      ...Object.entries(claim.evidence).map(([name, records]) => evidence(name, records))),
    facts([
      ["Certainty", claim.confidence === "low" ? "Unsure" : title(claim.confidence)],
      ...Object.entries(claim.details).map(([name, value]) => [label(name), plain(value)]),
      claim.syncId && ["Found by", h("a", { href: address(["history", claim.syncId]) }, `Sync of ${moment(claim.foundAt)}`)],
    ]),
  ].filter(Boolean);
}

const copyFrom = (node, words) => copy(node.querySelector("span"), words);

const point = (look, what, when, words) => h("li", {}, h("span", { class: `mark ${look}` }),
  h("span", { class: look === "next" ? "later" : "what" }, what), h("span", { class: "when" }, when), words && h("p", {}, words));

function times({ status, happenedAt, opens, closes, paid }) {
  const left = daysUntil(closes);
  const open = daysUntil(opens) <= 0;
  return [
    happenedAt && point("good", "Happened", fullDay(happenedAt)),
    point(status === "claimable" ? "run" : open ? "good" : "next", open ? "Can be claimed" : "Opens", open ? `since ${fullDay(opens)}` : fullDay(opens),
      status === "claimable" && left >= 0 && (left ? `${plural(left, "day")} left` : "Today is the last day")),
    paid?.at && point("good", "Paid", fullDay(paid.at)),
    point(left < 0 ? "" : "next", left < 0 ? "Closed" : "Closes", fullDay(closes)),
  ].filter(Boolean);
}

const STATES = { changed: "changed since", deleted: "deleted since" };

function evidence(name, records) {
  const heading = nameOf(null, name);
  if (!records.length) return h("p", { class: "muted" }, `${heading}: these records are no longer stored.`);
  return h("div", { class: "proof", "data-evidence": name }, records.map((record) => {
    const text = h("div", {});
    return h("details", { ontoggle: () => { if (!text.firstChild) text.append(json(record.data, `${heading} as received`)); } },
      h("summary", {}, icon("rows", "less"),
        h("span", { class: "two" }, h("span", {}, heading), h("span", {}, [record.id, STATES[record.state], record.changes?.length && record.changes.join(", ")].filter(Boolean).join(" · "))),
        icon("down", "less")),
      text);
  }));
}
