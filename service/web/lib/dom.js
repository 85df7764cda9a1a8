// Builds elements. Data becomes text; no function parses markup.

export const $ = (id) => document.getElementById(id);

/** An element: `h("td", { class: "num", onclick }, "text", child, null)`. */
export function h(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element, with attributes only: the page allows no inline style. */
export const s = (tag, props = {}, ...children) => build(document.createElementNS(SVG, tag), props, children);

function build(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...shown(children));
  return node;
}

const shown = (children) => children.flat().filter((child) => ![null, undefined, false].includes(child));

/** Replaces the children; those that are null or false are left out. */
export const fill = (node, ...children) => node.replaceChildren(...shown(children));

/** Sets the text only if it has changed, so that a selection remains. */
export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** Makes `node` like `wanted`, and changes only what differs: focus, selection and motion remain. */
export function morph(node, wanted) {
  if (node.nodeType !== wanted.nodeType || node.nodeName !== wanted.nodeName) return void node.replaceWith(wanted);
  if (node.nodeType === Node.TEXT_NODE) return text(node, wanted.textContent);
  if (node.nodeName === "BUTTON" && node.hasAttribute("aria-busy")) return; // its work is still running
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  node.onpress = wanted.onpress;
  const old = [...node.childNodes];
  const fresh = [...wanted.childNodes];
  fresh.forEach((child, at) => (at < old.length ? morph(old[at], child) : node.append(child)));
  for (const child of old.slice(fresh.length)) child.remove();
}

/** Replaces the children like `fill`, but changes only what differs, like `morph`. */
export function patch(root, ...nodes) {
  const wanted = root.cloneNode(false);
  fill(wanted, ...nodes);
  wanted.onpress = root.onpress;
  morph(root, wanted);
}

/** A button whose handler `morph` can replace. */
export function button(props, ...children) {
  const { onpress, ...rest } = props;
  const node = h("button", { type: "button", ...rest }, ...children);
  node.onpress = onpress;
  node.addEventListener("click", () => node.onpress?.(node));
  return node;
}

/** Runs `work` while the button is disabled; `showError` shows an error. */
export async function busy(node, work, showError) {
  if (node.getAttribute("aria-busy")) return;
  const focused = document.activeElement === node;
  node.setAttribute("aria-busy", "true");
  node.disabled = true;
  try {
    await work();
  } catch (error) {
    showError(error);
  } finally {
    node.removeAttribute("aria-busy");
    node.disabled = false;
    if (focused && document.activeElement === document.body) node.focus();
  }
}
