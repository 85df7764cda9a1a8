// Form fields for the settings of a connector, from their JSON Schema.
import { choices, settings } from "./catalog.js";
import { field, select } from "./components.js";
import { h } from "./dom.js";
import { title } from "./format.js";

/** A form field for one setting, with its value. */
export function settingField(name, schema, value) {
  const label = schema.title ?? title(name);
  const offered = choices(schema);
  if (schema.type === "array" && offered.length) return checks(name, schema, offered, value);
  if (schema.type === "boolean") {
    return h("label", { class: "check" }, h("input", { name, type: "checkbox", checked: value ?? schema.default === true }), label);
  }
  return field(label, control(name, schema, offered, value), schema.description);
}

function checks(name, schema, offered, value = []) {
  const when = (choice) => (schema.items?.oneOf ?? []).find((one) => one.const === choice)?.["x-when"];
  return h("fieldset", { "data-setting": name }, h("legend", { class: "legend" }, schema.title ?? title(name)),
    h("div", { class: "checks" }, offered.map(([choice, words]) =>
      h("label", { class: "check", "data-when": when(choice) && JSON.stringify(when(choice)) },
        h("input", { type: "checkbox", name, value: choice, checked: value.includes(choice) }), words))),
    h("p", { class: "hint" }, "If none is chosen, all are used."));
}

function control(name, schema, offered, value) {
  if (offered.length) return select({ name }, offered, value ?? schema.default);
  const numeric = ["integer", "number"].includes(schema.type);
  const type = schema.writeOnly ? "password" : numeric ? "number" : "text";
  const shown = Array.isArray(value) ? value.join(", ") : value ?? (schema.type === "array" ? "" : schema.default);
  return h("input", { class: `input ${schema.writeOnly ? "mono" : ""}`, name, type, value: shown, step: numeric ? "any" : null, autocomplete: "off", spellcheck: "false" });
}

/** Offers only the choices that fit the other fields of the form, now and when they change. */
export function fitChoices(form) {
  const fit = () => {
    for (const label of form.querySelectorAll("[data-when]")) {
      const fits = Object.entries(JSON.parse(label.dataset.when)).every(([name, value]) => form.elements[name]?.value === value);
      label.hidden = !fits;
      if (!fits) label.querySelector("input").checked = false;
    }
  };
  form.addEventListener("change", fit);
  fit();
}

/** The values of a form's settings; `secret` selects secret or public ones. Empty ones are left out if
 * they have a default. */
export function values(form, connector, secret) {
  const entries = settings(connector, secret).map(([name, schema]) => [name, valueOf(form, name, schema)]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function valueOf(form, name, schema) {
  const inputs = [...form.querySelectorAll(`[name="${CSS.escape(name)}"]`)];
  if (!inputs.length) return undefined;
  if (schema.type === "array" && choices(schema).length) return inputs.filter(({ checked }) => checked).map(({ value }) => value);
  const [input] = inputs;
  if (schema.type === "boolean") return input.checked;
  const words = input.value.trim();
  if (schema.type === "array") return words.split(/[\s,]+/).filter(Boolean);
  if (words === "" && schema.default !== undefined) return undefined;
  return ["integer", "number"].includes(schema.type) && words !== "" ? Number(words) : words;
}
