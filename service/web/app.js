// Starts the dashboard: signs in if necessary, follows the syncs, and shows the view of the address.
import { loadConnectors } from "./lib/catalog.js";
import { onRefused } from "./lib/client.js";
import { empty, failure, head } from "./lib/components.js";
import { $, fill, h } from "./lib/dom.js";
import { live } from "./lib/live.js";
import { again, startRouter } from "./lib/router.js";
import { askToSignIn } from "./lib/session.js";
import { PAGES, mark, startShell } from "./lib/shell.js";
import { namePage, watch } from "./lib/signal.js";
import * as connect from "./views/connect.js";
import * as history from "./views/history.js";
import * as operations from "./views/operations.js";
import * as overview from "./views/overview.js";
import * as records from "./views/records.js";
import * as recoveries from "./views/recoveries.js";
import * as settings from "./views/settings.js";
import * as sync from "./views/sync.js";

const nothing = {
  show(root) {
    fill(root, h("div", { class: "wrap" }, head("There is no such page"), h("section", { class: "card" },
      empty("search", "Nothing is at this address", "The address may be wrong.", h("a", { class: "btn", href: "#/overview" }, "Go to the overview")))));
  },
};

const VIEWS = {
  connect: () => connect,
  history: ({ path }) => (path.length ? sync : history),
  operations: () => operations,
  overview: () => overview,
  records: () => records,
  recoveries: () => recoveries,
  settings: () => settings,
  nothing: () => nothing,
};
const NAMES = { ...Object.fromEntries(PAGES), connect: "Connect an account", operations: "Operations" };

let started = false;

async function start() {
  try {
    await Promise.all([loadConnectors(), live.start()]);
  } catch (problem) {
    if (problem.status === 401) return; // the page asks to sign in
    fill($("main"), h("div", { class: "wrap" }, h("section", { class: "card" }, failure("The page could not be loaded", problem, start))));
    return;
  }
  if (started) return again();
  started = true;
  startShell();
  watch();
  live.on("choice", again);
  startRouter(VIEWS, $("main"), (name) => {
    mark(name);
    namePage(NAMES[name] ?? "Not found");
  });
}

/** After a sign-in, typed text stays: only the streams start again. */
const resume = () => (started ? live.start() : start());

const theme = localStorage.getItem("theme");
if (theme) document.documentElement.dataset.theme = theme;
onRefused(() => askToSignIn(resume));
if ("signedOut" in document.documentElement.dataset) askToSignIn(resume);
else start();
