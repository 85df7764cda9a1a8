// Is checked by TypeScript, and never runs: how an application uses the client's types.
import { createClient, ended, ProblemError, type Client, type Sync } from "../../service/web/client.js";

const client: Client = createClient({ baseUrl: "https://sync.example.com", token: "…" });
createClient({ getToken: async ({ refresh }) => (refresh ? "new" : "old"), transport: "websocket" });
createClient({ getTicket: async (syncId) => client.post<{ ticket: string }>("/api/sse/ticket", { syncId }) });

const { syncId } = await client.start({ datasets: ["orders"], onConflict: "attach" });
const sync: Sync = await client.status(syncId);
const waiting: string | undefined = sync.datasets[0]?.waiting?.for;
const stop: () => void = client.subscribe(syncId, {
  onChange: (version, kind) => console.log(version.progress, kind === "paused", ended(version), waiting),
  onComplete: ({ claimsDetected }) => console.log(claimsDetected ?? "unknown"),
  onLink: (state) => console.log(state === "offline"),
  onError: (problem) => console.log(problem.code, problem.requestId),
});
client.subscribeAll({ onEvicted: ({ reason }) => console.log(reason), onReset: (which) => console.log(which.syncId) });
try {
  await client.history({ limit: 20, status: undefined });
} catch (error) {
  if (error instanceof ProblemError && error.status === 401) stop();
}
// @ts-expect-error: not a transport
createClient({ transport: "pigeon" });
// @ts-expect-error: not a callback
client.subscribe(syncId, { onFinish: () => {} });
// @ts-expect-error: total may be unknown
const total: number = sync.datasets[0]!.total;
console.log(total);
