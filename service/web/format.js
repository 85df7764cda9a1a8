// Values as text: numbers, times, durations and statuses.

import { now } from "./api.js";

const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAYS = 86_400_000;
const DAY = { day: "numeric", month: "short" };

export const number = (value) => NUMBER.format(value);

/** For example: 22 Nov, 04:41; with the year if it is not this one. */
export function moment(iso) {
  const at = new Date(iso);
  const year = at.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return `${at.toLocaleDateString("en-GB", { ...DAY, ...year })}, ${TIME.format(at)}`;
}

/** A date in UTC. For example: 22 Nov; with the year if it is not this one. */
export function day(iso) {
  const at = new Date(iso);
  const year = at.getUTCFullYear() === new Date(now()).getUTCFullYear() ? {} : { year: "numeric" };
  return at.toLocaleDateString("en-GB", { ...DAY, ...year, timeZone: "UTC" });
}

/** Days from today (in UTC, as the service counts) to a date. */
export const daysUntil = (iso) => Math.round((Date.parse(iso) - Math.floor(now() / DAYS) * DAYS) / DAYS);

/** An amount (text) with separated thousands and unchanged decimals; a dash for null. */
export function money(amount) {
  if (amount === null) return "—";
  const [whole, rest] = amount.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
}

/** For example: 0.4 s, 15 s, 3 min 5 s, 2 h 10 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "—";
  if (seconds < 0.1) return "under 0.1 s";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** A remaining time, rounded up; from ten minutes on, to minutes. */
export function ahead(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  return duration(whole < 600 ? whole : Math.ceil(whole / 60) * 60);
}

const STATUS = { in_progress: "in progress" };
export const status = (word) => STATUS[word] ?? word;

export const title = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/** How much of a dataset was read, or "unknown". */
export function read(dataset) {
  if (dataset.code === "not_read") return "—";
  if (dataset.status === "unknown") return "unknown";
  if (dataset.status === "pending") return "—";
  if (dataset.status === "complete") return number(dataset.processed);
  if (dataset.total !== null) return `${number(dataset.processed)} of ${number(dataset.total)}`;
  return number(dataset.processed) + (dataset.status === "in_progress" ? " so far" : "");
}

/** The number of claims, or null if it is unknown. */
export function claims(sync) {
  const dataset = sync.datasets.find(({ name }) => name === "claims");
  return dataset?.status === "complete" ? sync.claimsDetected : null;
}
