// Follows syncs with the service's own client and prints each callback as a line of JSON:
// node follow_syncs.js '{"options": {…}, "syncId": "…" | null, "tickets": {…}, "tokens": […]}'
// `options` are those of createClient. `tickets` are the options of a client that mints tickets.
// `tokens` are what getToken returns, one after the other; with tickets, that of their client. It ends when a sync has ended, or with an error.
import { createClient } from "../../service/web/client.js";

const { options, syncId, tickets, tokens } = JSON.parse(process.argv[2]);
const print = (name, data) => console.log(JSON.stringify([name, data]));

if (tokens) (tickets ?? options).getToken = ({ refresh }) => {
  if (refresh) print("refresh", null);
  if (refresh && tokens.length > 1) tokens.shift();
  return tokens[0];
};
if (tickets) {
  const host = createClient(tickets);
  options.getTicket = (id) => {
    print("ticket", id);
    return host.post("/api/sse/ticket", { syncId: id });
  };
}
const client = createClient(options);
const callbacks = {
  onLink: (state) => print("onLink", state),
  onError: ({ status, code, detail, requestId }) => print("onError", { status, code, detail, requestId }),
  onChange: ({ syncId: id, status, version }, kind) => print("onChange", { syncId: id, status, version, kind }),
};
for (const kind of ["Progress", "Paused", "Complete", "Failed", "Cancelled", "Reset", "Evicted"]) {
  callbacks[`on${kind}`] = ({ version }) => print(`on${kind}`, version ?? null);
}
if (syncId) client.subscribe(syncId, callbacks);
else {
  const ended = callbacks.onComplete;
  const stop = client.subscribeAll({ ...callbacks, onComplete: (sync) => { ended(sync); stop(); } });
}
print("subscribed", null);
