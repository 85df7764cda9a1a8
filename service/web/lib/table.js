// Tables: rows become cards on a phone. Columns are `{ name, label, cell, look, sort, phone }`.
import { button, h, patch } from "./dom.js";

/** A table of `rows`. A column's `cell(row)` returns nodes; `look` is the class of its cells; `phone`
 * is its place on a phone: main, end, full or drop; without one, its label is shown beside it. */
export function table({ columns, rows, key, caption, sort, onSort }) {
  return h("table", { class: "table" },
    caption && h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, columns.map((column) => heading(column, sort, onSort)))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-row": key(row) }, columns.map((column, at) => cell(column, row, at))))));
}

function heading(column, sort, onSort) {
  const props = { scope: "col", class: column.look?.includes("num") ? "num" : null };
  if (!column.label) return h("th", props, h("span", { class: "unseen" }, "Actions"));
  if (!column.sort) return h("th", props, column.label);
  const sorted = sort === column.sort;
  const arrow = column.descends ? " ↓" : " ↑";
  return h("th", { ...props, "aria-sort": sorted && (column.descends ? "descending" : "ascending") },
    button({ class: "sort", onpress: () => onSort(column.sort) }, column.label, sorted && arrow));
}

function cell(column, row, at) {
  const phone = column.phone ?? (at === 0 ? "main" : "");
  const named = !phone && column.label ? column.label : null;
  const props = { class: [column.look, phone].filter(Boolean).join(" ") || null, "data-l": named };
  return h(at === 0 ? "th" : "td", at === 0 ? { ...props, scope: "row" } : props, column.cell(row));
}

/** A list that grows: `load(cursor)` returns { rows, nextCursor, count }. The rows stay
 * while they are read again. `draw(rows)` returns the table; `none` the node for no rows. */
export function pages({ root, load, draw, none, more: words = "Load more", foot, onError }) {
  let rows = [];
  let cursor = null;
  let latest = 0;

  async function refresh() {
    const turn = ++latest;
    const page = await load(null);
    if (turn !== latest) return;
    ({ rows, nextCursor: cursor } = page);
    show();
  }

  async function more() {
    const turn = latest;
    const page = await load(cursor);
    if (turn !== latest) return;
    rows = [...rows, ...page.rows];
    cursor = page.nextCursor;
    show();
  }

  function show() {
    if (!rows.length) return patch(root, none());
    patch(root, draw(rows), h("div", { class: "card-foot" }, h("span", {}, foot(rows, Boolean(cursor))),
      cursor && button({
        class: "btn",
        onpress: async (node) => {
          node.disabled = true;
          await more().catch(onError);
          node.disabled = false;
        },
      }, words)));
  }

  return { refresh, show, stop: () => { latest = -1; }, get rows() { return rows; }, set rows(changed) { rows = changed; } };
}

