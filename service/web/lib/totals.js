// The totals of the recoveries: a sum for each state and currency. An unknown sum is a word, never 0.
import { sum } from "./components.js";
import { h } from "./dom.js";
import { number, plural } from "./format.js";
import { CLAIM_STATES } from "./words.js";

const STATES = ["claimable", "waiting", "reimbursed", "expired"];

export function totalsCard(totals) {
  const currencies = [...new Set(totals.map((row) => row.currency))].filter(Boolean).sort(byClaims(totals));
  const unvalued = STATES.map((state) => {
    const count = totals.filter((row) => row.status === state).reduce((all, row) => all + row.unvalued, 0);
    return count && `${number(count)} ${CLAIM_STATES[state][1].toLowerCase()}`;
  }).filter(Boolean);
  return h("div", { class: "card-body" },
    ...currencies.map((currency, at) => h("dl", { class: `stats ${at ? "ruled" : ""}`, "data-currency": currency },
      STATES.map((state) => stat(state, totals.find((row) => row.currency === currency && row.status === state), currency, at)))),
    unvalued.length > 0 && h("p", { class: "muted small" }, `Not in the sums, because their amount is unknown: ${unvalued.join(", ")}. `,
      h("a", { href: "#/settings/costs" }, "Add what your products cost"), " to value them."));
}

const byClaims = (totals) => (one, other) => count(totals, other) - count(totals, one);
const count = (totals, currency) => totals.filter((row) => row.currency === currency).reduce((all, row) => all + row.claims, 0);

function stat(state, row, currency, at) {
  const [look, words] = CLAIM_STATES[state];
  const known = row && row.claims > row.unvalued;
  return h("div", { class: state }, h("dt", {}, h("span", { class: `dot ${look}` }), words),
    h("dd", {}, known ? sum(row.amount, currency, at ? "lead" : "figure") : h("span", { class: "muted" }, row ? "not known" : "none")),
    h("dd", {}, row ? plural(row.claims, "claim") : ""));
}

