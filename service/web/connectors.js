// The connectors of this service: form fields for their settings, and titles of their rules.
import { get } from "./api.js";
import { h } from "./dom.js";
import { title } from "./format.js";

let connectors = [];

/** Loads the connectors, which the functions below use. */
export async function loadConnectors() {
  ({ connectors } = await get("/api/connectors"));
  return connectors;
}

export const connector = (name) => connectors.find((candidate) => candidate.name === name);

/** The claim rules of all connectors, one for each code. */
export const rules = () => [...new Map(connectors.flatMap((source) => source.rules).map((rule) => [rule.code, rule])).values()];

export const ruleTitle = (code) => rules().find((rule) => rule.code === code)?.title;

/** The settings of a connector as [name, JSON Schema] pairs; `secret` selects secret or public ones. */
export function settings(name, secret) {
  const all = Object.entries(connector(name)?.settings.properties ?? {});
  return secret === undefined ? all : all.filter(([, schema]) => Boolean(schema.writeOnly) === secret);
}

/** The public settings of an account as text. Choices are shown by their titles. */
export function summary(account) {
  const texts = settings(account.connector, false).flatMap(([name, schema]) => {
    const choices = schema.oneOf ?? schema.items?.oneOf ?? [];
    const words = (value) => choices.find((choice) => choice.const === value)?.title ?? String(value);
    return [account[name] ?? []].flat().map(words);
  });
  return [connector(account.connector)?.label ?? account.connector, ...texts].join(" · ");
}

/** A form field for one setting. */
export function field(name, schema) {
  const wide = schema.type === "array" || schema.writeOnly ? "wide" : "";
  return h("label", { class: `field ${wide}` }, schema.title ?? title(name), control(name, schema),
    schema.description && h("small", { class: "muted" }, schema.description));
}

function control(name, schema) {
  const choices = schema.oneOf ?? schema.enum?.map((value) => ({ const: value, title: title(value) }));
  if (choices) {
    const options = choices.map((choice) => h("option", { value: choice.const, selected: choice.const === schema.default }, choice.title));
    return h("select", { name }, ...options);
  }
  if (schema.type === "boolean") return h("input", { name, type: "checkbox", checked: schema.default === true });
  const types = { integer: "number", number: "number" };
  const type = schema.writeOnly ? "password" : types[schema.type] ?? "text";
  const value = schema.type === "array" ? "" : schema.default;
  return h("input", { name, type, value, step: type === "number" ? "any" : null, autocomplete: "off", spellcheck: "false" });
}

/** Puts the value of a setting into its field. */
export function fill(input, value) {
  if (input.type === "checkbox") input.checked = Boolean(value);
  else input.value = Array.isArray(value) ? value.join(", ") : value ?? "";
}

/** The value of a field; undefined for an empty one whose setting has a default. */
export function value(input, schema) {
  if (schema.type === "boolean") return input.checked;
  const words = input.value.trim();
  if (schema.type === "array") return words.split(/[\s,]+/).filter(Boolean);
  if (words === "" && schema.default !== undefined) return undefined;
  return ["integer", "number"].includes(schema.type) && words !== "" ? Number(words) : words;
}
