// The last syncs: a strip of their durations, and a short list.
import { ended } from "./client.js";
import { badge, cardHead } from "./components.js";
import { h } from "./dom.js";
import { day, duration, moment, plural } from "./format.js";
import { address } from "./router.js";
import { syncState } from "./words.js";

const LISTED = 4;

export function lastSyncs(syncs) {
  return [
    cardHead("Last syncs", syncs.length > 1 && `The last ${syncs.length}, by duration`, h("a", { class: "link small", href: "#/history" }, "History")),
    syncs.length > 1 && h("div", { class: "card-body" }, strip([...syncs].reverse())),
    h("ul", { class: "rows" }, syncs.filter(ended).slice(0, LISTED).map((sync) => h("li", {},
      h("span", { class: "grow" },
        h("a", { class: "to", href: address(["history", sync.syncId]) }, moment(sync.startedAt)), h("br"),
        h("span", { class: "muted small" }, `${plural(sync.recordsProcessed, "record")} · ${duration(sync.duration)}`)),
      badge(syncState(sync))))),
  ];
}

function strip(syncs) {
  const most = Math.max(...syncs.map((sync) => sync.duration ?? 0), 0.001);
  const counts = new Map();
  for (const sync of syncs) {
    const word = syncState(sync)[1].toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const words = [...counts].map(([word, count]) => `${count} ${word}`).join(", ");
  return h("div", { class: "strip", role: "img", "aria-label": `The last ${syncs.length} syncs: ${words}` }, syncs.map((sync) => {
    const [look, state] = syncState(sync);
    const height = Math.min(5, Math.max(1, Math.ceil((5 * (sync.duration ?? most)) / most)));
    return h("span", { class: `${look} h${height}`, title: `${day(sync.startedAt)}: ${state.toLowerCase()}` });
  }));
}
