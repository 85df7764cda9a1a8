// Connects the parts of the page: loads the data, and passes events between the parts.
import { get } from "./api.js";
import { ended } from "./client.js";
import { createAccounts } from "./connect.js";
import { loadConnectors, rules } from "./connectors.js";
import { $, h } from "./dom.js";
import { createCosts } from "./costs.js";
import { createHistory } from "./history.js";
import { createRecords } from "./records.js";
import { createRecoveries } from "./recoveries.js";
import { createRun } from "./run.js";
import { requestSignIn, demo, offerSignOut } from "./session.js";

/** Shows the message of an error; null removes it. */
function onError(error) {
  if (error?.status === 401 && $("sign-in").hidden) {
    requestSignIn(onError);
    error = null;
  }
  const close = h("button", { class: "quiet", onclick: () => onError(null) }, "Close");
  $("errors").replaceChildren(...(error ? [h("p", { class: "notice bad" }, h("span", {}, error.message), close)] : []));
}

const history = createHistory({ onError, onResume: (id) => run.resume(id).then(history.refresh) });
const records = createRecords({ onError });
const accounts = createAccounts({
  demo: demo(),
  onError,
  onChange: () => run.render(),
  onConnected: (syncId) => run.attach(syncId),
  onForgotten: () => Promise.all([records.refresh(), recoveries.refresh()]),
});
const recoveries = createRecoveries({ onError, name: accounts.name });
createCosts();
const run = createRun({ onSync, onError, account: () => accounts.chosen() });
let last = null;

/** Handles each version of the displayed sync. Its start and its end change the lists. */
function onSync(sync) {
  const started = last?.syncId !== sync.syncId;
  const hasEnded = ended(sync) && (started || !ended(last));
  const paused = !started && (last.status === "paused") !== (sync.status === "paused");
  last = sync;
  history.update(sync);
  records.update(sync);
  if (started || hasEnded) history.refresh().catch(onError);
  if (started) recoveries.syncStarted();
  if (hasEnded) for (const list of [records, recoveries]) list.refresh().catch(onError);
  if (hasEnded || paused) accounts.refresh().catch(onError); // the account may have been lost
}

/** After a consent, the address has the connected account, or the code of an error. */
function showRefusal() {
  const refused = new URLSearchParams(location.hash.split("?")[1]).get("refused");
  if (location.hash) window.history.replaceState(null, "", location.pathname); // once
  if (refused) onError(new Error(`The account was not connected (${refused.replaceAll("_", " ")}). Try again.`));
}

async function open() {
  accounts.offer(await loadConnectors());
  recoveries.offer(rules());
  const [, syncs] = await Promise.all([accounts.refresh(), history.refresh()]);
  $("dashboard").hidden = false;
  offerSignOut(onError);
  accounts.suggest(syncs);
  recoveries.refresh().catch(onError);
  showRefusal();
  $("records-empty").hidden = syncs.length > 0;
  if (syncs.length) run.show((last = await get("/api/sync/status")));
  run.follow();
}

open().catch(onError);
