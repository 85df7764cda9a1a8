// The columns of a table of records: those of the connector, else the most informative fields.
import { h } from "./dom.js";
import { moment, money, number, title } from "./format.js";

const MOST = 5;
const LONGEST = 48; // characters, on average

/** The columns as { label, numeric, show }; `show` makes a cell from the data of a record. */
export function columnsFor(set, rows) {
  if (set.columns?.length) return set.columns.filter((column) => tells(column, rows)).slice(0, MOST).map(declared);
  return guess(rows).map((key) => ({
    label: label(key),
    numeric: rows.length > 0 && rows.every(({ data }) => /^-?\d+([.,]\d+)?$/.test(String(data?.[key] ?? "0"))),
    show: (data) => shownValue(data?.[key]),
  }));
}

/** Whether a column has values in these rows other than the ids, which have their own column. */
function tells({ path }, rows) {
  const values = rows.map(({ id, data }) => [id, find(data, path)]).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return values.some(([id, value]) => value !== id);
}

/** A column as GET /api/connectors describes it. */
function declared({ label, path, kind, currency }) {
  return {
    label,
    numeric: kind === "number" || kind === "money",
    show: (data) => {
      const value = find(data, path);
      if (kind !== "money" || value === undefined || value === null || value === "") return shownValue(value);
      const code = currency && find(data, currency);
      return code ? `${money(value)} ${code}` : money(value);
    },
  };
}

/** The value at a path of field names, separated by dots; undefined if there is none. */
function find(data, path) {
  if (data && typeof data === "object" && Object.hasOwn(data, path)) return data[path];
  return path.split(".").reduce((value, name) => value?.[name], data);
}

/** The first fields with short values that differ between the rows. */
function guess(rows) {
  const keys = [...new Set(rows.slice(0, 20).flatMap(({ data }) => Object.keys(data ?? {})))];
  const useful = keys.filter((key) => {
    const values = rows.map(({ id, data }) => (data?.[key] === id ? null : data?.[key])).filter((value) => value !== null && value !== undefined && value !== "");
    const words = values.map(spell);
    return values.length > 0 && words.every((one) => one !== null) && new Set(words).size > (rows.length > 3 ? 1 : 0) && words.join("").length / words.length <= LONGEST;
  });
  return useful.slice(0, MOST);
}

/** A value as text, or null if it does not fit into a cell. */
function spell(value) {
  if (value && typeof value === "object") {
    const amount = value.amount ?? value.currencyAmount ?? value.Amount;
    const currency = value.currencyCode ?? value.currency ?? value.CurrencyCode;
    if (amount !== undefined && currency) return `${money(amount)} ${currency}`;
    if (Array.isArray(value)) return value.length === 1 ? spell(value[0]) : null;
    const first = Object.values(value).find((one) => typeof one === "string");
    return first ?? null;
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

function shownValue(value) {
  if (value === null || value === undefined || value === "") return h("span", { class: "zero" }, "—");
  if (typeof value === "number") return number(value);
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value) && !Number.isNaN(Date.parse(value))) return moment(value);
  return spell(value) ?? "…";
}

const SHORT = new Set(["sku", "fnsku", "asin", "msku", "id"]);

function label(key) {
  const words = key.replaceAll(/[-_]/g, " ").replaceAll(/([a-z])([A-Z])/g, (_, one, other) => `${one} ${other.toLowerCase()}`);
  return SHORT.has(words) ? words.toUpperCase() : title(words);
}
