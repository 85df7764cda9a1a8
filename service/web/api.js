// Talking to the service: JSON in, JSON out, and a problem in words when it goes wrong.

let skew = 0;

/** The service's time, in milliseconds: what countdowns are measured against. */
export const now = () => Date.now() + skew;

/** A refusal of the service (RFC 9457). Its message is the `detail`: what to do. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    Object.assign(this, { status, code: body.code, errors: body.errors ?? [], body });
  }
}

/** The answer as it comes; raises the Problem of a refusal. A redirect that is not followed is none. */
export async function ask(method, path, init = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, ...init });
  } catch {
    throw new Problem(0, { detail: "The service cannot be reached. Is it still running?" });
  }
  measure(answer);
  if (answer.ok || answer.type === "opaqueredirect") return answer;
  throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

export async function call(method, path, { body, headers = {} } = {}) {
  const init = { headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  return (await ask(method, path, init)).json().catch(() => ({}));
}

export const get = (path, query = {}) => call("GET", path + search(query));
export const post = (path, body = {}) => call("POST", path, { body });

function search(query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** The Date header has whole seconds; clocks that agree so far are left alone. */
function measure(answer) {
  const theirs = Date.parse(answer.headers.get("date") ?? "");
  if (!Number.isNaN(theirs)) {
    const difference = theirs + 500 - Date.now();
    skew = Math.abs(difference) > 2500 ? difference : 0;
  }
}
