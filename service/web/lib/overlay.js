// Dialogs and drawers. The browser keeps the focus inside, and returns it when they close.
import { busy, button, h } from "./dom.js";
import { icon } from "./icons.js";

let count = 0;

/** Opens a dialog; `body` is a list of nodes. Returns it; it is removed when it closes. */
export function dialog({ title, less, look = "", onClose }, ...body) {
  const id = `dialog-${++count}`;
  const node = h("dialog", { class: `dialog ${less ? "less" : ""}`, "aria-labelledby": id },
    h("div", { class: "dialog-in" }, h("h2", { id, class: look }, title), ...body));
  return show(node, onClose);
}

function show(node, onClose) {
  node.addEventListener("close", () => {
    node.remove();
    onClose?.();
  });
  node.addEventListener("click", (event) => {
    if (event.target === node) node.close();
  });
  document.body.append(node);
  node.showModal();
  return node;
}

/** Asks before something is destroyed, or with `look` "first" before it is done. The safe answer has
 *  the focus. `work` runs on consent. */
export function confirm({ title, words, keep, act, work, extra, look = "bad" }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const node = dialog({ title, less: true },
    h("p", { class: "soft" }, words), extra, problem,
    h("div", { class: "dialog-foot" },
      button({ class: "btn", autofocus: true, onpress: () => node.close() }, keep),
      button({
        class: `btn ${look}`,
        onpress: (pressed) => busy(pressed, async () => {
          await work(node);
          node.close();
        }, (error) => { problem.textContent = error.message; }),
      }, act)));
  return node;
}

/** Opens a drawer with a head and a body, which can be filled later. */
export function drawer({ label, onClose }) {
  const id = `drawer-${++count}`;
  const headRoot = h("div", { id }, h("h2", {}, label));
  const body = h("div", { class: "drawer-body" });
  const node = h("dialog", { class: "drawer", "aria-labelledby": id },
    h("div", { class: "drawer-head" }, headRoot,
      button({ class: "btn plain square", "aria-label": "Close", onpress: () => node.close() }, icon("close"))),
    body);
  show(node, onClose);
  return { node, head: headRoot, body };
}
