// Short messages at the edge of the page. A success disappears after 8 s; others stay until closed.
import { $, button, h } from "./dom.js";
import { icon } from "./icons.js";

const STAY = 8000; // ms
const SIGNS = { good: "done", warn: "warn", bad: "fail" };

/** `look`: good, warn or bad. `link`: an address and its words. */
export function toast(look, title, words, link) {
  const close = button({ class: "btn plain square", "aria-label": "Close the message", onpress: () => node.remove() }, icon("close", "less"));
  const node = h("div", { class: `toast ${look}` }, icon(SIGNS[look]),
    h("div", { class: "toast-words" }, h("strong", { class: "strong" }, title), words && h("p", {}, words),
      link && h("p", {}, h("a", { href: link[0] }, link[1]))),
    close);
  $("toasts").append(node);
  if (look === "good") setTimeout(() => node.remove(), STAY);
}

export const failed = (problem) => problem.status !== 401 && toast("bad", "That did not work", problem.message);
