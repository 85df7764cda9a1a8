// Sign-in: a pasted token becomes a cookie, which EventSource can send.
import { client } from "./api.js";
import { $, busy } from "./dom.js";

const MARK = "signed-in";

/** Whether a token was ever pasted in this browser. Demo mode needs no token. */
export const signedIn = () => localStorage.getItem(MARK) !== null;

const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
export const demo = () => local && !signedIn();

export function requestSignIn(onError) {
  const form = $("sign-in");
  if (!form.hidden) return;
  $("dashboard").hidden = $("connect-more").hidden = $("sign-out").hidden = true;
  form.hidden = false;
  form.elements.token.focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onError(null);
    busy(event.submitter ?? form.querySelector("button"), () => signIn(form.elements.token.value), onError);
  });
}

async function signIn(token) {
  await client.request("POST", "/api/session", { headers: { Authorization: `Bearer ${token.trim()}` } });
  await client.connections().catch((problem) => {
    if (problem.status !== 401) throw problem;
    throw new Error("The browser did not store the cookie. Browsers do so over HTTPS or on localhost only.");
  });
  localStorage.setItem(MARK, "yes");
  location.reload();
}

export function offerSignOut(onError) {
  const button = $("sign-out");
  button.hidden = !signedIn();
  button.addEventListener("click", () => busy(button, async () => {
    await client.request("DELETE", "/api/session");
    location.reload();
  }, onError));
}
