// Starting a sync with choices: the prompt after a new connection, and the options of a start.
import { client } from "./client.js";
import { startSync } from "./actions.js";
import { connector } from "./catalog.js";
import { field, showErrors, clearErrors } from "./components.js";
import { busy, button, fill, h } from "./dom.js";
import { ahead, dayFromToday, fullDay, plural, sentence } from "./format.js";
import { icon } from "./icons.js";
import { live } from "./live.js";
import { dialog } from "./overlay.js";
import { navigate } from "./router.js";

const DAY = 86_400_000;
const RANGES = [["1", "1 month"], ["3", "3 months"], ["12", "12 months"], ["", "Other dates"]];
/** The default reads each dataset as far back as it reaches, which rules need to find claims: orders
 * of three months, and older records of other datasets. A span of dates limits all of them. */
const WHOLE = "3";
const GAINS = [
  ["coins", "t1", "Claims that are still open", "Losses can be claimed for months after they happened, then the window closes for good."],
  ["shield", "", "Proof for each of them", "Orders, stock, returns and fees are matched, so that each claim has its evidence."],
  ["chart", "t2", "A picture from the first day", "Months to compare with, instead of an empty page that fills slowly."],
];

/** The day some months ago, as 2026-08-29. */
function monthsAgo(months) {
  const day = new Date(`${dayFromToday()}T00:00:00Z`);
  const wanted = day.getUTCDate();
  day.setUTCMonth(day.getUTCMonth() - months, 1);
  const last = new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + 1, 0)).getUTCDate();
  day.setUTCDate(Math.min(wanted, last));
  return day.toISOString().slice(0, 10);
}

const midnight = (day) => `${day}T00:00:00Z`;

const REMARKS = { 1: ", which may be too short to find claims", [WHOLE]: ", and older records where claims need them", 12: "" };

/** The span of a choice of months. */
const spanOf = (months) => (months === WHOLE ? {} : { since: midnight(monthsAgo(Number(months))) });

/** How long a read of that span takes, or nothing if that is unknown. */
async function estimate(account, span) {
  const path = `/api/connections/${encodeURIComponent(account.id)}/estimate`;
  const { seconds } = await client.get(path, span).catch(() => ({ seconds: null }));
  return seconds === null ? "" : `about ${ahead(seconds)}`;
}

/** Asks how far back to read a new account. */
export function askForHistory(account) {
  const range = h("div", { class: "fields", hidden: true },
    field("From", h("input", { class: "input", type: "date", name: "since", value: monthsAgo(6), max: dayFromToday() })),
    field("To", h("input", { class: "input", type: "date", name: "until", value: dayFromToday(), max: dayFromToday() })));
  const hint = h("p", { class: "hint", role: "status" });
  const problem = h("div", {});
  const pick = ([months, words]) => {
    const time = h("small", {}, months ? "" : "you choose");
    if (months) estimate(account, spanOf(months)).then((known) => { time.textContent = known; });
    return h("label", { class: "pick" }, h("input", { type: "radio", name: "months", value: months, checked: months === "3" }), words, time);
  };
  const first = h("button", { class: "btn first big", autofocus: true }, "Start historical sync");
  const form = h("form", { class: "stack", novalidate: true },
    h("ul", { class: "gains" }, GAINS.map(([sign, look, title, words]) => h("li", {},
      h("span", { class: `tile ${look}`, "aria-hidden": "true" }, icon(sign)), h("div", {}, h("h3", {}, title), h("p", {}, words))))),
    h("fieldset", { class: "stack tight" }, h("legend", { class: "legend" }, "How far back?"),
      h("div", { class: "picks" }, RANGES.map(pick)), range, hint),
    problem,
    h("div", { class: "dialog-foot" },
      button({ class: "btn plain big", onpress: () => node.close() }, "Not now"), first));
  const span = () => {
    const months = form.elements.months.value;
    if (months) return spanOf(months);
    const { since, until } = form.elements;
    return { since: midnight(since.value), ...(until.value < dayFromToday() && { until: midnight(dayAfter(until.value)) }) };
  };
  const explain = async () => {
    const months = form.elements.months.value;
    range.hidden = Boolean(months);
    if (months) {
      hint.textContent = `${fullDay(monthsAgo(Number(months)))} to today${REMARKS[months]}. It runs in the background; you can leave this page.`;
      return;
    }
    const { since, until } = form.elements;
    const days = Math.round((Date.parse(until.value) - Date.parse(since.value)) / DAY) + 1;
    if (!(days > 0)) return fill(hint, "The first day must not be after the last one.");
    fill(hint, `${plural(days, "day")}.`);
    const known = await estimate(account, span());
    if (known && hint.isConnected) fill(hint, `${plural(days, "day")}, ${known}.`);
  };
  form.addEventListener("change", explain);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    busy(first, async () => {
      await startSync({ connectionId: account.id, ...span() });
      node.close();
      navigate(["overview"]);
    }, (error) => fill(problem, h("p", { class: "problem", role: "alert" }, showErrors(form, error))));
  });
  const node = dialog({ title: "Read your past months now?", look: "title" },
    h("p", {}, h("span", { class: "badge good" }, `${live.name(account)} is connected`)),
    h("p", { class: "soft" }, "Most of what you are owed lies in the past. You can also do this later."), form);
  explain();
  first.focus();
  return node;
}

