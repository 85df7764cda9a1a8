// Requests to the service: JSON in, JSON out, and a Problem for an error response.

let skew = 0;

/** The service's time in milliseconds, for countdowns. */
export const now = () => Date.now() + skew;

/** An error response of the service (RFC 9457). Its message is the `detail`. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service responded with status ${status}.`);
    Object.assign(this, { status, code: body.code, errors: body.errors ?? [], body });
  }
}

/** The raw response. Throws a Problem for an error response; a redirect is not an error. */
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
  const parameters = Object.entries(query).filter(([, value]) => value);
  return parameters.length ? `?${new URLSearchParams(parameters)}` : "";
}

/** Compares the clocks. The Date header has whole seconds, so small differences are ignored. */
function measure(answer) {
  const serviceTime = Date.parse(answer.headers.get("date") ?? "");
  if (!Number.isNaN(serviceTime)) {
    const difference = serviceTime + 500 - Date.now();
    skew = Math.abs(difference) > 2500 ? difference : 0;
  }
}
