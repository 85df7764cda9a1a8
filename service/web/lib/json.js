// JSON as text with colours, built from elements: data is never parsed as markup.
import { h } from "./dom.js";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/g;

export function json(data, label) {
  const text = JSON.stringify(data, null, 2) ?? "";
  const node = h("pre", { class: "json", tabindex: "0", role: "region", "aria-label": label });
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [all, string, colon] = match;
    node.append(text.slice(at, match.index));
    if (colon) node.append(h("span", { class: "key" }, string), colon);
    else node.append(h("span", { class: string ? "text" : "value" }, all));
    at = match.index + all.length;
  }
  node.append(text.slice(at));
  return node;
}
