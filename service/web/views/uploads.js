// Uploads of the user: costs of goods, dimensions of products, units received from removal orders.
import { card, cardHead, download, field, notice } from "../lib/components.js";
import { busy, fill, h } from "../lib/dom.js";
import { number, plural } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { showInToast, words } from "../lib/problems.js";

const PAGE = 1000; // rows that one call returns
const KINDS = [
  {
    path: "/api/costs", list: "costs", name: "costs", title: "Costs of goods", one: "cost",
    words: "The cost per unit determines the value of a lost unit.",
    columns: "sku,cost,currency", example: "sku,cost,currency\nMUG-01,4.20,USD", save: "Save costs",
  },
  {
    path: "/api/dimensions", list: "dimensions", name: "dimensions", title: "Dimensions", one: "product",
    words: "Size and weight of a packed unit. A fee charged for a larger unit becomes a claim.",
    columns: "sku,length,width,height,length_unit,weight,weight_unit",
    example: "sku,length,width,height,length_unit,weight,weight_unit\nMUG-01,12,9,9,cm,350,g", save: "Save dimensions",
  },
  {
    path: "/api/removals/received", list: "received", name: "removals-received", title: "Removals received", one: "line",
    words: "Units you received from removal orders. Missing units become a claim.",
    columns: "order-id,sku,fnsku,tracking-number,quantity-received,date",
    example: "order-id,quantity-received\nR-1001,12", save: "Save removals",
  },
];

export function uploads(root, { client, live }) {
  const stops = [];
  fill(root, ...KINDS.map((kind) => upload(kind, client, (count) => stops.push(live.on("accounts", count)))));
  return () => { for (const stop of stops) stop(); };
}

function upload(kind, client, onChange) {
  const stored = h("p", { class: "muted small", role: "status" });
  const answer = h("div", { role: "status" });
  const send = h("button", { class: "btn first" }, kind.save);
  const fetchAll = h("button", { class: "btn", type: "button" }, icon("download", "less"), "Download stored rows", h("span", { class: "unseen" }, ` of ${kind.title.toLowerCase()}`));
  const form = h("form", { class: "card-body", novalidate: true, "data-upload": kind.name },
    field("CSV file", h("input", { class: "input", name: "file", type: "file", accept: ".csv,.tsv,.txt,text/csv,text/plain" }), `${kind.columns}: one row per line`),
    pasting(kind), answer, stored, h("div", { class: "actions" }, send, fetchAll));
  const count = () => countOf(kind, client).then((said) => fill(stored, said), showInToast);
  form.addEventListener("input", () => fill(answer));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    fill(answer);
    busy(send, async () => {
      fill(answer, ...taken(await put(kind, form, client)));
      await count();
    }, (problem) => fill(answer, refused(problem)));
  });
  fetchAll.addEventListener("click", () => busy(fetchAll, async () =>
    download(await client.response("GET", kind.path, { headers: { Accept: "text/csv" } }), `${kind.name}.csv`), showInToast));
  count();
  onChange(count); // after a sign-in
  return card({ "aria-label": kind.title }, cardHead(kind.title, kind.words), form);
}

const pasting = (kind) =>
  h("details", { class: "proof" }, h("summary", {}, "Or paste the lines", icon("down", "less")),
    h("div", { class: "card-body" },
      field("Lines", h("textarea", { class: "input", name: "lines", rows: "6", spellcheck: "false", placeholder: kind.example }), "Used if no file is chosen.")));

/** Sends the bytes of the file as they are: the service knows the encodings of spreadsheets. */
async function put(kind, form, client) {
  const [file] = form.elements.file.files;
  const body = file ?? form.elements.lines.value;
  if (!file && !body.trim()) throw new Error("Choose a file, or paste lines.");
  const init = { body, headers: { Accept: "application/json", "Content-Type": "text/csv" } };
  return (await client.response("PUT", kind.path, init)).json();
}

async function countOf(kind, client) {
  const page = await client.get(kind.path, { limit: PAGE });
  const rows = page[kind.list].length;
  if (page.nextCursor) return `More than ${plural(rows, kind.one)} are stored.`;
  return rows ? `${plural(rows, kind.one)} ${rows === 1 ? "is" : "are"} stored.` : "Nothing is stored yet.";
}

function taken({ accepted, rejected, errors }) {
  const title = `${plural(accepted, "line")} saved` + (rejected ? `, ${number(rejected)} rejected` : "");
  const lines = errors.map(({ line, message, ...more }) => `Line ${line}${name(more)}: ${message}`);
  return [notice(rejected ? "warn" : "good", rejected ? "warn" : "done", title, accepted ? "They apply from the next sync on." : null),
    wrong(lines)];
}

const name = ({ sku, orderId }) => (sku || orderId ? `, ${sku || orderId}` : "");

function refused(problem) {
  const lines = (problem.errors ?? []).map(({ message }) => message);
  const title = lines.length ? "Nothing was saved" : "The file was not saved";
  return h("div", { role: "alert" },
    notice("bad", "fail", title, h("span", {}, words(problem, lines.length > 1 ? `${plural(lines.length, "line")} cannot be used.` : lines[0] ?? problem.message))),
    lines.length > 1 && wrong(lines));
}

const wrong = (lines) =>
  lines.length > 0 && h("ul", { class: "wrong-lines", tabindex: "0", "aria-label": "Lines that cannot be used" }, lines.map((line) => h("li", {}, line)));
