// Follows one sync through an EventSource, from the first event to the last.
import { get } from "./api.js";

const KINDS = ["progress", "paused", "complete", "failed", "cancelled"];
const ENDED = new Set(["complete", "failed", "cancelled"]);
const RETRY = 5000;
const PATIENCE = 4000; // a stream that ended normally reconnects after three seconds

export const ended = (sync) => ENDED.has(sync.status);

/** Calls `onSync` with each newer version, `onLink` with the state of the stream ("": connected), and
 * `onError` if the sync is no longer accessible. Returns a function that stops following. */
export function follow(syncId, { onSync, onLink, onError }) {
  const id = encodeURIComponent(syncId);
  let source = null;
  let version = 0;
  let retry = 0;
  let warningTimer = 0;
  let stopped = false;

  function stop() {
    stopped = true;
    clearTimeout(retry);
    clearTimeout(warningTimer);
    source?.close();
  }

  function receive(sync) {
    if (stopped) return;
    onConnected();
    if (ended(sync)) stop();
    if (sync.version <= version) return;
    version = sync.version;
    onSync(sync);
  }

  function onConnected() {
    clearTimeout(warningTimer);
    warningTimer = 0;
    onLink("");
  }

  function onDisconnected() {
    if (stopped) return;
    warningTimer ||= setTimeout(() => onLink("Reconnecting…"), PATIENCE);
    // EventSource reconnects automatically unless the stream was refused (CLOSED).
    if (source.readyState === EventSource.CLOSED) poll();
  }

  async function poll() {
    try {
      receive(await get(`/api/sync/status/${id}`));
    } catch (error) {
      if (error.status >= 400 && error.status < 500) {
        stop();
        onError(error);
      }
    }
    if (!stopped) retry = setTimeout(open, RETRY);
  }

  function open() {
    source = new EventSource(`/api/sse/sync-progress/${id}`);
    for (const kind of KINDS) source.addEventListener(kind, (event) => receive(JSON.parse(event.data)));
    source.addEventListener("reset", () => { version = 0; });
    source.addEventListener("evicted", () => onLink("Open in too many windows; reconnecting in a minute"));
    source.addEventListener("open", onConnected);
    source.addEventListener("error", onDisconnected);
  }

  open();
  return stop;
}
