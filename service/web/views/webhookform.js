// The dialogs of a webhook: its address and events, and its secret, which is shown once.
import { clearErrors, copy, field, notice } from "../lib/components.js";
import { busy, button, fill, h } from "../lib/dom.js";
import { title } from "../lib/format.js";
import { dialog } from "../lib/overlay.js";
import { problemPlace, showProblem } from "../lib/problems.js";

const EVENTS = [
  ["sync.started", "A sync started"],
  ["sync.completed", "A sync is complete"],
  ["sync.failed", "A sync failed"],
  ["sync.paused", "A sync is paused"],
  ["sync.cancelled", "A sync was cancelled"],
  ["connection.lost", "A connection is lost"],
  ["connection.stale", "A connection is out of date"],
  ["recovery.found", "Claims were found"],
  ["recovery.closing", "A claim closes in 7 days"],
];
const EVERY = "*";
const DEFAULT_TYPES = ["sync.completed", "sync.failed", "connection.lost", "recovery.found"];
const WORDS = new Map([...EVENTS.map(([type, words]) => [type, words.toLowerCase()]), ["webhook.test", "a test"]]);

/** The name of a type of event inside a sentence. */
export const eventName = (type) => WORDS.get(type) ?? title(type.replaceAll(".", " "));
export const pathOf = ({ id }) => `/api/webhooks/${encodeURIComponent(id)}`;

/** Opens the form of a webhook, or of a new one if it is null. */
export function editWebhook(hook, { client, live, refresh }) {
  const problem = problemPlace();
  const send = h("button", { class: "btn first" }, hook ? "Save webhook" : "Add webhook");
  const form = h("form", { class: "stack", novalidate: true }, inputs(hook, live), problem);
  const node = dialog({ title: hook ? "Edit the webhook" : "Add a webhook" },
    h("p", { class: "soft" }, "Events are sent to this address, signed with a secret of the webhook."), form);
  form.append(h("div", { class: "dialog-foot" }, button({ class: "btn plain", onpress: () => node.close() }, "Close"), send));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearErrors(form);
    fill(problem);
    busy(send, async () => {
      const body = given(form, hook);
      if (!body.types.length) throw noType();
      const stored = hook ? await client.request("PATCH", pathOf(hook), { body }) : await client.post("/api/webhooks", body);
      node.close();
      if (stored.secret) showSecret(stored.secret);
      await refresh();
    }, (error) => showProblem(form, problem, error));
  });
}

function noType() {
  const message = "Choose at least one event.";
  return Object.assign(new Error(message), { errors: [{ field: "types", message }] });
}

function inputs(hook, live) {
  const chosen = hook?.types ?? DEFAULT_TYPES;
  const every = chosen.includes(EVERY);
  const check = ([type, words]) => h("label", { class: "check" },
    h("input", { type: "checkbox", name: "types", value: type, checked: every || chosen.includes(type), disabled: every && type !== EVERY }), words);
  const events = h("fieldset", {}, h("legend", { class: "legend" }, "Events"),
    h("div", { class: "checks" }, check([EVERY, "All events, including new types"]), EVENTS.map(check)));
  events.addEventListener("change", ({ target }) => {
    if (target.value !== EVERY) return;
    for (const input of events.querySelectorAll("input")) if (input !== target) input.disabled = target.checked;
  });
  return [
    field("Address", h("input", { class: "input", name: "url", type: "url", value: hook?.url, placeholder: "https://", autocomplete: "off", spellcheck: "false", autofocus: true })),
    field("Description", h("input", { class: "input", name: "description", value: hook?.description, maxlength: "200", autocomplete: "off" }), "Optional: the purpose of the webhook."),
    events,
    !hook && live.me?.role === "operator" && h("label", { class: "check" }, h("input", { type: "checkbox", name: "all" }), "Events of all users"),
  ].filter(Boolean);
}

function given(form, hook) {
  const { url, description, all } = form.elements;
  const types = [...form.querySelectorAll("[name=types]:checked")].map(({ value }) => value);
  const body = { url: url.value.trim(), description: description.value.trim() || null, types: types.includes(EVERY) ? [EVERY] : types };
  return !hook && all?.checked ? { ...body, all: true } : body;
}

/** Shows a secret, which the service does not show again. */
export function showSecret(secret) {
  const words = h("input", { class: "input mono", "aria-label": "Secret", readonly: true, value: secret });
  const problem = problemPlace();
  const node = dialog({ title: "The secret of the webhook", less: true },
    notice("good", "key", "Copy it now. It is not shown again.", "The receiver uses it to verify requests."),
    words, problem,
    h("div", { class: "dialog-foot" },
      button({ class: "btn", onpress: (pressed) => copy(pressed, secret).catch(() => {
        words.select();
        fill(problem, "The browser does not allow copying. The secret is selected: copy it with the keyboard.");
      }) }, "Copy"),
      button({ class: "btn first", onpress: () => node.close() }, "I have stored it")));
}
