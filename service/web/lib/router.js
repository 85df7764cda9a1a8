// Addresses: `#/view/rest?filters`. A view is a module with `show(root, { params, client, live, navigate })`.
// It returns a function that cleans up. That function may have `update(params)`, which is called instead
// of a new `show` while only the rest or the filters change.
import { client } from "./client.js";
import { live } from "./live.js";

let shown = null; // { name, cleanup }
let previous = null; // the address before the present one, within this page
let present = null;

/** The parts of an address: `{ name, path: ["sync_1"], query: { status: "failed" } }`. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").filter(Boolean).map(decode);
  return { name: name ?? "", path: rest, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** An address: `address(["history", id], { status })`. Empty filters are left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => ![undefined, null, ""].includes(value));
  const end = given.length ? `?${new URLSearchParams(given)}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${end}`;
}

/** Goes to an address. `replace`: Back does not return to the present one. `quiet`: the view stays. */
export function navigate(path, query = {}, { replace = false, quiet = false } = {}) {
  const to = address(path, query);
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    if (quiet) present = location.hash;
    else route(false);
  } else location.hash = to;
}

/** Closes a drawer that an address has opened: goes back if that leads to `path`. */
export function close(path, query = {}) {
  const to = address(path, query);
  if (location.hash === to) return;
  if (previous === to) history.back();
  else navigate(path, query, { replace: true });
}

let views = {};
let root = null;
let onRoute = () => {};

/** `table`: the views by name, each a function that returns its module and its name for the page. */
export function startRouter(table, element, listener) {
  views = table;
  root = element;
  onRoute = listener;
  addEventListener("hashchange", () => route());
  route();
}

/** Shows the view of the present address. */
export function route(moved = true) {
  if (location.hash !== present) {
    if (moved) previous = present;
    present = location.hash;
  }
  const params = parse(location.hash);
  if (!params.name) return navigate(["overview"], params.query, { replace: true });
  const name = Object.hasOwn(views, params.name) ? params.name : "nothing";
  const view = views[name](params);
  const tools = { params, client, live, navigate };
  if (shown?.view === view && shown.cleanup?.update) {
    shown.cleanup.update(params);
  } else {
    const first = shown === null;
    shown?.cleanup?.();
    for (const dialog of document.querySelectorAll("dialog[open]")) if (!dialog.querySelector("#sign-in")) dialog.close();
    root.replaceChildren();
    scrollTo(0, 0);
    const at = (present = location.hash);
    shown = { view, cleanup: null };
    const cleanup = view.show(root, tools);
    if (at !== present && shown.view !== view) return cleanup?.(); // the view has navigated to another one
    shown.cleanup = cleanup;
    if (!first) root.querySelector("h1")?.focus({ preventScroll: true });
  }
  onRoute(params.name);
}

/** Shows the view again, for example for another account. */
export function again() {
  shown?.cleanup?.();
  shown = { view: null };
  route();
}
