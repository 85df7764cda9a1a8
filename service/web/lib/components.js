// Small parts of the views.
import { h, button, busy } from "./dom.js";
import { icon } from "./icons.js";
import { money } from "./format.js";

/** A dot and a word; `[look, words]` as in words.js. */
export const badge = ([look, words]) => h("span", { class: `badge ${look}`.trim() }, words);

/** A bar from 0 to 1. Null: the fraction is unknown; `moving`: records are being read. */
export function bar(fraction, label, { look = "", moving = false } = {}) {
  const unknown = fraction === null || fraction === undefined;
  const classes = ["bar", look, unknown && moving && "open"].filter(Boolean).join(" ");
  const value = unknown ? (moving ? null : 0) : Math.round(fraction * 1000) / 10;
  return h("progress", { class: classes, max: "100", value: value === null ? null : String(value), "aria-label": label });
}

/** An amount with its currency, or "not known". */
export function sum(amount, currency, look = "") {
  if (amount === null || amount === undefined) return h("span", { class: "muted" }, "not known");
  return h("span", { class: `sum ${look}`.trim() }, money(amount), currency && " ", currency && h("small", {}, currency));
}

export function head(words, explained, ...actions) {
  return h("header", { class: "head" },
    h("div", { class: "head-words" },
      h("div", { class: "head-title" }, h("h1", { tabindex: "-1" }, words)),
      explained && h("p", {}, explained)),
    actions.some(Boolean) && h("div", { class: "actions" }, ...actions));
}

export const notice = (look, sign, title, words, ...actions) =>
  h("div", { class: `notice ${look}` }, icon(sign),
    h("div", { class: "notice-words" },
      title && h("strong", { class: "strong" }, title),
      words && h("p", {}, words),
      actions.some(Boolean) && h("div", { class: "actions" }, ...actions)));

export const empty = (sign, title, words, ...actions) =>
  h("div", { class: "empty" }, icon(sign), h("h2", {}, title), words && h("p", {}, words),
    actions.some(Boolean) && h("div", { class: "actions" }, ...actions));

/** The placeholder of a card that is loading. It appears after 200 ms. */
export const skeleton = (lines = 4) =>
  h("div", { class: "bones card-body", "aria-busy": "true" },
    h("p", { class: "unseen" }, "Loading"),
    Array.from({ length: lines }, (_, at) => h("span", { class: `bone ${["l", "m", "s"][at % 3]}` })));

/** An error in place of a card's content. */
export const failure = (title, problem, again) =>
  h("div", { class: "empty", role: "alert" }, icon("fail"), h("h2", {}, title), h("p", {}, problem.message),
    problem.requestId && h("p", { class: "small" }, "Request ", h("span", { class: "mono" }, problem.requestId)),
    h("div", { class: "actions" }, button({ class: "btn", onpress: again }, "Try again")));

export const card = (props, ...children) => h("section", { ...props, class: `card ${props.class ?? ""}`.trim() }, ...children);

export const cardHead = (title, words, ...more) =>
  h("div", { class: "card-head" }, h("div", {}, h("h2", {}, title), words && h("p", {}, words)), ...more);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** Loads a card, shows an error in it, and refreshes it. `draw(data)` shows the data. */
export function loader(root, title, load, draw) {
  let latest = 0;
  let loaded = false;
  const api = { refresh, stop: () => { latest = -1; } };
  async function refresh() {
    if (latest < 0) return;
    const turn = ++latest;
    if (!loaded) root.replaceChildren(skeleton());
    try {
      const data = await load();
      if (turn !== latest) return; // a newer one is running, or the view has gone
      loaded = true;
      draw(data);
    } catch (problem) {
      if (turn !== latest) return;
      if (problem.status === 401) return; // the page asks to sign in
      if (!loaded) root.replaceChildren(failure(title, problem, refresh)); // else the old data stays
    }
  }
  return api;
}

/** A labelled field. */
export const field = (label, control, hint) =>
  h("label", { class: "field" }, label, control, hint && h("small", {}, hint));

export const select = (props, options, chosen) =>
  h("select", { class: "input", ...props },
    options.map(([value, words]) => h("option", { value, selected: value === (chosen ?? "") }, words)));

/** Shows each error of a problem beside its field. Returns the messages that have no field. */
export function showErrors(form, problem) {
  const rest = [];
  for (const { field: name, message } of problem.errors?.length ? problem.errors : [{ field: "", message: problem.message }]) {
    const found = name && form.elements[name.split("[")[0]]; // marketplaceIds[1] is part of marketplaceIds
    const input = found instanceof RadioNodeList ? found[0] : found;
    if (!input) {
      rest.push(message);
      continue;
    }
    const words = h("small", { class: "problem", id: `problem-${name}`, role: "alert" }, message);
    (input.closest("fieldset") ?? input.closest(".field") ?? form).append(words);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", words.id);
    input.focus();
  }
  return rest.join(" ");
}

export function clearErrors(form) {
  for (const words of form.querySelectorAll(".problem")) words.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

/** A button that is disabled while its work runs. `onError` shows an error. */
export const worker = (props, words, work, onError) =>
  button({ ...props, onpress: (node) => busy(node, work, onError) }, ...[words].flat());

/** Copies text, and says so on the button. */
export async function copy(node, words) {
  await navigator.clipboard.writeText(words);
  const label = node.lastChild;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => { label.textContent = before; }, 2000);
}

/** Saves a response of the service as a file. */
export async function download(answer, name) {
  save(await answer.blob(), name);
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
