// The dialog of a schedule: presets or a cron expression, the time zone, and the next runs.
import { clearErrors, field, select } from "../lib/components.js";
import { DAYS, cronOf, read, zones } from "../lib/cron.js";
import { busy, button, fill, h, patch } from "../lib/dom.js";
import { inside, moment } from "../lib/format.js";
import { dialog } from "../lib/overlay.js";
import { problemPlace, showProblem } from "../lib/problems.js";
import { toast } from "../lib/toasts.js";

const KINDS = [["off", "Off"], ["hour", "Every hour"], ["day", "Every day"], ["cron", "Cron"]];

const PREVIEW_AFTER = 300; // ms
const RUNS = 5; // of a preview

/** Opens the schedule of an account. */
export function editSchedule(account, live, client) {
  const draft = read(account.schedule);
  const form = h("form", { class: "stack", novalidate: true });
  const kinds = h("div", { class: "seg", role: "group", "aria-label": "How often" });
  const fields = h("div", { class: "stack" });
  const outlook = h("div", { role: "status" });
  const problem = problemPlace();
  const send = h("button", { class: "btn first" }, "Save schedule");
  const node = dialog({ title: `Schedule of ${live.name(account)}` },
    h("p", { class: "soft" }, "A scheduled sync waits while another is running."), form);
  fill(form, kinds, fields, outlook, problem, h("div", { class: "dialog-foot" },
    button({ class: "btn plain", onpress: () => node.close() }, "Close"), send));

  const showKinds = () => patch(kinds, ...KINDS.map(([kind, words]) =>
    button({ "aria-pressed": String(kind === draft.kind), onpress: () => choose(kind) }, words)));
  let typing = 0;
  const changed = () => {
    clearTimeout(typing);
    patch(outlook, summary(draft, null));
    if (draft.kind === "off" || (draft.kind === "day" && !draft.days.length)) return;
    typing = setTimeout(preview, PREVIEW_AFTER);
  };
  async function preview() {
    const cron = cronOf(draft);
    const { nextRuns } = await client.get("/api/schedules/preview", { cron, timezone: draft.timezone })
      .catch(() => ({ nextRuns: null })); // an error is shown when the schedule is saved
    if (cron === cronOf(draft)) patch(outlook, summary(draft, nextRuns));
  }
  function choose(kind) {
    if (kind === "cron" && draft.kind !== "off") draft.cron = cronOf(draft);
    draft.kind = kind;
    clearErrors(fields);
    showKinds();
    fill(fields, ...inputs(draft));
    changed();
  }
  for (const kind of ["input", "change"]) {
    fields.addEventListener(kind, () => {
      take(form, draft);
      changed();
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(fields);
    fill(problem);
    busy(send, async () => {
      if (draft.kind === "day" && !draft.days.length) throw noDay();
      await save(account, draft, live, client);
      node.close();
    }, (error) => showProblem(form, problem, error));
  });
  choose(draft.kind);
}

const noDay = () => Object.assign(new Error("Choose at least one day."), { errors: [{ field: "days", message: "Choose at least one day." }] });

/** The schedule to store. One that is off keeps its times. */
function wanted(draft, account) {
  if (draft.kind !== "off") return { cron: cronOf(draft), timezone: draft.timezone, enabled: true };
  return account.schedule ? { cron: account.schedule.cron, timezone: account.schedule.timezone, enabled: false } : null;
}

async function save(account, draft, live, client) {
  const path = `/api/connections/${encodeURIComponent(account.id)}/schedule`;
  const { schedule } = await client.request("PUT", path, { body: wanted(draft, account) });
  const runs = schedule?.nextRuns ?? [];
  const words = runs.length ? `Next sync ${runs.map(inside).join(", then ")}.` : "No sync starts automatically.";
  toast("good", `Schedule of ${live.name(account)} saved`, words);
  await live.refresh();
}

function inputs(draft) {
  const zone = field("Time zone", select({ name: "timezone" }, zones(draft.timezone).map((name) => [name, name.replaceAll("_", " ")]), draft.timezone));
  if (draft.kind === "off") return [];
  if (draft.kind === "hour") {
    return [h("div", { class: "fields" },
      field("Minutes past the hour", h("input", { class: "input", name: "minute", type: "number", min: "0", max: "59", value: draft.minute })))];
  }
  if (draft.kind === "day") {
    return [h("fieldset", {}, h("legend", { class: "legend" }, "On"),
      h("div", { class: "weekdays" }, DAYS.map((day, at) =>
        h("label", {}, h("input", { type: "checkbox", name: "days", value: at, checked: draft.days.includes(at) }), day)))),
    h("div", { class: "fields" },
      field("At", h("input", { class: "input", name: "time", type: "time", required: true, value: draft.time })), zone)];
  }
  const hint = "Minute, hour, day of the month, month, day of the week. For example: 30 6 * * 1-5";
  return [h("div", { class: "fields" },
    field("Cron", h("input", { class: "input mono", name: "cron", value: draft.cron, autocomplete: "off", spellcheck: "false" }), hint), zone)];
}

function take(form, draft) {
  const { minute, time, cron, timezone } = form.elements;
  if (minute) draft.minute = minute.value;
  if (time?.value) draft.time = time.value;
  if (cron) draft.cron = cron.value;
  if (timezone) draft.timezone = timezone.value;
  const days = [...form.querySelectorAll("[name=days]")];
  if (days.length) draft.days = days.filter(({ checked }) => checked).map(({ value }) => Number(value));
}

/** The next runs, which the service computes; null: not known. The height stays the same: the buttons
 * below would move under the pointer. */
function summary(draft, runs) {
  if (draft.kind === "off") return h("p", { class: "muted" }, "No sync starts automatically.");
  const ahead = Array.from({ length: RUNS }, (_, at) => h("div", {}, h("dt", {}, at ? "Then" : "Next"), h("dd", {}, runs?.[at] ? moment(runs[at]) : "—")));
  return h("dl", { class: "steps" }, ahead,
    h("div", {}, h("dt", {}, "As cron"), h("dd", { class: "mono" }, cronOf(draft))),
    draft.kind === "hour" && h("div", {}, h("dt", {}, "Time zone"), h("dd", {}, draft.timezone)));
}
