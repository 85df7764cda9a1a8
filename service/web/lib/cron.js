// Schedules as presets. A cron expression that matches none stays as it is.
export const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const NUMBERS = [1, 2, 3, 4, 5, 6, 0]; // of DAYS, in a cron expression
const ALL = DAYS.map((_, at) => at);

/** A schedule as a draft: `{ kind: "off" | "hour" | "day" | "cron", minute, time, days, cron, timezone }`. */
export function read(schedule) {
  const draft = { kind: "day", minute: 0, time: "02:00", days: ALL, cron: "0 2 * * *", timezone: local() };
  if (!schedule) return { ...draft, kind: "off" };
  Object.assign(draft, { cron: schedule.cron, timezone: schedule.timezone, ...preset(schedule.cron) });
  return schedule.enabled ? draft : { ...draft, kind: "off" };
}

/** The preset of a cron expression. */
export function preset(cron) {
  const [, minute, hour, days] = /^(\d{1,2}) (\*|\d{1,2}) \* \* (\*|[0-7](?:[,-][0-7])*)$/.exec(cron.trim()) ?? [];
  if (minute === undefined || Number(minute) > 59) return { kind: "cron" };
  if (hour === "*") return days === "*" ? { kind: "hour", minute: Number(minute) } : { kind: "cron" };
  const chosen = daysOf(days);
  if (Number(hour) > 23 || !chosen) return { kind: "cron" };
  return { kind: "day", time: `${pad(hour)}:${pad(minute)}`, days: chosen };
}

function daysOf(words) {
  if (words === "*") return ALL;
  const found = new Set();
  for (const part of words.split(",")) {
    const [from, to = from, more] = part.split("-").map(Number);
    if (more !== undefined || to < from) return null;
    for (let day = from; day <= to; day += 1) found.add(NUMBERS.indexOf(day % 7));
  }
  return [...found].sort((one, other) => one - other);
}

/** The cron expression of a draft. */
export function cronOf({ kind, minute, time, days, cron }) {
  if (kind === "hour") return `${Number(minute)} * * * *`;
  if (kind !== "day") return cron.trim();
  const [hour, minutes] = time.split(":").map(Number);
  const chosen = days.length === 7 ? "*" : days.map((day) => NUMBERS[day]).join(",");
  return `${minutes} ${hour} * * ${chosen}`;
}

/** A schedule in words: Every day at 02:00. */
export function words(schedule) {
  if (!schedule) return "none";
  if (!schedule.enabled) return "off";
  const { kind, minute, time, days } = read(schedule);
  if (kind === "hour") return minute ? `Every hour, ${minute} min past` : "Every hour";
  if (kind === "cron") return schedule.cron;
  const on = days.length === 7 ? "Every day" : days.map((day) => DAYS[day]).join(", ");
  return `${on} at ${time}`;
}

export const local = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The names of time zones, with that of a schedule, which the browser may not know. */
export function zones(chosen) {
  const known = Intl.supportedValuesOf?.("timeZone") ?? [];
  return [...new Set(["UTC", local(), chosen, ...known])].sort();
}

const pad = (value) => String(Number(value)).padStart(2, "0");
