// The overview: claimable amounts, claims that close soon, the live sync, the last syncs.
import { source } from "../lib/catalog.js";
import { ended, now } from "../lib/client.js";
import { fill, h, patch } from "../lib/dom.js";
import { card, head, loader, notice } from "../lib/components.js";
import { clock, inside } from "../lib/format.js";
import { connectAgain } from "../lib/actions.js";
import { accountsCard } from "../lib/accounts.js";
import { idleCard, liveCard } from "../lib/runcard.js";
import { askForHistory } from "../lib/start.js";
import { lastSyncs } from "../lib/lastsyncs.js";
import { closingCard, moneyCard, readMoney, unknownNotices } from "../lib/money.js";
import { toast } from "../lib/toasts.js";
import { pausedForAccount } from "../lib/words.js";

const ASK_AFTER = 1000; // ms after a new connection

export function show(root, { params, client, live, navigate }) {
  const consent = params.query;
  if (consent.refused || consent.connected) navigate(["overview"], {}, { replace: true, quiet: true });
  if (consent.refused) {
    toast("bad", "The account was not connected", `${sentenceOf(consent.refused)}. Try again.`, ["#/connect", "Connect an account"]);
  }
  const asking = consent.connected && setTimeout(() => ask(consent.connected), ASK_AFTER);
  if (!live.accounts.length && !live.latest) {
    navigate(["connect"], {}, { replace: true });
    return undefined;
  }

  const parts = {
    head: h("div"), notices: h("div", { class: "stack tight" }), money: card({ "aria-label": "Claimable" }),
    run: h("div", { class: "lively" }), closing: card({ "aria-label": "Closing soon" }),
    last: card({ "aria-label": "Last syncs" }), accounts: h("div"),
  };
  const left = h("div", { class: "stack" }, parts.run);
  const right = h("div", { class: "stack" }, parts.closing, parts.last);
  fill(root, h("div", { class: "wrap" }, parts.head, parts.notices, parts.money, parts.accounts,
    h("div", { class: "columns" }, left, right)));
  let asOf = null;
  let history = null; // the last syncs, once they are read
  let gaps = [];

  const several = () => !live.chosen && live.accounts.length > 1;

  function ask(id) {
    const account = live.account(id);
    if (account && !live.current) askForHistory(account);
  }

  function top() {
    const who = live.chosen ? live.name(live.chosen) : live.accounts.length ? "All accounts" : "No account is connected";
    const words = asOf ? `${who}, as of ${clock(asOf)}` : who;
    patch(parts.head, head("Overview", words, several() && h("a", { class: "btn", href: "#/connect" }, "Connect an account")));
    const lost = live.accounts.filter(({ id, status }) => status === "lost" && (!live.chosen || live.chosen.id === id));
    patch(parts.notices, ...lost.map(lostNotice), ...gaps);
    parts.notices.hidden = !parts.notices.childElementCount;
  }

  function lostNotice(account) {
    const sync = live.current && pausedForAccount(live.current, account) && live.current.connectionId === account.id ? live.current : null;
    const words = sync
      ? `Its sync has been paused at ${sync.progress} % since ${inside(sync.updatedAt)}. Nothing is lost: it continues from there.`
      : account.statusReason ?? "It can be connected again without losing anything.";
    return notice("warn", "unlink", `${source(account.connector)} no longer accepts the connection of ${live.name(account)}`, words, connectAgain(account));
  }

  function run() {
    const sync = live.current;
    if (sync) patch(parts.run, liveCard(sync));
    else if (history || lastEnded()) patch(parts.run, idleCard(lastEnded(), live.chosen));
    parts.run.hidden = !parts.run.childElementCount;
    place();
  }

  /** Puts the last syncs into the shorter column: the card of a running sync fills the left one. */
  function place() {
    const column = live.current || parts.closing.hidden ? right : left;
    if (parts.last.parentNode !== column) column.append(parts.last);
  }

  /** The newest sync that has ended. The stream may know it before the list does. */
  function lastEnded() {
    const known = live.latest;
    const shown = known && (!live.chosen || known.connectionId === live.chosen.id) ? [known, ...(history ?? [])] : history ?? [];
    return shown.filter(ended).sort((one, other) => (one.startedAt < other.startedAt ? 1 : -1))[0] ?? null;
  }

  const money = loader(parts.money, "Your claims could not be loaded",
    () => readMoney(client, live.chosen),
    (data) => {
      asOf = now();
      gaps = unknownNotices(data.syncs, live, data.totals.length > 0);
      patch(parts.money, ...moneyCard(data, { several: several(), gaps: gaps.length > 0 }));
      patch(parts.closing, ...closingCard(data));
      parts.closing.hidden = !data.soon.recoveries.length;
      place();
      top();
    });
  const last = loader(parts.last, "The last syncs could not be loaded",
    () => client.history({ limit: 21, connectionId: live.chosen?.id }),
    ({ syncs }) => {
      history = syncs;
      patch(parts.last, ...lastSyncs(syncs));
      parts.last.hidden = !syncs.some(ended);
      run();
    });
  const accounts = loader(parts.accounts, "The accounts could not be loaded",
    async () => (several() ? Promise.all(live.accounts.map(async (account) => [account, await client.recoveries({ limit: 1, connectionId: account.id })])) : null),
    (rows) => patch(parts.accounts, rows && accountsCard(rows)));

  parts.closing.hidden = true;
  parts.accounts.hidden = !several();
  top();
  run();
  for (const part of [money, last, accounts]) part.refresh();
  const off = [
    live.on("sync", ({ sync, before }) => {
      run();
      if (!before || before.status !== sync.status) for (const part of [last, money]) part.refresh();
      if (ended(sync) && before && !ended(before)) accounts.refresh();
    }),
    live.on("accounts", () => { top(); accounts.refresh(); }),
    live.on("link", () => {
      top();
      run();
      if (live.link === "live") for (const part of [money, last, accounts]) part.refresh();
    }),
  ];
  const timer = setInterval(() => live.current && run(), 1000);
  return () => {
    clearTimeout(asking);
    clearInterval(timer);
    for (const stop of off) stop();
    for (const part of [money, last, accounts]) part.stop();
  };
}

const sentenceOf = (code) => (code.charAt(0).toUpperCase() + code.slice(1)).replaceAll("_", " ");
