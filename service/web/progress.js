// Follows one sync by an EventSource, from the first event to the last.
import { get } from "./api.js";

const KINDS = ["progress", "paused", "complete", "failed", "cancelled"];
const ENDED = new Set(["complete", "failed", "cancelled"]);
const RETRY = 5000;
const PATIENCE = 4000; // a stream that ended normally is back after three seconds

export const ended = (sync) => ENDED.has(sync.status);

/** Calls `onSync` with each newer version, `onLink` with the state of the stream ("" is connected),
 * and `onError` if the sync is no longer accessible. Returns a function that stops it. */
export function follow(syncId, { onSync, onLink, onError }) {
  const id = encodeURIComponent(syncId);
  let source = null;
  let version = 0;
  let retry = 0;
  let doubt = 0;
  let stopped = false;

  function stop() {
    stopped = true;
    clearTimeout(retry);
    clearTimeout(doubt);
    source?.close();
  }

  function take(sync) {
    if (stopped) return;
    linked();
    if (ended(sync)) stop();
    if (sync.version <= version) return;
    version = sync.version;
    onSync(sync);
  }

  function linked() {
    clearTimeout(doubt);
    doubt = 0;
    onLink("");
  }

  function cut() {
    if (stopped) return;
    doubt ||= setTimeout(() => onLink("Reconnecting…"), PATIENCE);
    // Still connecting: EventSource reconnects by itself. Closed: the stream was refused for good.
    if (source.readyState === EventSource.CLOSED) look();
  }

  async function look() {
    try {
      take(await get(`/api/sync/status/${id}`));
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
    for (const kind of KINDS) source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
    source.addEventListener("reset", () => { version = 0; });
    source.addEventListener("evicted", () => onLink("Open in too many windows; back in a minute"));
    source.addEventListener("open", linked);
    source.addEventListener("error", cut);
  }

  open();
  return stop;
}
