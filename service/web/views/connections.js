// The connections: state, schedule, last sync, days; rename, disconnect, connect again.
import { connectAgain } from "../lib/actions.js";
import { summary, source } from "../lib/catalog.js";
import { badge, card, clearErrors, empty, facts, field } from "../lib/components.js";
import { words as scheduleWords } from "../lib/cron.js";
import { daysOf } from "../lib/days.js";
import { busy, button, fill, h, patch } from "../lib/dom.js";
import { daysUntil, fullDay, inside, moment, number, plural, sentence } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { confirm, dialog } from "../lib/overlay.js";
import { problemPlace, showProblem } from "../lib/problems.js";
import { address } from "../lib/router.js";
import { tile } from "../lib/shell.js";
import { failed, toast } from "../lib/toasts.js";
import { accountState, syncState } from "../lib/words.js";
import { editSchedule } from "./schedule.js";

const SOON = 30; // days before an authorisation ends

export function connections(root, { client, live }) {
  const shown = new Map(); // account id -> its strip of days
  function draw() {
    patch(root, ...live.accounts.map((account) => connection(account, live, client, shown.get(account.id) ?? [])),
      live.accounts.length === 0 && card({}, empty("link", "No account is connected", "Connect an account to see what you are owed.")),
      h("div", { class: "actions" }, h("a", { class: "btn", href: "#/connect" }, icon("plus", "less"), "Connect an account")));
    for (const { id } of live.accounts) if (!shown.has(id)) read(id);
  }
  function read(id) {
    shown.set(id, []);
    daysOf(client, id).then((nodes) => {
      shown.set(id, nodes);
      draw();
    }, (problem) => live.account(id) && failed(problem));
  }
  draw();
  return live.on("accounts link", draw);
}

function connection(account, live, client, days) {
  const name = live.name(account);
  return card({ "data-account": account.id, "aria-label": name }, h("div", { class: "card-body" },
    h("div", { class: "card-top" },
      h("div", { class: "card-words" }, h("div", { class: "pair" }, tile(account), h("div", { class: "two" }, h("h2", {}, name), h("span", {}, summary(account))))),
      badge(accountState(account))),
    account.status === "lost" && h("p", { class: "soft" }, account.statusReason ?? `${source(account.connector)} no longer accepts the connection.`),
    facts(known(account)),
    h("div", { class: "account-days stack tight" }, days.map((node) => node.cloneNode(true))),
    actions(account, name, live, client)));
}

function known(account) {
  const lost = account.status === "lost";
  const next = account.schedule?.enabled && account.schedule.nextRuns?.[0];
  return [
    ["Last sync", account.lastSync ? lastSync(account.lastSync) : "none yet"],
    ["Next sync", lost ? "after connecting" : next ? moment(next) : "not scheduled"],
    ["Schedule", scheduleWords(account.schedule)],
    account.authorisedUntil && ["Authorisation", authorisation(account.authorisedUntil)],
    ["Records", number(account.records)],
  ];
}

function lastSync(sync) {
  const state = syncState(sync)?.[1].toLowerCase() ?? sync.status;
  return [h("a", { href: address(["history", sync.syncId]) }, sentence(inside(sync.completedAt))),
    h("span", { class: "muted small" }, ` ${state}`)];
}

function authorisation(until) {
  const left = daysUntil(until);
  if (left > SOON) return `ends ${fullDay(until)}`;
  return h("span", { class: "soon" }, left < 0 ? `ended ${fullDay(until)}` : left === 0 ? "ends today" : `ends in ${plural(left, "day")}`);
}

function actions(account, name, live, client) {
  const lost = account.status === "lost";
  const off = live.link === "offline";
  const hidden = () => h("span", { class: "unseen" }, ` ${name}`);
  return h("div", { class: "actions" },
    lost && connectAgain(account),
    h("a", { class: "btn", href: address(["history"], { account: account.id }) }, "Sync history", hidden()),
    !lost && button({ class: "btn", disabled: off, onpress: () => editSchedule(live.account(account.id) ?? account, live, client) }, icon("clock", "less"), "Edit schedule", hidden()),
    !lost && button({ class: "btn plain", disabled: off, onpress: () => rename(account, live, client) }, "Rename", hidden()),
    button({ class: "btn plain", disabled: off, onpress: () => forget(account, live, client) }, "Disconnect", hidden()));
}

function rename(account, live, client) {
  const problem = problemPlace();
  const send = h("button", { class: "btn first" }, "Save name");
  const input = h("input", { class: "input", name: "name", value: live.name(account), maxlength: "100", autocomplete: "off", autofocus: true });
  const form = h("form", { class: "stack", novalidate: true }, field("Name", input), problem);
  const node = dialog({ title: `Rename ${live.name(account)}`, less: true }, form);
  form.append(h("div", { class: "dialog-foot" }, button({ class: "btn plain", onpress: () => node.close() }, "Close"), send));
  input.select();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    fill(problem);
    busy(send, async () => {
      await client.request("PATCH", `/api/connections/${encodeURIComponent(account.id)}`, { body: { name: input.value } });
      node.close();
      await live.refresh();
    }, (error) => showProblem(form, problem, error));
  });
}

function forget(account, live, client) {
  const records = plural(account.records, "record");
  const choice = h("fieldset", {}, h("legend", { class: "unseen" }, "Stored records"),
    h("label", { class: "check" }, h("input", { type: "radio", name: "data", value: "keep", checked: true }), `Keep ${records} and the claims`),
    h("label", { class: "check" }, h("input", { type: "radio", name: "data", value: "erase" }), "Also erase them; this cannot be undone"));
  confirm({
    title: `Disconnect ${live.name(account)}?`,
    words: "Its credentials are erased and its schedule ends. You can connect it again at any time.",
    extra: choice,
    keep: "Keep it",
    act: "Disconnect",
    work: async () => {
      const data = choice.querySelector(":checked").value;
      const answer = await client.request("DELETE", `/api/connections/${encodeURIComponent(account.id)}?data=${data}`);
      if (answer.message) toast("good", `${live.name(account)} is disconnected`, answer.message);
      await live.refresh();
    },
  });
}
