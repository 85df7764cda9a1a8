// The accounts as a table: state, claimable sums, the next sync.
import { connectAgain, nextStep, startSync } from "./actions.js";
import { places } from "./catalog.js";
import { badge, card, cardHead, worker } from "./components.js";
import { h } from "./dom.js";
import { moment, money } from "./format.js";
import { live } from "./live.js";
import { table } from "./table.js";
import { tile } from "./shell.js";
import { failed } from "./toasts.js";
import { accountState, syncState } from "./words.js";

/** `rows`: pairs of an account and its recoveries. */
export function accountsCard(rows) {
  const columns = [
    { label: "Account", cell: ([account]) => h("span", { class: "pair" }, tile(account),
      h("span", { class: "two" }, h("span", {}, live.name(account)), h("span", {}, places(account)))) },
    { label: "State", phone: "end", cell: ([account]) => badge(state(account)) },
    { label: "Claimable", look: "num", cell: ([, { totals }]) => sums(totals) },
    { label: "Next sync", cell: ([account]) => next(account) },
    { label: "", look: "acts", phone: "acts", cell: ([account]) => action(account) },
  ];
  const running = live.current;
  return card({ "aria-label": "Accounts" }, cardHead("Accounts"),
    table({ columns, rows, key: ([account]) => account.id, caption: "Accounts" }),
    running && h("div", { class: "card-foot" }, h("span", {}, `One sync runs at a time. The next one can start after the sync of ${live.name(live.account(running.connectionId))}.`)));
}

function state(account) {
  if (account.status === "lost") return accountState(account);
  if (live.current?.connectionId === account.id) return syncState(live.current);
  return accountState(account);
}

function sums(totals) {
  const rows = totals.filter((row) => row.status === "claimable" && row.currency && row.claims > row.unvalued);
  if (!rows.length) return totals.length ? "none" : h("span", { class: "muted" }, "—");
  return rows.map((row, at) => h("span", { class: at ? "sub" : "strong" }, `${money(row.amount)} ${row.currency}`));
}

function next(account) {
  const run = account.schedule?.enabled && account.schedule.nextRuns?.[0];
  return run && account.status !== "lost" ? moment(run) : "—";
}

function action(account) {
  const hidden = h("span", { class: "unseen" }, ` ${live.name(account)}`);
  if (account.status === "lost") return connectAgain(account);
  if (live.current) return live.current.connectionId === account.id ? nextStep(live.current) : null;
  return worker({ class: "btn", disabled: live.link === "offline" }, ["Sync now", hidden], () => startSync({ connectionId: account.id }), failed);
}
