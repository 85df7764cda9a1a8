// Settings: tabs for connections, uploads, webhooks and access.
import { card, empty, head } from "../lib/components.js";
import { fill, h, patch } from "../lib/dom.js";
import { address } from "../lib/router.js";
import { access } from "./access.js";
import { connections } from "./connections.js";
import { uploads } from "./uploads.js";
import { webhooks } from "./webhooks.js";

const TABS = [
  ["connections", "Connections", connections],
  ["costs", "Costs and uploads", uploads],
  ["webhooks", "Webhooks", webhooks],
  ["access", "Access and notifications", access],
];

export function show(root, tools) {
  let stop = () => {};
  let shown = null;
  const tabs = h("nav", { class: "tabs", "aria-label": "Settings" });
  const place = h("div", {});
  fill(root, h("div", { class: "wrap" }, head("Settings"), h("div", { class: "stack" }, tabs, place)));

  function open({ path: [name = "connections"] }) {
    if (name === shown) return;
    shown = name;
    stop();
    patch(tabs, ...TABS.map(([tab, words]) => h("a", { href: address(["settings", tab]), "aria-current": tab === name && "page" }, words)));
    tabs.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const body = h("div", { class: "stack" });
    fill(place, body);
    const [, , view = nothing] = TABS.find(([tab]) => tab === name) ?? [];
    stop = view(body, tools) ?? (() => {});
  }

  open(tools.params);
  const cleanup = () => stop();
  cleanup.update = open;
  return cleanup;
}

function nothing(root) {
  fill(root, card({}, empty("search", "There are no such settings", "The address may be wrong.",
    h("a", { class: "btn", href: address(["settings", "connections"]) }, "Go to the connections"))));
}
