// The frame: navigation, the switch between accounts, the live sync, banners, light and dark.
import { bar } from "./components.js";
import { $, button, fill, h, patch } from "./dom.js";
import { clock, inside, number } from "./format.js";
import { icon } from "./icons.js";
import { live } from "./live.js";
import { places } from "./catalog.js";
import { address, navigate } from "./router.js";
import { demo, signOut } from "./session.js";
import { failed } from "./toasts.js";
import { headline } from "./words.js";
import { client } from "./client.js";

export const PAGES = [
  ["overview", "Overview", "home"],
  ["recoveries", "Recoveries", "coins"],
  ["history", "History", "history"],
  ["records", "Records", "rows"],
  ["settings", "Settings", "gear"],
];
const OPERATIONS = ["operations", "Operations", "pulse"];
const QUIET = 3000; // ms without a stream before the page says so

let here = "";
let claimable = null; // how many claims of the chosen account can be claimed

const operator = () => live.me?.role === "operator";
const link = ([name, words, sign], ...more) =>
  h("a", { href: address([name]), "aria-current": name === here && "page" }, icon(sign), words, ...more);

/** Marks the page that is shown. */
export function mark(name) {
  here = { connect: "overview" }[name] ?? name;
  navigation();
}

function navigation() {
  const count = claimable !== null && claimable > 0 &&
    h("span", { class: "count" }, number(claimable), h("span", { class: "unseen" }, " claimable"));
  patch($("side-nav"),
    ...PAGES.map((page) => link(page, page[0] === "recoveries" && count)),
    operator() && h("p", { class: "nav-title" }, "Operator"), operator() && link(OPERATIONS));
  const inMore = ["settings", "operations"].includes(here);
  patch($("tabbar"), ...PAGES.slice(0, 4).map((page) => link(page)),
    h("button", { type: "button", popovertarget: "more-menu", "aria-current": inMore && "page" }, icon("more"), "More"));
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}

const menuPage = ([name, words, sign]) => h("a", { href: address([name]) }, icon(sign), words);

function extras() {
  const api = () => h("a", { href: "/docs" }, icon("book"), "API");
  const look = () => button({ onpress: theme }, icon("moon"), "Light or dark");
  const out = () => !demo() && button({ onpress: () => signOut().catch(failed) }, icon("leave"), "Sign out");
  fill($("side-more"), api(), look(), out());
  fill($("more"), menuPage(PAGES[4]), operator() && menuPage(OPERATIONS), api(), look(), out());
}

// Accounts

const initials = (words) => {
  const [one = "?", two = ""] = words.split(/\s+/).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  return (two ? one[0] + two[0] : one.slice(0, 2)).toUpperCase();
};

/** The tile of an account: its initials. */
export const tile = (account) =>
  h("span", { class: `tile t${live.accounts.indexOf(account) % 3}`, "aria-hidden": "true" }, initials(live.name(account)));

function account(chosen) {
  const many = live.accounts.length;
  if (chosen) return [tile(chosen), h("span", { class: "two" }, h("span", {}, live.name(chosen)), h("span", {}, places(chosen)))];
  if (!many) return [h("span", { class: "tile calm", "aria-hidden": "true" }, icon("plus", "less")), h("span", { class: "two" }, h("span", {}, "No account"), h("span", {}, "Connect one"))];
  const connected = live.accounts.filter(({ status }) => status === "connected").length;
  return [h("span", { class: "tile calm", "aria-hidden": "true" }, String(many)),
    h("span", { class: "two" }, h("span", {}, "All accounts"), h("span", {}, `${connected} connected`))];
}

const switcher = () => h("button", { class: "switch", type: "button", popovertarget: "accounts-menu" },
  account(live.chosen), h("span", { class: "unseen" }, ", change account"), icon("updown"));

const stateWords = (sync) => (sync.status === "paused" ? "Paused" : headline(sync));

function stateOf(one) {
  const sync = live.current?.connectionId === one.id ? live.current : null;
  if (one.status === "lost") return h("span", { class: "soon" }, "Connection lost");
  if (sync) return h("span", {}, `${stateWords(sync)}, ${sync.progress} %`);
  return h("span", {}, one.lastSync ? `Synced ${inside(one.lastSync.completedAt)}` : "Not synced yet");
}

function pick(id) {
  $("accounts-menu").hidePopover();
  live.choose(id);
}

function accounts() {
  patch($("side-switch"), switcher());
  patch($("topbar"), switcher(), live.current && progress(live.current),
    button({ class: "btn plain square", "aria-label": "Light or dark", onpress: theme }, icon("moon")));
  const chosen = live.chosen;
  patch($("accounts"),
    live.accounts.length > 1 && button({ "aria-current": chosen ? null : "true", onpress: () => pick(null) }, ...account(null)),
    ...live.accounts.map((one) => button({ "aria-current": one === chosen ? "true" : null, onpress: () => pick(one.id) },
      tile(one), h("span", { class: "two" }, h("span", {}, live.name(one)), stateOf(one)))),
    live.accounts.length > 0 && h("hr"),
    button({ onpress: () => { $("accounts-menu").hidePopover(); navigate(["connect"]); } },
      h("span", { class: "tile calm", "aria-hidden": "true" }, icon("plus", "less")), "Connect an account"));
}

const LOOKS = { paused: "warn" };
const progress = (sync) => bar(sync.progress / 100, "Progress of the live sync", { look: `thin ${LOOKS[sync.status] ?? ""}`.trim() });

function strip() {
  const sync = live.current;
  patch($("side-live"), sync && h("a", { class: "strip-live", href: address(["history", sync.syncId]) },
    h("span", {}, h("span", {}, stateWords(sync)), h("span", { class: "nowrap" }, `${sync.progress} %`)), progress(sync)));
}

// Banners

function banner() {
  document.body.dataset.link = live.link;
  const quiet = live.link === "polling" && Date.now() - live.linkSince >= QUIET;
  if (live.link === "polling" && !quiet) setTimeout(banner, QUIET);
  const words = live.link === "offline"
    ? `No connection since ${clock(live.linkSince)}. The data shown is from that time; the page keeps trying.`
    : quiet && (live.evicted
      ? "Seller sync is open in too many windows. This page checks every few seconds instead."
      : "Live updates do not get through here. This page checks every few seconds instead.");
  const look = live.link === "offline" ? "banner" : "banner calm";
  patch($("banner"), words && h("div", { class: look }, icon(live.link === "offline" ? "offline" : "info", "less"), h("span", {}, words)));
}

/** Counts the claims for the navigation. */
async function count() {
  const asked = live.chosen?.id ?? null;
  const page = await client.recoveries({ limit: 1, status: "claimable", connectionId: asked });
  if (asked !== (live.chosen?.id ?? null)) return;
  claimable = page.totals.reduce((all, row) => all + row.claims, 0);
  navigation();
}

/** Fills the frame, and keeps it up to date. */
export function startShell() {
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  $("more").addEventListener("click", () => $("more-menu").hidePopover());
  extras();
  navigation();
  const all = () => { accounts(); strip(); };
  all();
  banner();
  live.on("sync accounts choice", all);
  live.on("link", () => { banner(); all(); });
  const recount = () => count().catch(() => {});
  recount();
  live.on("choice accounts", recount);
}

