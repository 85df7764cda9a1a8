// The chart of recoveries: a bar for each month, by the rules with the highest sums. SVG without styles.
import { ruleTitle } from "./catalog.js";
import { cardHead } from "./components.js";
import { h, s } from "./dom.js";
import { money, month, number } from "./format.js";
import { icon } from "./icons.js";

const WIDTH = 560;
const HEIGHT = 236;
const LEFT = 40;
const TOP = 26;
const BASE = 210;
const MONTHS = 12;
const SERIES = 5; // all other rules are one more

/** The content of the card; `rows` are those of the series of one currency. */
export function chart(rows, currency) {
  const months = lastMonths(rows);
  const shown = rows.filter((row) => months.includes(row.month) && row.amount !== null);
  const rules = ranked(shown);
  const names = [...rules.slice(0, SERIES), ...(rules.length > SERIES ? [null] : [])];
  const value = (at, rule) => shown.filter((row) => row.month === at && (rule === null ? !rules.slice(0, SERIES).includes(row.rule) : row.rule === rule))
    .reduce((all, row) => all + Number(row.amount), 0);
  const data = months.map((at) => ({ at, values: names.map((rule) => value(at, rule)) }));
  const title = (rule) => (rule === null ? "All other rules" : ruleTitle(rule));
  return [
    cardHead("Found each month, by rule", `In ${currency}, by the day of the loss or charge`),
    h("div", { class: "card-body" }, draw(data, names.map(title), currency),
      h("ul", { class: "legend-list" }, names.map((rule, at) => h("li", {}, h("span", { class: `dot s${at + 1}` }), title(rule)))),
      h("div", { class: "proof" }, h("details", {}, h("summary", {}, "The same as a table", icon("down", "less")), grid(data, names.map(title), currency)))),
  ];
}

function lastMonths(rows) {
  const last = rows.map((row) => row.month).sort().at(-1);
  const [year, number_] = last.split("-").map(Number);
  return Array.from({ length: MONTHS }, (_, at) => new Date(Date.UTC(year, number_ - MONTHS + at, 1)).toISOString().slice(0, 7));
}

function ranked(rows) {
  const sums = new Map();
  for (const row of rows) sums.set(row.rule, (sums.get(row.rule) ?? 0) + Number(row.amount));
  return [...sums].sort(([, one], [, other]) => other - one).map(([rule]) => rule);
}

const total = ({ values }) => values.reduce((all, one) => all + one, 0);

/** A round step, so that at most four reach the maximum. */
function stepOf(most) {
  const size = 10 ** Math.floor(Math.log10(Math.max(most, 1) / 4));
  return [1, 2, 5, 10].map((factor) => factor * size).find((step) => step * 4 >= most) ?? size * 10;
}

function draw(data, names, currency) {
  const most = Math.max(...data.map(total), 1);
  const step = stepOf(most);
  const lines = Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
  const y = (value) => BASE - (value / lines.at(-1)) * (BASE - TOP);
  const slot = (WIDTH - LEFT) / data.length;
  const width = Math.min(26, slot * 0.62);
  const label = `Found each month by rule, in ${currency}: ${data.map((one) => `${month(one.at)} ${number(Math.round(total(one)))}`).join(", ")}`;
  return s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    lines.flatMap((value) => [
      s("line", { class: "rule", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value)),
    ]),
    data.flatMap((one, at) => column(one, LEFT + slot * at + (slot - width) / 2, width, y, names, currency, at === data.length - 1)));
}

function column(one, x, width, y, names, currency, last) {
  let below = 0;
  const parts = one.values.map((value, at) => {
    const from = below;
    below += value;
    if (!value) return null;
    const height = Math.max(y(from) - y(below) - 1, 0.8);
    return s("rect", { class: `s${at + 1}`, x, y: y(below), width, height, rx: 1 },
      s("title", {}, `${month(one.at)}: ${names[at]}, ${money(value.toFixed(2))} ${currency}`));
  });
  const middle = x + width / 2;
  const look = last ? "strong" : null;
  return [...parts,
    s("text", { x: middle, y: BASE + 18, "text-anchor": "middle", class: look }, month(one.at)),
    below > 0 && last && s("text", { x: middle, y: y(below) - 7, "text-anchor": "middle", class: "strong" }, number(Math.round(below)))];
}

function grid(data, names, currency) {
  return h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Found each month, by rule" }, h("table", { class: "table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Month"), names.map((name) => h("th", { scope: "col", class: "num" }, name)))),
    h("tbody", {}, data.filter(total).map((one) => h("tr", {}, h("th", { scope: "row", class: "main" }, `${month(one.at)} ${one.at.slice(0, 4)}`),
      one.values.map((value, at) => h("td", { class: "num", "data-l": names[at] }, value ? `${money(value.toFixed(2))} ${currency}` : "—")))))));
}
