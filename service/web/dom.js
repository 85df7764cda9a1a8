// Builds elements. Data becomes text; no function parses markup.

export const $ = (id) => document.getElementById(id);

/** An element: `h("td", { class: "num", onclick }, "text", child, null)`. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets the text only if it has changed, so that a selection remains. */
export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

export const badge = (status, words) => h("span", { class: `badge ${status}` }, words);

/** Runs `work` while the button is disabled; `showError` shows an error. */
export async function busy(button, work, showError) {
  if (button.getAttribute("aria-busy")) return;
  const focused = document.activeElement === button;
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    showError(error);
  } finally {
    button.removeAttribute("aria-busy");
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
  }
}
