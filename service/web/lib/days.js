// The strip of days of an account: whether a second source confirms that all orders of a day were read.
import { h } from "./dom.js";
import { day as dayName, number } from "./format.js";

const STATES = { confirmed: "confirmed", single_sourced: "with one source", short: "with missing orders" };
const SHOWN = 60; // days

/** The strip and its label; empty for an account whose days have not been compared yet. */
export async function daysOf(client, id) {
  const { datasets } = await client.get(`/api/connections/${encodeURIComponent(id)}/sync-status`);
  const days = datasets.find(({ name }) => name === "orders")?.days.slice(-SHOWN) ?? [];
  if (!days.length) return [];
  const counts = Object.entries(STATES)
    .map(([state, words]) => [days.filter((day) => day.state === state).length, words])
    .filter(([count]) => count)
    .map(([count, words]) => `${number(count)} ${words}`);
  const label = `Orders of the last ${days.length} days: ${counts.join(", ")}`;
  return [
    h("div", { class: "days", role: "img", "aria-label": label }, days.map((day) => h("i", { class: day.state, title: words(day) }))),
    h("p", { class: "muted small" }, label),
  ];
}

function words({ day, state, records, missing, fetched }) {
  const more = [missing && `${missing} missing`, fetched && `${fetched} found and read`].filter(Boolean);
  return `${dayName(day)}: ${STATES[state]}, ${records} orders${more.length ? ` (${more.join(", ")})` : ""}`;
}
