// The connectors of this service: their names, settings, datasets and rules.
import { get } from "./client.js";
import { choiceName, sentence, title } from "./format.js";

let connectors = [];

/** Loads the connectors, which the functions below use. */
export async function loadConnectors() {
  ({ connectors } = await get("/api/connectors"));
  return connectors;
}

export const all = () => connectors;
export const connector = (name) => connectors.find((candidate) => candidate.name === name);

/** The name of a source, for people. */
export const source = (name) => connector(name)?.label ?? title(name ?? "the source");

const CLAIMS = { name: "claims", label: "claims" };

/** The name of a dataset, for people. */
export function dataset(of, name) {
  const found = (connector(of)?.datasets ?? []).find((candidate) => candidate.name === name);
  return found ? sentence(found.label) : title(name);
}

/** The datasets of all connectors that are connected, or of all; one for each name. */
export function datasets(names) {
  const some = connectors.filter(({ name }) => !names?.length || names.includes(name));
  return [...new Map(some.flatMap((one) => one.datasets).map((one) => [one.name, one])).values()]
    .filter(({ name }) => name !== CLAIMS.name);
}

/** The claim rules of all connectors, one for each code. */
export const rules = () => [...new Map(connectors.flatMap((one) => one.rules).map((rule) => [rule.code, rule])).values()];
export const rule = (code) => rules().find((candidate) => candidate.code === code);
export const ruleTitle = (code) => rule(code)?.title ?? code;

/** The settings of a connector as [name, JSON Schema] pairs; `secret` selects secret or public ones. */
export function settings(name, secret) {
  const every = Object.entries(connector(name)?.settings.properties ?? {});
  return secret === undefined ? every : every.filter(([, schema]) => Boolean(schema.writeOnly) === secret);
}

/** The choices of a setting as [value, name] pairs; none if any text is allowed. */
export function choices(schema) {
  const offered = schema.oneOf ?? schema.items?.oneOf;
  if (offered) return offered.map((choice) => [choice.const, choiceName(choice.title)]);
  return (schema.enum ?? []).map((value) => [value, title(value)]);
}

/** The places of an account, else its settings: "United States, Canada, 3 more". */
export function places(account) {
  const lists = settings(account.connector, false).filter(([, schema]) => schema.type === "array");
  const chosen = lists.flatMap(([name, schema]) => {
    const named = new Map(choices(schema));
    return [account[name] ?? []].flat().map((value) => named.get(value) ?? value);
  });
  if (chosen.length > 3) return `${chosen.slice(0, 2).join(", ")}, ${chosen.length - 2} more`;
  return chosen.length ? chosen.join(", ") : summary(account);
}

/** The public settings of an account as text. Choices are shown by their names. */
export function summary(account) {
  const texts = settings(account.connector, false).flatMap(([name, schema]) => {
    const named = new Map(choices(schema));
    return [account[name] ?? []].flat().map((value) => named.get(value) ?? String(value));
  });
  return [source(account.connector), ...texts].join(" · ");
}
