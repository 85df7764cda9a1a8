// Signals outside the page: the title and the icon of the tab, and notifications.
import { ended } from "./client.js";
import { source } from "./catalog.js";
import { $ } from "./dom.js";
import { plural } from "./format.js";
import { live } from "./live.js";
import { address } from "./router.js";
import { toast } from "./toasts.js";
import { claims, headline, pausedForAccount, syncName, syncState } from "./words.js";

const NAME = "Seller sync";
const ASKED = "notifications"; // in localStorage: "yes" once the user has asked for them
let page = "";

/** Whether the browser may notify, and the user wants it. */
export const notifies = () =>
  "Notification" in window && Notification.permission === "granted" && localStorage.getItem(ASKED) === "yes";

/** Asks the browser for consent. Returns whether it was given. */
export async function askToNotify() {
  if (!("Notification" in window) || (await Notification.requestPermission()) !== "granted") return false;
  localStorage.setItem(ASKED, "yes");
  return true;
}

export const stopNotifying = () => localStorage.removeItem(ASKED);

/** Sets the name of the current page, for the title. */
export function namePage(name) {
  page = name;
  title();
}

/** Shows progress in the title and in the icon. */
export function title() {
  const sync = live.current;
  const running = sync?.status === "in_progress" && live.link !== "offline";
  const words = [running && `${sync.progress} %`, sync?.status === "paused" && "Paused", page, NAME];
  document.title = words.filter(Boolean).join(" · ");
  const look = running ? ring(sync.progress) : "/web/icon.svg";
  if ($("favicon").getAttribute("href") !== look) $("favicon").setAttribute("href", look);
}

function ring(percent) {
  const round = 2 * Math.PI * 12;
  const circle = (colour, dash) =>
    `<circle cx="16" cy="16" r="12" fill="none" stroke="${colour}" stroke-width="6" ${dash} transform="rotate(-90 16 16)"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${circle("#b9c2d0", "")}${
    circle("#3a55e3", `stroke-dasharray="${(round * percent) / 100} ${round}"`)}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** Announces, once each, the end of a sync that was running and the loss of an account. */
export function watch() {
  live.on("sync", ({ sync, before }) => {
    title();
    say(sync, before);
    if (!before || before.status === sync.status) return;
    const link = [address(["history", sync.syncId]), "See its outcome"];
    if (ended(sync) && !ended(before)) end(sync, link);
    if (sync.status === "paused") lost(sync);
  });
  live.on("link", title);
}

function say(sync, before) {
  if (before?.stage === sync.stage && before.status === sync.status) return;
  const state = sync.status === "paused" ? "Paused" : headline(sync);
  const words = ended(sync) ? `${state}. ${sync.message}` : `${state}, ${sync.progress} percent`;
  if ($("spoken").textContent !== words) $("spoken").textContent = words;
}

function end(sync, link) {
  if (sync.status === "cancelled") return;
  const [look, state] = syncState(sync);
  const name = live.name(live.account(sync.connectionId));
  const found = claims(sync);
  const words = sync.status === "failed"
    ? sync.error?.message ?? sync.message
    : [plural(sync.recordsProcessed, "record"), found !== null && plural(found, "claim")].filter(Boolean).join(", ");
  toast(look, `${syncName(sync)} of ${name}: ${state.toLowerCase()}`, words, link);
  notify(`${name}: ${state.toLowerCase()}`, words, link[0]);
}

/** Announces a lost account. The pause may arrive before the loss, so the accounts are read first. */
async function lost(sync) {
  await live.refresh().catch(() => {});
  const account = live.account(sync.connectionId);
  if (!pausedForAccount(sync, account)) return;
  const title = `${source(sync.connector)} no longer accepts the connection of ${live.name(account)}`;
  const link = [address(["connect"], { account: account.id }), "Connect again"];
  toast("warn", title, "The sync is paused. It continues where it stopped.", link);
  notify(title, "The sync is paused.", link[0]);
}

function notify(words, body, hash) {
  if (!notifies() || document.visibilityState === "visible") return;
  const shown = new Notification(words, { body, icon: "/web/icon.svg", tag: "sync" });
  shown.onclick = () => {
    focus();
    location.hash = hash;
    shown.close();
  };
}
