// The page at /docs: /openapi.json as text and tables.

import { get } from "./lib/client.js";
import { $, h } from "./lib/dom.js";

const contract = await get("/openapi.json");
const { schemas, responses } = contract.components;

const last = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/** A schema in a few words; a named schema is a link. */
function words(schema) {
  if (schema.contentSchema) return [...words(schema.contentSchema), ` as ${schema.contentMediaType}`];
  if (schema.$ref) return [h("a", { href: `#${last(schema.$ref)}` }, last(schema.$ref))];
  if (schema.anyOf) return schema.anyOf.flatMap((choice, index) => (index ? [" or ", ...words(choice)] : words(choice)));
  if (schema.enum) return [schema.enum.filter((choice) => choice !== "").join(" | ")];
  if (schema.type === "array") return ["list of ", ...words(schema.items ?? {})];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return ["by name: ", ...words(schema.additionalProperties)];
  }
  return [schema.format ?? schema.type ?? "anything", bounds(schema)];
}

function bounds({ minimum, maximum, maxLength }) {
  if (maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (maxLength !== undefined) return ` of at most ${maxLength.toLocaleString("en")} characters`;
  return "";
}

/** A list of terms with their descriptions: `[name, required, ...parts]`. */
const table = (rows) =>
  h("dl", { class: "terms" }, ...rows.map(([name, required, ...parts]) =>
    h("div", {}, h("dt", { class: required && "needed" }, name), h("dd", {}, ...parts))));

const titled = (title, rows) => (rows.length ? [h("h3", {}, title), table(rows)] : []);

function requestRows(call) {
  const rows = call.parameters.map(({ name, in: where, required, schema, description }) =>
    [name, required, ...words(schema), where === "query" ? "" : ` (${where})`, description ? `. ${description}` : ""]);
  for (const [kind, { schema }] of Object.entries(call.requestBody?.content ?? {})) {
    rows.push(["body", call.requestBody.required, ...words(schema), ` as ${kind}`]);
  }
  return rows;
}

function responseRows(call) {
  return Object.entries(call.responses).map(([status, response]) => {
    const answer = response.$ref ? responses[last(response.$ref)] : response;
    const kinds = Object.entries(answer.content ?? {}).filter(([kind]) => kind !== "application/problem+json");
    const shapes = kinds.flatMap(([kind, { schema }]) => [" ", ...words(schema), kind === "application/json" ? "" : ` as ${kind}`]);
    return [status, false, answer.description.replaceAll("`", ""), ...shapes];
  });
}

function call(method, path, operation) {
  return h("details", { class: "call", id: operation.operationId },
    h("summary", {},
      h("span", { class: `method ${method}` }, method.toUpperCase()), h("span", { class: "path" }, path),
      h("span", { class: "muted" }, operation.summary)),
    h("div", { class: "description" },
      operation.description && h("p", {}, operation.description.replaceAll("`", "")),
      ...titled("Parameters", requestRows(operation)), ...titled("Responses", responseRows(operation))));
}

function shape(name, schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([field, property]) =>
    [field, required.has(field), ...words(property), property.description ? `. ${property.description}` : ""]);
  if (schema.enum) rows.push(["one of", false, schema.enum.join(" | ")]);
  return h("details", { class: "shape", id: name },
    h("summary", {}, h("span", { class: "path" }, name)),
    h("div", { class: "description" }, schema.description && h("p", {}, schema.description.replaceAll("`", "")), table(rows)));
}

/** Opens the element that the fragment of the URL names. */
function reveal() {
  const element = location.hash && $(decodeURIComponent(location.hash.slice(1)));
  if (element instanceof HTMLDetailsElement) {
    element.open = true;
    element.scrollIntoView();
  }
}

const groups = new Map();
for (const [path, methods] of Object.entries(contract.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const [tag] = operation.tags;
    groups.set(tag, [...(groups.get(tag) ?? []), call(method, path, operation)]);
  }
}
$("about").textContent = contract.info.description.replaceAll("`", "");
for (const [tag, calls] of groups) {
  const title = tag === "sse" ? "Live progress" : tag[0].toUpperCase() + tag.slice(1);
  $("calls").append(h("section", { class: "block" },
    h("div", { class: "block-head" }, h("h2", {}, title)), h("div", { class: "card" }, ...calls)));
}
$("shapes").append(...Object.entries(schemas).sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, schema]) => shape(name, schema)));
addEventListener("hashchange", reveal);
reveal();
