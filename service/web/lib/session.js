// Sign-in: a pasted token becomes a cookie, which no script can read.
import { client, endSession } from "./client.js";
import { field } from "./components.js";
import { busy, h } from "./dom.js";

const MARK = "signed-in";

/** Whether a token was ever pasted in this browser. Demo mode needs no token. */
export const signedIn = () => localStorage.getItem(MARK) !== null;

const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

/** Whether this is the demo, whose credentials are filled in. */
export const demo = () => local && !signedIn();

let open = null;

/** Asks for a token in a dialog above the page, which keeps typed text. `onDone` runs after a sign-in. */
export function askToSignIn(onDone) {
  if (open) return;
  const problem = h("p", { class: "problem", role: "alert" });
  const token = h("input", { class: "input mono", name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const send = h("button", { class: "btn first" }, "Sign in");
  const form = h("form", { class: "dialog-in", id: "sign-in" },
    h("h2", { class: "title", id: "sign-in-title" }, "Sign in"),
    h("p", { class: "soft" }, "Paste the token that your operator gave you. It is stored in a cookie that no script can read. What you have typed on this page stays."),
    field("Token", token), problem, h("div", { class: "dialog-foot" }, send));
  open = h("dialog", { class: "dialog less", "aria-labelledby": "sign-in-title" }, form);
  open.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.textContent = "";
    busy(send, async () => {
      await signIn(token.value);
      open.close();
      open.remove();
      open = null;
      await onDone();
    }, (error) => { problem.textContent = error.message; });
  });
  document.body.append(open);
  open.showModal();
}

async function signIn(token) {
  await client.request("POST", "/api/session", { headers: { Authorization: `Bearer ${token.trim()}` } });
  await client.me().catch((problem) => {
    if (problem.status !== 401) throw problem;
    throw new Error("The browser did not store the cookie. Browsers do so over HTTPS or on localhost only.");
  });
  localStorage.setItem(MARK, "yes");
}

export async function signOut() {
  await endSession();
  location.assign("/");
}
