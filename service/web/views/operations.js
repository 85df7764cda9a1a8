// For operators. What the service offers them is at /metrics, /readyz and in its log.
import { card, empty, head } from "../lib/components.js";
import { fill, h } from "../lib/dom.js";

export function show(root, { live }) {
  const words = live.me?.role === "operator"
    ? ["Nothing is shown here yet", "The state of the service is at /readyz, and each move of a sync is in its log."]
    : ["This page is for operators", "Your token has no role operator."];
  fill(root, h("div", { class: "wrap" }, head("Operations"), card({}, empty("pulse", ...words))));
  return () => {};
}
