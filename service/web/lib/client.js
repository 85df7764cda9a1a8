// The page's client of the service. Every call and every stream of the page goes through it.
import { createClient } from "../client.js";

export { ended } from "../client.js";

const SESSION = "/api/session";
let refused = () => {};

/** Calls `listener` whenever the service refuses the session, for example because it has expired. */
export function onRefused(listener) {
  refused = listener;
}

let held = null;

/** Ends the session. Meanwhile, and until the page is left, other calls wait: they would be refused. */
export async function endSession() {
  let goOn;
  held = new Promise((done) => { goOn = done; });
  try {
    await client.request("DELETE", SESSION);
  } catch (error) {
    held = null;
    goOn();
    throw error;
  }
}

async function watched(path, init) {
  if (path !== SESSION) await held;
  const answer = await fetch(path, init);
  if (answer.status === 401 && path !== SESSION) refused();
  return answer;
}

export const client = createClient({ fetch: watched });
export const { get, post, now } = client;