const dayAfter = (day) => new Date(Date.parse(day) + DAY).toISOString().slice(0, 10);

const MODES = [
  ["new", "Read what is new", "Adds new records and updates changed ones. The default."],
  ["dry", "Test run", "Reads and counts what would be added, changed and deleted, and stores nothing."],
  ["full", "Full refresh", "Reads everything again, and deletes the records that the source no longer has: at most a tenth of a dataset."],
];

/** Asks for the options of a start: datasets, dates, a test run, a full refresh. */
export function askForOptions(account) {
  const sets = (connector(account.connector)?.datasets ?? []).filter(({ name }) => name !== "claims");
  const first = h("button", { class: "btn first" }, "Start");
  const problem = h("div", {});
  const mass = h("label", { class: "check", hidden: true }, h("input", { type: "checkbox", name: "allowMassDelete" }), "Also delete more than a tenth of a dataset");
  const form = h("form", { class: "stack", novalidate: true },
    h("fieldset", {}, h("legend", { class: "legend" }, "How"), MODES.map(([value, words, hint]) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "mode", value, checked: value === "new" }),
        h("span", {}, words, h("br"), h("span", { class: "hint" }, hint)))), mass),
    h("fieldset", {}, h("legend", { class: "legend" }, "Datasets"), h("div", { class: "checks" }, sets.map((set) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "datasets", value: set.name, checked: true }), sentence(set.label))))),
    h("div", { class: "fields" },
      field("From", h("input", { class: "input", type: "date", name: "since", max: dayFromToday() }), "Empty: what is new"),
      field("To", h("input", { class: "input", type: "date", name: "until", max: dayFromToday() }), "Empty: until now")),
    problem,
    h("div", { class: "dialog-foot" }, button({ class: "btn plain", onpress: () => node.close() }, "Close"), first));
  form.addEventListener("change", () => { mass.hidden = form.elements.mode.value !== "full"; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    busy(first, async () => {
      const id = await startSync({ connectionId: account.id, ...options(form, sets) });
      node.close();
      navigate(["history", id]);
    }, (error) => fill(problem, h("p", { class: "problem", role: "alert" }, showErrors(form, error))));
  });
  const node = dialog({ title: `Sync ${live.name(account)}` }, form);
  return node;
}

function options(form, sets) {
  const { mode, since, until, allowMassDelete } = form.elements;
  const chosen = [...form.querySelectorAll("[name=datasets]:checked")].map(({ value }) => value);
  if (!chosen.length) throw new Error("Choose at least one dataset.");
  return {
    ...(chosen.length < sets.length && { datasets: chosen }),
    ...(since.value && { since: midnight(since.value) }),
    ...(until.value && { until: midnight(dayAfter(until.value)) }),
    ...(mode.value === "dry" && { dryRun: true }),
    ...(mode.value === "full" && { overwrite: true, allowMassDelete: allowMassDelete.checked }),
  };
}
