// Values as text, in the locale of the browser. Dates without a time are in UTC, as in the service.
import { now } from "./client.js";

const LOCALE = navigator.languages?.length ? [...navigator.languages] : undefined;
const NUMBER = new Intl.NumberFormat(LOCALE);
const TIME = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const SECOND = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const DAY_MS = 86_400_000;
const NBSP = "\u00a0";

const dates = (options) => new Intl.DateTimeFormat(LOCALE, options);
const DAY = dates({ day: "numeric", month: "short" });
const DAY_YEAR = dates({ day: "numeric", month: "short", year: "numeric" });
const UTC_DAY = dates({ day: "numeric", month: "short", timeZone: "UTC" });
const UTC_DAY_YEAR = dates({ day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const MONTH = dates({ month: "short", timeZone: "UTC" });

export const number = (value) => NUMBER.format(value);

/** The time of day. For example: 14:31. */
export const clock = (at) => TIME.format(new Date(at));
export const clockSeconds = (at) => SECOND.format(new Date(at));

const midnight = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();

/** For example: Today, 02:00; Yesterday, 18:02; 22 Nov, 04:41; with the year if it is not this one. */
export function moment(iso) {
  const at = new Date(iso);
  const today = new Date(now());
  const days = Math.round((midnight(at) - midnight(today)) / DAY_MS);
  const word = { 0: "Today", "-1": "Yesterday", 1: "Tomorrow" }[days];
  const date = (at.getFullYear() === today.getFullYear() ? DAY : DAY_YEAR).format(at);
  return `${word ?? date}, ${TIME.format(at)}`;
}

/** The same inside a sentence: today, 02:00. */
export const inside = (iso) => moment(iso).replace(/^(Today|Yesterday|Tomorrow)/, (word) => word.toLowerCase());

/** A date in UTC. For example: 22 Nov; with the year if it is not this one. */
export function day(iso) {
  const at = new Date(iso);
  const thisYear = at.getUTCFullYear() === new Date(now()).getUTCFullYear();
  return (thisYear ? UTC_DAY : UTC_DAY_YEAR).format(at);
}

/** For example: 22 Nov 2026. */
export const fullDay = (iso) => UTC_DAY_YEAR.format(new Date(iso));

/** The name of a month such as 2026-07. */
export const month = (iso) => MONTH.format(new Date(`${iso}-01T00:00:00Z`));

/** How long ago. For example: just now, 6 minutes ago. */
export function ago(iso) {
  const seconds = (Date.parse(iso) - now()) / 1000;
  if (seconds > -45) return "just now";
  for (const [unit, size, most] of [["minute", 60, 60], ["hour", 3600, 24], ["day", 86_400, Infinity]]) {
    const count = Math.round(seconds / size);
    if (-count < most) return RELATIVE.format(Math.min(count, -1), unit).replaceAll(" ", NBSP);
  }
}

/** Today (in UTC) moved by some days, as 2026-11-29. */
export const dayFromToday = (days = 0) => new Date(now() + days * DAY_MS).toISOString().slice(0, 10);

/** Days from today (in UTC, as in the service) to a date. */
export const daysUntil = (iso) => Math.round((Date.parse(iso) - Math.floor(now() / DAY_MS) * DAY_MS) / DAY_MS);

/** An amount (text) in the locale, with the decimals that the service sent. */
export function money(amount) {
  if (amount === null || amount === undefined) return "not known";
  const decimals = (String(amount).split(".")[1] ?? "").length;
  const format = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return new Intl.NumberFormat(LOCALE, format).format(amount);
}

/** For example: 0.4 s, 15 s, 3 min 5 s, 2 h 10 min; a number keeps its unit on its line. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "—";
  return spell(seconds).replaceAll(" ", NBSP);
}

function spell(seconds) {
  if (seconds < 0.1) return "under 0.1 s";
  if (seconds < 9.95) return `${new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** A remaining time, rounded up; from two minutes on, to whole minutes. */
export function ahead(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 120) return `${whole}${NBSP}s`;
  return duration(Math.ceil(whole / 60) * 60);
}

const COUNTRIES = new Intl.DisplayNames(LOCALE ?? ["en"], { type: "region" });

/** The title of a choice. One that begins with a country's code is named by it: "US (USD)" is
 * United States. */
export function choiceName(title) {
  const [, code] = /^([A-Z]{2})(?: \([A-Z]{3}\))?$/.exec(title) ?? [];
  return code ? COUNTRIES.of(code) : title;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);
export const title = (name) => sentence(String(name).replaceAll("_", " "));

/** Joins names: "orders, fees and stock". */
export const list = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
