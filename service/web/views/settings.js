// Settings: the connections with their days, and the costs of goods.
import { summary, source } from "../lib/catalog.js";
import { badge, card, cardHead, empty, facts, field, head, clearErrors } from "../lib/components.js";
import { daysOf } from "../lib/days.js";
import { busy, button, fill, h, patch } from "../lib/dom.js";
import { fullDay, inside, moment, number, plural, sentence } from "../lib/format.js";
import { connectAgain } from "../lib/actions.js";
import { confirm } from "../lib/overlay.js";
import { address } from "../lib/router.js";
import { tile } from "../lib/shell.js";
import { failed } from "../lib/toasts.js";
import { accountState } from "../lib/words.js";

const TABS = [["connections", "Connections"], ["costs", "Costs of goods"]];

export function show(root, tools) {
  let stop = () => {};
  const tabs = h("nav", { class: "tabs", "aria-label": "Settings" });
  const body = h("div", { class: "stack" });
  fill(root, h("div", { class: "wrap" }, head("Settings"), h("div", { class: "stack" }, tabs, body)));

  function open({ path: [name = "connections"] }) {
    stop();
    fill(body);
    patch(tabs, ...TABS.map(([tab, words]) => h("a", { href: address(["settings", tab]), "aria-current": tab === name && "page" }, words)));
    stop = ({ connections, costs }[name] ?? connections)(body, tools) ?? (() => {});
  }

  open(tools.params);
  const cleanup = () => stop();
  cleanup.update = open;
  return cleanup;
}

// Connections

function connections(root, { client, live }) {
  const draw = () => {
    patch(root, ...live.accounts.map((account) => connection(account, live, client)),
      live.accounts.length === 0 && card({}, empty("link", "No account is connected", "Connect one to see what it is owed.")),
      h("div", { class: "actions" }, h("a", { class: "btn", href: "#/connect" }, "Connect an account")));
    for (const { id } of live.accounts) showDays(id);
  };
  const shown = new Map(); // account id -> its strip of days
  function showDays(id) {
    const place = () => root.querySelector(`[data-account="${CSS.escape(id)}"] .account-days`);
    if (shown.has(id)) return void place()?.replaceChildren(...shown.get(id).map((node) => node.cloneNode(true)));
    shown.set(id, []);
    daysOf(client, id).then((nodes) => {
      shown.set(id, nodes);
      place()?.replaceChildren(...nodes.map((node) => node.cloneNode(true)));
    }, failed);
  }
  draw();
  return live.on("accounts link", draw);
}

function connection(account, live, client) {
  const name = live.name(account);
  const next = account.schedule?.enabled && account.schedule.nextRuns?.[0];
  const hidden = h("span", { class: "unseen" }, ` ${name}`);
  return card({ "data-account": account.id, "aria-label": name }, h("div", { class: "card-body" },
    h("div", { class: "card-top" },
      h("div", { class: "pair card-words" }, h("div", { class: "pair" }, tile(account), h("div", { class: "two" }, h("h2", {}, name), h("span", {}, summary(account))))),
      badge(accountState(account))),
    account.status === "lost" && h("p", { class: "soft" }, account.statusReason ?? `${source(account.connector)} no longer accepts the connection.`),
    facts([
      ["Last sync", account.lastSync ? h("a", { href: address(["history", account.lastSync.syncId]) }, sentence(inside(account.lastSync.completedAt))) : "none yet"],
      ["Next sync", next ? moment(next) : "by hand"],
      account.authorisedUntil && ["Authorised until", fullDay(account.authorisedUntil)],
      ["Records", number(account.records)],
    ]),
    h("div", { class: "account-days stack tight" }),
    h("div", { class: "actions" },
      account.status === "lost" && connectAgain(account),
      h("a", { class: "btn", href: address(["history"], { account: account.id }) }, "Syncs", h("span", { class: "unseen" }, ` of ${name}`)),
      button({ class: "btn plain", disabled: live.link === "offline", onpress: () => forget(account, live, client) }, "Disconnect…", hidden))));
}

function forget(account, live, client) {
  const choice = h("fieldset", {}, h("legend", { class: "unseen" }, "Stored records"),
    h("label", { class: "check" }, h("input", { type: "radio", name: "data", value: "keep", checked: true }), "Keep the records that were read"),
    h("label", { class: "check" }, h("input", { type: "radio", name: "data", value: "erase" }), "Erase the records, too"));
  confirm({
    title: `Disconnect ${live.name(account)}?`,
    words: "Its credentials are erased. To sync it again, connect it again.",
    extra: choice,
    keep: "Keep it",
    act: "Disconnect",
    work: async () => {
      const data = choice.querySelector(":checked").value;
      await client.request("DELETE", `/api/connections/${encodeURIComponent(account.id)}?data=${data}`);
      await live.refresh();
    },
  });
}

// Costs

function costs(root, { client }) {
  const answer = h("div", { role: "status" });
  const send = h("button", { class: "btn first" }, "Save costs");
  const form = h("form", { class: "card-body", novalidate: true },
    field("CSV", h("textarea", { class: "input", name: "lines", rows: "7", spellcheck: "false", placeholder: "sku,cost,currency\nMUG-01,4.20,USD" })),
    field("Or a file", h("input", { class: "input", name: "file", type: "file", accept: ".csv,.tsv,.txt,text/csv,text/plain" })),
    answer, h("div", { class: "actions" }, send));
  form.elements.file.addEventListener("change", async () => {
    const [file] = form.elements.file.files;
    if (file) form.elements.lines.value = await file.text();
    fill(answer);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    fill(answer);
    busy(send, async () => {
      const init = { body: form.elements.lines.value, headers: { Accept: "application/json", "Content-Type": "text/csv" } };
      fill(answer, ...result(await (await client.response("PUT", "/api/costs", init)).json()));
    }, (problem) => {
      fill(answer, h("p", { class: "problem" }, problem.errors?.length ? "Nothing was saved." : problem.message),
        h("ul", { class: "wrong-lines" }, (problem.errors ?? []).map((error) => h("li", {}, error.message))));
    });
  });
  fill(root, card({ "aria-label": "Costs of goods" },
    cardHead("Costs of goods", "A claim values a unit at its cost. Products that are not listed here keep their cost."), form));
}

const result = ({ accepted, rejected, errors }) => [
  h("p", {}, h("strong", {}, `${plural(accepted, "line")} accepted, ${number(rejected)} rejected.`), accepted ? " They apply from the next sync on." : ""),
  h("ul", { class: "wrong-lines" }, errors.map(({ line, sku, message }) =>
    h("li", {}, h("span", { class: "muted" }, `Line ${line}${sku ? `, ${sku}` : ""}: `), message))),
];

