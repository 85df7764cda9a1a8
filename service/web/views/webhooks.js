// The webhooks: a card for each, with its actions, and the deliveries.
import { badge, card, cardHead, empty, facts, loader, notice } from "../lib/components.js";
import { busy, button, fill, h, patch } from "../lib/dom.js";
import { list, moment } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { confirm } from "../lib/overlay.js";
import { showInToast } from "../lib/problems.js";
import { toast } from "../lib/toasts.js";
import { every } from "../lib/visible.js";
import { deliveries } from "./deliveries.js";
import { editWebhook, eventName, pathOf, showSecret } from "./webhookform.js";

const REFRESH = 5000; // ms: a receiver may disable its webhook

export function webhooks(root, { client, live }) {
  let hooks = [];
  const listed = h("div", { class: "stack" });
  const log = deliveries(client);
  const reading = loader(listed, "The webhooks could not be read", () => client.get("/api/webhooks"), (page) => {
    hooks = page.webhooks;
    draw();
  });
  const tools = { client, live, refresh: () => reading.refresh(), log };
  const add = button({ class: "btn", onpress: () => editWebhook(null, tools) }, icon("plus", "less"), "Add a webhook");
  fill(root, listed, h("div", { class: "actions" }, add), log.node);

  function draw() {
    patch(listed, ...hooks.map((hook) => webhook(hook, tools)),
      hooks.length === 0 && card({}, empty("link", "There is no webhook", "A webhook sends events, such as the end of a sync, to your URL.")));
    log.offer(hooks);
  }
  async function look() {
    const page = await client.get("/api/webhooks").catch(() => null);
    if (!page || !log.node.isConnected) return;
    hooks = page.webhooks;
    draw();
  }
  reading.refresh();
  const stops = [every(REFRESH, look), live.on("link", () => hooks.length && draw()), live.on("accounts", reading.refresh)];
  return () => {
    for (const stop of stops) stop();
    reading.stop();
    log.stop();
  };
}

function webhook(hook, tools) {
  return card({ "data-webhook": hook.id, "aria-label": hook.url },
    cardHead(h("span", { class: "address" }, hook.url), hook.description, badge(hook.enabled ? ["good", "Active"] : ["", "Disabled"])),
    h("div", { class: "card-body" },
      !hook.enabled && notice("warn", "warn", "Nothing is sent", hook.disabledReason ?? "The webhook is disabled. When you enable it, it receives the missed events."),
      facts([
        ["Events", hook.types.includes("*") ? "all types" : list(hook.types.map(eventName))],
        hook.all && ["Users", "all"],
        ["Created", moment(hook.createdAt)],
      ]),
      actions(hook, tools)));
}

function actions(hook, tools) {
  const { client, refresh } = tools;
  const hidden = () => h("span", { class: "unseen" }, ` ${hook.url}`);
  const off = tools.live.link === "offline";
  const press = (words, look, work) => button({ class: look, disabled: off, onpress: (node) => busy(node, work, showInToast) }, words, hidden());
  return h("div", { class: "actions" },
    hook.enabled && press("Send a test", "btn", async () => {
      await client.post(`${pathOf(hook)}/test`);
      toast("good", "The test is on its way", "The response of the receiver is listed below.");
      tools.log.show(hook);
    }),
    press(hook.enabled ? "Disable" : "Enable", "btn", async () => {
      await client.request("PATCH", pathOf(hook), { body: { enabled: !hook.enabled } });
      await refresh();
    }),
    button({ class: "btn", disabled: off, onpress: () => editWebhook(hook, tools) }, "Edit", hidden()),
    button({ class: "btn plain", disabled: off, onpress: () => rotate(hook, client) }, "New secret", hidden()),
    button({ class: "btn plain", disabled: off, onpress: () => remove(hook, tools) }, "Remove", hidden()));
}

function rotate(hook, client) {
  confirm({
    title: "Replace the secret?",
    words: "The current secret also signs for 24 hours. After that, a receiver without the new secret rejects requests.",
    keep: "Keep it",
    act: "Make a new secret",
    work: async () => {
      const { secret } = await client.post(`${pathOf(hook)}/rotate`);
      showSecret(secret);
    },
  });
}

function remove(hook, { client, log, refresh }) {
  confirm({
    title: "Remove this webhook?",
    words: `Nothing further is sent to ${hook.url}, and its deliveries are no longer listed.`,
    keep: "Keep it",
    act: "Remove",
    work: async () => {
      await log.without(hook, () => client.request("DELETE", pathOf(hook)));
      await refresh();
    },
  });
}
