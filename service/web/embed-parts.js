// The parts of <seller-sync>: elements, labels, and values as text.
import { ended } from "./client.js";

export const STAGES = {
  queued: "Waiting for its turn", starting: "Starting", fetching: "Reading", processing: "Finding claims",
  finalizing: "Finishing", complete: "Complete",
};
const STATES = {
  in_progress: ["Running", "run"], paused: ["Paused", "warn"], complete: ["Complete", "good"],
  failed: ["Failed", "bad"], cancelled: ["Cancelled", "calm"],
};
export const CLAIMS = {
  claimable: ["Claimable", "good"], waiting: ["Opens later", "calm"], expired: ["Expired", "calm"],
  reimbursed: ["Paid", "good"], closed: ["Closed", "calm"],
};

/** An element: `h("p", { class: "muted" }, "text", child, null)`. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Writes a text only if it has changed, so that a selection stays and nothing is spoken twice. */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

export const badge = ([words, kind]) => h("span", { class: `badge ${kind}` }, words);
export const isLive = (sync) => Boolean(sync) && !ended(sync);
export const stateOf = (sync) =>
  sync.status === "complete" && sync.warningsCount ? ["Complete with warnings", "warn"] : STATES[sync.status];

/** A card with a heading and its content. */
export function card(id, title, ...children) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

/** Values as text, in the format of a language. The service's amounts are decimal numbers as text. */
export class Formats {
  #language;

  /** `language` returns the language to use; an invalid one means that of the browser. */
  constructor(language) {
    this.#language = language;
  }

  get #locale() {
    try {
      return Intl.getCanonicalLocales(this.#language())[0];
    } catch {
      return undefined;
    }
  }

  #date(at, options) { return new Intl.DateTimeFormat(this.#locale, options).format(at); }

  number(value) { return new Intl.NumberFormat(this.#locale).format(value); }
  money(amount, currency) { return new Intl.NumberFormat(this.#locale, { style: "currency", currency }).format(amount); }
  time(at) { return this.#date(at, { timeStyle: "short" }); }
  moment(iso) { return this.#date(Date.parse(iso), { dateStyle: "medium", timeStyle: "short" }); }
  day(iso) { return this.#date(Date.parse(iso), { dateStyle: "medium", timeZone: "UTC" }); }
  asOf() { return h("p", { class: "muted small" }, `As of ${this.time(Date.now())}`); }
}
